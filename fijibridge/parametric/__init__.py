"""Structures by parametric models: random fields fitted to a slice, for large volumes in minutes."""

from fijibridge.core.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
