"""From one SEM image of a composite cathode to a cell model: segment, reconstruct, measure, BPX, PyBaMM.

    python examples/cathode_to_bpx.py [SIZE]

The image is simulated (NCM in Li6PS5Cl, with pores) and so are the labels, a few strokes a class. What no image shows,
such as the open-circuit potentials, comes from a template of the cell, which is written here. SIZE is 32 voxels by
default, so that it runs in seconds; for numbers to be used take 128, the default settings of `reconstruct`, and your
own template.

The last step needs `pip install "pybamm[bpx]"`; without it, it is left out.
"""

import json
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

import fijibridge as fb
from fijibridge.images.image import PixelSize
from fijibridge.images.writing import write_labels
from fijibridge.operations import operation
from fijibridge.synthesis import load_preset, simulated_pairs
from fijibridge.synthesis.dataset import class_names
from fijibridge.synthesis.strokes import strokes_of

PIXEL = 0.2  # micrometres

# 1 cm2: graphite | Li6PS5Cl | NCM, 2 mA h. Both electrodes hold Li6PS5Cl: BPX's "porosity" is its volume fraction.
# Potentials (points on their curves), diffusivities, stoichiometries and exchange currents of graphite-SiOx and NMC811
# after Chen et al., J. Electrochem. Soc. 167 (2020) 080534. Conductivity of Li6PS5Cl at 25 C, some mS/cm: Kraft et al.,
# J. Am. Chem. Soc. 139 (2017) 10909; only Li+ moves in it. Thicknesses and areas are a design. The porosity of the
# positive electrode, its transport efficiency, radius and surface are guesses, to be replaced by what is measured.
TEMPLATE = {
    "Header": {"BPX": "1.0.0", "Model": "DFN", "Title": "A cell with a solid electrolyte: an example"},
    "Parameterisation": {
        "Cell": {
            "Electrode area [m2]": 1e-4,
            "External surface area [m2]": 3e-4,
            "Volume [m3]": 2e-8,
            "Number of electrode pairs connected in parallel to make a cell": 1,
            "Lower voltage cut-off [V]": 2.5,
            "Upper voltage cut-off [V]": 4.4,
            "Nominal cell capacity [A.h]": 2e-3,
            "Reference temperature [K]": 298.15,
        },
        "Electrolyte": {
            "Cation transference number": 1.0,
            "Conductivity [S.m-1]": 0.3,
            "Diffusivity [m2.s-1]": 1e-11,
        },
        "Negative electrode": {
            "Thickness [m]": 60e-6,
            "Porosity": 0.45,
            "Transport efficiency": 0.25,
            "Conductivity [S.m-1]": 100,
            "Particle radius [m]": 5e-6,
            "Surface area per unit volume [m-1]": 3e5,
            "Diffusivity [m2.s-1]": 3.3e-14,
            "Reaction rate constant [mol.m-2.s-1]": 7e-6,
            "Maximum concentration [mol.m-3]": 33133,
            "Minimum stoichiometry": 0.03,
            "Maximum stoichiometry": 0.9,
            "Entropic change coefficient [V.K-1]": 0,
            "OCP [V]": {
                "x": [0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 0.6, 0.65, 0.9, 0.95],
                "y": [1.74, 1.3, 0.81, 0.52, 0.41, 0.26, 0.22, 0.16, 0.13, 0.12, 0.1, 0.09, 0.09],
            },
        },
        "Positive electrode": {
            "Thickness [m]": 50e-6,
            "Porosity": 0.5,
            "Transport efficiency": 0.35,
            "Conductivity [S.m-1]": 0.18,
            "Particle radius [m]": 1e-6,
            "Surface area per unit volume [m-1]": 1.2e6,
            "Diffusivity [m2.s-1]": 4e-15,
            "Reaction rate constant [mol.m-2.s-1]": 7e-5,
            "Maximum concentration [mol.m-3]": 63104,
            "Minimum stoichiometry": 0.27,
            "Maximum stoichiometry": 0.9,
            "Entropic change coefficient [V.K-1]": 0,
            "OCP [V]": {
                "x": [0.26, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8, 0.9, 0.95],
                "y": [4.3, 4.21, 4.18, 4.1, 4.03, 3.97, 3.9, 3.82, 3.73, 3.65, 3.57, 3.53],
            },
        },
        "Separator": {"Thickness [m]": 30e-6, "Porosity": 0.95, "Transport efficiency": 0.92},
    },
    "State": {
        "Initial conditions": {
            "Initial temperature [K]": 298.15,
            "Initial electrolyte concentration [mol.m-3]": 1000,
        },
        "Thermal environment": {"Ambient temperature [K]": 298.15},
    },
}


