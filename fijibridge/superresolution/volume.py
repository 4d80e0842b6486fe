"""A fine volume from a coarse one and fine slices, by optimisation."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.core.errors import SettingsError
from fijibridge.phases.phases import Phases
from fijibridge.reconstruction.exemplars import TOLERANCE, Exemplars
from fijibridge.reconstruction.settings import ReconstructionSettings
from fijibridge.reconstruction.volume import reconstruct
from fijibridge.superresolution.agreement import FWHM, Agreement
from fijibridge.superresolution.coarse import Coarse
from fijibridge.superresolution.kriging import reach_of
from fijibridge.superresolution.partial_volume import (
    coarse_fractions,
    equal_side,
    fitted_offsets,
    group_masks,
    radial_covariance,
)
from fijibridge.superresolution.psf import estimated_psf
from fijibridge.superresolution.settings import SuperresolutionSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fijibridge.weights.weights import Weights


@dataclass(frozen=True, eq=False)
class Tie:
    """How coarse volume and fine slices belong together.

    Parameters
    ----------
    agreement : Agreement
        The constraint on the fine volume.
    names : tuple of str
        The groups that the coarse volume distinguishes: visible phases, then the rest as "A + B".
    coarse : np.ndarray
        (G,) their fractions in the coarse volume.
    expected : np.ndarray
        (G,) what a coarse volume of the slices' material would show.
    slices : np.ndarray
        (G,) their fractions in the slices.
    psf : float
        FWHM in coarse voxels; 0 for labels.
    notes : tuple of str
        What a user should know.
    """

    agreement: Agreement
    names: tuple[str, ...]
    coarse: np.ndarray
    expected: np.ndarray
    slices: np.ndarray
    psf: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Superresolution:
    """A fine volume.

    Parameters
    ----------
    phases : Phases
        (Z, Y, X) with the slices' values, names and pixel size.
    soft_fractions : np.ndarray
        (P,) before the final cut.
    tie : Tie
        What it was tied to.
    agreement : float
        Share of the coarse voxels that show the group of the coarse volume.
    notes : tuple of str
        What a user should know.
    """

    phases: Phases
    soft_fractions: np.ndarray
    tie: Tie
    agreement: float
    notes: tuple[str, ...] = ()


def tied(coarse: Coarse, exemplars: Exemplars, factor: int, settings: SuperresolutionSettings | None = None) -> Tie:
    """Find out how a coarse volume sees the material of the slices, and whether the two agree.

    Parameters
    ----------
    coarse : Coarse
        The volume.
    exemplars : Exemplars
        Fine slices with all phases.
    factor : int
        Fine voxels along a coarse one.
    settings : SuperresolutionSettings, optional
        Which fractions to trust, the point-spread function, weight.

    Returns
    -------
    Tie

    Raises
    ------
    SettingsError
        Fractions of a visible phase that differ by more than 3 points, and ``trust`` is "ask"; slices too
        small for the factor.
    """
    settings = settings or SuperresolutionSettings()
    first = exemplars.first
    masks = [group_masks(image, coarse.groups) for image in exemplars.images()]
    if min(min(mask.shape[1:]) for mask in masks) < 4 * factor:
        raise SettingsError(
            f"slices of {min(min(mask.shape[1:]) for mask in masks)} pixels a side for factor {factor}",
            expected=f"at least {4 * factor}: four coarse voxels",
            remedy="give larger slices",
        )
    names = tuple(" + ".join(first.names[place] for place in group) for group in coarse.groups)
    shares = np.stack([mask.mean((1, 2)) for mask in masks]).mean(0, dtype=np.float64)
    side = equal_side(masks, factor)
    none = np.zeros(len(names))
    expected = shares if coarse.kind == "probabilities" else coarse_fractions(masks, side, none)
    found = coarse.fractions
    apart = np.abs(found - expected)
    notes = []
    if apart.max() > TOLERANCE:
        fractions = "; ".join(
            f"{name} {100 * found[k]:.1f} % in the coarse volume, {100 * expected[k]:.1f} % as it would see the slices"
            for k, name in enumerate(names)
        )
        if settings.trust == "ask":
            raise SettingsError(
                f"coarse volume and slices disagree: {fractions}",
                expected=f"fractions within {100 * TOLERANCE:g} points: both show the same material",
                remedy="say whose fractions hold, trust=coarse or trust=slices (--trust), or take other slices",
            )
        notes.append(f"coarse volume and slices disagree: {fractions}; trusted: {settings.trust}")
    offsets = none
    if settings.trust == "slices":
        wanted = shares
        if coarse.kind == "labels":
            offsets = fitted_offsets(masks, side, found)
            shifts = ", ".join(f"{name} {offset:+.2f}" for name, offset in zip(names, offsets, strict=True))
            notes.append(f"the coarse volume's threshold, fitted to the slices' fractions: {shifts} of a voxel")
        elif coarse.kind == "probabilities":
            coarse = _shifted(coarse, shares)
    else:
        wanted = np.clip(found + shares - expected, 1e-4, 1)
        wanted = wanted / wanted.sum()
    psf = settings.psf
    if psf < 0:
        psf = estimated_psf(coarse, factor)
        if coarse.kind != "labels":
            notes.append(f"point-spread function estimated: {psf:.1f} coarse voxels (FWHM)")
    within = np.zeros(len(first))
    for group in coarse.groups:
        inside = exemplars.fractions[list(group)]
        within[list(group)] = inside / inside.sum()
    agreement = Agreement(
        coarse, factor, within, wanted, offsets=offsets, sigma=psf / FWHM * factor, weight=settings.agreement_weight,
        covariances=_covariances(masks, factor) if coarse.kind == "labels" else (),
    )  # fmt: skip
    return Tie(agreement, names, found, expected, shares, psf, tuple(notes))


def superresolve(
    coarse: Coarse,
    exemplars: Exemplars,
    factor: int,
    settings: SuperresolutionSettings | None = None,
    *,
    weights: Weights | None = None,
    state_file: Path | None = None,
    resume: bool = False,
    keep: Path | None = None,
) -> Superresolution:
    """Make a fine volume that a coarse one is the blurred image of, and whose slices look like fine micrographs.

    The volume starts as the coarse one, interpolated. Phases that the coarse volume shows are held by it; the others
    come from the slices alone. All else is a reconstruction (`fijibridge.reconstruction.reconstruct`).

    Parameters
    ----------
    coarse : Coarse
        By `coarse_labels`, `coarse_probabilities` or `coarse_grey`.
    exemplars : Exemplars
        Fine slices with all phases, by `check_exemplars`.
    factor : int
        2, 4 or 8 fine voxels along a coarse one.
    settings : SuperresolutionSettings, optional
        How; the defaults by default.
    weights, state_file, resume, keep
        As `reconstruct`.

    Returns
    -------
    Superresolution

    Raises
    ------
    SettingsError
        As `tied` and `reconstruct`.
    WeightsError, OutputError
        As `reconstruct`.
    """
    settings = settings or SuperresolutionSettings()
    if settings.periodic:
        raise SettingsError(
            "a periodic super-resolution", expected="false: the coarse volume is not periodic", remedy="leave it out"
        )
    if settings.chunk % factor:
        raise SettingsError(
            f"chunk = {settings.chunk} voxels, with factor {factor}",
            expected=f"a multiple of {factor}: blocks of whole coarse voxels",
            remedy=f"give {settings.chunk // factor * factor} or {-(-settings.chunk // factor) * factor}",
        )
    tie = tied(coarse, exemplars, factor, settings)
    z, y, x = (factor * size for size in coarse.shape)
    plain = ReconstructionSettings(
        **{item.name: getattr(settings, item.name) for item in fields(ReconstructionSettings)}
    )
    made = reconstruct(
        exemplars,
        (z, y, x),
        plain,
        weights=weights,
        constraint=tie.agreement,
        state_file=state_file,
        resume=resume,
        keep=keep,
    )
    share = float(tie.agreement.agreeing(made.phases.index).mean())
    return Superresolution(made.phases, made.soft_fractions, tie, share, (*tie.notes, *made.notes))


def _covariances(masks: Sequence[np.ndarray], factor: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each group, mean over the slices' (G, Y, X) masks, by distance in fine pixels."""
    reach = min(reach_of(factor), *(min(mask.shape[1:]) // 2 for mask in masks))
    found = []
    for group in range(len(masks[0])):
        curves = [radial_covariance(mask[group], reach) for mask in masks]
        found.append((curves[0][0], np.mean([values for _, values in curves], axis=0)))
    return found


def _shifted(coarse: Coarse, wanted: np.ndarray) -> Coarse:
    """Probabilities whose means are the wanted fractions: one offset a group on their logarithms."""
    from dataclasses import replace

    logs = np.log(np.clip(coarse.values, 1e-4, 1))
    offsets = np.zeros(len(wanted))
    for _ in range(100):
        values = np.exp(logs + offsets[:, None, None, None].astype(np.float32))
        values /= values.sum(0)
        change = np.log(np.maximum(wanted, 1e-6) / values.mean((1, 2, 3)))
        if np.abs(change).max() < 1e-4:
            break
        offsets += change
    return replace(coarse, values=values, labels=values.argmax(0).astype(np.uint8))
