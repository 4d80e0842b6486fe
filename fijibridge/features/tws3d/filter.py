"""What a filter of TWS's 3D bank is: the features it makes, how far it looks, and its values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import numpy as np

    from fijibridge.features.tws3d.settings import Factors, Tws3dSettings
    from fijibridge.features.tws3d.window import Window3d


class Filter3d(ABC):
    """One kind of features of TWS 4.0's ``FeatureStack3D``, under its attribute names; base class.

    A new kind is a class in ``features/tws3d/filters/`` and a line in
    :data:`fijibridge.features.tws3d.filter_registry.FILTERS_3D`.

    Attributes
    ----------
    name : str
        How TWS's attribute names of this kind begin; a box of TWS's settings.
    """

    name: ClassVar[str]

    @abstractmethod
    def names(self, settings: Tws3dSettings, sigma: float) -> tuple[str, ...]:
        """Its attribute names at a sigma, in TWS's order.

        Parameters
        ----------
        settings : Tws3dSettings
        sigma : float
        """

    def sigmas_in(self, name: str) -> tuple[float, ...]:
        """The sigmas that one of its attribute names holds: by default all numbers with a point, as TWS reads them.

        Parameters
        ----------
        name : str

        Raises
        ------
        ValueError, IndexError
            Not a name of this filter.
        """
        return tuple(float(part) for part in name.split("_") if "." in part)

    @abstractmethod
    def reach(self, settings: Tws3dSettings, sigma: float, factors: Factors) -> tuple[int, int, int]:
        """How many voxels along z, y and x around a voxel its features depend on.

        Parameters
        ----------
        settings, sigma
            As of :meth:`names`.
        factors : (float, float, float)
            Of sigma along z, y and x; see :func:`fijibridge.features.tws3d.bank.factors_of`.
        """

    @abstractmethod
    def fill(self, window: Window3d, sigma: float, values: np.ndarray) -> None:
        """Make its features of the window's block: the very numbers that the whole volume has there.

        Parameters
        ----------
        window : Window3d
            At least :meth:`reach` voxels around the block.
        sigma : float
        values : ndarray, float32, shape (len(names), d, h, w)
            Filled in place; C-contiguous.
        """
