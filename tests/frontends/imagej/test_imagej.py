"""An ImageJ that its user started, in its own process, prepared by ``fijibridge install``: library and commands."""

from __future__ import annotations

import http.server
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from groovy_jar import groovy_jar
from headless_macros import run_headless
from macro_client import small_options, values
from shell import write_phases, write_sample

from fijibridge.frontends.arguments import parameters_of
from fijibridge.frontends.imagej import gui
from fijibridge.frontends.imagej.install import install, macro_text
from fijibridge.frontends.imagej.macro_generator import camel, command_name, macros_folder, placed
from fijibridge.frontends.service import client as service
from fijibridge.operations import CATALOGUE, operation

pytestmark = pytest.mark.slow

FAST = "features=tws threads=1 trees=8"
OPEN_SAMPLE = """// include FijiBridge.ijm
newImage("mic.tif", "16-bit ramp", 140, 120, 1);
newImage("lab", "8-bit black", 140, 120, 1);
makeRectangle(3, 3, 20, 20); run("Set...", "value=1");
makeRectangle(103, 60, 20, 20); run("Set...", "value=2"); run("Select None");
selectImage("mic.tif");
"""


@pytest.fixture(scope="module")
def imagej(tmp_path_factory, service_folder, java) -> Path:
    """A plain ImageJ's folder, with a space and a letter beyond ASCII in its name."""
    folder = tmp_path_factory.mktemp("ij") / "Image J ü"
    shutil.copytree(gui.own_imagej(), folder)
    install(folder)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_network, tiny_vit) -> Path:
    """A folder with image.tif, labels.tif, a classifier, out/classifier, a data set and a network."""
    folder = tmp_path_factory.mktemp("trained ü")
    write_sample(folder, 96)
    write_phases(folder / "phases.tif", 96)
    for name in ("dataset", "network"):
        shutil.copytree(tiny_network / name, folder / name)
    shutil.copy(tiny_vit, folder / "vit.safetensors")
    operation("segment")(
        folder / "image.tif", labels=folder / "labels.tif", out=folder / "out", features="tws", trees=8, threads=1
    )
    return folder


@pytest.fixture
def headless(imagej, tmp_path) -> Callable[[list[tuple[str, str]]], tuple[list[str | None], str]]:
    """Run macro files one after the other in a headless ImageJ: what they return, and what was printed."""

    def run(macros: list[tuple[str, str]]) -> tuple[list[str | None], str]:
        files = []
        for number, (text, options) in enumerate(macros):
            path = Path(text) if "\n" not in text else tmp_path / f"macro{number}.ijm"
            if "\n" in text:
                path.write_text(text, encoding="ascii")
            files.append((str(path), options))
        return run_headless(imagej, files)

    return run


def image_for(name: str) -> str:
    """The file that an operation of the catalogue is tried on."""
    return {
        "measure": "labels.tif",
        "reconstruct": "phases.tif",
        "generate": "phases.tif",
        "superresolve": "coarse.tif",
    }.get(name, "image.tif")


def given(name: str, trained: Path, out: Path) -> dict[str, str]:
    """Values for the parameters of an operation that have no default."""
    known = {
        "image": trained / image_for(name),
        "images": trained / image_for(name),
        "coarse": trained / image_for(name),
        "like": trained / image_for(name),
        "labels": trained / "labels.tif",
        "classifier": trained / "out" / "classifier",
        "tws_model": trained / "out" / "classifier" / "classifier.model",
        "macro_file": macros_folder() / "examples" / "Weka_Recorded.ijm",
        "feature_file": trained / "out" / "classifier",
        "dataset": trained / "dataset",
        "network": trained / "network",
        "folder": trained,
    }
    return {key: str(out if key == "out" else known[key]) for key in placed(name)[0]}


