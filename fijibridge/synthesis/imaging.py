"""SE and BSE micrographs of a milled section through a structure, with its labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from numbers import Integral

import numpy as np

from fijibridge.core.errors import SettingsError
from fijibridge.synthesis.artefacts import (
    Curtains,
    brightness_ramp,
    charge,
    digitised,
    displaced,
    noise,
    redeposit,
    scan_displacement,
)
from fijibridge.synthesis.electron_signals import (
    Section,
    by_phase,
    cut_section,
    detect_bse,
    detect_se,
    milled_surface,
    phases_present,
    signal_width,
    span,
)
from fijibridge.synthesis.imaging_settings import ImagingSettings
from fijibridge.synthesis.materials import Material, phase_materials
from fijibridge.synthesis.smoothing import Smoother, mirrored
from fijibridge.synthesis.structure import PHASES, Structure

_SMALLEST = 8  # px: slopes need neighbours
_BSE_CHARGING = 0.1  # backscattered electrons are fast: charge hardly bends them

# purposes of random numbers: each has its own generator, so that one setting does not change another's draw
_GRAINS, _SCAN, _RAMP, _STAGE = 1, 2, 3, 4  # of a stack
_SURFACE, _CURTAINS, _CHARGE, _FILM, _NOISE = 11, 12, 13, 14, 15  # of a section


@dataclass(frozen=True)
class Micrograph:
    """A section imaged by both detectors.

    Parameters
    ----------
    se, bse : ndarray (Y, X) uint8 or uint16
        Secondary and backscattered electrons.
    labels : ndarray (Y, X) uint8
        Phase of each pixel of ``bse``, 1 to 5 as in `PHASES`.
    pixel_size : float
        Micrometres.
    parameters : dict
        How it was made: the settings, ``seed``, ``z``, ``material_ISE`` and so on; ``slice`` is its number in a stack,
        ``slice_shift_y`` and ``slice_shift_x`` its displacement from the section's position in the structure,
        ``se_shift_y`` and ``se_shift_x`` that of SE from BSE (px, positive is down and right).
    """

    se: np.ndarray
    bse: np.ndarray
    labels: np.ndarray
    pixel_size: float
    parameters: dict[str, float | int | str]


def take_micrograph(
    structure: Structure,
    z: int,
    settings: ImagingSettings,
    materials: Mapping[str, Material],
    *,
    seed: int = 0,
) -> Micrograph:
    """Image the section of a structure at one plane.

    Parameters
    ----------
    structure : Structure
        Deeper planes (z + 1, ...) lie beneath the section: they add to BSE and are visible in pores. The last plane is
        repeated below.
    z : int
        Plane of the section.
    settings : ImagingSettings
        The defaults are good conditions.
    materials : mapping of str to Material
        Of each phase in the structure except pores; `fijibridge.synthesis.materials.MATERIALS` has some.
    seed : int
        The same seed gives the same micrograph.

    Returns
    -------
    Micrograph

    Raises
    ------
    SettingsError
        A plane outside the structure, or a phase that has no material.
    """
    return take_stack(structure, [z], settings, materials, seed=seed)[0]


def take_stack(
    structure: Structure,
    zs: Sequence[int],
    settings: ImagingSettings,
    materials: Mapping[str, Material],
    *,
    seed: int = 0,
) -> list[Micrograph]:
    """Image sections one after the other, as FIB-SEM tomography does.

    The microscope is set up at the first section: its grey levels stay, sections jitter, drift and flicker from there,
    and curtains continue from section to section.

    Parameters
    ----------
    structure, settings, materials, seed
        See `take_micrograph`.
    zs : sequence of int
        Planes in the order of milling.

    Returns
    -------
    list of Micrograph
        Labels move with the sections, by whole pixels.

    Raises
    ------
    SettingsError
        A plane outside the structure, or a phase that has no material.
    """
    labels = structure.labels
    if min(labels.shape[1:]) < _SMALLEST:
        raise SettingsError(
            f"sections of {labels.shape[1]} x {labels.shape[2]} px",
            expected=f"at least {_SMALLEST} x {_SMALLEST}",
            remedy="make the structure larger",
        )
    for z in zs:
        if isinstance(z, bool) or not isinstance(z, Integral) or not 0 <= z < labels.shape[0]:
            raise SettingsError(
                f"z = {z}",
                expected=f"a plane of the structure, 0 to {labels.shape[0] - 1}",
                remedy="choose z in that range",
            )
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise SettingsError(f"seed = {seed!r}", expected="a whole number of at least 0", remedy="give another seed")
    microscope = _Microscope(structure, settings, _materials(labels, materials), int(seed))
    return [microscope.image(index, int(z)) for index, z in enumerate(zs)]


def _materials(labels: np.ndarray, materials: Mapping[str, Material]) -> list[Material | None]:
    present = np.zeros(256, bool)
    phases_present(labels, present)
    values = np.flatnonzero(present)
    if values[0] < 1 or values[-1] > len(PHASES):
        wrong = values[0] if values[0] < 1 else values[-1]
        raise SettingsError(
            f"label {wrong} in the structure",
            expected=", ".join(f"{n} {phase}" for n, phase in enumerate(PHASES, 1)),
            remedy="give each voxel one of these phases",
        )
    return phase_materials(PHASES, materials, tuple(PHASES[value - 1] for value in values))


class _Microscope:
    """What is constant over the sections of a stack."""

    def __init__(
        self, structure: Structure, settings: ImagingSettings, materials: list[Material | None], seed: int
    ) -> None:
        self.structure, self.settings, self.materials, self.seed = structure, settings, materials, seed
        self.shape = structure.labels.shape[1:]
        self.pixel_size = float(structure.voxel_size)
        self.smoother = Smoother(self.shape)
        self.curtains = Curtains(self.shape, settings, self.pixel_size)
        # by grain number; a grain keeps its orientation, and with it its brightness, through the stack
        grains = np.clip(self._random(_GRAINS).standard_normal(2**16, np.float32), -2, 2)
        grains[0] = 0
        self.brightness_of_grain = grains
        self.scan, self.se_shift = scan_displacement(self.shape[0], settings, self._random(_SCAN))
        self.ramps = [brightness_ramp(self.shape, self._random(_RAMP, detector)) for detector in range(2)]
        self.levels: list[tuple[float, float]] = []

    def _random(self, *purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, *purpose])

    def _stage(self, index: int) -> tuple[np.ndarray, float]:
        """Displacement (y, x) and relative brightness of a section; none and 1 for the first."""
        if index == 0:
            return np.zeros(2), 1.0
        angle = self._random(_STAGE).uniform(0, 2 * math.pi)
        rng = self._random(_STAGE, index)
        drift = self.settings.slice_drift * index * np.array([math.sin(angle), math.cos(angle)])
        shift = drift + self.settings.slice_jitter * rng.standard_normal(2)
        return shift, max(1 + self.settings.flicker * rng.standard_normal(), 0.0)

    def signals(self, index: int, z: int) -> tuple[Section, list[np.ndarray], np.ndarray]:
        """Signals of a section without noise.

        Parameters
        ----------
        index : int
            Its number in the stack.
        z : int
            Its plane in the structure.

        Returns
        -------
        section : Section
        seen : list of ndarray (Y, X) float32
            Signals of SE and BSE, relative.
        shift : ndarray (2,)
            Displacement of the stage (y, x), px.
        """
        settings, pixel_size, smoother, materials = self.settings, self.pixel_size, self.smoother, self.materials
        pore = PHASES.index("pore") + 1
        section = cut_section(self.structure, z, materials, pore, settings.beam_energy, smoother)
        surface = milled_surface(section, materials, settings, pixel_size, smoother, self._random(_SURFACE, index, z))
        orientation = self.brightness_of_grain[section.grain]
        orientation *= by_phase(materials, lambda m: m.channelling)[section.solid]
        ideal = [
            detect_se(section, surface, orientation, materials, settings, pixel_size),
            detect_bse(section, surface, orientation, settings, pixel_size),
        ]
        film = [redeposit(i, section, settings, pixel_size, smoother, self._random(_FILM, index, z)) for i in ideal]
        wide = math.hypot(settings.defocus, settings.astigmatism)
        spot = wide, settings.defocus, math.radians(settings.astigmatism_angle)
        lateral = signal_width(section, materials, settings.beam_energy) / pixel_size
        spots = [spot, (math.hypot(wide, lateral), math.hypot(settings.defocus, lateral), spot[2])]
        curtains = self.curtains.mill(section, materials, z, self._random(_CURTAINS, index, z))
        charged = None
        if settings.charging > 0:
            charged = charge(section, materials, settings, pixel_size, smoother, self._random(_CHARGE, index, z))
        shift, flicker = self._stage(index)
        stage = np.broadcast_to(shift[:, None], self.scan.shape)
        seen = []
        for image, blur, lines, ramp, charging in zip(
            film, spots, (stage + self.scan, stage), self.ramps, (1.0, _BSE_CHARGING), strict=True
        ):
            image = smoother.gaussian(image, blur)
            contrast = span(image)
            image += curtains * np.float32(settings.curtaining / math.sqrt(2) * contrast)
            if charged is not None:
                image += charged * np.float32(charging * settings.charging * contrast)
            image = displaced(image, lines)
            image += ramp * np.float32(settings.gradient * contrast)
            seen.append(np.maximum(image, 0) * np.float32(flicker))
        return section, seen, shift

    def image(self, index: int, z: int) -> Micrograph:
        """The micrograph of a section; the first one sets the grey levels of all.

        Parameters
        ----------
        index : int
            Its number in the stack.
        z : int
            Its plane in the structure.

        Returns
        -------
        Micrograph
        """
        settings = self.settings
        section, seen, shift = self.signals(index, z)
        if not self.levels:
            self.levels = [(float(image.mean(dtype=np.float64)), span(image)) for image in seen]
        pictures = []
        for detector, (signal, (mean, contrast)) in enumerate(zip(seen, self.levels, strict=True)):
            rng = self._random(_NOISE, index, z, detector)
            gain = settings.contrast / contrast
            grey = np.clip((signal - np.float32(mean)) * np.float32(gain) + np.float32(settings.brightness), 0, 1)
            if settings.gamma != 1:
                grey **= np.float32(settings.gamma)
            grey = grey + noise(grey, signal, gain * float(signal.mean(dtype=np.float64)), settings, rng)
            grey += (settings.line_noise * settings.contrast) * rng.standard_normal((self.shape[0], 1), np.float32)
            pictures.append(digitised(grey, settings.bits))
        rows, columns = (
            mirrored(np.arange(size) - round(float(move)), size) for size, move in zip(self.shape, shift, strict=True)
        )
        parameters = {
            **asdict(settings),
            "seed": self.seed,
            "z": z,
            "slice": index,
            "pixel_size": self.pixel_size,
            "slice_shift_y": float(shift[0]),
            "slice_shift_x": float(shift[1]),
            "se_shift_y": float(self.se_shift[0]),
            "se_shift_x": float(self.se_shift[1]),
            **{f"material_{phase}": m.name for phase, m in zip(PHASES, self.materials, strict=True) if m is not None},
        }
        labels = np.ascontiguousarray(section.labels[rows[:, None], columns])
        return Micrograph(pictures[0], pictures[1], labels, self.pixel_size, parameters)
