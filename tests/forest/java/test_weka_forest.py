"""Forests in Weka: conversion, training, `.model` files good and bad. Java is asked, nothing is imitated."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fijibridge.core.errors import FeatureMismatchError, LabelsError, ModelFileError, OutputError, SettingsError
from fijibridge.forest import Forest

pytestmark = pytest.mark.usefixtures("java")
_few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
_NAMES = ["pores", "active material", "bïnder"]
_F32 = np.finfo(np.float32)


def _random_forest(seed: int, n_classes: int, n_features: int = 3, n_trees: int = 4) -> Forest:
    """Random splits, nodes depth first as Weka's are read, leaves that do not sum to 1 and some all zero."""
    rng = np.random.default_rng(seed)
    rows: list[list] = []

    def grow(level: int) -> int:
        here = len(rows)
        rows.append([-1, 0.0, -1, -1, rng.random(n_classes) * (rng.random(n_classes) < 0.7), 0.0])
        if level < 4 and rng.random() < 0.75:
            threshold = rng.choice([rng.normal(), 0.1, 1e-40, _F32.max, -np.inf, np.inf])
            children = [grow(level + 1), grow(level + 1)]
            rows[here] = [rng.integers(n_features), threshold, *children, np.zeros(n_classes), rng.random()]
        return here

    roots = np.array([grow(0) for _ in range(n_trees)])
    columns = (np.array(column) for column in zip(*rows, strict=True))
    names = [f"vit_{i}" for i in range(n_features)], [f"c{i}" for i in range(n_classes)]
    return Forest(*columns, roots, n_features, *names, {"seed": seed % 1000})


def _chain(depth: int) -> Forest:
    """One tree, each left child a leaf: as deep as it has splits."""
    n = 2 * depth + 1
    inner = np.arange(n) % 2 == 0
    inner[-1] = False
    at = np.arange(n)
    return Forest(
        np.where(inner, 0, -1), np.where(inner, at, 0.0), np.where(inner, at + 1, -1), np.where(inner, at + 2, -1),
        np.where(inner[:, None], 0, [[0.25, 0.75]]), np.where(inner, 0.5, 0), np.array([0]), 1, ["x"], ["a", "b"],
    )  # fmt: skip


def _preorder(forest: Forest) -> bool:
    return bool((forest.left[forest.feature >= 0] == np.flatnonzero(forest.feature >= 0) + 1).all())


def _in_java(frf, header, X: np.ndarray) -> np.ndarray:
    """distributionForInstance as a user of Weka calls it, one JPype call a sample."""
    import jpype

    result = []
    for row in X:
        sample = jpype.JClass("weka.core.DenseInstance")(1.0, jpype.JDouble[:]([*row.tolist(), np.nan]))
        sample.setDataset(header)
        result.append(list(frf.distributionForInstance(sample)))
    return np.array(result)


@pytest.fixture(scope="module")
def trained(java):
    import fijibridge.forest.java.weka as weka

    rng = np.random.default_rng(7)
    y = rng.integers(0, 3, 300)
    X = (rng.normal(size=(300, 6)) + 0.8 * y[:, None] * (np.arange(6) % 2)).astype(np.float32)
    forest, oob_accuracy = weka.train_weka(X, y, n_trees=15, seed=3, class_names=_NAMES)
    return forest, oob_accuracy, X, y


@pytest.fixture(scope="module")
def model(trained, tmp_path_factory):
    import fijibridge.forest.java.weka as weka

    return weka.write_model(tmp_path_factory.mktemp("model") / "classifier.model", trained[0])


# --- conversion ---------------------------------------------------------------------------------------------------


def test_trained_in_java(trained, weka):
    forest, oob_accuracy, X, y = trained
    assert (forest.n_trees, forest.n_features, forest.class_names) == (15, 6, tuple(_NAMES))
    assert forest.settings["seed"] == 3
    assert forest.settings["features_per_node"] == 2
    assert 0.5 < oob_accuracy < 0.95
    assert forest.settings["oob_error"] == pytest.approx(1 - oob_accuracy)
    assert (forest.predict(X) == y).mean() > 0.95
    assert _preorder(forest)


def test_same_probabilities_in_java_and_python(trained, weka):
    forest, _, X, _ = trained
    frf, header = weka.to_weka(forest)
    expected = _in_java(frf, header, X[:40])
    np.testing.assert_array_equal(weka.predict_weka((frf, header), X[:40]), expected)
    np.testing.assert_array_equal(forest.predict_proba(X[:40]), expected)


