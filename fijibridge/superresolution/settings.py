"""Settings of a super-resolution: apart from what computes, so that a help text loads nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from fijibridge.core.params import Param, check
from fijibridge.reconstruction.settings import ReconstructionSettings, Steps

Factor = Annotated[
    int,
    Param(
        "fine voxels along a coarse one, 2, 4 or 8; 0: by the pixel sizes of the two files",
        low=0,
        high=8,
        group="3D volume",
    ),
]
CoarseAs = Annotated[
    Literal["auto", "labels", "probabilities", "grey"],
    Param("what the coarse volume holds; auto: labels, or probabilities where its values are fractions", group="Input"),
]
Trust = Annotated[
    Literal["ask", "coarse", "slices"],
    Param(
        "whose fraction of a visible phase holds where coarse volume and slices of the micrographs disagree; ask: "
        "refuse, with the numbers",
        group="3D volume",
    ),
]
Psf = Annotated[
    float,
    Param(
        "width (FWHM) of the blur in a coarse volume of probabilities or grey values; negative: estimated",
        low=-1,
        high=8,
        unit="coarse voxels",
        group="Input",
    ),
]
Method = Annotated[
    Literal["optimise", "gan"],
    Param(
        "optimise: no training, minutes to hours a volume; gan: a network, trained once, then applied in seconds",
        group="3D volume",
    ),
]
Iterations = Annotated[int, Param("steps of the GAN's training, at most", low=1, group="Training")]
AgreementWeight = Annotated[
    float, Param("weight of the agreement with the coarse volume", low=0, high=1000, group="3D volume")
]


@dataclass(frozen=True)
class SuperresolutionSettings(ReconstructionSettings):
    """How a coarse volume becomes a fine one: a reconstruction's settings, and what ties it to the coarse volume.

    Raises
    ------
    SettingsError
        A value outside its range or choices.
    """

    steps: Steps = 200
    trust: Trust = "ask"
    psf: Psf = -1.0
    agreement_weight: AgreementWeight = 1.0

    def __post_init__(self) -> None:
        check(type(self), vars(self))
