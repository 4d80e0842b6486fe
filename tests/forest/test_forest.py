"""Forest: checks, prediction against a plain Python walk, files, digest."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fijibridge.core.errors import FeatureMismatchError, ModelFileError, OutputError, SettingsError
from fijibridge.forest import Forest
from fijibridge.forest.rounding import float32_at_least

F32 = np.finfo(np.float32)
AWKWARD = [0.0, 1.0, -1.0, 0.1, 1e-40, -1e-40, 1e-50, F32.smallest_subnormal, F32.max, F32.min, 1e300, -1e300, np.pi]


def random_forest(seed: int, *, n_classes: int, n_features: int = 3, n_trees: int = 4, depth: int = 4) -> Forest:
    """Random splits on awkward numbers; leaves that do not sum to 1, nodes in no particular order."""
    rng = np.random.default_rng(seed)
    rows: list[list] = []

    def grow(level: int) -> int:
        here = len(rows)
        rows.append([-1, 0.0, -1, -1, rng.random(n_classes) * (rng.random(n_classes) < 0.8), 0.0])
        if level < depth and rng.random() < 0.75:
            threshold = rng.choice(AWKWARD) if rng.random() < 0.5 else rng.normal()
            children = [grow(level + 1), grow(level + 1)]
            rows[here] = [rng.integers(n_features), threshold, *children, np.zeros(n_classes), rng.random()]
        return here

    roots = np.array([grow(0) for _ in range(n_trees)])
    feature, threshold, left, right, value, fraction = (np.array(column) for column in zip(*rows, strict=True))
    place = rng.permutation(len(rows))  # node i moves to place[i]
    back = np.argsort(place)
    moved = lambda child: np.where(child < 0, -1, place[child])[back]  # noqa: E731
    return Forest(
        feature[back], threshold[back], moved(left), moved(right), value[back], fraction[back], place[roots],
        n_features, [f"f{i}" for i in range(n_features)], [f"c{i}" for i in range(n_classes)], {"seed": seed},
    )  # fmt: skip


def samples_near_splits(forest: Forest, seed: int, n: int = 40) -> np.ndarray:
    """float32 samples made of the split points, their neighbours, both zeros and subnormals."""
    with np.errstate(over="ignore", under="ignore"):
        at = forest.threshold.astype(np.float32)
        near = [at, np.nextafter(at, np.float32(np.inf)), np.nextafter(at, np.float32(-np.inf)), -at]
        pool = np.concatenate([*near, np.array([0.0, -0.0, *AWKWARD]).astype(np.float32)])
    pool = pool[np.isfinite(pool)]
    return np.random.default_rng(seed).choice(pool, (n, forest.n_features))


def plain_tree(forest: Forest, node: int, x: np.ndarray) -> np.ndarray:
    """FastRandomForest's rule, word for word."""
    if forest.feature[node] < 0:
        return forest.value[node]
    value, fraction = float(x[forest.feature[node]]), forest.left_fraction[node]
    if np.isnan(value):
        return fraction * plain_tree(forest, forest.left[node], x) + (1 - fraction) * plain_tree(
            forest, forest.right[node], x
        )
    return plain_tree(forest, forest.left[node] if value < forest.threshold[node] else forest.right[node], x)


def plain_proba(forest: Forest, X: np.ndarray) -> np.ndarray:
    total = np.array([sum(plain_tree(forest, root, x) for root in forest.roots) for x in X])
    mass = total.sum(axis=1, keepdims=True)
    return np.divide(total, mass, out=np.full_like(total, 1 / forest.n_classes), where=mass > 0)


def one_split(**changes) -> Forest:
    parts = {
        "feature": [0, -1, -1], "threshold": [0.5, 0, 0], "left": [1, -1, -1], "right": [2, -1, -1],
        "value": [[0, 0], [1, 0], [0, 1]], "left_fraction": [0.25, 0, 0], "roots": [0],
        "n_features": 1, "feature_names": ["x"], "class_names": ["a", "b"],
    }  # fmt: skip
    return Forest(**(parts | changes))


many = settings(max_examples=60, deadline=None)
seeds, class_counts = st.integers(0, 10**6), st.integers(1, 5)


@many
@given(seeds, class_counts)
def test_prediction_is_the_plain_walk_with_and_without_nan(seed, n_classes):
    forest = random_forest(seed, n_classes=n_classes)
    X = samples_near_splits(forest, seed, n=70)  # more than one block of the kernel
    X[np.random.default_rng(seed).random(X.shape) < 0.05] = np.nan
    for samples in (X, X.astype(np.float64) * (1 + 1e-12)):
        assert np.abs(forest.predict_proba(samples) - plain_proba(forest, samples)).max() < 1e-12


