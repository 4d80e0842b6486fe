"""The default filters of Trainable Weka Segmentation 4.0: 76 features of a grey image, under its attribute names.

A forest that TWS trained splits on exact values, so it must meet the same numbers here: see `classical_filters`.

Families are entries of `_FAMILIES`; a further one of TWS's (Mean, Variance, ...) is one more entry with its names,
its reach and its code in `fill_strip`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fijibridge.core.errors import ImageError, SettingsError
from fijibridge.features.tws.filters import PATCH, THICKNESS, blur, fill_strip, gaussian_kernel, membrane_taps

# TWS's defaults: sigmas double from the smallest to the largest, and the filters see 0.4 of them.
SIGMAS = (1.0, 2.0, 4.0, 8.0, 16.0)
_SIGMA_FACTOR = 0.4

_HESSIAN_PARTS = (
    "",
    "_Trace",
    "_Determinant",
    "_Eigenvalue_1",
    "_Eigenvalue_2",
    "_Orientation",
    "_Square_Eigenvalue_Difference",
    "_Normalized_Eigenvalue_Difference",
)


def _gaussian_reach(sigma: float) -> int:
    """How many pixels beyond the centre the blur of TWS's `sigma` reads."""
    return 0 if sigma == 0 else len(gaussian_kernel(_SIGMA_FACTOR * sigma)[0]) - 1


class _Family(NamedTuple):
    """One of TWS's feature families: its name there, how far it looks, and the names it makes at a sigma."""

    name: str
    reach: int
    at_sigma: Callable[[float], list[str]]
    once: tuple[str, ...] = ()


def _hessian_names(sigma: float) -> list[str]:
    return [f"Hessian{part}_{sigma}" for part in _HESSIAN_PARTS]


_BLUR_REACH = _gaussian_reach(SIGMAS[-1])

# In TWS's order within one sigma. Sobel and Hessian exist at sigma 0 too, the others do not.
_FAMILIES = (
    _Family("Gaussian_blur", _BLUR_REACH, lambda s: [f"Gaussian_blur_{s}"] if s else []),
    _Family("Sobel_filter", _BLUR_REACH + 1, lambda s: [f"Sobel_filter_{s}"]),
    _Family("Hessian", _BLUR_REACH + 2, _hessian_names),
    _Family(
        "Difference_of_gaussians",
        _BLUR_REACH,
        lambda s: [f"Difference_of_gaussians_{s}_{t}" for t in SIGMAS if t < s],
    ),
    _Family(
        "Membrane_projections",
        PATCH // 2,
        lambda s: [],
        tuple(f"Membrane_projections_{i}_{PATCH}_{THICKNESS}" for i in range(6)),
    ),
)


def classical_names() -> tuple[str, ...]:
    """TWS's attribute names of its default features, in TWS's order.

    Returns
    -------
    tuple of str
        76 names, from ``"original"`` to ``"Membrane_projections_5_19_1"``.
    """
    names = ["original"]
    for sigma in (0.0, *SIGMAS):
        for family in _FAMILIES:
            names += family.at_sigma(sigma)
    for family in _FAMILIES:
        names += family.once
    return tuple(names)


CLASSICAL_NAMES: tuple[str, ...] = classical_names()
CLASSICAL_HALO: int = max(family.reach for family in _FAMILIES)

_KERNELS = tuple(gaussian_kernel(_SIGMA_FACTOR * s) for s in SIGMAS)
_TAPS = membrane_taps()


def _places(pattern: str, sigmas: tuple[float, ...]) -> np.ndarray:
    """Where each sigma's (first) feature of a family sits among the names, -1 if it has none. int64 (S,)."""
    wanted = [pattern.format(s) for s in sigmas]
    return np.array([CLASSICAL_NAMES.index(n) if n in CLASSICAL_NAMES else -1 for n in wanted], np.int64)


_GAUSS_AT = _places("Gaussian_blur_{}", SIGMAS)
_SOBEL_AT = _places("Sobel_filter_{}", (0.0, *SIGMAS))
_HESSIAN_AT = _places("Hessian_{}", (0.0, *SIGMAS))
_DOG_AT = _places(f"Difference_of_gaussians_{{}}_{SIGMAS[0]}", SIGMAS)
_MEMBRANE_AT = CLASSICAL_NAMES.index(f"Membrane_projections_0_{PATCH}_{THICKNESS}")

_STRIP = 16  # rows at a time: 16 x 1000 pixels x 76 features are 5 MB


def _span(part: slice, length: int, axis: str) -> tuple[int, int]:
    """Start and stop of a slice without step."""
    start, stop, step = part.indices(length)
    if step != 1:
        raise SettingsError(
            f"{axis} {part} has a step of {step}",
            expected="a slice of adjacent pixels",
            remedy="leave the step out and thin the result instead",
        )
    return start, max(start, stop)


