"""The network that segments micrographs of several detectors: trained on simulated images, tuned on a user's labels."""

from fijibridge.core.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
