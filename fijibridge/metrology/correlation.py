"""Two-point auto- and cross-correlation of the phases, by FFT."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fijibridge.core.parallel import thread_count
from fijibridge.metrology import plots
from fijibridge.metrology.metric import Context, Measurement, Metric
from fijibridge.phases.phases import Phases, PhaseSource, as_phases

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

    from fijibridge.phases.phases import PhasesOptions

SHARED = "correlations"  # name among the results that metrics share
_EXACT = 2**21  # voxels up to which double precision is cheap
_VOXEL, _PER_PHASE = 48.0, 18.0  # bytes a voxel at the peak, measured


def half(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """The largest lags along z, y and x that are looked at: half the image."""
    z, y, x = shape
    return z // 2, y // 2, x // 2


def stored_lags(reach: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lags along z (0, 1, ...), y and x (-reach ... reach), in voxels."""
    z, y, x = reach
    return np.arange(z + 1), np.arange(-y, y + 1), np.arange(-x, x + 1)


class Correlations:
    """Correlations of the phases of one image for all lags up to half its size, each computed on first use.

    Only lags with z >= 0 are stored, since the mean ``(S_ij(h) + S_ij(-h)) / 2`` is even in the lag.

    Parameters
    ----------
    phases : Phases
        The image.
    periodic : bool
        Whether the image is periodic (a simulated one); else a pair of points counts where both lie inside, and lags
        are normalised by the number of such pairs.
    threads : int
        0: all cores.
    """

    def __init__(self, phases: Phases, *, periodic: bool = False, threads: int = 0) -> None:
        from scipy import fft

        self.phases = phases
        self.extent = phases.shape
        self.reach = self.full_reach = half(self.extent)
        self._workers = thread_count(threads)
        shape = phases.index.shape
        self._dtype = np.float64 if phases.index.size <= _EXACT else np.float32
        self._size = (
            shape
            if periodic
            else tuple(fft.next_fast_len(n + r, real=True) for n, r in zip(shape, self.reach, strict=True))
        )
        self._spectra = [self._spectrum(phases.mask(phase)) for phase, _ in phases]
        self._auto: dict[int, np.ndarray] = {}
        inside = phases.inside
        if inside is not None:
            spectrum = self._spectrum(inside)
            self.pairs = np.rint(self._back(spectrum, spectrum))
        elif periodic:
            self.pairs = np.full([1, 1, 1], float(phases.index.size))
        else:
            z, y, x = (n - np.abs(lags) for n, lags in zip(shape, self.lags, strict=True))
            self.pairs = np.einsum("i,j,k->ijk", z.astype(np.float64), y, x)
        self.pairs = np.broadcast_to(self.pairs, tuple(len(lags) for lags in self.lags))

    @property
    def lags(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Stored lags along z (0, 1, ...), y and x (-reach ... reach), in voxels."""
        return stored_lags(self.reach)

    @property
    def weights(self) -> np.ndarray:
        """(Z, 1, 1): how many lags of the full space each stored one stands for."""
        return np.where(self.lags[0] > 0, 2.0, 1.0)[:, None, None]

    def _spectrum(self, mask: np.ndarray) -> np.ndarray:
        from scipy import fft

        return fft.rfftn(mask.astype(self._dtype), self._size, workers=self._workers)

    def _back(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        from scipy import fft

        product = (a.real * b.real + a.imag * b.imag).astype(a.dtype)  # the real part: the even part of the correlation
        full = fft.irfftn(product, self._size, workers=self._workers, overwrite_x=True)
        z, y, x = self.lags
        return np.ascontiguousarray(full[: len(z)][:, y][:, :, x])

    def counts(self, a: int, b: int) -> np.ndarray:
        """Number of pairs of voxels with the first in one phase and the second in another.

        Parameters
        ----------
        a, b : int
            Indices of the two phases, which may be the same.

        Returns
        -------
        np.ndarray
            (Z, Y, X) float, for each stored lag.
        """
        if a != b:
            return self._back(self._spectra[a], self._spectra[b])
        if a not in self._auto:
            self._auto[a] = self._back(self._spectra[a], self._spectra[a])
        return self._auto[a]

    def deviations(self, phase: int) -> np.ndarray:
        """Sum, over the pairs of voxels, of the product of their deviations from the phase's fraction.

        The covariance times `pairs`, the same for a phase and for all others taken as one. (The count of pairs less
        what the fraction alone would give is not: at large lags it shows how the outer parts differ from the middle.)

        Parameters
        ----------
        phase : int
            Index of the phase.

        Returns
        -------
        np.ndarray
            (Z, Y, X) float, for each stored lag.
        """
        share = self.phases.counts[phase] / sum(self.phases.counts)
        spectrum = self._spectra[phase] * (1 - share)
        for other, further in enumerate(self._spectra):
            if other != phase:
                spectrum -= share * further
        return self._back(spectrum, spectrum)

    def distances(self) -> np.ndarray:
        """Length of each stored lag, in the unit of the spacing; float32."""
        z, y, x = (
            (lags * step).astype(np.float32) ** 2 for lags, step in zip(self.lags, self.phases.spacing, strict=True)
        )
        return np.sqrt(z[:, None, None] + y[:, None] + x)


def two_point_correlation(
    labels: Any,
    *,
    periodic: bool = False,
    threads: int = 0,
    correlations: Correlations | None = None,
    **options: Unpack[PhasesOptions],
) -> pd.DataFrame:
    """Two-point probability functions of all pairs of phases.

    ``S_ij(h)`` is the probability that the first of two points a vector h apart lies in phase i and the second in
    phase j (Torquato 2002, Random Heterogeneous Materials, ch. 2; measured on images: Berryman 1985, J. Appl. Phys.
    57:2374). It starts at the phase's fraction (i = j) or at 0, and tends to the product of the fractions.
    Cross-correlations are averaged over h and -h.

    Parameters
    ----------
    labels : array_like, Phases or PhaseVolume
        (Y, X) or (Z, Y, X) labels.
    periodic : bool
        As for `Correlations`.
    threads : int
        0: all cores.
    correlations : Correlations, optional
        Of this image, to share the work with `phase_fractions`.
    **options
        Spacing, unit, background and names as `as_phases` takes them.

    Returns
    -------
    pandas.DataFrame
        ``phase``, ``other``, ``direction`` ("radial", averaged over all directions, or an axis), ``distance`` (mean of
        the lags in a bin as wide as the smallest side of a voxel), ``probability``. Distances go up to half the image:
        along an axis of that axis, radially of the shortest.

    Raises
    ------
    ImageError, LabelsError, SettingsError
        As `as_phases`.
    """
    import pandas as pd

    phases = correlations.phases if correlations is not None else as_phases(labels, **options)
    found = correlations or Correlations(phases, periodic=periodic, threads=threads)
    width = min(phases.spacing[3 - phases.ndim :])
    bins = np.rint(found.distances() / np.float32(width)).astype(np.int32)
    limit = min(found.reach[phases.axis(axis)] * phases.spacing[phases.axis(axis)] for axis in phases.axes)
    count = math.floor(limit / width + 1e-6) + 1
    bins = np.minimum(bins, count).ravel()
    weights = found.weights * found.pairs
    total = np.bincount(bins, weights.ravel(), count + 1)[:count]
    used = total > 0
    distance = np.bincount(bins, (weights * found.distances()).ravel(), count + 1)[:count][used] / total[used]
    del weights
    pieces = []
    for a, first in phases:
        for b in range(a, len(phases)):
            counts = found.counts(a, b)
            radial = np.bincount(bins, (counts * found.weights).ravel(), count + 1)[:count][used] / total[used]
            curves = {"radial": (distance, radial)}
            for axis in phases.axes:
                curves[axis] = _along(found, counts, phases.axis(axis))
            pieces += [
                pd.DataFrame(
                    {
                        "phase": first,
                        "other": phases.names[b],
                        "direction": direction,
                        "distance": where,
                        "probability": np.clip(value, 0, 1),
                    }
                )
                for direction, (where, value) in curves.items()
            ]
    return pd.concat(pieces, ignore_index=True)


def _along(found: Correlations, counts: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """(distances, probabilities) for lags along an axis."""
    _, y, x = found.reach
    places: list[Any] = [0, y, x]
    places[axis] = slice(0 if axis == 0 else found.reach[axis], None)
    pairs = found.pairs[tuple(places)]
    lags = np.arange(found.reach[axis] + 1)[pairs > 0]
    return lags * found.phases.spacing[axis], counts[tuple(places)][pairs > 0] / pairs[pairs > 0]


def shared_correlations(context: Context) -> Correlations:
    """The correlations of the image being measured, which `CORRELATION` and the phase fractions share."""
    return context.shared(
        SHARED, lambda: Correlations(context.phases, periodic=context.periodic, threads=context.threads)
    )


def _measure(context: Context) -> None:
    context.curves["correlation"] = two_point_correlation(context.phases, correlations=shared_correlations(context))


def _draw(found: Measurement) -> Figure:
    pairs = list(dict.fromkeys(zip(*(found.curves["correlation"][name] for name in ("phase", "other")), strict=True)))
    figure, axes = plots.figure(len(pairs))
    shares = {name: found.phases.counts[phase] / sum(found.phases.counts) for phase, name in found.phases}
    colours = {name: plots.colour(phase) for phase, name in found.phases}
    for axis, (first, other) in zip(axes, pairs, strict=True):
        curves = found.curves["correlation"]
        curves = curves[(curves.phase == first) & (curves.other == other)]
        for direction, curve in curves.groupby("direction", sort=False):
            colour = colours[first] if direction == "radial" else "0.35"
            axis.plot(
                curve.distance, curve.probability, plots.AXIS_STYLES[str(direction)], color=colour, label=direction,
                lw=2 if direction == "radial" else 0.9,
            )  # fmt: skip
        axis.axhline(shares[first] * shares[other], color="0.7", lw=0.8, zorder=0)
        axis.set_title(first if first == other else f"{first} / {other}", fontsize=9)
        axis.set(xlabel=f"distance ({found.phases.unit})", ylabel="probability")
    axes[0].legend(frameon=False, fontsize=8)
    return figure


def correlation_bytes(source: PhaseSource) -> float:
    """Bytes a voxel that `Correlations` and what is made of them take."""
    return _VOXEL + _PER_PHASE * len(source)


CORRELATION = Metric(_measure, _draw, uses=(SHARED,), voxel_bytes=correlation_bytes)
