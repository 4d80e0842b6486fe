"""Train the upsampler that brings ViT features to pixels with reference to the image, on any folder of images."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, fields
from pathlib import Path
from typing import Annotated, Any

from fijibridge.errors import ImageError
from fijibridge.features.recipe import Encoder
from fijibridge.features.upsampler_training import Crop, Crops, Rate, Seed, Steps, Target, UpsamplerSettings
from fijibridge.operations.results import REPORT, Databar, Out, Overwrite, Weights, peak_memory_mib, write_report
from fijibridge.output import output_folder
from fijibridge.params import Param, check
from fijibridge.segmentation.pixel import Threads
from fijibridge.segmentation.stages import Stages

WEIGHTS = "upsampler.safetensors"
_SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp")


def train_upsampler(
    folder: Annotated[Path, Param("folder of images; nothing has to be labelled", positional=True, role="classifier")],
    *,
    out: Out,
    encoder: Encoder = UpsamplerSettings.encoder,
    block: Annotated[
        int, Param("transformer block whose tokens it learns from, the first being 1", low=1, high=1000)
    ] = UpsamplerSettings.block,
    target: Target = UpsamplerSettings.target,
    crops: Crops = UpsamplerSettings.crops,
    crop: Crop = UpsamplerSettings.crop,
    steps: Steps = UpsamplerSettings.steps,
    rate: Rate = UpsamplerSettings.rate,
    seed: Seed = UpsamplerSettings.seed,
    databar: Databar = "auto",
    weights: Weights = None,
    threads: Threads = 0,
    overwrite: Overwrite = False,
) -> dict[str, Any]:
    """Train the learned upsampler on a folder of images.

    It learns to bring the ViT's features of a patch grid to one twice as dense, with reference to the image. Of a stack
    the first slice is used. The trained file is given to segment and features as upsampler_weights.

    Writes upsampler.safetensors and report.json.

    Returns
    -------
    dict
        The report; ``loss`` and ``bilinear_loss`` are squared errors on pieces that it never learnt from, as a share of
        the features' variance.

    Raises
    ------
    BridgeError
        For every input that cannot serve; nothing is left half written.
    """
    from fijibridge.devices import torch_threads
    from fijibridge.features.upsampler_training import train_upsampler as train
    from fijibridge.images import read_image

    check(train_upsampler, locals())
    given = locals()
    settings = UpsamplerSettings(**{item.name: given[item.name] for item in fields(UpsamplerSettings)})
    stages = Stages()
    with output_folder(out, marker=REPORT, overwrite=overwrite, inputs=(folder, weights)) as place:
        with stages("reading"):
            paths = image_paths(folder)
            paths = paths[:: -(-len(paths) // crops)]  # no more images than pieces
            images = [read_image(path, databar=databar, page=0) for path in paths]
        with stages("training"), torch_threads(threads):
            data, losses, history = train(images, settings, checkpoint=weights)
        (place / WEIGHTS).write_bytes(data)
        report = {
            "operation": "train_upsampler",
            "out": str(out),
            "image": str(folder),
            "settings": asdict(settings),
            "images": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths},
            "loss": round(losses.learned, 5),
            "bilinear_loss": round(losses.bilinear, 5),
            "history": history,
            "sha256": hashlib.sha256(data).hexdigest(),
            "outputs": [WEIGHTS],
            "stages": stages.seconds,
            "peak_memory_mib": peak_memory_mib(),
        }
        write_report(place, report)
    return report


def image_paths(folder: Path) -> list[Path]:
    """The images of a folder, in the order of their names.

    Raises
    ------
    ImageError
        No folder, or none in it.
    """
    folder = Path(folder)
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in _SUFFIXES) if folder.is_dir() else []
    if not paths:
        raise ImageError(
            f"{folder} is no folder with images", expected="TIFF, PNG, JPEG or BMP files", remedy="check the path"
        )
    return paths
