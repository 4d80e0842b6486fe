"""The two networks of the GAN: a 3D generator from coarse to fine, and a 2D critic of slices.

After Dahari et al. 2023 (Fusion of complementary 2D and 3D mesostructural datasets using generative adversarial
networks, doi:10.1002/aenm.202202407): the generator sees a coarse volume and noise, the critic slices of the fine
volume and fine micrographs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from fijibridge.core.params import Param

LEAK = 0.2
NOISE = 2  # channels at coarse resolution; one more at each finer one


@dataclass(frozen=True)
class Architecture:
    """What a generator is made of.

    Parameters
    ----------
    groups, phases : int
        Channels in and out.
    factor : int
        2, 4 or 8.
    width : int
        Channels at coarse resolution; halved with each enlargement, not below 8.
    depth : int
        Convolutions at coarse resolution.
    """

    groups: Annotated[int, Param("", low=1, high=255)]
    phases: Annotated[int, Param("", low=2, high=255)]
    factor: Annotated[int, Param("", low=2, high=8)]
    width: Annotated[int, Param("", low=1, high=1024)] = 32
    depth: Annotated[int, Param("", low=0, high=64)] = 3

    @property
    def enlargements(self) -> int:
        """How many times the size is doubled."""
        return int(math.log2(self.factor))

    @property
    def widths(self) -> list[int]:
        """Channels at each resolution, coarse first."""
        return [max(8, self.width >> step) for step in range(self.enlargements + 1)]

    @property
    def margin(self) -> int:
        """Coarse voxels around a block that its result depends on."""
        reach = 1  # of the last convolution
        for _ in range(self.enlargements):
            reach = math.ceil((reach + 2) / 2)
        return reach + self.depth


class Generator(nn.Module):
    """(N, G, z, y, x) shares of the groups and noise -> (N, P, fz, fy, fx) logits of the phases.

    Parameters
    ----------
    architecture : Architecture
        Sizes.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        widths = architecture.widths
        self.coarse = nn.ModuleList(
            _conv3d(architecture.groups + NOISE if step == 0 else widths[0], widths[0])
            for step in range(architecture.depth)
        )
        self.enlarging = nn.ModuleList(
            nn.ModuleList([_conv3d(before + 1, after), _conv3d(after, after)]) for before, after in pairwise(widths)
        )
        self.last = _conv3d(widths[-1], architecture.phases)

    def forward(self, shares: torch.Tensor, noise: list[torch.Tensor]) -> torch.Tensor:
        """Logits.

        Parameters
        ----------
        shares : torch.Tensor
            (N, G, z, y, x).
        noise : list of torch.Tensor
            By `noise_of` or `random_noise`.

        Returns
        -------
        torch.Tensor
            (N, P, fz, fy, fx).
        """
        features = torch.cat([shares, noise[0]], dim=1)
        for layer in self.coarse:
            features = F.leaky_relu(layer(features), LEAK)
        for layers, extra in zip(self.enlarging, noise[1:], strict=True):
            features = F.interpolate(features, scale_factor=2, mode="nearest")
            features = torch.cat([features, extra], dim=1)
            assert isinstance(layers, nn.ModuleList)
            for layer in layers:
                features = F.leaky_relu(layer(features), LEAK)
        return self.last(features)


def _conv3d(given: int, made: int) -> nn.Conv3d:
    return nn.Conv3d(given, made, 3, padding=1, padding_mode="replicate")


class Critic(nn.Module):
    """(N, P, Y, X) slices -> (N,) scores: higher, the more they look like micrographs.

    Parameters
    ----------
    phases : int
        Channels.
    width : int
        Channels of the first layer; doubled with each halving of the size.
    """

    def __init__(self, phases: int, width: int = 32) -> None:
        super().__init__()
        widths = [phases, width, 2 * width, 4 * width]
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, 4, stride=2, padding=1) for before, after in pairwise(widths)
        )
        self.last = nn.Conv2d(widths[-1], 1, 3)

    def forward(self, slices: torch.Tensor) -> torch.Tensor:
        """The mean score over all places."""
        for layer in self.layers:
            slices = F.leaky_relu(layer(slices), LEAK)
        return self.last(slices).mean((1, 2, 3))


def random_noise(
    architecture: Architecture, number: int, shape: tuple[int, int, int], generator: torch.Generator
) -> list[torch.Tensor]:
    """Noise for a batch of coarse crops.

    Parameters
    ----------
    architecture : Architecture
        Of the generator network.
    number : int
        Crops.
    shape : (int, int, int)
        (z, y, x) of a crop, in coarse voxels.
    generator : torch.Generator
        Of random numbers.

    Returns
    -------
    list of torch.Tensor
        (number, C, z, y, x) float32 a resolution, on the random generator's device.
    """
    found = []
    for step in range(architecture.enlargements + 1):
        sides = [size << step for size in shape]
        channels = NOISE if step == 0 else 1
        found.append(torch.randn(number, channels, *sides, generator=generator, device=generator.device))
    return found


def noise_of(
    architecture: Architecture, seed: int, shape: tuple[int, ...], where: tuple[slice, ...]
) -> list[np.ndarray]:
    """Noise of a block of a volume: the same at each place however the volume is divided.

    Parameters
    ----------
    architecture : Architecture
        Of the generator.
    seed : int
        Of the volume.
    shape : tuple of int
        (z, y, x) of the whole coarse volume.
    where : tuple of slice
        The block in it.

    Returns
    -------
    list of np.ndarray
        (1, C, z, y, x) float32 a resolution.
    """
    found = []
    for step in range(architecture.enlargements + 1):
        channels = NOISE if step == 0 else 1
        z, y, x = (slice(piece.start << step, piece.stop << step) for piece in where)
        planes = []
        for place in range(z.start, z.stop):  # each plane has random numbers of its own
            rng = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, step, place]))
            plane = rng.standard_normal((channels, shape[1] << step, shape[2] << step), np.float32)
            planes.append(plane[:, y, x])
        found.append(np.stack(planes, axis=1)[None])
    return found
