"""Macros that called TWS: rewritten, and run without its window in a headless ImageJ."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from headless_macros import run_headless

from fijibridge.core.errors import BridgeError
from fijibridge.features.tws.bank import feature_names
from fijibridge.features.tws.settings import TwsSettings
from fijibridge.forest import read_arff, read_model
from fijibridge.frontends.imagej import gui
from fijibridge.frontends.imagej.install import install, macro_text
from fijibridge.frontends.imagej.macro_generator import library_text, macros_folder
from fijibridge.images.image import read_image
from fijibridge.operations.convert_macro import convert_macro, summary
from fijibridge.segmentation import load_segmenter
from fijibridge.tws.macro_conversion import CALLS, INCLUDE, convert, function_of

TWS = "trainableSegmentation.Weka_Segmentation"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (f'call("{TWS}.trainClassifier");', "fbWekaTrainClassifier();"),
        (f"  call( '{TWS}.getResult' );", "  fbWekaGetResult();"),
        (f'call("{TWS}.addTrace", "" + k, d2s(z, 0)); // of k', 'fbWekaAddTrace("" + k, d2s(z, 0)); // of k'),
        (f'call("{TWS}.loadData", f("a,b)", "\\")"));', 'fbWekaLoadData(f("a,b)", "\\")"));'),
        ('run("Trainable Weka Segmentation");', "fbWekaOpen();"),
        ('run("Trainable Weka Segmentation", "open=[/a b.tif]");', "fbWekaOpen();"),
        ('selectWindow("Trainable Weka Segmentation v3.3.4");', "fbWekaSelect();"),
        (f'if (a) {{ call("{TWS}.getResult"); call("{TWS}.toggleOverlay"); }}',
         "if (a) { fbWekaGetResult(); fbWekaToggleOverlay(); }"),
    ],
)  # fmt: skip
def test_a_call_is_rewritten(old, new):
    found = convert(f'x = 1;\n{old}\nprint("{TWS} is done");\n')
    assert found.text == f'{INCLUDE}\nx = 1;\n{new}\nprint("{TWS} is done");\n'
    assert found.left == []


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (f'call("{TWS}.getLabelImage");', "none of the calls"),
        (f'call("{TWS}.addTrace", "0");', "takes 2 values, and not 1"),
        (f'call("{TWS}.addTrace", "0",', "does not end"),
        ('run("Trainable Weka Segmentation 3D");', "no function"),
    ],
)
def test_what_stays_is_named(line, why):
    found = convert(f'call("{TWS}.getResult");\n{line}\n')
    assert found.text.endswith(f"{line}\n")
    assert [(number, text) for number, text, _ in found.left] == [(2, line)]
    assert why in found.left[0][2]


def test_another_file_is_included():
    found = convert(f'// include Mine.ijm\r\ncall("{TWS}.getResult");\r\n')
    assert found.text == "// include Mine.ijm\r\nfbWekaGetResult();\r\n"
    assert "ImageJ includes one file" in found.left[0][2]


def test_every_call_has_its_function():
    functions = dict(re.findall(r"function (fbWeka\w+)\(([^)]*)\)", library_text()))
    for name, count in CALLS.items():
        assert len([one for one in functions[function_of(name)].split(",") if one.strip()]) == count, name


def test_the_calls_are_those_of_tws(run_python):
    """All public static methods of TWS 4.0 that take nothing but texts."""
    if not os.environ.get("FIJIBRIDGE_TWS_CLASSPATH"):
        pytest.skip("FIJIBRIDGE_TWS_CLASSPATH is not set")
    code = """
import os, jpype
jpype.startJVM("-Djava.awt.headless=true", classpath=os.environ["FIJIBRIDGE_TWS_CLASSPATH"].split(os.pathsep))
modifier = jpype.JClass("java.lang.reflect.Modifier")
for method in jpype.JClass("trainableSegmentation.Weka_Segmentation").class_.getDeclaredMethods():
    kinds = [str(one.getName()) for one in method.getParameterTypes()]
    void = str(method.getReturnType().getName()) == "void"
    if modifier.isStatic(method.getModifiers()) and modifier.isPublic(method.getModifiers()) and void:
        if set(kinds) <= {"java.lang.String"}:
            print('call', method.getName(), len(kinds))
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    found = dict(line.split()[1:] for line in done.stdout.splitlines() if line.startswith("call "))
    found.pop("record", None)
    assert {name: int(count) for name, count in found.items()} == CALLS


