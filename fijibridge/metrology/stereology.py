"""Diameters of the spheres behind the discs that a section shows: Saltykov's correction of a 2D image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fijibridge.core.errors import ImageError, SettingsError
from fijibridge.metrology.basins import basins
from fijibridge.phases.checks import check_mask, check_spacing
from fijibridge.phases.phases import as_phases

if TYPE_CHECKING:
    import pandas as pd
    from typing_extensions import Unpack

    from fijibridge.phases.phases import PhasesOptions

FEWEST = 50  # whole particles for a distribution
_SMALLEST = 3.0  # pixels across the smallest disc that counts
_CLASSES = (5, 20)
_WITHIN = 8  # diameters that stand for a class of spheres


@dataclass(frozen=True, eq=False)
class Spheres:
    """Spheres in a volume, by diameter.

    Parameters
    ----------
    edges : np.ndarray
        (K + 1,) float64: limits of the classes of diameters.
    density : np.ndarray
        (K,) float64: spheres of each class in a unit of volume.
    discs : int
        Discs that they were found from.
    """

    edges: np.ndarray
    density: np.ndarray
    discs: int

    def moment(self, power: int) -> float:
        """Sum over the spheres of a unit of volume of diameter ** power, spread evenly within each class."""
        rise = self.edges ** (power + 1)
        return float((self.density * np.diff(rise) / (power + 1) / np.diff(self.edges)).sum())

    @property
    def mean(self) -> float:
        """Mean diameter, by number."""
        return self.moment(1) / self.moment(0)

    @property
    def standard_deviation(self) -> float:
        """Of the diameter, by number."""
        return float(np.sqrt(max(self.moment(2) / self.moment(0) - self.mean**2, 0)))

    @property
    def sauter(self) -> float:
        """Sauter mean diameter: of spheres with as much volume for their surface."""
        return self.moment(3) / self.moment(2)

    @property
    def fraction(self) -> float:
        """Volume fraction of the spheres."""
        return np.pi / 6 * self.moment(3)


def unfold(diameters: np.ndarray, weights: np.ndarray, *, smallest: float, classes: int = 0) -> Spheres:
    """Spheres whose sections are these discs.

    A plane meets N_V D spheres of diameter D in a unit of area, at any height alike, so that of their discs the share
    sqrt(1 - (a / D)^2) - sqrt(1 - (b / D)^2) is between a and b across (Saltykov 1967; Sahagian and Proussevitch 1998,
    J. Volcanol. Geotherm. Res. 84:173). These equations for classes of equal width, the spheres spread evenly within
    each, are solved by least squares for densities that are not negative, each count weighted by its own scatter.

    Parameters
    ----------
    diameters : np.ndarray
        (N,) float64 of the discs.
    weights : np.ndarray
        (N,) float64: discs in a unit of area that each stands for.
    smallest : float
        Discs below this, and spheres, are left out.
    classes : int
        Number of classes; 0: by the number of discs, 5 to 20.

    Returns
    -------
    Spheres
        With no classes where there are no discs.
    """
    from scipy.optimize import nnls

    seen = diameters >= smallest
    diameters, weights = diameters[seen], weights[seen]
    if not len(diameters):
        return Spheres(np.array([smallest]), np.zeros(0), 0)
    number = classes or int(np.clip(1.5 * len(diameters) ** (1 / 3), *_CLASSES))
    top = max(float(diameters.max()), 1.05 * smallest)
    edges = np.linspace(smallest, top * (1 + 1e-9), number + 1)
    counts, _ = np.histogram(diameters, edges)
    areal, _ = np.histogram(diameters, edges, weights=weights)
    matrix = np.zeros((number, number))
    for part in (np.arange(_WITHIN) + 0.5) / _WITHIN:
        spheres = edges[:-1] + part * np.diff(edges)
        chord = np.sqrt(np.maximum(spheres**2 - edges[:, None] ** 2, 0))
        matrix += (chord[:-1] - chord[1:]) / _WITHIN
    # a count of n scatters by sqrt(n); an empty class by that of one disc
    scatter = weights.mean() * np.sqrt(np.maximum(counts, 1))
    scale = np.abs(matrix).max() * areal.sum()
    density, _ = nnls(matrix / scatter[:, None] * scale, areal / scatter)
    return Spheres(edges, density * scale, len(diameters))


def sphere_sizes(mask: Any, spacing: float | Sequence[float] | None = None, *, classes: int = 0) -> Spheres:
    """Diameters of the spherical particles of which a 2D image is a section.

    Particles are separated at their necks (`fijibridge.metrology.basins`); each counts as a disc of its area. Those
    that the image's border cuts are left out, and the others stand for the places where they would have been cut
    (Miles 1974). Discs of less than 3 pixels across are left out, and so are spheres.

    Parameters
    ----------
    mask : array_like
        (Y, X), true where the particles are.
    spacing : float or sequence of float, optional
        Size of a pixel, one number or (y, x); 1 by default.
    classes : int
        As for `unfold`.

    Returns
    -------
    Spheres

    Raises
    ------
    ImageError
        Not a 2D image.
    SettingsError
        A malformed spacing, or a number of classes below 0.
    """
    from scipy import ndimage as ndi

    mask = check_mask(mask)
    if mask.ndim != 2:
        raise ImageError(
            f"a volume of shape {mask.shape}", expected="one section, (Y, X)", remedy="give a slice of the volume"
        )
    if classes < 0:
        raise SettingsError(f"{classes} classes", expected="1 or more, or 0", remedy="leave it at 0")
    _, height, width = check_spacing(spacing, 2)
    particles = basins(mask, (height, width))
    areas = np.bincount(particles.ravel())[1:] * height * width
    diameters, weights = [], []
    for area, (rows, columns) in zip(areas, ndi.find_objects(particles), strict=True):
        if rows.start and columns.start and rows.stop < mask.shape[0] and columns.stop < mask.shape[1]:
            # places of its bounding box at which the border would not touch it
            free = (mask.shape[0] - 1 - (rows.stop - rows.start)) * (mask.shape[1] - 1 - (columns.stop - columns.start))
            diameters.append(2 * np.sqrt(area / np.pi))
            weights.append(1 / (max(free, 1) * height * width))
    smallest = _SMALLEST * float(np.sqrt(height * width))
    return unfold(np.array(diameters), np.array(weights), smallest=smallest, classes=classes)


def phase_spheres(labels: Any, **options: Unpack[PhasesOptions]) -> tuple[pd.DataFrame, pd.DataFrame, tuple[str, ...]]:
    """Diameters of the spheres of each phase of a 2D image, as `sphere_sizes`.

    Parameters
    ----------
    labels : array_like or Phases
        (Y, X) labels.
    **options
        As `as_phases` takes it.

    Returns
    -------
    summary : pandas.DataFrame
        ``phase``, ``mean`` and ``standard_deviation`` (by number), ``sauter`` (volume over surface), ``fraction``
        (volume fraction of these spheres in the image: near the phase's own if its particles are spheres), ``discs``.
    distribution : pandas.DataFrame
        ``phase``, ``diameter`` (upper end of a class), ``per_volume`` (spheres of the class in a unit of volume),
        ``cumulative`` (share of the spheres, by number).
    notes : tuple of str
        Phases with too few particles, which have no rows, and those whose spheres do not fill their fraction.

    Raises
    ------
    ImageError, LabelsError, SettingsError
        As `as_phases`; a volume.
    """
    import pandas as pd

    phases = as_phases(labels, **options)
    if phases.ndim != 2:
        raise ImageError("a volume", expected="one section, (Y, X)", remedy="give a slice of the volume")
    rows, curves, notes, few = [], [], [], []
    for phase, name in phases:
        found = sphere_sizes(phases.mask(phase)[0], phases.spacing[1:])
        if found.discs < FEWEST or not found.density.any():
            few.append(f"{name} ({found.discs})")
            continue
        share = phases.counts[phase] / phases.size
        if not 0.75 <= found.fraction / share <= 1.33:
            notes.append(
                f"sizes: spheres of {name} would fill {found.fraction:.3g} of the volume where the phase has "
                f"{share:.3g}: its particles are no spheres, or the border cuts many"
            )
        rows.append(
            {
                "phase": name,
                "mean": found.mean,
                "standard_deviation": found.standard_deviation,
                "sauter": found.sauter,
                "fraction": found.fraction,
                "discs": found.discs,
            }
        )
        curves.append(
            pd.DataFrame(
                {
                    "phase": name,
                    "diameter": found.edges[1:],
                    "per_volume": found.density,
                    "cumulative": np.cumsum(found.density) / found.density.sum(),
                }
            )
        )
    if few:
        notes.append(f"sizes: no spheres of {', '.join(few)}: fewer than {FEWEST} whole particles")
    columns = ["phase", "mean", "standard_deviation", "sauter", "fraction", "discs"]
    empty = pd.DataFrame(columns=["phase", "diameter", "per_volume", "cumulative"])
    table = pd.DataFrame(rows, columns=columns)
    return table, pd.concat(curves, ignore_index=True) if curves else empty, tuple(notes)
