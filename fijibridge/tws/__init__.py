"""A Trainable Weka Segmentation session on features that Python made. Needs a Fiji (``start(fiji=...)``)."""

from fijibridge.tws.session import TrainableSegmentation

__all__ = ["TrainableSegmentation"]