def test_every_function_and_command(headless, imagej, trained, tmp_path, service_folder):
    """Each function of the library with files, each command on an open image, with and without a folder."""
    before = {path for name in ("requests", "exchange") for path in (service_folder / name).glob("*")}
    macros = []
    for name in CATALOGUE:
        image = macro_text(str(trained / image_for(name)))
        open_image = f"// include FijiBridge.ijm\nclose('*');\nopen({image});\n"
        arguments = ", ".join(map(macro_text, given(name, trained, tmp_path / f"{name} ü").values()))
        separator = ", " if arguments else ""
        call = f"fb{camel(name)}({arguments}{separator}{macro_text(small_options(name, trained))})"
        macros.append((f'// include FijiBridge.ijm\nreturn "" + {call};', ""))
        options = given(name, trained, tmp_path / f"{name} command")
        open_already = ("image", "images", "coarse", "like")
        words = " ".join(f"{key}=[{value}]" for key, value in options.items() if key not in open_already)
        command = imagej / "plugins" / "FijiBridge" / f"{command_name(name).replace(' ', '_')}.ijm"
        macros += [(open_image, ""), (str(command), f"{words} {small_options(name, trained)}")]
    answers, printed = headless(macros)
    for name, answer in zip(CATALOGUE, answers[::3], strict=True):
        assert values(answer or "")["operation"] == name, (name, printed)
        if "out" in parameters_of(name):
            for folder in (f"{name} ü", f"{name} command"):
                assert (tmp_path / folder / "report.json").is_file(), (folder, printed)
    assert "Error" not in printed
    for name in ("requests", "exchange"):
        assert not set((service_folder / name).iterdir()) - before


def test_images_and_results(headless, imagej):
    code = OPEN_SAMPLE + (
        f'result = fbSegment("", "lab", "", "{FAST} classes=[a, b c]");\n'
        "title = getTitle(); selectImage('mic_labels');\n"
        'return title + "|" + getPixel(2, 2) + "|" + nImages + "|" + fbValue(result, "class_names");'
    )
    answers, printed = headless([(code, "")])
    assert answers == ["mic_labels|1|4|a,b c"], printed


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("labels=lab tree=8", "segment has no option 'tree'"),
        ("labels=lab trees=many", "trees"),
        ("labels=lab trees=0", "1 to 10000"),
        ("labels=lab engine=java", "one of sklearn, weka"),
        ("labels=nowhere", "labels = nowhere, a path that does not say where it begins"),
        ("labels=/nowhere.tif", "/nowhere.tif"),
        ("labels=", "segment without labels"),
    ],
)
def test_a_command_tells_what_is_wrong(headless, imagej, options, told):
    command = imagej / "plugins" / "FijiBridge" / "FB_Segment.ijm"
    answers, printed = headless([(OPEN_SAMPLE, ""), (str(command), f"{options} features=tws")])
    assert answers[1] == "[aborted]"
    assert told in printed


def test_no_image_is_open(headless, imagej):
    command = imagej / "plugins" / "FijiBridge" / "FB_Segment.ijm"
    _, printed = headless([(str(command), "labels=x")])
    assert "no image is open in ImageJ" in printed


def test_python_has_moved(headless, imagej, trained):
    library = imagej / "macros" / "FijiBridge.ijm"
    whole = library.read_text(encoding="ascii")
    try:
        library.write_text(whole.replace("/bin/", "/gone/").replace("service.txt", "nothing.txt"), encoding="ascii")
        _, printed = headless([("// include FijiBridge.ijm\nfbDoctor('');", "")])
    finally:
        library.write_text(whole, encoding="ascii")
    assert "Python is not where it was" in printed
    assert "fijibridge install" in printed


def test_a_library_that_was_not_installed(headless, imagej):
    library = imagej / "macros" / "FijiBridge.ijm"
    whole = library.read_text(encoding="ascii")
    try:
        from fijibridge.frontends.imagej.macro_generator import LIBRARY, macros_folder

        shutil.copy(macros_folder() / LIBRARY, library)
        answers, _ = headless([("// include FijiBridge.ijm\nreturn \"\" + fbDoctor('on_error=return');", "")])
    finally:
        library.write_text(whole, encoding="ascii")
    assert "was not installed" in answers[0]


