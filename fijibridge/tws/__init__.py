"""A Trainable Weka Segmentation session on features that Python made. Needs a Fiji (``start(fiji=...)``)."""

from fijibridge.core.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
