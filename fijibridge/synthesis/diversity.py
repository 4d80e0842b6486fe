"""Diversity of simulated micrographs compared with real ones, with a plot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.core.errors import ImageError

if TYPE_CHECKING:
    import pandas as pd

    from fijibridge.images.image import Image

_BINS = 64  # of grey histograms
_BANDS = 24  # of power spectra
_COMPONENTS = 8  # of the features' principal axes


@dataclass(frozen=True, eq=False)
class Signature:
    """Descriptors of micrographs, one row an image.

    Parameters
    ----------
    names : tuple of str
        (N,) names of the images.
    histograms : np.ndarray
        (N, 64) shares of the grey values between the 0.5th and the 99.5th percentile, scaled to 0..1.
    spectra : np.ndarray
        (N, 24) log10 of the power (of the standardised image) over logarithmic bands of spatial frequency, from 1/128
        to 1/2 a pixel.
    features : np.ndarray or None
        (N, F) mean over the image of the ViT's tokens.
    """

    names: tuple[str, ...]
    histograms: np.ndarray
    spectra: np.ndarray
    features: np.ndarray | None = None


def frequencies() -> np.ndarray:
    """(24,) middle of each band of a power spectrum, in cycles a pixel."""
    edges = np.geomspace(1 / 128, 0.5, _BANDS + 1)
    return np.sqrt(edges[1:] * edges[:-1])


def signature(images: Sequence[Image], tokens: Callable[[Image], np.ndarray] | None = None) -> Signature:
    """Compute the descriptors of images.

    Parameters
    ----------
    images : sequence of Image
        Grey, at least 128 pixels a side.
    tokens : callable, optional
        Image -> (rows, columns, F) tokens, such as `fijibridge.features.vit.encoder.ViTEncoder.tokens`; None: no
        features.

    Returns
    -------
    Signature

    Raises
    ------
    ImageError
        An image smaller than 128 pixels, or one of a single grey value.
    """
    histograms, spectra, features = [], [], []
    for image in images:
        grey = image.grey[image.field]
        low, high = np.percentile(grey, (0.5, 99.5))
        if min(grey.shape) < 128 or not high > low:
            raise ImageError(
                f"{image.name}: {grey.shape[1]} x {grey.shape[0]} px, grey values {low:g} to {high:g}",
                expected="at least 128 px a side, and more than one grey value",
                remedy="leave it out",
            )
        scaled = np.clip((grey - low) / (high - low), 0, 1)
        histograms.append(np.histogram(scaled, _BINS, (0, 1))[0] / scaled.size)
        spectra.append(power_spectrum(scaled))
        if tokens is not None:
            features.append(tokens(image).mean((0, 1)))
    return Signature(
        tuple(image.name for image in images),
        np.array(histograms),
        np.array(spectra),
        np.array(features) if tokens is not None else None,
    )


def power_spectrum(grey: np.ndarray) -> np.ndarray:
    """(24,) log10 of the radially averaged power of the standardised image, under a Hann window."""
    window = np.outer(*(np.hanning(size) for size in grey.shape))
    standard = (grey - grey.mean()) / grey.std() * window
    power = np.abs(np.fft.rfft2(standard)) ** 2 / np.square(window).sum()
    radius = np.hypot(np.fft.fftfreq(grey.shape[0])[:, None], np.fft.rfftfreq(grey.shape[1])[None])
    band = np.digitize(radius, np.geomspace(1 / 128, 0.5, _BANDS + 1)) - 1
    inside = (band >= 0) & (band < _BANDS)
    total = np.bincount(band[inside], power[inside], _BANDS)
    number = np.bincount(band[inside], minlength=_BANDS)
    return np.log10(np.maximum(total / np.maximum(number, 1), 1e-12))


def diversity_table(simulated: Signature, real: Signature | None) -> pd.DataFrame:
    """Spread and coverage of each kind of descriptor.

    Parameters
    ----------
    simulated : Signature
        Of simulated images.
    real : Signature, optional
        Of real images.

    Returns
    -------
    DataFrame
        A row each for histograms, spectra and features: ``spread`` is the mean distance of two simulated images,
        ``spread_real`` that of two real ones; ``to_nearest`` the median distance of a real image to its nearest
        simulated one; ``covered`` the share of real images whose nearest simulated one is not further away than real
        images are from each other on average. Histograms are compared by the earth mover's distance (in shares of
        the grey range), spectra by the root mean square (in decades), features by the Euclidean distance along the
        first 8 principal axes of all images, in units of their root mean square distance from the middle.
    """
    import pandas as pd

    rows = []
    for kind, pair in _comparable(simulated, real).items():
        ours, theirs = pair
        row = {"kind": kind, "spread": _mean_apart(_distances(ours, ours, kind))}
        if theirs is not None:
            among = _distances(theirs, theirs, kind)
            nearest = _distances(theirs, ours, kind).min(1)
            row |= {
                "spread_real": _mean_apart(among),
                "to_nearest": float(np.median(nearest)),
                "covered": float((nearest <= _mean_apart(among)).mean()),
            }
        rows.append(row)
    return pd.DataFrame(rows)


def principal_axes(simulated: Signature, real: Signature | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Project ViT features onto the first principal axes of all images.

    Parameters
    ----------
    simulated : Signature
        Of simulated images, with features.
    real : Signature, optional
        Of real images.

    Returns
    -------
    simulated : np.ndarray
        (N, 8), scaled to a root mean square length of 1 over all images.
    real : np.ndarray or None
        (M, 8), the same.
    """
    assert simulated.features is not None
    both = (
        simulated.features if real is None or real.features is None else np.vstack([simulated.features, real.features])
    )
    centred = both - both.mean(0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    along = centred @ axes[:_COMPONENTS].T
    n = len(simulated.features)
    along = along / max(float(np.sqrt(np.square(along).sum(1).mean())), 1e-9)
    return along[:n], along[n:] if n < len(along) else None


def _comparable(simulated: Signature, real: Signature | None) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
    pairs = {
        "grey histograms": (simulated.histograms, real.histograms if real else None),
        "power spectra": (simulated.spectra, real.spectra if real else None),
    }
    if simulated.features is not None:
        pairs["ViT features"] = principal_axes(simulated, real)
    return pairs


def _distances(ours: np.ndarray, theirs: np.ndarray, kind: str) -> np.ndarray:
    """(N, M) distances."""
    if kind == "grey histograms":  # in one dimension the earth mover's distance is that of the cumulated shares
        ours, theirs = ours.cumsum(1), theirs.cumsum(1)
        return np.abs(ours[:, None] - theirs[None]).mean(2)
    apart = np.square(ours[:, None] - theirs[None])
    return np.sqrt(apart.mean(2) if kind == "power spectra" else apart.sum(2))


def _mean_apart(distances: np.ndarray) -> float:
    n = len(distances)
    return float(distances.sum() / (n * (n - 1))) if n > 1 else float("nan")


def write_diversity_picture(simulated: Signature, real: Signature | None, fractions: pd.DataFrame, folder: Path) -> str:
    """Write ``diversity.png``: histograms, spectra, features and phase fractions.

    Parameters
    ----------
    simulated : Signature
        Of simulated images.
    real : Signature, optional
        Of real images.
    fractions : pandas.DataFrame
        A column a phase: its area fraction in each simulated image.
    folder : Path
        Exists.

    Returns
    -------
    str
        The file's name.
    """
    from matplotlib.figure import Figure

    kinds = 3 + (simulated.features is not None)
    figure = Figure(figsize=(4 * kinds, 3.6), layout="constrained")
    axes = figure.subplots(1, kinds)
    grey = (np.arange(_BINS) + 0.5) / _BINS
    for axis, x, ours, theirs, label in (
        (axes[0], grey, simulated.histograms, real.histograms if real else None, "grey value, scaled"),
        (axes[1], frequencies(), simulated.spectra, real.spectra if real else None, "spatial frequency (1/px)"),
    ):
        for rows, color, name in ((ours, "C0", "simulated"), (theirs, "C1", "real")):
            if rows is None:
                continue
            low, middle, high = np.percentile(rows, (5, 50, 95), axis=0)
            axis.fill_between(x, low, high, color=color, alpha=0.25, lw=0)
            axis.plot(x, middle, color=color, label=name)
        axis.set_xlabel(label)
    axes[0].set_ylabel("share (median, 5th to 95th percentile)")
    axes[1].set_xscale("log")
    axes[1].set_ylabel("power (log10)")
    axes[0].legend(frameon=False)
    if simulated.features is not None:
        ours, theirs = principal_axes(simulated, real)
        axes[2].scatter(ours[:, 0], ours[:, 1], s=8, color="C0", label="simulated")
        if theirs is not None:
            axes[2].scatter(theirs[:, 0], theirs[:, 1], s=22, color="C1", marker="^", label="real")
        axes[2].set_xlabel("ViT features, axis 1 ")
        axes[2].set_ylabel("axis 2")
    names = list(fractions.columns)
    axes[-1].boxplot([100 * fractions[name] for name in names])
    axes[-1].set_xticks(range(1, len(names) + 1), names)
    axes[-1].set_ylabel("area fraction (%)")
    figure.savefig(folder / "diversity.png", dpi=110)
    return "diversity.png"
