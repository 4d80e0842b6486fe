"""A trained network's class probabilities as features of the forest."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.errors import FeatureMismatchError
from fijibridge.features import FeatureStack
from fijibridge.features.detectors import channels_of
from fijibridge.features.stack import ArrayPart
from fijibridge.network.file import WEIGHTS

if TYPE_CHECKING:
    from fijibridge.features import FeatureRecipe
    from fijibridge.images import Image
    from fijibridge.network.network import Network


def with_network(stack: FeatureStack, image: Image, recipe: FeatureRecipe) -> FeatureStack:
    """A stack with the probabilities of its recipe's network as further channels.

    Parameters
    ----------
    stack : FeatureStack
        The image's other features.
    image : Image
        Taken by the recipe's detectors; the network sees those that it knows.
    recipe : FeatureRecipe
        With a network, and the stack's detectors.

    Returns
    -------
    FeatureStack
        Channels ``net_ISE``, ... follow; its recipe carries the digest of the network's weights.

    Raises
    ------
    ImageNotFoundError, ModelFileError
        No network there, or a damaged one.
    FeatureMismatchError
        Another network than the recipe's.
    ImageError
        A detector that the network does not know.
    """
    weights = Path(recipe.network) / WEIGHTS
    network, digest = _loaded(recipe.network, weights.stat().st_mtime_ns if weights.is_file() else 0)
    if recipe.network_sha256 and recipe.network_sha256 != digest:
        raise FeatureMismatchError(
            f"the network {recipe.network} with SHA-256 {digest}",
            expected=f"SHA-256 {recipe.network_sha256}, the classifier's own",
            remedy="put the network back that the classifier was trained with, or train the classifier anew",
        )
    seen = {name or recipe.detector: own.grey[own.field] for name, own in channels_of(image, recipe)}
    others = [name for name in recipe.detectors if name not in network.detectors]
    found = network.predict({name: grey for name, grey in seen.items() if name not in others})
    names = tuple(f"net_{re.sub('[^A-Za-z0-9]', '_', name)}" for name in network.class_names)
    part = ArrayPart(np.ascontiguousarray(np.moveaxis(found, 0, -1)), names)
    return FeatureStack(stack.shape[:2], [*stack.parts, part], replace(stack.recipe, network_sha256=digest))


@lru_cache(maxsize=2)
def _loaded(folder: str, changed: int) -> tuple[Network, str]:
    """The network of a folder, and its digest; loaded again when the file has changed."""
    from fijibridge.network.file import load_network
    from fijibridge.weights import state_digest

    network = load_network(folder)
    return network, state_digest(network.state)
