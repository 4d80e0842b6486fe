"""Images and their labels, as the training operations take them: one or several, of which each may be a stack."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fijibridge.core.errors import ImageNotFoundError, LabelsError, SettingsError
from fijibridge.core.names import listed
from fijibridge.images.joined import count_joined, frames_among, joined_slices
from fijibridge.images.place import image_name, zarr_root

if TYPE_CHECKING:
    from fijibridge.features.extract import FeatureExtractor
    from fijibridge.images.around import Surroundings
    from fijibridge.images.image import Image
    from fijibridge.labels.labels import Labels

log = logging.getLogger(__name__)

_HOW = "--labels with one file for each image in the same order, or with a folder of files that are named as the images"


def labels_of_images(images: Sequence[Path], labels: Sequence[Path]) -> list[Path]:
    """The file with the labels of each image.

    Parameters
    ----------
    images : sequence of Path
    labels : sequence of Path
        One for each image in order, or a folder with a file for each, named as it but for the ending.

    Raises
    ------
    ImageNotFoundError
        A file that is not there.
    LabelsError
        Another number of files, or several for one image.
    """
    if len(labels) == 1 and labels[0].is_dir() and zarr_root(labels[0]) is None:
        found = [_named(labels[0], image) for image in images]
    else:
        found = list(labels)
    if len(found) != len(images):
        text = f"{len(images)} image{'s' * (len(images) != 1)} and {len(found)} file{'s' * (len(found) != 1)} of labels"
        raise LabelsError(text, expected="labels for each image", remedy=f"give {_HOW}")
    return found


def _named(folder: Path, image: Path) -> Path:
    name = image_name(image)
    found = sorted(
        path for path in folder.iterdir() if path.stem == name and path.is_file() and not path.name.startswith(".")
    )
    if not found:
        raise ImageNotFoundError(
            f"no labels of {image.name} in {folder}",
            expected=f"a file {name}.zip, {name}.roi, {name}.tif or {name}.png there",
            remedy="save its labels there, or leave the image out",
        )
    if len(found) > 1:
        raise LabelsError(
            f"{folder} has {len(found)} files for {image.name}: {listed(path.name for path in found)}",
            expected="one file of labels for an image",
            remedy="move the others away",
        )
    return found[0]


def names_in_sets(paths: Sequence[Path]) -> list[str] | None:
    """Names of the classes in several ROI sets together, in the order in which they come; None where values are known.

    Parameters
    ----------
    paths : sequence of Path
        Files of labels, of which each may lack classes that others have.

    Raises
    ------
    LabelsError
        ROIs without a class.
    """
    from fijibridge.labels.roi_sets import classes_of_rois, read_rois

    names: dict[str, str] = {}
    for path in paths:
        if path.suffix.lower() not in (".zip", ".roi"):
            return None
        rois = read_rois(path)
        if any(roi.group > 0 for roi in rois):
            return None
        for name in classes_of_rois(rois, None, str(path))[2]:
            names.setdefault(name.casefold(), name)
    return list(names.values())


def read_labelled(
    paths: Mapping[str, Path],
    labels: Path,
    features: FeatureExtractor,
    *,
    class_names: Sequence[str] | None,
    align: bool,
    databar: str | int,
    page: int,
    of_several: bool = False,
) -> tuple[dict[int, Image], dict[int, Labels]]:
    """An image, or the labelled slices of a stack, with the labels on the field without the data bar.

    Parameters
    ----------
    paths : mapping
        Detector -> file.
    labels : Path
        As the option of that name.
    features : FeatureExtractor
        What will make features of the images: they may need the slices around them.
    class_names : sequence of str, optional
        Names of the classes; otherwise those in the file.
    align, databar, page
        The options.
    of_several : bool
        Whether other images' labels train, too, so that classes may be missing here.

    Returns
    -------
    images : dict of int to Image
        By slice, from 0.
    labels : dict of int to Labels

    Raises
    ------
    ImageNotFoundError, ImageError, LabelsError, SettingsError
        What cannot be read, or does not belong together.
    """
    from fijibridge.labels.reading import read_labels
    from fijibridge.labels.stack_labels import read_stack_labels
    from fijibridge.operations.stack_segmentation import check_dimensions, first_slice
    from fijibridge.segmentation.slices.reading import in_its_stack

    count = count_joined(paths, page=page)
    how = {"align": align, "databar": databar, "page": page}
    if count == 1:
        images = dict(_read(paths, [0], **how))
        drawn = {0: read_labels(labels, shape=images[0].shape, class_names=class_names, of_several=of_several)}
    else:
        file = next(iter(paths.values()))
        frames = frames_among(file, range(1, count + 1), page=page)
        plane = first_slice(file, range(1, count + 1), databar=databar, page=page)
        shape = (count, *plane.shape)
        drawn = read_stack_labels(labels, shape=shape, frames=frames, class_names=class_names, of_several=of_several)
        images = dict(_read(paths, list(drawn), **how))
    if features.looks_along_z:
        check_dimensions(features, count, next(iter(paths.values())))
        known: dict[int, Surroundings] = {}
        colour = features.needs_colour
        images = {
            index: in_its_stack(one, index + 1, paths, page=page, align=align, colour=colour, known=known)
            for index, one in images.items()
        }
    return images, {index: _in_the_field(one, images[index]) for index, one in drawn.items()}


def check_images_given(images: Sequence[Path], labels: Sequence[Path], data: Path | None) -> None:
    """See that images come with labels, and that there is something to train on.

    Parameters
    ----------
    images, labels : sequence of Path
    data : Path or None

    Raises
    ------
    SettingsError
        Nothing to train on.
    LabelsError
        Images without labels, or labels without images.
    """
    if not (images or labels or data):
        raise SettingsError(
            "no images and no data", expected="images with labels, or data of TWS (.arff)",
            remedy="name images and give --labels, or give --data",
        )  # fmt: skip
    if images and not labels:
        raise LabelsError(f"{len(images)} image(s) and no labels", expected="labels for each image",
                          remedy=f"give {_HOW}; to train on data alone, name no image")  # fmt: skip
    if labels and not images:
        raise LabelsError(f"labels {listed(path.name for path in labels)} and no image",
                          expected="the images that were labelled", remedy="name them before --labels")  # fmt: skip


def _read(paths: Mapping[str, Path], indices: Sequence[int], **how: Any) -> Iterator[tuple[int, Image]]:
    """Slices, from 0, one at a time."""
    return zip(indices, joined_slices(paths, pages=indices, **how), strict=True)


def _in_the_field(strokes: Labels, image: Image) -> Labels:
    """The labels without the rows of the data bar, which have no features."""
    if not image.databar_rows:
        return strokes
    if strokes.data[image.field.stop :].any():
        log.warning("labels in the data bar are not used")
    return replace(strokes, data=strokes.data[image.field])