@given(seed=st.integers(0, 2**32 - 1), n_classes=st.integers(2, 4))
@_few
@pytest.mark.slow
def test_forest_to_weka_and_back(weka, seed, n_classes):
    forest = _random_forest(seed, n_classes)
    frf, header = weka.to_weka(forest)
    assert weka.forest_from_weka(frf, header).equals(forest)
    rng = np.random.default_rng(seed)
    with np.errstate(over="ignore", under="ignore"):
        pool = np.concatenate([forest.threshold.astype(np.float32), rng.normal(size=20).astype(np.float32)])
    X = rng.choice(pool[np.isfinite(pool)], (30, 3))  # split points hit exactly among them
    X[::5, 1] = np.nan
    in_java = weka.predict_weka((frf, header), X)
    settled = in_java.sum(axis=1) > 0  # elsewhere every reached leaf is zero
    np.testing.assert_allclose(forest.predict_proba(X)[settled], in_java[settled], atol=1e-15, rtol=1e-13)


def test_split_points_hit_exactly(trained, weka):
    forest, _, _, _ = trained
    inner = np.flatnonzero(forest.feature >= 0)
    X = np.zeros((len(inner), 6))
    X[np.arange(len(inner)), forest.feature[inner]] = forest.threshold[inner]
    np.testing.assert_array_equal(forest.predict_proba(X), weka.predict_weka(forest, X))


def test_node_order_is_depth_first_after_weka(weka):
    forest = _random_forest(5, 2)
    n = forest.n_nodes
    back = np.arange(n)[::-1]
    turned = dataclasses.replace(
        forest,
        **{name: getattr(forest, name)[back] for name in ("feature", "threshold", "value", "left_fraction")},
        **{name: np.where(forest.feature < 0, -1, n - 1 - getattr(forest, name))[back] for name in ("left", "right")},
        roots=n - 1 - forest.roots,
    )
    assert not turned.equals(forest)
    assert weka.forest_from_weka(*weka.to_weka(turned)).equals(forest)


def what_weka_keeps(forest: Forest) -> dict:
    return {name: value for name, value in forest.settings.items() if name != "oob_confusion"}


def test_the_classifier_is_complete(trained, weka):
    forest, _, _, _ = trained
    frf, header = weka.to_weka(forest)
    text = str(frf.toString())
    assert "15 trees, each constructed while considering 2 random features" in text
    assert (frf.getNumTrees(), frf.getNumFeatures(), frf.getSeed(), frf.getMaxDepth()) == (15, 2, 3, 0)
    assert float(frf.measureOutOfBagError()) == forest.settings["oob_error"]
    assert str(header.relationName()) == "TWS-2D-v4.0.0-grayscale"
    assert (header.numInstances(), header.classIndex()) == (0, 6)
    assert str(header.classAttribute().name()) == "class"
    assert str(header.attribute(6).value(2)) == "bïnder"
    assert weka.forest_from_weka(frf, header).settings == what_weka_keeps(forest)


def test_trains_again_in_weka(trained, weka):
    """TWS trains a loaded classifier anew with its settings: that must give the same forest."""
    forest, _, X, y = trained
    frf, _ = weka.to_weka(forest)
    data = weka._header(forest.feature_names, forest.class_names, 300)
    weka._add_samples(data, X, y.astype(np.int32))
    frf.buildClassifier(data)
    assert weka.forest_from_weka(frf, data).equals(forest)


def test_sklearn_forest_through_weka(trained, weka):
    from fijibridge.forest.sklearn import train_sklearn

    _, _, X, y = trained
    forest, _ = train_sklearn(X, y, n_trees=10, class_names=_NAMES)
    again = weka.forest_from_weka(*weka.to_weka(forest))
    assert again.equals(forest)
    np.testing.assert_array_equal(weka.predict_weka(forest, X), forest.predict_proba(X))


def test_untrained_and_nominal(java, weka):
    frf = java.jclass("hr.irb.fastRandomForest.FastRandomForest")()
    header = weka._header(["a"], ["x", "y"])
    with pytest.raises(ModelFileError, match="never trained"):
        weka.forest_from_weka(frf, header)
    trained, _ = weka.to_weka(_random_forest(1, 2, n_features=1))
    names = java.jclass("java.util.ArrayList")(["p", "q"])
    header.replaceAttributeAt(java.jclass("weka.core.Attribute")("a", names), 0)
    with pytest.raises(ModelFileError, match="not numeric"):
        weka.forest_from_weka(trained, header)


