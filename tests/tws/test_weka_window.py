"""The scripts for the open window of Trainable Weka Segmentation, in the real one, on a screen of their own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import roifile
import tifffile
from groovy_jar import groovy_jar
from shell import write_sample

from fijibridge.features.presets import PRESETS
from fijibridge.features.tws.bank import feature_names
from fijibridge.features.tws.settings import TwsSettings
from fijibridge.features.vit.debiasing.base import DEBIASING
from fijibridge.forest import read_arff
from fijibridge.frontends.arguments import parameters_of
from fijibridge.frontends.imagej.install import install, texts_for
from fijibridge.jvm import find_java
from fijibridge.labels.reading import read_labels
from fijibridge.operations import operation
from fijibridge.synthesis.demo import demo_image
from fijibridge.tws.inputs import CHANNELS

_CLASSPATH = os.environ.get("FIJIBRIDGE_TWS_CLASSPATH", "")
needs_tws = pytest.mark.skipif(not _CLASSPATH, reason="FIJIBRIDGE_TWS_CLASSPATH is not set")

SCENARIOS = Path(__file__).parents[1] / "weka_window"
SIZE = 192
Run = Callable[..., dict[str, str]]


def test_a_script_has_all_it_needs():
    scripts = {name: text.decode("ascii") for name, text in texts_for(is_fiji=True).items() if name.endswith(".groovy")}
    assert len(scripts) == 7
    for text in scripts.values():
        assert text.count("class WekaWindow") == 1
        assert text.rindex("\nimport ") < text.index("class ")


def test_the_dialog_offers_what_python_has():
    script = texts_for(is_fiji=True)["scripts/Plugins/FijiBridge/ViT_Features_in_Weka_Window.groovy"].decode("ascii")
    blocks, scales = ({key: int(n) for key, n in _map(script, name)} for name in ("BLOCKS", "SCALES"))
    assert blocks == {name: len(one.blocks) + len(one.coarse_blocks) for name, one in PRESETS.items()}
    assert scales == {name: len(one.scales) for name, one in PRESETS.items()}
    debiasing = re.search(r'"Debiasing", \[([^]]*)\]', script)
    assert debiasing is not None
    assert re.findall('"([^"]+)"', debiasing[1]) == ["preset", *DEBIASING]
    assert f'addNumericField("Channels", {CHANNELS}, 0)' in script
    assert f"TWS_FEATURES = {len(feature_names(TwsSettings()))}" in script


def test_settings_become_options_that_python_has():
    """Seen where TWS is not there, too: the scripts were once left behind when options got another name."""
    script = texts_for(is_fiji=True)["scripts/Plugins/FijiBridge/Train_in_Weka_Window.groovy"].decode("ascii")
    method = re.search(r"Map<String, Object> ownFeatures\(.*?\n    }\n", script, re.DOTALL)
    assert method is not None
    options = re.findall(r"[\[\s](\w+): ", method[0])
    assert options == ["features", "sigma", "membrane"]
    for name in ("features", "segment", "train"):
        assert set(options) <= set(parameters_of(name))


def _map(script: str, name: str) -> list[tuple[str, str]]:
    found = re.search(rf"\b{name} = \[([^]]*)\]", script)
    assert found is not None
    return re.findall(r'"(\w+)": (\d+)', found[1])


@pytest.fixture(scope="module")
def fiji(tmp_path_factory: pytest.TempPathFactory, service_folder: Path) -> Path:
    """A folder like a Fiji's, with what install writes there."""
    folder = tmp_path_factory.mktemp("weka") / "Fiji"
    (folder / "jars").mkdir(parents=True)
    (folder / "jars" / "imagej-legacy-0.jar").touch()
    for name in ("plugins", "macros"):
        (folder / name).mkdir()
    shutil.copy(_tws_jar(), folder / "plugins")
    install(folder)
    return folder


def _tws_jar() -> Path:
    paths = _CLASSPATH.split(os.pathsep)
    return next(Path(path) for path in paths if "Trainable_Segmentation" in path)


