"""timm's vision transformers by name."""

from __future__ import annotations

from typing import Any

from fijibridge.core.errors import SettingsError

DEFAULT_ENCODER = "vit_small_patch14_dinov2"

# Of timm.models. All models of these make one token a patch of an image of any size.
_VIT_MODULES = ("vision_transformer", "eva", "deit")
_SAM_MODULE = "vision_transformer_sam"  # too, but timm asks for no option, and their tokens have no final norm
_REFUSED = {  # others that a user may ask for, and why they do not serve
    "beit": "its position biases are of one image size; beit3 serves",
    "convnext": "it is a convolutional network: each stage has a grid of its own, and no blocks of one width",
    "hiera": "its patches are merged from stage to stage",
    "hieradet_sam2": "its patches are merged from stage to stage; samvit, the first SAM, serves",
    "swin_transformer": "its patches are merged from stage to stage",
    "vision_transformer_hybrid": "a convolutional network stands before its blocks",
}


def create_encoder(encoder: str) -> Any:
    """A timm ViT with no weights loaded, for images of any size.

    Raises
    ------
    SettingsError
        If timm knows no such model, or it is not a plain ViT (patch embedding, blocks, one token grid).
    """
    import timm

    architecture = encoder.split(".")[0]
    if not timm.is_model(architecture):
        import difflib

        near = difflib.get_close_matches(architecture, timm.list_models("*vit*"), n=3, cutoff=0.5)
        raise SettingsError(
            f"encoder {encoder!r} is not known to timm {timm.__version__}",
            expected="a ViT of timm, such as " + ", ".join([DEFAULT_ENCODER, *near]),
            remedy="choose one of fijibridge.list_encoders(), or update timm",
        )
    known = (module for module in (*_VIT_MODULES, _SAM_MODULE, *_REFUSED) if architecture in _models_of(module))
    module = next(known, "")
    if module not in (*_VIT_MODULES, _SAM_MODULE):
        raise _not_a_vit(encoder, _REFUSED.get(module, "it is of another kind"))
    options: dict[str, Any] = {} if module == _SAM_MODULE else {"dynamic_img_size": True}
    return timm.create_model(encoder, pretrained=False, num_classes=0, **options).eval()


def _models_of(module: str) -> list[str]:
    import timm

    return timm.list_models(module=module)


def list_encoders(pattern: str = "*") -> list[str]:
    """Names that ``encoder`` takes: timm's vision transformers with patch tokens for images of any size.

    Parameters
    ----------
    pattern : str
        Shell-style, such as ``"*dinov2*"``.

    Returns
    -------
    list of str
        ``NAME``, or ``NAME.TAG`` for one of several trained weights. Most need timm's model hub; the default encoder's
        are found without.
    """
    import fnmatch

    import timm

    names = {name for module in (*_VIT_MODULES, _SAM_MODULE) for name in _models_of(module)}
    tagged = [name for name in timm.list_pretrained() if name.split(".")[0] in names]
    return sorted(name for name in {*names, *tagged} if fnmatch.fnmatch(name, pattern))


def n_prefix_tokens(model: Any) -> int:
    """Tokens before those of the patches: class token and registers; SAM has none.

    Parameters
    ----------
    model : torch.nn.Module
        Of :func:`create_encoder`.
    """
    return int(getattr(model, "num_prefix_tokens", 0))


def block_tokens(model: Any, pixels: Any, blocks: list[int], attention_bias: Any = None) -> Any:
    """Tokens of some blocks, one block's channels after the other's: (images, C, h, w).

    Each block's tokens go through the final norm. SAM has none: its last layers make 256 channels of its last block's
    tokens alone. Its tokens are normalised as a layer norm does before its own weights.

    Parameters
    ----------
    model : torch.nn.Module
        Of :func:`create_encoder`.
    pixels : torch.Tensor, float32, shape (images, 3, Y, X)
        Normalised, whole patches.
    blocks : list of int
        The first being 1, in rising order.
    attention_bias : torch.Tensor, optional
        Added to the attention's logits, which SAM cannot.
    """
    import torch

    has_norm = not hasattr(model, "neck")
    maps = model.forward_intermediates(
        pixels,
        indices=[block - 1 for block in blocks],
        norm=has_norm,
        stop_early=True,
        intermediates_only=True,
        **({} if attention_bias is None else {"attn_mask": attention_bias}),
    )
    if not has_norm:
        maps = [
            torch.nn.functional.layer_norm(one.permute(0, 2, 3, 1), one.shape[1:2]).permute(0, 3, 1, 2) for one in maps
        ]
    return torch.cat(maps, dim=1)


def _not_a_vit(encoder: str, why: str) -> SettingsError:
    return SettingsError(
        f"encoder {encoder!r} is not a plain vision transformer ({why})",
        expected="a model with a patch embedding, blocks and images of any size",
        remedy=f"use {DEFAULT_ENCODER} or another of fijibridge.list_encoders()",
    )
