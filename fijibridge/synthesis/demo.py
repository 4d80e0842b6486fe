"""A simulated micrograph of a solid-state battery composite with its ground truth: for demo, examples and tests."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.images.image import Image, PixelSize
from fijibridge.labels.labels import Labels
from fijibridge.synthesis.strokes import strokes_of

if TYPE_CHECKING:
    from fijibridge.synthesis.imaging import Micrograph

CLASS_NAMES = ("ISE", "CAM", "pore")
_WIDTH = 12.0  # micrometres, width of a small image
_PIXEL = 0.03  # micrometres, pixel of a large image


def demo_image(size: int = 384, seed: int = 0, *, detector: str = "BSE") -> tuple[Image, Labels, np.ndarray]:
    """Simulate a micrograph of CAM particles (NCM) and pores in a solid electrolyte (Li6PS5Cl), 16 bit.

    Grey values of the phases overlap: CAM particles have grains of different brightness, pores show what lies behind
    them, brightness has a gradient, and there is noise, so that a threshold does not segment it.

    Parameters
    ----------
    size : int
        Height and width in pixels, at least 96.
    seed : int
        The same seed gives the same structure and images.
    detector : {"BSE", "SE"}
        Which of the two images of the same place.

    Returns
    -------
    image : Image
        (size, size) uint16; 30 nm a pixel, or 12 micrometres in all where that is more.
    labels : Labels
        Sparse strokes, 3 pixels wide, 8 a class.
    truth : ndarray, uint8, shape (size, size)
        1 ISE, 2 CAM, 3 pore.
    """
    pair, strokes = _pair(size, seed)
    pixel = PixelSize(pair.pixel_size, pair.pixel_size, "um")
    image = Image(getattr(pair, detector.lower()).copy(), f"demo_{detector.lower()}", pixel)
    return image, Labels(strokes.copy(), CLASS_NAMES), pair.labels.copy()


@lru_cache(maxsize=8)
def _pair(size: int, seed: int) -> tuple[Micrograph, np.ndarray]:
    from fijibridge.synthesis.config import load_preset
    from fijibridge.synthesis.dataset import simulated_pairs

    wanted = replace(
        load_preset("generic").with_ranges(
            structure={"cam_diameter": 2.2, "cam_grain_size": 0.5, "porosity": 0.12, "cam_fraction": 0.42},
            imaging={
                "bits": 16,
                "snr": 10.0,
                "shine_through": 0.4,
                "shine_depth": 0.5,
                "curtaining": 0.05,
                "channelling": 0.08,
                "edge_brightening": 0.6,
                "redeposition": 0.1,
                "charging": 0.1,
                "gradient": 0.2,
                "misregistration": 0.0,
                "drift": 0.0,
                "brightness": 0.45,
                "contrast": 0.5,
                "gamma": 1.0,
                "defocus": 0.6,
                "line_noise": 0.01,
            },
        ),
        size=size,
        depth=24,
        sections=1,
        pixel_size=max(_PIXEL, _WIDTH / size),
    )
    (pair,) = simulated_pairs(wanted, 1, seed)
    return pair, strokes_of(pair.labels, np.random.default_rng(seed))
