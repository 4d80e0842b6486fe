"""Bilinear interpolation on a patch grid twice as dense, at four times the ViT's cost."""

from __future__ import annotations

from fijibridge.features.upsampling.bilinear import Bilinear


class Strided(Bilinear):
    """Four views of the image, moved by a quarter of a patch up or down, left or right, so that patches overlap by
    half and the four grids interleave (Amir et al. 2021, arXiv 2112.05814; Docherty et al. 2024, arXiv 2410.19836)."""

    strided = True


class Scale(Bilinear):
    """The ViT's own tokens of the image enlarged twice as much."""

    enlargement = 2.0


STRIDED, SCALE = Strided(), Scale()