def test_names_that_clash(weka):
    forest = dataclasses.replace(_random_forest(1, 2), feature_names=("a", "class", "b"))
    with pytest.raises(SettingsError, match="'class'"):
        weka.to_weka(forest)


def test_predict_in_threads_and_chunks(trained, weka, monkeypatch):
    forest, _, X, _ = trained
    expected = weka.predict_weka(forest, X)
    monkeypatch.setattr(weka, "_ROWS", 37)
    np.testing.assert_array_equal(weka.predict_weka(forest, np.asfortranarray(X), n_threads=2), expected)
    with pytest.raises(FeatureMismatchError):
        weka.predict_weka(forest, X[:, :3])


# --- training -----------------------------------------------------------------------------------------------------


def test_training_is_reproducible_whatever_the_threads(trained, weka):
    forest, _, X, y = trained
    for n_threads in (1, 2):
        again, _ = weka.train_weka(X, y, n_trees=15, seed=3, class_names=_NAMES, n_threads=n_threads)
        assert again.equals(forest)
    other, _ = weka.train_weka(X, y, n_trees=15, seed=4, class_names=_NAMES)
    assert not other.equals(forest)


def test_training_options(trained, weka):
    _, _, X, y = trained
    shallow, _ = weka.train_weka(X, y, n_trees=5, max_depth=2, max_features=6)
    assert shallow.depth().max() == 2
    assert (shallow.settings["max_depth"], shallow.settings["features_per_node"]) == (2, 6)
    absent, _ = weka.train_weka(X, np.array(["a", "c"])[y % 2], n_trees=2, class_names=["a", "b", "c"])
    assert absent.predict_proba(X)[:, 1].max() == 0


def test_training_with_missing_values(trained, weka):
    _, _, X, y = trained
    holes = X.copy()
    holes[::7, 2] = np.nan
    forest, _ = weka.train_weka(holes, y, n_trees=5)
    np.testing.assert_allclose(forest.predict_proba(holes), weka.predict_weka(forest, holes), atol=1e-15)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"n_trees": 0}, SettingsError),
        ({"max_features": 7}, SettingsError),
        ({"max_features": "all"}, SettingsError),
        ({"seed": -1}, SettingsError),
        ({"seed": 2**31}, SettingsError),
        ({"feature_names": ["a"]}, SettingsError),
        ({"class_names": ["only one"]}, LabelsError),
    ],
)
def test_bad_training_settings(trained, weka, change, error):
    _, _, X, y = trained
    with pytest.raises(error):
        weka.train_weka(X, y, **{"n_trees": 2, **change})


def test_bad_training_data(trained, weka):
    _, _, X, y = trained
    with pytest.raises(SettingsError):
        weka.train_weka(X, y[:-1])
    with pytest.raises(LabelsError):
        weka.train_weka(X, np.zeros(len(X), int))


# --- .model files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["classifier.model", "classifier.model.gz"])
def test_model_round_trip(trained, weka, tmp_path, name):
    forest = trained[0]
    path = weka.write_model(tmp_path / name, forest)
    again = weka.read_model(str(path))
    assert again.equals(forest)
    assert again.settings == what_weka_keeps(forest)
    assert [item.name for item in tmp_path.iterdir()] == [name]
    assert (path.read_bytes()[:2] == b"\x1f\x8b") == name.endswith("gz")


def test_model_as_tws_reads_it(trained, model, java):
    """TWS and Weka read two objects with a plain ObjectInputStream, as this helper of Weka does."""
    forest, _, X, _ = trained
    frf, header = java.jclass("weka.core.SerializationHelper").readAll(str(model))
    assert isinstance(frf, java.jclass("hr.irb.fastRandomForest.FastRandomForest"))
    np.testing.assert_array_equal(_in_java(frf, header, X[:20]), forest.predict_proba(X[:20]))


@pytest.mark.parametrize("is_3d", [False, True])
def test_model_says_which_tws_loads_it(trained, weka, java, tmp_path, is_3d):
    path = weka.write_model(tmp_path / "classifier.model", trained[0], is_3d=is_3d)
    _, header = java.jclass("weka.core.SerializationHelper").readAll(str(path))
    assert str(header.relationName()) == ("TWS-3D-v4.0.0-grayscale" if is_3d else "TWS-2D-v4.0.0-grayscale")
    assert weka.read_model(path).equals(trained[0])


