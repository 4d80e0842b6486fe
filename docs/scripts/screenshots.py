"""Take the documentation's screenshots of ImageJ: the dialog of FB Segment, its result, and the window of TWS.

    python docs/scripts/screenshots.py [--out docs/images]

An ImageJ of fijibridge's own, with the commands installed, runs on a virtual display (Xvfb; openbox, where it is
installed, frames the windows). The image is the demo's. Rerun it after a change of the options. The window of TWS needs
FIJIBRIDGE_TWS_CLASSPATH, a real Trainable Weka Segmentation 4.0 and what it needs, and is left out without it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, ImageChops, ImageDraw, ImageGrab
from scipy import ndimage

from fijibridge.core.cache import cache_folder
from fijibridge.frontends.imagej.gui import command_of, own_imagej
from fijibridge.frontends.imagej.install import install
from fijibridge.frontends.service import client as service
from fijibridge.images.writing import write_labels
from fijibridge.jvm import find_java
from fijibridge.synthesis.demo import demo_image

TESTS = Path(__file__).resolve().parents[2] / "tests"
IMAGES = Path(__file__).resolve().parents[1] / "images"
SIZE = "1500x1400x24"
OPEN = """
open("{folder}/micrograph.tif");
setLocation(960, 180);
run("Enhance Contrast", "saturated=0.35");
"""
DIALOG = OPEN + 'run("FB Segment");\n'
RESULT = (
    OPEN
    + """
