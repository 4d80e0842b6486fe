"""Fine-tune a network on labels that a user drew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fijibridge.core.atomic_output import output_folder
from fijibridge.core.options import Device, LearningRate, Out, Overwrite, Seed, Threads
from fijibridge.core.params import Param, check
from fijibridge.core.threads import limited_threads
from fijibridge.core.timing import Stages
from fijibridge.images.detectors import rows_of
from fijibridge.network.settings import NetworkSettings, Steps
from fijibridge.operations.detector_files import BseImage, SeImage, given_detectors
from fijibridge.operations.options import Classes, Databar, LabelsFile, NetworkFolder
from fijibridge.operations.report import REPORT, peak_memory_mib, write_report


def fine_tune_network(
    network: NetworkFolder,
    *,
    se: SeImage = None,
    bse: BseImage = None,
    labels: LabelsFile,
    out: Out,
    classes: Classes = "",
    replay: Annotated[
        Path | None,
        Param(
            "data set of the first training, from which half the crops are taken, so that less is forgotten",
            role="file",
            group="Training",
        ),
    ] = None,
    steps: Steps = 200,
    rate: LearningRate = 3e-4,
    databar: Databar = "auto",
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = 0,
    overwrite: Overwrite = False,
) -> dict[str, Any]:
    """Fine-tune a segmenting network on sparse labels of a real image.

    Labels belong to BSE where it is given; SE is moved onto it where the two are displaced. Names of the classes are
    those given, the labels' own, or the network's.

    Writes the folder network, which segment_network takes, and report.json.

    Returns
    -------
    dict
        The report; ``accuracy_before`` and ``accuracy_after`` are the accuracy at the labelled pixels, which is too
        optimistic: the network was trained on them.

    Raises
    ------
    BridgeError
        For every input that cannot serve; nothing is left half written.
    """
    import numpy as np

    from fijibridge.images.image import read_image
    from fijibridge.images.registration import registered
    from fijibridge.labels.reading import read_labels
    from fijibridge.network.file import load_network, save_network
    from fijibridge.network.images import default_reference
    from fijibridge.network.training import crop_for, fine_tune

    check(fine_tune_network, locals())
    paths = given_detectors(se, bse)
    stages = Stages()
    inputs = [network, *paths.values(), labels, replay]
    with (
        limited_threads(threads),
        output_folder(out, marker=REPORT, overwrite=overwrite, inputs=inputs) as folder,
    ):
        with stages("reading"):
            trained = load_network(network, detectors=list(paths))
            images = {name: read_image(path, databar=databar) for name, path in paths.items()}
            rows = slice(0, rows_of(images))
            first = next(iter(images.values()))
            names = [name.strip() for name in classes.split(",")] if classes.strip() else None
            strokes = read_labels(labels, shape=first.shape, class_names=names)
            if names is None and strokes.class_names == tuple(
                f"class {k}" for k in range(1, len(strokes.class_names) + 1)
            ):
                names = list(trained.class_names)
            reference = default_reference(trained.detectors)
            grey, _ = registered({name: image.grey[rows] for name, image in images.items()}, reference)
            drawn = strokes.data[rows]
        with stages("training"):
            tuned = fine_tune(
                trained,
                [grey],
                [drawn],
                NetworkSettings(
                    steps=steps, batch=4, rate=rate, crop=crop_for(trained, [drawn]), seed=seed, device=device,
                    threads=threads,
                ),
                class_names=names or strokes.class_names,
                replay=replay,
                pixel_size=first.pixel_size.micrometres if first.pixel_size else None,
            )  # fmt: skip
        with stages("prediction"):
            wanted = np.array([0, *(1 + trained.class_names.index(name) for name in names or strokes.class_names)])[
                drawn
            ]
            right = [
                float((found.predict(grey, device=device).argmax(0) + 1 == wanted)[wanted > 0].mean())
                for found in (trained, tuned)
            ]
        with stages("writing"):
            save_network(tuned, folder / "network")
        report = {
            "operation": "fine_tune_network",
            "out": str(out),
            "image": str(next(iter(paths.values()))),
            "class_names": list(tuned.class_names),
            "labelled_pixels": int((drawn > 0).sum()),
            "accuracy_before": round(right[0], 4),
            "accuracy_after": round(right[1], 4),
            "outputs": ["network/network.json"],
            "stages": stages.seconds,
            "peak_memory_mib": peak_memory_mib(),
        }
        write_report(folder, report)
    return report


def summary(report: dict[str, Any]) -> list[str]:
    """Lines for a person."""
    before, after = (100 * report[f"accuracy_{when}"] for when in ("before", "after"))
    return [f"accuracy at the labelled pixels: {before:.1f} % before, {after:.1f} % after"]
