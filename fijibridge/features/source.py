"""Feature sources: each kind of feature is one class with settings, what it learns, and the features it makes.

A source works as a transformer of scikit-learn does: ``fit`` learns from images what has to be learned, ``transform``
makes the features of an image. Three things are kept apart:

- ``settings``: what a user chose, a frozen dataclass;
- what was learned: attributes that end in ``_``, as arrays in :meth:`FeatureSource.arrays`;
- ``provenance``: where pre-trained weights came from.

A new kind is a file with a :class:`SourceSettings` and a :class:`FeatureSource`, and a line in `SOURCES`.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from fijibridge.core.errors import SettingsError
from fijibridge.core.params import Param
from fijibridge.core.registry import Registry
from fijibridge.features.provenance import Provenance

if TYPE_CHECKING:
    import numpy as np

    from fijibridge.features.channels import DetectorImage

Settings = TypeVar("Settings", bound="SourceSettings")
NO_STATISTICS: Mapping[str, np.ndarray] = MappingProxyType({})

SOURCES: Registry[type[FeatureSource[Any]]] = Registry(
    "feature source",
    {
        "tws": ("Trainable Weka Segmentation's 76 default features", "fijibridge.features.tws.source:TwsSource"),
        "tws3d": ("its default features of volumes", "fijibridge.features.tws3d.source:Tws3dSource"),
        "vit": ("a vision transformer's tokens, upsampled", "fijibridge.features.vit.source:VitSource"),
        "conv": ("early layers of a convolutional network", "fijibridge.features.convolutional.source:ConvSource"),
        "network": ("class probabilities of a trained network", "fijibridge.network.features:NetworkSource"),
    },
)


# Settings of the sources of which parts can be chosen: a help text needs these alone, not what makes the features.
IN_PARTS: Registry[type[SourceSettings]] = Registry(
    "feature source in parts",
    {
        "tws": ("", "fijibridge.features.tws.settings:TwsSettings"),
        "tws3d": ("", "fijibridge.features.tws3d.settings:Tws3dSettings"),
        "conv": ("", "fijibridge.features.convolutional.settings:ConvSettings"),
    },
)


def local(default: Any = "") -> Any:
    """A field of settings that names a file of this machine: it is not saved and not compared."""
    return field(default=default, metadata={"local": True})


@dataclass(frozen=True)
class SourceSettings:
    """What a user chose for a source; base class. Checked in ``__post_init__``, nested in `FeatureSettings`."""

    kind: ClassVar[str]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types, without the names of local files."""
        values = asdict(self)
        for one in fields(self):
            if one.metadata.get("local"):
                del values[one.name]
        return {"kind": self.kind, **json.loads(json.dumps(values))}

    @classmethod
    def from_json(cls: type[Settings], values: Mapping[str, Any]) -> Settings:
        """The settings that :meth:`to_json` wrote.

        Raises
        ------
        SettingsError
            Settings that this version does not know, or a value outside its range.
        """
        known = {one.name for one in fields(cls) if not one.metadata.get("local")}
        given = {name: value for name, value in values.items() if name != "kind"}
        if unknown := sorted(set(given) - known):
            raise SettingsError(
                f"settings of features {cls.kind!r} with {', '.join(unknown)}",
                expected=", ".join(sorted(known)) or "none",
                remedy="update fijibridge, or train the classifier anew",
            )
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})

    @classmethod
    def parts(cls) -> Mapping[str, str]:
        """What may follow the kind and a colon where features are chosen by name, each with a few words of help."""
        return {}

    @classmethod
    def of_parts(cls: type[Settings], parts: Sequence[str]) -> Settings:
        """The settings with some of :meth:`parts` in place of the default ones; none: the defaults.

        Parameters
        ----------
        parts : sequence of str
        """
        return cls()


def offered_features() -> dict[str, str]:
    """What features can be chosen by name, each with a few words: kinds, parts of kinds, and TWS's filters alone."""
    found = SOURCES.descriptions()
    for kind in IN_PARTS:
        parts = IN_PARTS[kind].parts()
        found |= {part if kind == "tws" and not words else f"{kind}:{part}": words for part, words in parts.items()}
    return found


RECIPE_SUFFIX = ".toml"
FEATURES = Param(
    "kinds of features, or TWS's filters by name (their beginning serves), separated by commas, such as tws,vit or "
    "Gaussian,Hessian,Membrane; or a recipe (recipe.toml of a saved classifier), which other options override; "
    "default: tws,vit, and network where one is given",
    group="Features",
    choices=offered_features,
    several=True,
    abbreviated=True,
    file_suffix=RECIPE_SUFFIX,
)