run("FB Segment", "labels={folder}/strokes.tif classes=[ISE, CAM, pore] show");
setLocation(540, 180);
File.saveString("done", "{folder}/done.txt");
"""
)
WEKA = """
def shown = openTws(image("micrograph.tif"))
weka(shown, "createNewClass", "class 3")
["ISE", "CAM", "pore"].eachWithIndex { name, k -> weka(shown, "changeClassName", k, name) }
shown.window.setLocation(20, 120)
def truth = image("truth.tif").getProcessor()
def stroke = { int number, int x, int y -> // along the phase, as a hand goes
    def line = new ij.process.FloatPolygon()
    (0..40).each { step ->
        int px = x + step, py = y + 3 * Math.sin(step / 6.0d)
        if (px < truth.width && py < truth.height && truth.get(px, py) == number)
            line.addPoint(px, py)
    }
    def roi = new PolygonRoi(line, Roi.FREELINE)
    roi.strokeWidth = 2
    segmentation(shown).addExample(number - 1, roi, 1)
}
def photograph = { name ->
    WindowManager.getWindow("Log")?.setVisible(false)
    ["drawExamples", "updateExampleLists"].each { method ->
        def own = shown.window.class.declaredMethods.find { it.name == method }
        own.accessible = true
        own.invoke(shown.window)
    }
    new File(WORK, name + ".wanted").text = ""
    until("the picture " + name, 300) { new File(WORK, name + ".taken").exists() }
}
STROKES.each { stroke(*it) }
photograph("weka_strokes")
script("Train_in_Weka_Window", "preset=default")
photograph("weka_window")
STROKES_MORE.each { stroke(*it) }
press(shown, "Train with ViT")
IJ.log("\\\\Clear")
until("second press", 120) { IJ.log?.contains("classifier and features are in the window") }
script("Label_Here_Next")
photograph("weka_next")
new Thread({ button(shown, "Apply classifier").doClick() }).start()
until("dialog", 20) { dialogs() }
photograph("weka_apply")
Thread.sleep(3600000)
"""


@contextmanager
def process(command: list[str], **options) -> Iterator[subprocess.Popen]:
    """A process that ends with the block, and what it started with it."""
    started = subprocess.Popen(command, start_new_session=True, **options)
    try:
        yield started
    finally:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGTERM)
            started.wait(20)


@contextmanager
def display() -> Iterator[str]:
    """A virtual display."""
    reading, writing = os.pipe()
    with process(["Xvfb", "-displayfd", str(writing), "-screen", "0", SIZE], pass_fds=[writing]):
        os.close(writing)
        with os.fdopen(reading) as file:
            name = ":" + file.readline().strip()
        manager = ["openbox"] if shutil.which("openbox") else ["sleep", "infinity"]
        with process(manager, env={**os.environ, "DISPLAY": name}):
            yield name


def grabbed(name: str) -> Image.Image:
    """What is on the display, without the empty border."""
    picture = ImageGrab.grab(xdisplay=name).convert("RGB")
    ground = Image.new("RGB", picture.size, picture.getpixel((picture.width - 1, picture.height - 1)))
    box = ImageChops.difference(picture, ground).getbbox()
    if box is None:
        raise SystemExit("nothing was shown on the display")
    ImageDraw.floodfill(picture, (picture.width - 1, picture.height - 1), (255, 255, 255))
    return picture.crop(box)


def quiet_picture(name: str, seconds: float) -> Image.Image:
    """The display once it has not changed for ten seconds, or when the time is over."""
    end, before = time.monotonic() + seconds, None
    while time.monotonic() < end:
        time.sleep(10)
        try:
            now = grabbed(name)
        except SystemExit:
            continue
        if before is not None and now.size == before.size and ImageChops.difference(now, before).getbbox() is None:
            return now
        before = now
    return grabbed(name)


def take(macro: str, folder: Path, imagej: Path, environment: dict[str, str], *, wait_for: Path | None) -> Image.Image:
    """Run a macro in ImageJ, and photograph the display."""
    script = folder / "screenshot.ijm"
    script.write_text(macro.replace("{folder}", folder.as_posix()), encoding="utf-8")
    with display() as name:
        command = [*command_of(imagej, "1g"), "-macro", str(script)]
        with process(command, env={**environment, "DISPLAY": name}) as running:
            end = time.monotonic() + 600
            while wait_for is not None and not wait_for.exists() and time.monotonic() < end and running.poll() is None:
                time.sleep(1)
            return quiet_picture(name, 240)  # a busy machine takes long to show its first window


def longest_runs(truth: np.ndarray, number: int, count: int) -> list[tuple[int, int, int]]:
    """Where strokes of a class begin, for `WEKA`: in large pieces of it, far apart."""
    inside = ndimage.distance_transform_edt(np.pad(truth == number, 1))[1:-1, 1:-1]
    found = []
    for _ in range(count):
        y, x = np.unravel_index(inside.argmax(), inside.shape)
        found.append((number, max(0, int(x) - 20), int(y)))
        inside[max(0, y - 60) : y + 60, max(0, x - 60) : x + 60] = 0
    return found


def weka_window(folder: Path, environment: dict[str, str], truth: np.ndarray) -> Iterator[tuple[str, Image.Image]]:
    """The window of TWS: strokes, one press, more strokes and a second, places to label next, Apply classifier."""
    sys.path.insert(0, str(TESTS))
    from groovy_jar import groovy_jar

    classpath = os.environ["FIJIBRIDGE_TWS_CLASSPATH"]
    fiji = folder / "Fiji"
    for name in ("jars", "plugins", "macros"):
        (fiji / name).mkdir(parents=True)
    (fiji / "jars" / "imagej-legacy-0.jar").touch()  # a Fiji, for what is installed
    jar = next(Path(part) for part in classpath.split(os.pathsep) if "Trainable_Segmentation" in part)
    shutil.copy(jar, fiji / "plugins")
    install(fiji)
    script = folder / "weka.groovy"
    driver = (TESTS / "weka_window" / "driver.groovy").read_text(encoding="utf-8")
    strokes = [longest_runs(truth, number, 3) for number in (1, 2, 3)]
    first, more = [one for own in strokes for one in own[:2]], [own[2] for own in strokes]
    steps = WEKA.replace("STROKES_MORE", str(list(map(list, more)))).replace("STROKES", str(list(map(list, first))))
    script.write_text(driver + steps, encoding="utf-8")
    java = find_java()
    assert java is not None
    command = [str(java.path), "-Xmx2g", f"-Dfiji={fiji}", f"-Dplugins.dir={fiji}", f"-Dwork={folder}"]
    command += ["-Dpatience=900", "-cp", os.pathsep.join([str(groovy_jar()), classpath])]
    with display() as name:
        started = [*command, "groovy.ui.GroovyMain", str(script)]
        with process(started, env={**environment, "DISPLAY": name}) as running:
            for step in ("weka_strokes", "weka_window", "weka_next", "weka_apply"):
                while not (folder / f"{step}.wanted").exists() and running.poll() is None:
                    time.sleep(1)
                yield step, quiet_picture(name, 60)
                (folder / f"{step}.taken").touch()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=IMAGES)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder, imagej = Path(place), Path(place) / "imagej"
        # a service and settings of its own; the cache with the weights is the user's
        environment = {
            **os.environ,
            "FIJIBRIDGE_SERVICE": str(folder / "service"),
            "FIJIBRIDGE_CACHE": str(cache_folder()),
            "_JAVA_OPTIONS": f"-Djava.util.prefs.userRoot={folder} -Duser.home={folder}",
        }
        os.environ["FIJIBRIDGE_SERVICE"] = environment["FIJIBRIDGE_SERVICE"]
        shutil.copytree(own_imagej(), imagej)
        install(imagej)
        image, labels, truth = demo_image(384)
        tifffile.imwrite(folder / "truth.tif", truth)
        write_labels(folder / "strokes.tif", labels.data, class_names=labels.class_names)
        tifffile.imwrite(folder / "micrograph.tif", image.data, imagej=True)
        try:
            shot = take(DIALOG, folder, imagej, environment, wait_for=None)
            shot.save(arguments.out / "imagej_dialog.png", optimize=True)
            shot = take(RESULT, folder, imagej, environment, wait_for=folder / "done.txt")
            shot.save(arguments.out / "imagej_result.png", optimize=True)
            if os.environ.get("FIJIBRIDGE_TWS_CLASSPATH"):
                for step, shot in weka_window(folder, environment, truth):
                    shot.save(arguments.out / f"{step}.png", optimize=True)
        finally:
            service.stop(folder / "service")


if __name__ == "__main__":
    main()
