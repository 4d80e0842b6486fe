"""Settings of the imaging model: apart from what computes, so that a help text loads nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from fijibridge.core.params import Param, check

# beam
BeamEnergy = Annotated[
    float,
    Param(
        "energy of the beam: electrons of more energy come back from deeper, so edges beneath the surface blur in BSE",
        low=0.5,
        high=30,
        unit="keV",
    ),
]
Defocus = Annotated[
    float,
    Param("standard deviation of the beam's spot on the section: the lens is focused above or below it", 0, 20, "px"),
]
Astigmatism = Annotated[
    float,
    Param("how much wider the spot is along one direction, added in squares: the lens is not round", 0, 20, "px"),
]
AstigmatismAngle = Annotated[
    float, Param("direction of the wider spot, from the scan line towards the lower edge", -180, 180, "degrees")
]
# sample
EdgeBrightening = Annotated[
    float,
    Param(
        "SE: how much rims of pores, steps and steep walls are brighter, relative to the material: there the beam is "
        "within the escape depth of more than one surface",
        low=0,
        high=5,
    ),
]
Topography = Annotated[
    float,
    Param(
        "SE: root mean square of relief and texture relative to the contrast of composition: materials are milled at "
        "different rates, and slopes towards the detector give more electrons",
        low=0,
        high=2,
    ),
]
TopographicResidue = Annotated[
    float,
    Param(
        "BSE: the same relief in the backscatter image, relative to its contrast of composition: segments of the "
        "detector do not cancel it wholly",
        low=0,
        high=2,
    ),
]
DetectorAngle = Annotated[
    float, Param("side where the SE detector sits, from the scan line towards the lower edge", -180, 180, "degrees")
]
Channelling = Annotated[
    float,
    Param(
        "standard deviation of brightness between crystal grains in BSE, half of it in SE, relative to the contrast of "
        "composition: along lattice planes the beam gets deeper and fewer electrons come back",
        low=0,
        high=2,
    ),
]
ShineThrough = Annotated[
    float,
    Param("both: how bright a solid just behind a wide pore is, relative to the same solid in the section", 0, 1),
]
ShineDepth = Annotated[
    float,
    Param(
        "depth of a pore's floor at which it is dimmer by a factor e: its electrons are caught by the walls",
        low=0.02,
        high=50,
        unit="um",
    ),
]
Redeposition = Annotated[
    float,
    Param("share of the pores' area, on the far side first, that sputtered material covers with a grey film", 0, 1),
]
# FIB
Curtaining = Annotated[
    float,
    Param(
        "amplitude of the stripes (root mean square times the square root of 2) relative to the contrast (1st to 99th "
        "percentile) of the image without them: the ion beam cuts unevenly behind pores and hard particles",
        low=0,
        high=2,
    ),
]
CurtainingAngle = Annotated[
    float, Param("direction of milling from the vertical: stripes run along it", low=-45, high=45, unit="degrees")
]
CurtainingShadow = Annotated[
    float,
    Param(
        "share of the stripes' power that starts behind pores and hard particles; the rest runs through from the top "
        "edge, where the beam enters",
        low=0,
        high=1,
    ),
]
CurtainingLength = Annotated[
    float, Param("how far a stripe behind a pore or particle runs until weaker by a factor e", 0.05, 200, "um")
]
CurtainingPersistence = Annotated[
    float, Param("depth over which stripes from the top edge change, in a stack of sections", 0.001, 50, "um")
]
# charge
Charging = Annotated[
    float,
    Param(
        "brightness of a full charge relative to the SE contrast: insulators charge up, most at pores, which shows as "
        "halos and as streaks along the scan line; BSE, being faster, see a tenth",
        low=0,
        high=5,
    ),
]
ChargingLength = Annotated[
    float, Param("length of a charging streak along the scan line: the charge leaks off", 0.05, 200, "um")
]
Gradient = Annotated[
    float,
    Param("brightness across the image, edge to edge, relative to the contrast: the detector sits on one side", 0, 3),
]
# scan
Misregistration = Annotated[
    float,
    Param(
        "length of the mean displacement of SE against BSE: the two were recorded one after the other",
        low=0,
        high=64,
        unit="px",
    ),
]
Drift = Annotated[
    float,
    Param(
        "displacement that SE gains against BSE from the first scan line to the last: the sample moves while scanned",
        low=0,
        high=64,
        unit="px",
    ),
]
ScanShear = Annotated[
    float, Param("shear of SE against BSE, px a line: the scan lines start later and later", -0.1, 0.1)
]
# noise and grey values
Snr = Annotated[
    float,
    Param(
        "signal to noise: 10 log10 of the noise-free image's variance over the noise's; 100 is practically none",
        low=-20,
        high=100,
        unit="dB",
    ),
]
ShotShare = Annotated[
    float,
    Param(
        "share of the noise's variance that is shot noise, more where more electrons come (Poisson); the rest is "
        "Gaussian, from the amplifier",
        low=0,
        high=1,
    ),
]
LineNoise = Annotated[
    float,
    Param("standard deviation of each scan line's offset relative to the contrast: mains hum, flashover", 0, 1),
]
Contrast = Annotated[
    float,
    Param("share of the grey range between the 1st and 99th percentile of the noise-free image: the gain", 0.02, 1.5),
]
Brightness = Annotated[
    float, Param("mean grey value as a share of the grey range, before gamma: the black level", low=0, high=1)
]
Gamma = Annotated[
    float, Param("exponent of the grey values: below 1 the dark is lifted, as microscopes offer it", low=0.2, high=5)
]
Bits = Annotated[Literal[8, 16], Param("bits of a grey value")]
# stacks
SliceJitter = Annotated[
    float,
    Param(
        "standard deviation of each section's own displacement, each axis: the stage comes back inexactly", 0, 32, "px"
    ),
]
SliceDrift = Annotated[
    float, Param("displacement that each section adds to the one before, in one direction: stage and heat", 0, 8, "px")
]
Flicker = Annotated[
    float, Param("standard deviation of a section's brightness, relative: the beam current changes", 0, 0.5)
]


@dataclass(frozen=True)
class ImagingSettings:
    """How a milled section is imaged by secondary (SE) and backscattered (BSE) electrons.

    The defaults are good conditions at a FIB-SEM: little curtaining, some noise. Amplitudes are relative to contrasts,
    so that they mean the same for each pair of materials. Lengths of the sample are in micrometres, those of the scan
    in pixels.

    Raises
    ------
    SettingsError
        A value outside its range or choices.
    """

    beam_energy: BeamEnergy = 3.0
    defocus: Defocus = 0.6
    astigmatism: Astigmatism = 0.0
    astigmatism_angle: AstigmatismAngle = 45.0
    edge_brightening: EdgeBrightening = 0.8
    topography: Topography = 0.12
    topographic_residue: TopographicResidue = 0.04
    detector_angle: DetectorAngle = -60.0
    channelling: Channelling = 0.06
    shine_through: ShineThrough = 0.6
    shine_depth: ShineDepth = 1.0
    redeposition: Redeposition = 0.1
    curtaining: Curtaining = 0.03
    curtaining_angle: CurtainingAngle = 0.0
    curtaining_shadow: CurtainingShadow = 0.5
    curtaining_length: CurtainingLength = 6.0
    curtaining_persistence: CurtainingPersistence = 0.5
    charging: Charging = 0.15
    charging_length: ChargingLength = 2.0
    gradient: Gradient = 0.1
    misregistration: Misregistration = 0.5
    drift: Drift = 0.3
    scan_shear: ScanShear = 0.0
    snr: Snr = 12.0
    shot_share: ShotShare = 0.7
    line_noise: LineNoise = 0.01
    contrast: Contrast = 0.6
    brightness: Brightness = 0.45
    gamma: Gamma = 1.0
    bits: Bits = 8
    slice_jitter: SliceJitter = 0.5
    slice_drift: SliceDrift = 0.05
    flicker: Flicker = 0.01

    def __post_init__(self) -> None:
        check(type(self), vars(self))
