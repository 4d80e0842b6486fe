"""The learned upsampler: joint bilateral upsampling whose guide is what a small convolutional network sees.

After Docherty, Vamvakeros and Cooper 2025 (arXiv 2508.21529): a convolutional network, trained once and for all images,
that brings a ViT's features to pixels with reference to the image. There the network makes the features themselves, 384
channels of one block of one ViT. Here it makes the few channels of a guide, at the image's own pixels, and the features
go through :mod:`.joint`: so one network serves any encoder, blocks and patch size, upsampling is linear in the features
and the channels are never all in memory. How it is trained: :mod:`.upsampler_training`.

Such a network of theirs may stand in a weights file, too: then it makes the features, see :mod:`.convolutional`.

The network here: 3 x 3 convolutions of `WIDTH` channels with the dilations `DILATIONS`, each with a ReLU after it, and
a 1 x 1 convolution to `DEPTH` channels. It sees the grey image between its percentiles, and 17 pixels around each
pixel.
"""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fijibridge.errors import SettingsError, WeightsError
from fijibridge.features.checkpoint import LARGEST, Layout, is_checkpoint, layout_of, misfit, read_checkpoint

if TYPE_CHECKING:
    from fijibridge.features.recipe import FeatureRecipe
    from fijibridge.features.upsample import Upsampler

WIDTH, DEPTH = 16, 4
DILATIONS = (1, 2, 4, 8, 2)
_HALO = sum(DILATIONS)
_BAND = 128  # rows of the image that the network sees at a time
_TORCH = (b"PK\x03\x04", b"\x80")  # how a torch file begins, today and of old
PACKAGED = Path(__file__).with_name("learned_upsampler.safetensors")


def shapes() -> dict[str, tuple[int, ...]]:
    """The arrays of a weights file."""
    found: dict[str, tuple[int, ...]] = {}
    for i in range(len(DILATIONS)):
        found |= {f"conv{i}.weight": (WIDTH, WIDTH if i else 1, 3, 3), f"conv{i}.bias": (WIDTH,)}
    return found | {"guide.weight": (DEPTH, WIDTH, 1, 1), "guide.bias": (DEPTH,)}


def read_weights(path: str | Path | None = None) -> str:
    """A weights file as text, as it is kept in a recipe: base64 (RFC 4648) of its bytes.

    Parameters
    ----------
    path : path, optional
        A safetensors file as :mod:`.upsampler_training` writes it, or a checkpoint as :mod:`.checkpoint` tells, which
        becomes a safetensors file; that of the package.

    Raises
    ------
    WeightsError
        No such file, one of another kind, or other arrays than the network's, with their names.
    """
    path = Path(path) if path else PACKAGED
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise WeightsError(
            f"no weights of an upsampler: {path} ({error.strerror or error})",
            expected="a file that fijibridge train-upsampler wrote, or a checkpoint of github.com/tldr-group/vulture",
            remedy="check the path, or leave it out for the weights of the package",
        ) from error
    wrong = f"{size / 2**20:.0f} MiB, more than {LARGEST // 2**20}" if len(data) > LARGEST else ""
    if not wrong and data.startswith(_TORCH):
        data = read_checkpoint(path)
    if wrong := wrong or _wrong(data):
        raise WeightsError(
            f"{path}: {wrong}",
            expected="a file that fijibridge train-upsampler wrote, or a checkpoint of github.com/tldr-group/vulture",
            remedy="train an upsampler, or leave the path out for the weights of the package",
        )
    return base64.b64encode(data).decode("ascii")


def check_text(text: str) -> None:
    """Refuse what is no text of :func:`read_weights`.

    Raises
    ------
    SettingsError
    """
    if wrong := _wrong_text(text):
        raise SettingsError(
            f"upsampler_weights: {wrong}",
            expected="the weights of an earlier recipe",
            remedy="leave them out for those of the package, or take the whole recipe of a saved classifier",
        )


def digest(text: str) -> str:
    """SHA-256 of the weights' file."""
    return hashlib.sha256(_bytes(text)).hexdigest()


@lru_cache(maxsize=4)
def layout(text: str) -> Layout | None:
    """The sizes of the convolutional upsampler whose weights these are; None for a network that makes a guide."""
    data = _bytes(text)
    return layout_of(data) if is_checkpoint(data) else None