class ImageFeatures(ABC):
    """Some features of one image, made when asked for.

    Attributes
    ----------
    names : tuple of str
        One a channel.
    groups : tuple of str
        One a channel: channels of one group (a block of a ViT at one scale) get a linear model of their own in the
        linear head, which replaces them by one channel a class. Empty: the forest sees the channel itself.
    detector : str
        The label of the detector whose image they are of; empty for the first one's, or for all together.
    picks_pixels : bool
        Whether :meth:`at` makes single pixels without the block around them.
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    detector: str = ""
    picks_pixels: bool = False

    @abstractmethod
    def block(self, rows: slice, cols: slice, out: np.ndarray) -> None:
        """Fill a block of pixels.

        Parameters
        ----------
        rows, cols : slice
            With start and stop, step 1, inside the image.
        out : ndarray, float32, shape (h, w, len(names))
            A view of a wider array serves. A block must hold the numbers that the whole image has there.
        """

    def at(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Features of single pixels, float32 (n, C): the same values as in a block.

        Parameters
        ----------
        y, x : ndarray of int, shape (n,)
            Rows and columns.
        """
        raise TypeError(f"{type(self).__name__} makes blocks alone")  # picks_pixels says so

    def spread_over(self) -> np.ndarray | None:
        """Features (m, n, C) whose mean and spread are the image's; None: those of sampled pixels."""
        return None

    def statistics(self) -> Mapping[str, np.ndarray]:
        """What was taken from the image as a whole to make them, by ``kind.name``; see :meth:`FeatureSource.pooled`."""
        return NO_STATISTICS

    def grid_tokens(self) -> np.ndarray | None:
        """A ViT's tokens on the patch grid, float32 (gy, gx, C); None for other features."""
        return None

    def weighted(self, weights: np.ndarray) -> ImageFeatures:
        """Their products with the weights of a linear model.

        Parameters
        ----------
        weights : ndarray, float32, shape (C, K)

        Returns
        -------
        ImageFeatures
            K channels.
        """
        return WeightedFeatures(self, weights)


class WeightedFeatures(ImageFeatures):
    """Products of features with the weights of a linear model, pixel by pixel.

    Parameters
    ----------
    features : ImageFeatures
        C channels.
    weights : ndarray, float32, shape (C, K)
    """

    def __init__(self, features: ImageFeatures, weights: np.ndarray) -> None:
        self.features, self.weights = features, weights
        self.names = tuple(f"weighted_{k}" for k in range(weights.shape[1]))
        self.groups = ("",) * weights.shape[1]

    def block(self, rows: slice, cols: slice, out: np.ndarray) -> None:
        """See :meth:`ImageFeatures.block`."""
        import numpy as np

        whole = np.empty((*out.shape[:2], len(self.weights)), np.float32)
        self.features.block(rows, cols, whole)
        np.matmul(whole, self.weights, out=out)


