"""What a volume must agree with beside its exemplars, such as a coarse volume of the same place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch


class Constraint(Protocol):
    """What is known of a certain place, such as a coarse volume of it; exemplars describe the material only."""

    @property
    def coarsest(self) -> int:
        """Largest downsampling factor of a level at which it can be evaluated."""

    def digest(self) -> str:
        """A text that differs between constraints."""

    def part(self, block: tuple[slice, slice, slice]) -> Constraint:
        """The constraint on a block of the volume."""

    def fractions(self, where: np.ndarray | None = None) -> np.ndarray:
        """(P,) float64 fractions of the phases, in a (Z, Y, X) bool mask if one is given."""

    def start(self, factor: int) -> np.ndarray:
        """(P, Z, Y, X) float32 initial logits, for the volume downsampled by a factor."""

    def loss(self, volume: torch.Tensor, factor: int) -> torch.Tensor:
        """How far a soft volume is from fulfilling the constraint.

        Parameters
        ----------
        volume : torch.Tensor
            (P, Z, Y, X) float32 probabilities.
        factor : int
            By which the volume is downsampled.

        Returns
        -------
        torch.Tensor
            Scalar, weighted.
        """

    def raised(self, index: np.ndarray, logits: np.ndarray) -> np.ndarray | None:
        """Raise logits where a cut of them does not fulfil the constraint yet.

        Parameters
        ----------
        index : np.ndarray
            (Z, Y, X) uint8 phase indices: the cut.
        logits : np.ndarray
            (P, Z, Y, X) float32.

        Returns
        -------
        np.ndarray or None
            (P, Z, Y, X) float32 logits for another cut; None where the constraint is fulfilled.
        """

    def surrounded(self, phase: int) -> np.ndarray:
        """(Z, Y, X) bool: where the constraint shows the phase alone all around, so that a gap would be invented."""
