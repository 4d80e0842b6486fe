"""Training of the segmenting network on simulated images, and fine-tuning on a user's sparse labels."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from fijibridge.core.checkpoint import another_training, check_new, has_checkpoint, identity_of
from fijibridge.core.errors import LabelsError, SettingsError
from fijibridge.network.augmentation import IGNORED, CropSampler, Normalisation
from fijibridge.network.data import open_dataset, split
from fijibridge.network.file import INDEX, load_network
from fijibridge.network.images import ImageArrays, LabelledImages, class_counts, spread
from fijibridge.network.network import Network
from fijibridge.network.settings import NetworkSettings
from fijibridge.network.trainer import Trainer
from fijibridge.network.unet import DetectorNetwork, new_network
from fijibridge.network.validation import Validation

log = logging.getLogger(__name__)

# what may differ when a training is resumed: how long it takes, where it runs, how often it is validated
_FREE = ("minutes", "clock", "steps", "threads", "device", "checks", "patience", "validation_images")
_OF_STACKS = ("slices", "slice_dropout")


def train_network(
    dataset: str | Path,
    settings: NetworkSettings | None = None,
    *,
    out: str | Path,
    resume: bool = False,
    overwrite: bool = False,
    classes: Sequence[str] | None = None,
    merge: Mapping[str, str] | None = None,
) -> Network:
    """Train a network on a data set of labelled images.

    A U-Net learns from random crops, changed at random, with a cross entropy that counts rare classes a little more and
    a soft Dice loss (Milletari et al. 2016, arXiv 1606.04797), by AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101)
    at a rate that rises briefly and then falls along a cosine to the end of the time. A running mean of its weights is
    checked on structures it never sees; the best is kept, and its probabilities are calibrated there.

    Parameters
    ----------
    dataset : path
        See :mod:`fijibridge.network.data`.
    settings : NetworkSettings, optional
        How.
    out : path
        Folder of the network; written at each check (with a checkpoint, to resume), with ``training.csv``, and
        TensorBoard's events where that is installed.
    resume : bool
        Continue from the folder's checkpoint: same batches, and on a CPU with as many threads the same network. Of a
        training that had ended the network is read.
    overwrite : bool
        Replace a network.
    classes : sequence of str, optional
        To learn; default all that occur. Pixels of other classes count as unknown.
    merge : mapping of str to str, optional
        Classes that count as another, such as ``{"binder": "ISE"}``.

    Returns
    -------
    Network
        The best one. ``training`` holds its IoU a class, with all detectors and with each alone, and its calibration.

    Raises
    ------
    ImageNotFoundError, ImageError
        No data set, a half written one, images that cannot be used, or no stacks for a network of several slices.
    OutputError
        The folder exists, or nothing is there to resume.
    SettingsError
        No such class, encoder or device, crops larger than images, or a checkpoint of another training.
    """
    settings, out = settings or NetworkSettings(), Path(out)
    check_new(out, INDEX, overwrite=overwrite or resume, inputs=[Path(dataset)])
    data = open_dataset(dataset)
    data.check_stacks(settings.slices)
    learn, check = split(data, settings.validation_share, settings.seed)
    names, values = _chosen_classes(data, learn, classes, dict(merge or {}))
    log.info("%d training images, %d validation images; classes %s", len(learn), len(check), ", ".join(names))
    normalisation = Normalisation()
    sampler = CropSampler(data, learn, values, normalisation, settings)
    validation = Validation(data, spread(check, settings.validation_images), values, names, normalisation)
    free = _FREE if settings.slices > 1 else (*_FREE, *_OF_STACKS)  # trainings of before networks saw several slices
    identity = identity_of(settings, [data.digest(), names, values.tolist()], free=free)
    if resume and (finished := _finished(out, identity)) is not None:
        log.info("%s had been trained to its end", out)
        return finished
    module, start = new_network(settings, len(data.detectors), len(names))
    about = {"images": len(learn), "validation_images": len(validation.indices), "start": start, "identity": identity}
    network = Network(
        module.architecture, {}, names, data.detectors, normalisation, 1.0, data.pixel_sizes,
        data.spacings if settings.slices > 1 else None, {"settings": asdict(settings), **about},
    )  # fmt: skip
    frequencies = _frequencies(data, learn, values, len(names))
    training = Trainer(module, network, settings, [(sampler, 1.0)], frequencies, validation, out, identity)
    return training.run(resume)


def fine_tune(
    network: Network,
    images: Sequence[Mapping[str, np.ndarray]],
    labels: Sequence[np.ndarray],
    settings: NetworkSettings | None = None,
    *,
    class_names: Sequence[str] | None = None,
    replay: str | Path | None = None,
    replay_share: float = 0.5,
    pixel_size: float | None = None,
    spacing: float | None = None,
) -> Network:
    """Fine-tune a network on a user's images with sparse labels, such as were drawn for the forest.

    Parameters
    ----------
    network : Network
        By `train_network` or `load_network`; it is not changed.
    images : sequence of mapping
        Detector -> (Y, X); an image may lack detectors. For a network of several slices also (S, Y, X): slices of a
        stack, of which the middle one is labelled.
    labels : sequence of np.ndarray
        (Y, X) integers an image: 0 unknown, k = ``class_names[k - 1]``.
    settings : NetworkSettings, optional
        Default: 200 steps of 4 crops at a learning rate of 3e-4. The architecture is the network's.
    class_names : sequence of str, optional
        Of the labels, all known to the network; default the network's.
    replay : path, optional
        The data set it was trained on: some crops come from there, so that it does not forget.
    replay_share : float
        How many, 0 to 1.
    pixel_size : float, optional
        Of the images, in micrometres: the network counts as trained on it too.
    spacing : float, optional
        Distance of the images' slices, in micrometres; likewise.

    Returns
    -------
    Network
        The running mean of its weights at the end. Its temperature is kept.

    Raises
    ------
    LabelsError, ImageError, SettingsError
        Labels of other classes, images that do not fit, crops larger than an image.
    """
    settings = settings or NetworkSettings(steps=200, batch=4, rate=3e-4, crop=crop_for(network, labels))
    built = network.architecture
    settings = replace(  # which also checks the crop
        settings, encoder=built.encoder, width=built.width, levels=built.levels, stem=built.stem, slices=built.slices
    )
    names = tuple(class_names or network.class_names)
    unknown = [name for name in names if name not in network.class_names]
    if unknown:
        raise LabelsError(
            f"labels of {', '.join(unknown)}", expected=f"classes of the network: {', '.join(network.class_names)}",
            remedy="leave those labels out, or train a network with those classes",
        )  # fmt: skip
    data = ImageArrays(images, [np.asarray(plane) for plane in labels], names, network.detectors)
    values = np.array([IGNORED, *(network.class_names.index(name) for name in names)])
    indices = np.arange(len(data))
    sources = [(CropSampler(data, indices, values, network.normalisation, settings, labelled=True), 1.0)]
    if replay is not None:
        old = open_dataset(replay)
        old.check_stacks(settings.slices)
        if old.detectors != network.detectors:
            raise SettingsError(
                f"a data set of {', '.join(old.detectors)}", expected=f"of {', '.join(network.detectors)}",
                remedy="give the data set that the network was trained on",
            )  # fmt: skip
        learn, _ = split(old, settings.validation_share, settings.seed)
        merged = {name: name for name in old.class_names if name in network.class_names}
        _, back = _chosen_classes(old, learn, network.class_names, merged)
        sources = [(sources[0][0], 1 - replay_share)]
        sources.append((CropSampler(old, learn, back, network.normalisation, settings), replay_share))
    module = DetectorNetwork(network.architecture)
    module.load_state_dict(network.state)
    about = {**network.training, "fine_tuned": {"images": len(data), "settings": asdict(settings)}}
    start = Network(
        network.architecture, {}, network.class_names, network.detectors, network.normalisation, network.temperature,
        _widened(network.pixel_sizes, pixel_size), _widened(network.spacings, spacing), about,
    )  # fmt: skip
    frequencies = _frequencies(data, indices, values, len(network.class_names))
    return Trainer(module, start, settings, sources, frequencies, None, None, "").run(False)


def _widened(sizes: tuple[float, float] | None, size: float | None) -> tuple[float, float] | None:
    if sizes is None or size is None:
        return sizes
    return min(sizes[0], size), max(sizes[1], size)


def crop_for(network: Network, labels: Sequence[np.ndarray]) -> int:
    """Side of the largest training crop, up to 256 px, that fits all images.

    Parameters
    ----------
    network : Network
        To fine-tune.
    labels : sequence of np.ndarray
        (Y, X), one an image.

    Returns
    -------
    int
        In pixels, a multiple of the network's stride.
    """
    step = math.lcm(network.architecture.stride, NetworkSettings().stride)
    smallest = min((min(np.shape(plane)) for plane in labels), default=256)
    return max(step, min(256, smallest) // step * step)


def _chosen_classes(
    data: LabelledImages, indices: np.ndarray, classes: Sequence[str] | None, merge: dict[str, str]
) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of the classes to learn, and (labels + 1,) label value -> class index, -1 for none.

    Raises
    ------
    SettingsError
        A class that the data do not name, or fewer than two classes.
    """
    known = data.class_names
    for name in (*(classes or ()), *merge, *merge.values()):
        if name not in known:
            raise SettingsError(f"class {name!r}", expected=f"one of {', '.join(known)}", remedy="check the spelling")
    goal = [merge.get(name, name) for name in known]
    if classes is None:
        counts = class_counts(data, indices)
        occur = {name for name, count in zip(goal, counts[1:], strict=True) if count}
        classes = [name for name in known if name in occur]
        if absent := [name for name in known if name not in occur and merge.get(name, name) == name]:
            log.info("no pixel of %s in the images that were looked at: left out", ", ".join(absent))
    names = tuple(dict.fromkeys(classes))
    if len(names) < 2:
        raise SettingsError(
            f"{len(names)} class to learn", expected="at least two", remedy="choose more classes, or other data"
        )
    values = [names.index(name) if name in names else IGNORED for name in goal]
    return names, np.array([IGNORED, *values])


def _frequencies(data: LabelledImages, indices: np.ndarray, values: np.ndarray, classes: int) -> np.ndarray:
    """(classes,) share of each class among the labelled pixels."""
    counts = np.zeros(classes)
    for value, number in zip(values, class_counts(data, indices), strict=True):
        if value >= 0:
            counts[value] += number
    return counts / max(1, counts.sum())


def _finished(out: Path, identity: str) -> Network | None:
    """The network of a training that had come to its end."""
    if not (out / INDEX).is_file() or has_checkpoint(out):
        return None
    network = load_network(out)
    if network.training.get("identity") != identity:
        raise another_training(out)
    return network
