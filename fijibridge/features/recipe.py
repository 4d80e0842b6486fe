"""The recipe of a feature stack: every choice that changes a number in it, checked once, saved with each classifier."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Annotated, Any, Literal

from fijibridge.errors import SettingsError
from fijibridge.features.ways import WAYS
from fijibridge.params import Param, check
from fijibridge.weights import DEFAULT_ENCODER

Encoder = Annotated[str, Param("timm's name of a ViT, or 'none' for classical features alone")]
Channels = Annotated[int, Param("ViT channels kept by principal components; 0: all", low=0, high=4096)]
Enlargement = Annotated[float, Param("enlargement of the image before the ViT sees it", low=0.25, high=8)]
_ways = "; ".join(f"{name}: {way.help}" for name, way in WAYS.items())
Position = Annotated[Literal[tuple(WAYS)], Param(f"the ViT's positional bias; {_ways}")]
PresetPosition = Annotated[
    Literal[("preset", *WAYS)], Param(f"the ViT's positional bias; preset: the preset's own; {_ways}")
]
_upsamplers = (
    "guided: joint bilateral, along the image's edges; learned: the same, along what a small network sees; strided: "
    "the ViT sees the image four times, moved by half a patch; scale: enlarged twice as much; both at 4 times the cost"
)
_UPSAMPLERS = ("bilinear", "guided", "learned", "strided", "scale")
Upsampler = Annotated[Literal[_UPSAMPLERS], Param(f"from the patch grid to pixels; {_upsamplers}")]
PresetUpsampler = Annotated[
    Literal[("preset", *_UPSAMPLERS)], Param(f"from the patch grid to pixels; preset: the preset's own; {_upsamplers}")
]
Tile = Annotated[
    int,
    Param("side of a tile of the enlarged image; 0: 280, or 784 with position mean", low=0, high=4096, unit="px"),
]

SMALLEST_TILE = 112
NetworkFolder = Annotated[
    str, Param("folder of a trained network: its probabilities become features beside the others; empty: none")
]
Detector = Annotated[
    str, Param("the detector that took the image, such as SE or BSE: for a network, and beside further detectors")
]
Classical = Annotated[Literal["tws", "none"], Param("'tws': Trainable Weka Segmentation's 76 default features")]


@dataclass(frozen=True)
class FeatureRecipe:
    """How an image becomes features.

    Parameters
    ----------
    encoder : str
        timm's name of a ViT; ``"none"`` for classical features alone.
    blocks : tuple of int
        Transformer blocks whose tokens are features, the first block being 1. The final norm is applied to each.
    enlargement : float
        Factor by which the image is enlarged before the ViT sees it, 0.25 to 8.
    coarse_blocks : tuple of int
        Blocks that see the image at half the enlargement, too; their channels follow. Empty: none.
    position : str
        A name in :data:`fijibridge.features.ways.WAYS`. ``"template"`` takes away what the tiles of an image have in
        common at each place (:mod:`.position`). ``"mean"`` replaces the position embedding by its mean over the grid:
        no positional bias whatever the image, but less accurate. ``"keep"`` leaves the bias.
    upsampler : {"bilinear", "guided", "learned", "strided", "scale"}
        From the patch grid to pixels, see :mod:`fijibridge.features.upsample`.
    tile : int
        Side of a tile in pixels of the enlarged image, about, 112 to 4096; the ViT sees one tile at a time. 0 becomes
        280, or 784 with ``position="mean"``.
    classical : {"tws", "none"}
        ``"tws"``: Trainable Weka Segmentation's 76 default features, before those of the ViT.
    percentiles : tuple of float
        Grey values at these percentiles become 0 and 1 for the ViT (classical features see the image's own units).
    weights_sha256, weights_source, weights_licence : str
        Filled in when the weights are loaded. Only the digest takes part in comparisons.
    channels : int
        The ViT's channels, of all blocks together, are replaced by so many principal components; 0: they are all kept.
        The components are unsupervised: directions in which the tokens vary most, whatever the classes.
    network : str
        Folder of a trained network (:mod:`fijibridge.network.file`) whose class probabilities are
        features, after all others; empty: none. A saved classifier holds a copy of it.
    network_sha256 : str
        Of its weights, filled in when it is loaded. Where the folder lies takes no part in comparisons.
    detector : str
        Who took the image: as what a network sees it, and the first of several detectors.
    readout : str
        A linear model that a segmenter fitted at labelled pixels (:mod:`fijibridge.features.readout` tells the format):
        class probabilities take the place of the ViT's channels. Empty: the channels stay.
    readout_classes : tuple of str
        Its classes.
    basis : str
        The components, filled in from the first image seen (:mod:`fijibridge.features.pca` tells the format), so that
        all further images are projected with the same numbers.
    upsampler_weights : str
        Of ``upsampler="learned"``, filled in when features are made: the weights' file as text
        (:func:`fijibridge.features.learned.read_weights`), so that a classifier holds its own. A checkpoint of the
        convolutional upsampler (:mod:`fijibridge.features.convolutional`) must have as many channels as a block of the
        encoder, or `channels` where components are kept.

    Raises
    ------
    SettingsError
        A value outside its range, or weights of an upsampler for another number of channels.
    """

    encoder: Encoder = DEFAULT_ENCODER
    blocks: tuple[int, ...] = (6,)
    coarse_blocks: tuple[int, ...] = ()
    enlargement: Enlargement = 2.0
    position: Position = "template"
    upsampler: Upsampler = "bilinear"
    tile: Tile = 0
    classical: Classical = "tws"
    percentiles: tuple[float, float] = (0.5, 99.5)
    weights_sha256: str = ""
    weights_source: str = ""
    weights_licence: str = ""
    channels: Channels = 0
    basis: str = field(default="", repr=False)
    network: NetworkFolder = ""
    network_sha256: str = ""
    detector: Detector = "BSE"
    readout: str = field(default="", repr=False)
    readout_classes: tuple[str, ...] = ()
    detectors: tuple[str, ...] = ()
    upsampler_weights: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        self._put("blocks", int)
        self._put("coarse_blocks", int)
        self._put("readout_classes", str)
        self._put("detectors", str)
        self._put("percentiles", float)
        check(type(self), vars(self))
        object.__setattr__(self, "tile", int(self.tile) or WAYS[self.position].tile)
        if self.tile < SMALLEST_TILE:
            raise SettingsError(
                f"tile = {self.tile}", expected=f"{SMALLEST_TILE} to 4096 px, or 0", remedy="leave it at 0"
            )
        if self.tile > (most := WAYS[self.position].largest_tile):
            raise SettingsError(
                f"tile = {self.tile} with position {self.position}",
                expected=f"{SMALLEST_TILE} to {most} px: memory grows with the fourth power of it",
                remedy="leave it at 0",
            )
        object.__setattr__(self, "enlargement", float(self.enlargement))
        object.__setattr__(self, "channels", int(self.channels))
        if self.basis:
            from fijibridge.features.pca import read_basis  # numpy: only for recipes that need it

            read_basis(self.basis, self.channels)
        if not self.has_vit and self.classical == "none" and not self.network:
            raise SettingsError(
                "a recipe with neither a ViT nor classical features",
                expected="an encoder, classical features, a network, or several of them",
                remedy="set classical='tws' or name an encoder",
            )
        if self.readout:
            from fijibridge.features.readout import read_readout

            read_readout(self.readout, self.readout_classes)
        if self.detectors:
            from fijibridge.detectors import check_names

            check_names((self.detector, *self.detectors))
        if self.upsampler_weights:
            from fijibridge.features.learned import check_channels, check_text

            check_text(self.upsampler_weights)
            if self.upsampler == "learned" and self.channels:
                check_channels(self.upsampler_weights, self.channels)
        # timm hands the blocks out in rising order, each once, whatever the order asked for
        for name in ("blocks", "coarse_blocks") if self.has_vit else ():
            chosen = getattr(self, name)
            if (not chosen and name == "blocks") or min(chosen, default=1) < 1 or list(chosen) != sorted(set(chosen)):
                raise SettingsError(
                    f"{name} {chosen}",
                    expected="at least one block, counted from 1, in rising order",
                    remedy=f"for example {name}=(6,) or {name}=(3, 6)",
                )
        if self.coarse_blocks and self.channels:
            raise SettingsError(
                f"channels = {self.channels} with coarse_blocks {self.coarse_blocks}",
                expected="principal components of one scale",
                remedy="leave coarse_blocks empty, or set channels to 0",
            )
        if len(self.percentiles) != 2 or not 0 <= self.percentiles[0] < self.percentiles[1] <= 100:
            raise SettingsError(
                f"percentiles {self.percentiles}",
                expected="two rising numbers of 0 to 100",
                remedy="for example (0.5, 99.5)",
            )

    def _put(self, name: str, kind: type) -> None:
        """A sequence of numbers as a tuple of ``kind``."""
        value = getattr(self, name)
        try:
            object.__setattr__(self, name, tuple(kind(item) for item in value))
        except (TypeError, ValueError) as error:
            raise SettingsError(
                f"{name} = {value!r}", expected=f"a sequence of {kind.__name__}", remedy=f"for example {name}=(6, 12)"
            ) from error

    @property
    def scales(self) -> tuple[tuple[str, float, tuple[int, ...]], ...]:
        """Letter in the channels' names, enlargement and blocks of each scale that the ViT sees."""
        enlargement = self.enlargement * (2 if self.upsampler == "scale" else 1)
        fine = ("b", enlargement, self.blocks)
        return (fine, ("h", enlargement / 2, self.coarse_blocks)) if self.coarse_blocks else (fine,)

    @property
    def has_vit(self) -> bool:
        """Whether a ViT takes part."""
        return self.encoder != "none"

    def with_weights(self, *, sha256: str, source: str, licence: str) -> FeatureRecipe:
        """This recipe with the weights' digest, source and licence filled in."""
        return replace(self, weights_sha256=sha256, weights_source=source, weights_licence=licence)

    @property
    def basis_digest(self) -> str:
        """The first 12 digits of the basis's SHA-256, to tell bases apart; empty where there is none."""
        return _digest(self.basis)

    def differences(self, other: FeatureRecipe, *, as_request: bool = False) -> list[str]:
        """What makes ``other``'s features differ from this recipe's, in words; empty if nothing does.

        Parameters
        ----------
        other : FeatureRecipe
        as_request : bool
            What one of the two does not know yet (the weights' digest before they are loaded, the basis before an image
            was seen) makes no difference.
        """
        ignored = {"weights_source", "weights_licence"}
        if not self.has_vit and not other.has_vit:
            ignored |= {"blocks", "enlargement", "position", "upsampler", "tile", "percentiles", "weights_sha256"}
            ignored |= {"channels", "basis", "coarse_blocks", "readout", "readout_classes", "upsampler_weights"}
        if self.upsampler != "learned" or other.upsampler != "learned":
            ignored |= {"upsampler_weights"}
        if bool(self.network) == bool(other.network):
            ignored |= {"network"} if self.network else {"network", "network_sha256", "detector"}
        if self.detectors and other.detectors:
            ignored -= {"detector"}  # the first of them
        if as_request:
            learnt = ("weights_sha256", "basis", "network_sha256", "readout", "readout_classes", "detectors")
            learnt += ("upsampler_weights",)
            ignored |= {name for name in learnt if not (getattr(self, name) and getattr(other, name))}
        names = [own.name for own in fields(self) if own.name not in ignored]
        return [
            f"{name}: {self._shown(name)} against {other._shown(name)}"
            for name in names
            if getattr(self, name) != getattr(other, name)
        ]

    def _shown(self, name: str) -> str:
        """A value for a message; of the basis, which is long, its digest."""
        if name == "basis":
            return f"components {self.basis_digest}" if self.basis else "none yet"
        if name == "readout":
            return f"a linear model {_digest(self.readout)}" if self.readout else "none"
        if name == "upsampler_weights":
            return f"SHA-256 {self.upsampler_sha256}" if self.upsampler_weights else "none yet"
        return repr(getattr(self, name))

    @property
    def upsampler_sha256(self) -> str:
        """Of the learned upsampler's weights' file; empty where there is none."""
        if not self.upsampler_weights:
            return ""
        from fijibridge.features.learned import digest

        return digest(self.upsampler_weights)

    def to_brief(self) -> dict[str, Any]:
        """:meth:`to_json` for a report: what can take megabytes as its digest."""
        digests = {"basis": self.basis_digest, "readout": _digest(self.readout)}
        return {**self.to_json(), **digests, "upsampler_weights": self.upsampler_sha256}

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> FeatureRecipe:
        """The recipe written by :meth:`to_json`; unknown keys (a newer version's) are refused."""
        known = {own.name for own in fields(cls)}
        if not isinstance(data, dict) or (unknown := set(data) - known):
            raise SettingsError(
                f"a feature recipe with {sorted(unknown) if isinstance(data, dict) else type(data).__name__}",
                expected=f"an object with {', '.join(sorted(known))}",
                remedy="update fijibridge, or train the classifier anew",
            )
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in data.items()})


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12] if text else ""
