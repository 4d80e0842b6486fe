"""PixelSegmenter: features and sparse labels train a forest, the forest segments whole images."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fijibridge.errors import FeatureMismatchError, LabelsError, SettingsError
from fijibridge.features.presets import preset_recipe
from fijibridge.features.recipe import FeatureRecipe
from fijibridge.params import Param, check

if TYPE_CHECKING:
    import numpy as np

    from fijibridge.features import FeatureStack
    from fijibridge.forest import Forest
    from fijibridge.images import Image, PixelSize
    from fijibridge.labels import Labels

log = logging.getLogger(__name__)

Engine = Annotated[
    Literal["sklearn", "weka"], Param("who trains the forest: scikit-learn, or Weka's FastRandomForest as in TWS")
]
Reader = Annotated[
    Literal["linear", "forest"],
    Param(
        "who reads the ViT's channels; linear: a linear model, whose class probabilities the forest sees, and both "
        "learn from further pixels, which label propagation finds; forest: the forest itself, on the labels alone"
    ),
]
Trees = Annotated[int, Param("number of trees", low=1, high=10_000)]
MaxFeatures = Annotated[str, Param("features tried at a split: sqrt, log2, or a number")]
MaxDepth = Annotated[int, Param("greatest depth of a tree; 0: no limit", low=0, high=10_000)]
Seed = Annotated[int, Param("random seed", low=0, high=2**31 - 1)]
Threads = Annotated[int, Param("threads; 0: all cores", low=0, high=1024)]


class PixelSegmenter:
    """Segment images pixel by pixel with a random forest, trained on sparse labels (Arganda-Carreras et al. 2017).

    Parameters
    ----------
    engine : {"sklearn", "weka"}
        Who trains the forest. Either forest predicts the same on both sides.
    recipe : FeatureRecipe, optional
        How images become features; the preset "default" of :mod:`fijibridge.features.presets`, or ``FeatureRecipe()``
        with ``reader="forest"``.
    reader : {"linear", "forest"}
        ``"linear"``: a linear model fitted at the labelled pixels turns the ViT's channels into one a class
        (:mod:`fijibridge.features.readout`), and both also learn from unlabelled pixels of the images
        (:mod:`.self_training`). ``"forest"``: the forest sees all channels and learns from the labels alone, as without
        a ViT or with features from elsewhere.
    n_trees : int
        TWS's default, 200.
    max_features : str or int
        Features tried at a split; sqrt of all (TWS's own default, 2, is weak for hundreds of ViT channels).
    max_depth : int
        0: no limit.
    seed : int
        The same seed gives the same forest on the same versions.
    n_threads : int
        For training and prediction; 0: all cores.
    checkpoint : path, optional
        Weights' file of the encoder.
    class_colors : sequence, optional
        One (r, g, b) or ``"#rrggbb"`` a class.

    Attributes
    ----------
    forest_ : Forest
    recipe_ : FeatureRecipe or None
        With the weights' SHA-256 and the basis of principal components; None where the features came from elsewhere.
    class_names_ : tuple of str
    class_colors_ : ndarray of uint8, shape (classes, 3)
    oob_accuracy_ : float or None
        Out-of-bag accuracy at the labelled pixels of a forest trained on them alone. Neighbouring pixels of a stroke
        are alike, so it flatters. With ``reader="linear"`` that forest has at most 30 trees and 3,000 of the pixels.
    oob_confusion_ : ndarray of int64, shape (classes, classes), or None
        The same forest's labelled pixels by true class (rows) and class found out of bag (columns).
    feature_importances_ : ndarray of float64, shape (features of the forest,)
        Mean decrease of Gini impurity, summing to 1, whoever trained the forest; names: ``forest_.feature_names``.
    readout_importances_ : dict or None
        With ``reader="linear"``, after :meth:`fit`: see :func:`fijibridge.segmentation.importance.readout_importances`.
    pixel_size_ : PixelSize or None
        Of the first training image.

    Raises
    ------
    SettingsError
        A setting outside its range.
    """

    def __init__(
        self,
        *,
        engine: Engine = "sklearn",
        recipe: FeatureRecipe | None = None,
        reader: Reader = "linear",
        n_trees: Trees = 200,
        max_features: MaxFeatures | int = "sqrt",
        max_depth: MaxDepth = 0,
        seed: Seed = 0,
        n_threads: Threads = 0,
        checkpoint: str | Path | None = None,
        class_colors: Sequence[Any] | None = None,
    ) -> None:
        check(type(self).__init__, locals())
        if isinstance(max_features, str) and max_features.isdigit():
            max_features = int(max_features)
        if max_features not in ("sqrt", "log2") and not (isinstance(max_features, int) and max_features > 0):
            raise SettingsError(
                f"max_features = {max_features!r}", expected="sqrt, log2 or a positive number", remedy="use sqrt"
            )
        self.engine = engine
        self.reader = reader
        self.recipe = recipe or (preset_recipe("default") if reader == "linear" else FeatureRecipe())
        self.n_trees = n_trees
        self.max_features = max_features
        self.max_depth = max_depth
        self.seed = seed
        self.n_threads = n_threads
        self.checkpoint = checkpoint
        self.class_colors = class_colors
        self.recipe_: FeatureRecipe | None = None
        self.oob_accuracy_: float | None = None
        self.oob_confusion_: np.ndarray | None = None
        self.readout_importances_: dict[str, np.ndarray] | None = None
        self.pixel_size_: PixelSize | None = None
        self._first_recipe: FeatureRecipe | None = None

    def __repr__(self) -> str:
        state = f"{self.forest_.n_trees} trees, {self.class_names_}" if hasattr(self, "forest_") else "not trained"
        return f"PixelSegmenter(engine={self.engine!r}, {state})"

    # --- features ----------------------------------------------------------------------------------------------------

    def features(self, image: Image | np.ndarray) -> FeatureStack:
        """The image's features by this segmenter's recipe; the encoder is loaded once.

        Where the recipe keeps principal components (``channels``), those of the first image seen serve all others. Once
        trained with ``reader="linear"``, the ViT's channels are those of the linear model.

        Returns
        -------
        FeatureStack
            (Y, X, F), without the data bar; may be given to :meth:`fit` and :meth:`predict` instead of the image.

        Raises
        ------
        FeatureMismatchError
            An image by other detectors than the training's.
        """
        if self.recipe_ is not None:
            from fijibridge.features.detectors import check_same_detectors, detectors_of

            check_same_detectors(self.recipe_, detectors_of(image))
        return self._features(image, self.recipe_ or self._first_recipe or self.recipe)

    def _features(self, image: Image | np.ndarray, recipe: FeatureRecipe) -> FeatureStack:
        from fijibridge.features import extract_features

        if recipe.has_vit and self.n_threads:
            import torch

            torch.set_num_threads(self.n_threads)
        stack = extract_features(image, recipe, checkpoint=self.checkpoint)
        if recipe.network:
            from fijibridge.images import Image, image_from_array
            from fijibridge.network.features import with_network

            stack = with_network(stack, image if isinstance(image, Image) else image_from_array(image), stack.recipe)
            if recipe.readout:
                from fijibridge.features.readout import read_out

                stack = read_out(stack, stack.recipe)
        if self.recipe_ is None:
            self._first_recipe = stack.recipe
        return stack

    def _stack(self, image: Image | np.ndarray | FeatureStack) -> FeatureStack:
        from fijibridge.features import FeatureStack

        return image if isinstance(image, FeatureStack) else self.features(image)

    # --- training ----------------------------------------------------------------------------------------------------

    def fit(
        self,
        images: Image | np.ndarray | FeatureStack | Sequence[Any],
        labels: Labels | np.ndarray | Sequence[Any],
    ) -> PixelSegmenter:
        """Train the forest at the labelled pixels.

        Parameters
        ----------
        images : Image, ndarray (Y, X) or (Y, X, 3), FeatureStack, or a list of them
        labels : Labels, integer ndarray (Y, X) with 0 = unlabelled, or a list of them
            One for each image, of its size. All lists of class names must agree; arrays have none.

        Returns
        -------
        PixelSegmenter
            Itself.

        Raises
        ------
        LabelsError
            Another size or number than the images, fewer than two classes with labelled pixels, class names that
            differ from image to image.
        FeatureMismatchError
            FeatureStacks made in different ways.
        """
        import numpy as np
        from skimage.measure import label

        from fijibridge.features import FeatureStack
        from fijibridge.features.readout import group_of
        from fijibridge.image_output import class_colors_or_default

        images = list(images) if isinstance(images, (list, tuple)) else [images]
        labels = list(labels) if isinstance(labels, (list, tuple)) else [labels]
        if len(images) != len(labels) or not images:
            raise LabelsError(
                f"{len(images)} images and {len(labels)} label images",
                expected="one label image for each image",
                remedy="give both lists in the same order",
            )
        unread = replace(self.recipe_ or self._first_recipe or self.recipe, readout="", readout_classes=())
        stacks, samples, classes, strokes, n_strokes, recipe, names = [], [], [], [], 0, None, ()
        for image, drawn in zip(images, labels, strict=True):
            stack = image if isinstance(image, FeatureStack) else self._features(image, unread)
            data, found = _label_data(drawn, stack, image)
            names = _joined_names(names, found)
            mask = data > 0
            stacks.append(stack)
            samples.append(stack.at(mask))
            classes.append(data[mask].astype(np.int64) - 1)
            numbers, count = label(data, connectivity=2, return_num=True)
            strokes.append(numbers[mask] + n_strokes)
            n_strokes += count
            if recipe is None:
                recipe, feature_names = stack.recipe, stack.names
                unread = recipe or unread  # principal components of the first image serve all
            else:
                _check_same_recipe(recipe, stack.recipe, "first image against another")
                if feature_names != stack.names:
                    raise _other_features(feature_names, stack.names)
        y = np.concatenate(classes)
        _check_classes(recipe, names)
        if self.reader == "linear" and recipe is not None and any(map(group_of, feature_names)):
            recipe = self._read(stacks, samples, y, np.concatenate(strokes), names, recipe)
        else:
            self.forest_ = self._judged_forest(np.concatenate(samples), y, feature_names, names)
            self.readout_importances_ = None
        self.class_colors_ = class_colors_or_default(names, self.class_colors)
        self.recipe_ = recipe
        self.pixel_size_ = getattr(images[0], "pixel_size", None)
        log.info("%s: %s, out-of-bag accuracy %s", self.engine, self.forest_, self.oob_accuracy_)
        return self

    def _read(
        self, stacks: Sequence[FeatureStack], X: Sequence[np.ndarray], y: np.ndarray, strokes: np.ndarray,
        names: Sequence[str], recipe: FeatureRecipe,
    ) -> FeatureRecipe:  # fmt: skip
        """Fit the linear model, and a forest of its channels, trained on further pixels as well."""
        from fijibridge.segmentation.self_training import learn

        learnt = learn(
            stacks, X, y, strokes, names, self._judged_forest, self._trained_forest, seed=self.seed,
            n_threads=self.n_threads,
        )  # fmt: skip
        self.forest_, self.readout_importances_ = learnt.forest, learnt.importances
        return replace(recipe, readout=learnt.model.to_text(), readout_classes=tuple(names))

    def _judged_forest(self, *training: Any, **options: Any) -> Forest:
        """A forest trained on the labels alone, whose out-of-bag votes are kept."""
        import numpy as np

        forest, self.oob_accuracy_ = self._trained_forest(*training, **options)
        matrix = forest.settings.get("oob_confusion")
        self.oob_confusion_ = None if matrix is None else np.array(matrix, np.int64)
        return forest

    def _trained_forest(
        self, X: np.ndarray, y: np.ndarray, feature_names: Sequence[str], class_names: Sequence[str],
        most_trees: int = 0, out_of_bag: bool = True,
    ) -> tuple[Forest, float | None]:  # fmt: skip
        from fijibridge.forest import train_sklearn, train_weka

        return {"sklearn": train_sklearn, "weka": train_weka}[self.engine](
            X,
            y,
            n_trees=min(self.n_trees, most_trees or self.n_trees),
            max_features=self.max_features,
            max_depth=self.max_depth,
            seed=self.seed,
            n_threads=self.n_threads or None,
            feature_names=feature_names,
            class_names=class_names,
            out_of_bag=out_of_bag,
        )

    @property
    def feature_importances_(self) -> np.ndarray:
        return self._trained().feature_importances()

    @property
    def class_names_(self) -> tuple[str, ...]:
        """Names of the label values 1, 2, ... of :meth:`predict`."""
        return self._trained().class_names

    # --- prediction --------------------------------------------------------------------------------------------------

    def _trained(self) -> Forest:
        if not hasattr(self, "forest_"):
            raise SettingsError(
                "a segmenter that was not trained", expected="a trained one", remedy="call fit, or load_segmenter"
            )
        return self.forest_

    def predict_proba(
        self, image: Image | np.ndarray | FeatureStack, rows: slice = slice(None), cols: slice = slice(None)
    ) -> np.ndarray:
        """Class probabilities of every pixel.

        Parameters
        ----------
        image : Image, ndarray (Y, X) or (Y, X, 3), or FeatureStack
        rows, cols : slice
            A field of it, with step 1: the same probabilities as there in the whole, in less time.

        Returns
        -------
        ndarray, float32, shape (Y, X, classes)
            They sum to 1; 0 for all classes in the data bar of an Image.

        Raises
        ------
        FeatureMismatchError
            A FeatureStack made another way than the training's, with the difference spelled out; an image where the
            training's features came from elsewhere.
        """
        import numpy as np

        from fijibridge.features import FeatureStack
        from fijibridge.features.stack import plain_slice
        from fijibridge.progress import bar

        forest = self._trained()
        if self.recipe_ is None and not isinstance(image, FeatureStack):
            raise FeatureMismatchError(
                "an image for a classifier whose features came from elsewhere",
                expected=f"its features: {few(forest.feature_names)}",
                remedy="make them as for the training and give FeatureStack.from_array(features, names)",
            )
        stack = self._read_out(self._stack(image))
        self._check_same_features(stack)
        rows_in_all = getattr(image, "databar_rows", 0) + stack.shape[0]
        wanted = plain_slice(rows, rows_in_all), plain_slice(cols, stack.shape[1])
        top, left = (span.start for span in wanted)
        result = np.zeros((*(span.stop - span.start for span in wanted), forest.n_classes), np.float32)
        blocks = [block for block in stack.blocks() if all(map(_overlap, block, wanted))]
        with bar("segmenting", len(blocks)) as steps:
            for block in blocks:
                down, across = map(_overlap, block, wanted)
                found = stack.block(down, across)
                flat = forest.predict_proba(found.reshape(-1, stack.shape[2]), n_threads=self.n_threads or None)
                place = slice(down.start - top, down.stop - top), slice(across.start - left, across.stop - left)
                result[place] = flat.reshape(*found.shape[:2], -1)
                steps.update()
        return result

    def predict(self, image: Image | np.ndarray | FeatureStack) -> np.ndarray:
        """The most probable class of every pixel.

        Returns
        -------
        ndarray, uint8, shape (Y, X)
            k is ``class_names_[k - 1]``; 0 in the data bar. Of two equally probable classes the first.
        """
        return labels_of(self.predict_proba(image))

    def _read_out(self, stack: FeatureStack) -> FeatureStack:
        """The stack with the channels of the classifier's linear model, where it has them not yet."""
        own = self.recipe_
        if own is None or not own.readout or stack.recipe is None or stack.recipe.readout:
            return stack
        from fijibridge.features.readout import read_out

        _check_same_recipe(replace(own, readout="", readout_classes=()), stack.recipe, "classifier against features")
        return read_out(stack, own)

    def _check_same_features(self, stack: FeatureStack) -> None:
        _check_same_recipe(self.recipe_, stack.recipe, "classifier against features")
        if stack.names != self._trained().feature_names:
            raise _other_features(self._trained().feature_names, stack.names)

    # --- saving ------------------------------------------------------------------------------------------------------

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Save as a folder that :func:`fijibridge.load_segmenter` loads and whose ``classifier.model`` TWS loads.

        See :func:`fijibridge.segmentation.bundle.save_segmenter`.
        """
        from fijibridge.segmentation.bundle import save_segmenter

        return save_segmenter(self, path, overwrite=overwrite)


def _overlap(one: slice, other: slice) -> slice | None:
    """What two spans have in common; None where that is nothing."""
    start, stop = max(one.start, other.start), min(one.stop, other.stop)
    return slice(start, stop) if start < stop else None


def labels_of(probabilities: np.ndarray) -> np.ndarray:
    """Label image of probabilities (Y, X, classes): 1 + the most probable class, uint8; 0 where all are 0."""
    labels = probabilities.argmax(axis=2).astype("uint8")
    labels += 1
    labels[probabilities.max(axis=2) == 0] = 0
    return labels


def _label_data(label: Labels | np.ndarray, stack: FeatureStack, image: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    """Label values on the stack's rows, and the class names."""
    from fijibridge.labels import Labels, labels_from_array

    bar_rows = getattr(image, "databar_rows", 0)
    if not isinstance(label, Labels):
        label = labels_from_array(label)
    height, width = stack.shape[:2]
    if label.data.shape not in ((height + bar_rows, width), (height, width)):
        raise LabelsError(
            f"labels of {label.data.shape} for an image of {(height + bar_rows, width)}",
            expected="labels of the image's own size (height, width)",
            remedy="label the image itself, neither cropped nor scaled",
        )
    if label.data[height:].any():
        log.warning("labels in the data bar are not used")
    return label.data[:height], label.class_names


def _joined_names(names: Sequence[str], found: Sequence[str]) -> tuple[str, ...]:
    """Class names of two label images together; "class k", which arrays get, gives way to any name."""
    joined = []
    for k, (own, other) in enumerate(zip_longest(names, found), start=1):
        plain = f"class {k}"
        if own != other and not {own, other} & {None, plain}:
            raise LabelsError(
                f"class {k} is {own!r} in one label image and {other!r} in another",
                expected="the same class names in the same order",
                remedy="give all label images the same list of class names",
            )
        joined.append(own if other is None or own not in (None, plain) else other)
    return tuple(joined)


def _check_same_recipe(own: FeatureRecipe | None, other: FeatureRecipe | None, which: str) -> None:
    if own is not None and other is not None and (differences := own.differences(other)):
        raise FeatureMismatchError(
            f"features made another way: {'; '.join(differences)} ({which})",
            expected="features by the classifier's own recipe",
            remedy="pass the image itself, or use extract_features(image, segmenter.recipe_)",
        )


def _check_classes(recipe: FeatureRecipe | None, names: Sequence[str]) -> None:
    """Refuse channels of a linear model of other classes."""
    if recipe is not None and recipe.readout and recipe.readout_classes != tuple(names):
        raise FeatureMismatchError(
            f"features with a linear model of {few(recipe.readout_classes)}, and labels of {few(names)}",
            expected="labels of the model's own classes",
            remedy="make the features without a classifier's recipe, or label those classes",
        )


def _other_features(own: Sequence[str], found: Sequence[str]) -> FeatureMismatchError:
    missing = [name for name in own if name not in set(found)]
    extra = [name for name in found if name not in set(own)]
    parts = [f"{len(found)} features where the classifier has {len(own)}"] if len(found) != len(own) else []
    parts += [f"missing: {few(missing)}"] if missing else []
    parts += [f"not the classifier's: {few(extra)}"] if extra else []
    return FeatureMismatchError(
        "; ".join(parts) or "the same features in another order",
        expected=f"the classifier's features: {few(own)}",
        remedy="make the features by the classifier's own recipe, or train anew",
    )


def few(names: Sequence[str]) -> str:
    """The first names of a list, for a message."""
    return ", ".join(names[:4]) + (f", ... ({len(names)})" if len(names) > 4 else "")
