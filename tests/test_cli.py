"""The command line: how it is made, what it prints where, and what it answers to every bad input."""

from __future__ import annotations

import gzip
import inspect
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from shell import FAST, Answer, Shell, child, tree, write_image, write_rois, write_sample

from fijibridge.doors.cli import main
from fijibridge.jvm import find_java
from fijibridge.operations import CATALOGUE, operation
from fijibridge.params import param_of

_posix = pytest.mark.skipif(sys.platform == "win32", reason="signals, limits and scripts of POSIX")
SEGMENT = ("segment", "image.tif", "--labels", "labels.tif", "--out", "out", *FAST)
APPLY = ("apply", "classifier", "image.tif", "--out", "out", "--threads", "1")


@pytest.fixture(scope="module", autouse=True)
def _one_jvm(request):
    """The tests' own JVM, before a classifier is saved and starts one with another heap."""
    if find_java():
        request.getfixturevalue("java")


@pytest.fixture(scope="module")
def master(tmp_path_factory) -> Path:
    """image.tif, labels.tif, and out: an older result with its classifier."""
    folder = tmp_path_factory.mktemp("master")
    write_sample(folder)
    image, labels, out = (str(folder / name) for name in ("image.tif", "labels.tif", "out"))
    assert main(["segment", image, "--labels", labels, "--out", out, "--quiet", *FAST]) == 0
    return folder


@pytest.fixture
def here(master, tmp_path, monkeypatch) -> Path:
    """A working folder of a user's: image.tif, labels.tif and classifier."""
    folder = tmp_path / "here"
    folder.mkdir()
    for name in ("image.tif", "labels.tif"):
        shutil.copy(master / name, folder)
    shutil.copytree(master / "out" / "classifier", folder / "classifier")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def shell(capsys) -> Shell:
    def run(*arguments: object) -> Answer:
        capsys.readouterr()
        status = main(list(map(str, arguments)))
        return Answer(status, *capsys.readouterr())

    return run


def _refused(answer: Answer, *words: str) -> None:
    """Bad input: status 2, and on standard error what was found, what was expected, and the remedy."""
    assert answer.status == 2, answer.err
    assert "expected: " in answer.err
    assert "remedy: " in answer.err
    assert "Traceback" not in answer.err
    assert answer.out == ""
    for word in words:
        assert word in answer.err


# --- how it is made --------------------------------------------------------------------------------------------------


def test_options_are_the_parameters(shell):
    for name in CATALOGUE:
        text = " ".join(shell(name.replace("_", "-"), "--help").out.split())
        unwrapped = text.replace(" ", "")  # words with a hyphen are wrapped too
        parameters = inspect.signature(operation(name)).parameters
        hints = inspect.get_annotations(operation(name), eval_str=True)
        wanted = {"--help", "--quiet", "--verbose"}
        for parameter in parameters.values():
            plain, param = param_of(hints[parameter.name])
            assert "".join(param.help.split()) in unwrapped, parameter
            option = "--" + parameter.name.replace("_", "-")
            if not param.positional:
                wanted |= {option, "--no-" + option[2:]} if plain is bool else {option}
            if param.low is not None and param.high is not None:
                assert f"{param.low}<=x<={param.high}" in text, parameter
        assert {word.strip(",.") for word in text.split() if word.startswith("--")} == wanted
    assert "0<=x<=8" in " ".join(shell("segment", "--help").out.split())


