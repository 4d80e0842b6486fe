"""A fine volume from a coarse one and fine slices, by optimisation."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
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
from fijibridge.superresolution.partial_volume import (
    coarse_fractions,
    equal_side,
    fitted_offsets,
    group_masks,
)
from fijibridge.superresolution.posterior import Posterior, learned_posterior, with_means
from fijibridge.superresolution.psf import estimated_psf
from fijibridge.superresolution.settings import SuperresolutionSettings

if TYPE_CHECKING:
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
    posterior : Posterior or None
        Probabilities of the phases, and the most probable volume; None of a GAN.
    notes : tuple of str
        What a user should know.
    """

    phases: Phases
    soft_fractions: np.ndarray
    tie: Tie
    agreement: float
    posterior: Posterior | None = None
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
    )  # fmt: skip
    return Tie(agreement, names, found, expected, shares, psf, tuple(notes))


def superresolve(
    coarse: Coarse,
    exemplars: Exemplars,
    factor: int,
    settings: SuperresolutionSettings | None = None,
    *,
    posterior: Posterior | None = None,
    weights: Weights | None = None,
    state_file: Path | None = None,
    resume: bool = False,
    keep: Path | None = None,
) -> Superresolution:
    """Make a fine volume that a coarse one is the blurred image of, and whose slices look like fine micrographs.

    The volume starts from the probabilities of the phases (`fijibridge.superresolution.posterior`), which are part of
    the result, with the volume that is most probable. Phases that the coarse volume shows are held by it; the others
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
    posterior : Posterior, optional
        Of an earlier call with the same coarse volume and slices; learned by default.
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
    check_blocks(factor, settings)
    tie = tied(coarse, exemplars, factor, settings)
    posterior = posterior or learned_posterior(tie.agreement, exemplars, settings)
    tie = replace(tie, agreement=tie.agreement.given(posterior.probabilities))
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
    return Superresolution(made.phases, made.soft_fractions, tie, share, posterior, (*tie.notes, *made.notes))


def most_probable(
    coarse: Coarse, exemplars: Exemplars, factor: int, settings: SuperresolutionSettings | None = None
) -> Superresolution:
    """The most probable fine volume, in a minute: nearest to the truth, but smoother than the material.

    Parameters
    ----------
    coarse, exemplars, factor, settings
        As of `superresolve`.

    Returns
    -------
    Superresolution
        With ``posterior.mean`` as its phases.

    Raises
    ------
    SettingsError
        As `tied`.
    """
    settings = settings or SuperresolutionSettings()
    tie = tied(coarse, exemplars, factor, settings)
    posterior = learned_posterior(tie.agreement, exemplars, settings)
    shares = posterior.probabilities.mean((1, 2, 3), dtype=np.float64)
    return Superresolution(posterior.mean, shares, tie, posterior.agreement, posterior, tie.notes)


def check_blocks(factor: int, settings: SuperresolutionSettings) -> None:
    """Refuse settings of a reconstruction that a coarse volume does not allow.

    Parameters
    ----------
    factor : int
        Fine voxels along a coarse one.
    settings : SuperresolutionSettings
        With the side of the chunks.

    Raises
    ------
    SettingsError
        A periodic volume, or chunks that divide coarse voxels.
    """
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


def _shifted(coarse: Coarse, wanted: np.ndarray) -> Coarse:
    """Probabilities whose means are the wanted fractions."""
    values = with_means(coarse.values.copy(), wanted, 1e-4)
    return replace(coarse, values=values, labels=values.argmax(0).astype(np.uint8))
