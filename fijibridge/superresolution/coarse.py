"""The coarse volume: which phases it shows, as labels, probabilities or grey values, checked before hours of work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fijibridge.core.errors import ImageError, LabelsError, SettingsError

if TYPE_CHECKING:
    from fijibridge.phases.phases import Phases

FACTORS = (2, 4, 8)
_SIZES_AGREE = 0.05  # relative error of the factor that the pixel sizes give
_SMALLEST = 4  # coarse voxels a side


@dataclass(frozen=True, eq=False)
class Coarse:
    """A coarse volume and what it shows.

    Parameters
    ----------
    kind : str
        "labels", "probabilities" or "grey".
    values : np.ndarray
        labels: (Z, Y, X) uint8, the number of the group; probabilities: (G, Z, Y, X) float32 that sum to 1; grey:
        (Z, Y, X) float32.
    groups : tuple of tuple of int
        Phases (indices of the slices' list) that it does not distinguish: each visible phase alone, in this order, and
        last those that it does not show, where there are any.
    labels : np.ndarray
        (Z, Y, X) uint8: the most likely group everywhere.
    spacing : float
        Size of a coarse voxel; NaN where the file does not say.
    unit : str
        Of the spacing.
    """

    kind: str
    values: np.ndarray
    groups: tuple[tuple[int, ...], ...]
    labels: np.ndarray
    spacing: float = float("nan")
    unit: str = "px"

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Z, Y, X) in coarse voxels."""
        return self.labels.shape

    @property
    def fractions(self) -> np.ndarray:
        """(G,) share of each group."""
        if self.kind == "probabilities":
            return self.values.mean((1, 2, 3), dtype=np.float64)
        return np.bincount(self.labels.ravel(), minlength=len(self.groups)) / self.labels.size


def groups_of(slices: Phases, visible: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """Groups of phases that a coarse volume distinguishes.

    Parameters
    ----------
    slices : Phases
        A fine slice with all phases.
    visible : sequence of str
        Names of those that the coarse volume shows.

    Raises
    ------
    LabelsError
        None, one twice, or one that the slices lack.
    """
    have = ", ".join(slices.names)
    missing = [name for name in visible if name not in slices.names]
    if missing or not visible or len(set(visible)) < len(visible):
        found = "the same visible phase twice" if visible else "no visible phase is named"
        found = f"visible phase {missing[0]!r}, which the slices lack" if missing else found
        raise LabelsError(
            found,
            expected=f"one or more of the slices' phases: {have}",
            remedy="name the phases that the coarse volume shows as the slices call them (--classes names those)",
        )
    seen = [slices.names.index(name) for name in visible]
    unseen = tuple(place for place in range(len(slices)) if place not in seen)
    return tuple((place,) for place in seen) + ((unseen,) if unseen else ())


def coarse_labels(volume: Phases, slices: Phases, visible: Sequence[str]) -> Coarse:
    """A segmented coarse volume.

    A visible phase is that of the same name, or else of the same value, as in the slices; all other values are phases
    that are not distinguished.

    Parameters
    ----------
    volume : Phases
        (Z, Y, X).
    slices : Phases
        A fine slice with all phases.
    visible : sequence of str
        Names of the phases that the volume shows.

    Raises
    ------
    ImageError
        Not a volume, too small, a background, or voxels that are no cubes.
    LabelsError
        A visible phase that is not found, one phase only, or no phase left for other values.
    """
    groups = groups_of(slices, visible)
    _check_volume(volume.index.shape, volume.ndim)
    if volume.inside is not None:
        raise ImageError(
            "a coarse volume with a background", expected="a phase at every voxel", remedy="crop it to the sample"
        )
    if len(volume) < 2:
        raise LabelsError(
            f"the coarse volume has one phase only ({volume.names[0]})",
            expected="two or more: the visible phases and the rest",
            remedy="check its segmentation; a volume of one phase constrains nothing",
        )
    places = []
    for name in visible:
        value = slices.values[slices.names.index(name)]
        if name in volume.names:
            places.append(volume.names.index(name))
        elif value in volume.values:
            places.append(volume.values.index(value))
        else:
            known = ", ".join(f"{name} ({value})" for name, value in zip(volume.names, volume.values, strict=True))
            raise LabelsError(
                f"no phase {name} ({value}) in the coarse volume, which has {known}",
                expected="the name or the value that the slices have",
                remedy="name the coarse volume's values in their order (--coarse-classes rest,CAM)",
            )
    others = [place for place in range(len(volume)) if place not in places]
    if len(set(places)) < len(places):
        raise LabelsError(
            "two visible phases with the same coarse value",
            expected="a value each",
            remedy="name the coarse volume's values (--coarse-classes)",
        )
    if bool(others) != (len(groups) > len(visible)):
        rest = ", ".join(volume.names[place] for place in others)
        raise LabelsError(
            f"values of no visible phase ({rest}), though the slices' phases are all visible"
            if others
            else "no value is left for the phases that the coarse volume does not show",
            expected="every coarse value a visible phase, or one or more for those that are not distinguished",
            remedy="check the list of visible phases",
        )
    table = np.full(256, len(groups) - 1, np.uint8)
    for group, place in enumerate(places):
        table[place] = group
    labels = table[volume.index]
    return Coarse("labels", labels, groups, labels, *_cube(volume.spacing, volume.unit))


def coarse_probabilities(
    values: Any,
    slices: Phases,
    visible: Sequence[str],
    *,
    spacing: Sequence[float] = (float("nan"),) * 3,
    unit: str = "px",
) -> Coarse:
    """A coarse volume of probabilities, or of the fraction of each voxel that a phase fills.

    Parameters
    ----------
    values : array_like
        (Z, Y, X), or (V, Z, Y, X) for several visible phases: 0 to 1; what is missing to 1 is the rest.
    slices : Phases
        A fine slice with all phases.
    visible : sequence of str
        Names of the V phases.
    spacing, unit : sequence of float, str
        (z, y, x) of a voxel.

    Raises
    ------
    ImageError
        Another shape, or values outside 0 ... 1.
    LabelsError
        As `groups_of`, or the same values everywhere.
    """
    groups = groups_of(slices, visible)
    array = np.asarray(values, np.float32)
    array = array[None] if array.ndim == 3 else array
    if array.ndim != 4 or len(array) != len(visible):
        raise ImageError(
            f"probabilities of shape {np.shape(values)} for {len(visible)} visible phase(s)",
            expected="(Z, Y, X), or a channel for each visible phase",
            remedy="give the phases in the order of the channels",
        )
    _check_volume(array.shape[1:], 3)
    total = array.sum(0)
    if not np.isfinite(array).all() or array.min() < -1e-3 or total.max() > 1 + 1e-3:
        raise ImageError(
            f"probabilities from {array.min():g} to {array.max():g}, sums up to {total.max():g}",
            expected="fractions from 0 to 1 whose sum is at most 1",
            remedy="divide them by their largest possible value, or say that they are grey values (--coarse-as grey)",
        )
    if float(np.ptp(array)) < 1e-6:
        raise _constant()
    rest = np.clip(1 - total, 0, 1)
    array = np.concatenate([array, rest[None]]) if len(groups) > len(visible) else array
    array = np.clip(array, 0, 1) / np.maximum(array.sum(0), 1e-6)
    return Coarse("probabilities", array, groups, array.argmax(0).astype(np.uint8), *_cube(spacing, unit))


def coarse_grey(
    values: Any,
    slices: Phases,
    visible: Sequence[str],
    *,
    spacing: Sequence[float] = (float("nan"),) * 3,
    unit: str = "px",
) -> Coarse:
    """A grey CT. Its first labels are those of multi-Otsu: the rest is darkest, then the visible phases in their order.

    Parameters
    ----------
    values : array_like
        (Z, Y, X).
    slices : Phases
        A fine slice with all phases.
    visible : sequence of str
        Names of the phases with an intensity of their own, from dark to bright.
    spacing, unit : sequence of float, str
        (z, y, x) of a voxel.

    Raises
    ------
    ImageError
        Not (Z, Y, X), values that are not finite, or too few of them.
    LabelsError
        As `groups_of`, or the same value everywhere.
    """
    from skimage.filters import threshold_multiotsu

    groups = groups_of(slices, visible)
    array = np.asarray(values, np.float32)
    _check_volume(array.shape, array.ndim)
    if not np.isfinite(array).all():
        raise ImageError("grey values that are not finite", expected="numbers", remedy="repair the volume first")
    if float(np.ptp(array)) == 0:
        raise _constant()
    try:
        thresholds = threshold_multiotsu(array, classes=len(groups))
    except ValueError as error:
        raise ImageError(
            f"fewer grey values than {len(groups)} groups of phases",
            expected="a CT whose visible phases differ in grey",
            remedy="say that it holds labels (--coarse-as labels)",
        ) from error
    order = np.digitize(array, thresholds)
    labels = (order - 1 if len(groups) > len(visible) else order) % len(groups)
    return Coarse("grey", array, groups, labels.astype(np.uint8), *_cube(spacing, unit))


def check_factor(factor: int, coarse: Coarse, slices: Phases) -> int:
    """The factor, or where it is 0 that of the pixel sizes.

    Parameters
    ----------
    factor : int
        Fine voxels along a coarse one, or 0.
    coarse : Coarse
        The coarse volume.
    slices : Phases
        A fine slice.

    Returns
    -------
    int
        2, 4 or 8.

    Raises
    ------
    SettingsError
        Not 2, 4 or 8; sizes that contradict it; or no factor and no sizes.
    """
    fine = slices.spacing[2]
    known = slices.unit != "px" and coarse.unit == slices.unit and np.isfinite(coarse.spacing)
    ratio = coarse.spacing / fine if known else float("nan")
    if factor == 0:
        if not known:
            raise SettingsError(
                "no factor, and no pixel sizes of both files in one unit",
                expected="the number of fine voxels along a coarse one: 2, 4 or 8",
                remedy="give the factor (--factor 4)",
            )
        nearest = min(FACTORS, key=lambda each: abs(np.log(each / ratio)))
        if abs(nearest / ratio - 1) > _SIZES_AGREE:
            raise SettingsError(
                f"voxels of {coarse.spacing:g} {coarse.unit} and pixels of {fine:g}: a factor of {ratio:.3g}",
                expected="2, 4 or 8 times as large",
                remedy="scale the slices in Fiji (Image > Scale...) to one of these",
            )
        return nearest
    if factor not in FACTORS:
        raise SettingsError(f"factor {factor}", expected="2, 4 or 8", remedy="choose one of them")
    if known and abs(factor / ratio - 1) > _SIZES_AGREE:
        raise SettingsError(
            f"factor {factor}, but voxels of {coarse.spacing:g} {coarse.unit} and pixels of {fine:g}: {ratio:.3g}",
            expected="a factor that the pixel sizes give",
            remedy="correct the factor, or the pixel sizes in Fiji (Image > Properties...)",
        )
    return factor


def _check_volume(shape: tuple[int, ...], ndim: int) -> None:
    if ndim != 3 or min(shape) < _SMALLEST:
        raise ImageError(
            f"a coarse volume of shape {tuple(shape)}",
            expected=f"(Z, Y, X) with at least {_SMALLEST} voxels along each axis",
            remedy="give a stack in one channel",
        )


def _constant() -> LabelsError:
    return LabelsError(
        "a coarse volume with the same value everywhere",
        expected="two phases or more",
        remedy="check the file; a volume of one phase constrains nothing",
    )


def _cube(spacing: Sequence[float], unit: str) -> tuple[float, str]:
    z, y, x = spacing
    if np.isfinite(x) and max(abs(z - x), abs(y - x)) > 1e-3 * x:
        raise ImageError(
            f"coarse voxels of {z:g} x {y:g} x {x:g} {unit}",
            expected="cubes",
            remedy="scale the volume in Fiji (Image > Scale...) first",
        )
    return float(x), unit
