"""Every long operation on small inputs, as a command line: for kills and full disks."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import safetensors.numpy
import tifffile

from fijibridge.core.manifest import MANIFEST
from fijibridge.images.writing import write_labels
from fijibridge.synthesis.demo import CLASS_NAMES, demo_image

# the command line as a shell starts it, with a small limit on files where one is given, and states kept often
CHILD = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
limit = int(sys.argv.pop(1))
if limit:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
if sys.argv[1] in ("reconstruct", "superresolve"):
    import fijibridge.reconstruction.volume as volume
    volume._SAVE_S = 0.1
from fijibridge.frontends.process import run
run()
"""
SIMULATION = """
preset = "generic"
size = 64
depth = 12
sections = 2
pixel_size = 0.1

[structure]
cam_diameter = [1.2, 2.0]
"""


@dataclass(frozen=True)
class Work:
    """An operation on small inputs.

    Parameters
    ----------
    name : str
        For a person.
    words : tuple of str
        What stands behind ``fijibridge``; without --out.
    resumes : bool
        It has --resume.
    out : str
        Name of the result.
    """

    name: str
    words: tuple[str, ...]
    resumes: bool = False
    out: str = "out"

    def command(self, place: Path, *more: str, file_limit: int = 0) -> list[str]:
        """The command of a process that writes to a place.

        Parameters
        ----------
        place : Path
            Folder of the result.
        *more : str
            Further words.
        file_limit : int
            Bytes that a file may have; 0: any.
        """
        out = ["--out", str(place / self.out), *more, "--quiet"]
        return [sys.executable, "-c", CHILD, str(file_limit), *self.words, *out]


def works(folder: Path) -> list[Work]:
    """Make the inputs in a folder; the operations that read them.

    Parameters
    ----------
    folder : Path
        Exists.
    """
    inputs = folder / "inputs"
    inputs.mkdir()
    for seed in range(3):
        image, labels, truth = demo_image(128, seed)
        tifffile.imwrite(inputs / f"image{seed}.tif", image.data, imagej=True)
        if not seed:
            write_labels(inputs / "labels.tif", labels.data, class_names=CLASS_NAMES)
            write_labels(inputs / "slice.tif", truth, class_names=CLASS_NAMES)
            tifffile.imwrite(inputs / "stack.tif", np.stack([image.data] * 4), imagej=True, metadata={"axes": "ZYX"})
    block = np.repeat(np.repeat(np.repeat(truth[None, :32, :32] - 1, 12, 0), 2, 1), 2, 2)
    tifffile.imwrite(inputs / "volume.tif", block.astype(np.uint8), imagej=True, metadata={"axes": "ZYX"})
    ball = np.square(np.mgrid[:6, :6, :6] - 2.5).sum(0) < 7
    tifffile.imwrite(inputs / "coarse.tif", ball.astype(np.uint8), imagej=True, metadata={"axes": "ZYX"})
    (inputs / "small.toml").write_text(SIMULATION, encoding="utf-8")
    micrograph, strokes, phases = (str(inputs / name) for name in ("image0.tif", "labels.tif", "slice.tif"))
    one = ("--threads", "1")
    forest = ("--features", "tws", "--trees", "150", *one)
    simulation = ("simulate", "--config", str(inputs / "small.toml"), "--count", "32")
    network = ("--steps", "40", "--width", "8", "--crop", "64", "--batch", "2", *one)
    for words in (
        ("segment", micrograph, "--labels", strokes, "--out", str(inputs / "trained"), *forest),
        (
            "simulate",
            "--config",
            str(inputs / "small.toml"),
            "--size",
            "128",
            "--count",
            "12",
            "--out",
            str(inputs / "set"),
        ),
        ("train-network", str(inputs / "set"), "--out", str(inputs / "net"), *network),
    ):
        subprocess.run([sys.executable, "-c", CHILD, "0", *words, "--quiet"], check=True)
    pair = ("--se", micrograph, "--bse", str(inputs / "image1.tif"))
    volumes = ("--loss", "patches", "--steps", "30", "--slices-per-step", "4", *one)
    images = [str(inputs / f"image{seed}.tif") for seed in range(3)]
    return [
        Work("segment", ("segment", micrograph, "--labels", strokes, "--importance", *forest)),
        Work("apply", ("apply", str(inputs / "trained" / "classifier"), *images, *one)),
        Work("features", ("features", str(inputs / "stack.tif"), "--features", "tws", *one)),
        Work("measure", ("measure", str(inputs / "volume.tif"), *one)),
        Work("demo", ("demo", "--size", "128", "--features", "tws", *one)),
        Work("diversity", ("diversity", str(inputs / "set"), "--real", micrograph, "--encoder", "none")),
        Work("segment-network", ("segment-network", str(inputs / "net"), *pair, *one)),
        Work(
            "fine-tune-network",
            ("fine-tune-network", str(inputs / "net"), *pair, "--labels", strokes, "--steps", "20", *one),
        ),
        Work("simulate, 1 worker", (*simulation, "--workers", "1"), resumes=True),
        Work("simulate, 2 workers", (*simulation, "--workers", "2"), resumes=True),
        Work("reconstruct", ("reconstruct", phases, "--volume-size", "20", *volumes), resumes=True, out="fine.tif"),
        Work("reconstruct, folder", ("reconstruct", phases, "--volume-size", "20", *volumes), resumes=True),
        Work(
            "superresolve",
            (
                "superresolve",
                str(inputs / "coarse.tif"),
                "--micrographs",
                phases,
                "--visible",
                CLASS_NAMES[0],
                "--trust",
                "slices",
                "--factor",
                "4",
                *volumes,
            ),
            resumes=True,
            out="fine.tif",
        ),
        Work("train-network", ("train-network", str(inputs / "set"), *network), resumes=True),
    ]


