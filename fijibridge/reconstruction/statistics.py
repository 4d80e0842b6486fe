"""Loss terms that compare statistics of the slices with the exemplars': those that a volume is later judged by."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING

from fijibridge.reconstruction.slices import wrapped

if TYPE_CHECKING:
    import torch

    from fijibridge.reconstruction.settings import ReconstructionSettings

REACH = 32  # longest lag of the correlations, in pixels
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0))  # steps (y, x) between which interfaces are counted
_CHORDS = (2, 3, 4, 6, 8, 12, 16, 24)  # pixels
_RUNS = (1, 2, 3, 4, 6, 8, 12, 16)  # lengths of straight boundary, in pixels
_EROSIONS = (1, 2, 3, 4, 5, 7, 9, 11)  # sides of the squares that erode a phase, in pixels
_OPENINGS = (2, 3, 4, 5, 7, 9, 11)  # sides of the squares that open a phase, in pixels
_FLOOR = 0.005  # added to a probability before an error is divided by it: relative errors of small ones say little
_MIXED = 0.25  # share of a random mixture's interface added to an interface before an error is divided by it
_NEAR = 0.2  # relative error up to which it counts squared; above, linearly, so that no term hides the others
_LEAST = 1e-6  # lower bound of a probability before its logarithm

# each term's weight in the settings, and a factor that brings it, at weight 1, to the order of the patch loss
_TERMS = {
    "fraction": ("fraction_weight", 2000.0),
    "correlation": ("correlation_weight", 5000.0),
    "interface": ("interface_weight", 320.0),
    "straight": ("interface_weight", 4.0),
    "chord": ("chord_weight", 4.0),
    "eroded": ("shape_weight", 8.0),
    "opened": ("shape_weight", 16.0),
}
_RARE = 1e-4  # in place of _FLOOR for straight boundaries, of which there are few


def correlations(slices: torch.Tensor, reach: int, *, periodic: bool) -> torch.Tensor:
    """Two-point auto- and cross-correlations of soft phases.

    Parameters
    ----------
    slices : torch.Tensor
        (N, P, A, B) probabilities.
    reach : int
        Longest lag in pixels, at most half of each side.
    periodic : bool
        Whether slices are periodic; else a pair of points counts where both lie inside.

    Returns
    -------
    torch.Tensor
        (pairs, reach + 1, 2 * reach + 1): mean over the slices for lags 0 ... reach and -reach ... reach of each pair
        of phases (i <= j), averaged over h and -h.
    """
    import torch

    rows, columns = slices.shape[-2:]
    size = (rows, columns) if periodic else (rows + reach, columns + reach)
    spectra = torch.fft.rfft2(slices, s=size)
    down = torch.arange(reach + 1, device=slices.device)
    across = torch.arange(-reach, reach + 1, device=slices.device)
    pairs = slices.new_tensor(rows * columns)
    if not periodic:
        pairs = (rows - down)[:, None] * (columns - across.abs())
    found = []
    for i in range(slices.shape[1]):
        for j in range(i, slices.shape[1]):
            product = (spectra[:, i].conj() * spectra[:, j]).mean(0)
            counts = torch.fft.irfft2(product.real.to(product.dtype), s=size)  # real part: mean over h and -h
            counts = torch.cat([counts[: reach + 1, -reach:], counts[: reach + 1, : reach + 1]], dim=1)
            found.append(counts / pairs)
    return torch.stack(found)


def interfaces(slices: torch.Tensor) -> torch.Tensor:
    """(steps, P, P): how often a step of one or two pixels leads from one phase to another (0 on the diagonal).

    By Crofton's formula these are the interface areas of the pairs, direction by direction.
    """
    import torch

    rows, columns = slices.shape[-2:]
    found = []
    for dy, dx in _NEIGHBOURS:
        left = slices[..., : rows - dy, max(0, -dx) : columns - max(0, dx)]
        right = slices[..., dy:, max(0, dx) : columns - max(0, -dx)]
        count = left.shape[0] * left.shape[2] * left.shape[3]
        both = left.movedim(1, 0).flatten(1) @ right.movedim(1, 0).flatten(1).T / count
        found.append(both + both.T)
    off = 1 - torch.eye(slices.shape[1], device=slices.device)
    return torch.stack(found) * off


def chords(slices: torch.Tensor) -> torch.Tensor:
    """(P, lengths): probability that a line along an axis lies in the phase (lineal path; Lu and Torquato 1992)."""
    import torch

    logs = slices.clamp(min=_LEAST).log()
    rows, columns = (_Sums(logs, dim) for dim in (2, 3))
    found = []
    for length in _CHORDS:
        if length > min(slices.shape[-2:]) // 2:
            break
        down, across = (along.of(length).exp().mean((0, 2, 3)) for along in (rows, columns))
        found.append((down + across) / 2)
    return torch.stack(found, dim=1)


def straight_boundaries(slices: torch.Tensor) -> torch.Tensor:
    """(2 P, lengths): how often as many pixels in a row have a side of the phase's boundary along a straight line.

    First the boundaries along the columns, then those along the rows.

    Losses on slices along the axes leave faces of the voxel grid: boundaries that keep a row or a column for longer
    than an image of the material shows.
    """
    import torch

    found = []
    for across, along in ((3, 2), (2, 3)):
        size = slices.shape[across] - 1
        first, second = slices.narrow(across, 0, size), slices.narrow(across, 1, size)
        sides = torch.cat([first * (1 - second), second * (1 - first)], dim=1)
        sums = _Sums(sides.clamp(min=_LEAST).log(), along)
        lengths = [length for length in _RUNS if length <= min(slices.shape[-2:]) // 2]
        both = torch.stack([sums.of(length).exp().mean((0, 2, 3)) for length in lengths], dim=1)
        found.append(both.unflatten(0, (2, -1)).mean(0))
    return torch.cat(found)


def erosions(slices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Area and Euler number of each phase, and of its complement, eroded by squares: (2 P, erosions) each, a pixel.

    Minkowski functionals of parallel sets (Arns et al. 2004, doi:10.1016/j.colsurfa.2004.04.034): area and Euler
    number after erosion distinguish thick from thin, and count two particles joined by a neck as two once the neck is
    eroded. A soft pixel survives the erosion with the product of the probabilities under the square; the Euler number
    is that of pixels joined at their sides, faces - edges + corners.
    """
    import torch

    both = torch.cat([slices, 1 - slices], dim=1)
    rows = _Sums(both.clamp(min=_LEAST).log(), 2)
    areas, eulers = [], []
    for side in _EROSIONS:
        if side > min(slices.shape[-2:]) // 3:
            break
        left = both
        if side > 1:
            left = _Sums(rows.of(side), 3).of(side).exp()
        area, euler = _area_and_euler(left)
        areas.append(area)
        eulers.append(euler)
    return torch.stack(areas, dim=1), torch.stack(eulers, dim=1)


