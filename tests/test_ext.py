"""Macros that Python runs: Ext functions and the macro library, called for every operation."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from macro_client import values
from shell import write_sample

import fijibridge as fb
from fijibridge.doors.arguments import kind_of, parameters_of
from fijibridge.doors.generate import camel, placed
from fijibridge.doors.install import macro_text
from fijibridge.errors import MacroError
from fijibridge.operations import CATALOGUE

FAST = "encoder=none threads=1"
OPEN_SAMPLE = """
newImage("mic", "16-bit ramp", 140, 120, 1);
newImage("lab", "8-bit black", 140, 120, 1);
makeRectangle(3, 3, 20, 20); run("Set...", "value=1");
makeRectangle(103, 60, 20, 20); run("Set...", "value=2"); run("Select None");
selectImage("mic");
run("fijibridge");
"""


@pytest.fixture
def fiji(java):
    fiji = fb.start()
    yield fiji
    fiji.run_macro("close('*');")


@pytest.fixture(scope="module")
def classifier(tmp_path_factory, tiny_network, tiny_vit) -> Path:
    """A saved classifier, beside it the image and labels it was trained on, a data set and a network."""
    from fijibridge.operations import operation

    folder = tmp_path_factory.mktemp("trained")
    write_sample(folder, 96)
    for name in ("dataset", "network"):
        shutil.copytree(tiny_network / name, folder / name)
    shutil.copy(tiny_vit, folder / "vit.safetensors")
    operation("segment")(
        folder / "image.tif",
        labels=folder / "labels.tif",
        out=folder / "out",
        classes="ISE,CAM,pore",
        encoder="none",
        trees=8,
        threads=1,
    )
    return folder / "out" / "classifier"


def by_place(name: str, classifier: Path, out: str) -> list[str]:
    """What a call of an operation gives by place."""
    sample = classifier.parents[1]
    known = {
        "image": sample / ("labels.tif" if name == "measure" else "image.tif"),
        "images": sample / ("labels.tif" if name == "reconstruct" else "image.tif"),
        "coarse": sample / "coarse.tif",
        "labels": sample / "labels.tif",
        "classifier": classifier,
        "model": classifier / "classifier.model",
        "recipe": classifier,
        "dataset": sample / "dataset",
        "network": sample / "network",
        "folder": sample,
    }
    return [str(out if key == "out" else known[key]) for key in placed(name)[0]]


def call(function: str, arguments: list[str]) -> str:
    return f"{function}({', '.join(map(macro_text, arguments))})"


def options_for(name: str, sample: Path) -> str:
    wanted = {"encoder": "none", "threads": "1", "trees": "8", "size": "96"}
    if name in ("reconstruct", "superresolve"):
        wanted |= {"size": "16", "loss": "patches", "steps": "2", "slices_per_step": "2", "factor": "4"}
        wanted |= {"trust": "coarse", "slices": str(sample / "labels.tif"), "visible": "ISE"}
    if "network" in name:
        wanted |= {"bse": str(sample / "image.tif"), "steps": "2", "crop": "64", "batch": "2", "width": "4"}
        wanted["encoder"] = "plain"
    if name in ("bias", "train_upsampler"):
        wanted |= {"encoder": "test_vit", "weights": str(sample / "vit.safetensors")}
    if name == "train_upsampler":
        wanted |= {"crops": "2", "crop": "64", "steps": "2"}
    if name == "simulate":
        wanted |= {"count": "2", "workers": "1"}
    if name in ("segment", "features"):
        wanted["detectors"] = f"SE={(sample / 'image.tif').as_posix()}"
    return " ".join(f"{key}=[{value}]" for key, value in wanted.items() if key in parameters_of(name))


@pytest.mark.parametrize("door", ["Ext", "library"])
@pytest.mark.parametrize("name", CATALOGUE)
def test_every_function_is_called(fiji, classifier, tmp_path, name, door):
    function = f"Ext.{name}" if door == "Ext" else f"fb{camel(name)}"
    code = call(function, [*by_place(name, classifier, tmp_path / "o ü"), options_for(name, classifier.parents[1])])
    answer = fiji.run_macro(f'run("fijibridge");\nresult = {code};\nreturn result;')
    assert values(answer)["operation"] == name
    assert "show=" not in answer
    if "out" in parameters_of(name):
        assert (tmp_path / "o ü" / "report.json").is_file()
        assert values(answer)["out"] == (tmp_path / "o ü").as_posix()


@pytest.mark.parametrize("name", CATALOGUE)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_function_takes_a_bad_argument(fiji, classifier, tmp_path, name, data):
    parameters = parameters_of(name)
    numbers = [key for key, (plain, _, _) in parameters.items() if kind_of(plain) in ("int", "float")]
    choices = [key for key, (plain, _, _) in parameters.items() if kind_of(plain) == "choice"]
    kinds = ["unknown"] + ["number"] * bool(numbers) + ["range"] * bool(numbers) + ["choice"] * bool(choices)
    kind = data.draw(st.sampled_from(kinds))
    if kind == "unknown":
        key, value = data.draw(st.from_regex("x[a-z]{1,8}", fullmatch=True)), "1"
    elif kind == "choice":
        key, value = data.draw(st.sampled_from(choices)), "nonsense"
    else:
        key = data.draw(st.sampled_from(numbers))
        low = parameters[key][1].low
        value = "many" if kind == "number" else str(int(low or 0) - data.draw(st.integers(1, 1000)))
    code = call(f"Ext.{name}", [*by_place(name, classifier, tmp_path / "out"), f"{key}={value}"])
    with pytest.raises(MacroError, match=f"failed in line 2: .*{key}"):
        fiji.run_macro(f'run("fijibridge");\nresult = {code};\nreturn result;')
    assert not (tmp_path / "out").exists()


def test_open_images_in_and_out(fiji):
    answer = fiji.run_macro(
        OPEN_SAMPLE + f'r = Ext.segment("mic", "lab", "", "{FAST} trees=8 classes=[a, b c]");\n'
        "t = getTitle(); getDimensions(w, h, c, n, f); selectImage('mic_labels'); getDimensions(x, y, c, n, f);\n"
        "return t + ' ' + w + ' ' + h + ' ' + x + ' ' + y + ' ' + getPixel(2, 2) + ' ' + nImages + '\\n' + r;"
    )
    first, _, report = answer.partition("\n")
    assert first == "mic_probabilities 140 120 140 120 1 4"
    assert float(values(report)["class_fractions.b c"]) > 0.2


def test_the_users_image_stays_as_it_is(fiji):
    code = OPEN_SAMPLE + (
        'makeRectangle(30, 40, 50, 20);\nr = fbSegment("", "lab", "", "encoder=none threads=1 trees=8");\n'
        "selectImage('mic'); getSelectionBounds(x, y, w, h);\n"
        "return getTitle() + ' ' + x + ' ' + y + ' ' + w + ' ' + h + ' ' + nImages;"
    )
    assert fiji.run_macro(code) == "mic 30 40 50 20 4"


def test_an_error_may_come_back_as_text(fiji):
    code = OPEN_SAMPLE + 'return "" + {}("mic", "nowhere", "", "encoder=none on_error=return");'
    for function in ("fbSegment", "Ext.segment"):
        answer = fiji.run_macro(code.format(function))
        assert answer.startswith("error\n")
        assert "nowhere" in answer


def test_an_open_image_is_named_by_its_title(fiji):
    code = 'newImage("five.tif", "8-bit ramp", 99, 99, 5); return "" + {}("", "", "", "labels=/x on_error=return");'
    for function in ("fbSegment", "Ext.segment"):
        assert "error\nfive.tif has 5 slices" in fiji.run_macro('run("fijibridge");' + code.format(function))


def test_the_line_of_a_failure_is_that_of_the_call(fiji):
    code = 'function go(x) {\n  return "" + fbSegment(x, "l.tif", "", "");\n}\nprint("");\ny = go("i.tif");'
    with pytest.raises(MacroError, match=r"failed in line 2: .*i\.tif") as caught:
        fiji.run_macro(code)
    assert caught.value.remedy
    with pytest.raises(MacroError, match="line 3: segment has no option 'tree'") as caught:
        fiji.run_macro('run("fijibridge");\n\nr = Ext.segment("a", "b", "", "tree=4");\n')
    assert caught.value.remedy == "did you mean trees?"
    with pytest.raises(MacroError, match=r"line 2: options 'a=\[b', not understood"):
        fiji.run_macro('run("fijibridge");\nr = Ext.segment("a", "b", "", "a=[b");')
    with pytest.raises(MacroError, match="no image is open"):
        fiji.run_macro('close("*"); run("fijibridge"); r = Ext.segment("", "b", "", "");')
    assert fiji.run_macro("return 'still works';") == "still works"


def test_nothing_is_left(fiji):
    from fijibridge.doors.ext import register

    fiji.run_macro(OPEN_SAMPLE + f'r = Ext.segment("mic", "lab", "", "{FAST} trees=8");')
    fiji.run_macro(OPEN_SAMPLE + f'r = fbSegment("mic", "lab", "", "{FAST} trees=8");')
    assert not list((register(fiji.gateway).exchange / "exchange").iterdir())


def test_from_the_shell(java, tmp_path):
    (tmp_path / "ü.ijm").write_text('return getArgument() + fbValue("a=1\\nb=2", "b");', encoding="utf-8")

    def run(*words: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-W", "error", "-m", "fijibridge", "macro", *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)

    done = run("ü.ijm", "x ")
    assert (done.returncode, done.stdout, done.stderr) == (0, "x 2\n", "")
    done = run("nowhere.ijm")
    assert done.returncode == 2
    assert "no macro nowhere.ijm" in done.stderr
    assert "no macro" in run("a.txt.groovy").stderr


def test_the_batch_macro(fiji, classifier, tmp_path):
    from fijibridge.doors.generate import macros_folder

    inputs, results = tmp_path / "in put", tmp_path / "re sults"
    inputs.mkdir()
    image = (classifier.parents[1] / "image.tif").read_bytes()
    for name in ("a.tif", "b.TIF", "bad.tif", "notes.txt"):
        (inputs / name).write_bytes(image if name[0] in "ab" and "bad" not in name else b"no image")
    macro = macros_folder() / "examples" / "Batch_Segment.ijm"
    options = f"input=[{inputs.as_posix()}] classifier=[{classifier.as_posix()}] output=[{results.as_posix()}]"
    assert fiji.run_macro(macro, options) == "2 segmented, 1 skipped"
    rows = (results / "summary.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "image,state,seconds,ISE,CAM,pore"
    assert [row.split(",")[0] for row in rows[1:]] == ['"a.tif"', '"b.TIF"', '"bad.tif"']
    assert (results / "b" / "b_labels.tif").is_file()
    assert not (results / "bad").exists()
    assert fiji.run_macro(macro, options) == "0 segmented, 3 skipped"  # nothing is overwritten unasked
    assert fiji.run_macro(macro, f"{options} overwrite") == "2 segmented, 1 skipped"
    with pytest.raises(MacroError, match="no folder of images"):
        fiji.run_macro(macro, "input=/nowhere classifier=/x output=/y")


@pytest.mark.parametrize("function", ["fbApply", "Ext.apply"])
def test_stacks_and_their_calibration_are_kept(fiji, classifier, function):
    code = (
        'newImage("stack.tif", "16-bit ramp", 90, 80, 3);\n'
        'run("Properties...", "channels=1 slices=3 frames=1 unit=nm pixel_width=25 pixel_height=25 voxel_depth=50");\n'
        f'run("fijibridge");\nr = {function}({macro_text(str(classifier))}, "stack.tif", "", "probabilities=false");\n'
        "getPixelSize(unit, w, h, d);\n"
        'return getTitle() + " " + nSlices + " " + unit + " " + w + " " + bitDepth() + "\\n" + r;'
    )
    first, _, report = fiji.run_macro(code).partition("\n")
    assert first == "stack_labels 3 nm 25 8"
    found = values(report)
    assert found["files.1.shape"] == "3,80,90"
    assert float(found["files.1.pixel_size.x"]) == 25
    assert found["files.1.pixel_size.unit"] == "nm"
