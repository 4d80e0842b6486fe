"""What a user chooses for ViT features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from fijibridge.core.errors import SettingsError
from fijibridge.core.params import Param, check
from fijibridge.features.source import SourceSettings, local
from fijibridge.features.upsampling.base import UPSAMPLERS
from fijibridge.features.vit.debiasing.base import DEBIASING
from fijibridge.weights.encoders import DEFAULT_ENCODER

SMALLEST_TILE = 112

# declared once, for the settings here and for the operations' options
ENCODER = Param("timm's name of a ViT", group="Features")
BLOCKS = Param("transformer blocks used, the first being 1, separated by commas", group="Features", from_preset=True)
COARSE_BLOCKS = Param(
    "blocks that see the image at half the enlargement, too; 'none': no such blocks", group="Features", from_preset=True
)
CHANNELS = Param(
    "principal components kept of the ViT's channels at each scale; 0: all channels",
    low=0,
    high=4096,
    group="Features",
)
ENLARGEMENT = Param(
    "enlargement of the image before the ViT sees it", low=0.25, high=8, group="Features", from_preset=True
)
DEBIASING_METHOD = Param(
    "how the ViT's positional bias is removed", group="Features", choices=DEBIASING.descriptions, from_preset=True
)
UPSAMPLER = Param("from the patch grid to pixels", group="Features", choices=UPSAMPLERS.descriptions, from_preset=True)
TILE = Param(
    "side of a tile of the enlarged image; 0: 280, or 784 with debiasing mean",
    low=0,
    high=4096,
    unit="px",
    group="Features",
)
Encoder = Annotated[str, ENCODER]


@dataclass(frozen=True)
class VitSettings(SourceSettings):
    """How a vision transformer's tokens become features. The defaults are those of the preset ``"default"``.

    Parameters
    ----------
    encoder : str
        timm's name of a ViT.
    blocks : tuple of int
        Transformer blocks whose tokens are features, the first block being 1, in rising order. The final norm is
        applied to each.
    coarse_blocks : tuple of int
        Blocks that see the image at half the enlargement, too; their channels follow. Empty: none.
    enlargement : float
        Factor by which the image is enlarged before the ViT sees it, 0.25 to 8.
    debiasing : str
        How the positional bias is removed, a name in :data:`fijibridge.features.vit.debiasing.base.DEBIASING`.
    upsampler : str
        From the patch grid to pixels, a name in :data:`fijibridge.features.upsampling.base.UPSAMPLERS`.
    tile : int
        Side of a tile in pixels of the enlarged image, about, 112 to 4096; the ViT sees one tile at a time. 0 becomes
        280, or 784 with ``debiasing="mean"``.
    percentiles : tuple of float
        Grey values at these percentiles become 0 and 1 for the ViT.
    channels : int
        The ViT's channels at each scale are replaced by so many principal components, which are unsupervised:
        directions in which the tokens of the first image vary most, whatever the classes; 0: all channels are kept.
    weights : str
        File of the encoder's weights, in place of cache, hub or offline source. Not saved: a classifier knows the
        weights by their SHA-256.
    weights_sha256 : str
        Of the weights, if no others may serve (:attr:`fijibridge.weights.weights.Weights.sha256`), as a recipe asks.
        Not saved either.
    upsampler_weights : str
        File of an upsampler's weights, as ``train-upsampler`` writes it, or a checkpoint of
        github.com/tldr-group/vulture; empty: the package's own. Not saved as a name: a classifier holds the weights.

    Raises
    ------
    SettingsError
        A value outside its range.
    """

    kind: ClassVar[str] = "vit"

    encoder: Encoder = DEFAULT_ENCODER
    blocks: tuple[int, ...] = (3, 6)
    coarse_blocks: tuple[int, ...] = (6, 9)
    enlargement: Annotated[float, ENLARGEMENT] = 2.0
    debiasing: Annotated[str, DEBIASING_METHOD] = "template"
    upsampler: Annotated[str, UPSAMPLER] = "guided"
    tile: Annotated[int, TILE] = 0
    percentiles: tuple[float, float] = (0.5, 99.5)
    channels: Annotated[int, CHANNELS] = 0
    weights: str = local()
    weights_sha256: str = local()
    upsampler_weights: str = local()

    def __post_init__(self) -> None:
        for name, kind in (("blocks", int), ("coarse_blocks", int), ("percentiles", float)):
            self._as_tuple(name, kind)
        for name in ("weights", "upsampler_weights"):
            object.__setattr__(self, name, str(getattr(self, name) or ""))  # a Path serves
        check(type(self), vars(self))
        method, _ = DEBIASING[self.debiasing], UPSAMPLERS[self.upsampler]
        object.__setattr__(self, "tile", int(self.tile) or method.tile)
        if not SMALLEST_TILE <= self.tile <= method.largest_tile:
            raise SettingsError(
                f"tile = {self.tile} with debiasing {self.debiasing}",
                expected=f"{SMALLEST_TILE} to {method.largest_tile} px, or 0"
                + ("" if method.largest_tile == 4096 else ": memory grows with the fourth power of it"),
                remedy="leave it at 0",
            )
        object.__setattr__(self, "enlargement", float(self.enlargement))
        object.__setattr__(self, "channels", int(self.channels))
        # timm hands the blocks out in rising order, each once, whatever the order asked for
        for name in ("blocks", "coarse_blocks"):
            chosen = getattr(self, name)
            if (not chosen and name == "blocks") or min(chosen, default=1) < 1 or list(chosen) != sorted(set(chosen)):
                raise SettingsError(
                    f"{name} {chosen}",
                    expected="at least one block, counted from 1, in rising order",
                    remedy=f"for example {name}=(6,) or {name}=(3, 6)",
                )
        if len(self.percentiles) != 2 or not 0 <= self.percentiles[0] < self.percentiles[1] <= 100:
            raise SettingsError(
                f"percentiles {self.percentiles}",
                expected="two rising numbers of 0 to 100",
                remedy="for example (0.5, 99.5)",
            )
        if self.upsampler_weights and self.upsampler != "learned":
            raise SettingsError(
                f"upsampler_weights = {self.upsampler_weights} with upsampler = {self.upsampler!r}",
                expected="upsampler learned, the one that has weights",
                remedy="set upsampler to learned, or leave upsampler_weights out",
            )

    def _as_tuple(self, name: str, kind: Callable[[Any], Any]) -> None:
        value = getattr(self, name)
        try:
            object.__setattr__(self, name, tuple(kind(item) for item in value))
        except (TypeError, ValueError) as error:
            raise SettingsError(
                f"{name} = {value!r}", expected="a sequence of numbers", remedy=f"for example {name}=(6, 12)"
            ) from error

    @property
    def scales(self) -> tuple[tuple[str, float, tuple[int, ...]], ...]:
        """Letter in the channels' names, enlargement and blocks of each scale that the ViT sees."""
        enlargement = self.enlargement * UPSAMPLERS[self.upsampler].enlargement
        fine = ("b", enlargement, self.blocks)
        return (fine, ("h", enlargement / 2, self.coarse_blocks)) if self.coarse_blocks else (fine,)
