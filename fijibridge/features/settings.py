"""What a user chooses for features: which sources, with which settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeGuard

from fijibridge.core.errors import SettingsError
from fijibridge.core.params import Param, check, completed, names_in
from fijibridge.features.source import RECIPE_SUFFIX, SOURCES, SourceSettings, offered_features
from fijibridge.features.tws.settings import TwsSettings
from fijibridge.features.vit.settings import VitSettings

Detector = Annotated[
    str,
    Param(
        "the detector that took the image, such as SE or BSE: for a network, and beside further detectors",
        group="Input",
    ),
]


@dataclass(frozen=True)
class FeatureSettings:
    """Which features an image gets, and how. The defaults are those of the preset ``"default"``.

    Parameters
    ----------
    sources : tuple of SourceSettings
        Their features follow one another; each kind once.
    detector : str
        Who took the image: as what a network sees it, and the first of several detectors.

    Raises
    ------
    SettingsError
        No source, a kind twice, or a detector's name that does not serve.
    """

    sources: tuple[SourceSettings, ...] = (TwsSettings(), VitSettings())
    detector: Detector = "BSE"

    def __post_init__(self) -> None:
        from fijibridge.images.detectors import check_names

        check(type(self), vars(self))
        sources = (self.sources,) if isinstance(self.sources, SourceSettings) else tuple(self.sources)
        object.__setattr__(self, "sources", sources)
        kinds = [one.kind for one in sources]
        if not kinds or len(set(kinds)) != len(kinds):
            raise SettingsError(
                f"features {', '.join(kinds) or 'of no source'}",
                expected=f"some of {', '.join(SOURCES)}, each once",
                remedy="for example tws,vit",
            )
        check_names((self.detector,))

    def source(self, kind: str) -> SourceSettings | None:
        """The settings of one kind; None where it takes no part."""
        return next((one for one in self.sources if one.kind == kind), None)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {"detector": self.detector, "sources": [one.to_json() for one in self.sources]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FeatureSettings:
        """The settings that :meth:`to_json` wrote.

        Raises
        ------
        SettingsError
            A source or a setting that this version does not know, or a value outside its range.
        """
        sources = tuple(SOURCES[one["kind"]].settings_class.from_json(one) for one in data["sources"])
        return cls(sources, data["detector"])


FeatureChoice: TypeAlias = "str | Path | FeatureSettings | SourceSettings | Sequence[SourceSettings]"


def feature_settings(choice: FeatureChoice) -> FeatureSettings:
    """A choice of features in any of its forms.

    Parameters
    ----------
    choice : str, Path, FeatureSettings, SourceSettings or sequence of SourceSettings
        Of text: a preset (``"fast"``, ``"default"``, ``"best"``), or kinds of sources with their default settings,
        separated by commas (``"tws"``, ``"tws,vit"``), or filters of TWS's by name (``"tws:all"``,
        ``"Gaussian,Hessian"``). A path, also as text that ends in ``.toml``: a recipe.

    Raises
    ------
    SettingsError
        Neither, or a recipe that does not serve.
    ImageNotFoundError
        No such recipe.
    """
    from fijibridge.features.presets import PRESETS

    if isinstance(choice, Path) or is_recipe(choice):
        from fijibridge.features.recipe import sources_of

        return FeatureSettings(sources_of(Path(choice)))
    if isinstance(choice, FeatureSettings):
        return choice
    if isinstance(choice, SourceSettings):
        return FeatureSettings((choice,))
    if not isinstance(choice, str):
        given = list(choice) if isinstance(choice, Sequence) else [None]
        sources = tuple(one for one in given if isinstance(one, SourceSettings))
        if len(sources) < len(given):
            raise SettingsError(
                f"features {choice!r}", expected="a preset, kinds of sources, or their settings", remedy='try "default"'
            )
        return FeatureSettings(sources)
    if choice in PRESETS:
        return FeatureSettings((TwsSettings(), PRESETS[choice]))
    return FeatureSettings(tuple(sources_in(choice, presets=PRESETS)))


def is_recipe(choice: object) -> TypeGuard[str]:
    """Whether a choice of features is the name of a recipe's file.

    Parameters
    ----------
    choice : object
    """
    return isinstance(choice, str) and choice.lower().endswith(RECIPE_SUFFIX)


def sources_in(text: str, presets: Iterable[str] = ()) -> list[SourceSettings]:
    """Sources chosen by name, such as ``tws,vit``, ``tws:all`` or ``Gaussian,Hessian,vit``, with default settings.

    Parameters
    ----------
    text : str
        Of :func:`fijibridge.features.source.offered_features`, separated by commas; the beginning of a name serves.
    presets : iterable of str
        Names that would have served, too, for the message.

    Raises
    ------
    SettingsError
        A name that means none of them, or several.
    """
    offered = offered_features()
    chosen: dict[str, list[str]] = {}
    for name in names_in(text):
        found = completed(name, offered)
        if not found:
            words = f"a preset ({', '.join(presets)}), or " if presets else ""
            raise SettingsError(
                f"features {name!r}",
                expected=f"{words}some of {', '.join(offered)}",
                remedy="check the spelling",
            )
        kind, _, part = found.partition(":")
        if kind not in SOURCES:
            kind, part = "tws", found
        chosen.setdefault(kind, [])
        chosen[kind] += [part] if part else []
    return [SOURCES[kind].settings_class.of_parts(parts) for kind, parts in chosen.items()]
