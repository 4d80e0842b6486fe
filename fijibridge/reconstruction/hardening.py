"""From a soft volume to phases: exact fractions, no more specks than the exemplars, contacts as thin as theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fijibridge.reconstruction.contacts import surplus
from fijibridge.reconstruction.cut import cut, without_singles

if TYPE_CHECKING:
    from fijibridge.reconstruction.constraint import Constraint
    from fijibridge.reconstruction.exemplars import Exemplars
    from fijibridge.reconstruction.settings import ReconstructionSettings

_FORBIDDEN = -1e3
_THINNINGS = 4  # at most; what a phase gives up it takes elsewhere, in part at other contacts
_ROUNDS = 60  # cuts at most until a volume fulfils its constraint


def hardened(
    index: np.ndarray,
    logits: np.ndarray,
    free: np.ndarray,
    exemplars: Exemplars,
    settings: ReconstructionSettings,
    constraint: Constraint | None = None,
) -> np.ndarray:
    """The phases of a soft volume.

    Parameters
    ----------
    index : np.ndarray
        (Z, Y, X) uint8: phase indices of the voxels that are known.
    logits : np.ndarray
        (P, Z, Y, X) float32.
    free : np.ndarray
        (Z, Y, X) bool: the others.
    exemplars : Exemplars
        What slices should look like.
    settings : ReconstructionSettings
        Whether contacts are thinned, and the seed.
    constraint : Constraint, optional
        What the volume must agree with; it determines the fractions of the phases.

    Returns
    -------
    np.ndarray
        (Z, Y, X) uint8 phase indices.
    """
    fractions = constraint.fractions(free) if constraint else exemplars.fractions
    index = index.copy()
    index[free] = cut(logits[:, free], fractions)
    logits = without_singles(index, logits, exemplars)
    index[free] = cut(logits[:, free], fractions)
    for round_ in range(_THINNINGS if settings.separate else 0):
        thinner = False
        for phase, _ in exemplars.first:
            kept = ~free | constraint.surrounded(phase) if constraint else ~free
            rims = surplus(index, exemplars, phase, settings.seed + round_, kept)
            if rims is not None and rims.any():
                logits[phase][rims] = _FORBIDDEN
                thinner = True
        if not thinner:
            break
        index[free] = cut(logits[:, free], fractions)
    if constraint:
        for _ in range(_ROUNDS):
            raised = constraint.raised(index, logits)
            if raised is None:
                break
            logits = raised
            index[free] = cut(logits[:, free], fractions)
    return index
