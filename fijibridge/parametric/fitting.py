"""Fitting a parametric model to slices: which phase is cut first, by which kind of field, with which spectrum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.core.errors import ImageError, LabelsError
from fijibridge.core.progress import bar
from fijibridge.parametric.anisotropy import axis_ratio
from fijibridge.parametric.excursion import Kind, correlation_of
from fijibridge.parametric.fields import slice_fields
from fijibridge.parametric.model import Model, Step
from fijibridge.parametric.spectrum import Spectrum, fitted_spectrum
from fijibridge.parametric.statistics import (
    SliceStatistics,
    correlations,
    differences,
    mean_product,
    score,
    slice_statistics,
)

if TYPE_CHECKING:
    from fijibridge.phases.phases import Phases

KINDS = (Kind(), *(Kind(degrees) for degrees in (1, 1.25, 1.5, 2, 4)), *(Kind(degrees, False) for degrees in (1, 2, 4)))
_FEWEST = 50  # pixels of a phase
_SMALLEST = 32  # pixels a side
_PIXELS = 120_000  # of the slices that are simulated
_TILE = 192  # pixels a side of the parts of a large slice, at least
_REACHES = (32, 0.33)  # lags: at least, and at most this share of a side
_ITERATIONS = 4
_DAMPING = 0.8
_LEANINGS = (-0.95, -0.8, -0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6, 0.8, 0.95)
_KEPT = 2  # models with the same phases cut so far that are followed up
_MOST_KEPT = 4
_SAMPLE = 2000  # quantiles by which a level is found
_REST = 255
_UNKNOWN = Spectrum((4.0, 2.0), (1.0, 0.0))  # until it is fitted


@dataclass(frozen=True, eq=False)
class Fit:
    """A model, and how well it agrees with the slices it was fitted to.

    Attributes
    ----------
    model : Model
    differences : dict of str to dict of str to float
        Phase -> statistic -> difference in %, as `fijibridge.parametric.statistics.differences` has them.
    notes : tuple of str
        What a person should know.
    """

    model: Model
    differences: dict[str, dict[str, float]]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _State:
    """Some steps, and simulated slices in which they are made."""

    steps: tuple[Step, ...]
    labels: np.ndarray  # (N, Y, X), _REST where no step has a phase yet
    scores: tuple[np.ndarray, ...]
    score: float


class _Target:
    """The slices' statistics, as the steps need them."""

    def __init__(self, images: np.ndarray, phases: int, reach: int, scales: tuple[float, float]) -> None:
        self.images, self.phases, self.reach, self.scales = images, phases, reach, scales
        self.fractions = np.array([float((images == phase).mean()) for phase in range(phases)])
        pairs = [(a, b) for a in range(phases) for b in range(a, phases)]
        self.distance, self.pairs, self.two_point = correlations(images, pairs, reach, scales)
        self._known: dict[tuple[int, ...], SliceStatistics] = {}

    def merged(self, images: np.ndarray, done: Sequence[int]) -> np.ndarray:
        """Phases of the steps so far from 0 on, and all others as one."""
        table = np.full(256, len(done), np.uint8)
        table[list(done)] = np.arange(len(done))
        return np.asarray(table[images])

    def statistics(self, done: Sequence[int]) -> SliceStatistics:
        key = tuple(done)
        if key not in self._known:
            self._known[key] = slice_statistics(self.merged(self.images, key), len(key) + 1, self.reach, self.scales)
        return self._known[key]

    def left(self, done: Sequence[int]) -> np.ndarray:
        """(lags,): probability that two points lie in what is left."""
        others = [phase for phase in range(self.phases) if phase not in done]
        return np.asarray(sum((1 if a == b else 2) * self.two_point[a, b] for a in others for b in others if a <= b))