@pytest.fixture
def run(fiji: Path, display: str, service_folder: Path, work: Path, tmp_path: Path) -> Run:
    """Run a scenario in an ImageJ process: its answers. A dialog that nobody answers ends with the process."""

    def run(name: str, *options: str, heap: str = "1g", timeout: float = 240) -> dict[str, str]:
        script = tmp_path / f"{name}.groovy"
        texts = [(SCENARIOS / part).read_text(encoding="utf-8") for part in ("driver.groovy", f"{name}.groovy")]
        script.write_text("".join(texts), encoding="utf-8")
        java = find_java()
        assert java is not None
        command = [str(java.path), *options, f"-Xmx{heap}", f"-Dfiji={fiji}", f"-Dplugins.dir={fiji}", f"-Dwork={work}"]
        command += [f"-Dservice={service_folder}", f"-Djava.util.prefs.userRoot={tmp_path}", f"-Duser.home={tmp_path}"]
        command += ["-cp", os.pathsep.join([str(groovy_jar()), _CLASSPATH])]
        command += ["groovy.ui.GroovyMain", str(script)]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**os.environ, "DISPLAY": display},
            check=False,
        )
        answers = dict(re.findall(r"^ANSWER ([^=\n]*)=(.*)$", done.stdout, re.MULTILINE))
        assert done.returncode == 0, (
            done.stdout[-4000:] + "".join(re.findall("ANSWER .*\n", done.stdout)) + done.stderr[-2000:]
        )
        return answers

    return run


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """image.tif, labels.tif and truth.tif."""
    folder = tmp_path / "wo rk"
    folder.mkdir()
    write_sample(folder, SIZE)
    tifffile.imwrite(folder / "truth.tif", demo_image(SIZE)[2])
    return folder


