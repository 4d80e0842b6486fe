"""Hue, saturation and brightness of an RGB image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fijibridge.features.tws.filter import Filter

if TYPE_CHECKING:
    from fijibridge.features.tws.settings import TwsSettings
    from fijibridge.features.tws.window import Window


class HueSaturationBrightness(Filter):
    """``Hue``, ``Saturation``, ``Brightness``: 0 .. 255, as Java's `Color.RGBtoHSB` has them, cut to whole numbers.

    TWS makes them of every RGB image, whatever filters are chosen.
    """

    name = "HSB"
    place = "first"

    def names(self, settings: TwsSettings, sigma: float) -> tuple[str, ...]:
        """See :meth:`fijibridge.features.tws.filter.Filter.names`."""
        return ("Hue", "Saturation", "Brightness")

    def reach(self, settings: TwsSettings, sigma: float) -> int:
        """See :meth:`fijibridge.features.tws.filter.Filter.reach`."""
        return 0

    def fill(self, window: Window, sigma: float, planes: np.ndarray) -> None:
        """See :meth:`fijibridge.features.tws.filter.Filter.fill`; the window must have `rgb`."""
        assert window.rgb is not None  # tws_features refuses settings for colour
        colours = np.moveaxis(window.rgb, 2, 0).astype(np.float32)
        red, green, _ = colours
        most, spread = colours.max(0), np.ptp(colours, 0)
        # where it is grey, numerators are 0, and so is the hue
        r, g, b = (most - colours) / np.maximum(spread, 1)
        hue = np.where(red == most, b - g, np.where(green == most, 2 + r - b, 4 + g - r)) / np.float32(6)
        hue = np.where(spread == 0, 0, np.where(hue < 0, hue + 1, hue))
        for plane, part in zip(planes, (hue, spread / np.maximum(most, 1), most / np.float32(255)), strict=True):
            np.trunc(part.astype(np.float64) * 255.0, out=plane, casting="same_kind")