def check_channels(text: str, channels: int, patch: int = 0, encoder: str = "") -> None:
    """Refuse weights of a convolutional upsampler of other features than a recipe's.

    Parameters
    ----------
    text : str
        Of :func:`read_weights`.
    channels : int
        Of principal components; of a block of the ViT where an encoder is named.
    patch : int
        Side of the ViT's patches; 0: not known yet.
    encoder : str

    Raises
    ------
    SettingsError
    """
    found = layout(text)
    if found is None:
        return
    if found.channels != channels:
        raise SettingsError(
            f"upsampler_weights for {found.channels} channels, and "
            + (f"{encoder} with {channels} in a block" if encoder else f"channels = {channels} principal components"),
            expected=f"weights for {channels} channels",
            remedy=f"take a checkpoint for {channels} channels; FeatUp's see principal components (set channels "
            f"to {found.channels}), LoftUp's a block as it is (channels 0)",
        )
    if patch and found.patch != patch:
        raise SettingsError(
            f"upsampler_weights for patches of {found.patch} px, and an encoder with patches of {patch} px",
            expected=f"weights for patches of {patch} px",
            remedy=f"take an encoder with patches of {found.patch} px, or another checkpoint",
        )


def upsampler_by(recipe: FeatureRecipe, grey: np.ndarray) -> Upsampler:
    """The learned upsampler of one image, see :func:`fijibridge.features.upsample.upsampler_of`."""
    if layout(recipe.upsampler_weights) is None:
        from fijibridge.features.joint import Joint

        return Joint(learned_guide(grey, recipe.percentiles, recipe.upsampler_weights))
    from fijibridge.devices import torch_device
    from fijibridge.features.convolutional import Convolutional, network_of
    from fijibridge.images import scale_percentiles

    network = network_of(_bytes(recipe.upsampler_weights), torch_device("auto"))
    return Convolutional(network, scale_percentiles(grey, *recipe.percentiles).astype(np.float32))


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""


@lru_cache(maxsize=4)
def _wrong_text(text: str) -> str:
    return _wrong(_bytes(text))


def _wrong(data: bytes) -> str:
    """Why a file's bytes are not the network's weights; empty if they are."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if is_checkpoint(data):
        return misfit(data)
    try:
        arrays = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError):
        return "no safetensors file"
    wanted = shapes()
    parts = [f"lacks {', '.join(missing[:4])}"] if (missing := sorted(set(wanted) - set(arrays))) else []
    parts += [f"has {', '.join(extra[:4])}"] if (extra := sorted(set(arrays) - set(wanted))) else []
    for name in sorted(set(wanted) & set(arrays)):
        if arrays[name].shape != wanted[name] or arrays[name].dtype != np.float32:
            parts.append(f"{name} is {arrays[name].dtype} {arrays[name].shape}, not float32 {wanted[name]}")
        elif not np.isfinite(arrays[name]).all():
            parts.append(f"{name} is not finite")
    return "; ".join(parts)


def new_network() -> Any:
    """The network, not trained: (N, 1, Y, X) -> (N, DEPTH, Y - 34, X - 34)."""
    from torch import nn

    layers: dict[str, Any] = {}
    for i, dilation in enumerate(DILATIONS):
        layers[f"conv{i}"] = nn.Conv2d(WIDTH if i else 1, WIDTH, 3, dilation=dilation)
        layers[f"relu{i}"] = nn.ReLU()
    layers["guide"] = nn.Conv2d(WIDTH, DEPTH, 1)
    network = nn.Sequential()
    for name, layer in layers.items():
        network.add_module(name, layer)
    return network


def padded(grey: np.ndarray, percentiles: tuple[float, float]) -> Any:
    """What the network sees of a grey image (Y, X): a tensor (1, 1, Y + 34, X + 34), the outermost pixels repeated."""
    import torch

    from fijibridge.images import scale_percentiles

    scaled = scale_percentiles(grey, *percentiles).astype(np.float32)
    return torch.from_numpy(np.pad(scaled, _HALO, mode="edge"))[None, None]


def learned_guide(grey: np.ndarray, percentiles: tuple[float, float], weights: str) -> np.ndarray:
    """The guide of an image.

    Parameters
    ----------
    grey : ndarray, shape (Y, X)
    percentiles : (float, float)
        Grey values that become 0 and 1.
    weights : str
        See :func:`read_weights`.

    Returns
    -------
    ndarray, float32, shape (Y, X, DEPTH)
        Made band by band of rows, always the same bands.
    """
    import torch
    from safetensors.torch import load

    network = new_network()
    network.load_state_dict(load(_bytes(weights)))
    pixels = padded(grey, percentiles)
    guide = np.empty((*grey.shape, DEPTH), np.float32)
    with torch.inference_mode():
        for top in range(0, grey.shape[0], _BAND):
            found = network(pixels[:, :, top : top + _BAND + 2 * _HALO])
            guide[top : top + _BAND] = found[0].permute(1, 2, 0)
    return guide
