"""A composite electrode as a volume: phase, crystal grain and particle of each voxel."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.core.errors import SettingsError
from fijibridge.synthesis.structure_settings import StructureSettings

if TYPE_CHECKING:
    from fijibridge.synthesis.particles import Particles

PHASES = ("ISE", "CAM", "pore", "carbon", "binder")  # label value = index + 1
_ISE, _CAM, _PORE = 1, 2, 3
_TOLERANCE = 0.005  # of each phase's volume fraction
_NUMBERS = 65535


@dataclass(frozen=True)
class Structure:
    """A synthetic structure. The section at depth z is ``labels[z]``; z + 1, z + 2, ... lie beneath it.

    Attributes
    ----------
    labels : ndarray (Z, Y, X) uint8
        1 ISE, 2 CAM, 3 pore, 4 carbon, 5 binder.
    grains : ndarray (Z, Y, X) uint16
        Number of the crystal grain, in the ISE and inside CAM particles; 0 elsewhere.
    particles : ndarray (Z, Y, X) uint16
        Number of the CAM particle; 0 elsewhere.
    voxel_size : float
        Micrometres, the same along each axis.
    settings : StructureSettings
        How it was made.
    seed : int
        Of the random numbers.

    Notes
    -----
    Numbers of grains and particles are reused after 65535 of them, by then far away.
    """

    labels: np.ndarray
    grains: np.ndarray
    particles: np.ndarray
    voxel_size: float
    settings: StructureSettings
    seed: int

    @property
    def fractions(self) -> dict[str, float]:
        """Volume fraction of each phase, counted."""
        counts = np.bincount(self.labels.ravel(), minlength=len(PHASES) + 1)[1:]
        return {name: float(count) / self.labels.size for name, count in zip(PHASES, counts, strict=True)}


def _check(settings: StructureSettings, shape: tuple[int, ...], voxel: float, seed: int) -> None:
    if len(shape) != 3 or not all(isinstance(n, Integral) and n >= 8 for n in shape):
        raise SettingsError(
            f"shape = {shape}", expected="three whole numbers (Z, Y, X) of at least 8", remedy="give a larger shape"
        )
    if isinstance(voxel, bool) or not isinstance(voxel, Real) or not 0 < voxel < float("inf"):
        raise SettingsError(f"voxel_size = {voxel}", expected="a positive size in um", remedy="give the voxel's side")
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise SettingsError(f"seed = {seed!r}", expected="a whole number, 0 or more", remedy="give another seed")
    needed = [  # sizes that must be resolved, by how many voxels, and whether they occur
        ("cam_diameter", settings.cam_diameter, 5.0, True),
        ("fibre_diameter", settings.fibre_diameter, 1.5, settings.carbon_fraction > 0),
        ("pore_size", settings.pore_size, 2.0, settings.porosity > 0),
        ("binder_size", settings.binder_size, 2.0, settings.binder_fraction > 0),
        ("cam_grain_size", settings.cam_grain_size, 3.0, settings.cam_grain_size > 0),
        ("ise_grain_size", settings.ise_grain_size, 3.0, True),
    ]
    for name, size, voxels, used in needed:
        if used and size < voxels * voxel * (1 - 1e-9):
            raise SettingsError(
                f"a voxel of {voxel:g} um is too coarse for {name} = {size:g} um",
                expected=f"a voxel of at most {size / voxels:.3g} um ({voxels:g} voxels across)",
                remedy=f"choose a smaller voxel_size or a larger {name}",
            )


def make_structure(
    settings: StructureSettings,
    *,
    shape: tuple[int, int, int] = (64, 512, 512),
    voxel_size: float = 0.05,
    seed: int = 0,
    threads: int = 0,
) -> Structure:
    """Build a composite electrode.

    CAM particles are packed and shaped, fibres laid around them, binder at the interfaces, and pores opened; each phase
    takes its wanted volume exactly, the solid electrolyte the rest.

    Parameters
    ----------
    settings : StructureSettings
        Fractions, sizes and shapes of the phases.
    shape : tuple of int
        (Z, Y, X), voxels.
    voxel_size : float
        Micrometres.
    seed : int
        The same seed gives the same structure, whatever the number of threads.
    threads : int
        0: all cores.

    Returns
    -------
    Structure

    Raises
    ------
    SettingsError
        A fraction that cannot be reached (with the one that was), a voxel too coarse for a particle, fibre, pore or
        grain, more particles than can be packed, a malformed shape, voxel size or seed.
    """
    from fijibridge.core.parallel import Workers
    from fijibridge.synthesis.fibres import add_fibres
    from fijibridge.synthesis.grains import make_grains
    from fijibridge.synthesis.particles import make_particles
    from fijibridge.synthesis.pores import add_binder_and_pores

    _check(settings, tuple(shape), voxel_size, seed)
    depth, height, width = map(int, shape)
    shape, voxel, seed = (depth, height, width), float(voxel_size), int(seed)
    total = int(np.prod(shape))
    with Workers(threads) as run:
        found, cam = make_particles(settings, shape, voxel, seed, run)
        labels = np.ones(shape, np.uint8)
        labels[cam] = _CAM
        cracked = int(np.count_nonzero(found.cracks))
        labels[found.cracks] = _PORE
        particles = _numbered(found, cam)
        if carbon := round(settings.carbon_fraction * total):
            add_fibres(labels, found.distance, settings, voxel, seed, carbon)
        second = found.second
        del found, cam
        add_binder_and_pores(
            labels,
            second,
            settings,
            voxel,
            seed,
            run,
            binder=round(settings.binder_fraction * total),
            pores=max(0, round(settings.porosity * total) - cracked),
        )
        del second
        grains = make_grains(
            labels, particles, settings.ise_grain_size / voxel, settings.cam_grain_size / voxel, seed, run
        )
    structure = Structure(labels, grains, particles, voxel, settings, seed)
    reached = structure.fractions
    for name, wanted in settings.fractions.items():
        if abs(reached[name] - wanted) > _TOLERANCE:
            raise SettingsError(
                f"{name} fills {reached[name]:.4f} of the volume, {wanted:.4f} is wanted",
                expected=f"a fraction met within {_TOLERANCE:g}",
                remedy="choose fractions that leave more solid electrolyte, or take a larger volume",
            )
    return structure


def _numbered(found: Particles, cam: np.ndarray) -> np.ndarray:
    """(Z, Y, X) uint16 numbers of the particles, in the order of their centres along x: repeats are far apart."""
    n = len(found.packing.centres)
    number = np.zeros(n + 1, np.int64)  # the last stands for no particle
    order = np.argsort(found.packing.centres[:, 2], kind="stable")
    present = np.zeros(n + 1, bool)
    present[found.owner[cam]] = True
    order = order[present[order]]
    number[order] = np.arange(len(order)) % _NUMBERS + 1
    out = number.astype(np.uint16)[found.owner]
    out[~cam] = 0
    return out
