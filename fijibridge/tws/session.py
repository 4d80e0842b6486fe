"""TrainableSegmentation: TWS's own ``WekaSegmentation`` in the running Fiji, with features made in Python.

TWS's ``setFeatureStackArray`` takes features from outside; its constructors, ``setTrainHeader`` and ``loadClassifier``
drop them or put TWS's own in their place, and ``applyClassifier(ImagePlus)`` recomputes them. So features go in last,
and only ``applyClassifier(FeatureStackArray, ...)`` is called.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from fijibridge.core.errors import FeatureMismatchError, JavaError, LabelsError, SettingsError
from fijibridge.core.options import Seed, Threads
from fijibridge.core.params import check
from fijibridge.features import FeatureExtractor, FeatureSettings, FeatureStack
from fijibridge.features.channels import detectors_of
from fijibridge.features.source import SourceSettings
from fijibridge.forest import Classifier, Forest
from fijibridge.forest.samples import features_tried
from fijibridge.images.image import Image
from fijibridge.labels.labels import Labels
from fijibridge.segmentation.options import MaxFeatures, Trees
from fijibridge.tws.inputs import (
    MOST_CLASSES,
    boxes,
    extracted_stacks,
    extractor_for,
    feature_stacks,
    grey_planes,
    label_planes,
)

log = logging.getLogger(__name__)

_SEGMENTATION = "trainableSegmentation.WekaSegmentation"
_EXTRACT = "make them by extract_features(image, session.extractor)"
_OWN_FEATURES = "start the session with the classifier's: features=fijibridge.load_segmenter(FOLDER).extractor_"
_LARGEST_SHARE = 0.8  # of the heap, for features: the classifier and its results need the rest

Stacks = FeatureStack | np.ndarray | Sequence[FeatureStack]
Choice = str | FeatureSettings | SourceSettings | Sequence[SourceSettings] | FeatureExtractor


class TrainableSegmentation:
    """A Trainable Weka Segmentation (TWS) session on features from outside.

    Parameters
    ----------
    image : Image or ndarray, shape (Y, X), (Z, Y, X), or a list of Image
        The image, or the slices of a stack. A data bar of an Image takes no part, and is not in the results.
    features : str, settings, FeatureExtractor, FeatureStack, a list of them, or ndarray (Y, X, F) or (Z, Y, X, F)
        A preset's name (``"default"``) or kinds of features (``"tws,vit"``): the session extracts the features itself,
        the ViT's channels reduced to 32 principal components at each scale, because TWS holds all features in Java's
        heap (the preset ``"default"``: 64 of the ViT and TWS's 76). Settings and extractors are taken as they are. For
        a stack of slices, the first slice's principal components serve all. Or features that are there already, one
        stack a slice, all with the same names; at least 2 features.
    labels : Labels or integer ndarray of the image's shape, or a list of them, optional
        0 = unlabelled. They become TWS's traces. Leave them out to apply a saved classifier.
    class_names : sequence of str, optional
        Names of the label values 1, 2, ...; by default those of `labels`, or "class 1", "class 2", ... as in TWS.
    is_3d : bool
        A session of TWS 3D: its models say so in their header.
    n_trees : int
        Trees of the FastRandomForest, TWS's default classifier.
    max_features : str or int
        Features tried at a split: "sqrt", "log2" or a number. TWS's own default, 2, is weak for many channels.
    seed : int
        TWS itself draws a new one each time.
    n_threads : int
        0: as in ImageJ's Edit > Options > Memory & Threads.

    Attributes
    ----------
    segmentation : trainableSegmentation.WekaSegmentation
        The Java object, for whatever else TWS can do.
    extractor : FeatureExtractor or None
        What made the features; ``extract_features(other, session.extractor)`` makes those of another image. None for
        features from elsewhere.

    Raises
    ------
    JavaError
        No TWS in the running JVM, or features that do not fit its heap.
    LabelsError, SettingsError, FeatureMismatchError
        Sizes, names or numbers that do not fit one another.

    References
    ----------
    Arganda-Carreras et al. 2017, Bioinformatics 33(15).
    """

    def __init__(
        self,
        image: Image | np.ndarray | Sequence[Image],
        features: Choice | Stacks = "default",
        labels: Labels | np.ndarray | Sequence[Labels | np.ndarray] | None = None,
        *,
        class_names: Sequence[str] | None = None,
        is_3d: bool = False,
        n_trees: Trees = 200,
        max_features: MaxFeatures | int = "sqrt",
        seed: Seed = 0,
        n_threads: Threads = 0,
    ) -> None:
        from fijibridge.jvm import gateway

        check(type(self).__init__, locals())
        self._gateway, self._n_threads, self._held, self._is_3d = gateway(), n_threads, 0, bool(is_3d)
        Segmentation = _tws_class(self._gateway)
        planes, self._is_stack = grey_planes(image)
        if (extractor := extractor_for(features)) is not None:
            first = image if isinstance(image, Image) else image[0]
            if (count := extractor.n_features(len(detectors_of(first)))) is not None:
                self._check_room(count, planes.shape)
            features = extracted_stacks(image, extractor)
        stacks = feature_stacks(features, self._is_stack, planes.shape)
        self._names, self.extractor = stacks[0].names, stacks[0].extractor
        bar_rows = getattr(image if isinstance(image, Image) else image[0], "databar_rows", 0)
        traces = None
        if labels is not None:
            traces = label_planes(labels, planes.shape, self._is_stack, class_names, bar_rows)
        tried = features_tried(max_features, len(self._names))
        from fijibridge.jvm import to_imageplus

        with _quiet_java():
            self.segmentation = Segmentation(self._is_3d)
            self.segmentation.setTrainingImage(to_imageplus(planes if self._is_stack else planes[0], title="training"))
            forest = self._gateway.jclass("hr.irb.fastRandomForest.FastRandomForest")()
            forest.setNumTrees(n_trees)
            forest.setNumFeatures(tried)
            forest.setSeed(seed)
            forest.setNumThreads(n_threads or int(self._gateway.jclass("ij.Prefs").getThreads()))
            self.segmentation.setClassifier(forest)
            self._stacks = self._array_of(stacks)
            self._held = _bytes_of(stacks)
            self.segmentation.setFeatureStackArray(self._stacks)
            if traces is not None:
                self._add_traces(*traces)
        self._trained = False

    def _add_traces(self, planes: np.ndarray, names: Sequence[str]) -> None:
        for _ in range(len(names) - int(self.segmentation.getNumOfClasses())):
            self.segmentation.addClass()
        for k, name in enumerate(names):
            self.segmentation.setClassLabel(k, name)
        Roi = self._gateway.jclass("ij.gui.Roi")
        for z, plane in enumerate(planes):
            for value, left, top, width, height in boxes(plane):
                self.segmentation.addExample(value - 1, Roi(left, top, width, height), z + 1)
        # addExample marks slices whose features TWS would make anew
        self.segmentation.setFeatureStackArray(self._stacks)

    def _array_of(self, stacks: Sequence[FeatureStack]) -> Any:
        """TWS's FeatureStackArray of these features, which are handed over plane by plane."""
        from fijibridge.jvm import features_to_imagestack

        height, width, count = stacks[0].shape
        self._check_room(count, (len(stacks), height, width))
        array = self._empty_array(len(stacks), width, height)
        for z, stack in enumerate(stacks):
            array.get(z).setStack(features_to_imagestack(stack.block(), stack.names))
        array.setReference(0)
        return array

    def _check_room(self, count: int, shape: tuple[int, ...]) -> None:
        """Refuse features of slices (Z, Y, X) that do not fit into Java's heap."""
        slices, height, width = shape
        size, heap = 4 * count * math.prod(shape), self._gateway.heap
        room = _LARGEST_SHARE * heap - self._held
        if size > room:
            raise JavaError(
                f"{count} features of {slices} x {height} x {width} pixels take {size / 2**20:.0f} MiB, Java's "
                f"heap has {heap / 2**20:.0f}, of which the session holds {self._held / 2**20:.0f}",
                expected=f"{100 * _LARGEST_SHARE:.0f} % of the heap at most: {max(0, int(room / (size / count)))} "
                "features, or fewer slices",
                remedy="start with a larger heap (fijibridge.start(fiji=..., heap=...)), or segment slice by slice",
            )

    def _empty_array(self, slices: int, width: int = 1, height: int = 1) -> Any:
        """TWS's FeatureStackArray without features."""
        Stack = self._gateway.jclass("trainableSegmentation.FeatureStack")
        array = self._gateway.jclass("trainableSegmentation.FeatureStackArray")(
            slices, 1.0, 16.0, False, 1, 19, self.segmentation.getEnabledFeatures()
        )
        for z in range(slices):
            # not the constructor that takes the image: it keeps a second float copy of it
            array.set(Stack(width, height, False), z)
        return array

    # --- training and prediction -------------------------------------------------------------------------------------

    def train(self) -> TrainableSegmentation:
        """TWS's "Train classifier" on the traces.

        Returns
        -------
        TrainableSegmentation
            Itself.

        Raises
        ------
        LabelsError
            Fewer than two classes have traces.
        JavaError
            TWS could not train; the message quotes its log.
        """
        used = [k for k in range(int(self.segmentation.getNumOfClasses())) if self._has_traces(k)]
        if len(used) < 2:  # in a window TWS would open a dialog and wait for ever
            raise LabelsError(
                f"{len(used)} class(es) with traces", expected="at least two", remedy="give labels of two classes"
            )
        with _quiet_java() as said:
            done = bool(self.segmentation.trainClassifier())
        if not done:
            raise _failed("TWS did not train", said)
        self._trained = True
        return self

    def _has_traces(self, k: int) -> bool:
        slices = int(self.segmentation.getFeatureStackArray().getSize())
        return any(not self.segmentation.getExamples(k, z + 1).isEmpty() for z in range(slices))

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the label values 1, 2, ..."""
        names = (str(self.segmentation.getClassLabel(k)) for k in range(int(self.segmentation.getNumOfClasses())))
        return tuple(names)

    def predict_proba(self, features: Stacks | None = None) -> np.ndarray:
        """TWS's probability maps.

        Parameters
        ----------
        features : FeatureStack, a list of them, or ndarray (Y, X, F) or (Z, Y, X, F), optional
            Of another image; those of the training image by default.

        Returns
        -------
        ndarray, float32, shape (Y, X, classes) or (Z, Y, X, classes)
        """
        return self._applied(features, probabilities=True)

    def predict(self, features: Stacks | None = None) -> np.ndarray:
        """TWS's result image.

        Parameters
        ----------
        features : FeatureStack, a list of them, or ndarray (Y, X, F) or (Z, Y, X, F), optional
            Of another image; those of the training image by default.

        Returns
        -------
        ndarray, uint8, shape (Y, X) or (Z, Y, X)
            k is ``class_names[k - 1]`` (TWS itself counts from 0).
        """
        return self._applied(features, probabilities=False)

    def _applied(self, features: Any, *, probabilities: bool) -> np.ndarray:
        if not self._trained:
            raise SettingsError(
                "a session that was not trained", expected="a classifier", remedy="call train(), or load(PATH)"
            )
        from fijibridge.jvm import from_imagestack

        is_stack = self._is_stack
        with _quiet_java() as said:
            array = self._stacks
            if features is not None:
                is_stack = not isinstance(features, FeatureStack) and (
                    features.ndim == 4 if isinstance(features, np.ndarray) else True
                )
                array = self._array_of([self._ordered(stack) for stack in feature_stacks(features, is_stack, None)])
            found = self.segmentation.applyClassifier(array, self._n_threads, probabilities)
        if found is None:
            raise _failed("TWS did not apply its classifier", said)
        planes = from_imagestack(found.getStack())
        if not probabilities:
            planes += 1
            return planes if is_stack else planes[0]
        maps = np.moveaxis(planes.reshape(int(array.getSize()), -1, *planes.shape[1:]), 1, -1)
        return np.ascontiguousarray(maps if is_stack else maps[0])

    def _ordered(self, stack: FeatureStack) -> FeatureStack:
        """A stack with the session's features in the session's order, by which TWS matches them."""
        self._check_made_alike(stack.extractor, "given against the session's", _EXTRACT)
        if stack.names == self._names:
            return stack
        if set(stack.names) != set(self._names):
            lacking = sorted(set(self._names) - set(stack.names))
            raise FeatureMismatchError(
                f"{len(stack.names)} features, {len(lacking)} of the classifier's {len(self._names)} missing"
                + (f", such as {lacking[0]}" if lacking else ""),
                expected="the features that the classifier was trained on",
                remedy=_EXTRACT,
            )
        place = [stack.names.index(name) for name in self._names]
        return FeatureStack.from_array(stack.block()[..., place], self._names)

    def _check_made_alike(self, other: FeatureExtractor | None, which: str, remedy: str) -> None:
        """Refuse features of the same names that are others: components or heads that another image taught."""
        from fijibridge.features.extract import other_features

        if self.extractor is not None and other is not None and (differences := self.extractor.differences(other)):
            raise other_features(differences, which, remedy=remedy)

    # --- models ------------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> Path:
        """TWS's "Save classifier": a ``.model`` (or ``.model.gz``) that TWS, Weka and fijibridge load.

        That of a session of TWS 3D is loaded by TWS 3D only, as TWS's own are.

        Raises
        ------
        OutputError
            It cannot be written.
        """
        from fijibridge.forest import write_model

        return write_model(path, self.forest(), is_3d=self._is_3d)

    def load(self, path: str | os.PathLike[str]) -> TrainableSegmentation:
        """TWS's "Load classifier", with the session's features kept.

        Parameters
        ----------
        path : path
            The folder of a saved classifier, whose features the session must have been started with
            (``features=fijibridge.load_segmenter(path).extractor_``); or a ``.model`` whose features the session has,
            in any order. It is looked at first: TWS itself would run whatever a hostile file holds.

        Returns
        -------
        TrainableSegmentation
            Itself, ready to predict.

        Raises
        ------
        ModelFileError
            As for `read_weka_model`; or a folder that is no classifier.
        FeatureMismatchError
            Other features than the session's, by their names or, of a folder, by how they are made.
        """
        from fijibridge.forest import read_weka_model

        path = Path(path)
        if not path.is_dir():
            return self.use(read_weka_model(path))
        from fijibridge.segmentation.classifier_file import read_classifier

        saved = read_classifier(path)
        self._check_made_alike(saved.extractor, f"the classifier {path} against the session", _OWN_FEATURES)
        return self.use(saved.forest)

    def use(self, forest: Classifier) -> TrainableSegmentation:
        """Give the session a forest from anywhere, such as scikit-learn, or one of Weka's as its classifier.

        Parameters
        ----------
        forest : Forest or WekaClassifier
            Its `feature_names` must be the session's, in any order.

        Returns
        -------
        TrainableSegmentation
            Itself, ready to predict.

        Raises
        ------
        FeatureMismatchError
            Other features than the session's.
        SettingsError
            More classes than TWS can hold.
        """
        from fijibridge.forest.classifier import in_java
        from fijibridge.forest.java.model_file import RELATION, RELATION_3D

        if set(forest.feature_names) != set(self._names):
            lacking = [name for name in forest.feature_names if name not in self._names]
            raise FeatureMismatchError(
                f"a classifier trained on {forest.n_features} features, where the session has {len(self._names)}"
                + (f"; it lacks {len(lacking)} of them, such as {lacking[0]}" if lacking else ""),
                expected="a classifier of the session's features",
                remedy=_OWN_FEATURES,
            )
        if forest.n_classes > MOST_CLASSES:
            raise SettingsError(
                f"{forest.n_classes} classes", expected=f"{MOST_CLASSES} at most, as TWS has", remedy="merge some"
            )
        frf, header, names = in_java(forest)
        with _quiet_java():
            header.setRelationName(RELATION_3D if self._is_3d else RELATION)
            self.segmentation.setClassifier(frf)
            # TWS empties the stacks that it holds where the header's features are of other families, or have other
            # sigmas, than it would make itself: it holds empty ones meanwhile
            self.segmentation.setFeatureStackArray(self._empty_array(int(self._stacks.getSize())))
            self._set_header(header)
            for _ in range(forest.n_classes - int(self.segmentation.getNumOfClasses())):
                self.segmentation.addClass()
            self.segmentation.setNumOfClasses(forest.n_classes)
            for k, name in enumerate(forest.class_names):
                self.segmentation.setClassLabel(k, name)
            if names != self._names:
                self._stacks.reorderFeatures(header)
                self._names = names
            self.segmentation.setFeatureStackArray(self._stacks)
        self._trained = True
        return self

    def _set_header(self, header: Any) -> None:
        import jpype

        try:
            self.segmentation.setTrainHeader(header)
        except jpype.JException:  # a name that begins as one of TWS's own and does not go on so, such as Mean_b.c
            names = [str(header.attribute(k).name()) for k in range(header.numAttributes() - 1)]
            for k in range(len(names)):
                header.renameAttribute(k, f"feature_{k}")
            self.segmentation.setTrainHeader(header)  # TWS keeps the object, and looks at the names but once
            for k, name in enumerate(names):
                header.renameAttribute(k, name)

    def forest(self) -> Forest:
        """The session's classifier as a `Forest`, which scikit-learn and fijibridge predict with.

        Raises
        ------
        SettingsError
            It was not trained.
        ModelFileError
            Another classifier than FastRandomForest.
        """
        from fijibridge.forest import forest_from_weka

        if not self._trained:
            raise SettingsError("a session that was not trained", expected="a classifier", remedy="call train() first")
        return forest_from_weka(self.segmentation.getClassifier(), self.segmentation.getTrainHeader())

    def close(self) -> None:
        """Let go of TWS's threads and of the features; the session is of no use afterwards."""
        self.segmentation.shutDownNow()
        self._stacks = None
        self._trained = False

    def __enter__(self) -> TrainableSegmentation:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _bytes_of(stacks: Sequence[FeatureStack]) -> int:
    return sum(4 * stack.shape[0] * stack.shape[1] * stack.shape[2] for stack in stacks)


def _tws_class(gateway: Any) -> Any:
    try:
        return gateway.jclass(_SEGMENTATION)
    except JavaError as error:
        where = f"the Fiji {gateway.fiji}" if gateway.fiji else "the embedded ImageJ"
        raise JavaError(
            f"no Trainable Weka Segmentation in {where}",
            expected="a Fiji with TWS (Plugins > Segmentation > Trainable Weka Segmentation)",
            remedy="call fijibridge.start(fiji=FOLDER) before anything else that uses Java; or update that Fiji",
        ) from error


@contextmanager
def _quiet_java() -> Iterator[list[str]]:
    """Keep what TWS logs off standard output; it is given out as a list of lines, and to the log."""
    import jpype

    System = jpype.JClass("java.lang.System")
    before, caught = System.out, jpype.JClass("java.io.ByteArrayOutputStream")()
    lines: list[str] = []
    System.setOut(jpype.JClass("java.io.PrintStream")(caught, True))
    try:
        yield lines
    finally:
        System.setOut(before)
        for line in str(caught).splitlines():
            lines.append(line)
            log.debug("TWS: %s", line)


def _failed(what: str, said: Sequence[str]) -> JavaError:
    last = "; ".join(line for line in said if line.strip())[-300:]
    return JavaError(
        f"{what} (its log: {last or 'empty'})",
        expected="a run to the end",
        remedy="give Java a larger heap, or fewer features; see the log for the reason",
    )