def test_a_stranger_on_the_port_gets_no_token_and_no_trust(headless, imagej, service_folder):
    """A file that a service left, as if of a moment ago: its port is another's by now. Then an empty file."""
    heard = []

    class Stranger(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(self.requestline)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"done\noperation=forged\nshow=/etc/passwd\tforged\n")

        def log_message(self, *_: object) -> None:
            pass

    service.stop(service_folder)
    service.private_folder(service_folder)
    for name in ("requests", "exchange"):
        (service_folder / name).mkdir(exist_ok=True)
    code = '// include FijiBridge.ijm\nreturn "" + fbValue(fbDoctor(""), "operation");'
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        info = (
            service_folder / service.INFO
        )  # written by the macro, so that it is fresh however long Java takes to start
        text = f'"{server.server_port}\\ns3cret\\n{os.getpid()}\\n0.1\\n"'
        stale = f"File.saveString({text}, {macro_text(str(info))});\n"
        answers, printed = headless([(code.replace("return", f"{stale}return"), "")])
        server.shutdown()
        thread.join()
    assert answers == ["doctor"], printed
    assert any(line.startswith("GET /run/") for line in heard)
    found = service.running(service_folder)
    assert not any("s3cret" in line or found.token in line or "token" in line for line in heard)
    service.stop(service_folder)
    info.write_bytes(b"")
    answers, printed = headless([(code, "")])
    assert answers == ["doctor"], printed
    assert not list((service_folder / "exchange").iterdir())


# --- with its window -------------------------------------------------------------------------------------------------


@pytest.fixture
def window(display, imagej, tmp_path) -> Iterator[Callable[..., str]]:
    """Run a macro in an ImageJ with its window, as a user starts it; the text that the macro writes."""
    processes = []

    def run(code: str, during: Callable[[], None] = lambda: None, seconds: float = 90) -> str:
        macro, out = tmp_path / "macro.ijm", tmp_path / "out.txt"
        macro.write_text(code.replace("OUT", macro_text(str(out))), encoding="ascii")
        # -port0: else an ImageJ that somebody left on a display of this number would be given the macro
        command = [*gui.command_of(imagej, "400m"), "-port0", "-macro", str(macro)]
        process = subprocess.Popen(command, env={**os.environ, "DISPLAY": display})
        processes.append(process)
        during()
        end = time.monotonic() + seconds
        while not out.exists() and time.monotonic() < end and process.poll() is None:
            time.sleep(0.1)
        time.sleep(0.5)
        return out.read_text(encoding="utf-8") if out.exists() else ""

    yield run
    for process in processes:
        process.kill()
        process.wait()


def test_a_menu_command_and_the_batch_macro(window, trained, tmp_path):
    inputs = tmp_path / "in"
    inputs.mkdir()
    shutil.copy(trained / "image.tif", inputs / "a.tif")
    (inputs / "bad.tif").write_text("no image", encoding="utf-8")
    batch = f"input=[{inputs}] classifier=[{trained / 'out' / 'classifier'}] output=[{tmp_path / 'results'}]"
    code = OPEN_SAMPLE + (
        f'run("FB Segment", "labels=lab {FAST} classes=[a, b c] show");\n'
        "text = getTitle() + '|' + nImages + '|' + isOpen('mic.tif');\n"
        f'text = text + "|" + runMacro("FijiBridge/Batch_Segment.ijm", {macro_text(batch)});\n'
        "File.saveString(text, OUT);"
    )
    assert window(code) == "mic_labels|4|1|1 segmented, 1 skipped"
    assert (tmp_path / "results" / "a" / "a_labels.tif").is_file()


def test_a_failing_command_stops_the_macro_that_called_it(window, tmp_path):
    code = OPEN_SAMPLE + (
        f'File.saveString("before", {macro_text(str(tmp_path / "before.txt"))});\n'
        f'run("FB Segment", "labels=lab tree=5 {FAST}");\n'
        'File.saveString("after", OUT);'
    )
    assert window(code, seconds=15) == ""
    assert (tmp_path / "before.txt").exists()


