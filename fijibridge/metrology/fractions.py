"""Phase fractions with confidence intervals from a single image."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fijibridge.core.errors import SettingsError
from fijibridge.metrology import plots
from fijibridge.metrology.correlation import (
    SHARED,
    Correlations,
    correlation_bytes,
    half,
    shared_correlations,
    stored_lags,
)
from fijibridge.metrology.metric import Context, Measurement, Metric
from fijibridge.phases.phases import Phases, PhaseSource, as_source

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

    from fijibridge.metrology.near import CoarseCorrelations, NearCorrelations
    from fijibridge.phases.phases import PhasesOptions

    AnyCorrelations = Correlations | NearCorrelations | CoarseCorrelations

log = logging.getLogger(__name__)
_PROBE = 128  # voxels along a side of the block that tells how far correlations reach
_ZERO = 1e-5  # a correlation below it is none: whether a sum of roundings is above 0 says nothing
_CORE = 0.3 + _ZERO  # share of the variance: covariances above it define the shape of the correlated neighbourhood


def phase_fractions(
    labels: Any,
    *,
    confidence: float = 0.95,
    periodic: bool = False,
    threads: int = 0,
    memory: int = 0,
    correlations: Correlations | None = None,
    **options: Unpack[PhasesOptions],
) -> pd.DataFrame:
    """Volume (area) fraction of each phase with a confidence interval from the image's own correlation.

    The image is one sample of a statistically homogeneous material. The variance of a fraction measured in it is
    ``1/V^2 * integral of K(h) C(h)``, C being the phase's covariance and K the overlap of the image with itself moved
    by h; for large images ``fraction (1 - fraction) A / V`` with the integral range A (Matheron 1971; Lantuejoul 1991,
    J. Microsc. 161:387; from a single image: Dahari et al. 2025, Adv. Sci.). The measured covariance is integrated out
    to where it first falls to zero, in the ellipsoids that its own core suggests, and corrected for having been taken
    around the measured fraction. It is that of the deviations from the fraction at both ends of a pair, so that of two
    phases both have one variance. The interval is symmetric in the logit, with Student's quantile for
    ``effective_samples - 1``, so that it stays within 0 and 1 and is wide for an image of few grains.

    Parameters
    ----------
    labels : array_like, Phases or PhaseVolume
        (Y, X) or (Z, Y, X) labels.
    confidence : float
        Confidence level of the interval.
    periodic : bool
        As for `Correlations`.
    threads : int
        0: all cores.
    memory : int
        Bytes that it may take; 0: 2 GiB for a `PhaseVolume`, what it takes for an image in memory. Where the
        correlations of all lags would take more, they are those of the lags that count, in blocks of all of the image,
        which gives the same; where these reach farther than memory allows, those of a coarser copy.
    correlations : Correlations, optional
        Of this image, to share the work with `two_point_correlation`.
    **options
        Spacing, unit, background and names as `as_phases` takes them.

    Returns
    -------
    pandas.DataFrame
        One row a phase: ``phase``, ``value`` (its label), ``voxels``, ``fraction``, ``low``, ``high``,
        ``standard_error``, ``integral_range`` (volume, or area, in the spacing's unit), ``effective_samples`` (number
        of independent points with the same variance), ``settled`` (False: the correlation does not fall to zero within
        half the image, which is too small for a trustworthy interval), ``cell`` (voxels along a side of the cells that
        the correlation was taken of: 1, but in a volume larger than memory whose correlation reaches far).

    Raises
    ------
    ImageError, LabelsError, SettingsError
        As `as_phases`; a confidence that is not between 0 and 1.
    """
    import pandas as pd
    from scipy import stats

    check_confidence(confidence)
    source = correlations.phases if correlations is not None else as_source(labels, **options)
    shares = [count / sum(source.counts) for count in source.counts]
    found: dict[int, Variance]
    if isinstance(source, Phases) and (not memory or source.size * correlation_bytes(source) <= memory):
        near = correlations or Correlations(source, periodic=periodic, threads=threads)
        found = {phase: _variance(near, phase, source.counts) for phase, _ in source if shares[phase] < 1}
    else:
        found = _variances_by_slabs(source, periodic=periodic, threads=threads, memory=memory or 2**31)
    rows = []
    for phase, name in source:
        share = shares[phase]
        row = {"phase": name, "value": source.values[phase], "voxels": source.counts[phase], "fraction": share}
        if share == 1:  # no correlation to estimate it from
            row |= {"low": math.nan, "high": 1.0, "standard_error": math.nan, "integral_range": math.nan}
            rows.append(row | {"effective_samples": math.nan, "settled": False, "cell": 1})
            continue
        variance, settled = found[phase].value, found[phase].settled
        samples = share * (1 - share) / variance
        error = math.sqrt(variance)
        reach = stats.t.ppf((1 + confidence) / 2, max(samples - 1, 1)) * error / (share * (1 - share))
        logit = math.log(share / (1 - share))
        row |= {
            "low": 1 / (1 + math.exp(min(reach - logit, 700))),
            "high": 1 / (1 + math.exp(max(-reach - logit, -700))),
            "standard_error": error,
            "integral_range": source.measure / samples,
            "effective_samples": samples,
            "settled": settled,
            "cell": found[phase].cell,
        }
        rows.append(row)
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Variance:
    """Variance of a phase's fraction.

    Parameters
    ----------
    value : float
        The variance.
    settled : bool
        Whether the correlation falls to zero within half the image.
    needs : tuple of float
        Lags along z, y and x that it was integrated to; infinite where the correlation did not fall to zero.
    missing : tuple of int
        Axes along which these are larger than the lags there were.
    cell : int
        Voxels along a side of the cells that were correlated.
    """

    value: float
    settled: bool
    needs: tuple[float, ...]
    missing: tuple[int, ...]
    cell: int = 1


def _variance(found: AnyCorrelations, phase: int, voxels: Sequence[int], cell: int = 1) -> Variance:
    """Variance of a phase's fraction; `voxels` are those of each phase."""
    size = float(sum(voxels))
    share = voxels[phase] / size
    pairs = found.pairs
    excess = found.deviations(phase)  # K C
    full = share * (1 - share)
    inverse, scale, cut = _core_shape(found, excess > _CORE * full * np.maximum(pairs, 1))
    distance = _elliptic(inverse, scale, found.lags)
    count = int(distance.max()) + 2
    bins = np.rint(distance).astype(np.int32).ravel()
    sums = np.bincount(bins, (excess * found.weights).ravel(), count)
    overlap = np.bincount(bins, (pairs * found.weights).ravel(), count)
    below = np.flatnonzero(sums <= _ZERO * full * overlap)
    last = int(below[0]) if len(below) else count
    settled = len(below) > 0 and last <= _complete(found, inverse, scale)
    inner, window = float(sums[:last].sum()) / size**2, float(overlap[:last].sum()) / size**2
    # the covariance around the measured fraction is too low by the variance looked for, at every lag
    variance = inner / max(1 - window, 0.1)
    # the ellipsoid that was used reaches so far along each axis
    reached = (last + 0.5) * np.sqrt(np.diag(np.linalg.inv(inverse)) / scale)
    needs = tuple(float(r) if len(below) and axis not in cut else math.inf for axis, r in enumerate(reached))
    missing = tuple(
        axis
        for axis, (reach, most) in enumerate(zip(found.reach, found.full_reach, strict=True))
        if reach < min(most, needs[axis])
    )
    return Variance(min(max(variance, full / size), full), settled, needs, missing, cell)


