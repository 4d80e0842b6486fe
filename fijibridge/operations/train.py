"""Train a classifier on several labelled images, on data that TWS saved, or on both."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fijibridge.core.atomic_output import check_output, output_folder
from fijibridge.core.errors import FeatureMismatchError, LabelsError, SettingsError
from fijibridge.core.names import listed
from fijibridge.core.options import Heap, Out, Overwrite, Seed, Threads
from fijibridge.core.params import Param, check, names_in
from fijibridge.core.threads import limited_threads
from fijibridge.core.timing import Stages
from fijibridge.labels.labels import check_labelled
from fijibridge.operations.detector_files import Align, Detectors, detector_files, detectors_of_several
from fijibridge.operations.feature_options import (
    Blocks,
    Channels,
    CoarseBlocks,
    Debiasing,
    Detector,
    Encoder,
    EncoderWeights,
    Enlargement,
    Features,
    Head,
    Membrane,
    NetworkFeatures,
    Preset,
    Sigmas,
    Tile,
    Upsampler,
    UpsamplerWeights,
    chosen_features,
)
from fijibridge.operations.labelled_images import check_images_given, labels_of_images, names_in_sets, read_labelled
from fijibridge.operations.options import FEATURE_FILE, Classes, Databar, Importance, Page
from fijibridge.operations.report import REPORT, detector_lines, oob_lines, write_report
from fijibridge.operations.segmentation_files import (
    CLASSIFIER,
    CONFUSION,
    about_classifier,
    write_confusion,
    write_importance,
)
from fijibridge.segmentation.options import Balance, Engine, MaxDepth, MaxFeatures, Trees
from fijibridge.segmentation.segmenter import PixelSegmenter
from fijibridge.weights.encoders import DEFAULT_ENCODER

if TYPE_CHECKING:
    from fijibridge.features.extract import FeatureExtractor
    from fijibridge.forest import LabelledSamples
    from fijibridge.images.image import Image
    from fijibridge.labels.labels import Labels
    from fijibridge.segmentation.training_samples import TrainingSamples

log = logging.getLogger(__name__)
DATA = "data.arff"
NOT_OPENED = (CLASSIFIER, CONFUSION, DATA, "importance.csv")
_WORTH_IT = 200_000  # samples, from which on it is told how long the training takes
_PROBED = 20_000  # of these, to find that out


def train(
    images: Annotated[
        list[Path] | None,
        Param("labelled micrographs or stacks", positional=True, role="image", level="basic", group="Input"),
    ] = None,
    *,
    labels: Annotated[
        list[Path] | None,
        Param(
            "label image or ImageJ ROIs (.zip, .roi) of each image in order, or a folder with files named as the "
            "images; of a stack on any of its slices",
            role="labels",
            level="basic",
            group="Input",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        Param("labelled samples that TWS saved (Save data, .arff): they train, too", role="file", group="Input"),
    ] = None,
    feature_file: Annotated[Path | None, FEATURE_FILE] = None,
    out: Out,
    engine: Engine = "sklearn",
    classes: Classes = "",
    preset: Preset = "default",
    head: Head = "linear",
    features: Features = None,
    sigma: Sigmas = "",
    membrane: Membrane = "",
    encoder: Encoder = DEFAULT_ENCODER,
    blocks: Blocks = None,
    coarse_blocks: CoarseBlocks = None,
    channels: Channels = 0,
    enlargement: Enlargement = None,
    debiasing: Debiasing = None,
    upsampler: Upsampler = None,
    upsampler_weights: UpsamplerWeights = None,
    tile: Tile = 0,
    network: NetworkFeatures = None,
    detector: Detector = "BSE",
    detectors: Detectors = "",
    align: Align = True,
    trees: Trees = 100,
    max_features: MaxFeatures = "sqrt",
    max_depth: MaxDepth = 0,
    balance: Balance = False,
    seed: Seed = 0,
    databar: Databar = "auto",
    page: Page = 0,
    save_data: Annotated[
        bool,
        Param("write data.arff, too: features at all labelled pixels, as TWS saves and loads them", group="Output"),
    ] = False,
    importance: Importance = False,
    weights: EncoderWeights = None,
    threads: Threads = 0,
    heap: Heap = "",
    overwrite: Overwrite = False,
) -> dict[str, Any]:
    """Train a classifier on several labelled images, on data that TWS saved, or on both.

    All labels together train one forest. With --data its features are those of the data, and the forest learns from
    the samples alone (head none); labels given besides go on with it, with the same classes. With --feature-file
    features are made as it says.

    Writes the folder classifier, which apply takes, confusion.csv (out-of-bag confusion matrix) and report.json.

    Returns
    -------
    dict
        The report.

    Raises
    ------
    BridgeError
        For every input that cannot serve; nothing is left half written.
    """
    from fijibridge.features.extract import FeatureExtractor
    from fijibridge.features.vit.encoder import token_cache
    from fijibridge.forest import write_arff

    check(train, locals())
    images, labels = list(images or []), list(labels or [])
    check_images_given(images, labels, data)
    pairs = list(zip(images, labels_of_images(images, labels), strict=True)) if images else []
    further = detectors_of_several(images, detectors)
    settings = chosen_features(
        preset,
        features=features,
        sigma=sigma,
        membrane=membrane,
        encoder=encoder,
        blocks=blocks,
        coarse_blocks=coarse_blocks,
        channels=channels,
        enlargement=enlargement,
        debiasing=debiasing,
        upsampler=upsampler,
        upsampler_weights=upsampler_weights,
        tile=tile,
        network=network,
        weights=weights,
        detector=detector,
    )
    inputs = (*images, *labels, data, feature_file, network, weights, upsampler_weights, *further.values())
    check_output(out, marker=REPORT, overwrite=overwrite, inputs=inputs)
    stages = Stages()
    with limited_threads(threads):
        with stages("reading"):
            names = names_in(classes) or None
            extractor, samples = _features_and_data(feature_file, data, features, names, engine, exact=save_data)
            if feature_file is not None and extractor is not None and weights is not None:
                extractor = extractor.with_weights(str(weights))
            if samples:
                names = list(samples.class_names)
            elif names is None and len(pairs) > 1:
                names = names_in_sets([path for _, path in pairs])
            several = len(pairs) > 1 or samples is not None
            made_by = extractor or FeatureExtractor(settings)
            micrographs: list[Image] = []
            strokes: list[Labels] = []
            for image, drawn in pairs:
                own, found = read_labelled(
                    detector_files(image, detector, detectors), drawn, made_by, class_names=names, align=align,
                    databar=databar, page=page, of_several=several,
                )  # fmt: skip
                if not any(one.data.any() for one in found.values()):
                    raise LabelsError(
                        f"no pixel of {image} is labelled in {drawn}", expected="some labelled pixels on each image",
                        remedy="label some, or leave the image out",
                    )  # fmt: skip
                micrographs += own.values()
                strokes += found.values()
            counts = _checked_counts(strokes, samples)
        if engine == "weka" or heap:
            from fijibridge.jvm import start

            with stages("starting Java"):
                start(heap=heap or None)
        segmenter = PixelSegmenter(
            made_by,
            engine=engine,
            head="none" if samples else head,
            n_trees=trees,
            max_features=max_features,
            max_depth=max_depth,
            balance=balance,
            seed=seed,
            n_threads=threads,
        )
        with output_folder(out, marker=REPORT, overwrite=overwrite, inputs=inputs) as folder:
            with stages("features"), token_cache.on_disk("tokens"):
                gathered = segmenter.gather(micrographs, strokes, samples=samples, all_pixels=save_data)
            outputs = [CLASSIFIER]
            if save_data:
                with stages("saving the data"):
                    every = gathered.labelled()
                    write_arff(folder / DATA, every.X, every.y, every.feature_names, every.class_names)
                    del every
                outputs.append(DATA)
            expected = _told(gathered, segmenter)
            with stages("training"):
                segmenter.fit_gathered(gathered)
            outputs += write_confusion(folder, segmenter)
            if importance:
                with stages("importance"):
                    outputs += write_importance(folder, segmenter)
            with stages("saving the classifier"):
                segmenter.save(folder / CLASSIFIER)
            report = {
                "operation": "train",
                "out": str(out),
                "images": [str(path) for path in images],
                "data": str(data) if data else None,
                "samples": counts,
                "samples_of_data": samples.counts if samples else None,
                "labelled_slices": len(strokes),
                "head": segmenter.head,
                "balanced": balance,
                "outputs": sorted(outputs),
                "expected_minutes": expected,
                "stages": stages.seconds,
                **about_classifier(segmenter),
            }
            write_report(folder, report)
    return report


def summary(report: dict[str, Any]) -> list[str]:
    """Lines for a person."""
    counts = ", ".join(f"{name} {number:,}" for name, number in report["samples"].items())
    return [f"samples: {counts}", *detector_lines(report), *oob_lines(report)]


def _features_and_data(
    feature_file: Path | None, data: Path | None, features: str | None, names: list[str] | None, engine: str,
    *, exact: bool,
) -> tuple[FeatureExtractor | None, LabelledSamples | None]:  # fmt: skip
    """What makes features, where that is said by a file or by the data, and the samples of the data, in its order."""
    import numpy as np

    from fijibridge.segmentation.load import extractor_of_names, read_features

    extractor: FeatureExtractor | None = None
    known: tuple[str, ...] = ()
    if feature_file is not None:
        extractor, known = read_features(feature_file)
    samples = None
    if data is not None:
        from fijibridge.forest import read_arff

        samples = read_arff(data, dtype=np.float64 if exact else np.float32)
        if extractor is None:
            ours = (
                "give --feature-file, too: features.json, or the classifier of the training, which say how these "
                "features are made"
            )
            extractor = extractor_of_names(samples.feature_names, samples.relation, data, ours=ours)
            samples = _in_order(samples, extractor, extractor.sources[0].feature_names(), data)
        else:
            samples = _in_order(samples, extractor, known, data)
        _check_data(samples, data, names, engine)
    if extractor is not None and features is not None:
        found = [source.kind for source in extractor.sources]
        if sorted(found) != sorted(names_in(features)):
            raise SettingsError(
                f"features {features}, and those of {feature_file or data} are {','.join(found)}",
                expected="the features of the data", remedy="leave --features out",
            )  # fmt: skip
    return extractor.without_head() if extractor else None, samples


def _in_order(
    samples: LabelledSamples, extractor: FeatureExtractor, known: Sequence[str], data: Path
) -> LabelledSamples:
    """The samples with their features in the extractor's order."""
    from dataclasses import replace

    from fijibridge.features.linear_head.head import digest_of_names

    if extractor.head_ is not None:  # its forest's features are not those of the labelled pixels
        if digest_of_names(samples.feature_names) != extractor.head_.features_digest:
            raise FeatureMismatchError(
                f"{data} has other features than the classifier: {listed(samples.feature_names)}",
                expected="data that train --save-data wrote with this classifier, or with the same settings",
                remedy="give the features.json or the classifier that belongs to the data",
            )
        return samples
    missing = [name for name in known if name not in set(samples.feature_names)]
    extra = [name for name in samples.feature_names if name not in set(known)]
    if missing or extra:
        parts = [f"{data} has {len(samples.feature_names)} features, the feature file {len(known)}"]
        parts += [f"the data lack {listed(missing)}"] if missing else []
        parts += [f"the feature file lacks {listed(extra)}"] if extra else []
        raise FeatureMismatchError(
            "; ".join(parts), expected="data of these features and no others",
            remedy="give the features.json beside the features that were loaded in TWS, and leave TWS's own features "
            "off when you save the data",
        )  # fmt: skip
    if samples.feature_names == tuple(known):
        return samples
    place = {name: number for number, name in enumerate(samples.feature_names)}
    return replace(samples, X=samples.X[:, [place[name] for name in known]], feature_names=tuple(known))


