"""TWS's own window on real micrographs: its own training, Train in Weka Window, and ``fijibridge segment``.

    FIJIBRIDGE_TWS_CLASSPATH=... python benchmarks/weka_window.py [--images spot3_0d_3 spot7_0d_5] [--preset default]
    FIJIBRIDGE_TWS_CLASSPATH=... python benchmarks/weka_window.py --size 1024 --without-own

The traces are the label image. The classpath holds a real Trainable Weka Segmentation 4.0 and what it needs; there has
to be a display (DISPLAY) (Xvfb serves). Seconds run from the press to the first look, to the overlay, and until TWS
itself has classifier and features; the service is warm but for the first image. With --size images are mirrored at
their edges up to that size, and the labels are those of the original: for the seconds.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import tifffile
from machine import data_folder
from results import Results, add_json, met
from segmentation import images, mean_iou

import fijibridge as fb
from fijibridge.core.cache import cache_folder
from fijibridge.frontends.imagej.install import install
from fijibridge.frontends.service import client as service
from fijibridge.jvm import find_java
from fijibridge.operations import operation

ROOT = Path(__file__).resolve().parents[1]
GOAL = 0.003  # of mean IoU, between window and segment
GOALS = {1024: (20, 4), 2048: (60, 10)}  # seconds to the overlay of a first and a further press, by --size
IMAGES = ("spot3_0d_3", "spot7_0d_5", "coating_1", "interactive_0", "interactive_1")


def write_images(chosen: list[Path], work: Path, size: int) -> None:
    """What the window opens: images and labels as TIFF."""
    for path in chosen:
        image = fb.read_image(path)
        labels = fb.read_labels(path.with_name(f"{path.stem}_labels.png"), shape=image.shape)
        grey, drawn = image.grey.astype(image.data.dtype), labels.data.astype(np.uint8)
        if size:
            more = [(0, max(0, size - length)) for length in grey.shape]
            grey = np.pad(grey, more, "symmetric")[:size, :size]
            drawn = np.pad(drawn, more)[:size, :size]
        tifffile.imwrite(work / f"{path.stem}_image.tif", grey)
        tifffile.imwrite(work / f"{path.stem}_labels.tif", drawn)


def in_the_window(work: Path, fiji: Path, preset: str, own: bool) -> dict[str, str]:
    """Runs the window; its answers."""
    sys.path.insert(0, str(ROOT / "tests"))
    from groovy_jar import groovy_jar

    classpath = os.environ["FIJIBRIDGE_TWS_CLASSPATH"]
    jar = next(Path(part) for part in classpath.split(os.pathsep) if "Trainable_Segmentation" in part)
    (fiji / "jars").mkdir(parents=True)
    (fiji / "jars" / "imagej-legacy-0.jar").touch()
    for name in ("plugins", "macros"):
        (fiji / name).mkdir()
    shutil.copy(jar, fiji / "plugins")
    install(fiji)
    script = work / "script.groovy"
    parts = (ROOT / "tests" / "weka_window" / "driver.groovy", Path(__file__).with_suffix(".groovy"))
    script.write_text("".join(part.read_text(encoding="utf-8") for part in parts), encoding="utf-8")
    java = find_java()
    assert java is not None
    settings = {"fiji": fiji, "plugins.dir": fiji, "work": work, "preset": preset, "own": str(own).lower()}
    settings |= {"java.util.prefs.userRoot": work, "user.home": work, "patience": 900}
    command = [str(java.path), "-Xmx4g", *(f"-D{key}={value}" for key, value in settings.items())]
    command += ["-cp", os.pathsep.join([str(groovy_jar()), classpath]), "groovy.ui.GroovyMain", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout[-3000:] + done.stderr[-3000:])
    return dict(re.findall(r"^ANSWER ([^=\n]*)=(.*)$", done.stdout, re.MULTILINE))


def seconds_to(what: str, log: str) -> float:
    """From the press to what the Log says."""
    found = re.search(rf"{what}.*?, ([0-9.]+) s", log)
    return float(found[1]) if found else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", nargs="+", default=IMAGES, help="names of micrographs")
    parser.add_argument("--preset", default="default")
    parser.add_argument("--size", type=int, default=0, help="pixels a side; 0: the images' own")
    parser.add_argument("--without-own", action="store_true", help="leave TWS's own training out")
    parser.add_argument("--data", type=Path, default=None)
    add_json(parser)
    choice = parser.parse_args()
    chosen = [path for path in images(choice.data or data_folder()) if path.stem in choice.images]
    size = f", images of {choice.size} x {choice.size}" if choice.size else ""
    table = Results("weka_window", choice.json).table(
        f"window_{choice.size}" if choice.size else "window",
        f"TWS's window, preset {choice.preset}{size}: mean IoU, and seconds of a first and a further press",
        {
            "image": "",
            "TWS's own": ".3f",
            "Train in Weka Window": ".3f",
            "segment": ".3f",
            "goal (difference)": "",
            "first, s to a look": ".1f",
            "first, s to overlay": ".1f",
            "further, s to overlay": ".1f",
            "goal (s)": "",
            "further, s to all": ".1f",
        },
    )
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        folder = Path(place)
        for name in ("weights", "numba", "positions"):  # but not the tokens of images seen before
            (folder / "cache").mkdir(exist_ok=True)
            (folder / "cache" / name).symlink_to(cache_folder() / name)
        os.environ["FIJIBRIDGE_CACHE"] = str(folder / "cache")
        os.environ["FIJIBRIDGE_SERVICE"] = str(folder / "service")
        work = folder / "work"
        work.mkdir()
        write_images(chosen, work, choice.size)
        try:
            found = in_the_window(work, folder / "Fiji", choice.preset, not choice.without_own)
        finally:
            service.stop(folder / "service")
        for path in chosen:
            truth = iio.imread(path.with_name(f"{path.stem}_truth.png"))
            height, width = truth.shape
            operation("segment")(
                work / f"{path.stem}_image.tif",
                labels=work / f"{path.stem}_labels.tif",
                out=folder / path.stem,
                preset=choice.preset,
            )
            made = {"window": work / f"{path.stem}_window.tif", "segment": folder / path.stem / "labels.tif"}
            made |= {} if choice.without_own else {"own": work / f"{path.stem}_own.tif"}
            score = {key: mean_iou(tifffile.imread(file)[:height, :width], truth) for key, file in made.items()}
            first, further = (
                seconds_to("trained on", found[f"{path.stem} log {press}"]) for press in ("first", "further")
            )
            goals = GOALS.get(choice.size)
            table.add(
                path.stem,
                score.get("own"),
                score["window"],
                score["segment"],
                met(score["window"] >= score["segment"] - GOAL),
                seconds_to("a first look", found[f"{path.stem} log first"]),
                first,
                further,
                met(first <= goals[0] and further <= goals[1]) if goals else "",
                float(found[f"{path.stem} further"]),
            )


if __name__ == "__main__":
    main()
