"""Names of tensors in checkpoints that others wrote, towards those that timm knows.

timm converts what the authors of its models wrote. What comes here besides: a ViT inside of a larger model (a
segmentation network's, a masked autoencoder's, DistributedDataParallel's ``module.``), Hugging Face transformers' names
of ViT, ViT-MAE and DINOv2, and ViTs of one channel, as those trained on electron micrographs alone are.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

_PATCHES = "patch_embed.proj.weight"
_SAM = f"image_encoder.{_PATCHES}"  # whose other names timm converts by this prefix
_TRANSFORMERS = "embeddings.patch_embeddings.projection.weight"
_RENAMED = (  # transformers' names, with the part before them
    (r"embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"embeddings\.position_embeddings$", "pos_embed"),
    (r"embeddings\.", ""),
    (r"encoder\.layer\.(\d+)\.", r"blocks.\1."),
    (r"attention\.output\.dense\.", "attn.proj."),
    (r"intermediate\.dense\.", "mlp.fc1."),
    (r"output\.dense\.", "mlp.fc2."),
    (r"layernorm_before\.", "norm1."),
    (r"layernorm_after\.", "norm2."),
    (r"layer_scale(\d)\.lambda1$", r"ls\1.gamma"),
    (r"^layernorm\.", "norm."),
)
_PART_OF_QKV = re.compile(r"attention\.attention\.(query|key|value)\.")


def towards_timm(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A ViT's tensors under names that timm or its converters know; those of other names as they are.

    Parameters
    ----------
    state : mapping of str to torch.Tensor

    Returns
    -------
    dict of str to torch.Tensor
    """
    found = _alone(state)
    if _TRANSFORMERS in found:
        found = _from_transformers(found)
    weight = found.get(_PATCHES)
    if weight is not None and weight.ndim == 4 and weight.shape[1] == 1:  # grey enters each of three channels
        found[_PATCHES] = weight.repeat(1, 3, 1, 1) / 3
    return found


def _alone(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The ViT in a larger model; a teacher's where there are several."""
    for anchor in (_SAM, _PATCHES, _TRANSFORMERS):
        starts = [name.removesuffix(anchor) for name in state if f".{name}".endswith(f".{anchor}")]
        if len(starts) > 1:
            starts = [start for start in starts if "teacher" in start]
        if len(starts) == 1:
            return {name[len(starts[0]) :]: one for name, one in state.items() if name.startswith(starts[0])}
    return dict(state)


def _from_transformers(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    import torch

    found: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        if match := _PART_OF_QKV.search(name):
            if match[1] == "query":
                parts = [state.get(name.replace(".query.", f".{part}.")) for part in ("query", "key", "value")]
                there = [part for part in parts if part is not None]
                found[_renamed(_PART_OF_QKV.sub("attn.qkv.", name))] = torch.cat(there)
        else:
            found[_renamed(name)] = tensor
    return found


def _renamed(name: str) -> str:
    for old, new in _RENAMED:
        name = re.sub(old, new, name)
    return name
