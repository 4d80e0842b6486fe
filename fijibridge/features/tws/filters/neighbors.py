"""Grey values of neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fijibridge.core.errors import SettingsError
from fijibridge.features.tws.filter import Filter

if TYPE_CHECKING:
    from fijibridge.features.tws.settings import TwsSettings
    from fijibridge.features.tws.window import Window


def _steps(settings: TwsSettings) -> list[int]:
    """Distances of the neighbours, in pixels."""
    step, last = int(np.float32(settings.min_sigma)), int(np.float32(settings.max_sigma))
    if step < 1:
        raise SettingsError(
            f"Neighbors with a smallest sigma of {settings.min_sigma}",
            expected="at least 1 pixel: TWS itself makes no neighbours below",
            remedy="raise the smallest sigma, or leave Neighbors out",
        )
    steps = []
    while step <= last:
        steps.append(step)
        step *= 2
    return steps


def _mirrored(positions: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions along an axis, mirrored at its ends once, and which of them are inside then."""
    positions = np.abs(positions)
    positions = np.where(positions >= length, 2 * (length - 1) - positions, positions)
    return positions, positions >= 0


class Neighbors(Filter):
    """``Neighbors_s_k``: the pixels s columns and rows away, column by column; the image is mirrored at its edges.

    s is the smallest sigma cut to a whole number, and doubles. Where an image is so small that a neighbour is outside
    its mirror image too, the value is NaN, as in TWS.
    """

    name = "Neighbors"
    cuts_sigma = True
    place = "last"

    def names(self, settings: TwsSettings, sigma: float) -> tuple[str, ...]:
        """See :meth:`fijibridge.features.tws.filter.Filter.names`."""
        return tuple(f"Neighbors_{step}_{number}" for step in _steps(settings) for number in range(8))

    def chosen(self, name: str) -> tuple[tuple[float, ...], dict[str, int]]:
        """See :meth:`fijibridge.features.tws.filter.Filter.chosen`."""
        return (float(int(name.split("_")[1])),), {}

    def reach(self, settings: TwsSettings, sigma: float) -> int:
        """See :meth:`fijibridge.features.tws.filter.Filter.reach`."""
        return _steps(settings)[-1]

    def fill(self, window: Window, sigma: float, planes: np.ndarray) -> None:
        """See :meth:`fijibridge.features.tws.filter.Filter.fill`."""
        (y0, y1, x0, x1), (height, width), (top, left) = window.box, window.shape, window.origin
        steps = _steps(window.settings)
        reach = steps[-1]
        rows, inside_y = _mirrored(np.arange(y0 - reach, y1 + reach), height)
        cols, inside_x = _mirrored(np.arange(x0 - reach, x1 + reach), width)
        # clipped to what is there, since places outside are overwritten
        rows, cols = np.clip(rows - top, 0, len(window.grey) - 1), np.clip(cols - left, 0, window.grey.shape[1] - 1)
        around = window.grey[rows[:, None], cols[None, :]]
        around[~inside_y] = np.nan
        around[:, ~inside_x] = np.nan
        number = 0
        for step in steps:
            for across in (-step, 0, step):
                for down in (-step, 0, step):
                    if across == down == 0:
                        continue
                    top, left = reach + down, reach + across
                    planes[number] = around[top : top + y1 - y0, left : left + x1 - x0]
                    number += 1
