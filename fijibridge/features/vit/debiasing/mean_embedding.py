"""The position embedding is replaced by its mean: a ViT then sees patches as a set without order."""

from __future__ import annotations

from typing import Any

from fijibridge.core.errors import SettingsError
from fijibridge.features.vit.debiasing.base import Debiasing


class MeanEmbedding(Debiasing):
    """Large tiles, each of which attends to a sample of the patches outside it, too."""

    tile = 784
    overlap = 0.5
    most_overlap = 8
    network_variant = "mean embedding"
    context = True
    accurate = False

    def prepare(self, network: Any, encoder: str) -> None:
        """See :meth:`fijibridge.features.vit.debiasing.base.Debiasing.prepare`."""
        use_mean_position(network, encoder, "mean")


MEAN = MeanEmbedding()


def use_mean_position(model: Any, encoder: str, debiasing: str = "mean") -> None:
    """Replace a ViT's learned position embedding by its mean over the patch grid, in place.

    Every patch then gets the same vector, so that a homogeneous image gives homogeneous features; no training.
    The class token's own entry stays.

    Parameters
    ----------
    model : timm's VisionTransformer
    encoder, debiasing : str
        Its name, and that of the debiasing method that asks for it, for messages.

    Raises
    ------
    SettingsError
        The encoder has no learned absolute position embedding, a rotary one too (which cannot be averaged), or an
        attention without a mask.
    """
    import inspect

    import torch

    embedding = getattr(model, "pos_embed", None)
    rotary = getattr(model, "rope", None) is not None
    relative = hasattr(model, "neck")  # SAM
    if rotary or relative or not isinstance(embedding, torch.nn.Parameter) or embedding.ndim != 3:
        raise SettingsError(
            f"debiasing={debiasing!r} with encoder {encoder!r}, which has "
            + ("a rotary" if rotary else "a relative" if relative else "no learned")
            + " position embedding",
            expected="a ViT with an absolute position embedding alone",
            remedy="use debiasing='none', or another encoder",
        )
    if "attn_mask" not in inspect.signature(model.forward_intermediates).parameters:  # tiles need it for their context
        raise SettingsError(
            f"debiasing={debiasing!r} with encoder {encoder!r}, whose attention takes no mask",
            expected="a plain ViT, of timm's VisionTransformer class",
            remedy="use debiasing='none', or another encoder",
        )
    prefix = 0 if getattr(model, "no_embed_class", False) else model.num_prefix_tokens
    with torch.no_grad():
        embedding[:, prefix:] = embedding[:, prefix:].mean(dim=1, keepdim=True)
