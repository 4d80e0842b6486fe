"""scikit-learn forests in and out: the same leaf for every float32, stable round trips, a well-behaved classifier.

Where two classes have equal probability, the last bit of a sum decides the argmax: so classes are compared where the
two best are further apart than the rounding of a sum over trees.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from test_forest import F32, plain_proba, random_forest, samples_near_splits

from fijibridge import jvm
from fijibridge.core.errors import LabelsError, SettingsError
from fijibridge.forest import Forest, ForestClassifier, forest_from_sklearn, to_sklearn, train_sklearn
from fijibridge.forest.sklearn import _inclusive_from_strict, _strict_from_inclusive

few = settings(max_examples=25, deadline=None)
seeds, class_counts = st.integers(0, 10**6), st.integers(1, 5)
finite32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
awkward = np.array([0.0, -0.0, 1e-45, -1e-45, 1e-40, -1e-40, 0.5, 1.0, -1.0, F32.max, F32.min, 3e-39, 0.1], np.float32)


def assert_same(p: np.ndarray, q: np.ndarray) -> None:
    assert np.abs(p - q).max() <= 1e-7
    best = np.sort(p, axis=1)
    clear = best[:, -1] - best[:, -2] > 1e-12 if p.shape[1] > 1 else np.ones(len(p), bool)
    assert np.array_equal(p.argmax(axis=1)[clear], q.argmax(axis=1)[clear])


@pytest.fixture(autouse=True)
def _sums_may_overflow():
    """scikit-learn sums all samples to see whether they are finite, and ours reach the ends of float32."""
    with np.errstate(over="ignore", invalid="ignore"):
        yield


def trained(seed: int, n_classes: int, kind: type = RandomForestClassifier, **options):
    rng = np.random.default_rng(seed)
    X = np.where(rng.random((30, 3)) < 0.5, rng.choice(awkward, (30, 3)), rng.normal(size=(30, 3))).astype(np.float32)
    y = rng.integers(0, n_classes, 30)
    y[:n_classes] = np.arange(n_classes)
    return kind(5, random_state=seed, **options).fit(X, y), X


@given(st.one_of(st.floats(allow_nan=False), finite32), finite32)
def test_split_points_convert_exactly(t, x):
    x = np.float32(x)
    samples = np.array([x, -x, np.nextafter(x, np.float32(9)), np.nextafter(x, np.float32(-9)), *awkward], np.float32)
    for split in (np.array([t]), np.array([x], np.float64)):
        assert np.array_equal(samples <= split, samples < _strict_from_inclusive(split))
        assert np.array_equal(samples < split, samples <= _inclusive_from_strict(split))


@pytest.mark.parametrize("t", [np.inf, 1e300, 1e-300, 0.0, float(F32.max), 2.0**-149, 2.0**-150])
def test_split_points_at_the_ends(t):
    for split in (np.array([t]), np.array([-t])):
        assert np.array_equal(awkward <= split, awkward < _strict_from_inclusive(split))
        assert np.array_equal(awkward < split, awkward <= _inclusive_from_strict(split))


@few
@given(seeds, class_counts, st.sampled_from([RandomForestClassifier, ExtraTreesClassifier]))
def test_sklearn_to_forest_and_back(seed, n_classes, kind):
    clf, X = trained(seed, n_classes, kind)
    forest = forest_from_sklearn(clf)
    X = np.concatenate([X, samples_near_splits(forest, seed)])
    assert_same(clf.predict_proba(X), forest.predict_proba(X))
    starts = forest.roots
    assert np.array_equal(forest.apply(X) - starts, clf.apply(X))
    back = to_sklearn(forest)
    assert_same(clf.predict_proba(X), back.predict_proba(X))
    assert np.array_equal(back.apply(X), clf.apply(X))
    assert (back.decision_path(X)[0] != clf.decision_path(X)[0]).nnz == 0
    assert np.abs(back.feature_importances_ - clf.feature_importances_).max() < 1e-12
    assert np.abs(forest.feature_importances() - clf.feature_importances_).max() < 1e-12
    assert forest_from_sklearn(back).equals(forest)
    assert forest_from_sklearn(back).settings == forest.settings
    for a, b in zip(back.estimators_, clf.estimators_, strict=True):
        assert np.abs(a.tree_.weighted_n_node_samples - b.tree_.weighted_n_node_samples).max() < 1e-9
        assert np.abs(a.tree_.impurity - b.tree_.impurity).max() < 1e-12
        assert a.get_n_leaves() == b.get_n_leaves()
        assert a.get_depth() == b.get_depth()


@few
@given(seeds, class_counts)
def test_any_forest_to_sklearn_and_back(seed, n_classes):
    forest = random_forest(seed, n_classes=n_classes)  # leaves not normalised, nodes shuffled
    X = samples_near_splits(forest, seed)
    clf = to_sklearn(forest)
    assert_same(clf.predict_proba(X), plain_proba(forest, X))
    assert_same(clf.predict_proba(X), forest.predict_proba(X))
    once = forest_from_sklearn(clf)
    twice = forest_from_sklearn(to_sklearn(once))
    assert_same(once.predict_proba(X), forest.predict_proba(X))
    assert np.array_equal(once.value[once.apply(X)], forest.value[forest.apply(X)])
    assert twice.equals(once)
    assert twice.settings == forest.settings


def test_the_classifier_behaves_as_scikit_learn_expects():
    clf, X = trained(1, 3)
    forest = forest_from_sklearn(clf, feature_names=["a", "b", "c"], class_names=["pore", "solid", "binder"])
    back = to_sklearn(forest)
    assert list(back.classes_) == ["pore", "solid", "binder"]
    assert list(back.predict(X)) == [forest.class_names[k] for k in clf.predict(X)]
    assert (back.n_features_in_, back.n_outputs_, back.n_classes_, len(back.estimators_)) == (3, 1, 3, 5)
    with np.errstate(divide="ignore"):  # of scikit-learn's log(0)
        assert np.array_equal(back.predict_log_proba(X), np.log(back.predict_proba(X)))
    with pytest.raises(ValueError, match="features"):
        back.predict(X[:, :2])
    copied = clone(back)
    assert isinstance(copied, ForestClassifier)
    assert copied.get_params() == back.get_params()
    assert not hasattr(copied, "estimators_")
    again = pickle.loads(pickle.dumps(back))
    assert np.array_equal(again.predict_proba(X), back.predict_proba(X))
    assert forest_from_sklearn(again).equals(forest)
    refitted = back.fit(X, np.arange(30) % 2)
    assert forest_from_sklearn(refitted).feature_names == ("feature_0", "feature_1", "feature_2")
    assert refitted.predict_proba(X).shape == (30, 2)


def test_class_weights_and_text_labels():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 4)).astype(np.float32), rng.choice(["b", "a"], 60, p=[0.8, 0.2])
    clf = RandomForestClassifier(7, random_state=0, class_weight="balanced").fit(X, y)
    forest = forest_from_sklearn(clf)
    assert forest.class_names == ("a", "b")
    assert_same(clf.predict_proba(X), forest.predict_proba(X))
    assert forest_from_sklearn(to_sklearn(forest)).equals(forest)
    assert np.abs(forest.feature_importances() - clf.feature_importances_).max() < 1e-12


@pytest.mark.parametrize("labels", [[3, 7], [1.0, 2.0], [False, True], ["x", "y"]])
def test_classes_of_any_kind_become_names(labels):
    clf = RandomForestClassifier(2, random_state=0).fit([[0.0], [1.0]], labels)
    assert forest_from_sklearn(clf).class_names == tuple(str(label) for label in labels)


def test_feature_names_of_a_table_are_kept():
    clf = RandomForestClassifier(2, random_state=0).fit(np.eye(2), [0, 1])
    clf.feature_names_in_ = np.array(["u", "v"], dtype=object)  # as after fit on a data frame
    assert forest_from_sklearn(clf).feature_names == ("u", "v")
    with pytest.raises(SettingsError, match="feature names"):
        forest_from_sklearn(clf, feature_names=["u"])


def test_other_estimators_are_refused():
    X, y = np.eye(4), [0, 1, 0, 1]
    refused = [
        RandomForestRegressor(2).fit(X, y),
        GradientBoostingClassifier(n_estimators=2).fit(X, y),
        RandomForestClassifier(2),
        RandomForestClassifier(2).fit(X, np.array([y, y]).T),
        "a file name",
    ]
    for clf in refused:
        with pytest.raises(SettingsError, match="remedy"):
            forest_from_sklearn(clf)


def blobs(n: int = 90) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.arange(n) % 3
    return (rng.normal(size=(n, 5)) + 3 * y[:, None]).astype(np.float32), y


def test_training():
    X, y = blobs()
    options = {"n_trees": 20, "seed": 4, "class_names": ["a", "b", "c"]}
    forest, accuracy = train_sklearn(X, y, n_threads=2, **options)
    assert isinstance(forest, Forest)
    assert (forest.n_trees, forest.n_features, forest.class_names) == (20, 5, ("a", "b", "c"))
    assert 0.9 < accuracy <= 1
    assert forest.settings["seed"] == 4
    same, _ = train_sklearn(X, np.array(["a", "b", "c"])[y], n_threads=1, **options)
    assert same.equals(forest)
    shallow, _ = train_sklearn(X, y, n_trees=3, max_depth=1, max_features=2, n_threads=1)
    assert shallow.depth().max() == 1
    assert shallow.class_names == ("0", "1", "2")


def test_training_with_a_class_that_has_no_samples():
    X, y = blobs()
    y = y[y > 0]
    X = X[: len(y)]
    forest, _ = train_sklearn(X, y, n_trees=5, n_threads=1, class_names=["none", "b", "c"])
    p = forest.predict_proba(X)
    assert p.shape == (len(X), 3)
    assert not p[:, 0].any()


def test_training_on_too_little_to_judge():
    forest, accuracy = train_sklearn(np.float32([[0], [1]]), np.array([0, 1]), n_trees=1, seed=0, n_threads=1)
    assert forest.n_trees == 1
    assert accuracy is None or 0 <= accuracy <= 1


def test_training_refuses_what_cannot_train():
    X, y = blobs()
    with pytest.raises(LabelsError, match="fewer than two"):
        train_sklearn(X, np.zeros(len(X), int))
    with pytest.raises(LabelsError, match="no class name"):
        train_sklearn(X, y, class_names=["a", "b"])
    with pytest.raises(LabelsError, match="no class name"):
        train_sklearn(X, np.array(["a", "b", "z"])[y], class_names=["a", "b", "c"])
    with pytest.raises(SettingsError, match="NaN"):
        train_sklearn(np.where(X > 3, np.nan, X), y)
    with pytest.raises(SettingsError, match="one label a sample"):
        train_sklearn(X, y[:-1])
    with pytest.raises(SettingsError, match="sqrt, log2, or a number of 1 to"):
        train_sklearn(X, y, max_features="all")
    with pytest.raises(SettingsError, match="scikit-learn refused"):
        train_sklearn(X, y, n_trees=0)


@pytest.mark.parametrize(
    "command",
    [
        "interchange.py --skip-java --pixels 3000 --chunk 2000 --features 6 --trees 10 --training 200",
        "interchange.py --pixels 3000 --java-pixels 1000 --features 6 --trees 10 --training 200",
        "speed.py --skip-java --size 96 --features 5 --trees 5 --repeats 1",
    ],
)
@pytest.mark.slow
def test_the_benchmarks_run(command, tmp_path):
    script, *arguments = command.split()
    if "--skip-java" not in arguments and jvm.find_java() is None:
        pytest.skip("no Java on this machine")
    path = Path(__file__).parents[2] / "benchmarks" / script
    arguments += ["--json", str(tmp_path / "found.json")]  # not in place of the repository's figures
    done = subprocess.run(
        [sys.executable, "-W", "error", path, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "| scikit-learn" in done.stdout
    if script == "interchange.py":
        assert "MISSED" not in done.stdout
