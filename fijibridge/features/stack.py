"""FeatureStack: an image's features, computed block by block when they are asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fijibridge.errors import FeatureMismatchError, SettingsError
from fijibridge.features.recipe import FeatureRecipe

if TYPE_CHECKING:
    from fijibridge.features.upsample import Upsampler
    from fijibridge.features.vit import ViTEncoder
    from fijibridge.images import Image

# bytes of features held at a time by FeatureStack.blocks
BLOCK_BYTES = 256 * 2**20
# FeatureStack.sample: pixels are drawn anywhere in an image of so many at most, else in so many windows a side, so wide
_DRAWN_ANYWHERE, _WINDOWS, _WINDOW = 2**19, 6, 64


class Part(Protocol):
    """Some channels of a stack."""

    names: tuple[str, ...]

    def fill(self, rows: slice, cols: slice, out: np.ndarray, before: np.ndarray) -> None:
        """Write the block's channels into ``out``, float32 (h, w, len(names)); ``before``: channels so far."""


@dataclass(frozen=True, eq=False)
class ArrayPart:
    """Channels that are already there: (Y, X, F) float32."""

    array: np.ndarray
    names: tuple[str, ...]

    def fill(self, rows: slice, cols: slice, out: np.ndarray, before: np.ndarray) -> None:
        out[:] = self.array[rows, cols]


@dataclass(frozen=True, eq=False)
class ClassicalPart:
    """TWS's filters of a grey image, (Y, X) float32 in the image's own units."""

    grey: np.ndarray
    names: tuple[str, ...]

    def fill(self, rows: slice, cols: slice, out: np.ndarray, before: np.ndarray) -> None:
        from fijibridge.features.classical import classical_features

        classical_features(self.grey, rows, cols, out=out)


