"""`.model` files written without Java: the same bytes as Java's own, whatever the forest."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fijibridge.core.errors import SettingsError
from fijibridge.forest import Forest, write_model
from fijibridge.forest.java.serialization import modified_utf8, string_hash

_NAME = st.text(st.characters(codec="utf-8"), max_size=12).filter(lambda name: name != "class")
_several = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def random_forest(
    seed: int, features: list[str], classes: list[str], *, n_trees: int = 5, depth: int = 5, shuffled: bool = False
) -> Forest:
    """Random splits; leaves do not sum to 1; nodes in any order if shuffled."""
    rng = np.random.default_rng(seed)
    rows: list[list] = []

    def grow(level: int) -> int:
        here = len(rows)
        rows.append([-1, 0.0, -1, -1, rng.random(len(classes)), 0.0])
        if level < depth and rng.random() < 0.7:
            children = [grow(level + 1), grow(level + 1)]
            threshold = rng.choice([rng.normal(), 1e-40, -np.inf, np.inf])
            rows[here] = [rng.integers(len(features)), threshold, *children, np.zeros(len(classes)), rng.random()]
        return here

    roots = np.array([grow(0) for _ in range(n_trees)])
    feature, threshold, left, right, value, fraction = (np.array(column) for column in zip(*rows, strict=True))
    place = rng.permutation(len(rows)) if shuffled else np.arange(len(rows))
    left, right = (np.where(feature < 0, -1, place[np.maximum(child, 0)]) for child in (left, right))
    order = np.argsort(place)
    arrays = (array[order] for array in (feature, threshold, left, right, value, fraction))
    return Forest(*arrays, place[roots], len(features), tuple(features), tuple(classes), {"seed": seed % 1000})


def by_java(java, forest: Forest, path: Path) -> bytes:
    """What Weka's own writer makes of the forest built in Java."""
    import fijibridge.forest.java.weka as weka

    frf, header = weka.to_weka(forest)
    java.jclass("weka.core.SerializationHelper").writeAll(str(path), [frf, header])
    return path.read_bytes()


def assert_same_bytes(java, forest: Forest, folder: Path) -> None:
    assert write_model(folder / "python.model", forest).read_bytes() == by_java(java, forest, folder / "java.model")


@given(
    seed=st.integers(0, 2**32 - 1),
    features=st.lists(_NAME, min_size=1, max_size=40, unique=True),
    classes=st.lists(_NAME, min_size=1, max_size=30, unique=True),
    shuffled=st.booleans(),
    depth=st.integers(0, 5),
)
@example(seed=0, features=["ö", "𝄞 c", "\0", ""], classes=["Grün", "孔隙", "c\0"], shuffled=True, depth=3)
@example(seed=1, features=["Aa", "BB", "AaAa", "BBBB", "AaBB"], classes=["AaAa", "BBBB", "Aa"], shuffled=False, depth=2)
@_several
def test_same_bytes_as_java(java, tmp_path, seed, features, classes, shuffled, depth):
    assert_same_bytes(java, random_forest(seed, features, classes, depth=depth, shuffled=shuffled), tmp_path)


@pytest.mark.parametrize("n_features", [1, 2, 3, 6, 12, 13, 96, 97, 460, 1600])
def test_headers_of_every_size(java, tmp_path, n_features):
    """Names as the package makes them, in hash tables that are full, and just not full."""
    names = [f"vit_b{i % 2}_{i:04d}" for i in range(n_features)]
    for n_classes in (1, 2, 5, 6, 11, 12, 250):
        forest = random_forest(n_features, names, [f"phase {i}" for i in range(n_classes)], n_trees=2)
        assert_same_bytes(java, forest, tmp_path)


def test_every_setting(java, tmp_path):
    forest = random_forest(0, ["a", "b", "c"], ["x", "y"])
    known = {"seed": 7, "max_features": 2, "features_per_node": 3, "max_depth": 9, "oob_error": 0.125}
    for found in (known, {}, {"max_features": "sqrt", "seed": -1}, {"max_features": 0.5, "oob_error": None}):
        assert_same_bytes(java, dataclasses.replace(forest, settings=found), tmp_path)


