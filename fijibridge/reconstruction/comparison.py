"""A volume against its exemplars: fractions, correlation, surface, chords, and metrics that only 3D has."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, combinations_with_replacement, product
from typing import TYPE_CHECKING, Any

import numpy as np

from fijibridge.core.progress import bar
from fijibridge.metrology.chords import chord_lengths
from fijibridge.metrology.components import connectivity
from fijibridge.metrology.correlation import two_point_correlation
from fijibridge.metrology.report import number
from fijibridge.metrology.surface import of_phase, pair_areas
from fijibridge.metrology.transport import tortuosities
from fijibridge.phases.phases import Phases
from fijibridge.reconstruction.alike import PLANES, check_alike, names_of, present, relabelled, with_index

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("metric", "phase", "other", "plane", "axis", "exemplar", "volume", "unit", "difference", "error")
_WHOLE = 256  # voxels along a side up to which a volume is correlated at once (1.5 GB); a larger one in parts
_TRANSPORT = 256**3  # voxels up to which the flow is solved
_TOLERANCE = 1e-4  # relative error of the conductivity
_SLICES = 16  # slices of each plane whose perimeters are measured


@dataclass(frozen=True, eq=False)
class Comparison:
    """How well a volume agrees with its exemplars.

    Parameters
    ----------
    names : tuple of str
        The phases, in the order of their values.
    unit : str
        Unit of lengths.
    isotropic : bool
        Whether one exemplar, xy, stands for all three planes.
    reach : float
        Distance up to which correlations are compared, in `unit`.
    table : pandas.DataFrame
        One row a number: ``metric``, ``phase``, ``other`` (the second phase of a pair), ``plane`` (of the exemplar;
        "all": all exemplars together, or the one that stands for all planes), ``axis`` (of the volume), ``exemplar``,
        ``volume``, ``unit``, ``difference`` (volume less exemplar), ``error`` (%). NaN where there is no such number.

        - ``fraction``: the difference is in percentage points.
        - ``autocorrelation``, ``cross_correlation``: mean probabilities over the lags; the difference is the mean
          absolute one over the lags along both axes of the plane, the error that over ``phi (1 - phi)``, or over
          ``phi_i phi_j``, of the exemplar.
        - ``specific_surface``, ``interface_area``: the volume's by intercepts; the exemplar's is its
          perimeter (by intercepts, too) times 4/pi, which is exact on average for isotropic material and
          an approximation for the mean of three planes of anisotropic material.
        - ``perimeter``, ``interface_length``: of the volume's slices and the exemplar, in 2D, for anisotropic material.
        - ``mean_chord``: along each axis.
        - of the volume alone: ``largest_component`` (share of the phase), ``percolating`` (share of the phase that
          reaches from face to face along the axis; 0: it does not percolate), ``relative_conductivity`` (along each
          axis, and their mean), ``tortuosity_factor`` (fraction over that mean), ``intercept_density`` (boundaries of
          the phase per length along each axis).
        - ``correlation_spread``, ``intercept_spread``, in %: the largest mean absolute difference of two axes'
          autocorrelations over ``phi (1 - phi)``; the largest less the smallest intercept density over their mean. The
          exemplars' own spread beside it: a volume of anisotropic exemplars should have it.
    curves : dict
        ``"correlation"``: ``phase``, ``other``, ``plane`` (empty for the volume), ``axis`` (of the volume, or
        "radial"), ``which`` ("exemplar" or "volume"), ``distance``, ``probability``. ``"chords"``: ``phase``,
        ``plane``, ``axis``, ``which``, ``length``, ``probability``, ``density``.
    notes : tuple of str
        Warnings.
    seconds : dict
        Wall seconds a step.
    """

    names: tuple[str, ...]
    unit: str
    isotropic: bool
    reach: float
    table: pd.DataFrame
    curves: dict[str, pd.DataFrame]
    notes: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)

    def rows(self, *metrics: str) -> pd.DataFrame:
        """The rows of the table of these metrics."""
        return self.table[self.table.metric.isin(metrics)]

    def headline(self) -> dict[str, float]:
        """The worst of each kind; NaN where nothing could be compared.

        Returns
        -------
        dict
            ``fraction_points``: largest difference of a fraction in percentage points; ``two_point_percent``: largest
            error of a correlation; ``surface_percent``: largest error of a phase's perimeter in slices;
            ``axis_spread_percent``: largest spread between the volume's axes.
        """
        return {
            "fraction_points": _largest(self.rows("fraction").difference),
            "two_point_percent": _largest(self.rows("autocorrelation", "cross_correlation").error),
            "surface_percent": _largest(self.rows("perimeter").error),
            "axis_spread_percent": _largest(self.rows("correlation_spread", "intercept_spread").volume),
        }

    def summary(self) -> dict[str, Any]:
        """The comparison for JSON.

        Returns
        -------
        dict
            ``headline`` (see `headline`), ``unit``, ``isotropic``, ``reach``, ``notes``, and ``metrics``: metric ->
            phase (a pair as "A / B") -> plane and axis ("xy", "xy x", "z"; left out where there are none) -> the
            numbers of the row that are not NaN.
        """
        metrics: dict[str, Any] = {}
        for row in self.table.itertuples():
            every = {name: getattr(row, name) for name in ("exemplar", "volume", "difference", "error")}
            found = {name: number(value) for name, value in every.items() if not math.isnan(value)}
            keys = [row.metric, f"{row.phase} / {row.other}" if row.other else row.phase]
            where = f"{row.plane} {row.axis}".strip()
            keys += [where] if where else []
            place = metrics
            for key in keys[:-1]:
                place = place.setdefault(key, {})
            place.setdefault(keys[-1], {}).update(found)
        return {
            "headline": {name: number(value) for name, value in self.headline().items()},
            "unit": self.unit,
            "isotropic": self.isotropic,
            "reach": self.reach,
            "notes": list(self.notes),
            "metrics": metrics,
        }


def _largest(values: pd.Series) -> float:
    """The largest absolute value, NaN aside."""
    return float(values.abs().max()) if values.notna().any() else math.nan


@dataclass(frozen=True, eq=False)
class _Work:
    """The images under one list of phases, and the rows so far."""

    names: tuple[str, ...]
    exemplars: dict[str, list[Phases]]  # of each plane that is compared: the same ones thrice if they stand for all
    volume: Phases
    isotropic: bool
    lags: int
    threads: int
    rows: list[dict[str, Any]]
    curves: dict[str, pd.DataFrame]
    notes: list[str]

    @property
    def single(self) -> dict[str, list[Phases]]:
        """Each exemplar once, by its plane; "all" for those that stand for all."""
        return {"all": self.exemplars["xy"]} if self.isotropic else self.exemplars

    def share(self, images: Sequence[Phases], place: int) -> float:
        """A phase's fraction, mean over images."""
        return float(np.mean([image.counts[place] / sum(image.counts) for image in images]))

    def add(
        self,
        metric: str,
        phase: str,
        exemplar: float,
        volume: float,
        unit: str = "",
        *,
        other: str = "",
        plane: str = "",
        axis: str = "",
        difference: float | None = None,
        error: float | None = None,
    ) -> None:
        """Add a row; difference and error (%) are computed where they are not given."""
        self.rows.append(
            {
                "metric": metric,
                "phase": phase,
                "other": other,
                "plane": plane,
                "axis": axis,
                "exemplar": exemplar,
                "volume": volume,
                "unit": unit,
                "difference": volume - exemplar if difference is None else difference,
                "error": 100 * _ratio(volume - exemplar, exemplar) if error is None else error,
            }
        )


