"""The network behind a posterior: coarse voxels around one in, probabilities of the phases in its fine voxels out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations, product
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.core import progress

if TYPE_CHECKING:
    import torch

REACH = 2  # coarse voxels to each side of the one that are seen
_WIDTH = 192
_BATCH = 512
_RATE = 2e-3
_DECAY = 1e-2
_AT_ONCE = 8192  # coarse voxels


@dataclass(frozen=True, eq=False)
class PosteriorNetwork:
    """Three layers that see 5 x 5 x 5 coarse voxels.

    Parameters
    ----------
    layers : torch.nn.Module
        (B, C n^3) to (B, P f^3) logits.
    phases, factor : int
        P, and f fine voxels along a coarse one.
    """

    layers: torch.nn.Module
    phases: int
    factor: int

    def logits(self, around: torch.Tensor) -> torch.Tensor:
        """(B, P, f, f, f) of (B, C, n, n, n)."""
        found = self.layers(around.flatten(1) - 0.5)
        return found.unflatten(1, (self.phases, *[self.factor] * 3))


def symmetries(*, isotropic: bool) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Orders of the three axes, and axes that are mirrored afterwards: all 48, or the 8 that keep the axes.

    Parameters
    ----------
    isotropic : bool
        Whether the axes may be exchanged.
    """
    orders = list(permutations(range(3))) if isotropic else [(0, 1, 2)]
    mirrored = [tuple(axis for axis in range(3) if signs[axis]) for signs in product((0, 1), repeat=3)]
    return [(order, axes) for axes in mirrored for order in orders]


def turned(cubes: torch.Tensor, symmetry: tuple[tuple[int, ...], tuple[int, ...]]) -> torch.Tensor:
    """The last three axes of a tensor by a symmetry.

    Parameters
    ----------
    cubes : torch.Tensor
        (..., n, n, n).
    symmetry : tuple
        One of `symmetries`.

    Returns
    -------
    torch.Tensor
        (..., n, n, n).
    """
    order, mirrored = symmetry
    lead = cubes.ndim - 3
    found = cubes.permute(*range(lead), *[lead + axis for axis in order])
    return found.flip([lead + axis for axis in mirrored]) if mirrored else found


def turned_back(cubes: torch.Tensor, symmetry: tuple[tuple[int, ...], tuple[int, ...]]) -> torch.Tensor:
    """What `turned` has done is undone.

    Parameters
    ----------
    cubes, symmetry
        As of `turned`.

    Returns
    -------
    torch.Tensor
        (..., n, n, n).
    """
    order, mirrored = symmetry
    lead = cubes.ndim - 3
    found = cubes.flip([lead + axis for axis in mirrored]) if mirrored else cubes
    return found.permute(*range(lead), *[lead + order.index(axis) for axis in range(3)])


def trained(
    seen: np.ndarray,
    index: np.ndarray,
    factor: int,
    phases: int,
    *,
    noise: float,
    steps: int,
    isotropic: bool,
    seed: int,
    device: str,
) -> PosteriorNetwork:
    """Train on a known structure, by the cross entropy.

    Parameters
    ----------
    seen : np.ndarray
        (C, Z - f + 1, ...) float32: what a coarse voxel that begins there would show.
    index : np.ndarray
        (Z, Y, X) phase indices.
    factor, phases : int
        f, and the number of phases.
    noise : float
        Standard deviation of the noise that is added to what is seen.
    steps : int
        Each of 512 places, in a random symmetry.
    isotropic : bool
        As of `symmetries`.
    seed : int
        Of the network's start and the places.
    device : str
        Of torch.
    """
    import torch
    import torch.nn.functional as F

    n = 2 * REACH + 1
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):  # layers start by the global generator, which stays as it was
        torch.manual_seed(seed)
        layers = torch.nn.Sequential(
            torch.nn.Linear(len(seen) * n**3, _WIDTH),
            torch.nn.GELU(),
            torch.nn.Linear(_WIDTH, _WIDTH),
            torch.nn.GELU(),
            torch.nn.Linear(_WIDTH, phases * factor**3),
        ).to(device)
    network = PosteriorNetwork(layers, phases, factor)
    coarse, fine = torch.from_numpy(seen).to(device), torch.from_numpy(index.astype(np.int64)).to(device)
    around, inside = _steps(n, factor, coarse.shape[1:]).to(device), _steps(factor, 1, fine.shape).to(device)
    ends = torch.tensor([size - factor * n + 1 for size in fine.shape])  # first places of a neighbourhood
    optimiser = torch.optim.AdamW(layers.parameters(), lr=_RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=max(2, steps), pct_start=0.1)
    turns = symmetries(isotropic=isotropic)
    with progress.bar("learning the posterior", steps) as bar:
        for _ in range(steps):
            start = (torch.rand(_BATCH, 3, generator=generator) * ends).long()
            turn = turns[int(torch.randint(len(turns), (1,), generator=generator))]
            first = _flat(start, coarse.shape[1:]).to(device)
            cubes = coarse.flatten(1)[:, first[:, None] + around].movedim(0, 1).unflatten(2, (n, n, n))
            if noise:
                cubes = cubes + noise * torch.randn(cubes.shape, generator=generator).to(device)
            target = fine.flatten()[_flat(start + factor * REACH, fine.shape).to(device)[:, None] + inside]
            target = target.unflatten(1, (factor, factor, factor))
            loss = F.cross_entropy(network.logits(turned(cubes, turn)), turned(target, turn))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            bar.update(1)
    return network


