"""Make the weights of the package's learned upsampler: its material, then ``fijibridge train-upsampler``.

    python benchmarks/upsampler_weights.py [--keep]

The material is made by the project, or ships inside scikit-image: simulated SE and BSE micrographs of every preset, and
photographs and micrographs of skimage.data. None of the images that benchmarks report on is in it. ``--keep`` puts the
weights and their report into the package.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import skimage
from results import Results, add_json
from skimage import data

from fijibridge.features.upsampling.weights_file import PACKAGED
from fijibridge.operations.train_upsampler import WEIGHTS, train_upsampler
from fijibridge.synthesis.config import load_preset
from fijibridge.synthesis.dataset import simulated_pairs

PRESETS = ("generic", "licoo2", "ncm-li3ps4", "si-li6ps5cl-vgcf")
PICTURES = ("brick", "grass", "gravel", "camera", "cell", "coins", "moon", "hubble_deep_field")


def write_material(folder: Path, seed: int) -> None:
    for preset in PRESETS:
        config = replace(load_preset(preset), size=256, depth=24, sections=1)
        for number, pair in enumerate(simulated_pairs(config, 1, seed)):
            iio.imwrite(folder / f"{preset}_{number}_se.tif", pair.se)
            iio.imwrite(folder / f"{preset}_{number}_bse.tif", pair.bse)
    for name in PICTURES:
        iio.imwrite(folder / f"skimage_{name}.png", getattr(data, name)())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--crops", type=int, default=40)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--target", default="enlarged")
    parser.add_argument("--keep", action="store_true", help="put the weights into the package")
    add_json(parser)
    arguments = parser.parse_args()
    results = Results("upsampler_weights", arguments.json)
    with tempfile.TemporaryDirectory() as place:
        material, out = Path(place) / "material", Path(place) / "out"
        material.mkdir()
        write_material(material, arguments.seed)
        settings = {"crops": arguments.crops, "steps": arguments.steps, "seed": arguments.seed}
        settings["target"] = arguments.target
        report = train_upsampler(material, out=out, databar="0", threads=1, **settings)
        title = f"The network of the upsampler `learned` after {arguments.steps} steps, on pieces kept apart"
        table = results.table("training", title, {"upsampler": "", "share of the tokens' variance left": ".2f"})
        table.add("`learned`", report["loss"])
        table.add("`bilinear`, for comparison", report["bilinear_loss"])
        if arguments.keep:
            shutil.copy(out / WEIGHTS, PACKAGED)
            names = ("settings", "images", "loss", "bilinear_loss", "sha256")
            about = {**{name: report[name] for name in names}, "scikit-image": skimage.__version__}
            PACKAGED.with_suffix(".json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
