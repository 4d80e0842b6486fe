"""Labelled images and volumes with named phases: checking, reading, writing, rendering. Names load on first use."""

from fijibridge.core.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
