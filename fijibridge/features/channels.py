"""An image by several detectors: which of them features are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from fijibridge.core.errors import FeatureMismatchError

if TYPE_CHECKING:
    from fijibridge.images.image import Image


def detectors_of(image: Any) -> tuple[str, ...]:
    """An image's detectors, the first one's name empty where it is not known; an array has one."""
    return (getattr(image, "detector", ""), *(channel.name for channel in getattr(image, "others", ())))


def check_same_detectors(detector: str, others: Sequence[str], given: Sequence[str]) -> None:
    """See that an image has the detectors of the training, in any order.

    Parameters
    ----------
    detector : str
        The training's first detector.
    others : sequence of str
        The training's further detectors.
    given : sequence of str
        Of :func:`detectors_of`. A single image serves a training with one detector whatever its name.

    Raises
    ------
    FeatureMismatchError
        One is missing, or there are others.
    """
    if not others and len(given) == 1:
        return
    wanted = [detector, *others]
    found = [name or detector for name in given]
    missing = [name for name in wanted if name not in found]
    extra = [name for name in found if name not in wanted]
    if missing:
        raise FeatureMismatchError(
            f"an image by {', '.join(found)}: {', '.join(missing)} is missing",
            expected=f"an image by {', '.join(wanted)}, as in the training",
            remedy=f"add it: --detectors {missing[0]}=FILE, or join_detectors in Python; or train without it",
        )
    if extra:
        raise FeatureMismatchError(
            f"an image by {', '.join(found)}, of which the classifier does not know {', '.join(extra)}",
            expected=f"an image by {', '.join(wanted)}, as in the training",
            remedy="leave the others out, or train with them",
        )


class DetectorImage(NamedTuple):
    """A field of view as one detector saw it.

    Parameters
    ----------
    detector : str
    label : str
        The detector's name as features carry it in theirs; empty for the first.
    image : Image
        Data bar included; ``image.field`` are the rows without.
    """

    detector: str
    label: str
    image: Image


def channels_of(image: Image, detector: str, others: Sequence[str]) -> list[DetectorImage]:
    """Each detector's own image, in the training's order.

    Parameters
    ----------
    image : Image
    detector : str
    others : sequence of str
    """
    if not others:
        return [DetectorImage(detector, "", image)]
    images = {name or detector: own for name, own in image.by_detector.items()}
    first = DetectorImage(detector, "", images[detector])
    return [first, *(DetectorImage(name, name, images[name]) for name in others)]
