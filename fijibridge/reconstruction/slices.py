"""Slices of a soft volume, on which all losses are evaluated."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def one_hot(index: torch.Tensor, phases: int) -> torch.Tensor:
    """One-hot encoding of phase indices.

    Parameters
    ----------
    index : torch.Tensor
        (..., Y, X) whole numbers.
    phases : int
        Number of phases.

    Returns
    -------
    torch.Tensor
        (..., P, Y, X) float32, 0 or 1.
    """
    import torch

    return torch.stack([index == phase for phase in range(phases)], dim=-3).float()


def across(volume: torch.Tensor, axis: int, places: torch.Tensor) -> torch.Tensor:
    """Slices of a volume across an axis.

    Parameters
    ----------
    volume : torch.Tensor
        (P, Z, Y, X).
    axis : int
        0, 1 or 2 for z, y, x.
    places : torch.Tensor
        (N,) int64 positions along the axis.

    Returns
    -------
    torch.Tensor
        (N, P, A, B): the other two axes keep their order.
    """
    return volume.index_select(axis + 1, places).movedim(axis + 1, 0)


def diagonal(volume: torch.Tensor, axis: int, length: int, count: int, generator: torch.Generator) -> torch.Tensor:
    """Random slices along one axis and a diagonal of the other two: voxels themselves, nothing is interpolated.

    Parameters
    ----------
    volume : torch.Tensor
        (P, Z, Y, X).
    axis : int
        0, 1 or 2 for z, y, x: the columns of the slices.
    length : int
        Voxels along the diagonal, whose step is sqrt(2) voxels; at most the smaller of the other two sides.
    count : int
        Number of slices, half of them along each diagonal.
    generator : torch.Generator
        On the CPU, for their places.

    Returns
    -------
    torch.Tensor
        (N, P, length, columns).
    """
    import torch

    planes = volume.movedim(axis + 1, -1)
    rows, columns = planes.shape[1:3]
    first = torch.randint(rows - length + 1, (count, 1), generator=generator)
    second = torch.randint(columns - length + 1, (count, 1), generator=generator)
    steps = torch.arange(length)
    up = torch.arange(count)[:, None] % 2 == 1
    across_columns = torch.where(up, second + (length - 1) - steps, second + steps)
    return planes[:, first + steps, across_columns].movedim(1, 0)


def stretched(soft: torch.Tensor) -> torch.Tensor:
    """Images seen with rows at a distance of sqrt(2) pixels, as `diagonal` sees a volume; as sharp as they were.

    Parameters
    ----------
    soft : torch.Tensor
        (N, P, Y, X) probabilities.

    Returns
    -------
    torch.Tensor
        (N, P, floor((Y - 1) / sqrt(2)) + 1, X).
    """
    import torch

    size = soft.shape[2]
    places = torch.arange(int((size - 1) / 2**0.5) + 1, device=soft.device) * 2**0.5
    low = places.floor().long().clamp(max=size - 2)
    share = (places - low)[:, None]
    mixed = soft[:, :, low] * (1 - share) + soft[:, :, low + 1] * share
    binary = bool(((soft == 0) | (soft == 1)).all())
    return one_hot(mixed.argmax(1), soft.shape[1]) if binary else mixed


def wrapped(slices: torch.Tensor, width: int) -> torch.Tensor:
    """Periodic slices with a halo.

    Parameters
    ----------
    slices : torch.Tensor
        (N, P, A, B).
    width : int
        Pixels of the halo on each side, copied from the opposite side.

    Returns
    -------
    torch.Tensor
        (N, P, A + 2 width, B + 2 width).
    """
    import torch.nn.functional as F

    widths = [min(width, size) for size in slices.shape[-2:]]
    return F.pad(slices, (widths[1], widths[1], widths[0], widths[0]), mode="circular")


def coarser(soft: torch.Tensor, factor: int) -> torch.Tensor:
    """Images averaged over squares of pixels.

    Parameters
    ----------
    soft : torch.Tensor
        (N, P, Y, X) probabilities.
    factor : int
        Side of a square in pixels; rows and columns that do not fill one are left out.

    Returns
    -------
    torch.Tensor
        (N, P, Y // factor, X // factor).
    """
    import torch.nn.functional as F

    return F.avg_pool2d(soft, factor) if factor > 1 else soft


def views(exemplar: torch.Tensor, *, isotropic: bool) -> list[torch.Tensor]:
    """The orientations of an exemplar that slices are compared with.

    A single micrograph is never quite the same along its rows and its columns; three planes cannot all follow it.

    Parameters
    ----------
    exemplar : torch.Tensor
        (1, P, Y, X) probabilities.
    isotropic : bool
        Whether it stands for all directions.

    Returns
    -------
    list of torch.Tensor
        The exemplar, and if it stands for all directions the same turned by 90 degrees.
    """
    return [exemplar, exemplar.rot90(1, (2, 3))] if isotropic else [exemplar]