def _core_shape(found: AnyCorrelations, core: np.ndarray) -> tuple[np.ndarray, float, list[int]]:
    """Ellipsoids of the shape of the core around lag 0 (quadratic form, its scale), and axes along which it is cut."""
    from scipy import ndimage as ndi

    labels, _ = ndi.label(core)
    _, y, x = found.reach
    inside = np.argwhere(labels == labels[0, y, x]) if core[0, y, x] else np.zeros((0, 3), int)
    lags = (inside - np.array([0, y, x])).astype(np.float64)
    weights = np.where(lags[:, 0] > 0, 2.0, 1.0)
    used = [axis for axis in range(3) if found.extent[axis] > 1]
    tensor = np.eye(3) / 12
    for i in used:
        for j in used:
            # the half with z < 0 is the mirror image: the mixed moments of z = 0 lags are even already
            tensor[i, j] += (weights * lags[:, i] * lags[:, j]).sum() / max(weights.sum(), 1)
    scale = np.linalg.det(tensor[np.ix_(used, used)]) ** (1 / len(used)) if used else 1.0
    cut = [axis for axis in range(3) if len(lags) and np.abs(lags[:, axis]).max() >= found.reach[axis]]
    return np.linalg.inv(tensor), float(scale), cut


def _elliptic(inverse: np.ndarray, scale: float, lags: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    """A distance in voxels for each lag, equal on the ellipsoids of a quadratic form."""
    z, y, x = (lag.astype(np.float32) for lag in lags)
    square = (
        inverse[0, 0] * z[:, None, None] ** 2
        + inverse[1, 1] * y[:, None] ** 2
        + inverse[2, 2] * x**2
        + 2 * inverse[0, 1] * z[:, None, None] * y[:, None]
        + 2 * inverse[0, 2] * z[:, None, None] * x
        + 2 * inverse[1, 2] * y[:, None] * x
    )
    return np.sqrt(np.maximum(square, 0) * scale).astype(np.float32)


def _complete(found: AnyCorrelations, inverse: np.ndarray, scale: float) -> float:
    """The largest distance whose ellipsoid lies within half the image."""
    faces = []
    for axis, size in enumerate(found.extent):
        if size > 1:
            lags = list(stored_lags(found.full_reach))
            lags[axis] = lags[axis][-1:]
            faces.append(_elliptic(inverse, scale, (lags[0], lags[1], lags[2])).min())
    return float(min(faces)) if faces else 0.0


def _variances_by_slabs(source: PhaseSource, *, periodic: bool, threads: int, memory: int) -> dict[int, Variance]:
    """The variance of each phase's fraction, from correlations as far as they are needed and memory goes."""
    from fijibridge.metrology.near import CoarseCorrelations, NearCorrelations, largest_side

    most = half(source.shape)
    reach = _first_reach(source)
    found: dict[int, Variance] = {}
    left = [phase for phase, _ in source if 0 < source.counts[phase] < sum(source.counts)]
    while left and (side := largest_side(source, reach, memory)):
        near = NearCorrelations(source, reach, left, side=side, periodic=periodic, threads=threads)
        found |= {phase: _variance(near, phase, source.counts) for phase in left}
        left = [phase for phase in left if found[phase].missing]
        log.info("correlations within lags of %s voxels: %d phase(s) need larger ones", reach, len(left))
        reach = _farther(reach, most, [found[phase] for phase in left])
    if left:
        cell = 2
        while source.size / cell**3 * (correlation_bytes(source) + 4 * len(source)) > memory and cell < max(most):
            cell += 1
        # of a periodic volume too: pairs within it are a sample of its pairs
        coarse = CoarseCorrelations(source, cell, left, threads=threads)
        found |= {phase: _variance(coarse, phase, source.counts, cell) for phase in left}
    return found


def _first_reach(source: PhaseSource) -> tuple[int, int, int]:
    """Lags that the variances are likely to need, by those of a block in the middle."""
    z, y, x = (min(n, _PROBE) for n in source.shape)
    corner = tuple((n - size) // 2 for n, size in zip(source.shape, (z, y, x), strict=True))
    block = source.block((corner[0], corner[1], corner[2]), (z, y, x))
    found = Correlations(block)
    some = [phase for phase, _ in block if 0 < block.counts[phase] < sum(block.counts)]
    return _farther((8, 8, 8), half(source.shape), [_variance(found, phase, block.counts) for phase in some])


def _farther(reach: tuple[int, int, int], most: tuple[int, int, int], found: list[Variance]) -> tuple[int, int, int]:
    """Lags that suffice for some variances, as far as is known: a bit more than they need, else twice those so far."""
    z, y, x = (
        min(
            top,
            max(
                [2 * r if one.needs[axis] == math.inf else math.ceil(1.25 * one.needs[axis]) + 2 for one in found] + [r]
            ),
        )
        for axis, (r, top) in enumerate(zip(reach, most, strict=True))
    )
    return z, y, x


def check_confidence(confidence: float) -> None:
    """Refuse (SettingsError) a confidence level that is not between 0 and 1."""
    if not 0 < confidence < 1:
        raise SettingsError(f"confidence = {confidence}", expected="more than 0, less than 1", remedy="such as 0.95")


def _measure(context: Context) -> None:
    _add(
        context,
        phase_fractions(context.phases, confidence=context.confidence, correlations=shared_correlations(context)),
    )


def _measure_slabs(context: Context) -> None:
    found = phase_fractions(
        context.source,
        confidence=context.confidence,
        periodic=context.periodic,
        threads=context.threads,
        memory=context.memory,
    )
    _add(context, found)


def _add(context: Context, found: pd.DataFrame) -> None:
    for row in found.itertuples():
        context.add("fraction", row.fraction, phase=row.phase, low=row.low, high=row.high)
        context.add("integral_range", row.integral_range, context.length_unit(context.source.ndim), row.phase)
        context.add("effective_samples", row.effective_samples, phase=row.phase)
        if not row.settled:
            context.notes.append(
                f"{row.phase}: its correlation reaches across half the image, which is too small for a trustworthy "
                "confidence interval of the fraction"
            )
        if row.cell > 1:
            context.notes.append(
                f"{row.phase}: its correlation reaches too far for the memory; the interval is that of cells of "
                f"{row.cell} x {row.cell} x {row.cell} voxels"
            )


def _draw(found: Measurement) -> Figure:
    figure, (axis,) = plots.figure()
    rows = found.rows("fraction")
    for phase, row in enumerate(rows.itertuples()):
        axis.bar(phase, row.value, 0.65, color=plots.colour(phase))
        if np.isfinite(row.low):
            low, high = max(row.value - row.low, 0), max(row.high - row.value, 0)
            axis.errorbar(phase, row.value, [[low], [high]], color="black", capsize=4)
        top = row.high if np.isfinite(row.high) else row.value
        axis.annotate(
            f"{100 * row.value:.1f} %", (phase, top), (0, 3), textcoords="offset points", ha="center", fontsize=8
        )
    axis.set_xticks(range(len(rows)), list(rows.phase))
    axis.margins(y=0.12)
    axis.set(ylabel="fraction, with confidence interval")
    return figure


FRACTIONS = Metric(_measure, _draw, uses=(SHARED,), slabs=_measure_slabs, voxel_bytes=correlation_bytes)
