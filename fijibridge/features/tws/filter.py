"""What a filter of Trainable Weka Segmentation's bank is: the features it makes, how far it looks, and its planes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    import numpy as np

    from fijibridge.features.tws.settings import TwsSettings
    from fijibridge.features.tws.window import Window


class Filter(ABC):
    """One kind of features of TWS 4.0, under its attribute names; base class.

    A new kind is a file in ``features/tws/filters/`` and a line in `FILTERS` of ``filter_registry.py``.

    Attributes
    ----------
    name : str
        How TWS's attribute names of this kind begin; a box of TWS's settings.
    place : {"first", "sigma", "last"}
        Where its features stand in TWS's stack: before those of the sigmas, among them, or behind them.
    at_zero : bool
        Whether it also sees the image itself, as sigma 0. TWS does that where the smallest sigma is below 2.
    cuts_sigma : bool
        Whether its names hold sigmas cut to whole numbers; those in other names say more.
    """

    name: ClassVar[str]
    place: ClassVar[Literal["first", "sigma", "last"]] = "sigma"
    at_zero: ClassVar[bool] = False
    cuts_sigma: ClassVar[bool] = False

    @abstractmethod
    def names(self, settings: TwsSettings, sigma: float) -> tuple[str, ...]:
        """Its attribute names at a sigma, in TWS's order.

        Parameters
        ----------
        settings : TwsSettings
        sigma : float
            TWS's; 0 for a filter that is not made at sigmas.
        """

    def chosen(self, name: str) -> tuple[tuple[float, ...], dict[str, int]]:
        """What one of its attribute names says of the settings.

        Parameters
        ----------
        name : str
            Begins with :attr:`name`.

        Returns
        -------
        sigmas : tuple of float
            That the name holds: by default all numbers with a point, as TWS reads them.
        further : dict
            Other fields of TwsSettings.

        Raises
        ------
        ValueError, IndexError
            Not a name of this filter.
        """
        return tuple(float(part) for part in name.split("_") if "." in part), {}

    @abstractmethod
    def reach(self, settings: TwsSettings, sigma: float) -> int | None:
        """How many pixels around a pixel its features depend on; None: on the whole image.

        Parameters
        ----------
        settings, sigma
            As of :meth:`names`.
        """

    @abstractmethod
    def fill(self, window: Window, sigma: float, planes: np.ndarray) -> None:
        """Make its features of the window's block.

        They hold the very numbers that the whole image has there, whatever the block: sums are in an order that does
        not depend on where the block begins.

        Parameters
        ----------
        window : Window
            At least :meth:`reach` pixels around the block; the whole image where that is None.
        sigma : float
        planes : ndarray, float32, shape (len(names), h, w)
            Filled in place; C-contiguous.
        """
