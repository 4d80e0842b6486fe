"""Networks that were damaged or forged: numbers that give no probabilities, names, sizes, weights."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from attack_kinds.attack import Attack
from attack_kinds.mutations import VALUES, chosen, damaged, finite_rows, places, refused, with_value, without

TITLE = "network.json"
GOAL = 142


def attacks(folder: Path) -> Iterator[Attack]:
    """See the runner."""
    import segmentation_models_pytorch  # noqa: F401 - loaded here once: it takes seconds
    import timm  # noqa: F401
    import torch

    from fijibridge.network.file import load_network, save_network
    from fijibridge.network.network import Network
    from fijibridge.network.settings import NetworkSettings
    from fijibridge.network.unet import new_network

    torch.set_num_threads(1)  # what is forked has no other threads
    rng = random.Random(18)
    module, _ = new_network(NetworkSettings(width=4, levels=2, crop=32), 2, 3)
    network = Network(module.architecture, module.state_dict(), ("ISE", "CAM", "pore"), ("SE", "BSE"),
                      pixel_sizes=(0.04, 0.06), training={"steps": 5, "log": [1, 2]})  # fmt: skip
    good = save_network(network, folder / "good")
    image = np.random.default_rng(0).integers(0, 255, (32, 48), dtype=np.uint8)
    index = json.loads((good / "network.json").read_text(encoding="utf-8"))
    count = iter(range(10**6))

    def predict(place: Path) -> None:
        found = load_network(place).predict({"SE": image, "BSE": image}, threads=1)
        finite_rows(np.moveaxis(found, 0, -1))

    def attack(name: str, change: Callable[[Path], object], *, refuse: bool = False) -> Iterator[Attack]:
        place = folder / f"network {next(count)}"
        shutil.copytree(good, place)
        change(place)
        yield Attack(name, partial(refused, partial(predict, place), name) if refuse else partial(predict, place))
        shutil.rmtree(place)

    predict(good)
    cases = [(path, value) for path in places(index) for value in VALUES]
    for path, value in chosen(cases, 110, rng):
        yield from attack(f"{path} = {value[:20]}", partial(_write, "network.json", with_value(index, path, value)))
    for path in chosen(list(places(index)), 20, rng):
        yield from attack(f"without {path}", partial(_write, "network.json", without(index, path)))

    # what must not be accepted
    for path, values in {
        ("temperature",): ("0", "-1", "NaN", "1e-300", "1e300", '"1"', "true", "null"),
        ("class_names",): ("[]", '"x"', '["a", "a", "b"]', '["a", "b"]', '["a\\nshow=x", "b", "c"]', '["", "b", "c"]',
                           '["a", "b", 3]', '["\\ud800", "b", "c"]'),
        ("detectors",): ("[]", '"x"', '["SE", "se"]', '["SE"]', '["a\\nb", "BSE"]', "[1, 2]"),
        ("architecture", "encoder"): ("5", "null", '""', '"os.system"', '"tu-nothing"'),
        ("architecture", "levels"): ("1000000000", "0", "-3", "2.5", '"2"', "3"),
        ("architecture", "width"): ("1000000000", "0", "true", "5"),
        ("architecture", "stem"): ("3", "0", "1000000000"),
        ("architecture", "classes"): ("1000000000", "0", "2"),
        ("architecture", "detectors"): ("1000000000", "0", "3"),
        ("normalisation", "block"): ("0", "-1", "1000000000", "0.5"),
        ("normalisation", "low"): ("-1", "101", "NaN", '"x"'),
        ("normalisation", "reach"): ("0", "-1", "NaN", "1e300"),
        ("pixel_sizes",): ("[0, 1]", "[NaN, 1]", "[1]", "[2, 1]", "5", '["a", "b"]'),
        ("weights_sha256",): ("null", '""', "5"),
        ("training",): ("5", "[]", '"x"'),
        ("version",): ("2", "null", '"1"'),
        ("format",): ("null", '"x"', "{}"),
    }.items():  # fmt: skip
        for value in values:
            text = with_value(index, path, value)
            yield from attack(f"{path[-1]} is {value}", partial(_write, "network.json", text), refuse=True)

    # weights with a digest that is right
    for number in (float("nan"), float("inf"), 1e38, -1e38):
        for name in list(network.state)[:1] + list(network.state)[-2:]:
            yield from attack(f"{name} = {number}", partial(_forged, index, network.state, name, number))
    yield from attack("a variance below 0", partial(_negative_variance, index, network.state))
    yield from attack("no weights", partial(_replaced, index, {}), refuse=True)
    extra = {**network.state, "more": torch.zeros(3)}
    yield from attack("weights of more", partial(_replaced, index, extra), refuse=True)

    for file in ("network.json", "network.safetensors"):
        for name, bad in damaged((good / file).read_bytes(), rng):
            yield from attack(f"{file} {name}", partial(_write, file, bad))
        yield from attack(f"no {file}", lambda place, file=file: (place / file).unlink(), refuse=True)
        yield from attack(f"{file} a pipe", partial(_pipe, file), refuse=True)


def _write(name: str, content: str | bytes, folder: Path) -> None:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))


def _pipe(name: str, folder: Path) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)


def _replaced(index: dict[str, Any], state: dict[str, Any], folder: Path) -> None:
    from safetensors.torch import save_file

    from fijibridge.weights.weights import state_digest

    save_file(state, folder / "network.safetensors")
    _write("network.json", json.dumps({**index, "weights_sha256": state_digest(state)}), folder)


def _forged(index: dict[str, Any], state: dict[str, Any], name: str, number: float, folder: Path) -> None:
    changed = {key: tensor.clone() for key, tensor in state.items()}
    changed[name].view(-1)[0] = number if changed[name].is_floating_point() else 2**62
    _replaced(index, changed, folder)


def _negative_variance(index: dict[str, Any], state: dict[str, Any], folder: Path) -> None:
    changed = {key: -tensor - 1 if "running_var" in key else tensor.clone() for key, tensor in state.items()}
    _replaced(index, changed, folder)
