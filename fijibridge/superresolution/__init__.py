"""A coarse 3D volume and fine 2D micrographs become one fine volume."""

from fijibridge.superresolution.agreement import Agreement
from fijibridge.superresolution.coarse import Coarse, coarse_grey, coarse_labels, coarse_probabilities
from fijibridge.superresolution.settings import SuperresolutionSettings
from fijibridge.superresolution.volume import Superresolution, Tie, superresolve, tied

__all__ = [
    "Agreement",
    "Coarse",
    "Superresolution",
    "SuperresolutionSettings",
    "Tie",
    "coarse_grey",
    "coarse_labels",
    "coarse_probabilities",
    "superresolve",
    "tied",
]
