"""Colours of classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fijibridge.core.errors import SettingsError

# Okabe and Ito's palette (jfly.uni-koeln.de/color), which most colour-blind people can tell apart; no black or white.
DEFAULT_COLORS = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167),
)  # fmt: skip


def class_colors_or_default(class_names: Sequence[str], class_colors: Sequence[Any] | None) -> np.ndarray:
    """Colours of the classes.

    Parameters
    ----------
    class_names : sequence of str
        Names of the classes 1, 2, ...
    class_colors : sequence, optional
        One colour a class, (r, g, b) in 0..255 or ``"#rrggbb"``; None for `DEFAULT_COLORS`, repeated as needed.

    Returns
    -------
    np.ndarray
        (classes, 3) uint8.

    Raises
    ------
    SettingsError
        Another number of colours than of names, or not a colour.
    """
    if class_colors is None:
        class_colors = [DEFAULT_COLORS[index % len(DEFAULT_COLORS)] for index in range(len(class_names))]
    if len(class_colors) != len(class_names):
        raise SettingsError(
            f"{len(class_colors)} colours for {len(class_names)} classes",
            expected="one colour a class",
            remedy="give as many colours as class names, or none for the default colours",
        )
    return np.array([_color(color) for color in class_colors], np.uint8).reshape(-1, 3)


def _color(color: Any) -> tuple[int, ...]:
    try:
        channels = tuple(bytes.fromhex(color.lstrip("#"))) if isinstance(color, str) else tuple(int(c) for c in color)
    except (TypeError, ValueError):
        channels = ()
    if len(channels) != 3 or not all(0 <= channel <= 255 for channel in channels):
        raise SettingsError(
            f"class colour {color!r}",
            expected='(r, g, b) of 0 to 255, or "#rrggbb"',
            remedy="for example (230, 159, 0)",
        )
    return channels


# A colour map runs through most of its 256 entries in small steps; these many larger ones are allowed (HiLo has two).
_STEP, _STEPS = 48, 3


def brightness(indices: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """What a person sees of an image with a palette, the same whichever program wrote the file.

    A palette of greys gives its greys. A colour map, such as ImageJ's Fire, only shows values, which stay as they are.
    Any other palette holds the picture's colours.

    Parameters
    ----------
    indices : np.ndarray
        (Y, X) uint8, palette indices.
    colours : np.ndarray
        (entries, 3) uint8, more entries than the largest index.

    Returns
    -------
    np.ndarray
        (Y, X), or (Y, X, 3) for colours; uint8.
    """
    used = np.zeros(len(colours), bool)
    used[np.unique(indices)] = True
    if (colours[used] == colours[used][:, :1]).all():
        return np.ascontiguousarray(colours[:, 0])[indices]
    steps = np.abs(np.diff(colours.astype(np.int16), axis=0)).max(axis=1)
    is_map = len(colours) == 256 and (steps > _STEP).sum() <= _STEPS and len(np.unique(colours, axis=0)) >= 128
    return indices if is_map else colours[indices]
