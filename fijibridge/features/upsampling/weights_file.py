"""Weights of the learned upsampler: reading and checking the file."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from fijibridge.core.errors import SettingsError, WeightsError
from fijibridge.features.upsampling.published_checkpoint import (
    LARGEST,
    Layout,
    is_checkpoint,
    layout_of,
    misfit,
    read_checkpoint,
)

WIDTH, DEPTH = 16, 4
DILATIONS = (1, 2, 4, 8, 2)
_TORCH = (b"PK\x03\x04", b"\x80")  # how a torch file begins, today and of old
_EXPECTED = "a file that fijibridge train-upsampler wrote, or a checkpoint of github.com/tldr-group/vulture"
PACKAGED = Path(__file__).with_name("learned_upsampler.safetensors")


def shapes() -> dict[str, tuple[int, ...]]:
    """The arrays of a weights file."""
    found: dict[str, tuple[int, ...]] = {}
    for i in range(len(DILATIONS)):
        found |= {f"conv{i}.weight": (WIDTH, WIDTH if i else 1, 3, 3), f"conv{i}.bias": (WIDTH,)}
    return found | {"guide.weight": (DEPTH, WIDTH, 1, 1), "guide.bias": (DEPTH,)}


def read_weights(path: str | Path | None = None) -> bytes:
    """The bytes of a weights file, checked.

    Parameters
    ----------
    path : path, optional
        A safetensors file as :mod:`fijibridge.features.upsampling.training` writes it, or a checkpoint as
        :mod:`fijibridge.features.upsampling.published_checkpoint` describes it, which becomes a safetensors file; the
        default is the package's own.

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
            expected=_EXPECTED,
            remedy="check the path, or leave it out for the weights of the package",
        ) from error
    wrong = f"{size / 2**20:.0f} MiB, more than {LARGEST // 2**20}" if len(data) > LARGEST else ""
    if not wrong and data.startswith(_TORCH):
        data = read_checkpoint(path)
    if wrong := wrong or _wrong(data):
        raise WeightsError(
            f"{path}: {wrong}",
            expected=_EXPECTED,
            remedy="train an upsampler, or leave the path out for the weights of the package",
        )
    return data


def check_weights(data: bytes) -> None:
    """Refuse what are no bytes of :func:`read_weights`.

    Raises
    ------
    SettingsError
    """
    if wrong := _wrong(data):
        raise SettingsError(
            f"weights of the upsampler: {wrong}",
            expected="the weights that the classifier was trained with",
            remedy="restore the classifier's folder, or train it anew",
        )


@lru_cache(maxsize=4)
def layout(data: bytes) -> Layout | None:
    """The sizes of the convolutional upsampler whose weights these are; None for a network that makes a guide."""
    return layout_of(data) if is_checkpoint(data) else None


def check_channels(data: bytes, channels: int, patch: int = 0, encoder: str = "") -> None:
    """Refuse weights of a convolutional upsampler made for other features.

    Parameters
    ----------
    data : bytes
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
    found = layout(data)
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


@lru_cache(maxsize=4)
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
