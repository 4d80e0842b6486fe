"""Principal components of a ViT's tokens: its hundreds of channels in a few, by the numbers of one image.

The components are unsupervised: they are the directions in which the tokens of the first image seen vary most, whether
or not the classes differ along them. No label takes part.

A basis is an array, float32 ``(K + 1) x C``, that a saved classifier holds, so that every other image is projected with
the same numbers. Row 0 is the mean of the C channels, rows 1 to K are the components, each of length 1 and with its
largest entry (in absolute value) positive. They are not scaled: a forest's splits do not change with the scale of a
channel.
"""

from __future__ import annotations

import numpy as np

from fijibridge.core.errors import FeatureMismatchError, SettingsError


def fit_basis(tokens: np.ndarray, channels: int) -> np.ndarray:
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
    ndarray, float32, shape (K + 1, C)
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
    return np.ascontiguousarray(np.vstack([mean, components]), dtype=np.float32)


def check_basis(basis: np.ndarray, channels: int) -> None:
    """Refuse what is no basis of so many components.

    Parameters
    ----------
    basis : ndarray
    channels : int
        Its number of components, K.

    Raises
    ------
    SettingsError
    """
    fits = basis.ndim == 2 and basis.dtype == np.float32 and len(basis) == channels + 1 and basis.shape[1] > 0
    if not fits or not channels or not np.isfinite(basis).all():
        raise SettingsError(
            f"a basis {basis.dtype} {basis.shape} that is not that of channels = {channels} principal components",
            expected=f"the mean and the components, finite float32 ({channels + 1}, channels of the ViT)",
            remedy="restore the classifier's folder, or train it anew",
        )


def project(tokens: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Tokens along the components of a basis.

    Projection and bilinear interpolation are both linear, so that the few channels may be brought from the patch grid
    to pixels in place of the many.

    Parameters
    ----------
    tokens : ndarray, float32, shape (gy, gx, C)
    basis : ndarray, float32, shape (K + 1, C)
        By :func:`fit_basis`, of these or of other tokens.

    Returns
    -------
    ndarray, float32, shape (gy, gx, K)

    Raises
    ------
    FeatureMismatchError
        The basis is one of another number of channels.
    """
    mean, components = basis[0], basis[1:]
    if mean.size != tokens.shape[2]:
        raise FeatureMismatchError(
            f"principal components of {mean.size} ViT channels",
            expected=f"those of the encoder's {tokens.shape[2]}",
            remedy="use the encoder and the blocks that the components were made with",
        )
    projected = np.empty((*tokens.shape[:2], len(components)), np.float32)
    for row, out in zip(tokens, projected, strict=True):
        out[:] = (row - mean) @ components.T
    return projected


def component_names(channels: int, scale: str = "") -> tuple[str, ...]:
    """Names of the components: ``vit_pca_000``, ... (no dots: TWS parses names with sigmas).

    Parameters
    ----------
    channels : int
    scale : str
        ``"h"``: of the coarse scale, ``vit_pcah_000``.
    """
    return tuple(f"vit_pca{scale}_{k:03d}" for k in range(channels))
