"""Features and labels -> forest -> segmentation; classifiers saved and loaded."""

from fijibridge.core.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