def test_the_operation(tmp_path):
    old, new = tmp_path / "old.ijm", tmp_path / "new.ijm"
    text = f'// größe\ncall("{TWS}.getResult");\nrun("Trainable Weka Segmentation 3D");\n'
    old.write_bytes(text.encode("latin-1"))
    report = convert_macro(old, out=new)
    assert new.read_bytes().startswith(f"{INCLUDE}\n// größe\nfbWekaGetResult();\n".encode("latin-1"))
    assert summary(report)[0] == "1 calls of TWS converted"
    assert "line 3 still needs TWS" in summary(report)[1]
    convert_macro(old, out=tmp_path / "folder")
    assert (tmp_path / "folder" / "old.ijm").read_bytes() == new.read_bytes()
    assert json.loads((tmp_path / "folder" / "report.json").read_text())["converted"] == 1
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").write_text("mine")
    (tmp_path / "other.ijm").write_text("print(1);")
    (tmp_path / "binary.ijm").write_bytes(b"\0\1")
    for macro, out in [
        (old, new), (old, old), (old, tmp_path / "full"), (tmp_path / "gone.ijm", tmp_path / "x.ijm"),
        (tmp_path / "other.ijm", tmp_path / "x.ijm"), (tmp_path / "binary.ijm", tmp_path / "x.ijm"),
    ]:  # fmt: skip
        with pytest.raises(BridgeError) as error:
            convert_macro(macro, out=out)
        assert error.value.remedy
    assert not (tmp_path / "x.ijm").exists()
    assert old.read_bytes() == text.encode("latin-1")


def test_the_example_is_what_the_conversion_makes():
    folder = macros_folder() / "examples"
    found = convert((folder / "Weka_Recorded.ijm").read_text(encoding="utf-8"))
    assert found.text == (folder / "Weka_Converted.ijm").read_text(encoding="utf-8")
    assert found.left == []


# --- the converted macros run -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def imagej(tmp_path_factory, service_folder, java) -> Path:
    folder = tmp_path_factory.mktemp("ij") / "ImageJ"
    shutil.copytree(gui.own_imagej(), folder)
    install(folder)
    return folder


