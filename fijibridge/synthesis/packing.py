"""CAM particles as a packing: sizes, shapes and positions in a periodic box of which the structure is a part.

Ellipsoids of log-normal sizes are thrown into the box and pushed apart along their centre lines until overlaps are
small, smaller ones giving way more (the collective rearrangement of Jodrey and Tory 1985, Phys. Rev. A 32:2347, with
the ellipsoids' radii along the centre line in place of the spheres'). Remaining overlaps become contacts, flattened
along the bisector.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fijibridge.core.errors import SettingsError
from fijibridge.core.parallel import compiled
from fijibridge.synthesis.structure_settings import StructureSettings

_FACES = 12  # of an angular particle
_MOST = 400_000  # particles, which are packed in some seconds
_TAIL = 2.0  # standard deviations at which the size distribution ends: one giant would fill a small volume
_REACH = 1.35  # pairs nearer than this, in sums of radii, are in the list of neighbours
_CUTS = 60  # positions in the box that are tried
_STEPS = (6, 12, 18, 24)  # steps with each list of neighbours


@dataclass(frozen=True)
class Packing:
    """Particles in the coordinates (z, y, x) of the structure, in micrometres; they may lie outside it.

    Attributes
    ----------
    centres : ndarray (N, 3)
        Positions, micrometres.
    radii : ndarray (N,)
        Of the sphere of equal volume.
    matrices : ndarray (N, 3, 3)
        Takes the offset from the centre to the space in which the ellipsoid is the unit ball.
    elongations : ndarray (N,)
        Longest half-axis over radius.
    faces : ndarray (N, 12, 3)
        Face normals over face distances, in the unit ball's space.
    """

    centres: np.ndarray
    radii: np.ndarray
    matrices: np.ndarray
    elongations: np.ndarray
    faces: np.ndarray


@compiled
def _push(pairs, places, radii, matrices, box, moves):
    """Add to ``moves`` what removes each pair's overlap; returns the largest overlap over the sum of radii."""
    worst = 0.0
    d, u = np.empty(3), np.empty(3)
    for k in range(len(pairs)):
        i, j = pairs[k]
        square = 0.0
        for a in range(3):
            d[a] = places[j, a] - places[i, a]
            if d[a] > box[a] / 2:
                d[a] -= box[a]
            elif d[a] < -box[a] / 2:
                d[a] += box[a]
            square += d[a] * d[a]
        far = 2.0 * (radii[i] + radii[j])
        if square > far * far or square == 0.0:
            continue
        distance = np.sqrt(square)
        reach = 0.0
        for p in (i, j):
            q = 0.0
            for a in range(3):
                u[a] = matrices[p, a, 0] * d[0] + matrices[p, a, 1] * d[1] + matrices[p, a, 2] * d[2]
                q += u[a] * u[a]
            reach += distance / np.sqrt(q)  # the ellipsoid's radius along the centre line
        overlap = reach - distance
        if overlap <= 0.0:
            continue
        worst = max(worst, overlap / reach)
        share = radii[j] / (radii[i] + radii[j])
        for a in range(3):
            n = d[a] / distance
            moves[i, a] -= overlap * share * n
            moves[j, a] += overlap * (1.0 - share) * n
    return worst


def _relax(
    places: np.ndarray, radii: np.ndarray, matrices: np.ndarray, elongations: np.ndarray, box: np.ndarray
) -> None:
    """Push particles apart, in place, until the largest overlap is 2 % or the steps are used up."""
    from scipy.spatial import cKDTree

    n = len(radii)
    longest = radii * elongations
    for round_, steps in enumerate(_STEPS):
        tree = cKDTree(places, boxsize=box)
        pairs = tree.query_pairs(min(2 * longest.max() * _REACH, box.min() / 2), output_type="ndarray")
        d = places[pairs[:, 1]] - places[pairs[:, 0]]
        d -= box * np.round(d / box)
        near = (d**2).sum(1) < (_REACH * longest[pairs].sum(1)) ** 2
        pairs = pairs[near]
        # in a fixed order, on which sums of floats depend
        pairs = pairs[np.argsort(pairs[:, 0] * n + pairs[:, 1], kind="stable")]
        for _ in range(steps):
            moves = np.zeros_like(places)
            worst = _push(pairs, places, radii, matrices, box, moves)
            # a step no longer than a third of the radius, so that no pair outside the list meets
            length = np.sqrt((moves**2).sum(1))
            moves *= np.minimum(1, radii / (3 * np.maximum(length, 1e-12)))[:, None] * (0.9 if round_ else 0.6)
            places += moves
            places %= box
            places[places >= box] = 0  # where the remainder is rounded up to the box's side
            if worst < 0.02:
                return


def _rotations(rng: np.random.Generator, n: int) -> np.ndarray:
    """(n, 3, 3) rotations, uniform, from normalised quaternions."""
    q = rng.standard_normal((n, 4))
    w, x, y, z = (q / np.sqrt((q**2).sum(1, keepdims=True))).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.array(rows).transpose(2, 0, 1)