@many
@given(seeds)
def test_apply_gives_the_leaf_whose_values_are_summed(seed):
    forest = random_forest(seed, n_classes=3)
    X = samples_near_splits(forest, seed)
    leaf = forest.apply(X)
    assert leaf.shape == (40, forest.n_trees)
    assert (forest.feature[leaf] == -1).all()
    assert (forest.tree_of_node()[leaf] == np.arange(forest.n_trees)).all()
    total = forest.value[leaf].sum(axis=1)
    mass = total.sum(axis=1, keepdims=True)
    p = np.divide(total, mass, out=np.full_like(total, 1 / 3), where=mass > 0)
    assert np.abs(forest.predict_proba(X) - p).max() < 1e-12


@given(st.lists(st.floats(allow_nan=False), min_size=1), st.floats(width=32, allow_nan=False))
def test_float32_at_least_splits_every_float32_the_same_way(thresholds, x):
    t = np.array([*thresholds, x, np.nextafter(x, np.inf), np.nextafter(x, -np.inf)])
    assert ((x < t) == (np.float32(x) < float32_at_least(t))).all()


@lru_cache
def wide_forest() -> Forest:
    return random_forest(3, n_classes=3, n_features=9, n_trees=20, depth=7)


@pytest.mark.parametrize("n_threads", [None, 1, 2, 5])
def test_threads_and_memory_order_change_nothing(n_threads):
    forest, rng = wide_forest(), np.random.default_rng(0)
    planes = rng.normal(size=(9, 31, 37)).astype(np.float32)
    stack = np.ascontiguousarray(np.moveaxis(planes, 0, -1))
    expected = forest.predict_proba(stack, n_threads=1)
    assert expected.shape == (31, 37, 3)
    assert np.allclose(expected.sum(axis=-1), 1)
    stack.flags.writeable = False
    for same in (stack, np.moveaxis(planes, 0, -1), stack.astype(np.float64)):
        assert np.array_equal(forest.predict_proba(same, n_threads=n_threads), expected)
        assert np.array_equal(forest.apply(same, n_threads=n_threads), forest.apply(stack))
    assert np.array_equal(forest.predict(stack), expected.argmax(axis=-1))


def test_prediction_edges():
    forest = one_split()
    assert np.array_equal(forest.predict_proba([[0], [1]]), [[1, 0], [0, 1]])
    assert np.array_equal(forest.predict_proba(np.uint8([[0], [255]])), [[1, 0], [0, 1]])
    ends = np.float32([[-np.inf], [np.inf], [np.nan]])
    assert np.array_equal(forest.predict_proba(ends), [[1, 0], [0, 1], [0.25, 0.75]])
    assert forest.predict_proba(np.empty((0, 1))).shape == (0, 2)
    single = Forest([-1], [0], [-1], [-1], [[0.0, 0.0]], [0], [0], 2, ["x", "y"], ["a", "b"])
    assert np.array_equal(single.predict_proba(np.zeros((3, 2))), np.full((3, 2), 0.5))  # no leaf says anything
    assert not single.feature_importances().any()
    split_at_infinity = one_split(threshold=[np.inf, 0, 0])
    assert np.array_equal(split_at_infinity.predict(np.float32([[F32.max], [np.inf]])), [0, 1])


def test_samples_that_do_not_fit_are_refused():
    forest = one_split()
    for X in (np.zeros((3, 2)), np.zeros(3)):
        with pytest.raises(FeatureMismatchError, match="1"):
            forest.predict_proba(X)
    with pytest.raises(SettingsError, match="dtype"):
        forest.predict_proba(np.array([["a"]]))
    with pytest.raises(SettingsError, match="n_threads"):
        forest.predict_proba(np.zeros((3, 1)), n_threads=0)
    with pytest.raises(SettingsError, match="NaN"):
        forest.apply(np.float32([[np.nan]]))


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"feature": [1, -1, -1]}, "feature 1"),
        ({"feature": [0.0, -1, -1]}, "dtype"),
        ({"threshold": [np.nan, 0, 0]}, "NaN threshold"),
        ({"threshold": [0, 0]}, "shape"),
        ({"left": [3, -1, -1]}, "child"),
        ({"left": [-1, -1, -1]}, "child"),
        ({"left": [2, -1, -1]}, "cycle"),
        ({"left": [0, -1, -1]}, "cycle"),
        ({"roots": [1]}, "cycle"),
        ({"roots": [5]}, "root"),
        ({"roots": np.empty(0, int)}, "0 trees"),
        ({"value": [[0, 0], [-1, 0], [0, 1]]}, "leaf value"),
        ({"value": [0, 1, 0]}, "value"),
        ({"value": [[0, 0], [np.nan, 0], [0, 1]]}, "leaf value"),
        ({"left_fraction": [1.5, 0, 0]}, "left_fraction"),
        ({"feature_names": ["x", "y"]}, "feature names"),
        ({"class_names": ["a", "a"]}, "class names"),
        ({"settings": {"seed": np.nan}}, "settings"),
        ({"settings": {"seed": object()}}, "settings"),
        ({"feature": [0, 0, -1, -1], "threshold": [0] * 4, "left": [2, 1, -1, -1], "right": [3, 1, -1, -1],
          "value": [[0, 0]] * 4, "left_fraction": [0.5] * 4}, "cycle"),
    ],
)  # fmt: skip
def test_what_is_no_forest_is_refused(changes, found):
    with pytest.raises(SettingsError, match=found):
        one_split(**changes)


