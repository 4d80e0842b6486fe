"""Train the segmenting network on a data set of labelled SE and BSE images."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fijibridge.core.atomic_output import note_files, one_run
from fijibridge.core.errors import SettingsError
from fijibridge.core.options import Device, LearningRate, Overwrite, Resume, Seed, Threads
from fijibridge.core.params import Param, check, names_in
from fijibridge.core.threads import limited_threads
from fijibridge.core.timing import Stages
from fijibridge.network.settings import (
    Batch,
    Clock,
    Crop,
    Encoder,
    Minutes,
    NetworkSettings,
    Pretrained,
    Slices,
    Steps,
    Width,
)
from fijibridge.operations.options import Dataset
from fijibridge.operations.report import add_report, iou_lines, peak_memory_mib

if TYPE_CHECKING:
    from fijibridge.network.network import Network


def train_network(
    dataset: Dataset,
    *,
    out: Annotated[
        Path, Param("folder of the network; written at each check", role="out", level="basic", group="Output")
    ],
    target_classes: Annotated[
        str,
        Param(
            "classes (phases) that the network learns, separated by commas; default: all of the data set",
            level="basic",
            group="Training",
        ),
    ] = "",
    merge: Annotated[
        str, Param("classes that count as another, such as binder=ISE,carbon=ISE", level="basic", group="Training")
    ] = "",
    minutes: Minutes = NetworkSettings.minutes,
    clock: Clock = NetworkSettings.clock,
    steps: Steps = NetworkSettings.steps,
    unet_encoder: Encoder = NetworkSettings.encoder,
    pretrained: Pretrained = NetworkSettings.pretrained,
    width: Width = NetworkSettings.width,
    unet_slices: Slices = NetworkSettings.slices,
    crop: Crop = NetworkSettings.crop,
    batch: Batch = NetworkSettings.batch,
    rate: LearningRate = NetworkSettings.rate,
    onnx: Annotated[bool, Param("write the network as network.onnx, too, for other programs", group="Output")] = False,
    seed: Seed = NetworkSettings.seed,
    device: Device = NetworkSettings.device,
    threads: Threads = NetworkSettings.threads,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> dict[str, Any]:
    """Train a network that segments SE and BSE images into phases.

    Structures held out for validation say how good it is; the best network is kept, with calibrated probabilities.

    Writes network.safetensors, network.json, training.csv and report.json.

    Returns
    -------
    dict
        The report; ``iou`` holds the intersection over union of each phase on the validation images.

    Raises
    ------
    BridgeError
        For every input that cannot serve.
    """
    from fijibridge.network.onnx_export import export_onnx
    from fijibridge.network.training import train_network as train

    check(train_network, locals())
    given = {**locals(), "encoder": unet_encoder, "slices": unet_slices}
    settings = NetworkSettings(
        **{item.name: given[item.name] for item in fields(NetworkSettings) if item.name in given}
    )
    stages = Stages()
    with one_run(out):
        with stages("training"), limited_threads(threads):
            network = train(
                dataset,
                settings,
                out=out,
                resume=resume,
                overwrite=overwrite,
                classes=names_in(target_classes) or None,
                merge=_merged(merge),
            )
        outputs = ["training.csv", "network.json", "network.safetensors"]
        if onnx:
            with stages("ONNX"):
                note_files(Path(out), ["network.onnx"])
                export_onnx(network, Path(out) / "network.onnx", overwrite=True)
            outputs.append("network.onnx")
        report = _report(dataset, out, network, outputs, stages)
        add_report(Path(out), report)
    return report


def _report(dataset: Path, out: Path, network: Network, outputs: list[str], stages: Stages) -> dict[str, Any]:
    report = {
        "operation": "train_network",
        "out": str(out),
        "image": str(dataset),
        "class_names": list(network.class_names),
        "detectors": list(network.detectors),
        "slices": network.slices,
        "training": network.training,
        "temperature": network.temperature,
        "outputs": outputs,
        "stages": stages.seconds,
        "peak_memory_mib": peak_memory_mib(),
    }
    iou = dict(network.training.get("iou", {}))
    if iou:
        report |= {"mean_iou": iou.pop("mean"), "iou": iou}
    return report


def summary(report: dict[str, Any]) -> list[str]:
    """Lines for a person."""
    return iou_lines(report)


def _merged(text: str) -> dict[str, str]:
    found = {}
    for part in (part.strip() for part in text.split(",")):
        if not part:
            continue
        name, sign, other = part.partition("=")
        if not sign or not name.strip() or not other.strip():
            raise SettingsError(
                f"merge = {text!r}", expected="pairs such as binder=ISE,carbon=ISE", remedy="write CLASS=OTHER"
            )
        found[name.strip()] = other.strip()
    return found
