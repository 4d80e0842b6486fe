"""Configuration of a data set: a preset, or a TOML file, in which each parameter is a value or a range."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from fijibridge.core.errors import SettingsError
from fijibridge.core.names import LONGEST, flaw, shown
from fijibridge.core.params import Param, check
from fijibridge.core.records import made, parse_toml, read_toml

if TYPE_CHECKING:
    from fijibridge.synthesis.imaging_settings import ImagingSettings
    from fijibridge.synthesis.materials import Material
    from fijibridge.synthesis.structure_settings import StructureSettings

_HEAVIEST = 1e6  # parts by weight
_TRIES = 200  # draws at most until fractions fit together

Size = Annotated[int, Param("height and width of the micrographs", low=32, high=4096, unit="px")]
Depth = Annotated[int, Param("depth of a structure", low=8, high=1024, unit="px")]
Sections = Annotated[int, Param("sections that are imaged of one structure", low=1, high=1024)]
Spacing = Annotated[
    int,
    Param(
        "distance of the sections of a tomography, which are imaged one after the other, with jitter and drift; 0: no "
        "tomography, sections are evenly spaced and each has its own imaging parameters",
        low=0,
        high=64,
        unit="px",
    ),
]


@dataclass(frozen=True)
class SimulationConfig:
    """Configuration from which a data set is drawn.

    A value of ``structure`` or ``imaging`` is fixed, or a list: two numbers are a range, from which values are drawn
    uniformly; words are choices.

    Parameters
    ----------
    name : str
        Of the preset, or of the file.
    size : int
        Height and width of the micrographs, px.
    depth : int
        Depth of a structure, px.
    sections : int
        Sections that are imaged of one structure.
    spacing : int
        Distance of the sections of a tomography, px; 0: no tomography, each section has its own imaging parameters.
    pixel_size : float or (float, float)
        Micrometres, or a range of them.
    materials : mapping
        Phase -> name of a material, or a mapping with its formula, density and more (see `Material`), for the phases
        that occur.
    composition : mapping of str to float
        Phase -> part by weight, for the solid phases; with the porosity it gives the volume fractions. Empty: the
        structure's own fractions hold.
    structure, imaging : mapping
        Parameters of `StructureSettings` and `ImagingSettings`; what is missing has its default.

    Raises
    ------
    SettingsError
        A value outside its range, an unknown name (with the nearest known one), or a composition beside volume
        fractions.
    """

    name: str
    size: Size = 512
    depth: Depth = 64
    sections: Sections = 4
    spacing: Spacing = 0
    pixel_size: Any = 0.05
    materials: Mapping[str, Any] = field(default_factory=dict)
    composition: Mapping[str, float] = field(default_factory=dict)
    structure: Mapping[str, Any] = field(default_factory=dict)
    imaging: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        from fijibridge.synthesis.imaging_settings import ImagingSettings
        from fijibridge.synthesis.structure import PHASES
        from fijibridge.synthesis.structure_settings import StructureSettings

        check(type(self), {item.name: getattr(self, item.name) for item in fields(self)})
        if self.name and (why := flaw(self.name)):
            raise SettingsError(f"name = {shown(self.name)}, which {why}", expected="a word or two", remedy="rename it")
        for section in ("materials", "composition", "structure", "imaging"):
            _check_section(section, getattr(self, section))
        for phase, part in self.composition.items():
            if not isinstance(part, (int, float)) or isinstance(part, bool) or not 0 <= part <= _HEAVIEST:
                raise SettingsError(
                    f"{phase} = {part!r} in [composition]",
                    expected=f"parts by weight, 0 to {_HEAVIEST:g}",
                    remedy="give a number",
                )
        if self.sections * max(1, self.spacing) > self.depth:
            apart = f", {self.spacing} px apart," if self.spacing else ""
            raise SettingsError(
                f"{self.sections} sections{apart} of a structure {self.depth} px deep",
                expected=f"a depth of at least {self.sections * max(1, self.spacing)} px",
                remedy="make it deeper, or take fewer sections",
            )
        for value in _ends("pixel_size", self.pixel_size):
            if isinstance(value, (bool, str)) or not isinstance(value, (int, float)) or not 0.001 <= value <= 10:
                raise SettingsError(
                    f"pixel_size = {value!r}", expected="0.001 to 10 micrometres", remedy="give it in micrometres"
                )
        for owner, section, given in (
            (StructureSettings, "structure", self.structure),
            (ImagingSettings, "imaging", self.imaging),
        ):
            names = [item.name for item in fields(owner)]
            for key, value in given.items():
                _known(key, names, f"[{section}]")
                for each in _ends(key, value):
                    check(owner, {key: each})
        if isinstance(self.imaging.get("bits"), (list, tuple)):
            raise SettingsError(
                f"bits = {self.imaging['bits']}", expected="8 or 16, the same in a data set", remedy="choose one"
            )
        solid = [phase for phase in PHASES if phase != "pore"]
        for key in (*self.materials, *self.composition):
            _known(key, solid, "[materials] and [composition]")
        for phase in solid:
            share = self.structure.get(f"{phase.lower()}_fraction", 0)
            if phase not in self.materials and (phase in ("ISE", "CAM") or max(_ends(phase, share)) > 0):
                raise SettingsError(
                    f"no material for {phase}", expected="one for each solid phase",
                    remedy=f'add {phase} = "..." to [materials]',
                )  # fmt: skip
        self.phase_materials()
        if self.composition:
            self._check_composition()

    def _check_composition(self) -> None:
        both = sorted({f"{phase.lower()}_fraction" for phase in self.composition} & set(self.structure))
        if both:
            raise SettingsError(
                f"[composition] and {both[0]} in [structure]",
                expected="weights or volume fractions",
                remedy="leave one of them out",
            )
        missing = sorted(set(self.composition) - set(self.materials))
        if missing:
            raise SettingsError(
                f"[composition] has {missing[0]}, [materials] has not",
                expected="a material, for its density",
                remedy=f'add {missing[0]} = "..." to [materials]',
            )

    def phase_materials(self) -> dict[str, Material]:
        """Phase -> material."""
        from fijibridge.synthesis.materials import Material, material_named

        found = {}
        for phase, given in self.materials.items():
            if isinstance(given, str):
                found[phase] = material_named(given)
                continue
            if not isinstance(given, Mapping):
                raise SettingsError(
                    f"{phase} = {given!r} in [materials]",
                    expected="the name of a material, or a table with its formula and density",
                    remedy=f'write {phase} = "NCM", or a section [materials.{phase}]',
                )
            names = [item.name for item in fields(Material)]
            for key in given:
                _known(key, names, f"[materials.{phase}]")
            if not {"formula", "density"} <= set(given):
                raise SettingsError(
                    f"[materials.{phase}] with {', '.join(given) or 'nothing'}",
                    expected="a formula and a density (g/cm3) at least",
                    remedy="add them, or give the name of a known material",
                )
            found[phase] = made(Material, {"name": phase, **given}, f"[materials.{phase}]", error=SettingsError)
        return found

    def with_ranges(
        self, *, structure: Mapping[str, Any] | None = None, imaging: Mapping[str, Any] | None = None
    ) -> SimulationConfig:
        """The configuration with some parameters changed.

        Parameters
        ----------
        structure, imaging : mapping, optional
            Values or ranges of parameters of `StructureSettings` and `ImagingSettings`.

        Returns
        -------
        SimulationConfig
        """
        return replace(
            self,
            structure={**self.structure, **(structure or {})},
            imaging={**self.imaging, **(imaging or {})},
        )


def presets() -> list[str]:
    """Names of the presets."""
    folder = resources.files("fijibridge.synthesis") / "presets"
    return sorted(item.name[:-5] for item in folder.iterdir() if item.name.endswith(".toml"))


def load_preset(name: str) -> SimulationConfig:
    """A preset by name (see `presets`).

    Raises
    ------
    SettingsError
        No such preset.
    """
    if not isinstance(name, str) or name not in presets():
        near = difflib.get_close_matches(str(name), presets(), 1)
        raise SettingsError(
            f"preset = {name!r}",
            expected=f"one of {', '.join(presets())}",
            remedy=f"did you mean {near[0]}?" if near else "take one of these, or write a --config file",
        )
    text = (resources.files("fijibridge.synthesis") / "presets" / f"{name}.toml").read_text(encoding="utf-8")
    return config_of(parse_toml(text, f"preset {name}"), name)


def load_config(path: Path) -> SimulationConfig:
    """A configuration file; ``preset = "NAME"`` in it gives the values that the file leaves out.

    Raises
    ------
    ImageNotFoundError, SettingsError
        No such file, not TOML, or what `SimulationConfig` refuses.
    """
    path = Path(path)
    return config_of(read_toml(path), path.stem[:LONGEST])


def config_of(values: Mapping[str, Any], name: str) -> SimulationConfig:
    """A configuration from the values of its file, or of a data set's record.

    Parameters
    ----------
    values : mapping
        Keys of `SimulationConfig`, and ``preset`` for what is missing.
    name : str
        Of the configuration, unless ``values`` has one.

    Returns
    -------
    SimulationConfig

    Raises
    ------
    SettingsError
        As `SimulationConfig`.
    """
    if not isinstance(values, Mapping):
        raise SettingsError(f"a configuration {values!r}", expected="named values", remedy="see the presets")
    values = dict(values)
    names = [item.name for item in fields(SimulationConfig)]
    for key in values:
        _known(key, ["preset", *names], "the configuration")
    base = values.pop("preset", None)
    for section in ("materials", "composition", "structure", "imaging"):
        _check_section(section, values.get(section, {}))
    if base is not None:
        earlier = load_preset(base)
        kept = {item.name: getattr(earlier, item.name) for item in fields(earlier)}
        # weights replace the preset's volume fractions, and these its weights
        if "composition" in values:
            kept["structure"] = {key: value for key, value in kept["structure"].items() if not _is_fraction(key)}
        elif any(map(_is_fraction, values.get("structure", {}))):
            kept["composition"] = {}
        for key in ("materials", "structure", "imaging"):
            values[key] = {**kept[key], **values.get(key, {})}
        values = {**kept, "name": name, **values}
    values.setdefault("name", name)
    return SimulationConfig(**values)


def _is_fraction(key: str) -> bool:
    return key.endswith("_fraction")


def to_record(config: SimulationConfig) -> dict[str, Any]:
    """The configuration as plain values, from which `config_of` restores it."""
    return {
        item.name: dict(value) if isinstance(value := getattr(config, item.name), Mapping) else value
        for item in fields(config)
    }


def draw_structure(config: SimulationConfig, rng: np.random.Generator) -> tuple[StructureSettings, float]:
    """Draw the parameters of a structure.

    Parameters
    ----------
    config : SimulationConfig
        Ranges.
    rng : np.random.Generator
        Of the draw.

    Returns
    -------
    settings : StructureSettings
    pixel_size : float
        Micrometres.

    Raises
    ------
    SettingsError
        No draw has fractions that fit together.
    """
    from fijibridge.synthesis.composition import volume_fractions
    from fijibridge.synthesis.structure_settings import StructureSettings

    pixel_size = _drawn(config.pixel_size, rng)
    for attempt in range(_TRIES):
        values = {key: _drawn(value, rng) for key, value in config.structure.items()}
        for phase in ("carbon", "binder"):
            if phase not in config.materials:
                values[f"{phase}_fraction"] = 0.0
        if config.composition:
            porosity = values.get("porosity", StructureSettings.porosity)
            densities = {phase: material.density for phase, material in config.phase_materials().items()}
            shares = volume_fractions(config.composition, densities, porosity)
            values |= {
                f"{phase.lower()}_fraction": share for phase, share in shares.items() if phase not in ("ISE", "pore")
            }
        try:
            return StructureSettings(**values), pixel_size
        except SettingsError:
            if attempt == _TRIES - 1 or not any(isinstance(value, list) for value in config.structure.values()):
                raise
    raise AssertionError("unreachable")


def draw_imaging(config: SimulationConfig, rng: np.random.Generator) -> ImagingSettings:
    """Draw the parameters of a pair of images.

    Parameters
    ----------
    config : SimulationConfig
        Ranges.
    rng : np.random.Generator
        Of the draw.

    Returns
    -------
    ImagingSettings
    """
    from fijibridge.synthesis.imaging_settings import ImagingSettings

    return ImagingSettings(**{key: _drawn(value, rng) for key, value in config.imaging.items()})


def _drawn(value: Any, rng: np.random.Generator) -> Any:
    if not isinstance(value, (list, tuple)):
        return value
    if isinstance(value[0], str):
        return value[int(rng.integers(len(value)))]
    return float(rng.uniform(*value))


def _check_section(name: str, given: Any) -> None:
    if not isinstance(given, Mapping) or not all(isinstance(key, str) for key in given):
        raise SettingsError(
            f"{name} = {ascii(given)[:60]}", expected=f"a section [{name}] with key = value lines", remedy="correct it"
        )


def _ends(key: str, value: Any) -> list[Any]:
    """The ends of a range, or the value itself, checked."""
    if not isinstance(value, (list, tuple)):
        return [value]
    words = bool(value) and all(isinstance(each, str) for each in value)
    numbers = len(value) == 2 and all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in value)
    if not words and not (numbers and value[0] <= value[1]):
        raise SettingsError(
            f"{key} = {list(value)}",
            expected="a value, a range [low, high], or a list of words to choose from",
            remedy=f"write {key} = [low, high] with low first",
        )
    return list(value)


def _known(key: str, names: Iterable[str], where: str) -> None:
    names = list(names)
    if key not in names:
        near = difflib.get_close_matches(key[:60], names, 1, 0.4)
        raise SettingsError(
            f"{shown(key)} in {where}",
            expected=f"one of {', '.join(names)}",
            remedy=f"did you mean {near[0]}?" if near else "check the spelling",
        )
