"""Checkpoints of the convolutional upsampler of Docherty, Vamvakeros and Cooper 2025 (arXiv 2508.21529), checked.

The authors' implementation is github.com/tldr-group/vulture (MIT). Its checkpoints are torch files, ``{"weights": state
dict, "config": {...}}``, or a state dict alone. What the network does:
:mod:`fijibridge.features.upsampling.convolutional`.

A config has ``name``, ``k`` (side of the kernels on the way up), ``n_ch_in``, ``n_ch_hidden`` (-1: as ``n_ch_in``),
``n_ch_out``, ``n_ch_guidance`` (of the image), ``n_ch_downsampler``, ``feat_weight``, ``patch_size`` and
``padding_mode``. A state dict alone gives all but the last three, which are then those of the authors' training: -1, 14
and ``zeros``.

In a classifier the checkpoint is a safetensors file with the same names, values and types; the config is JSON under
``config`` in its metadata.
"""

from __future__ import annotations

import json
import math
import pickle
import re
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fijibridge.core.errors import SettingsError, WeightsError

LARGEST = 128 * 2**20  # bytes of a checkpoint
_COUNTER = "num_batches_tracked"  # of the training; it changes nothing
_FIRST = "upsampler.inp_conv.double_conv.0.weight"
_DOWN = "downsampler.downsample_layers.0.maxpool_conv.1.double_conv.0.weight"
_UP = "upsampler.upsamples.0.up.1.weight"
_LAST = "upsampler.mlp.weight"
_SIZES = ("k", "n_ch_in", "n_ch_hidden", "n_ch_out", "n_ch_guidance", "n_ch_downsampler", "patch_size")


