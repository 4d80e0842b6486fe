"""How far the surfaces of the metrology are from exact ones: spheres, discs, layers, flat voxels, parts of a volume.

``python benchmarks/metrology.py --part surface`` prints the tables.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from itertools import product

import numpy as np
from media import ball_centres, balls_at, grains, three_phases
from results import Results, met

from fijibridge.metrology import specific_surface, triple_phase_boundary

METHODS = ("intercepts", "marching-cubes")
GOAL, GOAL_R = 3.0, (3, 16)  # %: the default, for radii in this range
PARTS_GOAL, LINES_GOAL = 0.5, 1.0  # %
_POINTS = 200_000  # on the spheres, to find how much of them is exposed


def measured(labels: np.ndarray, method: str, spacing: Sequence[float] | float = 1.0) -> float:
    """Surface per volume of the first phase."""
    return float(specific_surface(labels, method=method, spacing=spacing).specific_surface.iloc[0])


def exposed(centres: np.ndarray, radius: float, size: int, seed: int) -> float:
    """Surface per volume of these overlapping spheres (2D: discs), in a periodic box: what no other one covers."""
    from scipy.spatial import cKDTree

    ndim = centres.shape[1]
    rng = np.random.default_rng(seed)
    each = max(20, _POINTS // max(len(centres), 1))
    away = rng.normal(size=(len(centres), each, ndim))
    away *= radius / np.linalg.norm(away, axis=2, keepdims=True)
    points = (centres[:, None] + away).reshape(-1, ndim) % size
    nearest, _ = cKDTree(centres, boxsize=size).query(points)
    whole = 4 * np.pi * radius**2 if ndim == 3 else 2 * np.pi * radius
    return len(centres) * whole * float((nearest > radius * (1 - 1e-9)).mean()) / size**ndim


def overlapping(size: int, radius: float, share: float, seed: int, ndim: int = 3) -> tuple[np.ndarray, float, float]:
    """Overlapping spheres (discs), their exposed surface per volume, and what the law expects of their number."""
    one = 4 / 3 * np.pi * radius**3 if ndim == 3 else np.pi * radius**2
    number = -np.log(1 - share) / one
    centres = ball_centres(size, number, seed, ndim)
    law = number * ndim * one / radius * (1 - share)
    return balls_at(size, radius, centres), exposed(centres, radius, size, seed), law


def errors(
    cases: Iterable[tuple[np.ndarray, float]], spacing: Sequence[float] | float = 1.0
) -> dict[str, tuple[float, float]]:
    """Mean error of each method in %, and its standard error."""
    found: dict[str, list[float]] = {method: [] for method in METHODS}
    for labels, exact in cases:
        for method, list_ in found.items():
            list_.append(100 * (measured(labels, method, spacing) / exact - 1))
    return {method: (float(np.mean(each)), float(np.std(each) / np.sqrt(len(each)))) for method, each in found.items()}


def _cells(found: dict[str, tuple[float, float]]) -> list[float]:
    return [number for method in METHODS for number in found[method]]


def spheres(results: Results, small: bool) -> None:
    """Overlapping spheres and discs, against the exposed surface of the very same ones."""
    size = 64 if small else 128
    radii = (3, 8) if small else (2, 3, 4, 6, 8, 12, 16, 23, 30)
    columns: dict[str, str] = {"radius, voxels": "", "share of the volume": ".1f"}
    for method in METHODS:
        columns |= {f"{method}, %": "+.1f", f"+- ({method})": ".1f"}
    columns["goal (intercepts)"] = ""
    title = (
        f"Error of the surface of overlapping spheres in {size}^3 voxels, against what of the same spheres no other "
        "one covers; mean of 2 (radius 2 and 3), 6 or 12 (from 12 on) volumes"
    )
    table = results.table("surface_spheres", title, columns)
    for radius, share in product(radii, (0.2, 0.4, 0.6)):
        seeds = 2 if radius < 4 or small else 6 if radius < 12 else 12
        cases = (overlapping(size, radius, share, seed)[:2] for seed in range(seeds))
        found = errors(cases)
        asked = GOAL_R[0] <= radius <= GOAL_R[1]
        goal = f"3: {met(abs(found['intercepts'][0]) <= GOAL)}" if asked else None
        table.add(radius, share, *_cells(found), goal)
    title = "Error of the length of the edges of overlapping discs (2D), 40 % of 512^2 pixels; mean of 8 images"
    table = results.table("surface_discs", title, {"radius, pixels": "", **dict(list(columns.items())[2:])})
    for radius in (3, 8) if small else (2, 3, 4, 8, 16, 30):
        found = errors(overlapping(512, radius, 0.4, seed, 2)[:2] for seed in range(8))
        asked = GOAL_R[0] <= radius <= GOAL_R[1]
        table.add(radius, *_cells(found), f"3: {met(abs(found['intercepts'][0]) <= GOAL)}" if asked else None)
    title = "The same with flat voxels: every 2nd or 5th slice of overlapping spheres, 40 % of 120^3 voxels; 6 volumes"
    columns = {"spacing z, y, x": "", "radius, x voxels": "", **dict(list(columns.items())[2:-1])}
    table = results.table("surface_flat", title, columns)
    for step, radius in ((2, 8),) if small else ((2, 6), (2, 12), (5, 15), (5, 24)):
        cases = (
            (labels[::step], exact) for labels, exact, _ in (overlapping(120, radius, 0.4, seed) for seed in range(6))
        )
        table.add(f"{step}, 1, 1", radius, *_cells(errors(cases, (step, 1, 1))))


def plane_in_cube(normal: np.ndarray, place: np.ndarray, side: float) -> np.ndarray:
    """Area of planes ``normal x = place`` inside a cube from 0 to ``side``; the normal's entries above 0."""
    total = np.zeros_like(place)
    for corner in product((0, 1), repeat=3):
        sign = -1 if sum(corner) % 2 else 1
        total += sign * np.maximum(place / side - np.dot(normal, corner), 0) ** 2
    return side**2 * total / (2 * np.prod(normal))