def classical_features(
    grey: np.ndarray,
    rows: slice = slice(None),
    cols: slice = slice(None),
    *,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """TWS 4.0's default features of an image, or of a block of it.

    With ``G(s)`` the image blurred by a Gaussian of standard deviation ``0.4 s`` pixels, ``s`` in 1, 2, 4, 8, 16 (and
    ``G(0)`` the image), ``S_r`` and ``S_c`` the 3x3 Sobel correlations across rows and columns, and
    ``a = S_r S_r G``, ``b = S_c S_r G``, ``d = S_c S_c G``:

    - ``Gaussian_blur_s = G(s)``, ``Sobel_filter_s = sqrt((S_r G)^2 + (S_c G)^2)``,
      ``Difference_of_gaussians_s_t = G(t) - G(s)`` for t < s;
    - ``Hessian_s = sqrt(a^2 + b^2 + d^2)``, trace ``a + d``, determinant ``a d - b^2``, eigenvalues
      ``(a + d +- sqrt((a - d)^2 + 4 b^2)) / 2``, orientation ``+-acos((a - d) / sqrt((a - d)^2 + 4 b^2)) / 2`` (the
      sign is b's, radians), ``(a + d)^2 ((a - d)^2 + 4 b^2)`` and ``(a - d)^2 + 4 b^2``;
    - ``Membrane_projections_0..5``: mean, maximum, minimum, sum, standard deviation and median of ten line averages
      (19 pixels long, 2 wide, 18 degrees apart).

    Beyond the image's edge its edge pixels go on, as in ImageJ; a block looks at its true surroundings.

    Parameters
    ----------
    grey : array (Y, X)
        One channel in the image's own units (8-bit: 0..255, 16-bit: 0..65535), of any real type; read as float32.
        Only the block and `CLASSICAL_HALO` pixels around it are read, so a memory map or a lazy array serves.
    rows, cols : slice, optional
        The block wanted, in pixels; the whole image by default.
    out : float32 array (h, w, >= 76), optional
        Where to write, the first 76 features; other features stay as they are. A view into a larger stack serves.

    Returns
    -------
    float32 array (h, w, 76)
        In the order of `CLASSICAL_NAMES`; a view of `out` if that was given. A block holds exactly the numbers that
        the whole image has there.

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
    (y0, y1), (x0, x1) = _span(rows, height, "rows"), _span(cols, width, "cols")
    count = len(CLASSICAL_NAMES)
    if out is None:
        out = np.empty((y1 - y0, x1 - x0, count), np.float32)
    elif out.ndim != 3 or out.shape[:2] != (y1 - y0, x1 - x0) or out.shape[2] < count or out.dtype != np.float32:
        raise SettingsError(
            f"out is {out.dtype} {out.shape}",
            expected=f"float32 ({y1 - y0}, {x1 - x0}, at least {count})",
            remedy="make `out` as large as the block, or leave it out",
        )
    out = out[:, :, :count]
    if out.size == 0:
        return out

    oy, ox = max(0, y0 - CLASSICAL_HALO), max(0, x0 - CLASSICAL_HALO)
    window = grey[oy : min(height, y1 + CLASSICAL_HALO), ox : min(width, x1 + CLASSICAL_HALO)]
    # a fresh C array, since numba compiles anew for every other layout, and for read-only ones
    window = np.array(window, dtype=np.float32, order="C")
    # two pixels wider than the block: a Sobel on a Sobel looks at them
    blurred_box = (max(0, y0 - 2), min(height, y1 + 2), max(0, x0 - 2), min(width, x1 + 2))
    blurred = np.empty(
        (len(SIGMAS), blurred_box[1] - blurred_box[0], blurred_box[3] - blurred_box[2]),
        np.float32,
    )
    for level, (kernel, beyond) in enumerate(_KERNELS):
        blurred[level] = blur(window, oy, ox, height, width, kernel, beyond, blurred_box)
    for ya in range(y0, y1, _STRIP):
        yb = min(ya + _STRIP, y1)
        part = out[ya - y0 : yb - y0]
        strip = part if part.flags.c_contiguous else np.empty(part.shape, np.float32)
        fill_strip(
            strip, window, oy, ox, height, width, blurred, blurred_box, (ya, yb, x0, x1), _TAPS,
            _GAUSS_AT, _SOBEL_AT, _HESSIAN_AT, _DOG_AT, _MEMBRANE_AT,
        )  # fmt: skip
        if strip is not part:
            part[...] = strip
    return out
