"""Contacts between the particles of a phase: thinned in 3D until slices show as many separate particles as they should.

Slices hardly determine the third dimension: optimised volumes have about the right number of contacts, but each is too
broad, and a phase of particles then conducts several times as well as it should. Taking contacts away by lot would
leave few broad ones and a network that falls apart, so each is made thinner from its rim, and no more are opened than
slices show too many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fijibridge.metrology.basins import basins

if TYPE_CHECKING:
    from fijibridge.reconstruction.exemplars import Exemplars

_SLICES = 24  # looked at along each axis
_THINNEST = 4.0  # voxels: mean chord below which a phase has layers, not particles
_MANY = 100  # contacts from which their density is known to a tenth
_SPECK = 8  # pixels below which a part of a slice is the graze of a rough surface, not a particle
_OPENED = 0.05, 0.3  # least and largest share of the contacts that open altogether
_SHORTEST = 0.7  # of the exemplars' contact length, which scatters by a fifth: no thinner, whatever the particles say
_SEARCHES = 10  # steps of the search for the share to take, each halves what is uncertain


def particle_density(slices: np.ndarray) -> float:
    """Euler number of the phase's larger parts in slices, a pixel: separate particles less the holes in them.

    Parameters
    ----------
    slices : np.ndarray
        (N, Y, X) bool. Pixels are joined at their sides; parts of less than 8 pixels do not count.

    Returns
    -------
    float
    """
    from scipy import ndimage

    in_plane = np.zeros((3, 3, 3), bool)
    in_plane[1] = ndimage.generate_binary_structure(2, 1)
    parts, _ = ndimage.label(slices, in_plane)
    large = np.bincount(parts.ravel()) >= _SPECK
    large[0] = False
    mask = large[parts]
    beside, below = mask[..., 1:] & mask[..., :-1], mask[..., 1:, :] & mask[..., :-1, :]
    corners = beside[..., 1:, :] & beside[..., :-1, :]
    sums = (np.count_nonzero(part) for part in (mask, beside, below, corners))
    faces, rows, columns, points = sums
    return (faces - rows - columns + points) / mask.size


def contact_traces(mask: np.ndarray) -> np.ndarray:
    """How many contacts between particles an image shows, and their length: (2,) float64, a pixel.

    Parameters
    ----------
    mask : np.ndarray
        (Y, X) bool: the phase. Its particles end at their necks (`fijibridge.metrology.basins`).

    Returns
    -------
    np.ndarray
        Number of contacts, and of the sides of pixels at them, over the number of pixels.
    """
    parts = basins(mask)
    contacts = np.concatenate(_contacts(parts))
    return np.array([len(np.unique(contacts)), len(contacts)]) / mask.size


def _contacts(parts: np.ndarray) -> list[np.ndarray]:
    """Along each axis, the number of the pair for every step from one particle into another."""
    number = int(parts.max()) + 1
    found = []
    for axis in range(parts.ndim):
        low, high = (side[_steps(parts, axis)].astype(np.int64) for side in _sides(parts, axis))
        found.append(np.minimum(low, high) * number + np.maximum(low, high))
    return found


def _sides(values: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """The values before and behind each step along an axis."""
    values = np.moveaxis(values, axis, 0)
    return values[:-1], values[1:]


def _steps(parts: np.ndarray, axis: int) -> np.ndarray:
    """Where a step along an axis leads from one particle into another."""
    before, behind = _sides(parts, axis)
    return (before != behind) & (before > 0) & (behind > 0)


def _mean_chord(mask: np.ndarray) -> float:
    ends = sum(np.diff(mask.astype(np.int8), axis=axis).astype(bool).mean() for axis in (0, 1)) / 2
    return float("inf") if ends == 0 else 2 * float(mask.mean()) / float(ends)


def _slices(mask: np.ndarray, axis: int) -> np.ndarray:
    planes = np.moveaxis(mask, axis, 0)
    return planes[np.unique(np.linspace(0, len(planes) - 1, _SLICES).round().astype(int))]


def wanted_particles(exemplars: Exemplars, phase: int) -> float | None:
    """`particle_density` of the exemplars; None for a phase that has no particles to be parted.

    Parameters
    ----------
    exemplars : Exemplars
        What the slices should look like.
    phase : int
        Index of the phase. One of thin layers (mean chord below 4 pixels) has none, nor has a matrix, whose parts have
        more holes than they are many.
    """
    found = []
    for axis in range(3):
        masks = [image.index[0] == phase for image in exemplars.images(axis)]
        if min(_mean_chord(mask) for mask in masks) < _THINNEST:
            return None
        found += [particle_density(mask[None]) for mask in masks]
    return float(np.mean(found)) if np.mean(found) > 0 else None


def contact_notes(exemplars: Exemplars) -> list[str]:
    """What a user should know of how well the exemplars tell the contacts.

    Contacts are counted in images, so that their density is known to about one over the root of their number; slices of
    128 x 128 pixels of one electrode scatter by a fifth, and what their volumes' particles conduct by twice as much.

    Parameters
    ----------
    exemplars : Exemplars
        What the slices should look like.

    Returns
    -------
    list of str
        A sentence for each phase of particles with less than 100 contacts.
    """
    images = list({id(image): image for image in exemplars.images()}.values())
    notes = []
    for phase, name in exemplars.first:
        if wanted_particles(exemplars, phase) is None:
            continue
        masks = [image.index[0] == phase for image in images]
        number = round(sum(contact_traces(mask)[0] * mask.size for mask in masks))
        if number < _MANY:
            known = f"known to {100 / number**0.5:.0f} %" if number else "not known"
            notes.append(
                f"particles of {name} touch {number} times in the micrograph: the density of contacts is {known}, "
                "the conductivity of the particles half as well; a larger micrograph tells more"
            )
    return notes


def _traces(exemplars: Exemplars, phase: int) -> np.ndarray:
    """`contact_traces` of the exemplars."""
    found = [[contact_traces(image.index[0] == phase) for image in exemplars.images(axis)] for axis in range(3)]
    return np.mean([np.mean(several, axis=0) for several in found], axis=0)


def _traces_in(mask: np.ndarray) -> np.ndarray:
    """`contact_traces` of a (Z, Y, X) mask's slices."""
    return np.mean([np.mean([contact_traces(one) for one in _slices(mask, axis)], axis=0) for axis in range(3)], axis=0)