@pytest.mark.slow
def test_model_as_tws_writes_it(trained, weka, java, tmp_path):
    """The classifier as trained, not as rebuilt, through Weka's own writer."""
    _, _, X, y = trained
    data = weka._header([f"f{i}" for i in range(6)], _NAMES, 300)
    weka._add_samples(data, X, y.astype(np.int32))
    frf = java.jclass("hr.irb.fastRandomForest.FastRandomForest")()
    frf.setNumTrees(5)
    frf.buildClassifier(data)
    path = tmp_path / "tws.model"
    stream = java.jclass("java.io.ObjectOutputStream")(java.jclass("java.io.FileOutputStream")(str(path)))
    stream.writeObject(frf)
    stream.writeObject(data.stringFreeStructure())
    stream.close()
    forest = weka.read_model(path)
    np.testing.assert_array_equal(forest.predict_proba(X[:20]), _in_java(frf, data, X[:20]))


def test_very_deep_tree(weka, tmp_path):
    forest = _chain(20_000)
    assert weka.read_model(weka.write_model(tmp_path / "deep.model", forest)).equals(forest)


def test_write_to_a_folder_that_is_not_there(trained, weka, tmp_path):
    with pytest.raises(OutputError, match="no folder"):
        weka.write_model(tmp_path / "nowhere" / "a.model", trained[0])


def _serialised(java, *objects) -> bytes:
    buffer = java.jclass("java.io.ByteArrayOutputStream")()
    stream = java.jclass("java.io.ObjectOutputStream")(buffer)
    for item in objects:
        stream.writeObject(item)
    stream.close()
    return bytes(buffer.toByteArray())


def _refused(weka, tmp_path, data: bytes, match: str) -> None:
    path = tmp_path / "bad.model"
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match=match) as caught:
        weka.read_model(path)
    assert caught.value.expected
    assert caught.value.remedy


def test_missing_empty_and_garbage(weka, tmp_path, model):
    with pytest.raises(ModelFileError, match="cannot read"):
        weka.read_model(tmp_path / "none.model")
    _refused(weka, tmp_path, b"", "is empty")
    _refused(weka, tmp_path, b"@relation iris", "not a .model file")
    _refused(weka, tmp_path, gzip.compress(b""), "is empty")
    _refused(weka, tmp_path, gzip.compress(b"text"), "not a .model file")
    _refused(weka, tmp_path, model.read_bytes()[:7], "ends after 7 bytes")


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.9])
def test_truncated(weka, tmp_path, model, share):
    data = model.read_bytes()
    cut = data[: int(share * len(data))]
    _refused(weka, tmp_path, cut, "ends in the middle|damaged|header")
    _refused(weka, tmp_path, gzip.compress(data)[: int(share * 1000)], "truncated gzip")


def test_header_missing_or_cut(weka, tmp_path, java, trained, model):
    frf, header = weka.to_weka(trained[0])
    _refused(weka, tmp_path, _serialised(java, frf), "no header")
    _refused(weka, tmp_path, _serialised(java, frf, frf), "holds hr.irb")
    other = weka._header(["a"], ["x", "y"])
    _refused(weka, tmp_path, _serialised(java, frf, other), "header of 2 attributes")
    assert header is not None


@pytest.mark.slow
def test_single_flipped_bytes_never_pass_unseen_as_other_errors(weka, tmp_path, model):
    """Damage may hit a number and load, or it is a ModelFileError: nothing else comes out."""
    data = bytearray(model.read_bytes())
    path = tmp_path / "bad.model"
    for place in np.random.default_rng(0).integers(0, len(data), 60):
        damaged = bytearray(data)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        with contextlib.suppress(ModelFileError):
            assert isinstance(weka.read_model(path), Forest)


@pytest.mark.parametrize("name", ["weka.classifiers.trees.RandomForest", "weka.classifiers.trees.J48"])
def test_another_classifier(weka, tmp_path, java, name):
    classifier = java.jclass(name)()
    _refused(weka, tmp_path, _serialised(java, classifier, weka._header(["a"], ["x", "y"])), name)


def test_never_trained_and_only_a_class(weka, tmp_path, java):
    frf = java.jclass("hr.irb.fastRandomForest.FastRandomForest")()
    _refused(weka, tmp_path, _serialised(java, frf, weka._header(["a"], ["x", "y"])), "never trained")


