"""Which of TWS's filters at which sigmas made some features: from their names and the name of their data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from fijibridge.core.errors import FeatureMismatchError, SettingsError
from fijibridge.core.params import Param

if TYPE_CHECKING:
    from fijibridge.features.source import SourceSettings
    from fijibridge.features.tws.settings import TwsSettings

Dimensions = Annotated[
    Literal["auto", "2d", "3d"],
    Param("what a .model of TWS was trained on, slices or volumes, where it does not say", group="Features"),
]

_HSB = ("Hue", "Saturation", "Brightness")
_OURS = ("vit_", "z_", "linear_", "det_", "network_")  # how features of fijibridge's own are called
_OLD = "segment"  # how TWS called its data before 3.2.25


def settings_from_names(
    names: Sequence[str],
    relation: str = "",
    *,
    dimensions: Dimensions = "auto",
    where: str = "the classifier",
    ours: str = "give what says how fijibridge made these features: features.json, or the classifier's folder",
) -> SourceSettings:
    """Settings of the source that makes features of these names, as TWS itself derives them.

    Parameters
    ----------
    names : sequence of str
        Attribute names without the class, such as ``Gaussian_blur_4.0``.
    relation : str
        Name of the data set, such as ``TWS-2D-v4.0.0-grayscale``: says whether they are of slices or volumes, grey or
        RGB. Before TWS 3.2.25 it was ``segment``, which does not say.
    dimensions : {"auto", "2d", "3d"}
        Needed where neither names nor relation say it.
    where : str
        What has the features, for messages.
    ours : str
        The remedy where features are fijibridge's own, which their names do not describe.

    Returns
    -------
    TwsSettings or Tws3dSettings
        Its features hold all the names, and perhaps others.

    Raises
    ------
    FeatureMismatchError
        Features that TWS does not have, which are named, or names from which the dimensions cannot be told.
    """
    of_2d, of_3d = (_candidate(make, names, relation) for make in (_settings_2d, _settings_3d))
    if dimensions == "auto":
        dimensions = _dimensions(relation, of_2d, of_3d, where)
    found, unknown = of_3d if dimensions == "3d" else of_2d
    if found is None or unknown:
        raise _unknown(unknown, names, where, dimensions, ours)
    return found


_Candidate = tuple["SourceSettings | None", list[str]]


def _candidate(
    make: Callable[[Sequence[str], str], tuple[SourceSettings, Iterable[str]] | None],
    names: Sequence[str],
    relation: str,
) -> _Candidate:
    """Settings, and the names that they do not make."""
    try:
        found = make(names, relation)
    except SettingsError:  # a number in a name that TWS would not take
        found = None
    if found is None:
        return None, list(names)
    settings, made = found
    known = set(made)
    return settings, [name for name in names if name not in known]


def _dimensions(relation: str, of_2d: _Candidate, of_3d: _Candidate, where: str) -> Dimensions:
    for said in ("2D", "3D"):
        if f"-{said}-" in f"-{relation}-":
            return "2d" if said == "2D" else "3d"
    fits_2d, fits_3d = (found is not None and not unknown for found, unknown in (of_2d, of_3d))
    if fits_2d and fits_3d:
        raise FeatureMismatchError(
            f"{where} was trained on features that TWS has for slices and for volumes, and its data set, "
            f"{relation or 'without a name'}, does not say which",
            expected="one of the two",
            remedy="say --dimensions 2d for a model of Trainable Weka Segmentation, 3d for one of its 3D version "
            "(dimensions=... in Python)",
        )
    return "3d" if fits_3d else "2d"


def _unknown(
    unknown: Sequence[str], names: Sequence[str], where: str, dimensions: str, ours: str
) -> FeatureMismatchError:
    few = ", ".join(unknown[:4]) + (f" and {len(unknown) - 4} more" if len(unknown) > 4 else "")
    remedy = "train again with the features of a TWS of version 3 or 4; for a model of fijibridge give its folder"
    if any(name.startswith(_OURS) for name in unknown):
        remedy = ours
    return FeatureMismatchError(
        f"{where} was trained on {len(names)} features, of which {len(unknown)} are not TWS's in {dimensions.upper()}: "
        f"{few}",
        expected="features of Trainable Weka Segmentation, under its names",
        remedy=remedy,
    )


def _kind(name: str, filters: Iterable[str]) -> str:
    """Which filter made a feature; of names that begin alike the longest is meant."""
    return max((one for one in filters if name.startswith(one)), key=len, default="")


def _settings_2d(names: Sequence[str], relation: str) -> tuple[TwsSettings, tuple[str, ...]] | None:
    from fijibridge.features.tws.bank import ORIGINAL, feature_names
    from fijibridge.features.tws.filter_registry import FILTERS
    from fijibridge.features.tws.settings import TwsSettings

    values: dict[str, object] = {
        "colour": "RGB" in relation or any(name in names for name in _HSB),
        "old_hessian": relation.startswith(_OLD),
    }
    used: set[str] = set()
    sigmas: set[float] = set()
    cut: set[float] = set()
    for name in names:
        kind = _kind(name, FILTERS)
        if not kind:
            continue
        used.add(kind)
        try:
            one = FILTERS[kind]()
            found, further = one.chosen(name)
        except (ValueError, IndexError):
            continue  # said to be unknown, since no settings make it
        (cut if one.cuts_sigma else sigmas).update(found)
        values |= further
    if sigmas := {sigma for sigma in sigmas or cut if sigma > 0}:
        values |= {"min_sigma": min(sigmas), "max_sigma": max(sigmas)}
    if not used and ORIGINAL not in names:
        return None
    settings = TwsSettings(filters=tuple(used), **values)  # type: ignore[arg-type]
    return settings, feature_names(settings)


def _settings_3d(names: Sequence[str], relation: str) -> tuple[SourceSettings, tuple[str, ...]] | None:
    from fijibridge.features.tws3d.bank import feature_names_3d
    from fijibridge.features.tws3d.filter_registry import FILTERS_3D
    from fijibridge.features.tws3d.settings import Tws3dSettings

    used: set[str] = set()
    sigmas: set[float] = set()
    for name in names:
        kind = _kind(name, FILTERS_3D)
        if not kind:
            continue
        used.add(kind)
        with suppress(ValueError, IndexError):  # then it is said to be unknown, since no settings make it
            sigmas |= {sigma for sigma in FILTERS_3D[kind]().sigmas_in(name) if sigma > 0}
    if not used:
        return None
    settings = Tws3dSettings(filters=tuple(used), colour="RGB" in relation)
    if sigmas:
        settings = replace(settings, min_sigma=min(sigmas), max_sigma=max(sigmas))
    return settings, feature_names_3d(settings)
