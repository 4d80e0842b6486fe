"""Training of the learned upsampler: from a ViT's tokens of an image to its tokens on a grid twice as dense.

Of a crop of an image the ViT's tokens are made twice: on the patch grid, and on a grid twice as dense, either of the
image enlarged twice as much or ``strided``. The network's guide brings the first to pixels
(:mod:`fijibridge.features.upsampling.joint_bilateral`), and there they are compared with the second, bilinearly
interpolated. Tokens count by the first principal components of the dense grid, as much as these vary. An enlarged
image's tokens are not those of the image, so that the linear map is taken that brings the coarse ones, bilinearly
interpolated, nearest to them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import numpy as np

from fijibridge.core.errors import ImageError
from fijibridge.core.options import LearningRate, Seed
from fijibridge.core.params import Param, check
from fijibridge.core.progress import bar
from fijibridge.core.training import Check, TrainingLimits, TrainingTask, train
from fijibridge.features.upsampling.guide_network import new_network, padded
from fijibridge.features.vit.settings import Encoder, VitSettings

if TYPE_CHECKING:
    import torch

    from fijibridge.core.checkpoint import Stateful, TrainingState
    from fijibridge.images.image import Image

log = logging.getLogger(__name__)

Block = Annotated[
    int,
    Param(
        "transformer block whose tokens are the training's data, the first being 1", low=1, high=1000, group="Training"
    ),
]
Crops = Annotated[int, Param("crops of the images to train on", low=2, high=100_000, group="Training")]
Crop = Annotated[int, Param("side of a training crop", low=64, high=1024, unit="px", group="Training")]
Steps = Annotated[int, Param("steps of training, one crop each", low=1, high=10_000_000, group="Training")]
Target = Annotated[
    Literal["enlarged", "strided"],
    Param("dense grid to be met: of the image enlarged twice as much, or shifted by half a patch", group="Training"),
]

ENLARGEMENTS = (2.0, 1.0)  # of the crops in turn: the two scales of the presets
_COMPONENTS = 32
_VALIDATION = 8  # every eighth crop is for validation
_CHECKS = 20
_DULL = 1e-3  # spread of grey values, of 0 to 1, below which a crop has no contrast


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
        Number of crops and their side in pixels; the ViT sees them in turn at the `ENLARGEMENTS`.
    steps : int
    rate : float
        The first learning rate; it falls to 0 as half a cosine.
    seed : int

    Raises
    ------
    SettingsError
        A value outside its range.
    """

    encoder: Encoder = VitSettings.encoder
    block: Block = 6
    target: Target = "enlarged"
    crops: Crops = 64
    crop: Crop = 160
    steps: Steps = 1500
    rate: LearningRate = 0.003
    seed: Seed = 0

    def __post_init__(self) -> None:
        check(type(self), vars(self))


class Pair(NamedTuple):
    """A crop of an image as tensors: what the network sees, tokens on the patch grid and on one twice as dense."""

    pixels: torch.Tensor  # (1, 1, Y + 34, X + 34)
    coarse: torch.Tensor  # (K, gy, gx)
    fine: torch.Tensor  # (K, 2 gy, 2 gx)


class Losses(NamedTuple):
    """Squared error, as a share of the tokens' variance, on the validation crops."""

    learned: float
    bilinear: float


def training_crops(images: Sequence[Image], settings: UpsamplerSettings) -> Iterator[Image]:
    """Crops drawn from the images in turn; a smaller image as a whole. Crops without contrast are left out.

    Parameters
    ----------
    images : sequence of Image
        Of any size.
    settings : UpsamplerSettings
        Number and side of the crops, and the seed.

    Yields
    ------
    Image
        A crop.

    Raises
    ------
    ImageError
        No image that shows anything.
    """
    from fijibridge.images.image import image_from_array, scale_percentiles

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


def _make_pair(image: Image, settings: VitSettings, target: Target) -> Pair:
    """A crop's tensors, the tokens by the settings."""
    import torch

    from fijibridge.features.vit.encoder import ViTEncoder
    from fijibridge.images.image import scale_percentiles

    if target == "enlarged":
        dense = replace(settings, enlargement=2 * settings.enlargement)
    else:
        dense = replace(settings, upsampler="strided")
    coarse, fine = (ViTEncoder(own).tokens(image) for own in (settings, dense))
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
    return Pair(padded(scale_percentiles(image.grey, *settings.percentiles)), small, large)


