"""Patch loss, which needs no weights: the distribution of patches of the slices against that of the exemplars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fijibridge.reconstruction.slices import coarser, wrapped

if TYPE_CHECKING:
    import torch

_SIZE = 7  # pixels a side
_PROJECTIONS = 16  # directions drawn anew at each step
_SCALES = (1, 2, 4)
_WINDOW = 192  # pixels a side of the random crop of a larger exemplar, another one each step
_SCALE = 100.0  # brings the loss to the order of the other terms


class PatchLoss:
    """Sliced Wasserstein distance of patches at several scales.

    Patches of 7 x 7 pixels are projected on random directions; the sorted projections of the slices and of the
    exemplar, which are the quantiles of two distributions, are compared. Every patch counts; of a large exemplar, over
    the steps. (Sliced Wasserstein: Rabin et al. 2011, doi:10.1007/978-3-642-24785-9_37; of patches: Elnekave and Weiss
    2022, arXiv 2203.11862.)

    Parameters
    ----------
    exemplars : list of torch.Tensor
        (1, P, Y, X) float32 probabilities: views of micrographs, whose patches count together.
    periodic : bool
        Whether slices are periodic.
    """

    def __init__(self, exemplars: list[torch.Tensor], *, periodic: bool = False) -> None:
        self._periodic = periodic
        self._scales = [
            (scale, [coarser(view, scale) for view in exemplars])
            for scale in _SCALES
            if min(min(view.shape[-2:]) for view in exemplars) // scale >= 2 * _SIZE
        ]

    def __call__(self, slices: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """The loss of slices.

        Parameters
        ----------
        slices : torch.Tensor
            (N, P, A, B) float32 probabilities.
        generator : torch.Generator
            On the CPU, for the directions and crops.

        Returns
        -------
        torch.Tensor
            Scalar.
        """
        import torch
        import torch.nn.functional as F

        loss = slices.new_zeros(())
        for scale, exemplars in self._scales:
            coarse = coarser(slices, scale)
            if self._periodic:
                coarse = wrapped(coarse, _SIZE // 2)
            if min(coarse.shape[-2:]) < _SIZE:
                continue
            directions = torch.randn(_PROJECTIONS, slices.shape[1], _SIZE, _SIZE, generator=generator)
            directions = (directions / directions.flatten(1).norm(dim=1)[:, None, None, None]).to(slices.device)
            parts = [_window(view, generator) for view in exemplars]
            wanted = torch.cat([F.conv2d(part, directions).flatten(2)[0] for part in parts], dim=1)
            wanted = wanted.sort(dim=1).values
            found = F.conv2d(coarse, directions).movedim(1, 0).flatten(1).sort(dim=1).values
            wanted = F.interpolate(wanted[None], size=found.shape[1], mode="linear", align_corners=True)[0]
            loss = loss + (found - wanted).square().mean()
        return _SCALE * loss


def _window(view: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A random crop of (1, P, Y, X), or all of it if it is not large."""
    import torch

    if min(view.shape[-2:]) <= _WINDOW:
        return view
    y, x = (int(torch.randint(size - _WINDOW + 1, (), generator=generator)) for size in view.shape[-2:])
    return view[..., y : y + _WINDOW, x : x + _WINDOW]