def _shapes(rng: np.random.Generator, radii: np.ndarray, ratio: float) -> tuple[np.ndarray, ...]:
    """Matrices, elongations and faces of ellipsoids of equal volume with the spheres."""
    n = len(radii)
    each = 1 + (ratio - 1) * rng.uniform(0.5, 1.5, n)
    middle = rng.uniform(-0.5, 0.5, n)  # -1/2: a disc, 1/2: a rod ... as exponents of the ratio
    exponents = np.stack([np.full(n, 0.5), middle, np.full(n, -0.5)], axis=1)
    axes = np.round(each[:, None] ** (exponents - middle[:, None] / 3), 6)
    matrices = _rotations(rng, n) / (axes * radii[:, None])[:, :, None]
    # the faces of a dodecahedron, jittered, at distances that keep the volume near the ball's
    golden = (1 + 5**0.5) / 2
    base = np.array([p for a in (-1, 1) for b in (-golden, golden) for p in ((0, a, b), (a, b, 0), (b, 0, a))])
    normals = base / np.sqrt((base**2).sum(1, keepdims=True)) + 0.3 * rng.standard_normal((n, _FACES, 3))
    normals /= np.sqrt((normals**2).sum(2, keepdims=True))
    turn = _rotations(rng, n)
    normals = sum(turn[:, None, :, j] * normals[:, :, None, j] for j in range(3))
    faces = normals / rng.uniform(0.78, 1.02, (n, _FACES, 1))
    return matrices, axes.max(1), faces.astype(np.float32)


def _best_cut(
    rng: np.random.Generator, places: np.ndarray, radii: np.ndarray, box: np.ndarray, slab: np.ndarray, wanted: float
) -> np.ndarray:
    """Corner of the structure in the box: of random ones that with the share of particles nearest to ``wanted``."""
    n = len(radii)
    if n > 1500:
        return np.zeros(3)  # so many that all parts are alike
    corners = rng.uniform(0, 1, (_CUTS, 1, 3)) * box
    points = corners + rng.uniform(0, 1, (_CUTS, 400, 3)) * slab
    inside = np.zeros(points.shape[:2], bool)
    for place, radius in zip(places, radii, strict=True):
        d = points - place
        d -= box * np.round(d / box)
        inside |= (d**2).sum(2) < radius * radius
    return corners[int(np.argmin(abs(inside.mean(1) - wanted))), 0]


def pack(settings: StructureSettings, size: tuple[float, float, float], seed: int) -> Packing:
    """Pack CAM particles in and around a volume.

    Parameters
    ----------
    settings : StructureSettings
        Those of the CAM are used.
    size : tuple of float
        (z, y, x) of the volume, micrometres.
    seed : int
        Of the structure.

    Returns
    -------
    Packing
        The particles that reach into the volume or to within their own radius of it.

    Raises
    ------
    SettingsError
        More particles than can be packed in reasonable time.
    """
    rng = np.random.default_rng([seed, 1])
    slab = np.array(size)
    spread = np.log(settings.cam_diameter_spread)
    radius = settings.cam_diameter / 2
    largest = radius * np.exp(_TAIL * spread) * (1 + 1.5 * (settings.cam_aspect_ratio - 1)) ** (2 / 3)
    box = slab + 2.6 * largest  # no particle meets itself or appears twice in the slab
    volume = 4 / 3 * np.pi * radius**3 * np.exp(4.5 * spread**2)
    expected = settings.cam_fraction * np.prod(box) / volume
    if expected > _MOST:
        raise SettingsError(
            f"about {expected:.0f} CAM particles of {settings.cam_diameter:g} um in and around {size[0]:.3g} x "
            f"{size[1]:.3g} x {size[2]:.3g} um",
            expected=f"at most {_MOST}",
            remedy="make the volume smaller or cam_diameter larger",
        )
    # more than enough sizes, then as many as fill the wanted volume
    normal = np.clip(rng.standard_normal(int(expected * 2) + 200), -_TAIL, _TAIL)
    radii = np.round(radius * np.exp(spread * normal), 6)
    filled = np.cumsum(4 / 3 * np.pi * radii**3)
    n = max(1, int(np.searchsorted(filled, settings.cam_fraction * np.prod(box))))
    radii = radii[:n]
    matrices, elongations, faces = _shapes(rng, radii, settings.cam_aspect_ratio)
    places = rng.uniform(0, 1, (n, 3)) * box
    _relax(places, radii, matrices, elongations, box)
    corner = _best_cut(rng, places, radii, box, slab, settings.cam_fraction)
    centres = (places - corner) % box
    centres -= box * (centres > (slab + box) / 2)  # the image nearest to the slab
    reach = 2.2 * radii * elongations
    near = np.flatnonzero(((centres > -reach[:, None]) & (centres < slab + reach[:, None])).all(1))
    return Packing(centres[near], radii[near], matrices[near], elongations[near], faces[near])
