"""Slices of a soft volume: what all losses look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def one_hot(index: torch.Tensor, phases: int) -> torch.Tensor:
    """(..., Y, X) phase indices as (..., P, Y, X) float32 of 0 and 1."""
    import torch

    return torch.stack([index == phase for phase in range(phases)], dim=-3).float()


def across(volume: torch.Tensor, axis: int, places: torch.Tensor) -> torch.Tensor:
    """Slices of (P, Z, Y, X) across an axis (0, 1, 2) as (N, P, A, B); the order of the other axes is kept."""
    return volume.index_select(axis + 1, places).movedim(axis + 1, 0)


def wrapped(slices: torch.Tensor, width: int) -> torch.Tensor:
    """Slices that go on at their opposite sides, by ``width`` pixels on each."""
    import torch.nn.functional as F

    widths = [min(width, size) for size in slices.shape[-2:]]
    return F.pad(slices, (widths[1], widths[1], widths[0], widths[0]), mode="circular")


def coarser(soft: torch.Tensor, factor: int) -> torch.Tensor:
    """(N, P, Y, X) averaged over squares; rows and columns that fill none are left out."""
    import torch.nn.functional as F

    return F.avg_pool2d(soft, factor) if factor > 1 else soft


def views(exemplar: torch.Tensor, *, isotropic: bool) -> list[torch.Tensor]:
    """The exemplar, and where it stands for all directions, the same turned by 90 degrees.

    A single micrograph is never quite the same along its rows and its columns; three planes cannot all follow it.
    """
    return [exemplar, exemplar.rot90(1, (2, 3))] if isotropic else [exemplar]
