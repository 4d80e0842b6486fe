from fijibridge.reconstruction.comparison import Comparison as Comparison
from fijibridge.reconstruction.comparison import compare as compare
from fijibridge.reconstruction.exemplars import Exemplars as Exemplars
from fijibridge.reconstruction.exemplars import check_exemplars as check_exemplars
from fijibridge.reconstruction.settings import ReconstructionSettings as ReconstructionSettings
from fijibridge.reconstruction.volume import Reconstruction as Reconstruction
from fijibridge.reconstruction.volume import reconstruct as reconstruct
