"""Macros that Python runs: Ext functions and the macro library, called for every operation."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from macro_client import small_options, values
from shell import write_phases, write_sample

import fijibridge as fb
from fijibridge.core.errors import MacroError
from fijibridge.frontends.arguments import kind_of, parameters_of
from fijibridge.frontends.imagej.install import macro_text
from fijibridge.frontends.imagej.macro_generator import camel, macros_folder, placed
from fijibridge.operations import CATALOGUE

FAST = "features=tws threads=1"
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
    write_phases(folder / "phases.tif", 96)
    for name in ("dataset", "network"):
        shutil.copytree(tiny_network / name, folder / name)
    shutil.copy(tiny_vit, folder / "vit.safetensors")
    operation("segment")(
        folder / "image.tif",
        labels=folder / "labels.tif",
        out=folder / "out",
        classes="ISE,CAM,pore",
        features="tws",
        trees=8,
        threads=1,
    )
    return folder / "out" / "classifier"


def by_place(name: str, classifier: Path, out: str) -> list[str]:
    """What a call of an operation gives by place."""
    sample = classifier.parents[1]
    known = {
        "image": sample / ("labels.tif" if name == "measure" else "image.tif"),
        "images": sample / ("phases.tif" if name == "reconstruct" else "image.tif"),
        "coarse": sample / "coarse.tif",
        "like": sample / "phases.tif",
        "labels": sample / "labels.tif",
        "classifier": classifier,
        "tws_model": classifier / "classifier.model",
        "macro_file": macros_folder() / "examples" / "Weka_Recorded.ijm",
        "feature_file": classifier,
        "dataset": sample / "dataset",
        "network": sample / "network",
        "folder": sample,
    }
    return [str(out if key == "out" else known[key]) for key in placed(name)[0]]


def call(function: str, arguments: list[str]) -> str:
    return f"{function}({', '.join(map(macro_text, arguments))})"


@pytest.mark.parametrize("call_by", ["Ext", "library"])
@pytest.mark.parametrize("name", CATALOGUE)
@pytest.mark.slow
def test_every_function_is_called(fiji, classifier, tmp_path, name, call_by):
    function = f"Ext.{name}" if call_by == "Ext" else f"fb{camel(name)}"
    code = call(function, [*by_place(name, classifier, tmp_path / "o ü"), small_options(name, classifier.parents[1])])
    answer = fiji.run_macro(f'run("fijibridge");\nresult = {code};\nreturn result;')
    assert values(answer)["operation"] == name
    assert "show=" not in answer
    if "out" in parameters_of(name):
        assert (tmp_path / "o ü" / "report.json").is_file()
        assert values(answer)["out"] == (tmp_path / "o ü").as_posix()


@pytest.mark.parametrize("name", CATALOGUE)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.slow
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
    assert first == "mic_labels 140 120 140 120 1 4"
    assert float(values(report)["class_fractions.b c"]) > 0.2


def test_the_users_image_stays_as_it_is(fiji):
    code = OPEN_SAMPLE + (
        'makeRectangle(30, 40, 50, 20);\nr = fbSegment("", "lab", "", "features=tws threads=1 trees=8");\n'
        "selectImage('mic'); getSelectionBounds(x, y, w, h);\n"
        "return getTitle() + ' ' + x + ' ' + y + ' ' + w + ' ' + h + ' ' + nImages;"
    )
    assert fiji.run_macro(code) == "mic 30 40 50 20 4"


def test_an_error_may_come_back_as_text(fiji):
    code = OPEN_SAMPLE + 'return "" + {}("mic", "nowhere", "", "features=tws on_error=return");'
    for function in ("fbSegment", "Ext.segment"):
        answer = fiji.run_macro(code.format(function))
        assert answer.startswith("error\n")
        assert "nowhere" in answer


def test_an_open_image_is_named_by_its_title(fiji):
    options = "labels=/x slices=9 on_error=return"
    code = f'newImage("five.tif", "8-bit ramp", 99, 99, 5); return "" + {{}}("", "", "", "{options}");'
    for function in ("fbSegment", "Ext.segment"):
        assert "'9' of five.tif with 5 slice" in fiji.run_macro('run("fijibridge");' + code.format(function))


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


@pytest.mark.parametrize("path", ["FOLDER", "", "..", ".", "../..", "call-1/..", "nobody", "/"])
def test_only_what_ext_began_is_released(fiji, tmp_path, path):
    from fijibridge.frontends.imagej.macro_extension import register

    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "a.txt").touch()
    wanted = macro_text(str(folder) if path == "FOLDER" else path)
    with pytest.raises(MacroError, match=r"line 2: Ext\.release: .* is no call that is under way"):
        fiji.run_macro(f'run("fijibridge");\nExt.release({wanted});')
    with pytest.raises(MacroError, match=r"Ext\.call: .* is no call that is under way"):
        fiji.run_macro(f'run("fijibridge");\nr = Ext.call("doctor", {wanted}, "{{}}", "");')
    assert (folder / "a.txt").exists()
    assert (register(fiji.gateway).exchange / "exchange").is_dir()
    assert fiji.run_macro('run("fijibridge"); id = Ext.begin(""); Ext.release(id); return id;').startswith("call-")
    assert fiji.run_macro('return "" + fbValue(fbDoctor(""), "operation");') == "doctor"


@pytest.mark.parametrize(
    ("options", "key", "value"),
    [
        ("input=/a output=[/b c] flag", "output", "/b c"),
        ("input=/a output=[/b c] flag", "flag", "true"),
        ("input=/a output=[/b c] flag", "other", ""),
        ("title=[x input=/evil] input=/good", "input", "/good"),
        ("title=[the show] trees=5", "show", ""),
        ("title=[x] show", "show", "true"),
        ("  a=  b=2", "b", "2"),
        ("a=[unclosed b=3", "b", "3"),
        ("", "a", ""),
    ],
)
def test_a_value_of_options(fiji, options, key, value):
    assert fiji.run_macro(f'return "" + fbOption("{options}", "{key}");') == value


def test_nothing_is_left(fiji):
    from fijibridge.frontends.imagej.macro_extension import register

    fiji.run_macro(OPEN_SAMPLE + f'r = Ext.segment("mic", "lab", "", "{FAST} trees=8");')
    fiji.run_macro(OPEN_SAMPLE + f'r = fbSegment("mic", "lab", "", "{FAST} trees=8");')
    assert not list((register(fiji.gateway).exchange / "exchange").iterdir())


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_batch_macro(fiji, classifier, tmp_path):
    from fijibridge.frontends.imagej.macro_generator import macros_folder

    inputs, results = tmp_path / "in put", tmp_path / "re sults"
    inputs.mkdir()
    image = (classifier.parents[1] / "image.tif").read_bytes()
    odd = "x] overwrite out=[y.tif" if sys.platform != "win32" else "bad2.tif"
    for name in ("a.tif", "b.TIF", "bad.tif", odd, "notes.txt"):
        (inputs / name).write_bytes(image if name[0] in "ab" and "bad" not in name else b"no image")
    macro = macros_folder() / "examples" / "Batch_Segment.ijm"
    options = f"input=[{inputs.as_posix()}] classifier=[{classifier.as_posix()}] output=[{results.as_posix()}]"
    assert fiji.run_macro(macro, options) == "2 segmented, 2 skipped"
    rows = (results / "summary.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "image,state,seconds,ISE,CAM,pore"
    assert [row.split(",")[0] for row in rows[1:]] == ['"a.tif"', '"b.TIF"', '"bad.tif"', f'"{odd}"']
    assert (results / "b" / "b_labels.tif").is_file()
    assert not (results / "bad").exists()
    assert fiji.run_macro(macro, options) == "0 segmented, 4 skipped"  # nothing is overwritten unasked
    assert fiji.run_macro(macro, f"{options} overwrite") == "2 segmented, 2 skipped"
    with pytest.raises(MacroError, match="no folder of images"):
        fiji.run_macro(macro, "input=/nowhere classifier=/x output=/y")


@pytest.mark.parametrize("function", ["fbApply", "Ext.apply"])
@pytest.mark.slow
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
