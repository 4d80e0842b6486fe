"""What a volume must agree with beside its exemplars: a place for a coarse volume to hold on to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch


class Anchor(Protocol):
    """Knowledge of a certain place, such as a coarse volume of it; exemplars know the material alone."""

    @property
    def coarsest(self) -> int:
        """Largest downsampling factor of a level that it can speak of."""

    def digest(self) -> str:
        """What tells it from another one."""

    def part(self, block: tuple[slice, slice, slice]) -> Anchor:
        """What it knows of a block of the volume."""

    def fractions(self, where: np.ndarray | None = None) -> np.ndarray:
        """(P,) fractions of the phases, of the voxels in a (Z, Y, X) mask alone where one is given."""

    def start(self, factor: int) -> np.ndarray:
        """(P, Z, Y, X) float32 logits to begin with, for the volume downsampled by a factor."""

    def loss(self, volume: torch.Tensor, factor: int) -> torch.Tensor:
        """How far (P, Z, Y, X) probabilities, of the volume downsampled by a factor, are from agreeing."""

    def raised(self, index: np.ndarray, logits: np.ndarray) -> np.ndarray | None:
        """Logits that a cut makes more agreement of than the (Z, Y, X) phases have; None where they agree."""

    def surrounded(self, phase: int) -> np.ndarray:
        """(Z, Y, X) bool: where all around is the phase as far as is known, so that nothing tells of a gap in it."""