def layers(size: int, thick: float, seed: int) -> tuple[np.ndarray, float]:
    """Parallel layers in a random direction, and the exact area of their faces per volume."""
    rng = np.random.default_rng(seed)
    normal = np.abs(rng.normal(size=3)) + 1e-3
    normal /= np.linalg.norm(normal)
    period = 3 * thick + 8
    start = rng.random() * period
    z, y, x = np.indices((size,) * 3) + 0.5
    away = (normal[0] * z + normal[1] * y + normal[2] * x - start) % period
    first = start + period * np.arange(-2, int(2 * size / period) + 2)
    faces = np.concatenate([first, first + thick])
    return (away < thick).astype(np.uint8), float(plane_in_cube(normal, faces, size).sum()) / size**3


def plates(results: Results, small: bool) -> None:
    """Layers of a few voxels in random directions."""
    directions, size = (8, 48) if small else (40, 80)
    columns = {"thickness, voxels": ""}
    for method in METHODS:
        columns |= {f"{method}, %": "+.1f", f"lowest ({method})": "+.1f", f"highest ({method})": "+.1f"}
    title = f"Error of the surface of parallel layers, {directions} random directions in {size}^3 voxels"
    table = results.table("surface_layers", title, columns)
    for thick in (1, 1.5, 2, 3, 5, 8, 15):
        cells = []
        cases = [layers(size, thick, seed) for seed in range(directions)]
        for method in METHODS:
            found = [100 * (measured(labels, method) / exact - 1) for labels, exact in cases]
            cells += [float(np.mean(found)), min(found), max(found)]
        table.add(thick, *cells)


def pieces(results: Results, small: bool) -> None:
    """Parts of a volume against the whole: what is at the faces of a part must weigh as much as what is inside."""
    whole = 96 if small else 192
    columns = {"medium": "", "side of the part": ""}
    for method in METHODS:
        columns |= {f"{method}, %": "+.2f", f"scatter of a part ({method})": ".1f"}
    columns["goal"] = ""
    title = f"Surface per volume of the parts of a volume of {whole}^3 voxels, mean over all, less that of the whole"
    table = results.table("surface_parts", title, columns)
    media: dict[str, Callable[[], np.ndarray]] = {
        "spheres of radius 5": lambda: overlapping(whole, 5, 0.4, 1)[0],
        "thresholded field": lambda: grains((whole,) * 3, 3, 0.4, 1),
    }
    for name, make in media.items():
        volume = make()
        exact = {method: measured(volume, method) for method in METHODS}
        for side in (24, 32) if small else (24, 32, 64):
            cells, good = [], True
            corners = list(product(range(0, whole, side), repeat=3))
            for method in METHODS:
                parts = [
                    100 * measured(volume[z : z + side, y : y + side, x : x + side], method) / exact[method] - 100
                    for z, y, x in corners
                ]
                good = good and abs(np.mean(parts)) <= PARTS_GOAL
                cells += [float(np.mean(parts)), float(np.std(parts))]
            table.add(name, side, *cells, f"{PARTS_GOAL}: {met(good)}")


def lines(results: Results, small: bool) -> None:
    """The triple-phase boundary of parts of a volume against that of the whole."""
    whole = 64 if small else 144
    columns = {"side of the part": "", "mean less the whole, %": "+.2f", "scatter of a part": ".1f", "goal": ""}
    title = f"Triple-phase boundary per volume of the parts of three phases in {whole}^3 voxels"
    table = results.table("triple_parts", title, columns)
    volume = three_phases((whole,) * 3, 2.5, 4)
    exact = triple_phase_boundary(volume).density.iloc[0]
    for side in (32,) if small else (24, 36, 48):
        parts = [
            100 * triple_phase_boundary(volume[z : z + side, y : y + side, x : x + side]).density.iloc[0] / exact - 100
            for z, y, x in product(range(0, whole, side), repeat=3)
        ]
        mean = float(np.mean(parts))
        table.add(side, mean, float(np.std(parts)), f"{LINES_GOAL}: {met(abs(mean) <= LINES_GOAL)}")


def cost(results: Results) -> None:
    """CPU seconds on 128^3 voxels."""
    columns = {"method": "", "CPU s, two phases": ".2f", "CPU s, three phases": ".2f"}
    table = results.table("surface_cost", "CPU seconds of the surfaces of 128^3 voxels", columns)
    two = grains((128,) * 3, 3, 0.4, 1)
    three = np.where(grains((128,) * 3, 3, 0.5, 2) & (two == 0), 2, two)
    for method in METHODS:
        cells = []
        for labels in (two, three):
            measured(labels, method)  # compiles
            began = time.process_time()
            measured(labels, method)
            cells.append(time.process_time() - began)
        table.add(method, *cells)


def surfaces(results: Results, small: bool) -> None:
    """All tables."""
    plates(results, small)
    pieces(results, small)
    lines(results, small)
    cost(results)
    spheres(results, small)
