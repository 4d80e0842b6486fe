"""Structures of composite electrodes, and their SE and BSE micrographs with exact labels: training data."""

from fijibridge.core.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