def _ratio(a: float, b: float) -> float:
    return a / b if b else math.nan


def _fractions(work: _Work) -> None:
    for plane, exemplar in work.single.items():
        for place, name in enumerate(work.names):
            ours, theirs = work.share([work.volume], place), work.share(exemplar, place)
            work.add("fraction", name, theirs, ours, plane=plane, difference=100 * (ours - theirs))


def _correlation(work: _Work) -> None:
    import pandas as pd

    key = ["phase", "other"]
    pieces = [_mean_curves(work.volume, work.threads).assign(plane="", which="volume")]
    for plane, exemplar in work.exemplars.items():
        curves = _averaged([two_point_correlation(image, threads=work.threads) for image in exemplar])
        axes = {"radial": "radial", **dict(zip("yx", PLANES[plane], strict=True))}
        pieces.append(curves.assign(direction=curves.direction.map(axes), plane=plane, which="exemplar"))
    every = pd.concat(pieces, ignore_index=True).rename(columns={"direction": "axis"})
    every = every[[*key, "plane", "axis", "which", "distance", "probability"]]
    work.curves["correlation"] = every
    index = dict(tuple(every.groupby([*key, "plane", "axis"], sort=False)))

    def compared(a: str, b: str, plane: str, axis: str) -> tuple[np.ndarray, np.ndarray]:
        """The exemplar's and the volume's curve at the volume's lags, out to where both have one."""
        theirs, ours = index[a, b, plane, axis], index[a, b, "", axis]
        where = ours.distance.to_numpy()[: work.lags + 1]
        where = where[where <= theirs.distance.max() * (1 + 1e-9)]
        found = np.interp(where, theirs.distance, theirs.probability)
        return found, ours.probability.to_numpy()[: len(where)]

    even = len(work.single) == 1 and len(set(work.volume.spacing)) == 1
    for (i, a), (j, b) in combinations_with_replacement(enumerate(work.names), 2):
        for plane, exemplar in work.exemplars.items():
            both = zip(*(compared(a, b, plane, axis) for axis in PLANES[plane]), strict=True)
            if even:  # the rows and columns of one image differ by chance: their mean stands for all directions
                theirs, ours = _mean(next(both)), _mean([index[a, b, "", axis].probability for axis in "zyx"])
                theirs, ours = theirs[: len(ours)], ours[: len(theirs)]
            else:
                theirs, ours = (np.concatenate(curves) for curves in both)
            first, second = work.share(exemplar, i), work.share(exemplar, j)
            scale = first * (1 - first) if i == j else first * second
            difference = float(np.abs(ours - theirs).mean())
            metric, other = ("autocorrelation", "") if i == j else ("cross_correlation", b)
            work.add(
                metric, a, float(theirs.mean()), float(ours.mean()), other=other, plane=plane, difference=difference,
                error=100 * _ratio(difference, scale),
            )  # fmt: skip
    for place, name in enumerate(work.names):
        by_axis: dict[str, list[np.ndarray]] = {}
        for plane in work.exemplars:
            for axis in PLANES[plane]:
                by_axis.setdefault(axis, []).append(compared(name, name, plane, axis)[0])
        several = [_mean(curves) for curves in by_axis.values()]
        own = [index[name, name, "", axis].probability.to_numpy()[: work.lags + 1] for axis in "zyx"]
        shares = [work.share(exemplar, place) for exemplar in work.exemplars.values()]
        spreads = _spread(several, sum(shares) / len(shares)), _spread(own, work.share([work.volume], place))
        work.add("correlation_spread", name, *spreads, "%", error=math.nan)


