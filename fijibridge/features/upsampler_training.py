"""How the learned upsampler learns: from what a ViT says of an image to what it says of it on a grid twice as dense.

Of a crop of an image the ViT's tokens are made twice: on the patch grid, and on a grid twice as dense, either of the
image enlarged twice as much or ``strided``. The network's guide brings the first to pixels (:mod:`.joint`), and there
they are compared with the second, bilinearly interpolated. Tokens count by the first principal components of the dense
grid, as much as these vary. An enlarged image's tokens are not those of the image, so that the linear map is taken that
brings the coarse ones, bilinearly interpolated, nearest to them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np

from fijibridge.errors import ImageError
from fijibridge.features.learned import new_network, padded
from fijibridge.features.recipe import Encoder, FeatureRecipe
from fijibridge.params import Param, check
from fijibridge.progress import bar

if TYPE_CHECKING:
    from fijibridge.images import Image

log = logging.getLogger(__name__)

Crops = Annotated[int, Param("pieces of the images that it learns from", low=2, high=100_000)]
Crop = Annotated[int, Param("side of a piece", low=64, high=1024, unit="px")]
Steps = Annotated[int, Param("steps of training, one piece each", low=1, high=10_000_000)]
Target = Annotated[
    Literal["enlarged", "strided"],
    Param("dense grid that it learns from: of the image enlarged twice as much, or moved by half a patch"),
]
Rate = Annotated[float, Param("learning rate", low=1e-6, high=1)]
Seed = Annotated[int, Param("random seed", low=0, high=2**31 - 1)]

ENLARGEMENTS = (2.0, 1.0)  # of the pieces in turn: the two scales of the presets
_COMPONENTS = 32
_VALIDATION = 8  # every so many pieces one is kept to tell how good the network is
_CHECKS = 20
_DULL = 1e-3  # spread of grey values, of 0 to 1, below which a piece shows nothing


@dataclass(frozen=True)
class UpsamplerSettings:
    """How an upsampler is trained.

    Parameters
    ----------
    encoder : str
        timm's name of the ViT whose tokens are brought to pixels.
    block : int
        Of its blocks, the first being 1.
    target : {"enlarged", "strided"}
        Whose tokens are to be met.
    crops, crop : int
        Number of pieces and their side in pixels; the ViT sees them in turn at the `ENLARGEMENTS`.
    steps : int
    rate : float
        The first learning rate; it falls to 0 as half a cosine.
    seed : int

    Raises
    ------
    SettingsError
        A value outside its range.
    """

    encoder: Encoder = FeatureRecipe.encoder
    block: Annotated[int, Param("transformer block whose tokens it learns from", low=1, high=1000)] = 6
    target: Target = "enlarged"
    crops: Crops = 64
    crop: Crop = 160
    steps: Steps = 1500
    rate: Rate = 0.003
    seed: Seed = 0

    def __post_init__(self) -> None:
        check(type(self), vars(self))


class Pair(NamedTuple):
    """A piece of an image as tensors: what the network sees, tokens on the patch grid and on one twice as dense."""

    pixels: Any  # (1, 1, Y + 34, X + 34)
    coarse: Any  # (K, gy, gx)
    fine: Any  # (K, 2 gy, 2 gx)


class Losses(NamedTuple):
    """Squared error, as a share of the tokens' variance, on the pieces kept for that."""

    learned: float
    bilinear: float


def pieces(images: Sequence[Image], settings: UpsamplerSettings) -> Iterator[Image]:
    """Crops drawn from the images in turn; a smaller image as a whole. Pieces that show nothing are left out.

    Raises
    ------
    ImageError
        No image that shows anything.
    """
    from fijibridge.images import image_from_array, scale_percentiles

    rng = np.random.default_rng(settings.seed)
    found = 0
    for tried, image in enumerate(cycle(images)):
        if found == settings.crops:
            return
        if tried >= 10 * (settings.crops + len(images)) and not found:
            break
        grey = image.grey[image.field]
        starts = [int(rng.integers(max(1, length - settings.crop + 1))) for length in grey.shape]
        part = grey[tuple(slice(start, start + settings.crop) for start in starts)]
        if min(part.shape) >= 32 and scale_percentiles(part).std() > _DULL:
            found += 1
            yield image_from_array(np.ascontiguousarray(part))
    raise ImageError(
        f"{len(images)} images, none of which shows anything",
        expected="images of 32 x 32 px at least, not of one grey value",
        remedy="give other images",
    )


def make_pair(image: Image, recipe: FeatureRecipe, target: Target, checkpoint: str | Path | None = None) -> Pair:
    """A piece's tensors, the tokens by the recipe."""
    import torch

    from fijibridge.features.vit import ViTEncoder

    dense = {"enlarged": {"enlargement": 2 * recipe.enlargement}, "strided": {"upsampler": "strided"}}[target]
    coarse, fine = (ViTEncoder(own, checkpoint=checkpoint).tokens(image) for own in (recipe, replace(recipe, **dense)))
    flat = fine.reshape(-1, fine.shape[2]).astype(np.float64)
    mean = flat.mean(0)
    _, _, axes = np.linalg.svd(flat - mean, full_matrices=False)
    values = [(tokens - mean) @ axes[:_COMPONENTS].T for tokens in (coarse, fine)]
    spread = values[1].std() or 1.0
    small, large = (torch.from_numpy(np.moveaxis(value / spread, -1, 0).astype(np.float32)) for value in values)
    if target == "enlarged":
        near = _means(_interpolated(small, image.grey.shape), large.shape[-2:]).flatten(1)
        near, small = (torch.cat([part, torch.ones(1, *part.shape[1:])]) for part in (near, small))
        mapped = torch.linalg.solve(near @ near.T + torch.eye(len(near)), near @ large.flatten(1).T)
        small = torch.tensordot(mapped.T, small, dims=1)
    return Pair(padded(image.grey, recipe.percentiles), small, large)


