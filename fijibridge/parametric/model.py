"""A parametric model of a microstructure: phase after phase is cut out of what is left, each by a random field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fijibridge.core.errors import SettingsError
from fijibridge.parametric.excursion import Kind
from fijibridge.parametric.spectrum import Spectrum

_NARROWEST, _WIDEST = 0.1, 10.0  # factors of lengths


@dataclass(frozen=True)
class Step:
    """One phase, cut out of what the steps before have left.

    Parameters
    ----------
    phase : int
        Index of the phase.
    kind : Kind
        Of its field.
    spectrum : Spectrum
        Of the Gaussian fields that make it.
    follows : int
        Index of an earlier step whose field this one leans on; -1: none.
    leaning : float
        Correlation with that field, -1 to 1: above 0, the phase lies near that step's phase.
    """

    phase: int
    kind: Kind
    spectrum: Spectrum
    follows: int = -1
    leaning: float = 0.0

    def score(self, own: np.ndarray, earlier: Sequence[np.ndarray]) -> np.ndarray:
        """What is thresholded: the own field's normal scores and those of the step that it follows, weighted.

        Parameters
        ----------
        own : np.ndarray
            float32; overwritten.
        earlier : sequence of np.ndarray
            Those of each step before.

        Returns
        -------
        np.ndarray
            As `own`.
        """
        if self.follows < 0 or not self.leaning:
            return own
        own *= np.float32(np.sqrt(1 - self.leaning**2))
        own += np.float32(self.leaning) * earlier[self.follows]
        return own


@dataclass(frozen=True)
class Model:
    """Parameters of a microstructure.

    Parameters
    ----------
    names, values : tuple
        Of the phases, as in `fijibridge.phases.Phases`.
    fractions : tuple of float
        Of the volume; scaled to a sum of 1.
    steps : tuple of Step
        All phases but one, which is what is left.
    reach : int
        Largest lag that was fitted, voxels.
    stretch : tuple of float
        By which lengths along z, y and x are multiplied.
    spacing : float
        Side of a voxel.
    unit : str
        Of `spacing`.

    Raises
    ------
    SettingsError
        Steps, fractions or lengths that make no structure.
    """

    names: tuple[str, ...]
    values: tuple[int, ...]
    fractions: tuple[float, ...]
    steps: tuple[Step, ...]
    reach: int
    stretch: tuple[float, float, float] = (1.0, 1.0, 1.0)
    spacing: float = 1.0
    unit: str = "px"

    def __post_init__(self) -> None:
        phases = [step.phase for step in self.steps]
        wrong = len(set(phases)) < len(phases) or set(phases) - set(range(len(self.names)))
        if wrong or len(phases) != len(self.names) - 1 or len(self.names) != len(self.values):
            raise SettingsError(
                f"{len(self.steps)} steps for the phases {', '.join(self.names)}",
                expected="one step for each phase but one, which is what is left",
                remedy="change steps in the parameters",
            )
        for place, step in enumerate(self.steps):
            if not -1 <= step.follows < place or not abs(step.leaning) < 1:
                raise SettingsError(
                    f"the step of {self.names[step.phase]} follows step {step.follows} by {step.leaning:g}",
                    expected="an earlier phase, and a number between -1 and 1",
                    remedy="change follows and leaning in the parameters",
                )
        shares = np.array(self.fractions, float)
        if len(shares) != len(self.names) or not np.isfinite(shares).all() or shares.min() <= 0:
            raise SettingsError(
                f"fractions {', '.join(f'{share:g}' for share in shares)}",
                expected=f"a number above 0 for each of {', '.join(self.names)}",
                remedy="change fractions in the parameters",
            )
        object.__setattr__(self, "fractions", tuple(float(share) for share in shares / shares.sum()))
        if len(self.stretch) != 3 or not all(_NARROWEST <= factor <= _WIDEST for factor in self.stretch):
            raise SettingsError(
                f"lengths along z, y, x multiplied by {', '.join(f'{factor:g}' for factor in self.stretch)}",
                expected=f"three factors from {_NARROWEST:g} to {_WIDEST:g}",
                remedy="choose factors nearer to 1, or fit to a slice of another pixel size",
            )

    @property
    def rest(self) -> int:
        """Index of the phase that is what is left."""
        (found,) = set(range(len(self.names))) - {step.phase for step in self.steps}
        return found

    def with_fractions(self, fractions: Mapping[str, float]) -> Model:
        """The same with other fractions of some phases; those not named share what is left as they did.

        Parameters
        ----------
        fractions : mapping of str to float
            By name of the phase.

        Raises
        ------
        SettingsError
            Another phase, a fraction that is not between 0 and 1, or a sum that leaves nothing (or not 1).
        """
        unknown = set(fractions) - set(self.names)
        if unknown:
            raise SettingsError(
                f"a fraction of {', '.join(sorted(unknown))}",
                expected=f"phases {', '.join(self.names)}",
                remedy="check the spelling; --classes names the phases",
            )
        total = sum(fractions.values())
        others = [share for name, share in zip(self.names, self.fractions, strict=True) if name not in fractions]
        low = min(fractions.values(), default=1.0)
        if not low > 0 or (others and not total < 1) or (not others and abs(total - 1) > 1e-6):
            told = ", ".join(f"{name} {share:g}" for name, share in fractions.items())
            raise SettingsError(
                f"fractions {told}",
                expected="numbers above 0, with a sum below 1 (of 1, where all phases are given)",
                remedy="give shares of the volume, such as pore=0.3",
            )
        scale = (1 - total) / sum(others) if others else 0.0
        shares = (fractions.get(name, scale * share) for name, share in zip(self.names, self.fractions, strict=True))
        return replace(self, fractions=tuple(shares))

    def with_lengths(self, factor: float = 1.0, stretch: Sequence[float] = (1.0, 1.0, 1.0)) -> Model:
        """The same with other lengths.

        Parameters
        ----------
        factor : float
            By which all are multiplied.
        stretch : sequence of float
            By which those along z, y and x are multiplied, too.

        Raises
        ------
        SettingsError
            Factors that come to less than 0.1 or more than 10.
        """
        z, y, x = (factor * own * other for own, other in zip(self.stretch, stretch, strict=True))
        return replace(self, stretch=(z, y, x))

    def as_dict(self) -> dict[str, Any]:
        """The parameters as JSON keeps them; `model_from_dict` reads them."""
        return {
            "fijibridge_parameters": 1,
            "phases": dict(zip(self.names, self.values, strict=True)),
            "fractions": {name: round(share, 6) for name, share in zip(self.names, self.fractions, strict=True)},
            "voxel_size": {"size": self.spacing, "unit": self.unit},
            "stretch": dict(zip("zyx", (round(factor, 6) for factor in self.stretch), strict=True)),
            "reach": self.reach,
            "steps": [self._step(step) for step in self.steps],
        }

    def _step(self, step: Step) -> dict[str, Any]:
        followed = self.names[self.steps[step.follows].phase] if step.follows >= 0 else None
        return {
            "phase": self.names[step.phase],
            "field": "chi-square" if step.kind.degrees else "Gaussian",
            "degrees": step.kind.degrees,
            "side": "high" if step.kind.high else "low",
            "follows": followed,
            "leaning": round(step.leaning, 4),
            "white": round(step.spectrum.white, 6),
            "spectrum": [
                [round(length, 4), round(share, 6)]
                for length, share in zip(step.spectrum.wavelengths, step.spectrum.shares, strict=True)
            ],
        }


def model_from_dict(values: Any, name: str = "the parameters") -> Model:
    """A model from what `Model.as_dict` gave, changed or not.

    Parameters
    ----------
    values : dict
        As JSON has it.
    name : str
        What an error calls it.

    Raises
    ------
    SettingsError
        Something missing, of another kind, or that makes no structure.
    """
    if not isinstance(values, dict) or values.get("fijibridge_parameters") != 1:
        raise SettingsError(
            f"{name} are no parameters of a structure",
            expected="parameters.json as generate writes it",
            remedy="generate from a slice first, then change its parameters.json",
        )
    try:
        names = tuple(str(one) for one in values["phases"])
        steps: list[Step] = []
        for one in values["steps"]:
            done = [names[step.phase] for step in steps]
            lengths, shares = zip(*one["spectrum"], strict=True)
            follows = one["follows"]
            if follows is not None and follows not in done:
                raise ValueError(f"the step of {one['phase']} follows {follows}, which is no earlier step's phase")
            field = {"chi-square": float(one["degrees"]), "Gaussian": 0.0}[one["field"]]
            steps.append(
                Step(
                    names.index(one["phase"]),
                    Kind(field, {"high": True, "low": False}[one["side"]]),
                    Spectrum(tuple(map(float, lengths)), tuple(map(float, shares)), float(one["white"])),
                    done.index(follows) if follows is not None else -1,
                    float(one["leaning"]),
                )
            )
        fractions = tuple(float(values["fractions"][phase]) for phase in names)
        z, y, x = (float(values["stretch"][axis]) for axis in "zyx")
        size = values["voxel_size"]
        own = tuple(int(value) for value in values["phases"].values())
        reach, spacing, unit = int(values["reach"]), float(size["size"]), str(size["unit"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        told = f"without {error}" if isinstance(error, KeyError) else f"that cannot be used ({error})"
        raise SettingsError(
            f"{name} {told}",
            expected="parameters.json as generate writes it, with changed numbers",
            remedy="generate from the slice again, and change what it writes",
        ) from error
    return Model(names, own, fractions, tuple(steps), reach, (z, y, x), spacing, unit)