def _check_data(samples: LabelledSamples, data: Path, names: list[str] | None, engine: str) -> None:
    import numpy as np

    if names is not None and tuple(names) != samples.class_names:
        raise LabelsError(
            f"classes {listed(names)}, and {data} has {listed(samples.class_names)}",
            expected="the classes of the data in their order", remedy="leave --classes out",
        )  # fmt: skip
    for what, bad, use in (("missing values (?)", np.isnan, engine != "weka"), ("infinite values", np.isinf, True)):
        wrong = bad(samples.X) if use else None
        if wrong is not None and wrong.any():
            column = samples.feature_names[int(wrong.any(axis=0).argmax())]
            raise LabelsError(
                f"{data}: {int(wrong.any(axis=1).sum())} of {len(samples)} samples have {what}, for one in {column}",
                expected="a number for each feature" + (", or the engine weka" if bad is np.isnan else ""),
                remedy="give --engine weka, whose forest takes missing values" if bad is np.isnan
                else "remove these samples",
            )  # fmt: skip


def _checked_counts(strokes: Sequence[Labels], samples: LabelledSamples | None) -> dict[str, int]:
    """Samples of each class, of which at least two have some, before the features are made."""
    total: Counter[str] = Counter(samples.counts if samples else {})
    for one in strokes:
        total.update(one.counts)
    check_labelled(list(total.values()), list(total))
    return dict(total)