def test_help_and_version(shell):
    answer = shell("--help")
    assert answer.status == 0
    assert all(name.replace("_", "-") in answer.out for name in CATALOGUE)
    assert shell("--version").out.startswith("fijibridge 0.")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "Usage"),
        (["segment"], "image"),
        (["segment", "image.tif", "--labels", "labels.tif"], "--out"),
        (["apply", "classifier"], "images"),
        (["nonsense"], "nonsense"),
        ([*SEGMENT, "--tress", "5"], "--tress"),
        ([*SEGMENT, "--trees", "0"], "--trees"),
        ([*SEGMENT, "--channels", "-1"], "--channels"),
        (["import-classifier", "x.model", "--out", "out"], "--recipe"),
        ([*SEGMENT, "--trees", "many"], "--trees"),
        ([*SEGMENT, "--engine", "java"], "sklearn"),
        ([*SEGMENT, "--enlargement", "100"], "enlargement"),
        ([*SEGMENT, "--enlargement", "nan"], "enlargement"),
        (["demo", "--size", "10"], "--size"),
    ],
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, list) else "",
)
def test_wrong_usage(here, shell, arguments, word):
    before = tree(here)
    answer = shell(*arguments)
    assert answer.status == 2
    assert word in answer.err + (answer.out if not arguments else "")
    assert tree(here) == before


# --- what it prints where --------------------------------------------------------------------------------------------


def test_python_m_prints_results_on_stdout_and_progress_on_stderr(here, tmp_path):
    command = [sys.executable, "-W", "error", "-m", "fijibridge", *SEGMENT, "--classes", "ISE, CAM ,pore"]
    env = _without_java(tmp_path)  # which would take its time to start
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=env)
    assert done.returncode == 0, done.stderr
    assert "segmenting" in done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("image.tif: ISE ")
    assert lines[1].startswith("out-of-bag accuracy")
    assert lines[-1] == "results: out"
    assert "segmenting" not in done.stdout
    assert json.loads((here / "out" / "report.json").read_text(encoding="utf-8"))["class_names"][1] == "CAM"


def test_quiet_prints_nothing(here, shell):
    assert shell(*APPLY, "--quiet") == Answer(0, "", "")


def test_verbose_tells_more(here, shell):
    answer = shell(*SEGMENT, "-v", "--no-probabilities")
    assert "out-of-bag accuracy" in answer.err
    assert not logging.getLogger("another.library").isEnabledFor(logging.INFO)  # whose news are not for the user
    assert not (here / "out" / "probabilities.tif").exists()


def test_apply_prints_a_line_an_image(here, shell):
    shutil.copy("image.tif", "other.tif")
    answer = shell("apply", "classifier", "image.tif", "other.tif", "--out", "out")
    assert answer.status == 0
    first, second, seconds, place = answer.out.splitlines()
    assert first.startswith("image.tif: class 1 ")
    assert second == first.replace("image.tif", "other.tif")  # the same pixels
    assert seconds.endswith("CPU s)")
    assert place == "results: out"