def depths(mask: np.ndarray, opened: float, seed: int = 0) -> np.ndarray:
    """How deep inside its contact each voxel at a contact lies: 0 at the rim, towards 1 in the core.

    Parameters
    ----------
    mask : np.ndarray
        (Z, Y, X) bool: the phase.
    opened : float
        Share of the contacts, drawn at random, that count as rim all over.
    seed : int
        Of the draw.

    Returns
    -------
    np.ndarray
        (Z, Y, X) float32: the share of the contact's voxels that are nearer to the phase's surface; infinite where no
        contact is.
    """
    from scipy import ndimage

    parts = basins(mask)
    distance = ndimage.distance_transform_edt(mask).ravel()
    place = np.arange(mask.size).reshape(mask.shape)
    contacts, voxels = [], []
    for axis, pairs_of_axis in enumerate(_contacts(parts)):
        touching = _steps(parts, axis)
        for side in _sides(place, axis):
            contacts.append(pairs_of_axis)
            voxels.append(side[touching])
    result = np.full(mask.size, np.inf, np.float32)
    # a voxel at a contact counts once in it, though several of its sides may be there
    pairs = np.unique(np.stack([np.concatenate(contacts), np.concatenate(voxels)]), axis=1)
    if pairs.shape[1]:
        _, contact, sizes = np.unique(pairs[0], return_inverse=True, return_counts=True)
        rng = np.random.default_rng(seed)
        ties = 1e-3 * rng.random(len(contact))
        order = np.lexsort((distance[pairs[1]] + ties, contact))
        starts = np.cumsum(sizes) - sizes
        depth = np.empty(len(contact))
        depth[order] = (np.arange(len(contact)) - starts[contact[order]]) / sizes[contact[order]]
        depth[(rng.random(len(sizes)) < opened)[contact]] = 0.0
        np.minimum.at(result, pairs[1], depth.astype(np.float32))
    return result.reshape(mask.shape)


def surplus(
    index: np.ndarray, exemplars: Exemplars, phase: int, seed: int = 0, kept: np.ndarray | None = None
) -> np.ndarray | None:
    """Voxels that a phase should give up so that its slices show as many separate particles as the exemplars.

    Parameters
    ----------
    index : np.ndarray
        (Z, Y, X) phase indices.
    exemplars : Exemplars
        What the slices should look like.
    phase : int
        Index of the phase.
    seed : int
        Of the contacts that open altogether.
    kept : np.ndarray, optional
        (Z, Y, X) bool: voxels that must stay.

    Returns
    -------
    np.ndarray or None
        (Z, Y, X) bool, the rims of all contacts; None where the slices show enough particles, or contacts much shorter
        than the exemplars' or none, or the phase has no particles.
    """
    wanted = wanted_particles(exemplars, phase)
    if wanted is None:
        return None
    mask = index == phase
    fewest, shortest = _traces(exemplars, phase)
    number, _ = _traces_in(mask)

    def enough(mask: np.ndarray) -> bool:
        return _particles(mask) >= wanted or _traces_in(mask)[1] <= _SHORTEST * shortest

    if number == 0 or enough(mask):
        return None
    depth = depths(mask, float(np.clip(1 - fewest / number, *_OPENED)), seed)
    if kept is not None:
        depth[kept] = np.inf
    low, high = 0.0, 1.0
    for _ in range(_SEARCHES):
        share = (low + high) / 2
        low, high = (low, share) if enough(mask & ~(depth < share)) else (share, high)
    return depth < high


def _particles(mask: np.ndarray) -> float:
    return float(np.mean([particle_density(_slices(mask, axis)) for axis in range(3)]))
