"""TWS's features of an image, or of a block of it: what the filters of the bank make, side by side."""

from __future__ import annotations

import threading

import numpy as np

from fijibridge.core.errors import ImageError, SettingsError
from fijibridge.core.parallel import compiled
from fijibridge.features.tws.bank import Step, feature_names, steps_of
from fijibridge.features.tws.blurring import Box
from fijibridge.features.tws.settings import TwsSettings
from fijibridge.features.tws.window import Window

_TILE = 256  # rows and columns at a time, so that planes of all features are 256 KB each and stay in the cache
_DEFAULT = TwsSettings()


class WholePlanes:
    """Features that depend on a whole image, each made once, when a block of it is first asked for."""

    def __init__(self) -> None:
        self._planes: dict[tuple[str, ...], np.ndarray] = {}
        self._making = threading.Lock()

    def of(self, step: Step, grey: np.ndarray, settings: TwsSettings) -> np.ndarray:
        """Planes of a step, float32 (n, Y, X).

        Parameters
        ----------
        step : Step
        grey : ndarray, shape (Y, X)
            The image, of any real type.
        settings : TwsSettings
        """
        with self._making:
            if step.names not in self._planes:
                height, width = grey.shape
                planes = np.empty((len(step.names), height, width), np.float32)
                whole = np.array(grey, np.float32, order="C")
                window = Window(whole, (0, 0), grey.shape, (0, height, 0, width), settings)
                step.filter.fill(window, step.sigma, planes)
                self._planes[step.names] = planes
            return self._planes[step.names]


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
        If a slice has a step, or `out` is of another size or type.

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
    height, width = grey.shape
    (y0, y1), (x0, x1) = span_of(rows, height, "rows"), span_of(cols, width, "cols")
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
    whole = whole or WholePlanes()
    for top in range(y0, y1, _TILE):
        for left in range(x0, x1, _TILE):
            box = (top, min(top + _TILE, y1), left, min(left + _TILE, x1))
            _fill(out[top - y0 : box[1] - y0, left - x0 : box[3] - x0], grey, box, settings, whole)
    return out


def _fill(out: np.ndarray, grey: np.ndarray, box: Box, settings: TwsSettings, whole: WholePlanes) -> None:
    """All features of a box, into out (h, w, F)."""
    (height, width), (y0, y1, x0, x1) = grey.shape, box
    steps = steps_of(settings)
    halo = max((step.reach or 0 for step in steps), default=0)
    top, left = max(0, y0 - halo), max(0, x0 - halo)
    # a fresh C array, since numba compiles anew for every other layout, and for read-only ones
    part = np.array(grey[top : min(height, y1 + halo), left : min(width, x1 + halo)], dtype=np.float32, order="C")
    window = Window(part, (top, left), (height, width), box, settings)
    planes = np.empty((out.shape[2], y1 - y0, x1 - x0), np.float32)
    planes[0] = window.cut(part, window.origin)
    first = 1
    for step in steps:
        own = planes[first : first + len(step.names)]
        if step.reach is None:
            own[:] = whole.of(step, grey, settings)[:, y0:y1, x0:x1]
        else:
            step.filter.fill(window, step.sigma, own)
        first += len(step.names)
    _features_last(planes, out)


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