def main() -> None:
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 32

    # one image, by backscattered electrons; few thin gaps and cracks, which its coarse pixels would not show
    structure = {"cam_fraction": 0.45, "cam_diameter": 2.5, "cam_cracks": 0.0}
    pores = {"porosity": 0.1, "pore_size": 1.0, "interface_pores": 0.2, "crack_pores": 0.0}
    imaging = {"snr": 15.0, "shine_through": 0.4, "misregistration": 0.0}
    config = load_preset("generic").with_ranges(structure=structure | pores, imaging=imaging)
    config = replace(config, size=128, depth=16, sections=1, pixel_size=PIXEL)
    names = class_names(config)
    (pair,) = simulated_pairs(config, 1, seed=0)
    pixel = PixelSize(PIXEL, PIXEL, "um")
    image = fb.Image(pair.bse, "cathode", pixel)

    # "tws" needs no weights; leave it out for the default, which takes features of a ViT, too
    labels = fb.Labels(strokes_of(pair.labels, np.random.default_rng(0)), names)
    result = fb.PixelSegmenter("tws").fit(image, labels).predict(image)
    print(f"{100 * (result == pair.labels).mean():.1f} % of the pixels as in the truth")
    write_labels("labels.tif", result, pixel_size=pixel, class_names=names)

    # without loss="patches" the features of a pre-trained VGG19 are compared, too: better, and slower
    operation("reconstruct")(
        [Path("labels.tif")],
        out=Path("volume.tif"),
        volume_size=str(size),
        loss="patches",
        steps=12 if size <= 32 else 100,
        overwrite=True,
    )

    # the electrolyte is solid: its phase is BPX's pore
    cell = Path("cell.json")
    cell.write_text(json.dumps(TEMPLATE, indent=2), encoding="utf-8")
    report = operation("measure")(
        Path("volume.tif"),
        out=Path("report"),
        metrics="fractions,surface,sizes,connectivity,tortuosity",
        export="bpx",
        bpx_template=cell,
        bpx_phases="pore=ISE,particles=CAM",
        overwrite=True,
    )
    found = report["metrics"]
    for value, name in enumerate(names, start=1):
        true = (pair.labels == value).mean()
        print(f"{name}: {100 * found['fraction'][name]:.1f} %, in the true image {100 * true:.1f} %")
        tau, surface = found["tortuosity_factor"][name]["z"], found["specific_surface"][name]
        print(f"  surface {surface:.2f} per um, tortuosity factor along z {tau if tau == 'inf' else round(tau, 2)}")
    for note in report["notes"]:
        print("note:", note)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyBaMM's own
        read_by_pybamm("report/bpx.json", found["fraction"]["CAM"])


def read_by_pybamm(file: str, cam_fraction: float) -> None:
    """Print what arrives of the positive electrode, and discharge the cell for ten minutes."""
    try:
        import pybamm

        values = pybamm.ParameterValues.create_from_bpx(file)
    except ImportError:
        print(f"{file} is written; go on with: pip install 'pybamm[bpx]'")
        return
    for name in (
        "porosity",
        "transport efficiency",
        "Bruggeman coefficient (electrolyte)",  # log(transport efficiency) / log(porosity)
        "surface area per unit volume [m-1]",
        "active material volume fraction",  # radius x surface / 3
    ):
        print(f"PyBaMM: positive electrode {name}: {values[f'Positive electrode {name}']:.4g}")

    # that fraction holds for spheres in electrolyte all round; keep the measured one and the surface by another radius
    surface = values["Positive electrode surface area per unit volume [m-1]"]
    values["Positive electrode active material volume fraction"] = cam_fraction
    values["Positive particle radius [m]"] = 3 * cam_fraction / surface
    print(f"set: fraction {cam_fraction:.4g}, radius {3e6 * cam_fraction / surface:.3g} um")

    solution = pybamm.Simulation(pybamm.lithium_ion.DFN(), parameter_values=values).solve([0, 600])
    print(f"voltage after ten minutes of 2 mA: {solution['Voltage [V]'].entries[-1]:.3f} V")


if __name__ == "__main__":
    main()
