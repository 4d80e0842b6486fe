"""A coarse 3D volume and fine 2D micrographs become one fine volume."""

from fijibridge.core.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
