"""The filter bank of Trainable Weka Segmentation 4.0: its filters, and in which order their features stand."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from fijibridge.features.tws.filter_registry import FILTERS, OF_COLOURS

if TYPE_CHECKING:
    from fijibridge.features.tws.filter import Filter
    from fijibridge.features.tws.settings import TwsSettings

ORIGINAL = "original"
_BEFORE_COLOURS = ("Gabor", "Anisotropic_diffusion")  # of those that stand first, the ones before hue


class Step(NamedTuple):
    """A filter at a sigma.

    Parameters
    ----------
    filter : Filter
    sigma : float
        0 for a filter that is not made at sigmas, or for the unblurred image.
    names : tuple of str
        Of the features that it makes.
    reach : int or None
        Pixels around a pixel that they depend on; None: the whole image.
    """

    filter: Filter
    sigma: float
    names: tuple[str, ...]
    reach: int | None


@lru_cache(64)
def steps_of(settings: TwsSettings) -> tuple[Step, ...]:
    """Filters and sigmas in the order of TWS's feature stack, which begins with the image itself, ``original``.

    Parameters
    ----------
    settings : TwsSettings
    """
    filters = [FILTERS[name]() for name in settings.filters]
    if settings.colour:
        before = sum(name in _BEFORE_COLOURS for name in settings.filters)
        filters[before:before] = [OF_COLOURS[name]() for name in OF_COLOURS]
    return tuple(
        Step(one, sigma, one.names(settings, sigma), one.reach(settings, sigma))
        for one, sigma in _in_order(filters, settings)
    )


def _in_order(filters: list[Filter], settings: TwsSettings) -> Iterator[tuple[Filter, float]]:
    yield from ((one, 0.0) for one in filters if one.place == "first")
    if settings.min_sigma < 2:  # TWS's rule
        yield from ((one, 0.0) for one in filters if one.at_zero)
    for sigma in settings.sigmas:
        yield from ((one, sigma) for one in filters if one.place == "sigma")
    yield from ((one, 0.0) for one in filters if one.place == "last")


@lru_cache(64)
def feature_names(settings: TwsSettings) -> tuple[str, ...]:
    """TWS's attribute names, in its order.

    Parameters
    ----------
    settings : TwsSettings
    """
    return (ORIGINAL, *(name for step in steps_of(settings) for name in step.names))
