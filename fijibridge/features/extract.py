"""FeatureExtractor: sources side by side, and the linear head over them; the features of an image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fijibridge.core.errors import FeatureMismatchError, SettingsError
from fijibridge.core.records import made
from fijibridge.features.channels import channels_of, check_same_detectors, detectors_of
from fijibridge.features.linear_head.head import LinearHead
from fijibridge.features.provenance import Provenance
from fijibridge.features.settings import FeatureChoice, FeatureSettings, feature_settings
from fijibridge.features.source import NO_STATISTICS, SOURCES, FeatureSource
from fijibridge.features.stack import FeatureStack

if TYPE_CHECKING:
    import numpy as np

    from fijibridge.features.channels import DetectorImage
    from fijibridge.features.image_statistics import ImageStatistics
    from fijibridge.features.source import ImageFeatures
    from fijibridge.images.image import Image


class FeatureExtractor:
    """Makes the features of images: what the sources make, side by side, and the linear head's channels of them.

    Parameters
    ----------
    features : str, Path, FeatureSettings, SourceSettings or sequence of SourceSettings
        See :func:`fijibridge.features.settings.feature_settings`.

    Attributes
    ----------
    settings : FeatureSettings
        What was chosen.
    sources : tuple of FeatureSource
        With what they learned from the first image (principal components) and their weights' provenance.
    detectors_ : tuple of str
        Further detectors of the first image.
    head_ : LinearHead or None
        Fitted by a segmenter.
    fitted : bool

    Raises
    ------
    SettingsError
        An unknown source.
    """

    def __init__(self, features: FeatureChoice = "default") -> None:
        self.settings = feature_settings(features)
        self.sources: tuple[FeatureSource[Any], ...] = tuple(SOURCES[one.kind](one) for one in self.settings.sources)
        self.detectors_: tuple[str, ...] = ()
        self.head_: LinearHead | None = None
        self.fitted = False

    def __repr__(self) -> str:
        kinds = ",".join(source.kind for source in self.sources)
        return f"FeatureExtractor({kinds!r}{', linear head' if self.head_ else ''})"

    @property
    def needs_stack(self) -> bool:
        """Whether a single image cannot serve: some features are of volumes."""
        return any(source.needs_stack for source in self.sources)

    @property
    def looks_along_z(self) -> bool:
        """Whether features of a slice depend on the slices around it, by ``Image.around``."""
        return any(source.looks_along_z for source in self.sources)

    @property
    def needs_colour(self) -> bool:
        """Whether the slices around a slice are needed in colour."""
        return any(source.needs_colour for source in self.sources)

    @property
    def detector(self) -> str:
        """The first detector."""
        return self.settings.detector

    def fit(self, image: Image | np.ndarray) -> FeatureExtractor:
        """Learn from an image what is to be learned: its detectors, principal components.

        Parameters
        ----------
        image : Image or ndarray
            (Y, X) or (Y, X, 3), 8-, 16- or 32-bit.

        Returns
        -------
        FeatureExtractor
            Itself.

        Raises
        ------
        ImageError
            NaN, or an array that is no image.
        SettingsError, WeightsError
            See :class:`fijibridge.features.vit.encoder.ViTEncoder`.
        """
        image = _image(image)
        if image.others and not self.detectors_:
            first, *others = detectors_of(image)
            self.settings = replace(self.settings, detector=first or self.detector)
            self.detectors_ = tuple(others)
        check_same_detectors(self.detector, self.detectors_, detectors_of(image))
        seen = channels_of(image, self.detector, self.detectors_)
        for source in self.sources:
            source.fit(seen)
        self.fitted = True
        return self

    def transform(
        self,
        image: Image | np.ndarray,
        statistics: ImageStatistics | None = None,
        tokens: Mapping[str, np.ndarray] | None = None,
    ) -> FeatureStack:
        """The features of an image; the first image seen is fitted on.

        Parameters
        ----------
        image : Image or ndarray
            (Y, X) or (Y, X, 3), 8-, 16- or 32-bit. The data bar is left out.
        statistics : ImageStatistics, optional
            Of the stack that the image is a slice of, or of the training, see :meth:`statistics`; the image's own
            otherwise.
        tokens : mapping of str to ndarray, optional
            In place of those that the ViT would make of the image, see :meth:`tokens` and
            :mod:`fijibridge.features.vit.along_z`.

        Returns
        -------
        FeatureStack
            (Y, X, F) float32.

        Raises
        ------
        ImageError
            NaN, or an array that is no image.
        FeatureMismatchError
            The image lacks a detector, or has others; statistics of other features.
        """
        stack = self._made(_image(image), self._of_sources(statistics, tokens))
        if statistics is not None:
            statistics.check_fits(stack.names)
            stack.statistics = statistics
        return self.with_linear_head(stack) if self.head_ else stack

    def tokens(self, image: Image | np.ndarray, statistics: ImageStatistics | None = None) -> dict[str, np.ndarray]:
        """The ViT's tokens of an image, which are what costs; empty without a ViT.

        Parameters
        ----------
        image, statistics
            As of :meth:`transform`, which takes tokens back.

        Returns
        -------
        dict
            Name of detector and scale -> float32 (gy, gx, C).
        """
        seen, known = self._seen(_image(image)), self._of_sources(statistics, None)
        return {
            f"{source.kind}.{name}": array
            for source in self.sources
            for name, array in source.tokens(seen, known[source.kind]).items()
        }

    def _of_sources(
        self, statistics: ImageStatistics | None, tokens: Mapping[str, np.ndarray] | None
    ) -> dict[str, dict[str, np.ndarray]]:
        """Statistics and tokens by kind of source."""
        found = {}
        for kind in (source.kind for source in self.sources):
            found[kind] = {} if statistics is None else statistics.of_source(kind)
            start = f"{kind}."
            found[kind] |= {n.removeprefix(start): own for n, own in (tokens or {}).items() if n.startswith(start)}
        return found

    def _made(self, image: Image, of_sources: Mapping[str, Mapping[str, np.ndarray]]) -> FeatureStack:
        """The features of an image without a linear head, with statistics by kind of source."""
        seen = self._seen(image)
        parts: list[ImageFeatures] = []
        for source in self.sources:
            parts += source.transform_with(seen, of_sources.get(source.kind, NO_STATISTICS))
        stack = FeatureStack((image.field.stop, image.shape[1]), parts, self.without_head())
        stack.image = image
        return stack

    def _seen(self, image: Image) -> list[DetectorImage]:
        """Each detector's own image; the first image seen is fitted on."""
        if not self.fitted:
            self.fit(image)
        check_same_detectors(self.detector, self.detectors_, detectors_of(image))
        return channels_of(image, self.detector, self.detectors_)

    def statistics(self, images: Iterable[Image | np.ndarray]) -> ImageStatistics:
        """Statistics of several images together, as of slices of one stack: for :meth:`transform`.

        Limits of the greys come first; then features are made with these. Mean and spread are those of features
        without the positional pattern of each image's own tiles, while the pooled one is what is subtracted later.

        Parameters
        ----------
        images : iterable of Image or ndarray
            Gone through twice, so no generator: a list, or a sequence that reads them when asked.

        Raises
        ------
        SettingsError
            No images.
        ImageError, FeatureMismatchError
            See :meth:`transform`.
        """
        from fijibridge.features.image_statistics import pooled, statistics_of

        limits: dict[str, list[Mapping[str, np.ndarray]]] = {source.kind: [] for source in self.sources}
        for image in images:
            seen = self._seen(_image(image))
            for source in self.sources:
                limits[source.kind].append(source.limits(seen))
        given = {own.kind: own.pooled(limits[own.kind]) for own in self.sources if limits[own.kind]}
        parts = []
        for image in map(_image, images):
            stack, detectors = self._made(image, given), (self.detector, *self.detectors_)
            parts.append(statistics_of(stack, image, detectors, moments=any(stack.groups)))
        found = pooled(parts, self.sources)
        of_sources = {f"{kind}.{name}": array for kind, own in given.items() for name, array in own.items()}
        return replace(found, of_sources={**found.of_sources, **of_sources})

    def n_features(self, detectors: int = 1) -> int | None:
        """How many features an image has, where that is known before they are made.

        Parameters
        ----------
        detectors : int
            How many detectors saw it.
        """
        if self.head_:
            return len(self.head_.model.low) + len(self.head_.class_names)
        counts = [source.n_features(detectors) for source in self.sources]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None

    def with_linear_head(self, stack: FeatureStack) -> FeatureStack:
        """A stack of these sources' features with the linear head's channels, where it has them not yet.

        Raises
        ------
        FeatureMismatchError
            Features of another extractor.
        """
        made_by = stack.extractor
        if self.head_ is None or made_by is None or made_by.head_ is not None:
            return stack
        if differences := self.without_head().differences(made_by):
            raise other_features(differences, "classifier against features")
        found = FeatureStack(stack.shape[:2], self.head_.transform(stack), self)
        found.read = stack
        return found

    def without_head(self) -> FeatureExtractor:
        """The same sources without the linear head."""
        return self.with_head(None)

    def with_head(self, head: LinearHead | None) -> FeatureExtractor:
        """The same sources, which are shared, with another linear head."""
        if head is self.head_:
            return self
        found = object.__new__(type(self))
        found.__dict__.update(vars(self), head_=head)
        return found

    def with_weights(self, path: str) -> FeatureExtractor:
        """The same extractor with a file of the encoder's weights; they must have the known SHA-256."""
        found = object.__new__(type(self))
        found.__dict__.update(vars(self), sources=tuple(source.with_weights(path) for source in self.sources))
        return found

    def differences(self, other: FeatureExtractor, *, as_request: bool = False) -> list[str]:
        """What makes another extractor's features differ from this one's, in words; empty if nothing does.

        Parameters
        ----------
        other : FeatureExtractor
        as_request : bool
            What one of the two does not know yet makes no difference.
        """
        mine, theirs = ([source.kind for source in one.sources] for one in (self, other))
        if mine != theirs:
            return [f"features: {','.join(mine)} against {','.join(theirs)}"]
        found = []
        for one, its in zip(self.sources, other.sources, strict=True):
            found += one.differences(its, as_request=as_request)
        if self.detectors_ != other.detectors_ and not (as_request and not (self.detectors_ and other.detectors_)):
            found.append(f"detectors: {self.detectors_ or 'one'} against {other.detectors_ or 'one'}")
        matters = (self.detectors_ and other.detectors_) or any(source.needs_detector for source in self.sources)
        if matters and self.detector != other.detector:
            found.append(f"detector: {self.detector!r} against {other.detector!r}")
        head, another = (one.head_.digest if one.head_ else "" for one in (self, other))
        if head != another and not (as_request and not (head and another)):
            found.append(f"linear head: {head[:12] or 'none'} against {another[:12] or 'none'}")
        return found

    # --- saving ------------------------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Choices and provenance in plain JSON types; what was learned is in :meth:`arrays`."""
        return {
            "detector": self.detector,
            "detectors": list(self.detectors_),
            "sources": [source.to_json() for source in self.sources],
            "head": self.head_.to_json() if self.head_ else None,
        }

    def to_brief(self) -> dict[str, Any]:
        """:meth:`to_json` for a report, with a digest of each learned array."""
        found = self.to_json()
        for one, source in zip(found["sources"], self.sources, strict=True):
            one["learned"] = {name: digest[:12] for name, digest in source.digests().items()}
        if self.head_:
            found["head"]["sha256"] = self.head_.digest
        return found

    def arrays(self) -> dict[str, np.ndarray]:
        """What was learned, by ``source.name`` and ``head.name``."""
        found = {f"{own.kind}.{name}": array for own in self.sources for name, array in own.arrays().items()}
        if self.head_:
            found |= {f"head.{name}": array for name, array in self.head_.arrays().items()}
        return found

    @classmethod
    def restored(
        cls, data: Mapping[str, Any], arrays: Mapping[str, np.ndarray], folder: Path | None = None
    ) -> FeatureExtractor:
        """The extractor that :meth:`to_json` and :meth:`arrays` describe.

        Parameters
        ----------
        data : mapping
        arrays : mapping
        folder : Path, optional
            Where :meth:`fijibridge.features.source.FeatureSource.save_files` wrote to.

        Raises
        ------
        SettingsError
            What this version does not know, or arrays that do not fit.
        KeyError, TypeError, ValueError
            No such data.
        """
        from fijibridge.images.detectors import check_names

        settings = FeatureSettings.from_json(
            {"detector": data["detector"], "sources": [one["settings"] for one in data["sources"]]}
        )
        found = cls(settings)
        left = dict(arrays)

        def own(prefix: str) -> dict[str, np.ndarray]:
            names = [name for name in left if name.startswith(f"{prefix}.")]
            return {name[len(prefix) + 1 :]: left.pop(name) for name in names}

        sources = []
        for source, about in zip(found.sources, data["sources"], strict=True):
            source.set_arrays(own(source.kind))
            source.provenance = made(Provenance, about["provenance"], "provenance", error=SettingsError)
            sources.append(source.with_files(folder) if folder else source)
        found.sources = tuple(sources)
        found.detectors_ = tuple(map(str, data["detectors"]))
        check_names((found.detector, *found.detectors_))
        if data["head"] is not None:
            found.head_ = LinearHead.restored(data["head"], own("head"))
        if left:
            raise SettingsError(
                f"arrays {', '.join(sorted(left))}",
                expected="those of the sources and the linear head",
                remedy="restore the classifier's folder, or train it anew",
            )
        found.fitted = True
        return found

    def save_files(self, folder: Path) -> list[str]:
        """Write what is neither settings nor arrays beside the arrays.

        Parameters
        ----------
        folder : Path
            Of a saved classifier, or of features.

        Returns
        -------
        list of str
            Names of the files and folders.
        """
        return [name for source in self.sources for name in source.save_files(folder)]


