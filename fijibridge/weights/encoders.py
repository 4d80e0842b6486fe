"""timm's vision transformers by name."""

from __future__ import annotations

from typing import Any

from fijibridge.core.errors import SettingsError

DEFAULT_ENCODER = "vit_small_patch14_dinov2"

_VIT_MODULES = ("vision_transformer", "eva", "deit")  # of timm.models: others lack images of any size


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
    try:
        model = timm.create_model(encoder, pretrained=False, num_classes=0, dynamic_img_size=True)
    except (TypeError, RuntimeError) as error:
        raise _not_a_vit(encoder, str(error)) from error
    for part in ("patch_embed", "blocks", "forward_intermediates"):
        if not hasattr(model, part):
            raise _not_a_vit(encoder, f"it has no {part}")
    return model.eval()


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

    names = {name for module in _VIT_MODULES for name in timm.list_models(module=module)}
    tagged = [name for name in timm.list_pretrained() if name.split(".")[0] in names]
    return sorted(name for name in {*names, *tagged} if fnmatch.fnmatch(name, pattern))


def _not_a_vit(encoder: str, why: str) -> SettingsError:
    return SettingsError(
        f"encoder {encoder!r} is not a plain vision transformer ({why})",
        expected="a model with a patch embedding, blocks and images of any size",
        remedy=f"use {DEFAULT_ENCODER} or another of fijibridge.list_encoders()",
    )
