"""Settings of a reconstruction: apart from what computes, so that a help text loads nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from fijibridge.params import Param, check

Loss = Annotated[
    Literal["vgg19", "patches", "both"],
    Param("what slices and exemplar are compared by: features of a pre-trained VGG19, patches (no weights), or both"),
]
Steps = Annotated[int, Param("updates of the volume at full resolution; coarser ones follow from it", low=1)]
SlicesPerStep = Annotated[int, Param("slices along each axis that an update looks at", low=1)]
Periodic = Annotated[bool, Param("make a volume that goes on at its opposite side")]
Separate = Annotated[bool, Param("part particles that touch more often than in the exemplar")]
FractionWeight = Annotated[float, Param("weight of the phase fractions", low=0, high=1000)]
CorrelationWeight = Annotated[float, Param("weight of the two-point correlations", low=0, high=1000)]
InterfaceWeight = Annotated[float, Param("weight of each pair's interface area", low=0, high=1000)]
ChordWeight = Annotated[float, Param("weight of the chord lengths (lineal path)", low=0, high=1000)]
ShapeWeight = Annotated[float, Param("weight of area and Euler number of the eroded phases", low=0, high=1000)]
Seed = Annotated[int, Param("of the random start: same seed, device and versions, same volume", low=0)]
Device = Annotated[str, Param("auto, cpu, cuda or cuda:1; auto: a GPU where there is one")]
Block = Annotated[int, Param("side of the blocks a large volume is made in; 0: whole", low=0, unit="voxels")]


@dataclass(frozen=True)
class ReconstructionSettings:
    """How a volume is made from exemplars; the parameters of `reconstruct`, checked once.

    Raises
    ------
    SettingsError
        A value outside its range or choices.
    """

    loss: Loss = "both"
    steps: Steps = 120
    slices_per_step: SlicesPerStep = 6
    periodic: Periodic = False
    separate: Separate = True
    fraction_weight: FractionWeight = 1.0
    correlation_weight: CorrelationWeight = 1.0
    interface_weight: InterfaceWeight = 1.0
    chord_weight: ChordWeight = 1.0
    shape_weight: ShapeWeight = 1.0
    seed: Seed = 0
    device: Device = "auto"
    block: Block = 0

    def __post_init__(self) -> None:
        check(type(self), vars(self))
