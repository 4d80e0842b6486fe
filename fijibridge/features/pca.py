"""Principal components of a ViT's tokens: its hundreds of channels in a few, by the numbers of one image.

The components are unsupervised: they are the directions in which the tokens of the first image seen vary most, whether
or not the classes differ along them. No label takes part.

A basis is kept in the recipe as text, so that a saved classifier projects every other image with the same numbers:
base64 (RFC 4648) of little-endian float32, ``(K + 1) x C`` in row order. Row 0 is the mean of the C channels, rows 1
to K are the components, each of length 1 and with its largest entry (in absolute value) positive. They are not scaled:
a forest's splits do not change with the scale of a channel.
"""

from __future__ import annotations

import base64

import numpy as np

from fijibridge.errors import FeatureMismatchError, SettingsError


def fit_basis(tokens: np.ndarray, channels: int) -> str:
    """The first principal components of tokens.

    With ``S`` the covariance of the tokens over the patch grid, the components are its eigenvectors of the ``K``
    largest eigenvalues.

    Parameters
    ----------
    tokens : ndarray, float32, shape (gy, gx, C)
        On the patch grid.
    channels : int
        ``K``, the number of components.

    Returns
    -------
    str
        The basis, see the top of this file.

    Raises
    ------
    SettingsError
        More components than the tokens have channels, or than the image has patches less one (n patches span n - 1
        directions about their mean).
    """
    rows, cols, width = tokens.shape
    most = min(width, rows * cols - 1)
    if channels > most:
        raise SettingsError(
            f"channels = {channels} principal components of {rows * cols} patches with {width} channels",
            expected=f"{most} at most" + (": patches of this image less one" if most < width else ""),
            remedy="keep fewer channels, begin with a larger image, or raise the enlargement",
        )
    mean = tokens.mean(axis=(0, 1), dtype=np.float64)
    covariance = np.zeros((width, width))
    for row in tokens:  # a row at a time: the tokens of a large image take half a gigabyte
        centred = row - mean
        covariance += centred.T @ centred
    _, vectors = np.linalg.eigh(covariance)  # in rising order
    components = vectors[:, ::-1][:, :channels].T
    # an eigenvector may point either way; this one does not depend on the machine
    largest = np.abs(components).argmax(axis=1)
    components = components * np.sign(components[np.arange(channels), largest])[:, None]
    return base64.b64encode(np.vstack([mean, components]).astype("<f4").tobytes()).decode("ascii")


def read_basis(basis: str, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and components of a basis.

    Parameters
    ----------
    basis : str
        By :func:`fit_basis`.
    channels : int
        Its number of components, K.

    Returns
    -------
    mean : ndarray, float32, shape (C,)
    components : ndarray, float32, shape (K, C)

    Raises
    ------
    SettingsError
        Not a basis of so many components.
    """
    try:
        data = base64.b64decode(basis, validate=True)
    except ValueError:  # binascii's error and that of letters outside ASCII are both
        data = b""
    rows = np.frombuffer(data[: len(data) // 4 * 4], "<f4").astype(np.float32)
    if not data or len(data) % (4 * (channels + 1)) or not channels or not np.isfinite(rows).all():
        raise SettingsError(
            f"basis is not that of channels = {channels} principal components",
            expected="the mean and the components of an earlier recipe, with its number of channels",
            remedy="leave the basis out (it is made anew), or take the whole recipe of a saved classifier",
        )
    rows = rows.reshape(channels + 1, -1)
    return rows[0], rows[1:]


def project(tokens: np.ndarray, basis: str, channels: int) -> np.ndarray:
    """Tokens along the components of a basis.

    Projection and bilinear interpolation are both linear, so that the few channels may be brought from the patch grid
    to pixels in place of the many.

    Parameters
    ----------
    tokens : ndarray, float32, shape (gy, gx, C)
    basis : str
        By :func:`fit_basis`, of these or of other tokens.
    channels : int
        Its number of components, K.

    Returns
    -------
    ndarray, float32, shape (gy, gx, K)

    Raises
    ------
    FeatureMismatchError
        The basis is one of another number of channels.
    SettingsError
        Not a basis.
    """
    mean, components = read_basis(basis, channels)
    if mean.size != tokens.shape[2]:
        raise FeatureMismatchError(
            f"principal components of {mean.size} ViT channels",
            expected=f"those of the encoder's {tokens.shape[2]}",
            remedy="use the encoder and the blocks that the components were made with",
        )
    projected = np.empty((*tokens.shape[:2], channels), np.float32)
    for row, out in zip(tokens, projected, strict=True):
        out[:] = (row - mean) @ components.T
    return projected


def component_names(channels: int) -> tuple[str, ...]:
    """Names of the components: ``vit_pca_000``, ... (no dots: TWS parses names with sigmas)."""
    return tuple(f"vit_pca_{k:03d}" for k in range(channels))