def _inside(java, weka, item):
    """A FastRandomForest that carries `item` where its class list belongs."""
    frf, header = weka.to_weka(_random_forest(0, 2))
    header.attribute(3)  # the class
    field = java.jclass("weka.core.NominalAttributeInfo").class_.getDeclaredField("m_Values")
    field.setAccessible(True)
    info = java.jclass("weka.core.Attribute").class_.getDeclaredField("m_AttributeInfo")
    info.setAccessible(True)
    values = java.jclass("java.util.ArrayList")()
    values.add("c0")
    values.add(item)
    field.set(info.get(header.attribute(3)), values)
    return frf, header


@pytest.mark.parametrize(
    "make",
    [
        lambda java: java.jclass("java.net.URL")("http://127.0.0.1:9/"),
        lambda java: java.jclass("java.util.LinkedHashMap")(),
        lambda java: java.jclass("java.util.HashSet")(),
        lambda java: java.jclass("javax.swing.DefaultListModel")(),
        lambda java: java.jclass("java.io.File")("x"),
        lambda java: java.jclass("weka.core.SerializedObject")("x"),
        lambda java: java.jclass("weka.classifiers.trees.J48")(),
        lambda java: java.jclass("java.util.Date")(),
    ],
    ids=["URL", "LinkedHashMap", "HashSet", "swing", "File", "SerializedObject", "J48", "Date"],
)
def test_hostile_classes_inside(weka, tmp_path, java, make):
    item = make(java)
    _refused(weka, tmp_path, _serialised(java, item), "holds a ")  # alone
    _refused(weka, tmp_path, _serialised(java, *_inside(java, weka, item)), "holds the Java class")


def test_nested_hash_tables(weka, tmp_path, java):
    """Hashing this takes time that doubles with every level."""
    ArrayList, HashMap = java.jclass("java.util.ArrayList"), java.jclass("java.util.HashMap")
    inner = HashMap()
    inner.put("x", "y")
    for _ in range(16):
        a, b, level = ArrayList(), ArrayList(), HashMap()
        a.add(inner)
        b.add(inner)
        b.add("")
        level.put(a, "")
        level.put(b, "")
        inner = level
    _refused(weka, tmp_path, _serialised(java, *_inside(java, weka, inner)), "nested lists")


def test_huge_declared_array(weka, tmp_path, model):
    data = bytearray(model.read_bytes())
    at = data.index(b"ur\x00\x02[D")  # an array of class double[]; after its description, a length
    end = data.index(b"\x78\x70", at) + 2
    assert struct.unpack(">i", data[end : end + 4])[0] in (2, 3)
    data[end : end + 4] = struct.pack(">i", 2**31 - 1)
    _refused(weka, tmp_path, bytes(data), "larger array than the file has room for")


def test_tree_with_a_shared_branch(weka, tmp_path, java):
    """A few objects that unfold to 2^40 nodes."""
    import jpype

    frf, header = weka.to_weka(_chain(40))
    type_ = jpype.JClass("java.lang.Class").forName("hr.irb.fastRandomForest.FastRandomTree")
    successors = type_.getDeclaredField("m_Successors")
    successors.setAccessible(True)
    from fijibridge.forest.java import compiler as javahelper

    node = javahelper.forests().get(javahelper.forests().get(frf, "m_bagger"), "m_Classifiers")[0]
    while (branches := successors.get(node)) is not None:
        branches[0] = branches[1]
        node = branches[1]
    _refused(weka, tmp_path, _serialised(java, frf, header), "share branches")


# --- Ctrl-C and ARFF ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_ctrl_c_stops_training(run_python):
    done = run_python(
        "import os, signal, subprocess, sys, time\n"
        "import numpy as np\n"
        "import fijibridge.jvm as j\n"
        "from fijibridge.forest.java.weka import train_weka\n"
        "j.start(heap='500m')\n"
        "X = np.random.default_rng(0).normal(size=(4000, 30)).astype('f4'); y = np.arange(4000) % 2\n"
        "train_weka(X[:50], y[:50], n_trees=2)\n"
        "kill = f'import os, signal, time; time.sleep(1); os.kill({os.getpid()}, signal.SIGINT)'\n"
        "subprocess.Popen([sys.executable, '-S', '-c', kill])\n"
        "began = time.monotonic()\n"
        "try:\n    train_weka(X, y, n_trees=20000)\n    print('trained')\n"
        "except KeyboardInterrupt:\n    print('stopped', time.monotonic() - began < 10)\n",
        timeout=100,
    )
    assert done.stdout.strip() == "stopped True", done.stdout + done.stderr  # and nothing from Weka