@dataclass(frozen=True)
class Layout:
    """Sizes of a network: the numbers of a checkpoint's config, under short names.

    Attributes
    ----------
    kernel : int
        Side of the kernels on the way up.
    channels : int
        Of the features, in and out.
    hidden, down : int
        Channels on the way up and on the way down.
    patch : int
        Pixels of the image a patch.
    padding : {"zeros", "replicate"}
        What convolutions see beyond the image.
    """

    kernel: int
    channels: int
    hidden: int
    down: int
    patch: int
    padding: str

    @property
    def depth(self) -> int:
        """Halvings of the image, and doublings of the features."""
        return math.ceil(math.log2(self.patch))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The arrays of a checkpoint."""
        found: dict[str, tuple[int, ...]] = {}
        for i in range(self.depth):
            before = self.down + 3 if i else 3
            name = f"downsampler.downsample_layers.{i}.maxpool_conv.1.double_conv"
            found |= _double(name, before, self.down, self.down, 3)
        found |= _double("upsampler.inp_conv.double_conv", self.channels, self.hidden, self.hidden, 5)
        joined = self.hidden + self.down + 3
        for i in range(self.depth):
            name = f"upsampler.upsamples.{i}"
            found |= _double(f"{name}.conv.double_conv", joined, joined, self.hidden, self.kernel)
            found |= _convolution(f"{name}.up.1", self.hidden, self.hidden, self.kernel)
        found |= _convolution("upsampler.outp_conv", self.hidden, self.channels, 3)
        return found | _convolution("upsampler.mlp", self.channels, self.channels, 1)


def _convolution(name: str, before: int, after: int, side: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (after, before, side, side), f"{name}.bias": (after,)}


def _double(name: str, before: int, middle: int, after: int, side: int) -> dict[str, tuple[int, ...]]:
    """Two convolutions, the second without a bias, each with a batch normalisation after it."""
    found = _convolution(f"{name}.0", before, middle, side)
    found[f"{name}.3.weight"] = (after, middle, side, side)
    for place, width in ((1, middle), (4, after)):
        found |= {f"{name}.{place}.{own}": (width,) for own in ("weight", "bias", "running_mean", "running_var")}
        found[f"{name}.{place}.{_COUNTER}"] = ()
    return found


def read_checkpoint(path: Path) -> bytes:
    """A torch file of this layout as a safetensors file. Nothing but tensors and containers is unpickled.

    Raises
    ------
    WeightsError
        Too large, no torch file, a file with other objects, or one that does not fit: which arrays are missing, are too
        many or have other shapes, or what this package cannot do with it.
    """
    import torch
    from safetensors.torch import save

    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as file:
            size = sum(member.file_size for member in file.infolist())
        if size > LARGEST:
            raise _refused(path, f"{size / 2**20:.0f} MiB when unpacked, more than {LARGEST // 2**20}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a file of another kind is refused below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _refused(path, "no safetensors file, and a torch file with other objects than tensors") from error
    except Exception as error:  # torch.load has no error of its own: RuntimeError, EOFError, KeyError ...
        raise _refused(path, "no safetensors file, and none that torch reads") from error
    whole = isinstance(content, dict) and isinstance(content.get("weights"), dict)
    state, config = (content["weights"], content.get("config")) if whole else (content, None)
    if not isinstance(state, dict) or not state or not all(isinstance(name, str) for name in state):
        raise _refused(path, "no state dict")
    if strange := [name for name, own in state.items() if not isinstance(own, torch.Tensor)]:
        raise _refused(path, f"no state dict: {_few(strange)} is no tensor")
    if sum(own.numel() * own.element_size() for own in state.values()) > LARGEST:  # a view may be larger than its file
        raise _refused(path, f"tensors of more than {LARGEST // 2**20} MiB together")
    try:
        about = {"config": json.dumps(config)} if config is not None else {}
    except (TypeError, ValueError, RecursionError) as error:
        raise _refused(path, "a config that is not of plain values") from error
    data = save({name: own.detach().clone().contiguous() for name, own in state.items()}, metadata=about)
    if not is_checkpoint(data):
        raise _refused(path, f"a state dict of another network: {_few(sorted(state))}")
    if wrong := misfit(data):
        raise _refused(path, wrong)
    return data


def _refused(path: Path, why: str) -> WeightsError:
    return WeightsError(
        f"{path}: {why}",
        expected="a checkpoint of github.com/tldr-group/vulture with as many channels out as in, or a file that "
        "fijibridge train-upsampler wrote",
        remedy="take another checkpoint, or leave the path out for the weights of the package",
    )


def header(data: bytes) -> dict[str, Any]:
    """The header of a safetensors file; empty where there is none."""
    try:
        found = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def is_checkpoint(data: bytes) -> bool:
    """Whether a safetensors file is of this layout, or meant to be."""
    return any(name.startswith(("upsampler.", "downsampler.")) for name in header(data))


def layout_of(data: bytes) -> Layout:
    """The sizes of a checkpoint, from its config, else from its arrays.

    Parameters
    ----------
    data : bytes
        A safetensors file.

    Raises
    ------
    SettingsError
        They are missing, contradict one another, or are of a network that this package does not have.
    """
    about = header(data)
    try:
        config = json.loads(about.pop("__metadata__", {}).get("config", "{}"))
        shapes = {name: tuple(int(length) for length in own["shape"]) for name, own in about.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _no_layout(f"a config that cannot be read ({type(error).__name__})") from error
    if not isinstance(config, dict):
        raise _no_layout(f"a config that is no dict but a {type(config).__name__}")
    first, down, up, last = (shapes.get(name, ()) for name in (_FIRST, _DOWN, _UP, _LAST))
    for name, own in ((_FIRST, first), (_DOWN, down), (_UP, up), (_LAST, last)):
        if len(own) != 4:
            raise _no_layout(f"lacks {name}" if not own else f"{name} is {own}, not of four dimensions")
    found = (up[-1], first[1], first[0], last[0], down[1], down[0], 14)
    sizes = {name: config.get(name, size) for name, size in zip(_SIZES, found, strict=True)}
    if strange := [name for name, size in sizes.items() if type(size) is not int]:
        raise _no_layout(f"{strange[0]} = {sizes[strange[0]]!r} in the config, no whole number")
    hidden = sizes["n_ch_hidden"] if sizes["n_ch_hidden"] > -1 else sizes["n_ch_in"]
    padding = config.get("padding_mode", "zeros")
    if re.search(r"_ac\d", str(config.get("name", ""))):
        raise _no_layout(f"{config['name']} takes features that an autoencoder made smaller, which is not here")
    if sizes["n_ch_in"] != sizes["n_ch_out"]:
        raise _no_layout(f"n_ch_in = {sizes['n_ch_in']} and n_ch_out = {sizes['n_ch_out']}, not the same")
    weight = config.get("feat_weight", -1)
    for name, fits, wanted in (
        ("n_ch_guidance", sizes["n_ch_guidance"] == 3, "3"),
        ("k", sizes["k"] in (1, 3, 5, 7, 9), "an odd number of 1 to 9"),
        ("patch_size", 2 <= sizes["patch_size"] <= 64, "2 to 64"),
        ("padding_mode", padding in ("zeros", "replicate"), "zeros or replicate"),
        ("feat_weight", isinstance(weight, (int, float)) and weight <= 0, "-1"),
        ("n_ch_hidden", hidden > 0, "more than 0"),
    ):
        if not fits:
            raise _no_layout(f"{name} = {config.get(name, sizes.get(name))!r}, not {wanted}")
    return Layout(sizes["k"], sizes["n_ch_in"], hidden, sizes["n_ch_downsampler"], sizes["patch_size"], padding)


def _no_layout(why: str) -> SettingsError:
    return SettingsError(
        why,
        expected="a checkpoint of github.com/tldr-group/vulture with as many channels out as in",
        remedy="take another checkpoint",
    )


def misfit(data: bytes) -> str:
    """Why a safetensors file is no checkpoint of this layout; empty if it is."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        arrays = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError):
        return "no safetensors file"
    try:
        wanted = layout_of(data).shapes()
    except SettingsError as error:
        return error.found
    parts = []
    if missing := sorted(name for name in set(wanted) - set(arrays) if not name.endswith(_COUNTER)):
        parts.append(f"lacks {_few(missing)}")
    if extra := sorted(set(arrays) - set(wanted)):
        parts.append(f"has {_few(extra)}")
    shared = sorted(set(wanted) & set(arrays))
    shapes = {name: tuple(arrays[name].shape) for name in shared}
    if other := [f"{name} is {shapes[name]}, not {wanted[name]}" for name in shared if shapes[name] != wanted[name]]:
        parts.append(_few(other, "; "))
    for name in shared:
        own = arrays[name]
        if name.endswith(_COUNTER):
            continue
        if own.dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
            parts.append(f"{name} is {str(own.dtype).removeprefix('torch.')}, no floating point")
        elif not own.isfinite().all():
            parts.append(f"{name} is not finite")
        elif name.endswith("running_var") and (own < 0).any():
            parts.append(f"{name} is negative")
    return "; ".join(parts[:6])


def _few(names: list[str], joint: str = ", ") -> str:
    return joint.join(names[:4]) + (f"{joint}... ({len(names)})" if len(names) > 4 else "")
