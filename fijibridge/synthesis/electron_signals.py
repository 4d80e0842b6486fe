"""Signals of backscattered (BSE) and secondary electrons (SE) from a milled section, before artefacts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.core.parallel import compiled
from fijibridge.synthesis.imaging_settings import ImagingSettings
from fijibridge.synthesis.materials import Material
from fijibridge.synthesis.smoothing import Smoother, standardised

if TYPE_CHECKING:
    from fijibridge.synthesis.structure import Structure

_SIGNAL_DEPTH = 0.2  # mean depth that backscattered electrons come from, as a share of the electron range
_SIGNAL_WIDTH = 0.15  # standard deviation of where they leave the surface, the same
_SE_BY_BSE = 3.0  # a backscattered electron frees about three times the secondaries that a beam electron does
_VIEW_LEVELS = 6  # the view out of a pore is tabulated for depths of 1, 2, 4, ... px


@compiled
def phases_present(labels, present):
    """Mark the values (0 to 255) that occur in a volume.

    Parameters
    ----------
    labels : ndarray (Z, Y, X) uint8
        The volume.
    present : ndarray (256,) bool
        Set, in place, where a value occurs.
    """
    for z in range(labels.shape[0]):
        for y in range(labels.shape[1]):
            for x in range(labels.shape[2]):
                present[labels[z, y, x]] = True


@compiled
def _descend(labels, grains, eta, keep, pore, solid, grain, floor, back):
    """Per column: the first solid beneath the section, its grain and depth, and the share of the beam that comes back.

    keep[p] is the share of the signal that comes from below a voxel of phase p. The last plane is repeated below.
    """
    depth = labels.shape[0]
    for y in range(labels.shape[1]):
        for x in range(labels.shape[2]):
            k = 0
            while k < depth and labels[k, y, x] == pore:
                k += 1
            floor[y, x] = k
            if k == depth:
                solid[y, x] = 0
                grain[y, x] = 0
                back[y, x] = 0.0
                continue
            solid[y, x] = labels[k, y, x]
            grain[y, x] = grains[k, y, x]
            through = 1.0
            total = 0.0
            last = labels[k, y, x]
            while k < depth and through > 1e-3:
                phase = labels[k, y, x]
                if phase != pore:  # a hidden pore neither scatters nor absorbs
                    last = phase
                    total += through * (1.0 - keep[phase]) * eta[phase]
                    through *= keep[phase]
                k += 1
            back[y, x] = total + through * eta[last]


@compiled
def _view(floor, levels, out):
    """Share of the sky that is visible from a pore's floor: its mask, smoothed over about the floor's depth."""
    count = levels.shape[0]
    for y in range(floor.shape[0]):
        for x in range(floor.shape[1]):
            depth = floor[y, x]
            if depth <= 0:
                out[y, x] = 1.0
                continue
            place = math.log2(max(depth, 1.0))
            lower = min(int(place), count - 2)
            share = min(place - lower, 1.0)
            seen = levels[lower, y, x] * (1.0 - share) + levels[lower + 1, y, x] * share
            if place > count - 1:  # deeper than the table: the opening's solid angle goes with the depth squared
                seen *= 4.0 ** (count - 1 - place)
            out[y, x] = min(max(seen, 0.0), 1.0)


@dataclass(frozen=True)
class Section:
    """A section through a structure and what lies beneath it, column by column.

    Parameters
    ----------
    labels : ndarray (Y, X) uint8
        Phases in the section itself.
    solid : ndarray (Y, X) uint8
        Phase of the first solid at or beneath the section, 0 where there is none.
    grain : ndarray (Y, X) uint16
        Its crystal grain, 0 for none.
    pores : ndarray (Y, X) bool
        Where the section shows a pore.
    floor : ndarray (Y, X) float32
        Depth of the first solid, px; 0 outside pores.
    back : ndarray (Y, X) float32
        Share of the beam that comes back from the first solid and what is beneath.
    view : ndarray (Y, X) float32
        Share of the sky that is visible from the first solid, 1 outside pores.
    pore_spectrum : ndarray
        Spectrum of the mask of pores, for smoothing it.
    """

    labels: np.ndarray
    solid: np.ndarray
    grain: np.ndarray
    pores: np.ndarray
    floor: np.ndarray
    back: np.ndarray
    view: np.ndarray
    pore_spectrum: np.ndarray


def by_phase(materials: list[Material | None], value: Callable[[Material], float]) -> np.ndarray:
    """Table of a material's property by label value.

    Parameters
    ----------
    materials : list of Material or None
        By label value - 1; None for pores and unknown.
    value : callable
        The property of a material.

    Returns
    -------
    ndarray (P + 1,) float32
        0 for label 0, pores and unknown.
    """
    return np.array([0.0, *(0.0 if m is None else value(m) for m in materials)], np.float32)


def cut_section(
    structure: Structure, z: int, materials: list[Material | None], pore: int, beam_energy: float, smoother: Smoother
) -> Section:
    """Cut a structure at a plane and look down on it.

    The share of beam electrons that comes back is that of each voxel's mean atomic number, weighted by an
    exponential in depth whose mean is a fifth of the electron range (Kanaya-Okayama) in the material passed.

    Parameters
    ----------
    structure : Structure
        ``labels``, ``grains`` (Z, Y, X) and ``voxel_size`` (um) are used.
    z : int
        Plane of the section; deeper planes lie beneath it.
    materials : list
        By label value - 1.
    pore : int
        Label value of pores.
    beam_energy : float
        keV.
    smoother : Smoother
        For images of the section's shape.

    Returns
    -------
    Section
    """
    beneath, grains = structure.labels[z:], structure.grains[z:]
    shape = beneath.shape[1:]
    eta = by_phase(materials, lambda m: m.backscatter_coefficient)
    keep = by_phase(
        materials,
        lambda m: math.exp(-structure.voxel_size / (_SIGNAL_DEPTH * m.electron_range(beam_energy))),
    )
    solid, grain = np.empty(shape, np.uint8), np.empty(shape, np.uint16)
    floor, back, view = (np.empty(shape, np.float32) for _ in range(3))
    _descend(beneath, grains, eta, keep, np.uint8(pore), solid, grain, floor, back)
    pores = beneath[0] == pore
    spectrum = smoother.spectrum(pores)
    levels = np.stack([smoother.gaussian(spectrum, 0.6 * 2.0**n, spectrum=True) for n in range(_VIEW_LEVELS)])
    _view(floor, levels, view)
    return Section(beneath[0].copy(), solid, grain, pores, floor, back, view, spectrum)


@dataclass(frozen=True)
class Surface:
    """The relief of a milled section.

    Parameters
    ----------
    relief : ndarray (Y, X) float32
        Slopes towards the SE detector, of mean 0 and root mean square 1 over the solids of the section.
    proud : ndarray (Y, X) float32
        Height of a pixel above its surroundings, where it was milled more slowly.
    rims : ndarray (Y, X) float32
        Closeness of a solid to the rim of a pore: about 1 at the rim of a deep one, 0 inside pores.
    walls : ndarray (Y, X) float32
        Steepness inside pores, 1 / cos of the slope less 1.
    """

    relief: np.ndarray
    proud: np.ndarray
    rims: np.ndarray
    walls: np.ndarray


def milled_surface(
    section: Section,
    materials: list[Material | None],
    settings: ImagingSettings,
    pixel_size: float,
    smoother: Smoother,
    rng: np.random.Generator,
) -> Surface:
    """The relief that milling leaves: steps between materials, texture of rough ones, rims and walls of pores.

    Parameters
    ----------
    section : Section
        The section.
    materials : list of Material or None
        By label value - 1.
    settings : ImagingSettings
        ``detector_angle`` is used.
    pixel_size : float
        Micrometres.
    smoother : Smoother
        For images of the section's shape.
    rng : np.random.Generator
        Of the texture.

    Returns
    -------
    Surface
    """
    solids = ~section.pores
    # slowly milled materials stand proud; pores get the mean, so that their rims are not counted twice
    height = by_phase(materials, lambda m: -math.log(m.milling_rate))[section.labels]
    mean = float(height[solids].mean(dtype=np.float64)) if solids.any() else 0.0
    height[section.pores] = mean
    step = max(0.06 / pixel_size, 0.7)  # milled steps are rounded
    height = smoother.spectrum(height)
    proud = smoother.gaussian(height, step, spectrum=True) - smoother.gaussian(height, 4 * step, spectrum=True)
    fine, coarse, broad = (
        smoother.noise(rng, max(size / pixel_size, least)) for size, least in ((0.05, 0.7), (0.15, 1.5), (0.5, 4))
    )
    rough = smoother.gaussian(by_phase(materials, lambda m: m.roughness)[section.labels], 0.7)
    texture = (fine + coarse + 0.5 * broad) * rough
    ground = 0.15 * texture * step + proud
    angle = math.radians(settings.detector_angle)
    slope_y, slope_x = np.gradient(ground)
    # slopes that face the detector are bright; a rough surface also has hollows and tips
    slopes = -(math.cos(angle) * slope_x + math.sin(angle) * slope_y) + 0.15 * texture
    relief = standardised(np.where(section.pores, np.float32(0), slopes.astype(np.float32)), solids)
    relief[section.pores] = 0

    escape = max(0.05 / pixel_size, 0.7)
    drop = np.minimum(section.floor, 2 * escape) * np.float32(0.5 / escape)
    rims = 2 * np.clip(smoother.gaussian(drop, escape), 0, None)
    rims[section.pores] = 0
    deep = smoother.gaussian(section.floor, 0.8)
    slope_y, slope_x = np.gradient(deep)
    walls = np.minimum(np.sqrt(1 + slope_y**2 + slope_x**2) - 1, 2).astype(np.float32)
    walls[solids] = 0
    return Surface(relief, proud, rims, walls)


def span(image: np.ndarray, *, least: float = 0.02) -> float:
    """Contrast of an image: the difference of its 1st and 99th percentile, with a lower bound.

    Parameters
    ----------
    image : ndarray (Y, X)
        Signal of a detector.
    least : float
        Lower bound as a share of the mean, which keeps amplitudes finite where a section holds a single phase.

    Returns
    -------
    float
        Positive.
    """
    low, high = np.percentile(image, (1, 99))
    return max(float(high - low), least * abs(float(image.mean(dtype=np.float64))), 1e-6)


def _escape(section: Section, settings: ImagingSettings, pixel_size: float, power: float) -> np.ndarray:
    """Share of a first solid's electrons that reach the detector: 1 in the section, less from a pore's floor."""
    dim = np.exp(section.floor * np.float32(-pixel_size / settings.shine_depth)) * section.view**power
    dim *= np.float32(settings.shine_through)
    dim[~section.pores] = 1
    dim[section.solid == 0] = 0  # the floor is deeper than the structure
    return dim


def detect_bse(
    section: Section,
    surface: Surface,
    orientation: np.ndarray,
    settings: ImagingSettings,
    pixel_size: float,
) -> np.ndarray:
    """Signal of backscattered electrons: composition, averaged over the signal's depth; channelling; some relief.

    Parameters
    ----------
    section : Section
        The section.
    surface : Surface
        Its relief.
    orientation : ndarray (Y, X) float32
        Brightness of the crystal grain at each pixel by its orientation, of standard deviation about 1.
    settings : ImagingSettings
        Amplitudes of channelling, relief and the signal from pores' floors.
    pixel_size : float
        Micrometres.

    Returns
    -------
    ndarray (Y, X) float32
        Electrons that come back per beam electron.
    """
    escape = _escape(section, settings, pixel_size, 1.0)
    composed = section.back * escape
    contrast = span(composed)
    composed += escape * orientation * np.float32(settings.channelling * contrast)
    composed += surface.relief * np.float32(settings.topographic_residue * contrast)
    return np.maximum(composed, 0)


def detect_se(
    section: Section,
    surface: Surface,
    orientation: np.ndarray,
    materials: list[Material | None],
    settings: ImagingSettings,
    pixel_size: float,
) -> np.ndarray:
    """Signal of secondary electrons: yield of the surface and of backscattered electrons; bright edges; relief.

    The yield is ``delta (1 + 3 eta)``: beam electrons free secondaries on their way in, backscattered ones on their
    way out, about three times as many each. Slow electrons leave a pore less easily than backscattered ones.

    Parameters
    ----------
    section, surface, orientation, settings, pixel_size
        As for `detect_bse`.
    materials : list of Material or None
        By label value - 1.

    Returns
    -------
    ndarray (Y, X) float32
        Relative to the table of materials.
    """
    escape = _escape(section, settings, pixel_size, 1.5)
    flat = by_phase(materials, lambda m: m.se_yield)[section.solid] * (1 + np.float32(_SE_BY_BSE) * section.back)
    contrast = span(flat * escape)
    steps = np.clip(surface.proud, 0, 1)
    edges = np.float32(settings.edge_brightening) * (surface.rims + surface.walls + np.float32(0.7) * steps)
    seen = flat * escape * (1 + edges)
    seen += escape * orientation * np.float32(0.5 * settings.channelling * contrast)
    seen += surface.relief * np.float32(settings.topography * contrast)
    return np.maximum(seen, 0)


def signal_width(section: Section, materials: list[Material | None], beam_energy: float) -> float:
    """Lateral spread of backscattered electrons where they leave the surface.

    Parameters
    ----------
    section : Section
        The section.
    materials : list of Material or None
        By label value - 1.
    beam_energy : float
        keV.

    Returns
    -------
    float
        Standard deviation in micrometres, mean over the section's solids.
    """
    ranges = by_phase(materials, lambda m: m.electron_range(beam_energy))
    count = np.bincount(section.labels.ravel(), minlength=len(ranges)).astype(float) * (ranges > 0)
    return _SIGNAL_WIDTH * float(count @ ranges / count.sum()) if count.sum() else 0.0