def _picture(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Bright discs on a dark ground, with noise, and where they are."""
    y, x = np.mgrid[:100, :100]
    truth = (y - 48) ** 2 + (x - 48) ** 2 < 14**2
    truth |= (y - 20) ** 2 + (x - 75 - 2 * seed) ** 2 < 10**2
    return (70 + 90 * truth + np.random.default_rng(seed).normal(0, 12, truth.shape)).astype(np.uint8), truth


def _run(imagej: Path, tmp_path: Path, text: str) -> tuple[str | None, str]:
    macro = tmp_path / "run.ijm"
    macro.write_text(text, encoding="ascii")
    (answer,), printed = run_headless(imagej, [(str(macro), "")])
    return answer, printed


@pytest.mark.slow
def test_the_converted_example_runs_without_a_window(imagej, tmp_path):
    folder = tmp_path / "data"
    (folder / "results").mkdir(parents=True)
    truths = []
    for seed, name in enumerate(("micrograph", "next")):
        image, truth = _picture(seed)
        tifffile.imwrite(folder / f"{name}.tif", image)
        truths.append(truth)
    macro = imagej / "macros" / "FijiBridge" / "Weka_Converted.ijm"
    call = f"runMacro({macro_text(macro.as_posix())}, {macro_text(folder.as_posix() + '/')});\nreturn 'ran';"
    answer, printed = _run(imagej, tmp_path, call)
    assert answer == "ran", printed
    # as TWS: classes from 0
    for name, truth in zip(("result.tif", "results/next.tif"), truths, strict=True):
        found = tifffile.imread(folder / name)
        assert set(np.unique(found)) == {0, 1}
        assert ((found == 1) == truth).mean() > 0.95, name
    probability = tifffile.imread(folder / "probability.tif")
    assert probability.shape == (2, 100, 100)
    np.testing.assert_allclose(probability.sum(0), 1, atol=1e-6)
    forest = read_model(folder / "classifier.model")
    assert (forest.n_trees, forest.class_names) == (50, ("matrix", "particle"))
    samples = read_arff(folder / "data.arff")
    assert samples.counts["particle"] > 150
    assert samples.counts["matrix"] >= 30 * 12 + 80
    segmenter = load_segmenter(folder / "classifier.model.fijibridge")
    found = segmenter.predict(read_image(folder / "next.tif"))
    np.testing.assert_array_equal(found - 1, tifffile.imread(folder / "results" / "next.tif"))


@pytest.mark.slow
def test_stacks_classes_traces_and_data(imagej, tmp_path):
    """What the example does not show: slices, a class of one's own, a trace taken back, data and classifiers loaded."""
    planes = np.stack([_picture(seed)[0] for seed in range(3)])
    tifffile.imwrite(tmp_path / "stack.tif", planes, imagej=True, metadata={"axes": "ZYX"})
    place = macro_text(tmp_path.as_posix() + "/")
    text = f"""{INCLUDE}
folder = {place};
open(folder + "stack.tif");
fbWekaOpen();
fbWekaCreateNewClass(" add to glass ");
fbWekaSetClassifier("hr.irb.fastRandomForest.FastRandomForest", "-I 9 -K 2 -S -7");
fbWekaChangeClassColor("2", "#102030");
makeRectangle(2, 2, 20, 12); fbWekaAddTrace("0", "1");
makeRectangle(50, 50, 40, 40); fbWekaAddTrace("1", "2");
fbWekaDeleteTrace("1", "2", "0");
makeOval(42, 42, 12, 12); fbWekaAddTrace("2", "3");
fbWekaTrainClassifier();
fbWekaPlotResultGraphs();
fbWekaGetResult();
getLut(reds, greens, blues);
print("slices " + nSlices + " color " + reds[1] + " " + reds[2]);
close();
fbWekaSelect();
fbWekaSaveData(folder + "data.arff");
fbWekaSaveClassifier(folder + "a.model");
fbWekaOpen();
fbWekaChangeClassName("1", "glass");
fbWekaLoadData(folder + "data.arff");
fbWekaSetClassifier("hr.irb.fastRandomForest.FastRandomForest", "-I 5 -K 0 -S 1");
makeRectangle(2, 30, 10, 10); fbWekaAddTrace("0", "2");
fbWekaTrainClassifier();
fbWekaSaveClassifier(folder + "b.model");
fbWekaSaveData(folder + "both.arff");
fbWekaLoadClassifier(folder + "a.model");
fbWekaGetProbability();
fbWekaToggleOverlay(); fbWekaSetOpacity("33"); fbWekaLaunchWeka();
fbWekaSetMinimumSigma("1.0"); fbWekaSetMaximumSigma("16.0"); fbWekaSetMembraneThickness("1");
fbWekaSetMembranePatchSize("19"); fbWekaSetClassHomogenization("true"); fbWekaSetFeature("Mean=true");
fbWekaSetFeature("Membrane_projections=false"); fbWekaSetMaximumSigma("4");
fbWekaSelect();
fbWekaSaveFeatureStack(folder, "features.tif");
return "ran";
"""
    answer, printed = _run(imagej, tmp_path, text)
    assert answer == "ran", printed
    assert re.search(r"out-of-bag accuracy: [01]\.\d", printed)
    assert re.search(r"slices 3 color \d+ 16\b", printed)
    first, both = read_arff(tmp_path / "data.arff"), read_arff(tmp_path / "both.arff")
    assert first.class_names == ("class 1", "glass")  # as TWS, classes without traces are left out
    assert first.counts["class 1"] == 240
    assert both.counts == {"class 1": 340, "glass": first.counts["glass"]}
    assert [read_model(tmp_path / f"{name}.model").n_trees for name in "ab"] == [9, 5]
    filters = ("Gaussian_blur", "Sobel_filter", "Hessian", "Difference_of_gaussians", "Mean")
    names = feature_names(TwsSettings(filters, max_sigma=4))
    with tifffile.TiffFile(tmp_path / "features0001.tif") as file:
        assert file.asarray().shape == (len(names), 100, 100)
        assert tuple(file.imagej_metadata["Labels"]) == names


TRAINS = 'makeRectangle(1, 1, 9, 9); fbWekaAddTrace("0", "1"); fbWekaTrainClassifier();'
REFUSED = {
    'fbWekaAddTrace("0", "1");': "without a selection",
    'makePoint(1, 1); fbWekaAddTrace("7", "1");': "addTrace to class 7",
    "fbWekaTrainClassifier();": "nothing to train on",
    "fbWekaGetResult();": "no classifier",
    f'fbWekaSetMaximumSigma("8000"); {TRAINS}': "max_sigma = 8000",
    f'fbWekaSetFeature("Gabber=true"); {TRAINS}': "Gabber",
    'fbWekaSetClassifier("weka.classifiers.trees.J48", "");': "weka.classifiers.trees.J48",
    'fbWekaLoadData("/no.arff");': "no data /no.arff",
}


@pytest.mark.slow
def test_what_cannot_be_done_is_told(imagej, tmp_path):
    macros = []
    for number, code in enumerate(REFUSED):
        macro = tmp_path / f"{number}.ijm"
        text = f'{INCLUDE}\nnewImage("a", "8-bit ramp", 64, 64, 1);\nfbWekaOpen();\n{code}\nreturn "went on";\n'
        macro.write_text(text, encoding="ascii")
        macros.append((str(macro), ""))
    answers, printed = run_headless(imagej, macros)
    assert "went on" not in answers
    for told in REFUSED.values():
        assert told in printed
    assert printed.count("expected: ") == len(REFUSED)
