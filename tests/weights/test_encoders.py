"""Encoders by timm's names: families with other patch sizes, registers and rotary positions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import fijibridge as fb
from fijibridge.core.errors import SettingsError
from fijibridge.features import VitSettings, extract_features
from fijibridge.synthesis.demo import demo_image
from fijibridge.weights.encoders import (
    DEFAULT_ENCODER,
    block_tokens,
    create_encoder,
    list_encoders,
    n_prefix_tokens,
)


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


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("vit_base_patch8_224", 1),
        ("vit_small_patch16_dinov3", 5),
        ("vit_7b_patch16_dinov3", 5),
        ("deit_tiny_distilled_patch16_224", 2),
        ("deit3_small_patch16_224", 1),
        ("eva02_tiny_patch14_336", 1),
        ("beit3_base_patch16_224", 1),
        ("vit_base_patch16_clip_224", 1),
        ("vit_base_patch16_siglip_224", 0),
        ("vit_pe_spatial_tiny_patch16_512", 1),
        ("samvit_base_patch16", 0),
        ("samvit_base_patch16_224", 0),
    ],
)
def test_tokens_of_any_size(name, prefix):
    """Of the whole network, without its numbers: the meta device has shapes alone."""
    assert name in list_encoders()
    with torch.device("meta"), torch.inference_mode():
        model = create_encoder(name)
        patch = model.patch_embed.patch_size[0]
        found = block_tokens(model, torch.zeros(2, 3, 5 * patch, 7 * patch), [1, 2])
    assert n_prefix_tokens(model) == prefix
    assert found.shape == (2, 2 * model.embed_dim, 5, 7)


def test_sam_normalises_each_token():
    """Windows that do not divide the grid, relative positions, no class token, and no final norm."""
    from timm.models.vision_transformer_sam import VisionTransformerSAM

    torch.manual_seed(0)
    sam = VisionTransformerSAM(
        img_size=64, embed_dim=32, depth=4, num_heads=2, window_size=3, use_rel_pos=True, global_attn_indexes=(1, 3)
    ).eval()
    pixels = torch.rand(1, 3, 5 * 16, 7 * 16)
    with torch.inference_mode():
        found = block_tokens(sam, pixels, [2, 4])
        alone = block_tokens(sam, pixels, [4])
    assert found.shape == (1, 64, 5, 7)
    torch.testing.assert_close(found[:, 32:], alone)
    torch.testing.assert_close(alone.mean(1), torch.zeros(1, 5, 7), atol=1e-5, rtol=0)
    torch.testing.assert_close(alone.std(1, correction=0), torch.ones(1, 5, 7), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("beit_base_patch16_224", "one image size"),
        ("convnext_tiny.dinov3_lvd1689m", "convolutional"),
        ("sam2_hiera_tiny", "merged from stage to stage; samvit"),
        ("swin_tiny_patch4_window7_224", "merged from stage to stage"),
        ("vit_base_r50_s16_224", "before its blocks"),
        ("resnet18", "another kind"),
    ],
)
def test_encoders_that_cannot_serve(name, why):
    with pytest.raises(SettingsError, match=why):
        create_encoder(name)
    assert name not in list_encoders()
