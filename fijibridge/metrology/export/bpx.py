"""Battery Parameter eXchange (BPX, https://bpxstandard.com): the measured part of an electrode.

BPX has every parameter of a cell, most of which no image shows: they come from a template, whose electrode gets the
measured numbers; without one the file says that it is a part.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fijibridge.core.errors import ImageNotFoundError, SettingsError
from fijibridge.core.params import names_in
from fijibridge.metrology.export.export import Export, Job, Written, metres, phase_number

if TYPE_CHECKING:
    from fijibridge.metrology.metric import Measurement

_NAME = "bpx.json"
_VERSION = "1.0.0"
_ROLES = ("pore", "particles")
_POROUS = ("Porosity", "Transport efficiency")
_OF_PARTICLES = ("Particle radius [m]", "Surface area per unit volume [m-1]")
_THICKNESS = "Thickness [m]"
_FRACTION_OFF = 0.1  # of the active material's fraction: no note below, as balls of 9 voxels are off by 0.08


def _roles(job: Job) -> dict[str, str]:
    """Name of the phase in each role.

    Raises
    ------
    SettingsError
        Not both roles, or a phase that is missing.
    """
    pairs = [part.partition("=") for part in names_in(job.bpx.phases)]
    roles = {role.strip(): name.strip() for role, _, name in pairs}
    if set(roles) != set(_ROLES) or len(pairs) != len(_ROLES):
        raise SettingsError(
            f"bpx-phases = {job.bpx.phases!r}",
            expected=f"{' and '.join(_ROLES)}: the phase that holds the electrolyte, and the active material",
            remedy=f"for example --bpx-phases pore={job.source.names[0]},particles={job.source.names[-1]}",
        )
    for name in roles.values():
        phase_number(job.source, name)
    if len(set(roles.values())) < len(roles):
        raise SettingsError(
            f"bpx-phases = {job.bpx.phases!r}", expected="two different phases", remedy="name another for one of them"
        )
    return roles


def _template(path: Path, electrode: str, particles: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """A BPX file, its section of the electrode, and that of the particles (the same where there is one material).

    Raises
    ------
    ImageNotFoundError
        No such file.
    SettingsError
        No BPX, no such electrode, or a blend of materials of which none has the phase's name.
    """
    if not path.is_file():
        raise ImageNotFoundError(
            f"no file {path}", expected="a BPX file (JSON) of the cell", remedy="check --bpx-template"
        )
    try:
        whole = json.loads(path.read_text(encoding="utf-8"))
        section = whole["Parameterisation"][electrode]
        whole["Header"]["BPX"]
        blend = section.get("Particle")
        if blend is not None and not all(isinstance(material, dict) for material in blend.values()):
            raise TypeError("Particle")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingsError(
            f"{path} is no BPX file with a {electrode.lower()} ({type(error).__name__}: {error})",
            expected=f"JSON with Header and Parameterisation, and in this {electrode}",
            remedy="look at the examples of https://github.com/FaradayInstitution/BPX",
        ) from error
    if blend is None:
        return whole, section, section
    if particles not in blend and len(blend) != 1:
        raise SettingsError(
            f"{path}: the {electrode.lower()} is a blend of {', '.join(blend)}, none of them called {particles}",
            expected="a material with the name of the phase",
            remedy="rename the material in the template, or the phase with --classes",
        )
    return whole, section, blend[particles] if particles in blend else next(iter(blend.values()))


def _check(job: Job) -> None:
    roles = _roles(job)
    if job.bpx.axis not in job.axes:
        raise SettingsError(
            f"export bpx along {job.bpx.axis}, where the transport is measured along {', '.join(job.axes)}",
            expected="the axis from the current collector to the separator among --axes",
            remedy="change --axes or --bpx-axis",
        )
    if job.bpx.template is not None:
        _template(job.bpx.template, _electrode(job), roles["particles"])


def _electrode(job: Job) -> str:
    """BPX's name of the section."""
    return f"{job.bpx.electrode.capitalize()} electrode"


def _write(job: Job, found: Measurement, folder: Path) -> Written:
    roles, source, axis = _roles(job), job.source, job.bpx.axis
    pore, particles = roles["pore"], roles["particles"]
    unit = metres(source, "export bpx")
    first, second = sorted((pore, particles), key=source.names.index)
    numbers = {
        "Porosity": found.value("fraction", pore),
        "Transport efficiency": found.value("relative_conductivity", pore, axis=axis),
        # where all of a ball has the local thickness of its diameter
        "Particle radius [m]": found.value("local_thickness_mean", particles) / 2 * unit,
        "Surface area per unit volume [m-1]": found.value("interface_area", first, other=second) / unit,
    }
    if job.bpx.whole:
        place = source.axis(axis)
        numbers[_THICKNESS] = source.shape[place] * source.spacing[place] * unit
    notes = [
        f"{_NAME}: {name} is {value:g} and left out, as no model takes it"
        for name, value in numbers.items()
        if not (math.isfinite(value) and value > 0)
    ]
    if not source.filled:
        notes.append(f"{_NAME}: the background counts in the transport efficiency, as an insulator, and not elsewhere")
    taken, active = math.prod(numbers[name] for name in _OF_PARTICLES) / 3, found.value("fraction", particles)
    if math.isfinite(taken) and abs(taken - active) > _FRACTION_OFF * active:
        notes.append(
            f"{_NAME}: BPX has no fraction of {particles}; PyBaMM takes radius x surface / 3 = {taken:.3g}, measured "
            f"is {active:.3g}: set it there"
        )
    numbers = {name: float(f"{value:.9g}") for name, value in numbers.items() if math.isfinite(value) and value > 0}
    if job.bpx.template is None:
        whole, section = _part(_electrode(job))
        of_particles = section
        notes.append(f"{_NAME} is a part of a BPX file: give the rest as --bpx-template, or fill it in")
    else:
        whole, section, of_particles = _template(job.bpx.template, _electrode(job), particles)
        if whole["Header"].get("Model") == "SPM":
            notes.append(f"{_NAME}: no porosity and transport efficiency, which the template's model, SPM, has not")
            numbers = {name: value for name, value in numbers.items() if name not in _POROUS}
    for name, value in numbers.items():
        (of_particles if name in _OF_PARTICLES else section)[name] = value
    (folder / _NAME).write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return Written((_NAME,), tuple(notes))


def _part(electrode: str) -> tuple[dict[str, Any], dict[str, Any]]:
    section: dict[str, Any] = {}
    header = {
        "BPX": _VERSION,
        "Model": "Partial",
        "Title": f"{electrode}: what a segmented volume shows",
        "Description": "Partial: no parameter but those of the microstructure; to be completed before a model runs.",
    }
    return {"Header": header, "Parameterisation": {electrode: section}}, section


BPX = Export(
    write_measured=_write,
    check=_check,
    metrics=("fractions", "surface", "sizes", "tortuosity"),
    metres=True,
    volumes_only=True,
)
