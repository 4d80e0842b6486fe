"""Whether a slice's rows and columns differ: how much longer its features are along y than along x."""

from __future__ import annotations

import numpy as np

_RATIOS = np.exp(np.linspace(-1.1, 1.1, 45))
_ALIKE = 1.2  # factor that one slice of an isotropic material shows by chance


def axis_ratio(images: np.ndarray, phases: int, reach: int) -> tuple[float, list[str]]:
    """Ratio of lengths along y and x, 1 where it may be chance.

    Parameters
    ----------
    images : np.ndarray
        (N, Y, X) phases from 0.
    phases : int
        Number of phases.
    reach : int
        Largest lag, pixels.

    Returns
    -------
    ratio : float
        Along y over along x.
    notes : list of str
        What is made of it, in words; empty for an isotropic slice.
    """
    along_y: list[np.ndarray] = []
    along_x: list[np.ndarray] = []
    lags = np.arange(reach + 1)
    for phase in range(phases):
        mask = (images == phase).astype(np.float32)
        share = float(mask.mean())
        scale = max(share * (1 - share), 1e-9)
        for curves, axis in ((along_y, 1), (along_x, 2)):
            size = mask.shape[axis]
            means = [
                float((np.take(mask, range(lag, size), axis) * np.take(mask, range(size - lag), axis)).mean())
                for lag in lags
            ]
            curves.append((np.array(means) - share**2) / scale * np.sqrt(scale))
    apart: list[float] = []
    for ratio in _RATIOS:  # curves as if the image were stretched back along both axes
        back = np.sqrt(ratio)
        end = reach / max(back, 1 / back)
        where = lags[lags <= end]
        apart.append(
            sum(
                float(np.mean((np.interp(where * back, lags, y) - np.interp(where / back, lags, x)) ** 2))
                for y, x in zip(along_y, along_x, strict=True)
            )
        )
    ratio = float(_RATIOS[int(np.argmin(apart))])
    if max(ratio, 1 / ratio) < _ALIKE:
        return 1.0, []
    note = (
        f"features of the slice are {ratio:.2f} times as long along y as along x: the volume is stretched alike; along "
        "z, which a slice cannot show, lengths are the geometric mean of both (give stretch for others)"
    )
    return ratio, [note]