def in_session(session: int) -> list[psutil.Process]:
    """Processes that belong to a session, the workers of one that is gone included.

    Parameters
    ----------
    session : int
        Its leader's number.
    """
    found = []
    for process in psutil.process_iter(["pid", "status"]):
        try:
            if os.getsid(process.pid) == session and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (OSError, psutil.Error):
            continue
    return found


def wait_until_gone(session: int, seconds: float = 5) -> None:
    """AssertionError where processes of a session live on.

    Parameters
    ----------
    session : int
        Its leader's number.
    seconds : float
        That they are given.
    """
    end = time.monotonic() + seconds
    while left := in_session(session):
        assert time.monotonic() < end, f"still there: {[' '.join(process.cmdline())[-80:] for process in left]}"
        time.sleep(0.05)


def contents(place: Path, result: Path) -> str:
    """Digest of what a result holds, after a look whether each file is whole; reports and times are left out.

    Parameters
    ----------
    place : Path
        Folder that the result lies in.
    result : Path
        The result; of a volume's file its report too.
    """
    digest = hashlib.sha256()
    files = [result] if result.is_file() else []
    folder = result.with_name(f"{result.stem}_report") if result.suffix else result
    for path in sorted([*files, *_listed(folder)]):
        if path.suffix == ".tif":
            content = tifffile.imread(path).tobytes()
        elif path.suffix == ".safetensors":
            arrays = safetensors.numpy.load_file(path)
            content = b"".join(name.encode() + arrays[name].tobytes() for name in sorted(arrays))
        elif path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
            content = b""
        else:
            content = b"" if path.stat().st_size else b"empty"
        digest.update(path.relative_to(place).as_posix().encode() + content)
    return digest.hexdigest()


def _listed(folder: Path) -> Iterator[Path]:
    names = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    for name in names:
        path = folder / name
        if name == "volume.tif" and any(other.startswith("../") for other in names):  # it was moved there
            continue
        if folder.name == "segmentation" and name == "report.json":  # demo's own report stands for it
            continue
        assert path.exists(), f"{path} is listed and not there"
        if path.is_dir() and (path / MANIFEST).is_file():
            yield from _listed(path)
        elif path.is_file() and not name.startswith("..") and path.name not in ("checkpoint.json", MANIFEST):
            yield path