def test_what_has_no_meaning_has_one_form():
    odd = one_split(threshold=[0.5, np.nan, 7], left_fraction=[0.25, np.nan, 1], value=[[9, 9], [1, 0], [0, 1]])
    assert odd.equals(one_split())
    assert odd.sha256() == one_split().sha256()
    with pytest.raises(ValueError, match="read-only"):
        odd.threshold[0] = 1


@settings(max_examples=15, deadline=None)
@given(seeds, class_counts)
def test_save_and_load(tmp_path_factory, seed, n_classes):
    forest = random_forest(seed, n_classes=n_classes)
    path = tmp_path_factory.mktemp("forest") / "forêt 1.safetensors"
    again = Forest.load(forest.save(path))
    assert again.equals(forest)
    assert again.sha256() == forest.sha256()
    assert again.settings == {"seed": seed}
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_digest_and_equality_see_every_change():
    forest = one_split()
    changed = [
        {"threshold": np.array([0.25, 0, 0])},
        {"value": np.array([[0, 0], [1, 0], [0.5, 1]])},
        {"left_fraction": np.array([0.5, 0, 0])},
        {"class_names": ("a", "c")},
        {"feature_names": ("y",)},
    ]
    others = [dataclasses.replace(forest, **change) for change in changed]
    assert len({forest.sha256(), *(other.sha256() for other in others)}) == 6
    assert not any(forest.equals(other) for other in others)
    assert dataclasses.replace(forest, settings={"seed": 2}).equals(forest)
    assert not forest.equals("forest")


def test_alien_and_damaged_files_are_refused(tmp_path):
    from safetensors.numpy import save_file

    good = one_split().save(tmp_path / "good").read_bytes()
    aliens = {"empty": b"", "text": b"hello", "pickle": b"\x80\x04\x95", "short": good[:-9], "long": good + b"0"}
    header = json.loads(good[8 : 8 + int.from_bytes(good[:8], "little")])
    aliens["cut"] = json.dumps(header).encode()
    for name, data in aliens.items():
        (tmp_path / name).write_bytes(data)
    save_file({"a": np.zeros(3)}, tmp_path / "tensors")
    arrays = {field.name: np.zeros(1) for field in dataclasses.fields(Forest)[:7]}
    save_file(arrays, tmp_path / "no names", {"kind": "fijibridge.forest", "version": "1", "about": "{}"})
    save_file(arrays, tmp_path / "later", {"kind": "fijibridge.forest", "version": "2", "about": "{}"})
    for name in (*aliens, "tensors", "no names", "later", "missing"):
        with pytest.raises(ModelFileError, match=name):
            Forest.load(tmp_path / name)
    with pytest.raises(OutputError, match="no folder"):
        one_split().save(tmp_path / "no folder" / "forest")


def test_a_flipped_bit_is_noticed_or_means_nothing(tmp_path):
    good, refused = one_split().save(tmp_path / "f").read_bytes(), 0
    for place in range(0, len(good), 3):
        damaged = bytearray(good)
        damaged[place] ^= 1 << place % 8
        (tmp_path / "f").write_bytes(damaged)
        try:
            assert Forest.load(tmp_path / "f").equals(one_split())  # as in the threshold of a leaf
        except ModelFileError:
            refused += 1
    assert refused > len(good) / 6


def test_importing_the_room_loads_nothing_heavy():
    code = (
        "import sys, fijibridge.forest\n"
        "print([m for m in ('torch', 'sklearn', 'numba', 'jpype', 'scyjava', 'scipy') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