class FeatureSource(ABC, Generic[Settings]):
    """What makes features of one kind; base class of all sources.

    Parameters
    ----------
    settings : SourceSettings, optional
        Of the class's own kind; the defaults.

    Attributes
    ----------
    provenance : Provenance
        Of pre-trained weights, filled in when they are loaded.
    """

    settings_class: ClassVar[type[SourceSettings]]
    needs_detector: ClassVar[bool] = False  # whether its features depend on which detector took the image
    needs_stack: ClassVar[bool] = False  # whether a single image cannot serve: they are features of volumes

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings: Settings = settings if settings is not None else self.settings_class()  # type: ignore[assignment]
        self.provenance = Provenance()

    @property
    def looks_along_z(self) -> bool:
        """Whether its features depend on the slices around the image, where there are some."""
        return self.needs_stack

    @property
    def needs_colour(self) -> bool:
        """Whether the slices around an image are needed in colour."""
        return False

    @property
    def kind(self) -> str:
        """Its name in `SOURCES`."""
        return self.settings.kind

    def fit(self, images: Sequence[DetectorImage]) -> None:
        """Learn what has to be learned; nothing by default.

        Parameters
        ----------
        images : sequence of DetectorImage
            One field of view, by each detector.
        """

    @abstractmethod
    def transform(self, images: Sequence[DetectorImage]) -> list[ImageFeatures]:
        """The features of one field of view.

        Parameters
        ----------
        images : sequence of DetectorImage
            The field as each detector saw it; features have its rows without the data bar.
        """

    def transform_with(
        self, images: Sequence[DetectorImage], statistics: Mapping[str, np.ndarray]
    ) -> list[ImageFeatures]:
        """As :meth:`transform`, with statistics of other images in place of the field's own; by default it has none.

        Parameters
        ----------
        images : sequence of DetectorImage
        statistics : mapping
            Of :meth:`ImageFeatures.statistics` of all features of this source together, by ``name``, or :meth:`pooled`
            ones. What is not there is the field's own.
        """
        return self.transform(images)

    def tokens(
        self, images: Sequence[DetectorImage], statistics: Mapping[str, np.ndarray] = NO_STATISTICS
    ) -> Mapping[str, np.ndarray]:
        """What is costly to make and may be interpolated between the slices of a stack; by default nothing.

        Parameters
        ----------
        images : sequence of DetectorImage
        statistics : mapping
            As of :meth:`transform_with`, which takes these too, among the statistics.
        """
        return NO_STATISTICS

    def limits(self, images: Sequence[DetectorImage]) -> Mapping[str, np.ndarray]:
        """Those of a field's statistics that are needed, pooled, before the others can be found; by default none.

        Parameters
        ----------
        images : sequence of DetectorImage
        """
        return NO_STATISTICS

    def pooled(self, parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """Statistics of several fields in one; by default there are none.

        Parameters
        ----------
        parts : sequence of mapping
            Of each field.
        """
        return {}

    def n_features(self, detectors: int) -> int | None:
        """How many features an image has, where that is known before they are made.

        Parameters
        ----------
        detectors : int
            How many detectors saw it.
        """
        return None

    def feature_names(self) -> tuple[str, ...]:
        """Names of the features of an image by one detector, where they are known before they are made; else none."""
        return ()

    def fewer(self, detectors: int, most: int) -> str:
        """What a user can set to get at most so many features of this source; empty where nothing helps.

        Parameters
        ----------
        detectors : int
            How many detectors saw the image.
        most : int
            Below 1: the source is to be left out.
        """
        return ""

    # --- saving and comparing ----------------------------------------------------------------------------------------

    def arrays(self) -> dict[str, np.ndarray]:
        """What was learned, by name; empty by default."""
        return {}

    def set_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take back what :meth:`arrays` gave.

        Raises
        ------
        SettingsError
            Arrays that do not fit the settings.
        """
        if arrays:
            raise SettingsError(
                f"learned arrays {', '.join(sorted(arrays))} of features {self.kind!r}",
                expected="none",
                remedy="update fijibridge, or train the classifier anew",
            )

    def differences(self, other: FeatureSource[Any], *, as_request: bool = False) -> list[str]:
        """What makes another source's features differ from this one's, in words; empty if nothing does.

        Parameters
        ----------
        other : FeatureSource
            Of the same kind.
        as_request : bool
            What one of the two does not know yet (weights not loaded, nothing learned) makes no difference.
        """
        found = []
        for one in fields(self.settings):
            own, its = getattr(self.settings, one.name), getattr(other.settings, one.name)
            if not one.metadata.get("local") and own != its:
                found.append(f"{one.name}: {own!r} against {its!r}")
        mine, theirs = ({"weights": source.provenance.sha256, **source.digests()} for source in (self, other))
        for name in dict.fromkeys((*mine, *theirs)):
            own, its = mine.get(name, ""), theirs.get(name, "")
            if own != its and not (as_request and not (own and its)):
                found.append(f"{name}: {own[:12] or 'none yet'} against {its[:12] or 'none yet'}")
        return found

    def digests(self) -> dict[str, str]:
        """SHA-256 of each learned array."""
        return {name: digest_of_array(array) for name, array in self.arrays().items()}

    def to_json(self) -> dict[str, Any]:
        """Settings and provenance in plain JSON types; what was learned is in :meth:`arrays`."""
        return {"settings": self.settings.to_json(), "provenance": asdict(self.provenance)}

    def save_files(self, folder: Path) -> list[str]:
        """Write what is neither settings nor arrays (a network) beside the arrays; nothing by default.

        Parameters
        ----------
        folder : Path
            Of a saved classifier, or of features.

        Returns
        -------
        list of str
            Names of the files and folders.
        """
        return []

    def with_files(self, folder: Path) -> FeatureSource[Settings]:
        """This source with what :meth:`save_files` wrote into a folder."""
        return self

    def with_weights(self, path: str) -> FeatureSource[Settings]:
        """This source with a file of an encoder's weights; itself where it has no encoder."""
        return self


def grey_table(greys: np.ndarray) -> np.ndarray:
    """Grey values at every tenth of a percent, from the least to the greatest; float64 (1001,).

    Parameters
    ----------
    greys : ndarray
        Of any shape. Of more than a quarter of a million pixels every n-th counts.
    """
    import numpy as np

    return np.percentile(greys.ravel()[:: -(-greys.size // 2**18)], np.linspace(0, 100, 1001))


def digest_of_array(array: np.ndarray) -> str:
    """SHA-256 of an array's type, shape and values."""
    import numpy as np

    about = f"{array.dtype.str}{array.shape}".encode()
    return hashlib.sha256(about + np.ascontiguousarray(array).tobytes()).hexdigest()


def detector_name(detector: str, name: str) -> str:
    """A feature's name with its detector's: ``det_SE_Gaussian_blur_1_0``; the first detector's is empty.

    No dots, and no beginning of TWS's own names: TWS parses such names with sigmas.

    Parameters
    ----------
    detector, name : str
    """
    return f"det_{detector.replace('-', '_')}_{name.replace('.', '_')}" if detector else name
