"""A 3D model from 2D images, and how well the two agree. Names load on first use."""

from fijibridge.core.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
