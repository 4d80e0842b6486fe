"""How far two images of the same place are displaced against one another."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

_SMOOTH = 2.0  # px: noise has no displacement
_SURE = 8.0  # peak of the correlation, in standard deviations of it elsewhere
FAR = 6.0  # px: beyond what networks are trained on


def displacement(one: np.ndarray, other: np.ndarray) -> tuple[float, float] | None:
    """Displacement of one image against another by a detector of other contrast, in whole pixels.

    Their edges are compared: the cross correlation of the gradients' magnitudes, whitened in part (Kuglin and Hines
    1975, with the square root of the amplitudes in place of the amplitudes, which noise upsets less).

    Parameters
    ----------
    one, other : np.ndarray
        (Y, X) grey values of one size.

    Returns
    -------
    (float, float) or None
        Rows and columns by which ``one`` is displaced downwards and to the right; None where the correlation has no
        clear peak.
    """
    from scipy import ndimage

    edges = []
    for plane in (one, other):
        grey = np.asarray(plane, np.float32)
        magnitude = ndimage.gaussian_gradient_magnitude(grey, _SMOOTH)
        magnitude = np.minimum(magnitude, np.percentile(magnitude, 99))  # a charged spot is no edge
        window = np.outer(*(np.hanning(size) for size in grey.shape))
        edges.append((magnitude - magnitude.mean()) * window)
    product = np.fft.rfft2(edges[0]) * np.conj(np.fft.rfft2(edges[1]))
    found = np.fft.irfft2(product / np.sqrt(np.abs(product) + 1e-12), s=edges[0].shape)
    rows, columns = (np.r_[0 : size // 4 + 1, -(size // 4) : 0] for size in found.shape)
    near = found[np.ix_(rows, columns)]
    if near.max() < _SURE * found.std():
        return None
    y, x = np.unravel_index(near.argmax(), near.shape)
    return float(rows[y]), float(columns[x])


def registered(
    images: Mapping[str, np.ndarray], reference: str
) -> tuple[dict[str, np.ndarray], dict[str, tuple[float, float] | None]]:
    """Images of several detectors, each moved onto that of the reference.

    Parameters
    ----------
    images : mapping of str to np.ndarray
        Detector -> (Y, X), of one size.
    reference : str
        The detector that stays; where it is not among them nothing is moved.

    Returns
    -------
    images : dict
        Moved by whole pixels; what lies outside is mirrored in.
    displacements : dict
        Of each other detector, as `displacement` found it.
    """
    moved = dict(images)
    found: dict[str, tuple[float, float] | None] = {}
    for name, plane in images.items():
        if name == reference or reference not in images:
            continue
        found[name] = shift = displacement(plane, images[reference])
        if shift is not None:
            moved[name] = moved_back(plane, shift)
    return moved, found


def moved_back(plane: np.ndarray, shift: tuple[float, float]) -> np.ndarray:
    """Move an image back by a displacement; what lies outside is mirrored in.

    Parameters
    ----------
    plane : np.ndarray
        (Y, X) or (Y, X, 3).
    shift : (float, float)
        Rows and columns, whole numbers, by which it lies too far down and to the right.

    Returns
    -------
    np.ndarray
        Of the same shape and dtype.
    """
    y, x = (int(value) for value in shift)
    reach = max(abs(y), abs(x))
    padded = np.pad(plane, [(reach, reach)] * 2 + [(0, 0)] * (plane.ndim - 2), mode="reflect")
    height, width = plane.shape[:2]
    return padded[reach + y : reach + y + height, reach + x : reach + x + width]
