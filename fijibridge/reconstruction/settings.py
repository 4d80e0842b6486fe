"""Settings of a reconstruction: apart from what computes, so that a help text loads nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from fijibridge.core.options import Device, Seed
from fijibridge.core.params import Param, check

Loss = Annotated[
    Literal["vgg19", "patches", "both"],
    Param(
        "what slices and exemplar are compared by: features of a pre-trained VGG19, patches (no weights), or both",
        group="3D volume",
    ),
]
Steps = Annotated[
    int,
    Param(
        "steps of the optimisation at full resolution; those at coarser ones follow from it", low=1, group="3D volume"
    ),
]
SlicesPerStep = Annotated[int, Param("slices along each axis in a step", low=1, group="3D volume")]
Periodic = Annotated[bool, Param("make a volume that is periodic along all axes", group="3D volume")]
Separate = Annotated[bool, Param("make contacts of particles as thin as the exemplar shows them", group="3D volume")]
FractionWeight = Annotated[float, Param("weight of the phase fractions", low=0, high=1000, group="3D volume")]
CorrelationWeight = Annotated[float, Param("weight of the two-point correlations", low=0, high=1000, group="3D volume")]
InterfaceWeight = Annotated[
    float, Param("weight of each pair's interface area and straight boundaries", low=0, high=1000, group="3D volume")
]
ChordWeight = Annotated[float, Param("weight of the chord lengths (lineal path)", low=0, high=1000, group="3D volume")]
ShapeWeight = Annotated[
    float,
    Param(
        "weight of area and Euler number of the eroded and of the opened phases", low=0, high=1000, group="3D volume"
    ),
]
Chunk = Annotated[
    int,
    Param("side of the chunks in which a large volume is made; 0: whole", low=0, unit="voxels", group="3D volume"),
]


@dataclass(frozen=True)
class ReconstructionSettings:
    """How a volume is made from exemplars.

    Parameters
    ----------
    loss : {"vgg19", "patches", "both"}
        Loss by which slices and exemplar are compared: features of a pre-trained VGG19, patches (no weights), or both.
    steps : int
        Updates of the volume at full resolution; the numbers at coarser levels follow from it.
    slices_per_step : int
        Slices along each axis in an update.
    periodic : bool
        Make a periodic volume.
    separate : bool
        Make contacts between particles as thin as the exemplar shows them.
    fraction_weight, correlation_weight, interface_weight, chord_weight, shape_weight : float
        Weights (0 to 1000) of the loss terms of phase fractions, two-point correlations, interface areas and straight
        boundaries, chord lengths (lineal path), and area and Euler number of the eroded and of the opened phases.
    seed : int
        Of the random start: same seed, device and versions, same volume.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.
    chunk : int
        Side in voxels of the chunks in which a large volume is made; 0: whole.

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
    chunk: Chunk = 0

    def __post_init__(self) -> None:
        check(type(self), vars(self))
