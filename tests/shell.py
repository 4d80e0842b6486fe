"""What a person at a shell has: small real micrographs, their labels, and the command line. For several test files."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import roifile
import tifffile

from fijibridge.images.image import Image
from fijibridge.images.writing import write_labels
from fijibridge.labels.labels import Labels
from fijibridge.synthesis.demo import demo_image

# TWS features and few trees: what is tried here does not depend on more
FAST = ("--features", "tws", "--trees", "12", "--threads", "1")

SEGMENT = ("segment", "image.tif", "--labels", "labels.tif", "--out", "out", *FAST)
APPLY = ("apply", "classifier", "image.tif", "--out", "out", "--threads", "1")

# the command line as a shell starts it, Ctrl-C included (a process in the background would ignore it), files limited
CHILD = """
import faulthandler, signal, sys
if hasattr(signal, "SIGUSR1"):
    faulthandler.register(signal.SIGUSR1, all_threads=True)
signal.signal(signal.SIGINT, signal.default_int_handler)
limit = int(sys.argv.pop(1))
if limit:
    import resource
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
from fijibridge.frontends.process import run
run()
"""


@dataclass(frozen=True)
class Answer:
    """What came back from the command line."""

    status: int
    out: str
    err: str


Shell = Callable[..., Answer]


def child(*arguments: object, file_limit: int = 0) -> list[str]:
    """The command of a process that runs fijibridge."""
    return [sys.executable, "-W", "error", "-c", CHILD, str(file_limit), *map(str, arguments)]


def write_image(path: Path, data: np.ndarray, nm: float = 25) -> Path:
    """An ImageJ TIFF with square pixels of ``nm`` nanometres; a third axis in front is slices."""
    metadata = {"unit": "nm", "axes": "ZYX"[-data.ndim :]}
    tifffile.imwrite(path, data, imagej=True, resolution=(1 / nm, 1 / nm), metadata=metadata)
    return path


def write_sample(folder: Path, size: int = 128, seed: int = 0) -> tuple[Image, Labels]:
    """``image.tif``, ``labels.tif``, and ``coarse.tif``, a volume that shows the first class, in a folder."""
    image, labels, _ = demo_image(size, seed)
    write_image(folder / "image.tif", image.data)
    write_labels(folder / "labels.tif", labels.data, class_names=labels.class_names, pixel_size=image.pixel_size)
    ball = np.square(np.mgrid[:6, :6, :6] - 2.5).sum(0) < 7
    tifffile.imwrite(folder / "coarse.tif", ball.astype(np.uint8), imagej=True, metadata={"axes": "ZYX"})
    return image, labels


def write_phases(path: Path, size: int = 128, seed: int = 0) -> Path:
    """The demo's phases at every pixel, with their names."""
    image, labels, truth = demo_image(size, seed)
    write_labels(path, truth, class_names=labels.class_names, pixel_size=image.pixel_size)
    return path


def write_rois(path: Path, boxes: dict[str, tuple[int, int, int, int]]) -> Path:
    """A ROI set of rectangles: name -> (left, top, right, bottom)."""
    for name, (left, top, right, bottom) in boxes.items():
        corners = [[left, top], [right, top], [right, bottom], [left, bottom]]
        roifile.ImagejRoi.frompoints(np.array(corners), name=name).tofile(path)
    return path


def tree(root: Path) -> dict[str, bytes | None]:
    """All that is below a folder, hidden things too."""
    return {p.relative_to(root).as_posix(): p.read_bytes() if p.is_file() else None for p in sorted(root.rglob("*"))}


def refused(answer: Answer, *words: str) -> None:
    """Bad input: status 2, and on standard error what was found, what was expected, and the remedy."""
    assert answer.status == 2, answer.err
    assert "expected: " in answer.err
    assert "remedy: " in answer.err
    assert "Traceback" not in answer.err
    assert answer.out == ""
    for word in words:
        assert word in answer.err


def without_java(empty: Path) -> dict[str, str]:
    return {**os.environ, "JAVA_HOME": "", "PATH": str(empty)}