def _mean(curves: Sequence[np.ndarray]) -> np.ndarray:
    """Mean of curves, out to where the shortest ends."""
    return np.mean([curve[: min(map(len, curves))] for curve in curves], axis=0)


def _spread(curves: Sequence[np.ndarray], share: float) -> float:
    """Largest mean absolute difference of two curves, over share (1 - share), in %."""
    ends = [(a, b, min(len(a), len(b))) for a, b in combinations(curves, 2)]
    differences = [float(np.abs(a[:end] - b[:end]).mean()) for a, b, end in ends]
    return 100 * _ratio(max(differences), share * (1 - share))


def _mean_curves(volume: Phases, threads: int) -> pd.DataFrame:
    """Correlations of a volume; of a large one the mean of those of its parts, as a transform of all takes too much."""
    cuts = [np.array_split(np.arange(size), -(-size // _WHOLE)) for size in volume.index.shape]
    found = []
    for parts in product(*cuts):
        index = volume.index[tuple(slice(part[0], part[-1] + 1) for part in parts)]
        found.append(two_point_correlation(with_index(volume, index), threads=threads))
    return _averaged(found)


def _averaged(found: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Mean of correlations, out to where the shortest ends."""
    import pandas as pd

    if len(found) == 1:
        return found[0]
    # parts differ in size by a voxel: the same lags are those of the same place in the curve
    key = ["phase", "other", "direction"]
    every = pd.concat([part.assign(lag=part.groupby(key, sort=False).cumcount()) for part in found])
    grouped = every.groupby([*key, "lag"], sort=False)
    mean = grouped[["distance", "probability"]].mean()[grouped.size() == len(found)]
    return mean.reset_index().drop(columns="lag")


def _surface(work: _Work) -> None:
    pairs = list(combinations(range(len(work.names)), 2))
    unit = f"{work.volume.unit}^-1"
    flat = {plane: _perimeters(exemplar, pairs) for plane, exemplar in work.single.items()}
    solid = _perimeters([work.volume], pairs)
    stereology = {place: 4 / math.pi * sum(one[place] for one in flat.values()) / len(flat) for place in solid}
    if not work.isotropic:
        work.notes.append("surfaces from the perimeters of several planes are approximate; perimeters compare exactly")

    def rows(names: tuple[str, str], theirs: Mapping[Any, float], ours: Mapping[Any, float], plane: str) -> None:
        for place in theirs:
            a, b = place if isinstance(place, tuple) else (place, None)
            other = "" if b is None else work.names[b]
            metric = names[b is not None]
            work.add(metric, work.names[a], theirs[place], ours[place], unit, plane=plane, other=other)

    rows(("specific_surface", "interface_area"), stereology, solid, "all")
    for plane in work.exemplars:
        theirs = flat["all" if work.isotropic else plane]
        slices = _perimeters(_slices(work.volume, plane), pairs)
        rows(("perimeter", "interface_length"), theirs, slices, plane)


def _perimeters(images: Sequence[Phases], pairs: Sequence[tuple[int, int]]) -> dict[Any, float]:
    """Interface per measure of images together: by place for a phase, by places for a pair."""
    areas = [pair_areas(image) for image in images]
    measure = sum(image.measure for image in images)
    found: dict[Any, float] = {pair: sum(area[pair] for area in areas) / measure for pair in pairs}
    number = len(images[0])
    # a little below 0 may come out what is 0
    whole = {place: max(of_phase(found, place), 0.0) for place in range(number)}
    return whole | {pair: max(area, 0.0) for pair, area in found.items()}


def _slices(volume: Phases, plane: str) -> list[Phases]:
    """Slices of a plane, evenly spread, as images in 2D; none of background alone."""
    down, across = (volume.axis(axis) for axis in PLANES[plane])
    stack = np.moveaxis(volume.index, 3 - down - across, 0)
    chosen = np.unique(np.linspace(0, len(stack) - 1, min(_SLICES, len(stack))).round().astype(int))
    spacing = (1.0, volume.spacing[down], volume.spacing[across])
    found = [with_index(volume, np.ascontiguousarray(stack[place][None]), spacing, 2) for place in chosen]
    return [image for image in found if sum(image.counts)]


def _chords(work: _Work) -> None:
    import pandas as pd

    pieces = []

    def measured(images: Sequence[Phases], plane: str, axes: Mapping[str, str], which: str) -> dict[Any, float]:
        """Mean chord by phase and axis: length in the phase over half the number of ends, of the images together."""
        found = [chord_lengths(image) for image in images]
        curves = pd.concat([curve for _, curve in found if len(curve)] or [found[0][1]])
        if len(images) > 1:
            curves = curves.groupby(["phase", "axis", "length"], sort=False, as_index=False).sum()
            curves[["probability", "density"]] /= len(images)
        pieces.append(curves.assign(axis=curves.axis.map(axes), plane=plane, which=which))
        lengths = [{(row.phase, row.axis): row.mean_chord for row in means.itertuples()} for means, _ in found]
        means = {}
        for (place, name), axis in product(enumerate(work.names), axes):
            ends = [
                work.share([image], place) / own[name, axis]
                for image, own in zip(images, lengths, strict=True)
                if image.counts[place]
            ]
            half = sum(ends) / len(images)
            chord = work.share(images, place) / half if half else math.inf if ends else math.nan
            means[name, axes[axis]] = float(chord)
        return means

    solid = measured([work.volume], "", dict(zip("zyx", "zyx", strict=True)), "volume")
    densities: dict[tuple[str, str], list[float]] = {}  # of the exemplars, by phase and axis
    for plane, exemplar in work.exemplars.items():
        flat = measured(exemplar, plane, dict(zip("yx", PLANES[plane], strict=True)), "exemplar")
        for (place, name), axis in product(enumerate(work.names), PLANES[plane]):
            both = flat[name, axis], solid[name, axis]
            work.add("mean_chord", name, *both, work.volume.unit, plane=plane, axis=axis)
            density = 2 * work.share(exemplar, place) / flat[name, axis]
            densities.setdefault((name, axis), []).append(density)
    for place, name in enumerate(work.names):
        ours = [2 * work.share([work.volume], place) / solid[name, axis] for axis in "zyx"]
        for axis, density in zip("zyx", ours, strict=True):
            work.add("intercept_density", name, math.nan, density, f"{work.volume.unit}^-1", axis=axis)
        theirs = [sum(several) / len(several) for (phase, _), several in densities.items() if phase == name]
        work.add("intercept_spread", name, _relative_spread(theirs), _relative_spread(ours), "%", error=math.nan)
    columns = ["phase", "plane", "axis", "which", "length", "probability", "density"]
    filled = [piece for piece in pieces if len(piece)]
    # without the empty ones, whose columns have no types
    work.curves["chords"] = pd.concat(filled, ignore_index=True)[columns] if filled else pd.DataFrame(columns=columns)


def _relative_spread(values: Sequence[float]) -> float:
    """The largest less the smallest over their mean, in %."""
    return 100 * _ratio(max(values) - min(values), sum(values) / len(values))


def _connectivity(work: _Work) -> None:
    found = connectivity(present(work.volume))
    for name in work.names:
        rows = {row.axis: row for row in found[found.phase == name].itertuples()}
        largest = rows["z"].largest if rows else math.nan
        work.add("largest_component", name, math.nan, float(largest))
        for axis in "zyx":
            work.add("percolating", name, math.nan, float(rows[axis].percolating) if rows else 0.0, axis=axis)


def _transport(work: _Work) -> None:
    if work.volume.index.size > _TRANSPORT:
        work.notes.append("no conductivity, no tortuosity: more than 256^3 voxels; fijibridge measure has them")
        return
    found = tortuosities(present(work.volume), tolerance=_TOLERANCE, threads=work.threads)
    for place, name in enumerate(work.names):
        rows = found[found.phase == name]
        values = dict(zip(rows.axis, rows.relative_conductivity.astype(float), strict=True))
        for axis in "zyx":
            work.add("relative_conductivity", name, math.nan, values.get(axis, 0.0), axis=axis)
        mean = sum(values.values()) / 3
        share = work.share([work.volume], place)
        work.add("relative_conductivity", name, math.nan, mean)
        work.add("tortuosity_factor", name, math.nan, share / mean if mean else math.inf if share else math.nan)


_STEPS = (_fractions, _correlation, _surface, _chords, _connectivity, _transport)


def compare(
    exemplars: Mapping[str, Phases | Sequence[Phases]], volume: Phases, *, lags: int = 32, threads: int = 0
) -> Comparison:
    """Compare a volume with the micrographs that it should look like in its slices.

    Surfaces are compared by stereology, ``S_V = 4/pi L_A`` (Underwood 1970, Quantitative Stereology), and measured by
    intercepts (`fijibridge.metrology.specific_surface`), of the same kind in 2D and 3D and for images of any size.

    Parameters
    ----------
    exemplars : mapping of {"xy", "xz", "yz"} to Phases, or to a sequence of them
        Images in 2D; rows of "xz" and "yz" run along z. "xy" alone stands for all three planes (isotropic material);
        otherwise the planes given are compared. Of several images of a plane the means count.
    volume : Phases
        In 3D, of the exemplars' phases (values and names). A phase that is missing counts as one of fraction 0.
    lags : int
        Correlations are compared at lags of 0 to this many voxels along each axis, fewer where an image is less than
        twice as large. Where the exemplar's pixels are of another size its curve is interpolated.
    threads : int
        0: all cores.

    Returns
    -------
    Comparison

    Raises
    ------
    LabelsError
        A phase of the volume that no exemplar has, or a value with two names.
    SettingsError
        No exemplar, an unknown plane, an image of another number of dimensions, other units, pixels of two sizes in a
        plane, lags below 1.
    """
    import pandas as pd

    images = {plane: [one] if isinstance(one, Phases) else list(one) for plane, one in exemplars.items()}
    check_alike(images, volume, lags)
    names = names_of(images, volume)
    isotropic = set(images) == {"xy"}
    alike = {plane: [relabelled(one, names) for one in images[plane]] for plane in PLANES if plane in images}
    if isotropic:
        alike = dict.fromkeys(PLANES, alike["xy"])
    solid = relabelled(volume, names)
    work = _Work(tuple(names.values()), alike, solid, isotropic, int(lags), threads, [], {}, [])
    work.notes.extend(
        f"{name} (value {value}) is missing from the volume"
        for value, name, count in zip(names, work.names, work.volume.counts, strict=True)
        if not count
    )
    seconds = {}
    with bar("comparison", len(_STEPS)) as steps:
        for step in _STEPS:
            began = time.perf_counter()
            step(work)
            seconds[step.__name__[1:]] = round(time.perf_counter() - began, 3)
            steps.update()
    reach = max(min(lags, n // 2) * step for n, step in zip(volume.index.shape, volume.spacing, strict=True))
    table = pd.DataFrame(work.rows, columns=list(COLUMNS))
    return Comparison(work.names, volume.unit, isotropic, float(reach), table, work.curves, tuple(work.notes), seconds)