def openings(slices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Area and Euler number of each phase opened by squares: (P, openings) each, a pixel.

    An opening (Serra 1982, Image Analysis and Mathematical Morphology) leaves what the square fits into: specks and
    necks narrower than it go, so that its area is the distribution of sizes, and its Euler number that of particles
    without the specks of a rough surface, by which the Euler number of the phase itself is met too easily.
    """
    import torch

    least = slices.clamp(min=_LEAST).log()
    rows = _Sums(least, 2)
    areas, eulers = [], []
    for side in _OPENINGS:
        if side > min(slices.shape[-2:]) // 3:
            break
        left = _Sums(rows.of(side), 3).of(side).exp()
        missed = _Sums((1 - left).clamp(min=_LEAST).log(), 2)
        opened = 1 - _Sums(missed.of(side), 3).of(side).exp()
        area, euler = _area_and_euler(opened)
        areas.append(area)
        eulers.append(euler)
    return torch.stack(areas, dim=1), torch.stack(eulers, dim=1)


def _area_and_euler(soft: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(P,) each, a pixel: of pixels joined at their sides, faces - edges + corners."""
    beside = soft[..., 1:] * soft[..., :-1]
    below = soft[..., 1:, :] * soft[..., :-1, :]
    corner = beside[..., 1:, :] * beside[..., :-1, :]
    mean = soft.mean((0, 2, 3))
    return mean, mean - beside.mean((0, 2, 3)) - below.mean((0, 2, 3)) + corner.mean((0, 2, 3))


class _Sums:
    """Sums of any number of neighbours along a dimension, from one cumulative sum."""

    def __init__(self, values: torch.Tensor, dim: int) -> None:
        import torch

        start = torch.zeros_like(values.narrow(dim, 0, 1))
        self._cumulative, self._dim = torch.cat([start, values.cumsum(dim)], dim), dim

    def of(self, length: int) -> torch.Tensor:
        """Sums of ``length`` neighbours, at each place where there are as many."""
        count = self._cumulative.shape[self._dim] - length
        return self._cumulative.narrow(self._dim, length, count) - self._cumulative.narrow(self._dim, 0, count)


class StatisticsLoss:
    """The weighted loss terms for the slices across one axis.

    Parameters
    ----------
    exemplars : list of torch.Tensor
        (1, P, Y, X) float32 probabilities: views of micrographs, whose statistics are averaged.
    sides : tuple of int
        Height and width of the slices, pixels.
    settings : ReconstructionSettings
        Weights of the terms, and whether slices are periodic.
    """

    def __init__(self, exemplars: list[torch.Tensor], sides: tuple[int, int], settings: ReconstructionSettings) -> None:
        import torch

        self._weights = {name: scale * getattr(settings, weight) for name, (weight, scale) in _TERMS.items()}
        self._periodic = settings.periodic
        least = min(*sides, *(size for view in exemplars for size in view.shape[-2:]))
        self._reach = min(REACH, least // 2)
        with torch.no_grad():
            self._correlations = _mean([correlations(view, self._reach, periodic=False) for view in exemplars])
            self._interfaces = _mean([interfaces(view) for view in exemplars])
            self._chords = _mean([chords(view) for view in exemplars])
            self._straight = _mean([straight_boundaries(view) for view in exemplars])
            self._eroded = _ShapeDistance([erosions(view) for view in exemplars])
            self._opened = _ShapeDistance([openings(view) for view in exemplars])
        # pairs that never meet in the exemplar are compared with a mixture at random
        shares = _mean([view.mean((0, 2, 3)) for view in exemplars])
        self._mixed = _MIXED * shares[:, None] * shares

    def __call__(self, slices: torch.Tensor) -> dict[str, torch.Tensor]:
        """Weighted terms of (N, P, A, B) slices, by name; those of weight 0 are left out."""
        around = wrapped(slices, max(_CHORDS) // 2) if self._periodic else slices
        found = {}
        if weight := self._weights["correlation"]:
            error = correlations(slices, self._reach, periodic=self._periodic) - self._correlations
            found["correlation"] = weight * error.square().mean((1, 2)).sum()
        if weight := self._weights["interface"]:
            found["interface"] = weight * _distance(interfaces(around), self._interfaces, self._mixed)
        if weight := self._weights["straight"]:
            lines = _alike(straight_boundaries(around), self._straight)
            found["straight"] = weight * _distance(*lines, _RARE)
        if weight := self._weights["chord"]:
            found["chord"] = weight * _distance(*_alike(chords(around), self._chords), _FLOOR)
        if weight := self._weights["eroded"]:
            found["eroded"] = weight * self._eroded(erosions(around))
        if weight := self._weights["opened"]:
            found["opened"] = weight * self._opened(openings(around))
        return found

    def fractions(self, volume: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """The weighted term of the phase fractions.

        Parameters
        ----------
        volume : torch.Tensor
            (P, Z, Y, X) probabilities.
        wanted : torch.Tensor
            (P,) fractions.

        Returns
        -------
        torch.Tensor
            Scalar.
        """
        return self._weights["fraction"] * (volume.mean((1, 2, 3)) - wanted).square().sum()


class _ShapeDistance:
    """How far areas and Euler numbers are from those of the exemplars' views, of which it is made."""

    def __init__(self, views: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
        self._areas, eulers = (_mean(values) for values in zip(*views, strict=True))
        # the mean magnitude, so that a number near its change of sign does not dominate
        self._scale = eulers.abs().mean(1, keepdim=True) + 1e-3
        self._eulers = eulers / self._scale

    def __call__(self, found: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        area = _distance(*_alike(found[0], self._areas), _FLOOR)
        euler, wanted = _alike(found[1] / self._scale, self._eulers)
        return area + _distance(1 + euler - wanted, 1.0, 0.0)


def _alike(found: torch.Tensor, wanted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Both, at the lengths (last axis) that both have."""
    count = min(found.shape[-1], wanted.shape[-1])
    return found[..., :count], wanted[..., :count]


def _mean(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """The mean, over the lengths (last axis) that all have."""
    import torch

    count = min(tensor.shape[-1] for tensor in tensors)
    return reduce(torch.add, (tensor[..., :count] for tensor in tensors)) / len(tensors)


def _distance(found: torch.Tensor, wanted: torch.Tensor | float, floor: torch.Tensor | float) -> torch.Tensor:
    """Mean over the relative errors, squared where small (Huber's loss)."""
    import torch
    import torch.nn.functional as F

    error = (found - wanted) / (wanted + floor + _LEAST)
    return F.smooth_l1_loss(error, torch.zeros_like(error), beta=_NEAR)
