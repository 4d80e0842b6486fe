"""Metrics of a segmented image or volume: fractions, correlation, surface, sizes, connectivity, transport.

Every function takes a label array, (Y, X) or (Z, Y, X), with the size of its voxels, or a `Phases`. Names load on first
use.
"""

from fijibridge.core.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
