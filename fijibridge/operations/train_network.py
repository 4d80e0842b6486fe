"""Train the segmenting network on a data set of labelled SE and BSE images."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

from fijibridge.errors import SettingsError
from fijibridge.network.settings import (
    Batch,
    Clock,
    Crop,
    Device,
    Encoder,
    Minutes,
    NetworkSettings,
    Pretrained,
    Rate,
    Seed,
    Steps,
    Threads,
    Width,
)
from fijibridge.operations.results import Overwrite, peak_memory_mib, write_report
from fijibridge.params import Param, check
from fijibridge.segmentation.stages import Stages


def train_network(
    dataset: Annotated[Path, Param("folder of a data set, as simulate writes it", positional=True, role="classifier")],
    *,
    out: Annotated[Path, Param("folder of the network; written at each check", role="out")],
    classes: Annotated[str, Param("phases to tell apart, separated by commas; empty: all that occur")] = "",
    merge: Annotated[str, Param("phases that count as another, such as binder=ISE,carbon=ISE")] = "",
    minutes: Minutes = NetworkSettings.minutes,
    clock: Clock = NetworkSettings.clock,
    steps: Steps = NetworkSettings.steps,
    encoder: Encoder = NetworkSettings.encoder,
    pretrained: Pretrained = NetworkSettings.pretrained,
    width: Width = NetworkSettings.width,
    crop: Crop = NetworkSettings.crop,
    batch: Batch = NetworkSettings.batch,
    rate: Rate = NetworkSettings.rate,
    onnx: Annotated[bool, Param("write the network as network.onnx too, for other programs")] = False,
    seed: Seed = NetworkSettings.seed,
    device: Device = NetworkSettings.device,
    threads: Threads = NetworkSettings.threads,
    resume: Annotated[bool, Param("go on with a training that was stopped")] = False,
    overwrite: Overwrite = False,
) -> dict[str, Any]:
    """Train a network that segments SE and BSE images into phases.

    Structures it never learns from tell how good it is; the best network is kept, with calibrated probabilities.

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
    given = locals()
    settings = NetworkSettings(
        **{item.name: given[item.name] for item in fields(NetworkSettings) if item.name in given}
    )
    stages = Stages()
    with stages("training"):
        network = train(
            dataset,
            settings,
            out=out,
            resume=resume,
            overwrite=overwrite,
            classes=[name.strip() for name in classes.split(",") if name.strip()] or None,
            merge=_merged(merge),
        )
    outputs = ["training.csv", "network.json", "network.safetensors"]
    if onnx:
        with stages("ONNX"):
            export_onnx(network, Path(out) / "network.onnx", overwrite=True)
        outputs.append("network.onnx")
    report = {
        "operation": "train_network",
        "out": str(out),
        "image": str(dataset),
        "class_names": list(network.class_names),
        "detectors": list(network.detectors),
        "training": network.training,
        "temperature": network.temperature,
        "outputs": outputs,
        "stages": stages.seconds,
        "peak_memory_mib": peak_memory_mib(),
    }
    iou = dict(network.training.get("iou", {}))
    if iou:
        report |= {"mean_iou": iou.pop("mean"), "iou": iou}
    write_report(Path(out), report)
    return report


def _merged(text: str) -> dict[str, str]:
    found = {}
    for part in (part.strip() for part in text.split(",")):
        if not part:
            continue
        name, sign, other = part.partition("=")
        if not sign or not name.strip() or not other.strip():
            raise SettingsError(
                f"merge = {text!r}", expected="pairs such as binder=ISE,carbon=ISE", remedy="write PHASE=OTHER"
            )
        found[name.strip()] = other.strip()
    return found
