"""The 2D images from which a volume is made: one for all directions, or one a plane."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fijibridge.core.errors import ImageError, LabelsError
from fijibridge.phases.phases import Phases
from fijibridge.reconstruction.anisotropy import anisotropy_note, contradiction_notes

log = logging.getLogger(__name__)

PLANES = ("xy", "xz", "yz")  # the plane across axis 0 (z), 1 (y), 2 (x) of a volume
TOLERANCE = 0.03  # largest difference of a phase's fraction between images of one material
_LENGTHS = 8  # correlation lengths along a side below which an image is too small for its structure
_SMALLEST = 16  # pixels a side


@dataclass(frozen=True, eq=False)
class Exemplars:
    """Segmented micrographs with the same phases.

    Parameters
    ----------
    planes : dict of str to Phases
        "xy" alone (isotropic material), or "xy", "xz" and "yz"; of two images the second is both "xz" and "yz".
    notes : tuple of str
        Warnings about them.
    others : tuple of Phases
        More images beside "xy", of isotropic material.
    """

    planes: dict[str, Phases]
    notes: tuple[str, ...] = ()
    others: tuple[Phases, ...] = ()

    @property
    def isotropic(self) -> bool:
        """Whether one image stands for all planes."""
        return len(self.planes) == 1

    @property
    def first(self) -> Phases:
        """The image of the xy plane."""
        return self.planes["xy"]

    def across(self, axis: int) -> Phases:
        """The image with which slices across an axis (0, 1, 2 for z, y, x) of the volume are compared."""
        return self.first if self.isotropic else self.planes[PLANES[axis]]

    def images(self, axis: int | None = None) -> list[Phases]:
        """All images, or those with which slices across an axis (0, 1, 2 for z, y, x) of the volume are compared."""
        planes = list(self.planes.values()) if axis is None else [self.across(axis)]
        return [*planes, *self.others]

    @property
    def fractions(self) -> np.ndarray:
        """(phases,) float64: mean fraction of each phase over the images."""
        return np.mean([np.array(phases.counts) / sum(phases.counts) for phases in self.images()], axis=0)


def check_exemplars(planes: Mapping[str, Any], others: Sequence[Any] = ()) -> Exemplars:
    """Check the images from which a volume is to be made.

    Parameters
    ----------
    planes : mapping of str to Phases
        "xy" alone, or "xy" and "xz" (which stands for "yz", too: a material that looks the same in all directions of
        its xy plane, such as a calendered electrode), or "xy", "xz" and "yz", in 2D.
    others : sequence of Phases
        More images beside "xy" alone.

    Returns
    -------
    Exemplars

    Raises
    ------
    ImageError
        Not 2D, less than 16 pixels wide, with a background, or other planes than these.
    LabelsError
        One phase only, phases that differ between the planes, or fractions that differ by more than 3 points.
    """
    if set(planes) not in ({"xy"}, set(PLANES[:2]), set(PLANES)):
        raise ImageError(
            f"exemplars for the planes {', '.join(planes) or 'none'}",
            expected="one image, one each of xy and xz, or one each of xy, xz and yz",
            remedy="give one image of a material that looks the same in all directions, else two or three",
        )
    planes = {plane: planes[plane] for plane in PLANES if plane in planes}
    first = planes["xy"]
    every = planes | {f"{number}.": phases for number, phases in enumerate(others, start=2)}
    for plane, phases in every.items():
        shape = phases.index.shape[1:]
        if phases.ndim != 2 or min(shape) < _SMALLEST:
            raise ImageError(
                f"the {plane} exemplar has the shape {phases.index.shape[3 - phases.ndim :]}",
                expected=f"one slice of at least {_SMALLEST} x {_SMALLEST} pixels",
                remedy="give one 2D image a plane: in Fiji, Image > Duplicate... one slice of a stack",
            )
        if phases.inside is not None:
            raise ImageError(
                f"the {plane} exemplar has pixels of the background",
                expected="a phase at every pixel",
                remedy="crop the image to the sample",
            )
        if len(phases) < 2:
            raise LabelsError(
                f"the {plane} exemplar has one phase only ({phases.names[0]})",
                expected="two phases or more",
                remedy="check the segmentation: its values must differ between phases",
            )
        if phases.values != first.values or phases.names != first.names:
            raise LabelsError(
                f"phases {_listed(phases)} in the {plane} exemplar, {_listed(first)} in the xy exemplar",
                expected="the same phases in all images",
                remedy="segment all images with the same classifier",
            )
    fractions = {plane: np.array(phases.counts) / sum(phases.counts) for plane, phases in every.items()}
    spread = np.ptp(list(fractions.values()), axis=0)
    if spread.max() > TOLERANCE:
        worst = int(spread.argmax())
        numbers = ", ".join(f"{plane} {100 * share[worst]:.1f} %" for plane, share in fractions.items())
        raise LabelsError(
            f"the images disagree in the fraction of {first.names[worst]}: {numbers}",
            expected=f"fractions within {100 * TOLERANCE:g} points: all images show the same material",
            remedy="take larger images, or images of the same place; segment them with the same classifier",
        )
    notes = _small(every)
    if len(planes) == 1 and (note := anisotropy_note(first)):
        log.warning("%s", note)
        notes.append(note)
    for note in contradiction_notes(planes):
        log.warning("%s", note)
        notes.append(note)
    if len(planes) == 2:
        planes["yz"] = planes["xz"]
    return Exemplars(dict(planes), tuple(notes), tuple(others))


def _listed(phases: Phases) -> str:
    return ", ".join(f"{name} ({value})" for name, value in zip(phases.names, phases.values, strict=True))


def correlation_length(phases: Phases, phase: int) -> float:
    """Distance at which a phase's two-point correlation first comes within 5 % of its limit.

    Parameters
    ----------
    phases : Phases
        Image in 2D.
    phase : int
        Index of the phase.

    Returns
    -------
    float
        Pixels; infinite where it does not within half the image, beyond which the correlation of one image is noise.
    """
    from fijibridge.metrology.correlation import two_point_correlation

    plain = Phases(phases.index, phases.values, phases.names, (1.0, 1.0, 1.0), "px", 2, phases.counts)
    curves = two_point_correlation(plain)
    name = phases.names[phase]
    curve = curves[(curves.phase == name) & (curves.other == name) & (curves.direction == "radial")]
    share = phases.counts[phase] / sum(phases.counts)
    contrast = np.abs(curve.probability.to_numpy() - share**2) / (share * (1 - share))
    below = np.flatnonzero(contrast < 0.05)
    return float(curve.distance.to_numpy()[below[0]]) if len(below) else float("inf")


def _small(planes: Mapping[str, Phases]) -> list[str]:
    """Warnings about images that are small for their structure."""
    notes = []
    for plane, phases in planes.items():
        side = min(phases.index.shape[1:])
        lengths = {name: correlation_length(phases, phase) for phase, name in phases}
        name, length = max(lengths.items(), key=lambda item: item[1])
        if length > side / _LENGTHS:
            words = f"{length:.0f} px" if np.isfinite(length) else f"more than {side // 2} px"
            notes.append(
                f"the {plane} exemplar ({side} px) is small for its structure: the correlation length of {name} is "
                f"{words}, and an image should show {_LENGTHS} of them; larger features are not reproduced"
            )
    for note in notes:
        log.warning("%s", note)
    return notes