def test_doctor(shell, monkeypatch, tmp_path):
    answer = shell("doctor")
    checks = [line.split(":")[0].split(maxsplit=1)[1] for line in answer.out.splitlines() if "->" not in line]
    assert checks == ["Python", "Java", "Java libraries", "torch", "ViT weights", "VGG19 weights", "cache", "memory"]
    assert "vgg19 is not in the cache; needed only for reconstruct and superresolve" in answer.out
    (tmp_path / "file").touch()
    monkeypatch.setenv("FIJIBRIDGE_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setenv("JAVA_HOME", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    answer = shell("doctor")
    assert answer.status == 1
    assert "cannot be written" in answer.out
    assert "set FIJIBRIDGE_CACHE" in answer.out
    assert "no Java" in answer.out
    assert "Traceback" not in answer.out + answer.err


# --- bad inputs ------------------------------------------------------------------------------------------------------


def _write_labels(values: np.ndarray) -> None:
    tifffile.imwrite("labels.tif", values.astype(np.uint8))


def _two_boxes(**boxes) -> tuple[str, ...]:
    write_rois(Path("rois.zip"), boxes)
    return ("segment", "image.tif", "--labels", "rois.zip", "--out", "out", *FAST)


def _truncated_image():
    Path("image.tif").write_bytes(Path("image.tif").read_bytes()[:9000])


def _nan():
    tifffile.imwrite("image.tif", np.full((128, 128), np.nan, np.float32))


def _stack():
    write_image(Path("image.tif"), np.zeros((3, 128, 128), np.uint8))


def _one_class():
    labels = np.zeros((128, 128))
    labels[5:9, 5:9] = 1
    _write_labels(labels)


def _outside():
    return _two_boxes(a=(5, 5, 9, 9), b=(120, 20, 140, 30))


def _result_for_classifier():
    Path("result").mkdir()
    shutil.move("classifier", "result")
    return ("apply", "result", *APPLY[2:])


def _model_text():
    Path("x.model").write_bytes(b"@relation iris")
    return ("apply", "x.model", "image.tif", "--out", "out")


def _model_no_folder():
    Path("classifier", "classifier.json").unlink()
    return APPLY


def _damaged_forest():
    path = Path("classifier", "forest.safetensors")
    data = bytearray(path.read_bytes())
    for place in range(len(data) // 2, len(data)):  # not one alone: it could be a leaf's, where it means nothing
        data[place] ^= 1
    path.write_bytes(bytes(data))
    return APPLY


def _edited_recipe():
    path = Path("classifier", "classifier.json")
    index = json.loads(path.read_text(encoding="utf-8"))
    index["recipe"]["sigma"] = 3
    path.write_text(json.dumps(index), encoding="utf-8")
    return APPLY


FEATURES = ("features", "image.tif", "--out", "out", "--encoder", "none")
IMPORT = ("import-classifier", "classifier/classifier.model", "--recipe")

BAD = {
    # name: (what is wrong here, command or None for SEGMENT, words of the message)
    "image missing": (lambda: Path("image.tif").unlink(), None, ["image.tif"]),
    "image a folder": (None, ("segment", ".", *SEGMENT[2:]), ["."]),
    "image unreadable": (lambda: Path("image.tif").write_bytes(b"not an image"), None, ["image.tif"]),
    "image truncated": (_truncated_image, None, ["image.tif"]),
    "image of no bytes": (lambda: Path("image.tif").write_bytes(b""), None, ["image.tif"]),
    "image NaN": (_nan, None, ["NaN"]),
    "image a stack": (_stack, None, ["3 slices", "fijibridge apply"]),
    "labels missing": (lambda: Path("labels.tif").unlink(), None, ["labels.tif"]),
    "labels of another size": (lambda: _write_labels(np.ones((64, 128))), None, ["128 x 64", "128 x 128"]),
    "one class": (_one_class, None, ["class 1"]),
    "no label": (lambda: _write_labels(np.zeros((128, 128))), None, ["no pixel is labelled"]),
    "value with no name": (None, (*SEGMENT, "--classes", "a,b"), ["label value 3"]),
    "name twice": (None, (*SEGMENT, "--classes", "a,b,A"), ["twice"]),
    "no ROI set": (lambda: Path("r.zip").write_bytes(b"x"), (*SEGMENT[:3], "r.zip", *SEGMENT[4:]), ["r.zip"]),
    "ROI outside": (_outside, None, ["'b'", "128 x 128"]),
    "unknown encoder": (None, (*SEGMENT, "--encoder", "vit_smal"), ["'vit_smal'", "encoder"]),
    "not a ViT": (None, (*SEGMENT, "--encoder", "resnet18"), ["resnet18"]),
    "no features": (None, (*SEGMENT, "--classical", "none"), ["classical"]),
    "blocks no numbers": (None, (*SEGMENT, "--blocks", "a"), ["blocks = 'a'"]),
    "blocks from 0": (None, (*SEGMENT, "--blocks", "0", "--encoder", "test_vit"), ["blocks"]),
    "max-features": (None, (*SEGMENT, "--max-features", "few"), ["max_features", "'few'"]),
    "max-features 0": (None, (*SEGMENT, "--max-features", "0"), ["max_features"]),
    "max-features of too many": (None, (*SEGMENT, "--max-features", "1000"), ["max_features"]),
    "databar larger than the image": (None, (*SEGMENT, "--databar", "500"), ["500 rows", "128"]),
    "databar no number": (None, (*SEGMENT, "--databar", "some"), ["databar", "'some'"]),
    "databar over all of a class": (None, (*SEGMENT, "--databar", "127"), ["labels in the data bar", "two classes"]),
    "heap malformed": (None, (*SEGMENT, "--heap", "4 gigs"), ["heap='4 gigs'"]),
    "heap larger than the machine": (None, (*SEGMENT, "--heap", "9999g"), ["this machine's memory"]),
    "heap larger, weka": (None, (*SEGMENT, "--engine", "weka", "--heap", "9999g"), ["this machine's memory"]),
    "weights missing": (None, (*SEGMENT, "--encoder", "test_vit", "--weights", "w.safetensors"), ["w.safetensors"]),
    "classifier missing": (None, ("apply", "none", *APPLY[2:]), ["no classifier none"]),
    "classifier a text": (_model_text, None, ["x.model"]),
    "classifier an image": (None, ("apply", "image.tif", *APPLY[2:]), ["not a .model file"]),
    "folder without index": (_model_no_folder, None, ["no classifier.json"]),
    "result in place of its classifier": (_result_for_classifier, None, ["result", "the folder classifier in"]),
    "damaged forest": (_damaged_forest, None, ["classifier"]),
    "recipe of a newer version": (_edited_recipe, None, ["sigma"]),
    "second image missing": (None, (*APPLY[:3], "gone.tif", *APPLY[3:]), ["gone.tif"]),
    "channels too many": (None, (*SEGMENT, "--encoder", "test_vit", "--channels", "129"), ["channels = 129", "128"]),
    "slices no numbers": (None, (*FEATURES, "--slices", "first"), ["slices = 'first'"]),
    "slices beyond": (None, (*FEATURES, "--slices", "1-2"), ["1 slice"]),
    "features by a model": (_model_text, (*FEATURES, "--classifier", "x.model"), ["x.model", "recipe.json"]),
    "features of no image": (None, ("features", "gone.tif", *FEATURES[2:]), ["gone.tif"]),
    "model missing": (None, ("import-classifier", "x.model", "--recipe", "classifier", "--out", "out"), ["x.model"]),
    "recipe missing": (None, (*IMPORT, "gone.json", "--out", "out"), ["gone.json"]),
    "recipe an image": (None, (*IMPORT, "image.tif", "--out", "out"), ["image.tif", "recipe.json"]),
    "output under a file": (None, (*APPLY[:4], "image.tif/out"), ["image.tif/out cannot be written"]),
    "output a file": (None, (*APPLY[:4], "labels.tif", "--overwrite"), ["labels.tif is a file"]),
    "output of other things": (None, (*APPLY[:4], "classifier", "--overwrite"), ["holds other things"]),
    "output name too long": (None, (*APPLY[:4], "n" * 300), ["cannot be written"]),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(here, shell, name):
    damage, command, words = BAD[name]
    made = damage() if damage else None
    command = command or (made if isinstance(made, tuple) else SEGMENT)
    before = tree(here)
    _refused(shell(*command), f"fijibridge {command[0]}: ", *words)
    assert tree(here) == before  # no output, and no hidden place where it was built


def _serialised(java, *objects) -> bytes:
    buffer = java.jclass("java.io.ByteArrayOutputStream")()
    stream = java.jclass("java.io.ObjectOutputStream")(buffer)
    for item in objects:
        stream.writeObject(item)
    stream.close()
    return bytes(buffer.toByteArray())


@pytest.mark.parametrize("kind", ["truncated", "hostile", "other classifier", "other features", "truncated gz"])
def test_bad_model(here, shell, java, weka, kind):
    whole = Path("classifier", "classifier.model").read_bytes()
    if kind == "truncated":
        data, word = whole[: len(whole) // 2], "classifier"
    elif kind == "truncated gz":
        data, word = gzip.compress(whole)[:-2000], "classifier"
    elif kind == "hostile":
        nested = java.jclass("java.util.HashMap")()
        nested.put(java.jclass("java.net.URL")("http://127.0.0.1:9/"), java.jclass("java.util.HashSet")())
        data, word = _serialised(java, nested), "holds a"
    elif kind == "other classifier":
        forest = java.jclass("weka.classifiers.trees.RandomForest")()
        data, word = _serialised(java, forest, weka._header(["a"], ["x", "y"])), "RandomForest"
    else:
        X = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
        forest, _ = weka.train_weka(X, np.arange(40) % 2, n_trees=2, feature_names=["vit_a", "vit_b"])
        weka.write_model(here / "x.model", forest)
        data, word = (here / "x.model").read_bytes(), "vit_a"
    path = here / ("x.model.gz" if kind.endswith("gz") else "x.model")
    path.write_bytes(data)
    before = tree(here)
    _refused(shell("apply", path.name, "image.tif", "--out", "out"), path.name, word)
    assert tree(here) == before


def test_bad_weights(here, shell, tiny_vit, tmp_path, monkeypatch):
    from fijibridge import weights

    monkeypatch.setenv("FIJIBRIDGE_CACHE", str(tmp_path / "cache"))
    cached = weights.cache_file("test_vit")
    weights._write_cache(weights.load_weights("test_vit", checkpoint=tiny_vit), cached)
    vit = ("--encoder", "test_vit", "--blocks", "2", "--enlargement", "1")
    assert shell(*SEGMENT, *vit, "--quiet").status == 0
    shutil.move("out", "old")
    data = bytearray(cached.read_bytes())
    data[-100] ^= 1
    cached.write_bytes(bytes(data))
    before = tree(here)
    _refused(shell(*SEGMENT, *vit), "SHA-256", "delete")
    _refused(shell("apply", "old/classifier", *APPLY[2:]), "SHA-256", "delete")
    # weights that are in order, but not those of the training
    _refused(shell("apply", "old/classifier", *APPLY[2:], "--weights", cached), "weights")
    # features of other blocks than the forest was trained on
    index = json.loads((here / "old/classifier/classifier.json").read_text(encoding="utf-8"))
    index["recipe"]["blocks"] = [3]
    (here / "old/classifier/classifier.json").write_text(json.dumps(index), encoding="utf-8")
    before = tree(here)
    _refused(shell("apply", "old/classifier", *APPLY[2:], "--weights", tiny_vit), "a linear model of other features")
    assert tree(here) == before


# --- outputs that are there, full disks, Ctrl-C ----------------------------------------------------------------------


def test_overwrite(here, shell):
    assert shell(*APPLY, "--quiet").status == 0
    before = tree(here)
    _refused(shell(*APPLY), "exists already", "--overwrite")
    _refused(shell(*SEGMENT), "exists already")
    assert tree(here) == before
    Path("out", "stale.txt").touch()
    assert shell(*APPLY, "--overwrite", "--quiet").status == 0
    assert set(tree(here)) == set(before)


@_posix
@pytest.mark.parametrize("limit", [10_000, 100_000], ids=["labels", "probabilities"])
def test_full_disk_keeps_the_older_result(here, master, limit):
    """A limit on the size of files stands for a full disk."""
    shutil.copytree(master / "out", "out")
    before = tree(here)
    command = child(*SEGMENT, "--overwrite", file_limit=limit)
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env=_without_java(here.parent)
    )
    _refused(Answer(done.returncode, done.stdout, done.stderr), "cannot be written (", "free some space")
    assert ".out-" not in done.stderr  # the place named is the user's
    assert tree(here) == before


def _without_java(empty: Path) -> dict[str, str]:
    return {**os.environ, "JAVA_HOME": "", "PATH": str(empty)}


def _fake_old_java(folder: Path) -> dict[str, str]:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "java").write_text("#!/bin/sh\necho 'openjdk version \"1.8.0_292\"' >&2\n", encoding="utf-8")
    (folder / "bin" / "java").chmod(0o755)
    return {**os.environ, "JAVA_HOME": str(folder), "PATH": str(folder / "nothing")}


@_posix
@pytest.mark.parametrize("java", ["none", "old"])
def test_engine_weka_without_java(here, tmp_path, java):
    env = _without_java(tmp_path) if java == "none" else _fake_old_java(tmp_path / "java8")
    before = tree(here)
    done = subprocess.run(
        child(*SEGMENT, "--engine", "weka"), capture_output=True, text=True, timeout=120, check=False, env=env
    )
    words = "no Java on this machine" if java == "none" else "Java 1.8.0_292"
    _refused(Answer(done.returncode, done.stdout, done.stderr), words, "install Java 11")
    assert tree(here) == before


@_posix
def test_an_old_java_does_not_cost_the_training(here, tmp_path):
    env = _fake_old_java(tmp_path / "java8")
    done = subprocess.run(child(*SEGMENT), capture_output=True, text=True, timeout=120, check=False, env=env)
    assert done.returncode == 0, done.stderr
    assert "classifier.model, which Fiji needs, was not written" in done.stderr
    assert sorted(os.listdir("out/classifier")) == ["classifier.json", "forest.safetensors"]


@_posix
@pytest.mark.parametrize(
    ("engine", "ending", "status"), [("sklearn", "SIGINT", 130), ("sklearn", "SIGTERM", 143), ("weka", "SIGINT", 130)]
)
def test_ended_half_way(here, master, engine, ending, status, request):
    if engine == "weka":
        request.getfixturevalue("java")  # skips without one
    shutil.copytree(master / "out", "out")
    before = tree(here)
    command = child(*SEGMENT, "--trees", "10000", "--engine", engine, "--overwrite", "-v")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 60
        while not any(here.glob(".out-*")) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(4 if engine == "weka" else 1.5)
        assert process.poll() is None, "done before it could be interrupted"
        process.send_signal(getattr(signal, ending))
        try:
            out, err = process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGUSR1)  # where it hangs, on its standard error
            time.sleep(1)
            process.kill()
            pytest.fail(f"it did not end: {process.communicate()[1]}")
    finally:
        process.kill()
    assert process.returncode == status, err
    assert ("interrupted; nothing was written" in err) == (ending == "SIGINT")
    assert "Traceback" not in err
    assert out == ""
    assert tree(here) == before


@pytest.mark.parametrize(("ending", "status"), [(KeyboardInterrupt(), 130), (SystemExit(143), 143)])
def test_ended_while_a_compiled_module_is_imported(shell, monkeypatch, ending, status):
    """Such an import makes an ImportError of what interrupts it."""
    from fijibridge.operations import segment

    def imports(*_, **__):
        try:
            raise ending
        except BaseException as error:
            raise ImportError("initialization failed") from error

    monkeypatch.setattr(segment, "check", imports)
    done = shell(*SEGMENT)
    assert done.status == status
    assert ("interrupted; nothing was written" in done.err) == (status == 130)


def test_an_option_of_several_files_takes_all_that_follow():
    from fijibridge.doors.cli import repeated

    given = ["superresolve", "c.tif", "--slices", "a.tif", "b.tif", "--visible", "CAM", "--slices", "d.tif", "e.tif"]
    assert repeated(given) == [
        *["superresolve", "c.tif", "--slices", "a.tif", "--slices", "b.tif", "--visible", "CAM"],
        *["--slices", "d.tif", "--slices", "e.tif"],
    ]
    for other in ([], ["--version"], ["apply", "model", "a.tif", "b.tif", "--out", "o"], ["superresolve", "--help"]):
        assert repeated(other) == other
