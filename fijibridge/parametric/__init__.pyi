from fijibridge.parametric.fitting import Fit as Fit
from fijibridge.parametric.fitting import fit as fit
from fijibridge.parametric.generation import parametric_start as parametric_start
from fijibridge.parametric.generation import volume_of as volume_of
from fijibridge.parametric.model import Model as Model
from fijibridge.parametric.model import model_from_dict as model_from_dict