def joint(guide: torch.Tensor, coarse: torch.Tensor) -> torch.Tensor:
    """What :class:`fijibridge.features.upsampling.joint_bilateral.JointBilateral` does, as torch can differentiate it.

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
    cells = torch.nn.functional.adaptive_avg_pool2d(guide[None], (grid[0], grid[1]))[0]
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
    joined = torch.zeros(())
    for weight, value in zip(weights, values, strict=True):
        joined = joined + weight * value
    return joined


def _interpolated(coarse: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    import torch

    return torch.nn.functional.interpolate(coarse[None], size=(shape[0], shape[1]), mode="bilinear")[0]


def _means(pixels: torch.Tensor, grid: Sequence[int]) -> torch.Tensor:
    import torch

    return torch.nn.functional.adaptive_avg_pool2d(pixels[None], (grid[0], grid[1]))[0]


def _error(found: torch.Tensor, fine: torch.Tensor) -> torch.Tensor:
    """Mean squared error at the pixels, to the dense grid bilinearly interpolated, without the outermost eighth.

    At the pixels, not at the means over cells: these would forgive what flickers from pixel to pixel.
    """
    edge = [max(1, length // 8) for length in found.shape[-2:]]
    error = (found - _interpolated(fine, found.shape[-2:])) ** 2
    return error[:, edge[0] : -edge[0], edge[1] : -edge[1]].mean()


def train_upsampler(
    images: Sequence[Image], settings: UpsamplerSettings | None = None, *, checkpoint: str | Path | None = None
) -> tuple[bytes, Losses, list[dict[str, float]]]:
    """Train the network of :mod:`fijibridge.features.upsampling.guide_network` on images.

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
        See :class:`fijibridge.features.vit.encoder.ViTEncoder`.
    """
    from safetensors.torch import save

    settings = settings or UpsamplerSettings()
    vit = VitSettings(
        encoder=settings.encoder,
        blocks=(settings.block,),
        coarse_blocks=(),
        upsampler="bilinear",
        weights=str(checkpoint or ""),
    )
    pairs = []
    with bar("tokens of crops", settings.crops) as steps:
        for crop, enlargement in zip(training_crops(images, settings), cycle(ENLARGEMENTS)):
            pairs.append(_make_pair(crop, replace(vit, enlargement=enlargement), settings.target))
            steps.update()
    training = _UpsamplerTraining(pairs, settings)
    limits = TrainingLimits(settings.steps, check_every=max(1, settings.steps // _CHECKS))
    trained = train(training, limits)
    assert trained.best is not None
    state, losses = trained.best
    about = {"settings": json.dumps(asdict(settings))}  # one entry: the order of several is left to chance
    return save(state, about), losses, trained.at.rows


class _UpsamplerTraining(TrainingTask[tuple[dict[str, "torch.Tensor"], Losses]]):
    """The network, its optimiser and the crops; one crop a step, all in turn in an order by the seed."""

    def __init__(self, pairs: Sequence[Pair], settings: UpsamplerSettings) -> None:
        import torch

        self.validated = pairs[:: min(_VALIDATION, len(pairs))]
        self.trained = [pair for i, pair in enumerate(pairs) if i % min(_VALIDATION, len(pairs))]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.network = new_network()
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=settings.rate)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimiser, settings.steps)
        rng = np.random.default_rng(settings.seed)
        self.order = (i for _ in cycle((0,)) for i in rng.permutation(len(self.trained)))

    def parts(self) -> Mapping[str, Stateful]:
        """None: a training of minutes has no checkpoints."""
        return {}

    def step(self, at: TrainingState) -> dict[str, torch.Tensor]:
        """One step on one crop; its loss."""
        pair = self.trained[next(self.order)]
        self.optimiser.zero_grad()
        loss = _error(joint(self.network(pair.pixels)[0], pair.coarse), pair.fine)
        loss.backward()
        self.optimiser.step()
        self.schedule.step()
        return {"loss": loss.detach()}

    def check(
        self, at: TrainingState, losses: Mapping[str, torch.Tensor]
    ) -> Check[tuple[dict[str, torch.Tensor], Losses]]:
        """See :meth:`TrainingTask.check`; the last network is kept, not the best on the validation crops."""
        found = _validated(self.network, self.validated)
        row = {"step": at.step, "training": float(np.mean(losses["loss"].tolist())), "validation": found.learned}
        log.info("step %d: %s", at.step, found)
        return Check(row, at.step, lambda: (_weights_of(self.network), found))


def _weights_of(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.contiguous().clone() for name, value in network.state_dict().items()}


def _validated(network: torch.nn.Module, pairs: Sequence[Pair]) -> Losses:
    import torch

    learned, bilinear = [], []
    with torch.inference_mode():
        for pair in pairs:
            guide = network(pair.pixels)[0]
            learned.append(_error(joint(guide, pair.coarse), pair.fine).item())
            bilinear.append(_error(_interpolated(pair.coarse, guide.shape[-2:]), pair.fine).item())
    return Losses(float(np.mean(learned)), float(np.mean(bilinear)))
