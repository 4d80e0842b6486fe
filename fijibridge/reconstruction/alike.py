"""Images and a volume under one list of phases, checked to be of one material."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fijibridge.core.errors import LabelsError, SettingsError
from fijibridge.phases.phases import OUTSIDE, Phases

# the volume's axes along the rows' and the columns' direction of a plane's images: (down, across)
PLANES = {"xy": ("y", "x"), "xz": ("z", "x"), "yz": ("z", "y")}


def check_alike(exemplars: Mapping[str, Sequence[Phases]], volume: Phases, lags: int) -> None:
    """Check that images and a volume can be compared.

    Parameters
    ----------
    exemplars : mapping of str to sequence of Phases
        Images of each plane.
    volume : Phases
        In 3D.
    lags : int
        Longest lag of the correlations, voxels.

    Raises
    ------
    SettingsError
        Unknown planes, other numbers of dimensions, other units or pixel sizes, lags below 1.
    """
    wrong = [plane for plane in exemplars if plane not in PLANES]
    if wrong or not exemplars or not all(exemplars.values()):
        raise SettingsError(
            f"exemplars of planes {', '.join(map(repr, wrong)) or '(none)'}",
            expected=f"one of {', '.join(PLANES)} at least",
            remedy="name the plane of each image; xy alone for isotropic material",
        )
    for what, phases, ndim in (
        ("volume", volume, 3),
        *((f"exemplar {p}", e, 2) for p, several in exemplars.items() for e in several),
    ):
        if phases.ndim != ndim:
            raise SettingsError(
                f"{what} in {phases.ndim}D", expected=f"{ndim}D", remedy="give images in 2D and a volume of slices"
            )
        if phases.unit != volume.unit:
            raise SettingsError(
                f"{what} in {phases.unit}, volume in {volume.unit}",
                expected="one unit",
                remedy="give pixel sizes in the same unit",
            )
    for plane, several in exemplars.items():
        sizes = {image.spacing[1:] for image in several}
        if len(sizes) > 1:
            words = " and ".join(sorted(f"{down:g} x {across:g} {volume.unit}" for down, across in sizes))
            raise SettingsError(
                f"{len(several)} images of the plane {plane} with pixels of {words}",
                expected="one pixel size",
                remedy="scale them to one, in Fiji with Image > Scale... without interpolation",
            )
    if lags < 1:
        raise SettingsError(f"lags = {lags}", expected="1 or more", remedy="such as 32")


def names_of(exemplars: Mapping[str, Sequence[Phases]], volume: Phases) -> dict[int, str]:
    """Names of the phases of the exemplars.

    Parameters
    ----------
    exemplars : mapping of str to sequence of Phases
        Images of each plane.
    volume : Phases
        Whose phases must be among theirs.

    Returns
    -------
    dict of int to str
        Label value -> name, sorted.

    Raises
    ------
    LabelsError
        A phase of the volume that no exemplar has, or a value with two names.
    """
    names: dict[int, str] = {}
    for image in (*(one for several in exemplars.values() for one in several), volume):
        for value, name in zip(image.values, image.names, strict=True):
            if image is volume and value not in names:
                raise LabelsError(
                    f"phase {name} (value {value}) in the volume",
                    expected=f"phases of the exemplars: {', '.join(names.values())}",
                    remedy="compare the volume with the images that it was made from",
                )
            if names.setdefault(value, name) != name:
                raise LabelsError(
                    f"value {value} called {names[value]} and {name}",
                    expected="one name a value",
                    remedy="give all images the same class names",
                )
    return dict(sorted(names.items()))


def relabelled(phases: Phases, names: Mapping[int, str]) -> Phases:
    """The image under a list of phases.

    Parameters
    ----------
    phases : Phases
        Image or volume.
    names : mapping of int to str
        Label value -> name of the phases, in their order; phases that the image lacks have count 0.

    Returns
    -------
    Phases
    """
    table = np.full(256, OUTSIDE, np.uint8)
    for place, value in enumerate(names):
        if value in phases.values:
            table[phases.values.index(value)] = place
    held = dict(zip(phases.values, phases.counts, strict=True))
    counts = tuple(held.get(value, 0) for value in names)
    return Phases(
        table[phases.index], tuple(names), tuple(names.values()), phases.spacing, phases.unit, phases.ndim, counts
    )


def present(phases: Phases) -> Phases:
    """Without the phases of which it has no voxel, whose connectivity is not defined."""
    held = zip(phases.values, phases.names, phases.counts, strict=True)
    return relabelled(phases, {value: name for value, name, count in held if count})


def with_index(
    phases: Phases, index: np.ndarray, spacing: tuple[float, float, float] | None = None, ndim: int = 3
) -> Phases:
    """A part of an image.

    Parameters
    ----------
    phases : Phases
        The image or volume, for its list of phases.
    index : np.ndarray
        (Z, Y, X) uint8 phase indices of the part.
    spacing : tuple of float, optional
        (z, y, x) size of a voxel; by default the image's.
    ndim : int
        2 or 3.

    Returns
    -------
    Phases
    """
    counts = tuple(int(count) for count in np.bincount(index.ravel(), minlength=256)[: len(phases)])
    return Phases(index, phases.values, phases.names, spacing or phases.spacing, phases.unit, ndim, counts)
