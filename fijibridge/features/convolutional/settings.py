"""What a user chooses for features of a convolutional network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from fijibridge.core.errors import SettingsError
from fijibridge.core.params import Param, check
from fijibridge.features.source import SourceSettings, local
from fijibridge.weights.convolutional import DEFAULT_NETWORK
from fijibridge.weights.vgg19 import VGG19

# relu1_2, relu2_2 and relu3_2
VGG19_LAYERS = ("features.3", "features.8", "features.13")


@dataclass(frozen=True)
class ConvSettings(SourceSettings):
    """How early layers of a convolutional network become features.

    Parameters
    ----------
    network : str
        timm's name of a convolutional network, or ``"vgg19"``.
    layers : tuple of str
        Names of timm's modules whose outputs are features, the earliest first.
    enlargement : float
        Factor by which the image is enlarged before the network sees it, 0.25 to 8.
    channels : int
        Each layer's channels are replaced by so many principal components, which are unsupervised; 0: all are kept.
    grouped : bool
        The linear head replaces each layer's channels by one a class, as it does with the ViT's. Otherwise the forest
        sees the channels themselves, beside TWS's features.
    percentiles : tuple of float
        Grey values at these percentiles become 0 and 1 for the network.
    weights : str
        File of the network's weights, in place of cache, hub or offline source. Not saved: a classifier knows the
        weights by their SHA-256.
    weights_sha256 : str
        Of the weights, if no others may serve, as a recipe asks. Not saved either.

    Raises
    ------
    SettingsError
        A value outside its range.
    """

    kind: ClassVar[str] = "conv"

    network: Annotated[str, Param("timm's name of a convolutional network", group="Features")] = DEFAULT_NETWORK
    layers: tuple[str, ...] = ("blocks.0", "blocks.1")
    enlargement: Annotated[
        float, Param("enlargement of the image before the network sees it", low=0.25, high=8, group="Features")
    ] = 1.0
    channels: Annotated[
        int,
        Param("principal components kept of each layer; 0: all channels", low=0, high=4096, group="Features"),
    ] = 0
    grouped: bool = False
    percentiles: tuple[float, float] = (0.5, 99.5)
    weights: str = local()
    weights_sha256: str = local()

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", str(self.weights or ""))  # a Path serves
        check(type(self), vars(self))
        layers = (self.layers,) if isinstance(self.layers, str) else tuple(map(str, self.layers))
        object.__setattr__(self, "layers", layers)
        object.__setattr__(self, "enlargement", float(self.enlargement))
        object.__setattr__(self, "channels", int(self.channels))
        if not layers or len(set(layers)) != len(layers):
            raise SettingsError(
                f"layers {layers}",
                expected="at least one layer, each once",
                remedy='for example layers=("blocks.0", "blocks.1")',
            )
        limits = self.percentiles
        if len(limits) != 2 or not 0 <= limits[0] < limits[1] <= 100:
            raise SettingsError(
                f"percentiles {limits}", expected="two rising numbers of 0 to 100", remedy="for example (0.5, 99.5)"
            )
        object.__setattr__(self, "percentiles", (float(limits[0]), float(limits[1])))

    @classmethod
    def parts(cls) -> Mapping[str, str]:
        """See :meth:`fijibridge.features.source.SourceSettings.parts`."""
        return {VGG19: "those of VGG19, whose weights are by some accounts not for commercial use"}

    @classmethod
    def of_parts(cls, parts: Sequence[str]) -> ConvSettings:
        """See :meth:`fijibridge.features.source.SourceSettings.of_parts`."""
        return cls(network=VGG19, layers=VGG19_LAYERS, channels=16) if VGG19 in parts else cls()
