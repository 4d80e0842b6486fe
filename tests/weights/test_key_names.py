"""Checkpoints of others: a ViT inside of a larger model, transformers' names, one channel."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from fijibridge.core.errors import WeightsError
from fijibridge.weights.encoders import create_encoder
from fijibridge.weights.weights import load_weights

NAME = "test_vit"


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(0)
    return create_encoder(NAME).state_dict()


def _loaded(state, path):
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    return load_weights(NAME, checkpoint=path)


def _as_transformers(state, prefix):
    """The names that transformers' ViTMAEForPreTraining gives to these tensors."""
    found = {}
    for name, tensor in state.items():
        if ".qkv." in name:
            for part, own in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                found[name.replace("attn.qkv", f"attention.attention.{part}")] = own
            continue
        for ours, theirs in (
            ("attn.proj", "attention.output.dense"),
            ("mlp.fc1", "intermediate.dense"),
            ("mlp.fc2", "output.dense"),
            ("norm1", "layernorm_before"),
            ("norm2", "layernorm_after"),
            ("patch_embed.proj", "embeddings.patch_embeddings.projection"),
            ("pos_embed", "embeddings.position_embeddings"),
            ("cls_token", "embeddings.cls_token"),
        ):
            name = name.replace(ours, theirs)
        name = name.replace("norm.", "layernorm.") if name.startswith("norm.") else name
        found[name] = tensor
    return {prefix + name.replace("blocks.", "encoder.layer."): tensor for name, tensor in found.items()}


def test_a_vit_inside_of_a_larger_model(state, tmp_path):
    plain = _loaded(state, tmp_path / "plain.safetensors")
    student = {f"module.student.{name}": -tensor for name, tensor in state.items()}
    teacher = {f"module.teacher.backbone.{name}": tensor for name, tensor in state.items()}
    for number, larger in enumerate(
        (
            {"decoder.weight": torch.zeros(3), **{f"encoder.{name}": tensor for name, tensor in state.items()}},
            {"decoder_pos_embed": torch.zeros(3), "mask_token": torch.zeros(1, 1, 64), **state},
            {**student, **teacher},
            _as_transformers(state, "vit."),
            _as_transformers(state, ""),
        )
    ):
        assert _loaded(larger, tmp_path / f"{number}.safetensors").sha256 == plain.sha256, number
    torch.save({"model_state": {f"module.{name}": tensor for name, tensor in state.items()}}, tmp_path / "a.pth")
    assert load_weights(NAME, checkpoint=tmp_path / "a.pth").sha256 == plain.sha256


def test_two_vits_are_not_guessed_at(state, tmp_path):
    two = {f"{one}.{name}": tensor.clone() for one in ("left", "right") for name, tensor in state.items()}
    with pytest.raises(WeightsError, match=f"does not fit {NAME}"):
        _loaded(two, tmp_path / "two.safetensors")


def test_one_channel_sees_grey_as_it_did(state, tmp_path):
    grey = state["patch_embed.proj.weight"].mean(1, keepdim=True)
    found = _loaded({**state, "patch_embed.proj.weight": grey}, tmp_path / "grey.safetensors").state
    torch.testing.assert_close(found["patch_embed.proj.weight"].sum(1, keepdim=True), grey)