def other_features(differences: Sequence[str], which: str, *, remedy: str = "") -> FeatureMismatchError:
    """The error for features that were made in another way.

    Parameters
    ----------
    differences : sequence of str
        Of :meth:`FeatureExtractor.differences`.
    which : str
        What was compared with what.
    remedy : str
        What to do about it, where passing the image itself is none.
    """
    return FeatureMismatchError(
        f"features made with other settings: {'; '.join(differences)} ({which})",
        expected="features made as the classifier's own",
        remedy=remedy or "pass the image itself, or use extract_features(image, segmenter.extractor_)",
    )


def _image(image: Image | np.ndarray) -> Image:
    from fijibridge.images.image import Image, image_from_array

    return image if isinstance(image, Image) else image_from_array(image)


def extract_features(
    image: Image | np.ndarray,
    features: FeatureChoice | FeatureExtractor = "default",
) -> FeatureStack:
    """Features of an image: TWS's filters, then upsampled ViT tokens (Docherty et al. 2025, arXiv 2508.21529).

    Where principal components are kept (``channels`` of the ViT's settings), they are those of this image. Give the
    extractor of the first stack for further images (``extract_features(other, stack.extractor)``), so that all have the
    same.

    Of an image by several detectors (:func:`fijibridge.images.detectors.join_detectors`) each goes through filters and
    ViT, scaled by its own percentiles. One basis serves all detectors.

    Parameters
    ----------
    image : Image or ndarray
        (Y, X) or (Y, X, 3), 8-, 16- or 32-bit. The data bar is left out.
    features : str, FeatureSettings, SourceSettings, sequence of SourceSettings, or FeatureExtractor
        A preset, kinds of sources (``"tws"``), their settings, or the extractor of another stack.

    Returns
    -------
    FeatureStack
        (Y, X, F) float32; its ``extractor`` knows weights' SHA-256 and principal components.

    Raises
    ------
    ImageError
        NaN, or an array that is no image.
    FeatureMismatchError
        The image lacks a detector that the extractor was fitted on.
    SettingsError, WeightsError
        See :class:`fijibridge.features.vit.encoder.ViTEncoder`.
    """
    extractor = features if isinstance(features, FeatureExtractor) else FeatureExtractor(features)
    return extractor.transform(image)
