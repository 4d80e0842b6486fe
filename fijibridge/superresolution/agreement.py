"""Agreement with the coarse volume: what a fine volume, seen as coarsely, must look like."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

    from fijibridge.superresolution.coarse import Coarse

# by which the winning group of a coarse voxel should win, in its share of the voxel: a fifth of the coarse voxels of a
# battery electrode are shared more evenly than 2 : 1, and a larger margin moves their surfaces to coarse faces
_MARGIN = 0.05
_SCALE = 1000.0  # brings the loss to the order of the others
_EVEN = 100.0  # scale of the evenness
_LOCATED = 10.0  # scale of the likelihood by the posterior
_SURE = 0.02  # least probability of a group in the volume to begin with
_AROUND = 5  # coarse voxels along a cube of one phase that has no gaps in its middle
_RAISE = 0.05  # on logits, beyond what is needed
FWHM = 2.3548  # of a Gaussian, in its standard deviations


class Agreement:
    """A coarse volume as the constraint on a fine one (see `fijibridge.reconstruction.constraint.Constraint`).

    The fine volume, blurred by the point-spread function and averaged over coarse voxels, gives each group's share of
    a voxel. Labels: the right group's share (with offsets, where the coarse threshold was not one half) must be the
    largest. Probabilities: the shares must equal them. Grey: a sum of the shares, each times a fitted intensity, must
    equal the grey values. Phases within a group are free.

    Parameters
    ----------
    coarse : Coarse
        The volume, or a part.
    factor : int
        Fine voxels along a coarse one.
    within : np.ndarray
        (P,) share of each phase in its group.
    wanted : np.ndarray
        (G,) fractions of the groups in the whole fine volume.
    offsets : np.ndarray
        (G,) of a coarse threshold.
    sigma : float
        Of the point-spread function, in fine voxels.
    weight : float
        Of the loss.
    shift : np.ndarray, optional
        (G,) by how much the fine fractions differ from the coarse ones (by default ``wanted`` less the latter).
    posterior : np.ndarray, optional
        (P, Z, Y, X) float32 probabilities of the phases in the fine voxels (`fijibridge.superresolution.posterior`),
        from which a volume starts and by which it is the likelier; without them it starts from cubic interpolation.
    """

    def __init__(
        self,
        coarse: Coarse,
        factor: int,
        within: np.ndarray,
        wanted: np.ndarray,
        *,
        offsets: np.ndarray | None = None,
        sigma: float = 0.0,
        weight: float = 1.0,
        shift: tuple[np.ndarray, np.ndarray] | None = None,
        posterior: np.ndarray | None = None,
    ) -> None:
        self.coarse, self.factor, self.within, self.wanted = coarse, factor, within, wanted
        self.offsets = np.zeros(len(coarse.groups)) if offsets is None else offsets
        self.sigma, self.weight, self.posterior = sigma, weight, posterior
        whole = coarse.fractions
        self._shift = shift or (wanted - whole, whole * (1 - whole))
        self._groups = np.zeros((len(coarse.groups), len(within)), np.float32)
        for group, phases in enumerate(coarse.groups):
            self._groups[group, list(phases)] = 1
        self._cache: dict[str, torch.Tensor] = {}

    @property
    def coarsest(self) -> int:
        """A quarter of the factor: coarser levels would forget the interpolated edges, and with them a tenth of what
        is known of the visible phases.
        """
        return max(1, self.factor // 4)

    def digest(self) -> str:
        """SHA-256 of all that it depends on."""
        coarse = self.coarse
        numbers = (self.factor, self.within, self.wanted, self.offsets, self.sigma, self.weight, coarse.groups)
        digest = hashlib.sha256(f"{coarse.kind}{coarse.shape}{numbers}".encode())
        # not its numbers, which follow from all else, and need not be the same to the last bit on another machine
        digest.update(b"with a posterior" if self.posterior is not None else b"")
        digest.update(np.ascontiguousarray(coarse.values).data)
        return digest.hexdigest()

    def given(self, posterior: np.ndarray) -> Agreement:
        """The same, with (P, Z, Y, X) probabilities of the phases."""
        return Agreement(
            self.coarse, self.factor, self.within, self.wanted, offsets=self.offsets, sigma=self.sigma,
            weight=self.weight, shift=self._shift, posterior=posterior,
        )  # fmt: skip

    def part(self, block: tuple[slice, ...]) -> Agreement:
        """The agreement of a block, whose corners are multiples of the factor."""
        from dataclasses import replace

        where = tuple(slice(piece.start // self.factor, piece.stop // self.factor) for piece in block)
        place: tuple[Any, ...] = (..., *where)
        coarse = replace(self.coarse, values=self.coarse.values[place], labels=self.coarse.labels[where])
        return Agreement(
            coarse, self.factor, self.within, self.wanted, offsets=self.offsets, sigma=self.sigma, weight=self.weight,
            shift=self._shift, posterior=None if self.posterior is None else self.posterior[:, *block],
        )  # fmt: skip

    def fractions(self, where: np.ndarray | None = None) -> np.ndarray:
        """(P,) of the fine volume, or of a (Z, Y, X) mask made of whole coarse voxels.

        The groups' shares are the coarse volume's, corrected for what its threshold made of them; the phases of a
        group share it as they do in the slices.
        """
        part = slice(None) if where is None else where[(slice(None, None, self.factor),) * 3]
        if self.coarse.kind == "probabilities":
            found = self.coarse.values[:, part].reshape(len(self._groups), -1).mean(1, dtype=np.float64)
        else:
            found = np.bincount(self.coarse.labels[part].ravel(), minlength=len(self._groups)).astype(np.float64)
            found /= found.sum()
        shift, spread = self._shift
        # the change comes from coarse voxels of several phases: none of it where there is one phase alone
        found = found + shift * np.minimum(found * (1 - found) / np.maximum(spread, 1e-9), 2.0)
        found = np.clip(found, 0, 1)
        return (found / found.sum()) @ self._groups * self.within

    def start(self, factor: int) -> np.ndarray:
        """(P, Z, Y, X) float32: logarithms of the groups' probable shares."""
        shares = np.log(self._located(factor))
        within = np.log(np.maximum(self.within, 1e-6)).astype(np.float32)
        return np.einsum("gp,gzyx->pzyx", self._groups, shares) + within[:, None, None, None]

    def _located(self, factor: int) -> np.ndarray:
        """(G, Z, Y, X) float32: expected shares of the groups in the voxels of a level, given the coarse volume."""
        from scipy import ndimage

        ratio = self.factor // factor
        if self.posterior is not None:
            z, y, x = (size // factor for size in self.posterior.shape[1:])
            groups = np.einsum("gp,pzyx->gzyx", self._groups, self.posterior)
            shares = np.clip(groups.reshape(-1, z, factor, y, factor, x, factor).mean((2, 4, 6)), _SURE, 1)
            return shares / shares.sum(0)
        values = self.coarse.values
        if self.coarse.kind != "probabilities":
            values = (self.coarse.labels == np.arange(len(self._groups))[:, None, None, None]).astype(np.float32)
        if ratio > 1:
            values = np.stack([
                ndimage.zoom(share, ratio, order=3, mode="nearest", grid_mode=True) for share in values
            ])  # fmt: skip
        shares = np.clip(values, _SURE, 1)
        return shares / shares.sum(0)

    def shares(self, volume: torch.Tensor, factor: int = 1) -> torch.Tensor:
        """How much of each coarse voxel a group fills.

        Parameters
        ----------
        volume : torch.Tensor
            (P, Z, Y, X) probabilities of a level.
        factor : int
            Fine voxels along a voxel of the level.

        Returns
        -------
        torch.Tensor
            (G, z, y, x).
        """
        import torch.nn.functional as F

        shares = self.seen_finely(volume, factor)
        ratio = self.factor // factor
        return F.avg_pool3d(shares[None], ratio)[0] if ratio > 1 else shares

    def seen_finely(self, volume: torch.Tensor, factor: int = 1) -> torch.Tensor:
        """The groups of a volume as the point-spread function shows them, before the mean over coarse voxels.

        Parameters
        ----------
        volume, factor
            As of `shares`.

        Returns
        -------
        torch.Tensor
            (G, Z, Y, X).
        """
        import torch

        shares = torch.einsum("gp,pzyx->gzyx", torch.from_numpy(self._groups).to(volume.device), volume)
        return shares if self.coarse.kind == "labels" else blurred(shares, self.sigma / factor)

    def loss(self, volume: torch.Tensor, factor: int, *, disagreement_alone: bool = False) -> torch.Tensor:
        """Mean squared disagreement, weighted; with unevenness and likelihood.

        Parameters
        ----------
        volume : torch.Tensor
            (P, Z, Y, X) probabilities of a level.
        factor : int
            Fine voxels along a voxel of the level.
        disagreement_alone : bool
            Without unevenness and likelihood, for which a GAN has its critic.

        Returns
        -------
        torch.Tensor
            A scalar.
        """
        import torch

        shares = self.shares(volume, factor)
        if self.coarse.kind == "labels":
            labels = self._on("labels", volume.device).long()[None]
            shares = shares + torch.from_numpy(self.offsets).to(shares)[:, None, None, None]
            right = shares.gather(0, labels)[0]
            other = shares.scatter(0, labels, -1.0).amax(0)
            error = (_MARGIN - (right - other)).clamp(min=0)
        elif self.coarse.kind == "probabilities":
            error = shares - self._on("values", volume.device)
        else:
            grey = self._on("values", volume.device)
            error = (torch.einsum("g,gzyx->zyx", self.intensities(shares), shares) - grey) / grey.std()
        loss = _SCALE * error.square().mean()
        if not disagreement_alone:
            loss = loss + _EVEN * self.unevenness(volume, factor) - _LOCATED * self.likelihood(volume, factor)
        return self.weight * loss

    def likelihood(self, volume: torch.Tensor, factor: int) -> torch.Tensor:
        """Mean log probability of the voxels' groups, less its mean over the groups; 0 without a posterior.

        Parameters
        ----------
        volume : torch.Tensor
            (P, Z, Y, X) probabilities of a level.
        factor : int
            Fine voxels along a voxel of the level.

        Returns
        -------
        torch.Tensor
            A scalar.
        """
        import torch

        if self.posterior is None:
            return volume.new_zeros(())
        key = f"logs {factor} {volume.device}"
        if key not in self._cache:
            logs = np.log(self._located(factor))
            self._cache[key] = torch.from_numpy(logs - logs.mean(0)).to(volume.device)
        groups = torch.from_numpy(self._groups).to(volume.device)
        return (torch.einsum("gp,pzyx->gzyx", groups, volume) * self._cache[key]).sum(0).mean()

    def unevenness(self, volume: torch.Tensor, factor: int) -> torch.Tensor:
        """How much more, or less, groups change at the faces of coarse voxels than inside: variance over mean squared.

        A material knows nothing of the coarse grid; yet the least surface that fills a coarse voxel by half lies along
        its faces.

        Parameters
        ----------
        volume : torch.Tensor
            (P, Z, Y, X) probabilities of a level.
        factor : int
            Fine voxels along a voxel of the level.

        Returns
        -------
        torch.Tensor
            A scalar, 0 where all planes of voxels change alike.
        """
        import torch

        ratio = self.factor // factor
        if ratio == 1:
            return volume.new_zeros(())
        shares = torch.einsum("gp,pzyx->gzyx", torch.from_numpy(self._groups).to(volume.device), volume)
        found = []
        for axis in (1, 2, 3):
            steps = shares.diff(dim=axis).abs().mean([each for each in range(4) if each != axis])
            steps = steps[: len(steps) // ratio * ratio].reshape(-1, ratio).mean(0)
            found.append((steps / steps.mean().clamp(min=1e-6) - 1).square().mean())
        return torch.stack(found).mean()

    def intensities(self, shares: torch.Tensor) -> torch.Tensor:
        """(G,) grey value of each group: the least-squares fit, without a gradient."""
        import torch

        with torch.no_grad():
            flat = shares.flatten(1).double()
            grey = self._on("values", shares.device).flatten().double()
            normal = flat @ flat.T + 1e-6 * flat.shape[1] * torch.eye(len(flat), device=flat.device)
            return torch.linalg.solve(normal, flat @ grey).to(shares.dtype)

    def _on(self, name: str, device: torch.device) -> torch.Tensor:
        import torch

        key = f"{name} {device}"
        if key not in self._cache:
            self._cache[key] = torch.from_numpy(np.ascontiguousarray(getattr(self.coarse, name))).to(device)
        return self._cache[key]

    def surrounded(self, phase: int) -> np.ndarray:
        """(Z, Y, X) bool: fine voxels whose coarse voxel, and all within two of it, show the phase; none of a phase
        that the coarse volume does not distinguish from others."""
        from scipy import ndimage

        group = next(number for number, phases in enumerate(self.coarse.groups) if phase in phases)
        if len(self.coarse.groups[group]) > 1:
            inside = np.zeros(self.coarse.shape, bool)
        else:
            inside = ndimage.binary_erosion(self.coarse.labels == group, np.ones((_AROUND,) * 3), border_value=1)
        return inside.repeat(self.factor, 0).repeat(self.factor, 1).repeat(self.factor, 2)

    def agreeing(self, index: np.ndarray) -> np.ndarray:
        """(z, y, x) bool: coarse voxels whose group is that of the coarse volume (by its labels)."""
        counts = np.stack([self._counted(np.isin(index, group)) for group in self.coarse.groups])
        counts += self.offsets[:, None, None, None]
        right = np.take_along_axis(counts, self.coarse.labels[None].astype(np.int64), 0)[0]
        return right >= counts.max(0) - 1e-9

    def _counted(self, mask: np.ndarray) -> np.ndarray:
        """Share of each coarse voxel that a mask fills."""
        z, y, x = (size // self.factor for size in mask.shape)
        f = self.factor
        return mask.reshape(z, f, y, f, x, f).mean((1, 3, 5))

    def raised(self, index: np.ndarray, logits: np.ndarray) -> np.ndarray | None:
        """Logits with the right group raised where it does not win its coarse voxel.

        Each such coarse voxel is raised as a whole, by as little as lets the right group win.

        Parameters
        ----------
        index : np.ndarray
            (Z, Y, X) phases.
        logits : np.ndarray
            (P, Z, Y, X) float32.

        Returns
        -------
        np.ndarray or None
            (P, Z, Y, X) float32; None where the right group wins everywhere.
        """
        if self.coarse.kind != "labels":
            return None
        wrong = ~self.agreeing(index)
        if not wrong.any():
            return None
        f = self.factor
        z, y, x = (size // f for size in index.shape)
        blocks = logits.reshape(-1, z, f, y, f, x, f)
        changes = np.zeros((len(self._groups), z, y, x), np.float32)
        for place in zip(*np.nonzero(wrong), strict=True):
            group = self.coarse.labels[place]
            inside = list(self.coarse.groups[group])
            z, y, x = place
            block = blocks[:, z, :, y, :, x].reshape(len(logits), -1)
            others = np.delete(block, inside, axis=0).max(0)
            lacking = np.sort(others - block[inside].max(0))  # sorted: how much each voxel lacks to become the group's
            need = min(len(lacking) - 1, self._needed(group))
            changes[group, z, y, x] = max(0.0, float(lacking[need])) + _RAISE
        fine = changes.repeat(f, 1).repeat(f, 2).repeat(f, 3)
        return logits + np.einsum("gp,gzyx->pzyx", self._groups, fine)

    def _needed(self, group: int) -> int:
        """Fine voxels of a coarse one with which a group wins for sure."""
        most = np.delete(self.offsets, group).max()
        return int(np.ceil(self.factor**3 * min(1.0, 0.5 * (1 + most - self.offsets[group]))))


def blurred(shares: torch.Tensor, sigma: float) -> torch.Tensor:
    """Shares convolved with a Gaussian; outside, the outermost voxels are repeated.

    Parameters
    ----------
    shares : torch.Tensor
        (G, Z, Y, X).
    sigma : float
        Standard deviation, in voxels.

    Returns
    -------
    torch.Tensor
        (G, Z, Y, X).
    """
    import torch
    import torch.nn.functional as F

    if sigma < 0.1:
        return shares
    reach = min(int(np.ceil(3 * sigma)), *(size - 1 for size in shares.shape[1:]))
    line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=shares.device, dtype=shares.dtype) / sigma) ** 2)
    line = line / line.sum()
    found = shares[:, None]
    for axis in range(3):
        pads = [0] * 6
        pads[2 * (2 - axis)] = pads[2 * (2 - axis) + 1] = reach
        kernel = line.reshape([-1 if place == axis else 1 for place in range(3)])[None, None]
        found = F.conv3d(F.pad(found, pads, mode="replicate"), kernel)
    return found[:, 0]