def _told(found: TrainingSamples, segmenter: PixelSegmenter) -> float | None:
    """Minutes that the training of many samples takes, by that of a part of them; told."""
    import numpy as np

    from fijibridge.segmentation.forest_training import train_forest

    count = len(found.y)
    if count < _WORTH_IT or found.stacks:
        return None
    every = -(-count // _PROBED)
    X, y, start = [], [], 0
    for part in found.X:
        X.append(part[::every])
        y.append(found.y[start : start + len(part)][::every])
        start += len(part)
    used = sum(map(len, y))
    few = min(8, segmenter.n_trees)
    began = time.perf_counter()
    train_forest(
        segmenter.engine, np.concatenate(X), np.concatenate(y), found.class_names, n_trees=few,
        max_features=segmenter.max_features, max_depth=segmenter.max_depth, n_threads=segmenter.n_threads or None,
        feature_names=found.feature_names,
    )  # fmt: skip
    seconds = (time.perf_counter() - began) * segmenter.n_trees / few
    minutes = seconds / 60 * count * np.log(count) / (used * np.log(used))  # sorting is what takes time
    size = sum(part.nbytes for part in found.X) / 2**30
    log.warning("%s samples (%.1f GiB): training takes about %.0f min", f"{count:,}", size, max(1, minutes))
    return round(float(minutes), 1)
