"""A frozen ViT: image -> tokens on the patch grid, tile by tile."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from fijibridge.core.array_cache import ArrayCache
from fijibridge.core.errors import FeatureMismatchError, SettingsError
from fijibridge.core.progress import bar
from fijibridge.features.provenance import Provenance
from fijibridge.features.source import NO_STATISTICS, digest_of_array
from fijibridge.features.upsampling.base import UPSAMPLERS
from fijibridge.features.vit.debiasing.base import DEBIASING, Debiasing
from fijibridge.features.vit.settings import VitSettings
from fijibridge.features.vit.tiles import Tile, sample_outside, shift_of, tiles
from fijibridge.images.image import Image, percentile_limits, scale_between
from fijibridge.weights.encoders import block_tokens, create_encoder, n_prefix_tokens
from fijibridge.weights.weights import cache_file, load_weights

log = logging.getLogger(__name__)

# Two serve a classifier with position and one without, side by side; the default encoder takes 90 MB.
MOST_MODELS = 2

# measured on a CPU: 4 take a fifth less than 1 and than 8
TILES_AT_ONCE = 4
# Patches of the rest of the image that a tile sees too where position does not count. Cosine to the whole image at
# once, images of 1024 x 1024, tiles of 784 px: 0.92 with none, 0.995 with 1024, 0.998 with 2048.
CONTEXT = 1024


@dataclass(frozen=True)
class _Model:
    """A network with its weights on its device, and where they came from. Not to be changed: encoders share it."""

    network: Any
    device: str
    provenance: Provenance


token_cache = ArrayCache()
_models: dict[tuple[Any, ...], _Model] = {}  # the latest used is the last
_loading = threading.Lock()


def _key(settings: VitSettings, device: str) -> tuple[Any, ...]:
    """What a network depends on: encoder, how it is prepared, and the file of its weights as it is now."""
    file = Path(settings.weights).absolute() if settings.weights else cache_file(settings.encoder).absolute()
    try:
        stat = file.stat()
        stamp = (stat.st_mtime_ns, stat.st_size)
    except OSError:  # not there: weights that came from the hub and could not be kept in the cache
        stamp = None
    variant = DEBIASING[settings.debiasing].network_variant
    return settings.encoder, variant, device, not settings.weights, file, stamp


def _model(settings: VitSettings, device: str) -> _Model:
    """The network of some settings, loaded once in this process; the `MOST_MODELS` most recently used are kept."""
    with _loading:
        key = _key(settings, device)
        model = _models.pop(key, None)
        if model is None:
            model = _load(settings, device)
            if key[-1] is None:  # loading may have put the weights into the cache
                key = _key(settings, device)
        _models[key] = model
        while len(_models) > MOST_MODELS:
            _models.pop(next(iter(_models)))
    return model


def _load(settings: VitSettings, device: str) -> _Model:
    network = create_encoder(settings.encoder)
    check_fits(settings, network)  # before weights are fetched
    weights = load_weights(settings.encoder, checkpoint=settings.weights or None, model=network)
    network.load_state_dict(weights.state)
    DEBIASING[settings.debiasing].prepare(network, settings.encoder)
    network = network.to(device).requires_grad_(False)
    return _Model(network, device, Provenance(weights.sha256, weights.source, weights.licence))


def check_fits(settings: VitSettings, network: Any) -> None:
    """Refuse blocks and numbers of channels that a network does not have.

    Parameters
    ----------
    settings : VitSettings
    network : timm's VisionTransformer

    Raises
    ------
    SettingsError
    """
    if (last := max(*settings.blocks, *settings.coarse_blocks, 0)) > len(network.blocks):
        raise SettingsError(
            f"block {last} of {settings.encoder}",
            expected=f"blocks of 1 to {len(network.blocks)}",
            remedy="choose a block the encoder has",
        )
    for _, _, blocks in settings.scales:
        width = network.embed_dim * len(blocks)
        if settings.channels > width:
            raise SettingsError(
                f"channels = {settings.channels} principal components of {settings.encoder}, which has {width} "
                f"channels in {len(blocks)} block(s)",
                expected=f"0 (all of them) to {width}",
                remedy="keep fewer channels, or use more blocks",
            )


def shifted(pixels: Any, down: float, right: float) -> Any:
    """An image (C, Y, X) that shows at each place what is `down` and `right` pixels further; bicubic, mirrored at the
    borders.

    Parameters
    ----------
    pixels : torch.Tensor, shape (C, Y, X)
    down, right : float
        In pixels.
    """
    import torch

    height, width = pixels.shape[-2:]
    y, x = (torch.arange(length) + 0.5 + shift for length, shift in ((height, down), (width, right)))
    place = torch.stack(torch.meshgrid(2 * x / width - 1, 2 * y / height - 1, indexing="xy"), dim=-1)
    found = torch.nn.functional.grid_sample(
        pixels[None], place[None].float(), mode="bicubic", padding_mode="reflection", align_corners=False
    )
    return found[0]


class ViTEncoder:
    """An encoder with its weights, ready to turn images into tokens.

    The network is loaded once in a process and shared by all encoders of the same name, preparation and weights' file.

    Tiles keep memory bounded. What debiasing does with them stands in :mod:`fijibridge.features.vit.debiasing.base`.
    With ``debiasing="mean"`` a ViT sees patches as a set without order; a tile then attends, besides its own patches,
    to a sample of those outside it, each weighted in the softmax by the number it stands for (its logarithm is added to
    the attention's logits), so that tiles agree with the whole image.

    Parameters
    ----------
    settings : VitSettings
    known : Provenance, optional
        The weights that must be found, of a saved classifier.
    device : str, optional
        torch's device; CUDA where there is one, else the CPU.

    Attributes
    ----------
    provenance : Provenance
        Of the weights.

    Raises
    ------
    SettingsError
        Unknown encoder, a block or a number of channels it does not have, ``debiasing="mean"`` or ``"alibi"`` where
        there is nothing to average.
    FeatureMismatchError
        Other weights than the known ones were found.
    WeightsError
        No weights.
    """

    def __init__(self, settings: VitSettings, *, known: Provenance | None = None, device: str | None = None) -> None:
        import torch

        model = _model(settings, device or ("cuda" if torch.cuda.is_available() else "cpu"))
        check_fits(settings, model.network)
        found = model.provenance
        if known is not None and known.sha256 and known.sha256 != found.sha256:
            raise FeatureMismatchError(
                f"weights of {settings.encoder} with SHA-256 {found.sha256} ({found.source})",
                expected=f"SHA-256 {known.sha256} ({known.source}), the classifier's own",
                remedy="give that weights file with --weights, or train the classifier anew",
            )
        self.settings = settings
        self.provenance = found
        self.debiasing: Debiasing = DEBIASING[settings.debiasing]
        self.device = model.device
        self.model = model.network
        self.patch: int = self.model.patch_embed.patch_size[0]
        self.width: int = self.model.embed_dim

    @property
    def names(self) -> tuple[str, ...]:
        """The tokens' channels, of all scales: ``vit_b06_c000`` is channel 0 of block 6, ``vit_h06_c000`` the same at
        half the enlargement (no dots: TWS parses names with sigmas)."""
        return tuple(name for letter, _, blocks in self.settings.scales for name in self.names_of(letter, blocks))

    def names_of(self, letter: str, blocks: Sequence[int]) -> tuple[str, ...]:
        """See :attr:`names`; of one scale."""
        return tuple(f"vit_{letter}{block:02d}_c{c:03d}" for block in blocks for c in range(self.width))

    def grid(self, shape: tuple[int, int], enlargement: float = 0) -> tuple[int, int]:
        """Patch rows and columns for an image of ``shape`` pixels: the enlarged image, fitted to whole patches.

        Parameters
        ----------
        shape : (int, int)
            In pixels.
        enlargement : float
            0: the settings' own.
        """
        factor = enlargement or self.settings.enlargement
        rows, cols = (max(1, round(length * factor / self.patch)) for length in shape)
        return rows, cols

    def tokens(self, image: Image) -> np.ndarray:
        """Tokens of an image without its data bar, of the settings' blocks.

        Parameters
        ----------
        image : Image

        Returns
        -------
        ndarray, float32, shape (gy, gx, C)
            The blocks' channels one after the other; the grid covers the image without its data bar exactly. With a
            strided upsampler (:class:`fijibridge.features.upsampling.dense.Strided`) it is twice as dense as that of
            the patches.
        """
        _, enlargement, blocks = self.settings.scales[0]
        return self._tokens(image, enlargement, blocks)

    def scales(
        self, image: Image, statistics: Mapping[str, np.ndarray] = NO_STATISTICS
    ) -> Iterator[tuple[str, np.ndarray, tuple[str, ...]]]:
        """Letter of each scale, tokens as of :meth:`tokens` and their names.

        Parameters
        ----------
        image : Image
        statistics : mapping
            Taken in place of the image's own where they are there: ``limits``, float64 (2,), greys that become 0 and
            1; for each scale what :meth:`tile_statistics` gives, and ``b.mean``, float32 (C,), of the tokens.
        """
        for letter, enlargement, blocks in self.settings.scales:
            yield letter, self._tokens(image, enlargement, blocks, statistics, letter), self.names_of(letter, blocks)

    def tile_statistics(self, image: Image, statistics: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What debiasing takes from an image's own tiles; of tokens made before it is known.

        Parameters
        ----------
        image : Image
        statistics : mapping
            As of :meth:`scales`, without these.

        Returns
        -------
        dict
            ``b.21x22.strengths``, float32 (blocks, n, C / blocks), for the scale b and tiles of 21 x 22 patches, and
            ``b.21x22.tiles``, float64 (1,), of how many; empty where debiasing takes nothing.
        """
        found = {}
        for letter, enlargement, blocks in self.settings.scales:
            pixels = self._input(image, statistics)
            make = partial(self._of_tiles, pixels, image.name, enlargement, blocks)
            made = token_cache.get((*self._key(pixels, enlargement, blocks), "tiles"), make)
            if made.size:
                rows, columns, count = (int(number) for number in made[:3])
                place = f"{letter}.{rows}x{columns}"
                found[f"{place}.strengths"] = made[3:].reshape(len(blocks), -1, self.width)
                found[f"{place}.tiles"] = np.array([count], np.float64)
        return found

    def _of_tiles(self, pixels: Any, name: str, enlargement: float, blocks: Sequence[int]) -> np.ndarray:
        return self._made(pixels, name, enlargement, blocks, NO_STATISTICS)[1]

    def _tokens(
        self,
        image: Image,
        enlargement: float,
        blocks: Sequence[int],
        statistics: Mapping[str, np.ndarray] = NO_STATISTICS,
        letter: str = "",
    ) -> np.ndarray:
        """Made, or those of the same pixels from the cache."""
        pixels = self._input(image, statistics)
        known = {name[len(letter) + 1 :]: own for name, own in statistics.items() if name.startswith(f"{letter}.")}
        key = self._key(pixels, enlargement, blocks)
        if known:
            used = tuple(digest_of_array(known[name]) for name in sorted(known))
            return token_cache.get((*key, *used), lambda: self._made(pixels, image.name, enlargement, blocks, known)[0])

        def made() -> np.ndarray:
            tokens, of_tiles = self._made(pixels, image.name, enlargement, blocks, NO_STATISTICS)
            token_cache.get((*key, "tiles"), lambda: of_tiles)
            return tokens

        return token_cache.get(key, made)

    def _key(self, pixels: Any, enlargement: float, blocks: Sequence[int]) -> tuple[Any, ...]:
        """What tokens depend on."""
        seen = hashlib.sha256(pixels.numpy()).digest(), tuple(pixels.shape)
        how = self.provenance.sha256, self.settings.debiasing, self.settings.tile, self._strided, self.device
        return (*seen, *how, enlargement, tuple(blocks))

    @property
    def _strided(self) -> bool:
        return UPSAMPLERS[self.settings.upsampler].strided

    def _made(
        self, pixels: Any, name: str, enlargement: float, blocks: Sequence[int], known: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Tokens; and size, number and strengths of the image's own tiles in a row, nothing where there are none."""
        import torch

        seen = _SeenTiles(known)
        grid = self.grid(pixels.shape[-2:], enlargement)
        size = (grid[0] * self.patch, grid[1] * self.patch)
        pixels = torch.nn.functional.interpolate(
            pixels[None], size=size, mode="bicubic", align_corners=False, antialias=enlargement < 1
        )[0]
        if not self._strided:
            return self._view(pixels, name, blocks, seen), seen.joined()
        out = np.empty((2 * grid[0], 2 * grid[1], self.width * len(blocks)), np.float32)
        for down, right in product((0, 1), repeat=2):
            moved = shifted(pixels, (down - 0.5) * self.patch / 2, (right - 0.5) * self.patch / 2)
            out[down::2, right::2] = self._view(moved, name, blocks, seen)
        return out, seen.joined()

    def _view(self, pixels: Any, name: str, blocks: Sequence[int], seen: _SeenTiles) -> np.ndarray:
        """Tokens of an enlarged image of whole patches."""
        import torch

        grid = (pixels.shape[1] // self.patch, pixels.shape[2] // self.patch)
        overlap, tilings = self.debiasing.overlap_of(self._side), self.debiasing.tilings
        work = list(tiles(grid, self._side, overlap))
        with bar(f"ViT features of {name}", len(work) * tilings) as steps, torch.inference_mode():
            total = self._tiled(pixels, work, blocks, steps, seen)
            for number in range(1, tilings):
                down, right = shift_of(number, self._side - overlap)
                moved = pixels.roll((down * self.patch, right * self.patch), (1, 2))
                total += self._tiled(moved, work, blocks, steps, seen).roll((-down, -right), (0, 1))
            total /= tilings
        found = total.numpy()
        around = [seen.known["mean"]] if "mean" in seen.known else []
        self.debiasing.finish(_Tiles(self, tuple(blocks)), found, *around)
        return found

    @property
    def _side(self) -> int:
        """Patches a side of a tile, about."""
        return max(8, round(self.settings.tile / self.patch))

    def _tiled(self, pixels: Any, work: Sequence[Tile], blocks: Sequence[int], steps: Any, seen: _SeenTiles) -> Any:
        """The tokens of one tiling, tiles joined by their weights: (gy, gx, C)."""
        import torch

        grid = (pixels.shape[1] // self.patch, pixels.shape[2] // self.patch)
        total = torch.zeros((*grid, self.width * len(blocks)))
        weight = torch.zeros((*grid, 1))
        mean = torch.zeros((*work[0].weight.shape, total.shape[-1]))
        for first in range(0, len(work), TILES_AT_ONCE):
            batch = work[first : first + TILES_AT_ONCE]
            for tile, found in zip(batch, self._run(pixels, batch, blocks), strict=True):
                share = torch.from_numpy(tile.weight)[..., None]
                total[tile.rows, tile.cols] += found * share
                weight[tile.rows, tile.cols] += share
                mean += found / len(work)
            steps.update(len(batch))
        shape = (work[0].weight.shape[0], work[0].weight.shape[1])
        runner = _Tiles(self, tuple(blocks))
        own = self.debiasing.strengths(runner, shape, mean.numpy())
        pattern = self.debiasing.tile_pattern(runner, shape, *seen.used(shape, own, len(work)))
        if pattern is not None:
            for tile in work:
                total[tile.rows, tile.cols] -= torch.from_numpy(pattern * tile.weight[..., None])
        total /= weight
        return total

    def run_whole(self, shape: tuple[int, int], blocks: Sequence[int]) -> Callable[[np.ndarray], np.ndarray]:
        """What turns a grey tile, float32 (Y, X) in [0, 1], into its tokens, float32 (h, w, C).

        Parameters
        ----------
        shape : (int, int)
            Rows and columns of patches of the tile.
        blocks : sequence of int
        """
        import torch

        whole = Tile(slice(0, shape[0]), slice(0, shape[1]), np.ones(shape, np.float32))

        def run(grey: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                return self._run(torch.from_numpy(grey)[None], [whole], blocks)[0].numpy()

        return run

    def _input(self, image: Image, statistics: Mapping[str, np.ndarray] = NO_STATISTICS) -> Any:
        """The image as a (1 or 3, Y, X) tensor in [0, 1], data bar cut off."""
        import torch

        field, known = image.data[image.field], statistics.get("limits")
        limits = percentile_limits(field, *self.settings.percentiles) if known is None else known
        scaled = scale_between(field, float(limits[0]), float(limits[1]))
        # grey enters once and is spread over the three channels by the normalisation
        return torch.from_numpy(np.ascontiguousarray(scaled.transpose(2, 0, 1)) if scaled.ndim == 3 else scaled[None])

    def _run(self, pixels: Any, batch: Sequence[Tile], blocks: Sequence[int]) -> Any:
        """Tiles of one size through the ViT as far as the last block used: (tiles, h, w, C) on the CPU."""
        import torch

        def cut(span: slice) -> slice:
            return slice(span.start * self.patch, span.stop * self.patch)

        tiles = [pixels[:, cut(tile.rows), cut(tile.cols)] for tile in batch]
        rows, bias = batch[0].weight.shape[0], None
        if self.debiasing.context and batch[0].weight.size < pixels[0].numel() // self.patch**2:
            tiles, bias = self._with_context(pixels, tiles, batch)
        heads, prefix = self.model.blocks[0].attn.num_heads, n_prefix_tokens(self.model)
        added = self.debiasing.attention_bias((rows, batch[0].weight.shape[1]), heads, prefix)
        if added is not None:
            bias = torch.from_numpy(added).to(self.device)
        config = self.model.pretrained_cfg
        mean, std = (torch.tensor(config[key], device=self.device).view(3, 1, 1) for key in ("mean", "std"))
        seen = (torch.stack(tiles).to(self.device) - mean) / std
        views = ((), (2, 3), (2,), (3,))[: self.debiasing.flips]
        total: Any = 0
        for axes in views:
            found = block_tokens(self.model, seen.flip(axes) if axes else seen, list(blocks), bias)
            total = total + (found.flip(axes) if axes else found)
        return (total / len(views))[:, :, :rows].permute(0, 2, 3, 1).float().cpu()

    def _with_context(self, pixels: Any, tiles: Sequence[Any], batch: Sequence[Tile]) -> tuple[list[Any], Any]:
        """Tiles with rows of patches from elsewhere below them, and what is added to the attention's logits."""
        import torch

        rows, cols = batch[0].weight.shape
        further = -(-CONTEXT // cols)
        channels, height, width = pixels.shape
        grid = (height // self.patch, width // self.patch)
        patches = pixels.view(channels, grid[0], self.patch, grid[1], self.patch)
        bias = torch.zeros(len(batch), 1, 1, n_prefix_tokens(self.model) + (rows + further) * cols)
        longer = []
        for i, (pixels_of_tile, tile) in enumerate(zip(tiles, batch, strict=True)):
            y, x, weight = sample_outside(grid, tile, further * cols)
            bias[i, ..., -weight.size :] = torch.from_numpy(weight).log()
            found = patches[:, torch.from_numpy(y), :, torch.from_numpy(x)]  # (further * cols, channels, patch, patch)
            found = found.view(further, cols, channels, self.patch, self.patch).permute(2, 0, 3, 1, 4)
            found = found.reshape(channels, further * self.patch, cols * self.patch)
            longer.append(torch.cat([pixels_of_tile, found], dim=1))
        return longer, bias.to(self.device)


class _SeenTiles:
    """What the tiles of an image tell debiasing, over its views and tilings, and what is known in their place."""

    def __init__(self, known: Mapping[str, np.ndarray]) -> None:
        self.known, self._found = known, []  # type: ignore[var-annotated]
        self._shape = (0, 0)

    def used(self, shape: tuple[int, int], own: np.ndarray | None, count: int) -> tuple[np.ndarray | None, int]:
        """Strengths to use and of how many tiles they are, for tiles of ``shape`` patches with their own strengths."""
        if own is not None:
            self._shape = shape
            self._found.append((own, count))
        known = self.known.get(f"{shape[0]}x{shape[1]}.strengths")
        return (own, count) if known is None else (known, int(self.known[f"{shape[0]}x{shape[1]}.tiles"][0]))

    def joined(self) -> np.ndarray:
        """Rows, columns, number of tiles, then their strengths, float32; empty where there are none."""
        if not self._found:
            return np.empty(0, np.float32)
        total = sum(count for _, count in self._found)
        mean = sum(own * np.float32(count / total) for own, count in self._found)
        return np.concatenate([[*self._shape, total], np.ravel(mean)]).astype(np.float32)


class _Tiles:
    """What debiasing may ask an encoder, see :class:`fijibridge.features.vit.debiasing.base.TileRunner`."""

    def __init__(self, encoder: ViTEncoder, blocks: tuple[int, ...]) -> None:
        self._encoder, self.blocks = encoder, blocks
        self.weights_sha256, self.patch, self.side = encoder.provenance.sha256, encoder.patch, encoder._side

    def run(self, shape: tuple[int, int]) -> Callable[[np.ndarray], np.ndarray]:
        return self._encoder.run_whole(shape, self.blocks)