def fit(slices: Sequence[Phases], *, seed: int = 0) -> Fit:
    """Fit a model to segmented slices of one material.

    For each order of the phases and each kind of field, the spectrum follows from the phase's two-point function: by
    the exact relation of field and excursion set, then corrected by what simulated slices have. Of all candidates the
    one whose slices come nearest in two-point functions, chord lengths and Euler numbers is taken.

    Parameters
    ----------
    slices : sequence of Phases
        In 2D, of the same phases and of one pixel size.
    seed : int
        Of the slices that are simulated.

    Returns
    -------
    Fit

    Raises
    ------
    ImageError
        Slices below 32 x 32 pixels, or with a background.
    LabelsError
        A single phase, or one with less than 50 pixels.
    """
    first = slices[0]
    _check(slices)
    reach = _reach(slices)
    images = _tiles(slices, reach)
    ratio, notes = axis_ratio(images, len(first), reach)
    target = _Target(images, len(first), reach, (ratio**0.5, ratio**-0.5))
    count = max(2, -(-_PIXELS // images[0].size))
    states = [_State((), np.full((count, *images.shape[1:]), _REST, np.uint8), (), 0.0)]
    for number in range(len(first) - 1):
        rest = [(state, phase) for state in states for phase in range(len(first)) if phase not in _done(state.steps)]
        found = []
        with bar(f"fitting, phase {number + 1} of {len(first) - 1}", len(rest)) as progress:
            for state, phase in rest:
                found += _extended(state, phase, target, np.random.SeedSequence([seed, number]))
                progress.update()
        states = _best(found)
    best = min(states, key=lambda state: state.score)
    model = Model(
        first.names, first.values, tuple(target.fractions), best.steps, reach,
        (1.0, ratio**0.5, ratio**-0.5), first.spacing[2], first.unit,
    )  # fmt: skip
    order = [*_done(best.steps), model.rest]
    apart = differences(target.statistics(order[:-1]), _measured(best, target))
    table = {
        first.names[phase]: {name: round(float(values[place]), 2) for name, values in apart.items()}
        for place, phase in enumerate(order)
    }
    return Fit(model, table, tuple(notes))


def _check(slices: Sequence[Phases]) -> None:
    for one in slices:
        shape = one.index.shape[1:]
        if one.ndim != 2 or min(shape) < _SMALLEST:
            raise ImageError(
                f"a slice of {' x '.join(map(str, one.index.shape[3 - one.ndim :]))}",
                expected=f"one segmented slice of at least {_SMALLEST} x {_SMALLEST} pixels",
                remedy="give a larger slice; in Fiji, Image > Duplicate... takes one slice of a stack",
            )
        if one.inside is not None:
            raise ImageError(
                "a slice with pixels of the background",
                expected="a phase at every pixel",
                remedy="crop the slice to the sample",
            )
        if len(one) < 2:
            raise LabelsError(
                f"a slice of one phase only ({one.names[0]})",
                expected="two phases or more",
                remedy="check the segmentation: its values must differ between phases",
            )
        for phase, name in one:
            if one.counts[phase] < _FEWEST:
                raise LabelsError(
                    f"{name} has {one.counts[phase]} pixels in the slice",
                    expected=f"at least {_FEWEST} of each phase, in several places",
                    remedy="give a larger slice, or merge the phase with another one",
                )


def _reach(slices: Sequence[Phases]) -> int:
    """Largest lag to be fitted: twice that at which all phases have come near to independence."""
    side = min(min(one.index.shape[1:]) for one in slices)
    most = int(_REACHES[1] * side)
    images = slices[0].index
    longest = 0.0
    for phase, _ in slices[0]:
        distance, _, found = correlations(images, [(phase, phase)], side // 2, (1.0, 1.0))
        share = float((images == phase).mean())
        near = np.abs(found[phase, phase] - share**2) < 0.05 * share * (1 - share)
        longest = max(longest, float(distance[near.argmax()]) if near.any() else side)
    return int(min(most, max(_REACHES[0], 2 * longest)))


def _tiles(slices: Sequence[Phases], reach: int) -> np.ndarray:
    """(N, Y, X): parts of the slices, all of one shape."""
    side = max(_TILE, 4 * reach)
    height = min(side, *(one.index.shape[1] for one in slices))
    width = min(side, *(one.index.shape[2] for one in slices))
    found = []
    for one in slices:
        image = one.index[0]
        rows, columns = image.shape[0] // height, image.shape[1] // width
        cut = image[: rows * height, : columns * width]
        found.append(cut.reshape(rows, height, columns, width).swapaxes(1, 2).reshape(-1, height, width))
    return np.concatenate(found)


def _done(steps: Sequence[Step]) -> tuple[int, ...]:
    return tuple(step.phase for step in steps)


def _extended(state: _State, phase: int, target: _Target, seed: np.random.SeedSequence) -> list[_State]:
    """The state with a further step, one for each kind of field."""
    follows, leaning = _leaning(state, phase, target)
    found = []
    for kind in KINDS:
        made = _step(state, Step(phase, kind, _UNKNOWN, follows, leaning), target, seed)
        done = _done(made.steps)
        apart = score(target.statistics(done), _measured(made, target))
        found.append(_State(made.steps, made.labels, made.scores, apart))
    return found


def _measured(state: _State, target: _Target) -> SliceStatistics:
    done = _done(state.steps)
    return slice_statistics(target.merged(state.labels, done), len(done) + 1, target.reach, target.scales)


def _leaning(state: _State, phase: int, target: _Target) -> tuple[int, float]:
    """The earlier step, and the correlation with its field, that give the cross-correlation of the two phases best."""
    from scipy import special

    free = state.labels == _REST
    share = target.fractions[phase]
    best, chosen = np.inf, (-1, 0.0)
    weights = 1 / (1 + (target.distance / (target.reach / 4)) ** 2)
    for place, field in enumerate(state.scores):
        earlier = state.steps[place].phase
        mask = (state.labels == earlier).astype(np.float32)
        wanted = target.two_point[min(earlier, phase), max(earlier, phase)]
        sample = np.quantile(field[free], (np.arange(_SAMPLE) + 0.5) / _SAMPLE)
        for leaning in _LEANINGS:
            width = np.sqrt(1 - leaning**2)
            low, high = -6.0, 6.0
            for _ in range(25):
                level = (low + high) / 2
                found_share = special.ndtr((leaning * sample - level) / width).mean() * free.mean()
                low, high = (level, high) if found_share > share else (low, level)
            chance = special.ndtr((leaning * field - level) / width) * free
            found = mean_product(mask, chance.astype(np.float32), target.reach, target.scales)
            apart = float(np.average((found - wanted) ** 2, weights=weights))
            if apart < best:
                best, chosen = apart, (place if leaning else -1, float(leaning))
    return chosen


def _step(state: _State, step: Step, target: _Target, seed: np.random.SeedSequence) -> _State:
    """Find the spectrum of a step, and make it in the state's slices."""
    share, phase = target.fractions[step.phase], step.phase
    done = _done(state.steps)
    left = np.maximum(target.left(done), 1e-9)
    within = share / (1 - target.fractions[list(done)].sum())
    wanted = target.two_point[phase, phase]
    correlation, slope = correlation_of(step.kind, within, wanted / left)
    correlation[0] = 1
    lean = 1 - step.leaning**2
    slope = np.clip(slope, 0.02, 1.0) * left * lean
    weights = slope * target.pairs**0.25 / (1 + (2 * target.distance / target.reach) ** 2)
    even = np.sqrt(np.gradient(target.distance)) / (1 + (2 * target.distance / target.reach) ** 2)
    best, chosen = np.inf, state
    for iteration in range(_ITERATIONS):
        spectrum = fitted_spectrum(target.distance, correlation, weights, target.reach)
        made = _made(state, Step(phase, step.kind, spectrum, step.follows, step.leaning), target, seed)
        _, _, found = correlations(made.labels, [(phase, phase)], target.reach, target.scales)
        apart = wanted - found[phase, phase]
        error = float(np.abs(apart * even).sum())
        if error < best:
            best, chosen = error, made
        if iteration + 1 < _ITERATIONS:
            correlation = correlation + _DAMPING * apart / slope
            correlation = np.clip(correlation, 0 if step.kind.degrees else -1, 1)
            correlation[0] = 1
    return chosen


def _made(state: _State, step: Step, target: _Target, seed: np.random.SeedSequence) -> _State:
    """The state with a step made in its slices."""
    count, height, width = state.labels.shape
    rng = np.random.default_rng(seed)
    size = (height + target.reach, width + target.reach)
    fields = (
        slice_fields(step.spectrum, count, size, target.scales, rng)[:, :height, :width] for _ in step.kind.weights
    )
    own = step.kind.normal_scores(fields)
    whole = step.score(own.copy(), state.scores)
    free = state.labels == _REST
    values = whole[free]
    number = min(max(round(target.fractions[step.phase] * free.size), 1), len(values))
    level = np.partition(values, len(values) - number)[len(values) - number]
    labels = state.labels.copy()
    labels[free & (whole >= level)] = step.phase
    return _State((*state.steps, step), labels, (*state.scores, own), state.score)


def _best(states: Sequence[_State]) -> list[_State]:
    """The best few with the same phases cut so far, and of all."""
    groups: dict[frozenset[int], list[_State]] = {}
    for state in sorted(states, key=lambda state: state.score):
        group = groups.setdefault(frozenset(_done(state.steps)), [])
        if len(group) < _KEPT:
            group.append(state)
    kept = sorted((state for group in groups.values() for state in group), key=lambda state: state.score)
    return kept[:_MOST_KEPT]
