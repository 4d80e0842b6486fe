"""An image by several detectors: which channels a recipe needs, and how their features are named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fijibridge.errors import FeatureMismatchError

if TYPE_CHECKING:
    from fijibridge.features.recipe import FeatureRecipe
    from fijibridge.images import Image


def detectors_of(image: Any) -> tuple[str, ...]:
    """An image's detectors, the first one's name empty where it was not told; an array has one."""
    return (getattr(image, "detector", ""), *(channel.name for channel in getattr(image, "others", ())))


def check_same_detectors(recipe: FeatureRecipe, given: Sequence[str]) -> None:
    """See that an image has a recipe's detectors, in any order.

    Parameters
    ----------
    recipe : FeatureRecipe
    given : sequence of str
        Of :func:`detectors_of`. A single image serves a recipe of one detector whatever its name.

    Raises
    ------
    FeatureMismatchError
        One is missing, or there are others.
    """
    if not recipe.detectors and len(given) == 1:
        return
    wanted = [recipe.detector, *recipe.detectors]
    found = [name or recipe.detector for name in given]
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


def recipe_for(recipe: FeatureRecipe, image: Image) -> FeatureRecipe:
    """The recipe with the image's detectors: they are the image's own where it names none yet.

    Raises
    ------
    FeatureMismatchError
        It names others, see :func:`check_same_detectors`.
    """
    if image.others and not recipe.detectors and not recipe.readout:
        first, *others = detectors_of(image)
        return replace(recipe, detector=first or recipe.detector, detectors=tuple(others))
    check_same_detectors(recipe, detectors_of(image))
    return recipe


def channels_of(image: Image, recipe: FeatureRecipe) -> list[tuple[str, Image]]:
    """Each detector's own image, in the recipe's order, with the name that its features carry: none for the first."""
    if not recipe.detectors:
        return [("", image)]
    images = {name or recipe.detector: own for name, own in image.by_detector.items()}
    return [("", images[recipe.detector]), *((name, images[name]) for name in recipe.detectors)]


def feature_names(detector: str, names: Sequence[str]) -> tuple[str, ...]:
    """Names of a detector's features: ``det_SE_Gaussian_blur_1_0``, ``vit_SE_b06_c000``; the first one's as they are.

    No dots, and no beginning of TWS's own: TWS parses such names with sigmas.
    """
    if not detector:
        return tuple(names)
    own = detector.replace("-", "_")
    return tuple(
        f"vit_{own}_{name[4:]}" if name.startswith("vit_") else f"det_{own}_{name.replace('.', '_')}" for name in names
    )
