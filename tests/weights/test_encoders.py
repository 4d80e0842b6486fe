"""Encoders by timm's names: families with other patch sizes, registers and rotary positions."""

from __future__ import annotations

import numpy as np
import pytest

import fijibridge as fb
from fijibridge.features import VitSettings, extract_features
from fijibridge.synthesis.demo import demo_image
from fijibridge.weights.encoders import DEFAULT_ENCODER, create_encoder, list_encoders


@pytest.mark.parametrize(
    ("name", "patch", "registers"),
    [
        ("test_vit", 16, 0),
        ("vit_tiny_patch16_dinov3_qkvb", 16, 4),
        ("eva02_tiny_patch14_224", 14, 0),
        ("vit_small_patch14_reg4_dinov2", 14, 4),
    ],
)
def test_families_of_encoders(name, patch, registers, tmp_path):
    """Random weights, other patch sizes, registers, rotary positions: tokens on the grid, several blocks and scales."""
    from safetensors.torch import save_file

    assert name in list_encoders()
    model = create_encoder(name)
    assert model.num_prefix_tokens == 1 + registers
    save_file(model.state_dict(), tmp_path / "vit.safetensors")
    own = VitSettings(
        encoder=name, blocks=(1, 3), coarse_blocks=(2,), enlargement=1.0, upsampler="bilinear",
        weights=str(tmp_path / "vit.safetensors"),
    )  # fmt: skip
    stack = extract_features(demo_image(96)[0], own)
    side = round(96 / patch)
    assert stack.tokens().shape == (side, side, 2 * model.embed_dim)
    assert stack.shape[2] == 3 * model.embed_dim
    assert np.isfinite(stack.block(slice(0, 9), slice(0, 9))).all()


def test_names_of_encoders():
    assert fb.list_encoders() == list_encoders()
    assert DEFAULT_ENCODER in list_encoders("*dinov2*")
    assert list_encoders("nothing*") == []
