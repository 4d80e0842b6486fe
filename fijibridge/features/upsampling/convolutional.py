"""The convolutional upsampler: a network that brings features to pixels with reference to the image.

Docherty, Vamvakeros and Cooper 2025 (arXiv 2508.21529); the authors' implementation, whose checkpoints
(:mod:`fijibridge.features.upsampling.published_checkpoint`) are read here, is github.com/tldr-group/vulture. The
network is written anew, of the same sizes and with the same result::

    image (Y, X, 3)           halved again and again: maximum of 2 x 2, two 3 x 3 convolutions, the image beside
    tokens (gy, gx, C)        each of absolute sum 1; two 5 x 5 convolutions
      for each halving, from the coarsest: nearest neighbours to its size, its channels beside, two convolutions,
                              doubled (bilinear, corners on corners), a convolution
    features (Y, X, C)        a 3 x 3 and a 1 x 1 convolution

Convolutions but the last of each part have a batch normalisation, which is folded into them, and a leaky ReLU.

As there, the network sees grey values of 0 to 255 less ImageNet's mean, by its standard deviation, at the scale of
the patch grid: so many pixels a patch as in its training, whatever the enlargement. Grey is between the settings'
percentiles, and is all three colours. Features come back to the image's own pixels as means over the area of each, or
between the pixels' centres where the network saw fewer. They are what the network gives: of the scale of its training.

Not as there: the tokens are those of the chosen blocks with the positional bias removed, without LoftUp's denoiser;
components are the first image's, not those of many views of one image; a colour image is seen grey.

**Pieces.** Every layer is computed for the part of its plane that is wanted, in the coordinates of the whole plane,
with the borders of the whole alone padded: a piece is what it would be in the whole. So memory does not grow with the
image. The image is cut into the same pieces whatever is asked for, and the latest are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np

from fijibridge.core.array_cache import ArrayCache
from fijibridge.features.upsampling.base import Upsampler
from fijibridge.features.upsampling.cropped_planes import Axis, Convolution, Cut, grown, resampled, tensor
from fijibridge.features.upsampling.published_checkpoint import Layout, layout_of

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PIECE = 256  # side of a piece in the network's pixels, about; smaller ones compute more at their borders
MOST_PIECE = 160  # and in the image's own: 160 x 160 x 384 float32 take 40 MB
KEPT_BYTES = 256 * 2**20


@dataclass(frozen=True, eq=False)
class Network:
    """A checkpoint's convolutions, batch normalisations folded in.

    Attributes
    ----------
    layout : Layout
    down : sequence of (Convolution, Convolution)
    first : (Convolution, Convolution)
    up : sequence of (Convolution, Convolution, Convolution)
    last : Convolution
        The last two in one, (C, hidden, 3, 3): nothing lies between them.
    """

    layout: Layout
    down: Sequence[tuple[Convolution, ...]]
    first: tuple[Convolution, ...]
    up: Sequence[tuple[Convolution, ...]]
    last: Convolution

    @classmethod
    def of(cls, data: bytes, device: str = "cpu") -> Network:
        """The network of a checkpoint as a safetensors file that was checked.

        Parameters
        ----------
        data : bytes
        device : str
            torch's.
        """
        from safetensors.torch import load

        layout = layout_of(data)
        state = {name: own.double() for name, own in load(data).items()}

        def put(weight: Any, bias: Any) -> Convolution:
            return Convolution(*(own.float().contiguous().to(device) for own in (weight, bias)))

        def plain(name: str) -> Convolution:
            return put(state[f"{name}.weight"], state[f"{name}.bias"])

        def double(name: str) -> tuple[Convolution, Convolution]:
            found = []
            for place in (0, 3):
                mean, variance, gain, shift = (
                    state[f"{name}.{place + 1}.{own}"] for own in ("running_mean", "running_var", "weight", "bias")
                )
                gain = gain / (variance + 1e-5).sqrt()
                bias = state.get(f"{name}.{place}.bias", 0)
                found.append(
                    put(state[f"{name}.{place}.weight"] * gain[:, None, None, None], (bias - mean) * gain + shift)
                )
            return found[0], found[1]

        mixing, outwards = state["upsampler.mlp.weight"][:, :, 0, 0], state["upsampler.outp_conv.weight"]
        bias = mixing @ state["upsampler.outp_conv.bias"] + state["upsampler.mlp.bias"]
        return cls(
            layout,
            [double(f"downsampler.downsample_layers.{i}.maxpool_conv.1.double_conv") for i in range(layout.depth)],
            double("upsampler.inp_conv.double_conv"),
            [
                (*double(f"upsampler.upsamples.{i}.conv.double_conv"), plain(f"upsampler.upsamples.{i}.up.1"))
                for i in range(layout.depth)
            ],
            put((mixing @ outwards.flatten(1)).view_as(outwards), bias),
        )


@lru_cache(maxsize=2)
def network_of(data: bytes, device: str) -> Network:
    """:meth:`Network.of`, the latest two kept.

    Parameters
    ----------
    data : bytes
    device : str
        torch's.
    """
    return Network.of(data, device)


class Convolutional(Upsampler):
    """Upsampling of one image's features by a network, for patch grids of any size.

    Of tokens with more channels than the network has (several blocks of a ViT), each so many go through by themselves.
    Tokens must not be changed after they were given: pieces of their features are kept.

    Parameters
    ----------
    network : Network
    grey : ndarray, float32, shape (Y, X)
        Between 0 and 1.
    weights : ndarray, float32, shape (T, K), optional
        Of a linear model: the features at pixels are multiplied by them, and K channels come of T.
    """

    linear = False

    def __init__(self, network: Network, grey: np.ndarray, weights: np.ndarray | None = None) -> None:
        self.network, self.grey, self.weights = network, grey, weights
        self._pictures: dict[tuple[int, int], Any] = {}  # what the network sees, by patch grid
        self._held: dict[int, np.ndarray] = {}  # tokens by id, so that no others get it
        self._pieces = ArrayCache(KEPT_BYTES)

    def weighted(self, weights: np.ndarray) -> Convolutional:
        """The upsampler of a linear model's values: the same tokens, and K channels of ``weights`` (T, K) at pixels."""
        found = Convolutional(self.network, self.grey, weights)
        found._pictures = self._pictures
        return found

    def block(self, tokens: np.ndarray, rows: slice, cols: slice, out: np.ndarray) -> None:
        """See :class:`fijibridge.features.upsampling.base.Upsampler`."""
        if not out.size:
            return
        down, across = self._sides(tokens.shape[:2])
        for i, j in product(*(range(span.start // side, -(-span.stop // side)) for span, side in
                              ((rows, down), (cols, across)))):  # fmt: skip
            piece = self._piece(tokens, i, j)
            top, left = i * down, j * across
            y = slice(max(rows.start, top), min(rows.stop, top + down))
            x = slice(max(cols.start, left), min(cols.stop, left + across))
            target = out[y.start - rows.start : y.stop - rows.start, x.start - cols.start : x.stop - cols.start]
            target[:] = piece[y.start - top : y.stop - top, x.start - left : x.stop - left]

    def at(self, tokens: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """See :class:`fijibridge.features.upsampling.base.Upsampler`."""
        out = np.empty((len(y), self._width(tokens)), np.float32)
        down, across = self._sides(tokens.shape[:2])
        i, j = y // down, x // across
        for row, col in sorted(set(zip(i.tolist(), j.tolist(), strict=True))):
            own = np.flatnonzero((i == row) & (j == col))
            out[own] = self._piece(tokens, row, col)[y[own] - row * down, x[own] - col * across]
        return out

    def _width(self, tokens: np.ndarray) -> int:
        return tokens.shape[2] if self.weights is None else self.weights.shape[1]

    def _sides(self, grid: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of a piece, in the image's pixels."""
        found = []
        for cells, pixels in zip(grid, self.grey.shape, strict=True):
            most = min(MOST_PIECE, max(1, PIECE * pixels // (cells * self.network.layout.patch)))
            found.append(-(-pixels // -(-pixels // most)))
        return found[0], found[1]

    def _piece(self, tokens: np.ndarray, i: int, j: int) -> np.ndarray:
        """Features of a piece, float32 (h, w, C or K): made, or kept from before."""
        self._held[id(tokens)] = tokens
        return self._pieces.get((id(tokens), i, j), lambda: self._made(tokens, i, j))

    def _made(self, tokens: np.ndarray, i: int, j: int) -> np.ndarray:
        import torch

        layout, grid = self.network.layout, tokens.shape[:2]
        axes = []
        for place, side, cells, pixels in zip((i, j), self._sides(grid), grid, self.grey.shape, strict=True):
            axes.append(Axis(layout, cells, pixels, (place * side, min(pixels, (place + 1) * side))))
        shape = [len(axis.index) for axis in axes]
        out = np.zeros((*shape, self._width(tokens)), np.float32)
        with torch.inference_mode():
            guides = self._guides(axes)
            for first in range(0, tokens.shape[2], layout.channels):
                own = slice(first, first + layout.channels)
                hidden = self._hidden(tokens[..., own], guides, axes)
                if self.weights is None:
                    out[..., own] = self._features(hidden, axes, self.network.last)
                else:
                    weights = tensor(self.weights[own].T, hidden.values).double()
                    last = (torch.tensordot(weights, part.double(), 1).float() for part in self.network.last)
                    out += self._features(hidden, axes, Convolution(*last))
        return out

    def _picture(self, grid: tuple[int, int]) -> Cut:
        """What the network sees of the image, whole."""
        import torch

        if grid not in self._pictures:
            size = tuple(cells * self.network.layout.patch for cells in grid)
            smaller = size[0] < self.grey.shape[0] or size[1] < self.grey.shape[1]
            grey = torch.nn.functional.interpolate(
                torch.from_numpy(self.grey)[None, None], size=size, mode="bicubic", antialias=smaller
            )
            self._pictures[grid] = grey.to(self.network.last.weight.device)
        grey = self._pictures[grid]
        return Cut(grey, tuple((0, length) for length in grey.shape[2:]), tuple(grey.shape[2:]))

    def _guides(self, axes: Sequence[Axis]) -> list[Cut]:
        """The image and its halves, (3 or more channels), as far as they are wanted."""
        import torch

        sizes = list(zip(*(axis.sizes for axis in axes), strict=True))
        spans = list(zip(*(axis.guides for axis in axes), strict=True))
        grey = self._picture((axes[0].steps[0], axes[1].steps[0]))

        def colours(cut: Cut) -> Cut:
            mean, std = (torch.tensor(own, device=grey.values.device).view(1, 3, 1, 1) for own in (MEAN, STD))
            return Cut((cut.values * 255 - mean) / std, cut.spans, cut.size)

        found = [colours(grey.cropped(spans[0]))]
        padding = self.network.layout.padding
        for i, double in enumerate(self.network.down, start=1):
            wanted = [grown(span, 2, length) for span, length in zip(spans[i], sizes[i], strict=True)]
            seen = [(2 * start, min(2 * stop, length)) for (start, stop), length in
                    zip(wanted, sizes[i - 1], strict=True)]  # fmt: skip
            half = found[-1].cropped(seen).halved(sizes[i])
            for convolution in double:
                half = half.convolved(convolution, padding)
            found.append(half.cropped(spans[i]).beside(colours(grey.stretched(spans[i], sizes[i]))))
        return found

    def _hidden(self, tokens: np.ndarray, guides: Sequence[Cut], axes: Sequence[Axis]) -> Cut:
        """What the last convolution sees: (1, hidden, h, w)."""
        import torch

        padding, grid = self.network.layout.padding, tokens.shape[:2]
        rows, cols = (slice(*axis.first) for axis in axes)
        seen = np.moveaxis(tokens[rows, cols], -1, 0)[None].astype(np.float32, order="C")
        values = torch.nn.functional.normalize(tensor(seen, guides[0].values), p=1, dim=1)
        cut = Cut(values, tuple(axis.first for axis in axes), grid)
        for convolution in self.network.first:
            cut = cut.convolved(convolution, padding)
        for i, (*double, single) in enumerate(self.network.up):
            size, spans = tuple(axis.steps[i] for axis in axes), [axis.own[i] for axis in axes]
            guide = guides[len(self.network.up) - i]
            cut = cut.stretched(spans, size).beside(guide.stretched(spans, size))
            for convolution in double:
                cut = cut.convolved(convolution, padding)
            cut = cut.doubled([axis.doubled[i] for axis in axes]).convolved(single, padding, active=False)
        return cut.cropped([axis.hidden for axis in axes])

    def _features(self, hidden: Cut, axes: Sequence[Axis], last: Convolution) -> np.ndarray:
        """The last convolution's result at the image's pixels, float32 (h, w, C).

        It and the way to the image's pixels are linear, so what each of the nine places of its kernel sees is brought
        there first: its hundreds of channels are never there at the network's pixels, of which there are more.
        """
        values = hidden.padded(1, self.network.layout.padding)
        (top, left), (height, width) = (axis.last[0] for axis in axes), (len(axis.index) for axis in axes)
        total = last.bias.repeat(height * width, 1)
        for across in range(3):
            narrow = resampled(values, 1, axes[1].index - left + across, axes[1].weight)
            for down in range(3):
                small = resampled(narrow, 0, axes[0].index - top + down, axes[0].weight)
                total.addmm_(small[0].flatten(1).T, last.weight[:, :, down, across].T)
        return total.view(height, width, -1).cpu().numpy()