@dataclass(frozen=True, eq=False)
class TokensPart:
    """Tokens of a ViT, or components of them, on its patch grid, upsampled where they are wanted."""

    tokens: np.ndarray
    upsampler: Upsampler
    names: tuple[str, ...]

    def fill(self, rows: slice, cols: slice, out: np.ndarray, before: np.ndarray) -> None:
        self.upsampler.block(self.tokens, rows, cols, out)

    def at(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Channels of single pixels, float32 (n, C): the same values as in a block."""
        return self.upsampler.at(self.tokens, y, x)


class FeatureStack:
    """Features of an image, (Y, X, F) float32, with their names and their recipe.

    A stack holds the image and the ViT's tokens; the channels themselves (460 of them for a 4096 x 4096 image would
    take 31 GB) are made when asked for: :meth:`block`, :meth:`at`, or all at once with
    ``numpy.asarray(stack)``.

    Parameters
    ----------
    shape : (int, int)
        Height and width in pixels; the data bar of an SEM image is not part of it.
    parts : sequence of Part
        Whose channels follow one another.
    recipe : FeatureRecipe or None
        How the features were made; None for features from elsewhere.
    """

    def __init__(self, shape: tuple[int, int], parts: Sequence[Part], recipe: FeatureRecipe | None = None) -> None:
        self.parts = tuple(parts)
        self.names: tuple[str, ...] = tuple(name for part in self.parts for name in part.names)
        self.shape = (int(shape[0]), int(shape[1]), len(self.names))
        self.recipe = recipe

    @classmethod
    def from_array(cls, array: np.ndarray, names: Sequence[str] | None = None) -> FeatureStack:
        """A stack of features made elsewhere, (Y, X, F); kept as float32.

        Raises
        ------
        SettingsError
            Not three-dimensional, not finite, or names that are not one a channel, each once.
        """
        with np.errstate(over="ignore"):  # becomes infinite, refused below
            array = np.asarray(array, dtype=np.float32)
        if array.ndim != 3 or not array.size:
            raise SettingsError(
                f"a feature array of shape {array.shape}",
                expected="(Y, X, F), features last",
                remedy="move the feature axis last: numpy.moveaxis(array, 0, -1)",
            )
        if not np.isfinite(array).all():
            raise SettingsError(
                f"{np.count_nonzero(~np.isfinite(array))} features that are NaN or infinite",
                expected="finite numbers",
                remedy="replace them before, for example with numpy.nan_to_num",
            )
        names = tuple(names) if names is not None else tuple(f"feature_{i:03d}" for i in range(array.shape[2]))
        if len(names) != array.shape[2] or len(set(names)) != len(names):
            raise SettingsError(
                f"{len(names)} names, {len(set(names))} of them different",
                expected=f"{array.shape[2]}, one a channel",
                remedy="give every channel a name of its own",
            )
        return cls(array.shape[:2], [ArrayPart(array, names)])

    def __repr__(self) -> str:
        return f"FeatureStack(shape={self.shape}, recipe={self.recipe})"

    def block(self, rows: slice = slice(None), cols: slice = slice(None)) -> np.ndarray:
        """Features of a block, float32 (h, w, F), equal to the same block of the whole."""
        rows, cols = (plain_slice(span, length) for span, length in zip((rows, cols), self.shape[:2], strict=True))
        out = np.empty((rows.stop - rows.start, cols.stop - cols.start, self.shape[2]), np.float32)
        for part, own in self._columns():
            part.fill(rows, cols, out[:, :, own], out[:, :, : own.start])
        return out

    def _columns(self) -> Iterator[tuple[Part, slice]]:
        """Each part, and where its channels stand."""
        first = 0
        for part in self.parts:
            last = first + len(part.names)
            yield part, slice(first, last)
            first = last

    def blocks(self, max_bytes: int = BLOCK_BYTES) -> Iterator[tuple[slice, slice]]:
        """Rows and columns of blocks that cover the stack, each of at most ``max_bytes`` of features.

        Blocks are square where the image is wide: TWS's filters need about 30 pixels around each.
        """
        height, width, channels = self.shape
        pixels = max(1, max_bytes // (channels * 4))
        across = min(width, max(1, math.isqrt(pixels)))
        down = max(1, pixels // across)
        for top in range(0, height, down):
            for left in range(0, width, across):
                yield slice(top, min(height, top + down)), slice(left, min(width, left + across))

    def at(self, mask: np.ndarray) -> np.ndarray:
        """Features of the pixels where ``mask`` (Y, X) is true, float32 (n, F), in row-major order."""
        mask = np.asarray(mask, dtype=bool)
        if mask.shape != self.shape[:2]:
            raise FeatureMismatchError(
                f"a mask of {mask.shape}",
                expected=f"{self.shape[:2]}, as the features",
                remedy="use the image's own size",
            )
        samples = np.empty((int(mask.sum()), self.shape[2]), np.float32)
        rest = []
        for part, own in self._columns():
            if isinstance(part, TokensPart) and not part.upsampler.linear:
                samples[:, own] = part.at(*mask.nonzero())  # all at once: a network's pieces are larger than blocks
            else:
                rest.append((part, own))
        if len(rest) < len(self.parts):
            if rest:
                others = FeatureStack(self.shape[:2], [part for part, _ in rest])
                samples[:, np.r_[tuple(own for _, own in rest)]] = others.at(mask)
            return samples
        place = np.cumsum(mask).reshape(mask.shape) - 1
        for rows, cols in self.blocks(BLOCK_BYTES // 4):
            wanted = mask[rows, cols]
            down, across = wanted.any(axis=1).nonzero()[0], wanted.any(axis=0).nonzero()[0]
            if down.size:
                inner = slice(rows.start + down[0], rows.start + down[-1] + 1)
                beside = slice(cols.start + across[0], cols.start + across[-1] + 1)
                chosen = mask[inner, beside]
                samples[place[inner, beside][chosen]] = self._picked(inner, beside, chosen)
        return samples

    def _picked(self, rows: slice, cols: slice, chosen: np.ndarray) -> np.ndarray:
        """Features of chosen pixels of a block; of a ViT's hundreds of channels no others are made."""
        y, x = chosen.nonzero()
        samples = np.empty((len(y), self.shape[2]), np.float32)
        if any(isinstance(part, TokensPart) for part in self.parts):
            others = [part for part in self.parts if not isinstance(part, TokensPart)]
            columns = np.ones(self.shape[2], bool)
            for part, own in self._columns():
                if isinstance(part, TokensPart):
                    samples[:, own], columns[own] = part.at(y + rows.start, x + cols.start), False
            if others:
                samples[:, columns] = FeatureStack(self.shape[:2], others).block(rows, cols)[y, x]
        else:
            samples[:] = self.block(rows, cols)[y, x]
        return samples

    def sample(self, count: int, seed: int = 0) -> np.ndarray:
        """Features of pixels drawn from the whole image, float32 (n, F); the same for the same seed.

        Of a large image they come from windows spread over it: TWS's filters look at 30 pixels around each.

        Parameters
        ----------
        count : int
            About so many; all pixels where there are fewer.
        seed : int
        """
        height, width = self.shape[:2]
        rng = np.random.default_rng(seed)
        if height * width <= _DRAWN_ANYWHERE:
            mask = np.zeros(height * width, bool)
            mask[rng.choice(mask.size, min(count, mask.size), replace=False)] = True
            return self.at(mask.reshape(height, width))
        parts = []
        for cell in range(_WINDOWS**2):
            spans = []
            for length, place in ((height, cell // _WINDOWS), (width, cell % _WINDOWS)):
                first, last = length * place // _WINDOWS, length * (place + 1) // _WINDOWS
                start = first + int(rng.integers(max(1, last - first - _WINDOW + 1)))
                spans.append(slice(start, min(start + _WINDOW, length)))
            chosen = np.zeros([span.stop - span.start for span in spans], bool)
            share = min(-(-count // _WINDOWS**2), chosen.size)
            chosen.ravel()[rng.choice(chosen.size, share, replace=False)] = True
            parts.append(self._picked(*spans, chosen))
        return np.concatenate(parts)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        whole = self.block()
        return whole if dtype is None else whole.astype(dtype, copy=False)

    def tokens(self) -> np.ndarray | None:
        """The ViT's tokens on the patch grid of the (finer) scale, or their components, float32 (gy, gx, C); None
        without a ViT, or where a linear model has read them."""
        return next((part.tokens for part in self.parts if isinstance(part, TokensPart)), None)


def plain_slice(span: slice, length: int) -> slice:
    """A slice with start <= stop inside ``length``."""
    start, stop, step = span.indices(length)
    if step != 1:
        raise SettingsError(f"a block with step {step}", expected="step 1", remedy="take every n-th pixel afterwards")
    return slice(start, max(start, stop))


def extract_features(
    image: Image | np.ndarray,
    recipe: FeatureRecipe | None = None,
    *,
    encoder: ViTEncoder | None = None,
    checkpoint: str | Path | None = None,
) -> FeatureStack:
    """Features of an image: TWS's filters, then upsampled ViT tokens (Docherty et al. 2025, arXiv 2508.21529).

    With ``channels`` in the recipe the tokens are projected on that many of their principal components, which are
    unsupervised: those of this image, or those in the recipe's basis. Take the recipe of the first stack for further
    images (``extract_features(other, stack.recipe)``), so that all have the same.

    Of an image by several detectors (:func:`fijibridge.detectors.join_detectors`) each goes through filters and ViT,
    scaled by its own percentiles; the filters' channels of all come first. One basis serves all detectors.

    Parameters
    ----------
    image : Image or ndarray
        (Y, X) or (Y, X, 3), 8-, 16- or 32-bit. The data bar is left out.
    recipe : FeatureRecipe, optional
        The default is ``FeatureRecipe()``.
    encoder : ViTEncoder, optional
        A loaded encoder of the same recipe, to be reused over many images.
    checkpoint : path, optional
        Weights' file for the encoder.

    Returns
    -------
    FeatureStack
        (Y, X, F) float32; its recipe carries the weights' SHA-256 and the basis of the principal components.

    Raises
    ------
    ImageError
        NaN, or an array that is no image.
    FeatureMismatchError
        ``encoder`` is of another recipe, the recipe's basis is one of another encoder, or the image lacks a detector
        that the recipe names.
    SettingsError, WeightsError
        See :class:`fijibridge.features.vit.ViTEncoder`.
    """
    from fijibridge.features.detectors import channels_of, feature_names, recipe_for
    from fijibridge.images import Image, image_from_array

    if not isinstance(image, Image):
        image = image_from_array(image)
    recipe = recipe_for(recipe or (encoder.recipe if encoder else FeatureRecipe()), image)
    shape, seen = (image.field.stop, image.shape[1]), channels_of(image, recipe)
    parts: list[Part] = []
    if recipe.classical == "tws":
        from fijibridge.features.classical import CLASSICAL_NAMES

        for detector, own in seen:
            grey = np.ascontiguousarray(own.grey[own.field])
            parts.append(ClassicalPart(grey, feature_names(detector, CLASSICAL_NAMES)))
    if recipe.has_vit:
        from fijibridge.features.upsample import upsampler_of
        from fijibridge.features.vit import ViTEncoder, check_fits

        if encoder is None:
            encoder = ViTEncoder(recipe, checkpoint=checkpoint)
        if differences := recipe.differences(encoder.recipe, as_request=True):
            raise FeatureMismatchError(
                "an encoder of another recipe: " + "; ".join(differences) + " (recipe against encoder)",
                expected="an encoder made with the recipe",
                remedy="use ViTEncoder(recipe), or leave the encoder out",
            )
        found, learnt = encoder.recipe, ("basis", "readout", "readout_classes", "detector", "detectors")
        learnt += ("upsampler_weights",)
        recipe = replace(found, **{name: getattr(recipe, name) or getattr(found, name) for name in learnt})
        check_fits(recipe, encoder.model)  # with the upsampler's weights
        maps = [(detector, *scale) for detector, own in seen for scale in encoder.scales(own)]
        if recipe.channels:
            from fijibridge.features.pca import component_names, fit_basis, project

            if not recipe.basis:
                tokens = [tokens for _, tokens, _ in maps]
                basis = fit_basis(np.concatenate(tokens) if len(tokens) > 1 else tokens[0], recipe.channels)
                recipe = replace(recipe, basis=basis)
            names = component_names(recipe.channels)
            maps = [(detector, project(tokens, recipe.basis, recipe.channels), names) for detector, tokens, _ in maps]
        if recipe.upsampler == "learned" and not recipe.upsampler_weights:
            from fijibridge.features.learned import read_weights

            recipe = replace(recipe, upsampler_weights=read_weights())
        upsamplers = {detector: upsampler_of(recipe, own.grey[own.field]) for detector, own in seen}
        for detector, tokens, names in maps:
            parts.append(TokensPart(tokens, upsamplers[detector], feature_names(detector, names)))
    stack = FeatureStack(shape, parts, recipe)
    if recipe.readout and not recipe.network:  # a network's channels come first, from a room above
        from fijibridge.features.readout import read_out

        stack = read_out(stack, recipe)
    return stack
