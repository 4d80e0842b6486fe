"""PixelSegmenter: features and sparse labels train a forest, the forest segments whole images."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fijibridge.core.options import Seed, Threads
from fijibridge.core.params import check
from fijibridge.features.settings import FeatureChoice
from fijibridge.segmentation.estimator import Estimator, raise_not_trained
from fijibridge.segmentation.feature_checks import check_same, no_features_of_an_image, other_names
from fijibridge.segmentation.forest_training import checked_features_tried, train_forest
from fijibridge.segmentation.options import Balance, Engine, Head, MaxDepth, MaxFeatures, Trees

if TYPE_CHECKING:
    import numpy as np

    from fijibridge.features.extract import FeatureExtractor
    from fijibridge.features.image_statistics import ImageStatistics
    from fijibridge.features.stack import FeatureStack
    from fijibridge.forest import Classifier, Forest, LabelledSamples
    from fijibridge.images.image import Image
    from fijibridge.images.pixel_size import PixelSize
    from fijibridge.labels.labels import Labels
    from fijibridge.segmentation.detector_trust import DetectorTrust
    from fijibridge.segmentation.training_samples import TrainingSamples
    from fijibridge.segmentation.unlikeness import Unlikeness

log = logging.getLogger(__name__)


class _Choices:
    """The settings that are checked against their declarations."""

    engine: Engine
    head: Head
    n_trees: Trees
    max_depth: MaxDepth
    balance: Balance
    seed: Seed
    n_threads: Threads


class PixelSegmenter(Estimator):
    """Segment images pixel by pixel with a random forest, trained on sparse labels (Arganda-Carreras et al. 2017).

    Parameters
    ----------
    features : str, Path, FeatureSettings, SourceSettings, sequence of SourceSettings, or FeatureExtractor
        How images become features: a preset (``"fast"``, ``"default"``, ``"best"``), kinds of sources (``"tws"``),
        their settings, a recipe (``"recipe.toml"``), or the extractor of another segmenter or stack.
    engine : {"sklearn", "weka"}
        Who trains the forest. Either forest predicts the same on both sides.
    head : {"linear", "none"}
        ``"linear"``: a linear head fitted at the labelled pixels turns the ViT's channels into one a class
        (:mod:`fijibridge.features.linear_head.head`), and head and forest also learn from pseudo-labels
        (:mod:`fijibridge.segmentation.pseudo_labels`). ``"none"``: the forest sees all channels and learns from the
        labels alone, as without a ViT or with features from elsewhere.
    n_trees : int
        TWS's own default, 200, takes twice as long and segments the tuning images 0.0004 (mean IoU) better.
    max_features : str or int
        Features tried at a split; sqrt of all (TWS's own default, 2, is weak for hundreds of ViT channels).
    max_depth : int
        0: no limit.
    balance : bool
        Draw as many samples of each class, as TWS's "Balance classes" does (:mod:`fijibridge.forest.balance`). The
        out-of-bag figures are then those of a draw with copies, and flatter the more.
    seed : int
        The same seed gives the same forest on the same versions.
    n_threads : int
        For features, training and prediction; 0: all cores.
    class_colors : sequence, optional
        One (r, g, b) or ``"#rrggbb"`` a class.

    Attributes
    ----------
    forest_ : Forest, or another :class:`fijibridge.forest.Classifier` of a ``.model``
    extractor_ : FeatureExtractor or None
        With what it learned, the linear head included; None where the features came from elsewhere.
    class_names_ : tuple of str
    class_colors_ : ndarray of uint8, shape (classes, 3)
    oob_accuracy_ : float or None
        Out-of-bag accuracy at the labelled pixels of a forest trained on them alone. Neighbouring pixels of a stroke
        are alike, so it flatters. With ``head="linear"`` that forest has at most 30 trees and 3,000 of the pixels.
    oob_confusion_ : ndarray of int64, shape (classes, classes), or None
        The same forest's labelled pixels by true class (rows) and out-of-bag class (columns).
    held_out_accuracy_ : float or None
        With ``head="linear"``: mean over the classes of the share of pixels that are found in strokes that were held
        out, by what head and forest learn from; None where a class has one stroke. Less flattering than out-of-bag.
    feature_importances_ : ndarray of float64, shape (features of the forest,)
        Mean decrease of Gini impurity, summing to 1, whoever trained the forest; names: ``forest_.feature_names``.
    head_importances_ : dict or None
        With ``head="linear"``, after :meth:`fit`: see
        :func:`fijibridge.features.linear_head.importance.head_importances`.
    detector_trust_ : DetectorTrust or None
        After :meth:`fit` on several detectors, see :mod:`fijibridge.segmentation.detector_trust`.
    pixel_size_ : PixelSize or None
        Of the first training image.
    grey_range_ : (float, float) or None
        Darkest and brightest grey of that image; None where features alone were given.
    statistics_ : ImageStatistics or None
        Of the training images together, for slices of their stack; None where the features came from elsewhere, or
        the classifier was saved before they were kept.
    unlikeness_ : Unlikeness or None
        What tells pixels that resemble none of the labels; None without a linear head, and of older classifiers.

    Raises
    ------
    SettingsError
        A setting outside its range.
    """

    forest_: Classifier
    extractor_: FeatureExtractor | None = None
    oob_accuracy_: float | None = None
    oob_confusion_: np.ndarray | None = None
    held_out_accuracy_: float | None = None
    head_importances_: dict[str, np.ndarray] | None = None
    detector_trust_: DetectorTrust | None = None
    pixel_size_: PixelSize | None = None
    grey_range_: tuple[float, float] | None = None
    statistics_: ImageStatistics | None = None
    unlikeness_: Unlikeness | None = None

    def __init__(
        self,
        features: FeatureChoice | FeatureExtractor = "default",
        *,
        engine: Engine = "sklearn",
        head: Head = "linear",
        n_trees: Trees = 100,
        max_features: MaxFeatures | int = "sqrt",
        max_depth: MaxDepth = 0,
        balance: Balance = False,
        seed: Seed = 0,
        n_threads: Threads = 0,
        class_colors: Sequence[Any] | None = None,
    ) -> None:
        from fijibridge.features.extract import FeatureExtractor

        check(_Choices, locals())
        checked_features_tried(max_features)
        if not isinstance(features, FeatureExtractor):
            FeatureExtractor(features)  # which refuses what it does not know
        self.features = features
        self.engine = engine
        self.head = head
        self.n_trees = n_trees
        self.max_features = max_features
        self.max_depth = max_depth
        self.balance = balance
        self.seed = seed
        self.n_threads = n_threads
        self.class_colors = class_colors

    @property
    def _extractor(self) -> FeatureExtractor:
        """Fitted on the first image that it sees; the trained one shares its sources."""
        from fijibridge.features.extract import FeatureExtractor

        if isinstance(self.features, FeatureExtractor):
            return self.features
        asked, extractor = self.__dict__.get("_made", (None, None))
        if asked is not self.features:
            extractor = FeatureExtractor(self.features)
            self._made = (self.features, extractor)
        return extractor

    def __repr__(self) -> str:
        from fijibridge.forest.classifier import in_few_words

        state = f"{in_few_words(self.forest_)}, {self.class_names_}" if hasattr(self, "forest_") else "not trained"
        return f"PixelSegmenter(engine={self.engine!r}, {state})"

    # --- features ----------------------------------------------------------------------------------------------------

    def extract(
        self,
        image: Image | np.ndarray,
        statistics: ImageStatistics | None = None,
        tokens: Mapping[str, np.ndarray] | None = None,
    ) -> FeatureStack:
        """The image's features by this segmenter's extractor; the encoder is loaded once.

        Principal components (``channels`` of the ViT's settings) of the first image seen serve all others. Once
        trained with ``head="linear"``, the ViT's channels are replaced by those of the linear head.

        Parameters
        ----------
        image : Image, or ndarray (Y, X) or (Y, X, 3)
        statistics : ImageStatistics, optional
            Of :func:`fijibridge.segmentation.statistics.statistics_for`, by which features are scaled; else its own.
        tokens : mapping of str to ndarray, optional
            See :meth:`fijibridge.features.extract.FeatureExtractor.transform`.

        Returns
        -------
        FeatureStack
            (Y, X, F), without the data bar; may be given to :meth:`fit` and :meth:`predict` instead of the image.

        Raises
        ------
        FeatureMismatchError
            An image by other detectors than the training's; statistics of other features.
        """
        return self._extract(image, self.extractor_ or self._extractor, statistics, tokens)

    def _extract(self, image: Image | np.ndarray, extractor: FeatureExtractor, *known: Any) -> FeatureStack:
        from fijibridge.core.threads import limited_threads

        with limited_threads(self.n_threads):
            return extractor.transform(image, *known)

    def _stack(self, image: Image | np.ndarray | FeatureStack, statistics: ImageStatistics | None) -> FeatureStack:
        from fijibridge.features.stack import FeatureStack

        return image if isinstance(image, FeatureStack) else self.extract(image, statistics)

    # --- training ----------------------------------------------------------------------------------------------------

    def fit(
        self,
        images: Image | np.ndarray | FeatureStack | Sequence[Any],
        labels: Labels | np.ndarray | Sequence[Any],
        *,
        statistics: ImageStatistics | None = None,
        samples: LabelledSamples | None = None,
    ) -> PixelSegmenter:
        """Train the forest at the labelled pixels.

        Parameters
        ----------
        images : Image, ndarray (Y, X) or (Y, X, 3), FeatureStack, or a list of them
            An empty list where `samples` alone train.
        labels : Labels, integer ndarray (Y, X) with 0 = unlabelled, or a list of them
            One for each image, of its size; lists of class names must agree. Each may lack classes that another has.
        statistics : ImageStatistics, optional
            Of the stack that the images are slices of, see
            :func:`fijibridge.segmentation.statistics.stack_statistics`; each image's own otherwise.
        samples : LabelledSamples, optional
            Labelled pixels without images, of :func:`fijibridge.forest.read_arff`, with this segmenter's features:
            they train, too, with ``head="none"``.

        Returns
        -------
        PixelSegmenter
            Itself.

        Raises
        ------
        LabelsError
            Another size or number than the images, fewer than two classes with labels, class names that differ.
        FeatureMismatchError
            FeatureStacks made in different ways.
        SettingsError
            Samples for a linear head.
        """
        return self.fit_gathered(self.gather(images, labels, statistics=statistics, samples=samples), statistics)

    def gather(
        self, images: Any, labels: Any, *, statistics: ImageStatistics | None = None,
        samples: LabelledSamples | None = None, all_pixels: bool = False,
    ) -> TrainingSamples:  # fmt: skip
        """The first half of :meth:`fit`, with its parameters and errors: the samples, made image by image.

        Parameters
        ----------
        images, labels, statistics, samples
            As of :meth:`fit`.
        all_pixels : bool
            All labelled pixels for a linear head, too; otherwise about 30,000 are drawn where there are more.
        """
        from fijibridge.segmentation.training_samples import MOST_GATHERED, gathered

        images = list(images) if isinstance(images, (list, tuple)) else [images]
        labels = list(labels) if isinstance(labels, (list, tuple)) else [labels]
        base = (self.extractor_ or self._extractor).without_head()
        if images and base.fitted and not base.detectors_ and len(getattr(images[0], "others", ())):
            base = copy(base).fit(images[0])  # trained anew, with the detectors that joined
        return gathered(
            images, labels, extract=lambda image, base: self._extract(image, base, statistics), base=base,
            samples=samples, linear_head=self.head == "linear", statistics=statistics is None,
            most=0 if all_pixels else MOST_GATHERED, seed=self.seed,
        )  # fmt: skip

    def fit_gathered(self, found: TrainingSamples, statistics: ImageStatistics | None = None) -> PixelSegmenter:
        """The second half of :meth:`fit`: train on samples that :meth:`gather` made.

        Parameters
        ----------
        found : TrainingSamples
        statistics : ImageStatistics, optional
            As of :meth:`fit`.

        Returns
        -------
        PixelSegmenter
            Itself.
        """
        import numpy as np

        from fijibridge.features.image_statistics import pooled
        from fijibridge.features.stack import FeatureStack
        from fijibridge.images.image import grey_range
        from fijibridge.images.palette import class_colors_or_default

        names, extractor, first = found.class_names, found.extractor, found.first
        self.head_importances_ = self.detector_trust_ = self.unlikeness_ = self.held_out_accuracy_ = None
        if found.stacks and extractor is not None:
            from fijibridge.segmentation.pseudo_labels import train_with_pseudo_labels
            from fijibridge.segmentation.unlikeness import fit_unlikeness

            trained = train_with_pseudo_labels(
                found.stacks, found.X, found.y, found.strokes, names, self._judged_forest, self._trained_forest,
                seed=self.seed, n_threads=self.n_threads,
            )  # fmt: skip
            self.forest_, self.detector_trust_ = trained.forest, trained.trust
            self.head_importances_ = trained.importances
            self.held_out_accuracy_ = None if np.isnan(trained.held_out_accuracy) else trained.held_out_accuracy
            extractor = extractor.with_head(trained.head)
            self.unlikeness_ = fit_unlikeness(found.stacks, found.X, found.y, found.strokes, self.seed)
        else:
            self.forest_ = self._judged_forest(np.concatenate(found.X), found.y, found.feature_names, names)
        self.class_colors_ = class_colors_or_default(names, self.class_colors)
        self.extractor_ = extractor
        self.pixel_size_ = getattr(first, "pixel_size", None)
        self.grey_range_ = None if first is None or isinstance(first, FeatureStack) else grey_range(first)
        self.statistics_ = pooled(found.statistics, extractor.sources) if found.statistics and extractor else statistics
        log.info("%s: %s, out-of-bag accuracy %s", self.engine, self.forest_, self.oob_accuracy_)
        return self

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
        return train_forest(
            self.engine, X, y, class_names, balance=self.balance, max_features=self.max_features, seed=self.seed,
            n_trees=min(self.n_trees, most_trees or self.n_trees), max_depth=self.max_depth,
            n_threads=self.n_threads or None, feature_names=feature_names, out_of_bag=out_of_bag,
        )  # fmt: skip

    @property
    def feature_importances_(self) -> np.ndarray:
        """See the class."""
        return self._trained().feature_importances()

    @property
    def class_names_(self) -> tuple[str, ...]:
        """Names of the label values 1, 2, ... of :meth:`predict`."""
        return self._trained().class_names

    @property
    def detectors_(self) -> tuple[str, tuple[str, ...]]:
        """The first detector of the training, and the further ones."""
        extractor = self.extractor_ or self._extractor
        return extractor.detector, extractor.detectors_

    # --- prediction --------------------------------------------------------------------------------------------------

    def _trained(self) -> Classifier:
        if not hasattr(self, "forest_"):
            raise_not_trained("segmenter")
        return self.forest_

    def predict_proba(
        self,
        image: Image | np.ndarray | FeatureStack,
        rows: slice = slice(None),
        cols: slice = slice(None),
        *,
        statistics: ImageStatistics | None = None,
    ) -> np.ndarray:
        """Class probabilities of every pixel.

        Parameters
        ----------
        image : Image, ndarray (Y, X) or (Y, X, 3), or FeatureStack
        rows, cols : slice
            A field of it, with step 1: the same probabilities as there in the whole, in less time.
        statistics : ImageStatistics, optional
            See :meth:`extract`; a FeatureStack has been made with some already.

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
        from fijibridge.features.stack import FeatureStack
        from fijibridge.segmentation.prediction import predicted

        forest = self._trained()
        if self.extractor_ is None and not isinstance(image, FeatureStack):
            raise no_features_of_an_image(forest.feature_names)
        stack = self._stack(image, statistics)
        if self.extractor_ is not None:
            stack = self.extractor_.with_linear_head(stack)
        check_same(self.extractor_, stack.extractor, "classifier against features")
        if stack.names != forest.feature_names:
            raise other_names(forest.feature_names, stack.names)
        height = getattr(image, "databar_rows", 0) + stack.shape[0]
        return predicted(forest, stack, rows, cols, height=height, n_threads=self.n_threads)

    def predict(
        self, image: Image | np.ndarray | FeatureStack, *, statistics: ImageStatistics | None = None
    ) -> np.ndarray:
        """The most probable class of every pixel.

        Parameters
        ----------
        image, statistics
            As of :meth:`predict_proba`.

        Returns
        -------
        ndarray, uint8, shape (Y, X)
            k is ``class_names_[k - 1]``; 0 in the data bar. Of two equally probable classes the first.
        """
        from fijibridge.segmentation.prediction import labels_of

        return labels_of(self.predict_proba(image, statistics=statistics))

    def unlikeness(
        self,
        image: Image | np.ndarray | FeatureStack,
        rows: slice = slice(None),
        cols: slice = slice(None),
        *,
        statistics: ImageStatistics | None = None,
    ) -> np.ndarray | None:
        """How little every pixel resembles any of the labels; parameters as of :meth:`predict_proba`.

        Parameters
        ----------
        image, rows, cols, statistics

        Returns
        -------
        ndarray, float32, shape (Y, X), or None
            0 to 1, see :meth:`fijibridge.segmentation.unlikeness.Unlikeness.of`, of the rows without a data bar; None
            without :attr:`unlikeness_`.
        """
        return None if self.unlikeness_ is None else self.unlikeness_.of(self._stack(image, statistics), rows, cols)

    # --- saving ------------------------------------------------------------------------------------------------------

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Save as a folder that :func:`fijibridge.load_segmenter` loads and whose ``classifier.model`` TWS loads.

        Parameters
        ----------
        path : path
            The folder.
        overwrite : bool
            Whether an older classifier there may be replaced.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        OutputError
            The place exists or cannot be written.
        """
        from fijibridge.segmentation.classifier_file import SavedClassifier, write_classifier

        saved = SavedClassifier(
            forest=self._trained(),
            extractor=self.extractor_,
            engine=self.engine,
            class_colors=self.class_colors_,
            pixel_size=self.pixel_size_,
            grey_range=self.grey_range_,
            statistics=self.statistics_,
            unlikeness=self.unlikeness_,
            oob_accuracy=self.oob_accuracy_,
            oob_confusion=self.oob_confusion_,
            held_out_accuracy=self.held_out_accuracy_,
        )
        return write_classifier(saved, path, overwrite=overwrite)
