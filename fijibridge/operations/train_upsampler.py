"""Train the upsampler that brings ViT features to pixels with reference to the image, on any folder of images."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, fields
from pathlib import Path
from typing import Annotated, Any

from fijibridge.core.atomic_output import output_folder
from fijibridge.core.errors import ImageError
from fijibridge.core.options import LearningRate, Out, Overwrite, Seed, Threads
from fijibridge.core.params import Param, check
from fijibridge.core.threads import limited_threads
from fijibridge.core.timing import Stages
from fijibridge.features.upsampling.training import Block, Crop, Crops, Steps, Target, UpsamplerSettings
from fijibridge.operations.batch import Batch
from fijibridge.operations.feature_options import Encoder, EncoderWeights
from fijibridge.operations.options import Databar
from fijibridge.operations.report import REPORT, peak_memory_mib, write_report

WEIGHTS = "upsampler.safetensors"
_SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp")


def train_upsampler(
    folder: Annotated[
        Path,
        Param(
            "folder of images; nothing has to be labelled",
            positional=True,
            role="classifier",
            level="basic",
            group="Input",
        ),
    ],
    *,
    out: Out,
    encoder: Encoder = UpsamplerSettings.encoder,
    block: Block = UpsamplerSettings.block,
    target: Target = UpsamplerSettings.target,
    crops: Crops = UpsamplerSettings.crops,
    crop: Crop = UpsamplerSettings.crop,
    steps: Steps = UpsamplerSettings.steps,
    rate: LearningRate = UpsamplerSettings.rate,
    seed: Seed = UpsamplerSettings.seed,
    databar: Databar = "auto",
    weights: EncoderWeights = None,
    threads: Threads = 0,
    overwrite: Overwrite = False,
) -> dict[str, Any]:
    """Train the learned upsampler on a folder of images.

    It learns to bring the ViT's features of a patch grid to one twice as dense, with reference to the image. Of a stack
    the first slice is used; an image that cannot be read is left out, and named in the report. The trained file is
    given to segment and features as upsampler_weights.

    Writes upsampler.safetensors and report.json.

    Returns
    -------
    dict
        The report; ``loss`` and ``bilinear_loss`` are squared errors on held-out crops, as a share of the
        features' variance.

    Raises
    ------
    BridgeError
        For every input that cannot serve; nothing is left half written.
    """
    from fijibridge.features.upsampling.training import train_upsampler as train
    from fijibridge.images.image import read_image

    check(train_upsampler, locals())
    given = locals()
    settings = UpsamplerSettings(**{item.name: given[item.name] for item in fields(UpsamplerSettings)})
    stages = Stages()
    with output_folder(out, marker=REPORT, overwrite=overwrite, inputs=(folder, weights)) as place:
        with stages("reading"):
            paths = image_paths(folder)
            paths = paths[:: -(-len(paths) // crops)]  # no more images than pieces
            batch = Batch(len(paths))
            images, used = [], []
            for path in paths:
                with batch.each(path):
                    images.append(read_image(path, databar=databar, page=0))
                    used.append(path)
            if not images:
                batch.check()
        with stages("training"), limited_threads(threads):
            data, losses, history = train(images, settings, checkpoint=weights)
        (place / WEIGHTS).write_bytes(data)
        report = {
            "operation": "train_upsampler",
            "out": str(out),
            "image": str(folder),
            "settings": asdict(settings),
            "images": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in used},
            "failed": batch.failed,
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


def summary(report: dict[str, Any]) -> list[str]:
    """Lines for a person."""
    return [f"squared error on held-out crops: {report['loss']:.3f} (bilinear: {report['bilinear_loss']:.3f})"]


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
