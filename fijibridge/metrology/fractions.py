"""Phase fractions with confidence intervals from a single image."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fijibridge.core.errors import SettingsError
from fijibridge.metrology import plots
from fijibridge.metrology.correlation import SHARED, Correlations, shared_correlations
from fijibridge.metrology.metric import Context, Measurement, Metric
from fijibridge.phases.phases import as_phases

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

    from fijibridge.phases.phases import PhasesOptions

_CORE = 0.3  # share of the variance: covariances above it define the shape of the correlated neighbourhood


def phase_fractions(
    labels: Any,
    *,
    confidence: float = 0.95,
    periodic: bool = False,
    threads: int = 0,
    correlations: Correlations | None = None,
    **options: Unpack[PhasesOptions],
) -> pd.DataFrame:
    """Volume (area) fraction of each phase with a confidence interval from the image's own correlation.

    The image is one sample of a statistically homogeneous material. The variance of a fraction measured in it is
    ``1/V^2 * integral of K(h) C(h)``, C being the phase's covariance and K the overlap of the image with itself moved
    by h; for large images ``fraction (1 - fraction) A / V`` with the integral range A (Matheron 1971; Lantuejoul 1991,
    J. Microsc. 161:387; from a single image: Dahari et al. 2025, Adv. Sci.). The measured covariance is integrated out
    to where it first falls to zero, in the ellipsoids that its own core suggests, and corrected for having been taken
    around the measured fraction. The interval is symmetric in the logit, with Student's quantile for
    ``effective_samples - 1``, so that it stays within 0 and 1 and is wide for an image of few grains.

    Parameters
    ----------
    labels : array_like or Phases
        (Y, X) or (Z, Y, X) labels.
    confidence : float
        Confidence level of the interval.
    periodic : bool
        As for `Correlations`.
    threads : int
        0: all cores.
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
        half the image, which is too small for a trustworthy interval).

    Raises
    ------
    ImageError, LabelsError, SettingsError
        As `as_phases`; a confidence that is not between 0 and 1.
    """
    import pandas as pd
    from scipy import stats

    check_confidence(confidence)
    phases = correlations.phases if correlations is not None else as_phases(labels, **options)
    found = correlations or Correlations(phases, periodic=periodic, threads=threads)
    total = sum(phases.counts)
    rows = []
    for phase, name in phases:
        share = phases.counts[phase] / total
        row = {"phase": name, "value": phases.values[phase], "voxels": phases.counts[phase], "fraction": share}
        if share == 1:  # no correlation to estimate it from
            row |= {"low": math.nan, "high": 1.0, "standard_error": math.nan, "integral_range": math.nan}
            rows.append(row | {"effective_samples": math.nan, "settled": False})
            continue
        variance, settled = _variance(found, phase, share)
        samples = share * (1 - share) / variance
        error = math.sqrt(variance)
        reach = stats.t.ppf((1 + confidence) / 2, max(samples - 1, 1)) * error / (share * (1 - share))
        logit = math.log(share / (1 - share))
        row |= {
            "low": 1 / (1 + math.exp(min(reach - logit, 700))),
            "high": 1 / (1 + math.exp(max(-reach - logit, -700))),
            "standard_error": error,
            "integral_range": phases.measure / samples,
            "effective_samples": samples,
            "settled": settled,
        }
        rows.append(row)
    return pd.DataFrame(rows)


def _variance(found: Correlations, phase: int, share: float) -> tuple[float, bool]:
    """Variance of a phase's fraction, and whether its correlation falls to zero within the stored lags."""
    counts = found.counts(phase, phase)
    pairs = found.pairs
    excess = counts - pairs * share**2  # K C
    full = share * (1 - share)
    size = float(sum(found.phases.counts))
    distance = _elliptic(found, excess > _CORE * full * np.maximum(pairs, 1))
    count = int(distance.max()) + 2
    bins = np.rint(distance).astype(np.int32).ravel()
    sums = np.bincount(bins, (excess * found.weights).ravel(), count)
    overlap = np.bincount(bins, (pairs * found.weights).ravel(), count)
    below = np.flatnonzero(sums <= 0)
    last = int(below[0]) if len(below) else count
    settled = len(below) > 0 and last <= _complete(found, distance)
    inner, window = float(sums[:last].sum()) / size**2, float(overlap[:last].sum()) / size**2
    # the covariance around the measured fraction is too low by the variance looked for, at every lag
    variance = inner / max(1 - window, 0.1)
    return min(max(variance, full / size), full), settled


def _elliptic(found: Correlations, core: np.ndarray) -> np.ndarray:
    """A distance in voxels for each lag, equal on ellipsoids of the shape of the core around lag 0."""
    from scipy import ndimage as ndi

    labels, _ = ndi.label(core)
    _, y, x = found.reach
    inside = np.argwhere(labels == labels[0, y, x]) if core[0, y, x] else np.zeros((0, 3), int)
    lags = (inside - np.array([0, y, x])).astype(np.float64)
    weights = np.where(lags[:, 0] > 0, 2.0, 1.0)
    used = [axis for axis in range(3) if found.phases.index.shape[axis] > 1]
    tensor = np.eye(3) / 12
    for i in used:
        for j in used:
            # the half with z < 0 is the mirror image: the mixed moments of z = 0 lags are even already
            tensor[i, j] += (weights * lags[:, i] * lags[:, j]).sum() / max(weights.sum(), 1)
    inverse = np.linalg.inv(tensor)
    scale = np.linalg.det(tensor[np.ix_(used, used)]) ** (1 / len(used)) if used else 1.0
    z, y_, x_ = (lags.astype(np.float32) for lags in found.lags)
    square = (
        inverse[0, 0] * z[:, None, None] ** 2
        + inverse[1, 1] * y_[:, None] ** 2
        + inverse[2, 2] * x_**2
        + 2 * inverse[0, 1] * z[:, None, None] * y_[:, None]
        + 2 * inverse[0, 2] * z[:, None, None] * x_
        + 2 * inverse[1, 2] * y_[:, None] * x_
    )
    return np.sqrt(np.maximum(square, 0) * scale).astype(np.float32)


def _complete(found: Correlations, distance: np.ndarray) -> float:
    """The largest distance whose ellipsoid lies within the stored lags."""
    faces = []
    for axis, size in enumerate(found.phases.index.shape):
        if size > 1:
            moved = np.moveaxis(distance, axis, 0)
            faces.append(moved[-1].min())
    return float(min(faces)) if faces else 0.0


def check_confidence(confidence: float) -> None:
    """Refuse (SettingsError) a confidence level that is not between 0 and 1."""
    if not 0 < confidence < 1:
        raise SettingsError(f"confidence = {confidence}", expected="more than 0, less than 1", remedy="such as 0.95")


def _measure(context: Context) -> None:
    found = phase_fractions(context.phases, confidence=context.confidence, correlations=shared_correlations(context))
    for row in found.itertuples():
        context.add("fraction", row.fraction, phase=row.phase, low=row.low, high=row.high)
        context.add("integral_range", row.integral_range, context.length_unit(context.phases.ndim), row.phase)
        context.add("effective_samples", row.effective_samples, phase=row.phase)
        if not row.settled:
            context.notes.append(
                f"{row.phase}: its correlation reaches across half the image, which is too small for a trustworthy "
                "confidence interval of the fraction"
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


FRACTIONS = Metric(_measure, _draw, uses=(SHARED,))