def joint(guide: Any, coarse: Any) -> Any:
    """What :class:`fijibridge.features.joint.Joint` does, as torch can differentiate it.

    Parameters
    ----------
    guide : tensor, shape (D, Y, X)
    coarse : tensor, shape (K, gy, gx)

    Returns
    -------
    tensor, shape (K, Y, X)
    """
    import torch

    grid = coarse.shape[-2:]
    cells = torch.nn.functional.adaptive_avg_pool2d(guide[None], grid)[0]
    sides = []
    for length, count in zip(guide.shape[-2:], grid, strict=True):
        place = (torch.arange(length) + 0.5) * (count / length) - 0.5
        middle = torch.floor(place + 0.5)
        part = place - middle
        near = torch.stack([(0.5 - part) ** 2 / 2, 0.75 - part**2, (0.5 + part) ** 2 / 2])
        index = (middle.long()[None] + torch.arange(-1, 2)[:, None]).clamp(0, count - 1)
        sides.append((index, near))
    (rows, near_y), (cols, near_x) = sides
    logits, values = [], []
    for i in range(9):
        row, col = rows[i // 3][:, None], cols[i % 3][None]
        distance = ((guide - cells[:, row, col]) ** 2).sum(0)
        logits.append(torch.log(near_y[i // 3][:, None] * near_x[i % 3][None] + 1e-12) - distance / 2)
        values.append(coarse[:, row, col])
    weights = torch.softmax(torch.stack(logits), dim=0)
    return sum(weight * value for weight, value in zip(weights, values, strict=True))


def _interpolated(coarse: Any, shape: tuple[int, int]) -> Any:
    import torch

    return torch.nn.functional.interpolate(coarse[None], size=shape, mode="bilinear")[0]


def _means(pixels: Any, grid: tuple[int, int]) -> Any:
    import torch

    return torch.nn.functional.adaptive_avg_pool2d(pixels[None], grid)[0]


def _error(found: Any, fine: Any) -> Any:
    """Mean squared error at the pixels, to the dense grid bilinearly interpolated, without the outermost eighth.

    At the pixels, not at the means over cells: these would forgive what flickers from pixel to pixel.
    """
    edge = [max(1, length // 8) for length in found.shape[-2:]]
    error = (found - _interpolated(fine, found.shape[-2:])) ** 2
    return error[:, edge[0] : -edge[0], edge[1] : -edge[1]].mean()


def train_upsampler(
    images: Sequence[Image], settings: UpsamplerSettings | None = None, *, checkpoint: str | Path | None = None
) -> tuple[bytes, Losses, list[dict[str, float]]]:
    """Train the network of :mod:`.learned` on images.

    Parameters
    ----------
    images : sequence of Image
        Of any kind and size; nothing has to be labelled.
    settings : UpsamplerSettings, optional
    checkpoint : path, optional
        Weights' file of the encoder.

    Returns
    -------
    weights : bytes
        A safetensors file, with the settings in its metadata; the same for the same images and settings on one machine.
    losses : Losses
        At the end.
    history : list of dict
        ``step``, ``training`` (mean loss since the last) and ``validation``.

    Raises
    ------
    ImageError
        No image that shows anything.
    SettingsError, WeightsError
        See :class:`fijibridge.features.vit.ViTEncoder`.
    """
    import torch
    from safetensors.torch import save

    settings = settings or UpsamplerSettings()
    recipe = FeatureRecipe(encoder=settings.encoder, blocks=(settings.block,), classical="none")
    pairs = []
    with bar("tokens of pieces", settings.crops) as steps:
        for piece, enlargement in zip(pieces(images, settings), cycle(ENLARGEMENTS)):
            pairs.append(make_pair(piece, replace(recipe, enlargement=enlargement), settings.target, checkpoint))
            steps.update()
    kept = pairs[:: min(_VALIDATION, len(pairs))]
    training = [pair for i, pair in enumerate(pairs) if i % min(_VALIDATION, len(pairs))]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = new_network()
    optimiser = torch.optim.Adam(network.parameters(), lr=settings.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.steps)
    rng = np.random.default_rng(settings.seed)
    order = islice((i for _ in cycle((0,)) for i in rng.permutation(len(training))), settings.steps)
    history, recent = [], []
    with bar("training", settings.steps) as steps:
        for step, i in enumerate(order, start=1):
            pair = training[i]
            optimiser.zero_grad()
            loss = _error(joint(network(pair.pixels)[0], pair.coarse), pair.fine)
            loss.backward()
            optimiser.step()
            schedule.step()
            recent.append(loss.item())
            if step % max(1, settings.steps // _CHECKS) == 0 or step == settings.steps:
                losses = _validated(network, kept)
                history.append({"step": step, "training": float(np.mean(recent)), "validation": losses.learned})
                log.info("step %d: %s", step, losses)
                recent = []
            steps.update()
    about = {"settings": json.dumps(asdict(settings))}  # one entry: the order of several is left to chance
    return save({name: value.contiguous() for name, value in network.state_dict().items()}, about), losses, history


def _validated(network: Any, pairs: Sequence[Pair]) -> Losses:
    import torch

    learned, bilinear = [], []
    with torch.inference_mode():
        for pair in pairs:
            guide = network(pair.pixels)[0]
            learned.append(_error(joint(guide, pair.coarse), pair.fine).item())
            bilinear.append(_error(_interpolated(pair.coarse, guide.shape[-2:]), pair.fine).item())
    return Losses(float(np.mean(learned)), float(np.mean(bilinear)))