def test_the_service_is_killed_during_a_call(window, service_folder, tmp_path):
    """The macro gets an error in seconds, and the next call starts a new service."""
    service.stop(service_folder)

    def kill() -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            found = service.status(service_folder)
            if found and found["waiting"] == "1":
                os.kill(int(found["pid"]), signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
                return
            time.sleep(0.02)

    code = (
        "// include FijiBridge.ijm\n"
        'newImage("big", "16-bit ramp", 1800, 1800, 1);\n'
        'first = fbFeatures("", "", "features=tws threads=1 on_error=return");\n'
        "began = getTime();\n"
        'next = fbDoctor("on_error=return");\n'
        'File.saveString(first + "|" + substring(next, 0, 16), OUT);'
    )
    answer = window(code, during=kill)
    assert answer.startswith("error\nthe service ended during the call")
    assert answer.endswith("|operation=doctor")
    assert not list((service_folder / "exchange").iterdir())


GROOVY_SESSION = """
new ij.ImageJ()
ij.IJ.createImage("micrograph", "16-bit black", 140, 120, 1).show()
ij.IJ.run("Specify...", "width=60 height=60 x=40 y=30"); ij.IJ.run("Set...", "value=9000"); ij.IJ.run("Select None")
ij.IJ.run("Add Specified Noise...", "standard=300")
ij.IJ.createImage("strokes", "8-bit black", 140, 120, 1).show()
ij.IJ.makeRectangle(3, 3, 30, 10); ij.IJ.run("Set...", "value=1")
ij.IJ.makeRectangle(50, 40, 30, 10); ij.IJ.run("Set...", "value=2"); ij.IJ.run("Select None")
ij.IJ.selectWindow("micrograph")
evaluate(new File(args[0]))
new File(args[1]).text = ij.WindowManager.currentImage.title + "|" + ij.IJ.getLog()
System.exit(0)
"""


def test_the_groovy_example(imagej, display, tmp_path):
    script, out = tmp_path / "session.groovy", tmp_path / "out.txt"
    script.write_text(GROOVY_SESSION, encoding="utf-8")
    command = gui.command_of(imagej, "400m")
    classpath = os.pathsep.join([str(imagej / "ij.jar"), str(groovy_jar())])
    example = Path(__file__).parents[3] / "examples" / "segment_open_image.groovy"
    command = [command[0], f"-Dplugins.dir={imagej}", "-cp", classpath, "groovy.ui.GroovyMain"]
    command += [str(script), str(example), str(out)]
    done = subprocess.run(
        command, env={**os.environ, "DISPLAY": display}, capture_output=True, text=True, timeout=180, check=False
    )
    assert out.exists(), done.stdout + done.stderr
    title, log = out.read_text(encoding="utf-8").split("|")
    assert title == "micrograph_labels"
    assert abs(float(log.split("particle: ")[1]) - 60 * 60 / 140 / 120) < 0.03


# --- a Fiji that Python drives ---------------------------------------------------------------------------------------

IN_FIJI = """
import sys
import fijibridge as fb
from fijibridge.core.errors import MacroError
fiji = fb.start(fiji=sys.argv[1], heap="1g")
sample, fast = sys.argv[2], sys.argv[3]
for call in (
    f'r = fbSegment("mic.tif", "lab", "", "{fast}");',
    f'run("fijibridge"); r = Ext.segment("mic.tif", "lab", "", "{fast}");',
    f'run("FB Segment", "labels=lab {fast} show");',
    f'run("FB Segment", "image=mic.tif labels=lab {fast} show");',
):
    print(fiji.run_macro('close("*");' + sample + call + 'selectImage("mic_labels"); return "" + getPixel(2, 2);'))
try:
    fiji.run_macro(sample + f'run("FB Segment", "labels=lab tree=8");\\nexit("went on");')
except MacroError as error:
    print("told:", error.found)
"""


@pytest.mark.tws
@pytest.mark.skipif("FIJIBRIDGE_TEST_FIJI" not in os.environ, reason="FIJIBRIDGE_TEST_FIJI is not set")
def test_commands_and_functions_in_a_fiji(tmp_path, service_folder):
    folder = tmp_path / "Fiji"
    shutil.copytree(os.environ["FIJIBRIDGE_TEST_FIJI"], folder)
    install(folder)
    sample = OPEN_SAMPLE.split("\n", 1)[1]
    command = [sys.executable, "-c", IN_FIJI, str(folder), sample, FAST]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line == "1" or line.startswith("told:")]
    assert lines == ["1"] * 4 + [
        f"told: the macro failed in line {len(sample.splitlines()) + 1}: segment has no option 'tree'"
    ]