@needs_tws
@pytest.mark.tws
@pytest.mark.slow
@pytest.mark.weights
class TestWindow:
    def test_features_of_a_vit(self, run):
        found = run("alone")
        assert "no window of Trainable Weka Segmentation is open" in found["no window"]
        assert "no trained classifier" in found["no classifier"]
        assert found["alone"] == found["both"] == found["again"] == ""
        names = [f"vit_pca{scale}_{k:03d}" for scale in ("", "h") for k in range(16)]
        assert found["names alone"].split(",") == names
        assert found["kept alone"] == "32"
        assert float(found["accuracy alone"]) > 0.7
        assert found["maps"] == f"{SIZE},{SIZE},3"
        # other features than the classifier was trained on: it has to be trained again
        assert found["result is off"] == "true"
        assert found["names both"] == found["kept both"] == found["kept by button"] == str(76 + 32)
        assert float(found["accuracy both"]) > 0.8
        assert found["still trained"] == "true"
        assert "FB Apply" in found["apply says"]
        assert "ViT features are gone" in found["train says"]
        assert found["tws own"] == "true"

    def test_to_python_and_back(self, run, work):
        segmented = work / "segmented"
        operation("segment")(
            work / "image.tif", labels=work / "labels.tif", out=segmented, channels=12, classes="a,b,c"
        )
        found = run("exchange")
        assert found["inject"] == found["to Python"] == found["inject again"] == found["from Python"] == ""
        report = operation("apply")(
            work / "to python" / "classifier", images=[work / "image.tif"], out=work / "applied"
        )
        assert report["operation"] == "apply"
        ours, theirs = _labels(work / "applied"), tifffile.imread(work / "window.tif")
        assert np.mean(ours == theirs) > 0.9999
        assert found["kept at load"] == "92"
        assert float(found["same after load"]) == 1
        assert found["gone"] == "0"
        assert found["fits"] == "true"
        assert found["labels after probability"] == "92"
        assert found["classes"] == "a,b,c"
        assert float(found["agreement"]) > 0.9999
        assert float(found["agreement by button"]) > 0.9999
        assert "is no saved classifier" in found["from nowhere"]

    def test_train_on_the_windows_traces(self, run, work):
        found = run("train")
        assert "traces of 0 classes" in found["no traces"]
        assert "traces of 1 class\\n" in found["one class"]
        assert "preset=worst" in found["no preset"]
        assert found["trained"] == ""
        segmented = work / "segmented"
        operation("segment")(work / "image.tif", labels=work / "labels.tif", out=segmented, preset="fast")
        python = tifffile.imread(segmented / "labels.tif")
        assert np.mean(tifffile.imread(work / "window.tif") == python) > 0.995  # of threads, sums may end otherwise
        assert found["overlay"] == found["buttons"] == found["button"] == "true"
        assert found["features"] == found["TWS trains on"] == str(76 + 3)
        assert float(found["as TWS applies it"]) > 0.9999
        assert found["maps"] == f"{SIZE},{SIZE},3"
        assert "trained on" in found["log"]
        assert found["maps by button"] == f"{SIZE},{SIZE},3,false"  # Python's, not made anew by TWS
        assert 0.85 < float(found["again"]) < 1

    def test_train_on_slices_of_a_stack(self, run, work):
        """Traces on two slices of three; the others follow, and the places to label next."""
        found = run("train_stack")
        assert found["trained"] == found["next"] == ""
        assert "trained on" in found["log"]
        assert "the other slices are segmented" in found["log"]
        assert "in the window" in found["log"]
        assert found["slices"] == "3"
        python = work / "python"
        operation("segment")(work / "stack.tif", labels=work / "traces.zip", out=python, preset="fast")
        equal = tifffile.imread(work / "window.tif") == tifffile.imread(python / "labels.tif")
        assert equal.mean(axis=(1, 2)).min() > 0.995
        assert found["maps"] == f"{SIZE},{SIZE},3,3"
        assert int(found["places"]) > 2
        assert found["as TWS applies it"] == "true"

    def test_a_first_look_comes_before_the_vit(self, run, work):
        write_sample(work, 512)
        found = run("look")
        log = found["log"]
        assert 0 < log.index("a first look") < log.index("trained on") < log.index("in the window")
        assert found["looked"] == "true"

    def test_other_buttons_and_windows(self, run):
        found = run("buttons")
        assert found["first"] == found["third"] == found["trained again"] == found["after Esc"] == ""
        assert found["only these"] == found["buttons"] == "[true, false, true]"
        for key in ("data saved", "plotted", "data loaded", "TWS trains on the loaded data", "told", "as before"):
            assert found[key] == "true", key
        assert "was stopped" in found["stopped"]
        assert "closed during the training" in found["closed"]

    def test_the_settings_own_features(self, run):
        """Those that are ticked in Settings, also after features of the ViT alone, whose marks TWS shows."""
        found = run("settings")
        own = feature_names(TwsSettings(filters=("Gaussian_blur", "Median"), min_sigma=2, max_sigma=8))
        vit = tuple(f"vit_pca_{k:03d}" for k in range(4))
        assert found["beside"] == found["alone"] == found["again"] == found["changed"] == ""
        assert found["names"].split(",") == found["names again"].split(",") == [*own, *vit]
        assert found["names alone"].split(",") == [*vit]
        assert found["sigmas"] == "2.0,8.0"
        assert float(found["accuracy"]) > 0.75
        changed = TwsSettings(filters=("Kuwahara",), min_sigma=2, max_sigma=4, membrane_patch=7)
        assert found["names changed"].split(",") == [*feature_names(changed), *vit]
        assert "no filter is ticked" in found["none"]

    def test_loaded_data_go_on_with_more_traces(self, run, work):
        found = run("data")
        assert "no traces beside the loaded data" in found["no traces"]
        for key in ("trained", "vit", "trained on the ViT", "alone"):
            assert found[key] == "", key
        arff = work / "old.arff"
        names = read_arff(arff).feature_names
        assert re.search(
            rf"trained on \d+ traces and \d+ loaded samples, by their features: {len(names)} of", found["trained log"]
        )
        assert "open the image in a new window" in found["trained log"]
        operation("train")([work / "flipped.tif"], labels=[work / "traces.zip"], data=arff, out=work / "python")
        operation("apply")(work / "python" / "classifier", images=[work / "flipped.tif"], out=work / "applied")
        ours = tifffile.imread(work / "window.tif")
        assert np.mean(ours == _labels(work / "applied")) > 0.999
        assert np.mean(ours == tifffile.imread(work / "truth.tif")[:, ::-1]) > 0.75
        assert "loaded data, too" in found["next"]
        assert found["enabled"] == "3,4.0"  # as in the data
        assert found["maps"] == "3"
        assert float(found["as TWS applies it"]) > 0.999
        assert found["TWS trains on"] == str(len(names))
        assert float(found["TWS after it"]) > 0.75
        assert "class 4" in found["another class"]
        assert "loaded samples, by their features: 8," in found["trained on the ViT log"]
        assert found["features"] == "8"
        assert float(found["as TWS applies the ViT's"]) > 0.999
        assert "traces alone: the loaded data cannot serve, for nothing says how" in found["alone log"]

    def test_the_window_of_volumes(self, run, work):
        """Load data and further traces, and Apply classifier of a loaded J48, in TWS's 3D version."""
        found = run("data3d")
        assert found["trained"] == ""
        assert "loaded samples, by their features: 9 of TWS's own" in found["log"]
        operation("train")(
            [work / "volume.tif"], labels=[work / "traces.zip"], data=work / "old.arff", out=work / "python"
        )
        operation("apply")(work / "python" / "classifier", images=[work / "volume.tif"], out=work / "by python")
        assert np.mean(tifffile.imread(work / "window.tif") == _labels(work / "by python")) > 0.999
        assert float(found["as TWS applies it"]) > 0.999
        assert np.mean(tifffile.imread(work / "loaded.tif") == _labels(work / "applied")) > 0.999

    def test_apply_classifier_of_a_loaded_one(self, run, work):
        """SMO on other filters and sigmas than TWS's defaults."""
        found = run("loaded")
        assert float(found["accuracy"]) > 0.6
        assert "traces of 0 classes" in found["no traces"]
        assert found["title"] == "Apply classifier"
        assert np.mean(_labels(work / "applied") == tifffile.imread(work / "window.tif")) > 0.999

    def test_apply_classifier_runs_beside_imagej(self, run, work):
        found = run("apply")
        assert found["trained"] == found["trained meanwhile"] == ""
        assert _labels(work / "applied").shape == (SIZE, SIZE)
        assert "no image" in found["no image"]
        assert "cancelled; nothing was written" in found["cancelled"]
        assert found["left"] == "false"

    def test_saved_for_tws_and_for_python(self, run, work):
        found = run("save")
        assert found["refused"] == "my classifier is there already"
        assert (work / "my classifier.model").stat().st_size
        operation("apply")(work / "my classifier", images=[work / "image.tif"], out=work / "applied")
        assert np.mean(_labels(work / "applied") == tifffile.imread(work / "window.tif")) > 0.995

    def test_stacks_and_colours(self, run, work):
        found = run("stack")
        assert found["inject"] == found["to Python"] == found["rgb"] == found["rgb to Python"] == ""
        assert found["features"] == "84,84"
        assert found["slices"] == "2"
        assert min(float(found["accuracy 1"]), float(found["accuracy 2"]), float(found["accuracy rgb"])) > 0.75
        operation("apply")(work / "stack" / "classifier", images=[work / "stack_image.tif"], out=work / "applied")
        assert np.mean(_labels(work / "applied") == tifffile.imread(work / "stack_window.tif")) > 0.9999
        assert "100 x 100" in found["changed"]
        assert "image behind the window changed" in found["changed"]
        assert found["two windows"] == "2"

    def test_traces_and_rois(self, run, work):
        ring = [[5, 5], [9, 5], [9, 9], [5, 9]]
        roifile.roiwrite(work / "strokes.zip", [_roi("crack-1", ring), _roi("CAM-7", ring), _roi("crack-2", ring)])
        roifile.roiwrite(work / "outside.zip", [_roi("pore-1", ring), _roi("pore-2", [[180, 5], [200, 5], [200, 9]])])
        _roi("0005-0005", ring).tofile(work / "unnamed.roi")
        point = _roi("pore-1", [[5, 5], [6, 6]])
        point.roitype = roifile.ROI_TYPE.POINT
        point.tofile(work / "point.roi")
        found = run("rois")
        assert "no traces" in found["no traces"]
        assert found["saved"] == found["back"] == found["inject"] == found["more"] == found["shown"] == ""
        assert found["classes"] == "ISE,CAM,pore"
        assert found["identical"] == "true"
        assert found["lists"] == "2,2,2"
        assert found["kept"] == "8"
        assert found["names"] == "ISE,CAM,pore,crack"
        assert "reaches outside the image" in found["outside"]
        assert "areas and lines" in found["point"]
        assert "neither a group nor a name" in found["unnamed"]
        assert "cannot be read" in found["no file"]
        assert "ROI Manager" in found["no manager"]
        assert found["unchanged"] == "9"
        assert found["label image"] == "true"
        rois = roifile.roiread(work / "traces.zip")
        assert [roi.name for roi in rois] == ["ISE-1", "ISE-2", "CAM-1", "CAM-2", "pore-1", "pore-2"]
        assert [roi.group for roi in rois] == [1, 1, 2, 2, 3, 3]
        assert {roi.position for roi in rois} == {1}
        names = ("ISE", "CAM", "pore")
        labels = read_labels(work / "traces.zip", shape=(SIZE, SIZE), class_names=names).data
        drawn = read_labels(work / "traces.tif", shape=(SIZE, SIZE), class_names=names).data
        # a line five pixels wide: ImageJ draws it with round ends
        assert np.count_nonzero(labels != drawn) < 0.05 * np.count_nonzero(drawn)


