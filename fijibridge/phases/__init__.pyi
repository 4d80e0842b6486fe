from fijibridge.phases.phases import Phases as Phases
from fijibridge.phases.phases import as_phases as as_phases
from fijibridge.phases.reading import open_phases as open_phases
from fijibridge.phases.reading import read_phases as read_phases
from fijibridge.phases.rendering import render as render
from fijibridge.phases.volume import PhaseVolume as PhaseVolume
from fijibridge.phases.volume import phase_volume as phase_volume
from fijibridge.phases.writing import write_phases as write_phases
