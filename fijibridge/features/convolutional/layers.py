"""A frozen convolutional network: image -> outputs of early layers, tile by tile."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from fijibridge.core.errors import FeatureMismatchError, SettingsError
from fijibridge.core.progress import bar
from fijibridge.features.convolutional.settings import ConvSettings
from fijibridge.features.provenance import Provenance
from fijibridge.features.vit.encoder import token_cache
from fijibridge.images.image import Image, percentile_limits, scale_between
from fijibridge.weights.convolutional import create_convolutional, input_scaling
from fijibridge.weights.weights import cache_file, load_weights

TILE = 512  # side of a tile in pixels of the enlarged image, without what overlaps
_PROBE = 256  # side of the image from which the layers' grids are found


@dataclass(frozen=True)
class Layer:
    """A layer's grid.

    Parameters
    ----------
    channels, stride : int
        Of its output; the stride in pixels of the network's input.
    shift : float
        How far the centres of its fields of view lie right of and below the middles of its cells, in cells: a
        convolution with stride 2 that is padded on one side only looks half a pixel beside.
    reach : float
        Pixels that a cell sees to each side of its centre.
    """

    channels: int
    stride: int
    shift: float
    reach: float


class _AllFound(Exception):
    """The last layer wanted has been reached; the rest of the network is not run."""


_networks: dict[tuple[Any, ...], tuple[Any, Provenance]] = {}  # the latest alone
_loading = threading.Lock()
_running = threading.RLock()  # hooks are the network's, which threads share


def _network(settings: ConvSettings, device: str) -> tuple[Any, Provenance]:
    """The network with its weights, loaded once in this process."""
    file = Path(settings.weights).absolute() if settings.weights else cache_file(settings.network).absolute()
    with _loading:
        stamp = file.stat().st_mtime_ns if file.is_file() else None
        key = settings.network, device, settings.weights, file, stamp
        if key not in _networks:
            model = create_convolutional(settings.network)
            check_layers(settings, model)  # before weights are fetched
            found = load_weights(settings.network, checkpoint=settings.weights or None, model=model)
            model.load_state_dict(found.state, assign=True)
            _networks.clear()
            provenance = Provenance(found.sha256, found.source, found.licence)
            _networks[key] = model.to(device).requires_grad_(False), provenance
        return _networks[key]


def check_layers(settings: ConvSettings, model: Any) -> None:
    """Refuse layers that a network does not have.

    Parameters
    ----------
    settings : ConvSettings
    model : torch.nn.Module

    Raises
    ------
    SettingsError
    """
    known = [name for name, _ in model.named_modules() if name]
    if missing := [name for name in settings.layers if name not in known]:
        raise SettingsError(
            f"layer {missing[0]!r} of {settings.network}",
            expected=f"names of its modules, such as {', '.join(known[:6])}",
            remedy="choose layers the network has",
        )


class ConvolutionalLayers:
    """A network with its weights, ready to turn images into the outputs of its layers.

    Parameters
    ----------
    settings : ConvSettings
    known : Provenance, optional
        The weights that must be found, of a saved classifier.
    device : str, optional
        torch's device; CUDA where there is one, else the CPU.

    Attributes
    ----------
    provenance : Provenance
        Of the weights.
    layers : dict of str to Layer
        In the settings' order.
    margin : int
        Pixels around a tile that its cells see, a multiple of all strides.

    Raises
    ------
    SettingsError
        Unknown network, a layer that it does not have, a layer that sees the whole image at once, or more principal
        components than a layer has channels.
    FeatureMismatchError
        Other weights than the known ones were found.
    WeightsError
        No weights.
    """

    def __init__(self, settings: ConvSettings, *, known: Provenance | None = None, device: str | None = None) -> None:
        import torch

        self.settings = settings
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.model, self.provenance = _network(settings, self.device)
        check_layers(settings, self.model)
        if known is not None and known.sha256 and known.sha256 != self.provenance.sha256:
            raise FeatureMismatchError(
                f"weights of {settings.network} with SHA-256 {self.provenance.sha256} ({self.provenance.source})",
                expected=f"SHA-256 {known.sha256} ({known.source}), the classifier's own",
                remedy=f"put that file at {cache_file(settings.network)}, or train the classifier anew",
            )
        self.layers = self._measured()
        self.step = max(layer.stride for layer in self.layers.values())
        reach = max(layer.reach + layer.stride * abs(layer.shift) for layer in self.layers.values())
        self.margin = self.step * ceil(reach / self.step)
        narrow = min(self.layers, key=lambda name: self.layers[name].channels)
        if settings.channels > self.layers[narrow].channels:
            raise SettingsError(
                f"channels = {settings.channels} principal components of layer {narrow} of {settings.network}, which "
                f"has {self.layers[narrow].channels} channels",
                expected=f"0 (all of them) to {self.layers[narrow].channels}",
                remedy="keep fewer channels, or leave that layer out",
            )

    def _measured(self) -> dict[str, Layer]:
        """The layers' grids, from what the network does to an empty image."""
        import torch

        centres, reach = {_PROBE: 0.0}, 0.0  # of the first cell in pixels, by the number of cells a side
        reaches = {}

        def passed(module: Any, given: Any, made: Any) -> None:
            nonlocal reach
            cells, after = given[0].shape[-1], made.shape[-1]
            if cells == 1:
                raise SettingsError(
                    f"layers {', '.join(self.settings.layers)} of {self.settings.network}, which see the whole image",
                    expected="layers that see a place and what is around it",
                    remedy="choose earlier layers, or a network without squeeze-and-excitation",
                )
            kernel, stride, padding, dilation = (
                value[-1] if isinstance(value, tuple) else value
                for value in (module.kernel_size, module.stride, module.padding, getattr(module, "dilation", 1))
            )
            width, pixels = (kernel - 1) * dilation, _PROBE / cells
            if "Same" in type(module).__name__:  # timm's: padded as TensorFlow pads, more on the far side
                padding = max((ceil(cells / stride) - 1) * stride + width + 1 - cells, 0) // 2
            centres.setdefault(after, centres.get(cells, 0.0) + (width / 2 - padding) * pixels)
            reach += width / 2 * pixels

        def noted(name: str, made: Any) -> None:
            reaches[name] = reach, tuple(made.shape)

        watched = [m for m in self.model.modules() if hasattr(m, "kernel_size") and hasattr(m, "stride")]
        with _running:
            hooks = [module.register_forward_hook(passed) for module in watched]
            try:
                self._run(torch.zeros((1, 3, _PROBE, _PROBE), device=self.device), noted)
            finally:
                for hook in hooks:
                    hook.remove()
        found = {}
        for name in self.settings.layers:
            seen, shape = reaches.get(name, (0.0, ()))
            if len(shape) != 4 or not shape[3] or _PROBE % shape[3] or shape[2] != shape[3]:
                raise SettingsError(
                    f"layer {name} of {self.settings.network}, which makes {shape[1:] or 'nothing'} of {_PROBE} x "
                    f"{_PROBE} pixels",
                    expected="channels on a grid whose cells are so many whole pixels wide",
                    remedy="choose another layer",
                )
            stride = _PROBE // shape[3]
            shift = (centres[shape[3]] - (stride - 1) / 2) / stride
            found[name] = Layer(shape[1], stride, shift, seen)
        return found

    def _run(self, pixels: Any, noted: Any) -> None:
        """Run the network as far as the last layer wanted; `noted` gets each layer's name and output."""
        import torch

        left = set(self.settings.layers)

        def passed(name: str, module: Any, given: Any, made: Any) -> None:
            noted(name, made)
            left.discard(name)
            if not left:
                raise _AllFound

        modules = dict(self.model.named_modules())
        with _running:
            hooks = [modules[name].register_forward_hook(partial(passed, name)) for name in self.settings.layers]
            try:
                with torch.inference_mode():
                    getattr(self.model, "forward_features", self.model)(pixels)
            except _AllFound:
                pass
            finally:
                for hook in hooks:
                    hook.remove()

    def names_of(self, layer: str) -> tuple[str, ...]:
        """Names of a layer's channels: ``conv_blocks_0_c003`` (no dots: TWS parses names with sigmas)."""
        start = f"conv_{layer.replace('.', '_')}"
        return tuple(f"{start}_c{c:03d}" for c in range(self.layers[layer].channels))

    def outputs(self, image: Image, limits: Sequence[float] | np.ndarray | None = None) -> Iterator[tuple[str, Any]]:
        """The layers' outputs of an image without its data bar; those of the last images are kept.

        Parameters
        ----------
        image : Image
        limits : sequence of float, optional
            Greys that become 0 and 1; the image's own percentiles otherwise.

        Yields
        ------
        name : str
        output : ndarray, float32, shape (gy, gx, C)
            Cell (0, 0) lies in the image's corner and is ``stride / enlargement`` pixels wide.
        """
        field = image.data[image.field]
        low, high = percentile_limits(field, *self.settings.percentiles) if limits is None else limits
        scaled = scale_between(field, float(low), float(high))
        seen = hashlib.sha256(np.ascontiguousarray(scaled).tobytes()).digest(), scaled.shape
        how = "conv", self.provenance.sha256, self.settings.enlargement, self.settings.layers, self.device
        made: dict[str, np.ndarray] = {}

        def make(name: str) -> np.ndarray:
            if name not in made:
                made.update(self._tiled(scaled, image.name))
            return made[name]

        for name in self.settings.layers:
            yield name, token_cache.get((*seen, *how, name), partial(make, name))

    def _tiled(self, scaled: np.ndarray, name: str) -> dict[str, np.ndarray]:
        """Outputs of all layers for an image in [0, 1], (Y, X) or (Y, X, 3)."""
        import torch

        pixels = torch.from_numpy(np.ascontiguousarray(scaled.reshape(*scaled.shape[:2], -1).transpose(2, 0, 1)))
        if (factor := self.settings.enlargement) != 1:
            pixels = torch.nn.functional.interpolate(
                pixels[None], scale_factor=factor, mode="bicubic", align_corners=False, antialias=factor < 1
            )[0]
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in input_scaling(self.settings.network, self.model))
        shape, margin = pixels.shape[1:], self.margin
        whole = [self.step * ceil(length / self.step) for length in shape]
        around = [(margin, margin + full - length) for full, length in zip(whole, shape, strict=True)]
        padded = torch.from_numpy(np.pad(pixels.numpy(), ((0, 0), *around), mode="symmetric"))
        found = {
            layer: np.empty((*(-(-length // own.stride) for length in shape), own.channels), np.float32)
            for layer, own in self.layers.items()
        }
        tile = self.step * max(1, TILE // self.step)
        corners = [(y, x) for y in range(0, whole[0], tile) for x in range(0, whole[1], tile)]
        with bar(f"convolutional features of {name}", len(corners)) as steps:
            for y, x in corners:
                bottom, right = min(y + tile, whole[0]), min(x + tile, whole[1])
                seen = padded[:, y : bottom + 2 * margin, x : right + 2 * margin]
                put = partial(self._put, found, (y, x), (bottom, right))
                self._run(((seen - mean) / std)[None].to(self.device), put)
                steps.update(1)
        return found

    def _put(
        self, found: dict[str, np.ndarray], start: tuple[int, int], stop: tuple[int, int], layer: str, made: Any
    ) -> None:
        """Copy a tile of a layer's output, without its margin, to its place."""
        stride, cut = self.layers[layer].stride, self.margin // self.layers[layer].stride
        place = found[layer][tuple(slice(a // stride, b // stride) for a, b in zip(start, stop, strict=True))]
        inner = made[0, :, cut : cut + place.shape[0], cut : cut + place.shape[1]]
        place[:] = inner.permute(1, 2, 0).float().cpu().numpy()