@needs_tws
@pytest.mark.tws
@pytest.mark.slow
def test_features_that_do_not_fit_the_memory(run):
    # without resizing: else what Java says of its memory depends on what was done before
    found = run("heap", "-XX:+UseParallelGC", "-XX:-UseAdaptiveSizePolicy", heap="400m")
    assert "768 features of 512 x 512 pixels take 768 MiB" in found["large"]
    assert "half of Java's memory" in found["large"]
    limit = re.search("set channels to ([0-9]+) or less", found["large"])
    assert limit is not None
    assert 180 < int(limit[1]) <= 200
    assert "1612 features of 512 x 512 pixels take 1612 MiB" in found["two scales"]
    assert f"set channels to {(int(limit[1]) - 76) // 2} or less" in found["two scales"]
    assert found["features"] == "1"  # TWS's own: the image
    assert "does not tell how features are made" in found["no feature file"]
    # a plane is a little larger than a region of G1, and takes two
    assert "set channels to 100 or less" in run("heap", "-XX:+UseG1GC", heap="400m")["large"]


def _labels(folder: Path) -> np.ndarray:
    return tifffile.imread(next(folder.rglob("*labels.tif")))


def _roi(name: str, corners: list[list[int]]) -> roifile.ImagejRoi:
    return roifile.ImagejRoi.frompoints(np.array(corners), name=name)
