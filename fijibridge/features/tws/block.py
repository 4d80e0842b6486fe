"""TWS's features of an image, or of a block of it: what the filters of the bank make, side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from fijibridge.core.errors import ImageError, SettingsError
from fijibridge.core.parallel import compiled
from fijibridge.features.tws.bank import Step, feature_names, steps_of
from fijibridge.features.tws.blurring import Box
from fijibridge.features.tws.settings import TwsSettings
from fijibridge.features.tws.window import AROUND, Window

_TILE = 256  # rows and columns at a time, so that planes of all features are 256 KB each and stay in the cache
_DEFAULT = TwsSettings()


class WholePlanes:
    """What depends on a whole image, features and numbers, each made once, when a block of it is first asked for.

    Parameters
    ----------
    of_rgb : WholePlanes, optional
        Where the image is one colour of an RGB image: what depends on all three.
    colour : int, optional
        Which: 0 red, 1 green, 2 blue.
    """

    def __init__(self, of_rgb: WholePlanes | None = None, colour: int = 0) -> None:
        self.of_rgb, self.colour = of_rgb, colour
        self._planes: dict[tuple[str, ...], np.ndarray] = {}
        self._values: dict[str, Any] = {}
        self._making = threading.RLock()  # features may need numbers

    def value(self, grey: np.ndarray, name: str, make: Callable[[np.ndarray], Any]) -> Any:
        """A number, or several, of the image; see :meth:`fijibridge.features.tws.window.Window.of_image`.

        Parameters
        ----------
        grey : ndarray, shape (Y, X)
            The image, of any real type; or (Y, X, 3).
        name : str
        make : callable

        Returns
        -------
        object
        """
        with self._making:
            if name not in self._values:
                self._values[name] = make(np.array(grey, np.float32, order="C"))
            return self._values[name]

    def of(self, step: Step, grey: np.ndarray, settings: TwsSettings, rgb: np.ndarray | None = None) -> np.ndarray:
        """Planes of a step, float32 (n, Y, X).

        Parameters
        ----------
        step : Step
        grey : ndarray, shape (Y, X)
            The image, of any real type.
        settings : TwsSettings
        rgb : ndarray, uint8, shape (Y, X, 3), optional
            The RGB image that `grey` is one colour of.
        """
        with self._making:
            if step.names not in self._planes:
                height, width = grey.shape
                planes = np.empty((len(step.names), height, width), np.float32)
                window = self.window(grey, (0, height, 0, width), 0, settings, rgb)
                step.filter.fill(window, step.sigma, planes)
                self._planes[step.names] = planes
            return self._planes[step.names]

    def window(
        self, grey: np.ndarray, box: Box, halo: int, settings: TwsSettings, rgb: np.ndarray | None = None
    ) -> Window:
        """A block of the image and pixels around it.

        Parameters
        ----------
        grey : ndarray, shape (Y, X)
            The image, of any real type.
        box : (int, int, int, int)
            y0, y1, x0, x1 of the block.
        halo : int
            Pixels around it, as far as the image goes.
        settings : TwsSettings
        rgb : ndarray, uint8, shape (Y, X, 3), optional
            The RGB image that `grey` is one colour of.
        """
        (height, width), (y0, y1, x0, x1) = grey.shape, box
        top, left = max(0, y0 - halo), max(0, x0 - halo)
        # a fresh C array, since numba compiles anew for every other layout, and for read-only ones
        part = np.array(grey[top : min(height, y1 + halo), left : min(width, x1 + halo)], dtype=np.float32, order="C")
        return Window(
            part,
            (top, left),
            (height, width),
            box,
            settings,
            once=partial(self.value, grey),
            rgb=rgb[y0:y1, x0:x1] if rgb is not None else None,
            colour=self.colour,
            once_rgb=partial(self.of_rgb.value, rgb) if rgb is not None and self.of_rgb is not None else None,
        )


def tws_features(
    grey: np.ndarray,
    rows: slice = slice(None),
    cols: slice = slice(None),
    *,
    settings: TwsSettings = _DEFAULT,
    out: np.ndarray | None = None,
    whole: WholePlanes | None = None,
) -> np.ndarray:
    """TWS 4.0's features of a grey image, or of a block of it, under its attribute names.

    A forest that TWS trained splits on exact values, so it must meet the same numbers here. What each feature is stands
    at its filter, in :mod:`fijibridge.features.tws.filters`. Beyond the image's edge its edge pixels go on, as in
    ImageJ, unless the filter says otherwise; a block looks at its true surroundings.

    Parameters
    ----------
    grey : array (Y, X)
        One channel in the image's own units (8-bit: 0..255, 16-bit: 0..65535), of any real type; read as float32, as
        TWS does. Only the block and its filters' reach around it are read, so a memory map or a lazy array serves.
    rows, cols : slice, optional
        The block wanted, in pixels; the whole image by default.
    settings : TwsSettings
        TWS's 76 default features by default.
    out : float32 array (h, w, >= F), optional
        Where to write, the first F features; other features stay as they are. A view into a larger stack serves.
    whole : WholePlanes, optional
        Of the same image, where several blocks of it are made: keeps features that depend on all of it.

    Returns
    -------
    float32 array (h, w, F)
        In the order of :func:`fijibridge.features.tws.bank.feature_names`; a view of `out` if that was given. A block
        holds exactly the numbers that the whole image has there.

    Raises
    ------
    ImageError
        If `grey` is not a 2D image or has no pixel.
    SettingsError
        If a slice has a step, `out` is of another size or type, or the settings are for colours.

    Notes
    -----
    Runs on one thread and releases the GIL: blocks may run in a thread pool. Source of the filters: Arganda-Carreras
    et al. 2017 (doi:10.1093/bioinformatics/btx180); equality with TWS 4.0 on ImageJ 1.54p is tested.
    """
    if getattr(grey, "ndim", None) is None:
        grey = np.asarray(grey)
    if grey.ndim != 2 or 0 in grey.shape:
        raise ImageError(
            f"an image of shape {tuple(grey.shape)}",
            expected="a grey image (Y, X) with at least one pixel",
            remedy="pass one channel of one slice at a time",
        )
    if settings.colour:
        raise SettingsError(
            "settings for features of colours, and one grey image",
            expected="settings without colour",
            remedy="give the RGB image to colour_features, or set colour to False",
        )
    whole = whole or WholePlanes()

    def fill(part: np.ndarray, box: Box) -> None:
        _features_last(planes_of(grey, box, settings, whole), part)

    return in_tiles(grey.shape, rows, cols, settings, out, fill)


def in_tiles(
    shape: tuple[int, int],
    rows: slice,
    cols: slice,
    settings: TwsSettings,
    out: np.ndarray | None,
    fill: Callable[[np.ndarray, Box], None],
) -> np.ndarray:
    """Features of a block, made tile by tile.

    Parameters
    ----------
    shape : (int, int)
        Of the image.
    rows, cols, settings, out
        As of :func:`tws_features`.
    fill : callable
        Takes the part of `out` of a tile, float32 (h, w, F), and y0, y1, x0, x1 of the tile in the image.

    Returns
    -------
    float32 array (h, w, F)

    Raises
    ------
    SettingsError
        If a slice has a step, or `out` is of another size or type.
    """
    (y0, y1), (x0, x1) = span_of(rows, shape[0], "rows"), span_of(cols, shape[1], "cols")
    count = len(feature_names(settings))
    if out is None:
        out = np.empty((y1 - y0, x1 - x0, count), np.float32)
    elif out.ndim != 3 or out.shape[:2] != (y1 - y0, x1 - x0) or out.shape[2] < count or out.dtype != np.float32:
        raise SettingsError(
            f"out is {out.dtype} {out.shape}",
            expected=f"float32 ({y1 - y0}, {x1 - x0}, at least {count})",
            remedy="make `out` as large as the block, or leave it out",
        )
    out = out[:, :, :count]
    for top in range(y0, y1, _TILE):
        for left in range(x0, x1, _TILE):
            box = (top, min(top + _TILE, y1), left, min(left + _TILE, x1))
            fill(out[top - y0 : box[1] - y0, left - x0 : box[3] - x0], box)
    return out


def planes_of(
    grey: np.ndarray, box: Box, settings: TwsSettings, whole: WholePlanes, rgb: np.ndarray | None = None
) -> np.ndarray:
    """All features of a box of an image, or of one colour of it.

    Parameters
    ----------
    grey : ndarray, shape (Y, X)
        Of any real type.
    box : (int, int, int, int)
        y0, y1, x0, x1.
    settings : TwsSettings
    whole : WholePlanes
        Of `grey`.
    rgb : ndarray, uint8, shape (Y, X, 3), optional
        The RGB image that `grey` is one colour of.

    Returns
    -------
    ndarray, float32, shape (F, h, w)
    """
    y0, y1, x0, x1 = box
    steps = steps_of(settings)
    halo = max((step.reach or 0 for step in steps), default=0) + AROUND  # as far as the window's own blurs go
    window = whole.window(grey, box, halo, settings, rgb)
    planes = np.empty((len(feature_names(settings)), y1 - y0, x1 - x0), np.float32)
    planes[0] = window.inner
    first = 1
    for step in steps:
        own = planes[first : first + len(step.names)]
        if step.reach is None:
            own[:] = whole.of(step, grey, settings, rgb)[:, y0:y1, x0:x1]
        else:
            step.filter.fill(window, step.sigma, own)
        first += len(step.names)
    return planes


@compiled
def _features_last(planes, out):
    """Planes (F, h, w) into out (h, w, F), in strips along x that fit into the cache."""
    count, height, width = planes.shape
    for y in range(height):
        for left in range(0, width, 16):
            right = min(left + 16, width)
            for f in range(count):
                row = planes[f, y]
                for x in range(left, right):
                    out[y, x, f] = row[x]


def span_of(part: slice, length: int, axis: str) -> tuple[int, int]:
    """Start and stop of a slice without step.

    Parameters
    ----------
    part : slice
    length : int
        Of the axis.
    axis : str
        Its name, for messages.

    Raises
    ------
    SettingsError
        If it has a step.
    """
    start, stop, step = part.indices(length)
    if step != 1:
        raise SettingsError(
            f"{axis} {part} has a step of {step}",
            expected="a slice of adjacent pixels",
            remedy="leave the step out and thin the result instead",
        )
    return start, max(start, stop)