def applied(network: PosteriorNetwork, seen: np.ndarray, device: str) -> np.ndarray:
    """Probabilities in the fine voxels of a coarse volume: means over the eight mirror images.

    Parameters
    ----------
    network : PosteriorNetwork
        Trained.
    seen : np.ndarray
        (C, z, y, x) float32: the coarse volume; beyond its faces its outermost voxels are repeated.
    device : str
        Of torch.

    Returns
    -------
    np.ndarray
        (P, f z, f y, f x) float32 that sum to 1.
    """
    import torch

    f, n, shape = network.factor, 2 * REACH + 1, seen.shape[1:]
    padded = torch.from_numpy(np.pad(seen, [(0, 0), *[(REACH, REACH)] * 3], mode="edge")).to(device)
    around = _steps(n, 1, padded.shape[1:]).to(device)
    turns = symmetries(isotropic=False)  # all 48 are hardly better (IoU + 0.0003), and take six times as long
    found = np.empty((network.phases, *[f * size for size in shape]), np.float32)
    with torch.no_grad(), progress.bar("applying the posterior", shape[0]) as bar:
        for plane in range(shape[0]):
            blocks = []
            for places in _places(plane, shape, _AT_ONCE):
                first = _flat(torch.from_numpy(places), padded.shape[1:]).to(device)
                cubes = padded.flatten(1)[:, first[:, None] + around].movedim(0, 1).unflatten(2, (n, n, n))
                total = torch.zeros(len(places), network.phases, f, f, f, device=device)
                for turn in turns:
                    total += turned_back(torch.softmax(network.logits(turned(cubes, turn)), 1), turn)
                blocks.append((total / len(turns)).cpu())
            cells = torch.cat(blocks).unflatten(0, shape[1:])  # (y, x, P, f, f, f)
            flat = cells.permute(2, 3, 0, 4, 1, 5).reshape(network.phases, f, f * shape[1], f * shape[2])
            found[:, plane * f : (plane + 1) * f] = flat.numpy()
            bar.update(1)
    return found


def _places(plane: int, shape: tuple[int, ...], count: int) -> Iterator[np.ndarray]:
    """(N, 3) the voxels of a plane, ``count`` at a time."""
    rest = np.stack(np.meshgrid(np.arange(shape[1]), np.arange(shape[2]), indexing="ij"), axis=-1).reshape(-1, 2)
    places = np.concatenate([np.full((len(rest), 1), plane), rest], axis=1)
    for start in range(0, len(places), count):
        yield places[start : start + count]


def _flat(places: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """(N,) positions of (N, 3) places in a flattened array."""
    return (places[:, 0] * shape[1] + places[:, 1]) * shape[2] + places[:, 2]


def _steps(count: int, step: int, shape: tuple[int, ...]) -> torch.Tensor:
    """(count^3,) by how much a flat position grows, within a cube of places that are ``step`` apart."""
    import torch

    places = step * torch.tensor(list(product(range(count), repeat=3)))
    return _flat(places, shape)
