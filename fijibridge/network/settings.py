"""Settings of a segmenting network: apart from what computes, so that a help text loads nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from fijibridge.core.errors import SettingsError
from fijibridge.core.options import Device, LearningRate, Seed, Threads
from fijibridge.core.params import Param, check

PLAIN = "plain"

Encoder = Annotated[
    str,
    Param(
        "plain: a U-Net made for a CPU; or an encoder of segmentation-models-pytorch such as resnet18 or "
        "efficientnet-b0, or of timm as tu-NAME",
        group="Network",
    ),
]
Pretrained = Annotated[
    Literal["auto", "yes", "no"],
    Param(
        "whether an encoder by name starts from ImageNet weights; auto: where they are in the cache or in reach",
        group="Network",
    ),
]
Width = Annotated[
    int,
    Param("channels of the finest resolution; doubled with each halving, up to 160", low=4, high=256, group="Network"),
]
Levels = Annotated[int, Param("resolutions of the plain U-Net", low=2, high=6)]
Stem = Annotated[
    Literal[1, 2, 4], Param("pixels a side that the plain U-Net takes as one: 2 costs about a quarter of 1 a channel")
]
Slices = Annotated[
    Literal[1, 3, 5],
    Param(
        "slices of a stack that the network sees to segment the middle one; 3 and 5 need a data set of stacks "
        "(sections and spacing in the config of simulate)",
        group="Network",
    ),
]
Crop = Annotated[
    int,
    Param(
        "side of a training crop, a multiple of the network's stride", low=32, high=1024, unit="px", group="Training"
    ),
]
Batch = Annotated[int, Param("crops a step", low=1, high=256, group="Training")]
Minutes = Annotated[
    float,
    Param(
        "time to train; the learning rate falls to 0 at its end", low=0.01, unit="min", level="basic", group="Training"
    ),
]
Clock = Annotated[
    Literal["wall", "cpu"],
    Param("what minutes are: wall-clock time, or time of all CPU cores together", group="Training"),
]
Steps = Annotated[
    int,
    Param(
        "steps of training, whatever their time, which makes the result reproducible; 0: as many as the minutes allow",
        low=0,
        group="Training",
    ),
]
Checks = Annotated[int, Param("checks on the validation images, and checkpoints, over the whole training", low=1)]
Patience = Annotated[int, Param("checks without a better mean IoU after which training stops", low=1)]
ValidationShare = Annotated[float, Param("share of the structures that are kept for validation", low=0.01, high=0.5)]
ValidationImages = Annotated[int, Param("images that a check looks at, at most", low=1)]
ClassBalance = Annotated[
    float, Param("0: every pixel counts the same; 1: every class does; between: rare classes count more", low=0, high=1)
]
DiceWeight = Annotated[float, Param("weight of the soft Dice loss beside the cross entropy", low=0, high=10)]
DetectorDropout = Annotated[
    float, Param("share of the crops that lack one detector, so that either serves alone later", low=0, high=1)
]
SliceDropout = Annotated[
    float,
    Param("share of the crops that lack the neighbouring slices, so that a single image serves later", low=0, high=1),
]
Contrast = Annotated[float, Param("random change of contrast and gamma, as a share", low=0, high=0.9)]
Noise = Annotated[float, Param("most extra noise, in standard deviations of the crop's grey values", low=0, high=3)]
Blur = Annotated[float, Param("strongest extra blur (standard deviation of the Gaussian)", low=0, high=5, unit="px")]
Stripes = Annotated[float, Param("most extra curtaining and shading, as a share of the grey range", low=0, high=1)]
Scale = Annotated[float, Param("largest random factor of the pixel size, up or down", low=1, high=3)]
Misregistration = Annotated[
    float, Param("largest random shift of the detectors against one another", low=0, high=16, unit="px")
]
Precision = Annotated[
    Literal["auto", "single", "mixed"], Param("auto: mixed (bfloat16) on a GPU that has it, single elsewhere")
]


@dataclass(frozen=True)
class NetworkSettings:
    """How a network is built and trained.

    The defaults are for two CPU cores and an hour.

    Raises
    ------
    SettingsError
        A value outside its range or choices, or a crop that the network cannot halve often enough.
    """

    encoder: Encoder = PLAIN
    pretrained: Pretrained = "auto"
    width: Width = 32
    levels: Levels = 6
    stem: Stem = 2
    slices: Slices = 1
    crop: Crop = 256
    batch: Batch = 8
    minutes: Minutes = 60.0
    clock: Clock = "wall"
    steps: Steps = 0
    rate: LearningRate = 3e-3
    checks: Checks = 20
    patience: Patience = 10
    validation_share: ValidationShare = 0.1
    validation_images: ValidationImages = 24
    class_balance: ClassBalance = 0.3
    dice_weight: DiceWeight = 0.5
    detector_dropout: DetectorDropout = 0.25
    slice_dropout: SliceDropout = 0.15
    contrast: Contrast = 0.25
    noise: Noise = 1.0
    blur: Blur = 1.0
    stripes: Stripes = 0.3
    scale: Scale = 2.0
    misregistration: Misregistration = 3.0
    precision: Precision = "auto"
    threads: Threads = 0
    seed: Seed = 0
    device: Device = "auto"

    def __post_init__(self) -> None:
        check(type(self), vars(self))
        stride = self.stride
        if self.crop % stride:
            raise SettingsError(
                f"crops of {self.crop} px, and a network of stride {stride}",
                expected=f"a multiple of {stride}",
                remedy=f"for example {max(stride, round(self.crop / stride) * stride)}",
            )

        if self.crop == stride and self.batch == 1:
            raise SettingsError(
                f"one crop of {self.crop} px a step, of which the network's coarsest level sees a single pixel",
                expected="several crops, or larger ones: layers are normalised over them",
                remedy=f"give batch 2 or more, or crop {2 * stride}",
            )

    @property
    def stride(self) -> int:
        """Pixels of which the sides of what the network sees are a multiple."""
        return self.stem << (self.levels - 1) if self.encoder == PLAIN else 32
