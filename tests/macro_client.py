"""What a macro does to call the service, in Python: write the request, GET twice, poll. For several test files."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

from fijibridge.frontends.arguments import parameters_of
from fijibridge.frontends.service.client import Running, ask

_numbers = itertools.count()


def request(folder: Path, operation: str, arguments: dict[str, Any], options: str = "") -> str:
    """Write a request; its id."""
    key = f"test-{os.getpid()}-{next(_numbers)}"
    wanted = {"operation": operation, "arguments": arguments, "options": options}
    (folder / "requests" / f"{key}.json").write_text(json.dumps(wanted), encoding="utf-8")
    return key


def get(service: Running, path: str) -> str:
    """As ImageJ does: every request twice, the second answer counts."""
    ask(service, path)
    answer = ask(service, path)
    assert answer is not None, path
    return answer


def wait(service: Running, key: str) -> str:
    """The answer of a request, polled for."""
    answer = get(service, f"run/{key}")
    for n in itertools.count(1):
        if not answer.startswith("running"):
            return answer
        answer = get(service, f"poll/{key}/{n}")
    raise AssertionError


def call(service: Running, folder: Path, operation: str, arguments: dict[str, Any], options: str = "") -> str:
    """An operation's answer; its files are released."""
    key = request(folder, operation, arguments, options)
    answer = wait(service, key)
    get(service, f"release/{key}")
    return answer


def values(answer: str) -> dict[str, str]:
    """The ``key=value`` lines of an answer."""
    return dict(line.split("=", 1) for line in answer.splitlines() if "=" in line)


def small_options(name: str, sample: Path) -> str:
    """Options that keep an operation small, for macros; `sample` holds what write_sample and write_phases wrote."""
    wanted = {"features": "tws", "threads": "1", "trees": "8", "size": "96"}
    if name in ("reconstruct", "superresolve"):
        wanted |= {"volume_size": "16", "loss": "patches", "steps": "2", "slices_per_step": "2", "factor": "4"}
        wanted |= {"trust": "coarse", "micrographs": str(sample / "phases.tif"), "visible": "ISE"}
    if name == "generate":
        wanted["volume_size"] = "16"
    if "network" in name:
        wanted |= {"bse": str(sample / "image.tif"), "steps": "2", "crop": "64", "batch": "2", "width": "4"}
        wanted["unet_encoder"] = "plain"
    if name in ("bias", "train_upsampler"):
        wanted |= {"encoder": "test_vit", "weights": str(sample / "vit.safetensors")}
    if name == "train_upsampler":
        wanted |= {"crops": "2", "crop": "64", "steps": "2"}
    if name == "simulate":
        wanted |= {"count": "2", "workers": "1"}
    if name in ("segment", "features"):
        wanted["detectors"] = f"SE={(sample / 'image.tif').as_posix()}"
    return " ".join(f"{key}=[{value}]" for key, value in wanted.items() if key in parameters_of(name))
