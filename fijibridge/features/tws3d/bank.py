"""The 3D filter bank of Trainable Weka Segmentation 4.0: its filters, and in which order their features stand."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from fijibridge.core.errors import SettingsError
from fijibridge.features.tws.bank import ORIGINAL
from fijibridge.features.tws3d.filter_registry import FILTERS_3D

if TYPE_CHECKING:
    from fijibridge.features.tws3d.filter import Filter3d
    from fijibridge.features.tws3d.settings import Factors, Scaling, Tws3dSettings


class Step3d(NamedTuple):
    """A filter at a sigma.

    Parameters
    ----------
    filter : Filter3d
    sigma : float
    names : tuple of str
        Of the features that it makes; none where there is no smaller sigma to compare with.
    """

    filter: Filter3d
    sigma: float
    names: tuple[str, ...]


@lru_cache(64)
def steps_3d(settings: Tws3dSettings) -> tuple[Step3d, ...]:
    """Filters and sigmas in the order of TWS's 3D feature stack, which begins with the volume itself, ``original``.

    Parameters
    ----------
    settings : Tws3dSettings
    """
    filters = [FILTERS_3D[name]() for name in settings.filters]
    return tuple(Step3d(one, sigma, one.names(settings, sigma)) for sigma in settings.sigmas for one in filters)


@lru_cache(64)
def feature_names_3d(settings: Tws3dSettings) -> tuple[str, ...]:
    """TWS's attribute names of a grey volume, in its order.

    Parameters
    ----------
    settings : Tws3dSettings
    """
    return (ORIGINAL, *(name for step in steps_3d(settings) for name in step.names))


def factors_of(voxel_size: tuple[float, float, float], scaling: Scaling) -> Factors:
    """What a sigma in pixels along x is multiplied with along z, y and x: TWS's ``scaleFactor``.

    Parameters
    ----------
    voxel_size : (float, float, float)
        Along z, y and x, in any unit of length.
    scaling : {"tws", "isotropic", "none"}

    Raises
    ------
    SettingsError
        A size that is not above 0.
    """
    if len(voxel_size) != 3 or not all(0 < size < float("inf") for size in voxel_size):
        raise SettingsError(
            f"voxel size {voxel_size}",
            expected="three lengths above 0, along z, y and x",
            remedy="give (1, 1, 1) where the size is not known",
        )
    if scaling == "none":
        return 1.0, 1.0, 1.0
    z, y, x = voxel_size
    return x / z, x / y, 1.0


def reach_3d(settings: Tws3dSettings, factors: Factors) -> tuple[int, int, int]:
    """How many voxels along z, y and x around a block its features depend on.

    Parameters
    ----------
    settings : Tws3dSettings
    factors : (float, float, float)
        Of :func:`factors_of`.
    """
    reaches = [(0, 0, 0), *(step.filter.reach(settings, step.sigma, factors) for step in steps_3d(settings))]
    z, y, x = (max(axis) for axis in zip(*reaches, strict=True))
    return z, y, x