@pytest.mark.slow
def test_trees_that_begin_late(java, tmp_path):
    """The stream describes each kind of array where it comes first: in leaves, or many trees later."""
    classes = ["a", "b"]
    stumps = [random_forest(seed, ["x"], classes, n_trees=12, depth=1) for seed in range(30)]
    firsts = {int(np.flatnonzero(forest.feature >= 0)[0]) for forest in stumps}
    assert {0, 1, 2} <= firsts
    for forest in [*stumps, random_forest(0, ["x"], classes, n_trees=3, depth=0)]:
        assert_same_bytes(java, forest, tmp_path)


@pytest.mark.slow
def test_as_trained_by_scikit_learn(java, tmp_path):
    from fijibridge.forest import predict_weka, read_model, train_sklearn

    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 2000)
    X = (rng.normal(size=(2000, 12)) + y[:, None] * (np.arange(12) % 3 == 0)).astype(np.float32)
    forest, _ = train_sklearn(X, y, n_trees=60, class_names=["pore", "Körner", "粘合剂", "crack"])
    assert forest.n_nodes > 2**15
    assert_same_bytes(java, forest, tmp_path)
    again = read_model(tmp_path / "python.model")
    assert again.equals(forest)
    np.testing.assert_array_equal(predict_weka(again, X[:200]), forest.predict_proba(X[:200]))


def test_long_names(java, tmp_path):
    """Weka compresses class names of more than 200 characters, which its reader does not need, nor ours take."""
    import fijibridge.forest.java.weka as weka

    forest = random_forest(0, ["x" * 70_000, "y"], ["c" * 300, "d"])
    path = write_model(tmp_path / "long.model", forest)
    assert weka.read_model(path).equals(forest)
    _, header = java.jclass("weka.core.SerializationHelper").readAll(str(path))
    assert str(header.classAttribute().value(0)) == "c" * 300
    assert_same_bytes(java, dataclasses.replace(forest, class_names=("c" * 200, "d")), tmp_path)


@pytest.mark.slow
def test_no_java_is_started(run_python, tmp_path):
    done = run_python(
        "import sys\n"
        "from fijibridge.forest import Forest, write_model\n"
        "forest = Forest([0, -1, -1], [0.5, 0, 0], [1, -1, -1], [2, -1, -1], [[0.0, 0], [1, 0], [0, 1]],\n"
        "                [0.5, 0, 0], [0], 1, ['x'], ['a', 'b'])\n"
        f"write_model({str(tmp_path / 'a.model.gz')!r}, forest)\n"
        "print('jpype' in sys.modules, 'numba' in sys.modules)\n",
        JAVA_HOME=str(tmp_path),
    )
    assert done.stdout.split() == ["False", "False"], done.stderr


@pytest.mark.slow
def test_large_forest_takes_little_time(tmp_path):
    """Half a million nodes, many chunks, in a time that a user does not see."""
    one = random_forest(3, ["x", "y"], ["a", "b"], n_trees=20, depth=8)
    copies = 2**19 // one.n_nodes
    start = np.repeat(np.arange(copies) * one.n_nodes, one.n_nodes)
    many = {name: np.tile(getattr(one, name), copies) for name in ("feature", "threshold", "left_fraction")}
    many |= {name: np.tile(getattr(one, name), copies) + start for name in ("left", "right")}
    roots = (one.roots + np.arange(copies)[:, None] * one.n_nodes).ravel()
    one = dataclasses.replace(one, **many, value=np.tile(one.value, (copies, 1)), roots=roots)
    began = time.process_time()
    path = write_model(tmp_path / "large.model", one)
    assert time.process_time() - began < 2
    assert path.stat().st_size > 60 * one.n_nodes


def test_refuses_a_feature_called_class(tmp_path):
    with pytest.raises(SettingsError, match="'class'"):
        write_model(tmp_path / "a.model", random_forest(0, ["a", "class"], ["x", "y"]))
    assert not list(tmp_path.iterdir())


def test_java_strings():
    assert modified_utf8("aö\0𝄞") == b"a\xc3\xb6\xc0\x80\xed\xa0\xb4\xed\xb4\x9e"
    assert string_hash("fijibridge") == _hash_by_definition("fijibridge")
    assert string_hash("Aa") == string_hash("BB") == 2112


def _hash_by_definition(text: str) -> int:
    return sum(ord(c) * 31 ** (len(text) - 1 - i) for i, c in enumerate(text)) % 2**32
