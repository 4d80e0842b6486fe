"""Fine-tune a network on labels that a user drew."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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

if TYPE_CHECKING:
    import numpy as np

    from fijibridge.network.network import Network


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

    Labels belong to BSE where it is given; SE is moved onto it where the two are displaced. Those of a stack may lie on
    any of its slices (ROIs that say theirs, or a stack of label images); a network of several slices sees the
    neighbours. Names of the classes are those given, the labels' own, or the network's.

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

    from fijibridge.images.image import count_frames, read_image
    from fijibridge.images.joined import count_joined
    from fijibridge.labels.reading import read_labels
    from fijibridge.labels.stack_labels import read_stack_labels
    from fijibridge.network.file import load_network, save_network
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
            count, frames = count_joined(paths), count_frames(next(iter(paths.values())))
            if count == 1:
                strokes = {0: read_labels(labels, shape=first.shape, class_names=names)}
            else:
                shape = (count, *first.shape)
                strokes = read_stack_labels(labels, shape=shape, frames=frames, class_names=names)
            of_labels = next(iter(strokes.values())).class_names
            if names is None and of_labels == tuple(f"class {k}" for k in range(1, len(of_labels) + 1)):
                names = list(trained.class_names)
            named = names or of_labels
            strokes = {place: one for place, one in strokes.items() if one.data[rows].any()}
            drawn = [one.data[rows] for one in strokes.values()]
            greys = [_seen(paths, place, count // frames, trained, databar, rows) for place in strokes]
        with stages("training"):
            tuned = fine_tune(
                trained,
                greys,
                drawn,
                NetworkSettings(
                    steps=steps, batch=4, rate=rate, crop=crop_for(trained, drawn), seed=seed, device=device,
                    threads=threads,
                ),
                class_names=named,
                replay=replay,
                pixel_size=first.pixel_size.micrometres if first.pixel_size else None,
                spacing=first.pixel_size.spacing_micrometres if first.pixel_size else None,
            )  # fmt: skip
        with stages("prediction"):
            values = np.array([0, *(1 + trained.class_names.index(name) for name in named)])
            right = []
            for found in (trained, tuned):
                hits = [
                    (found.predict(grey, device=device).argmax(0) + 1 == values[labelled])[labelled > 0]
                    for grey, labelled in zip(greys, drawn, strict=True)
                ]
                right.append(float(np.concatenate(hits).mean()))
        with stages("writing"):
            save_network(tuned, folder / "network")
        report = {
            "operation": "fine_tune_network",
            "out": str(out),
            "image": str(next(iter(paths.values()))),
            "class_names": list(tuned.class_names),
            "labelled_pixels": sum(int((labelled > 0).sum()) for labelled in drawn),
            "accuracy_before": round(right[0], 4),
            "accuracy_after": round(right[1], 4),
            "outputs": ["network/network.json"],
            "stages": stages.seconds,
            "peak_memory_mib": peak_memory_mib(),
        }
        write_report(folder, report)
    return report


def _seen(
    paths: dict[str, Path], place: int, depth: int, network: Network, databar: str, rows: slice
) -> dict[str, np.ndarray]:
    """A slice as a network sees it, by detector: (Y, X), or (S, Y, X) with its neighbours among ``depth`` slices."""
    import numpy as np

    from fijibridge.images.image import read_slices
    from fijibridge.images.registration import registered
    from fijibridge.network.images import default_reference, offsets_of

    first = place // depth * depth
    near = [min(max(place + offset, first), first + depth - 1) for offset in offsets_of(network.slices)]
    pages, order = np.unique(near, return_inverse=True)
    stacks = [read_slices(path, databar=databar, pages=pages.tolist()) for path in paths.values()]
    found = []
    for planes in zip(*stacks, strict=True):
        greys = {name: image.grey[rows] for name, image in zip(paths, planes, strict=True)}
        found.append(registered(greys, default_reference(network.detectors))[0])
    if network.slices == 1:
        return found[0]
    return {name: np.stack([found[at][name] for at in order]) for name in paths}


def summary(report: dict[str, Any]) -> list[str]:
    """Lines for a person."""
    before, after = (100 * report[f"accuracy_{when}"] for when in ("before", "after"))
    return [f"accuracy at the labelled pixels: {before:.1f} % before, {after:.1f} % after"]
