"""Any classifier of Weka that TWS may save: trained by Weka on TWS's features, read, compared with Weka's answers."""

from __future__ import annotations

import gzip
import pickle

import numpy as np
import pytest
from weka_models import NAMES

from fijibridge.core.errors import FeatureMismatchError, ModelFileError, SettingsError
from fijibridge.forest import Forest, WekaClassifier, read_model, read_weka_model
from fijibridge.forest.classifier import brief, in_few_words, in_java, in_order

pytestmark = pytest.mark.usefixtures("java")

BY_WEKA = [
    "functions.SMO",
    "functions.SMO -M",
    'functions.SMO -K "weka.classifiers.functions.supportVector.RBFKernel -G 0.1"',
    "functions.Logistic",
    "functions.SimpleLogistic",
    "functions.MultilayerPerceptron -N 5 -H 4",
    "bayes.NaiveBayes",
    "bayes.NaiveBayes -K",
    "bayes.NaiveBayes -D",
    "bayes.NaiveBayesUpdateable",
    "bayes.BayesNet",
    "lazy.IBk",
    'lazy.IBk -K 3 -I -A "weka.core.neighboursearch.KDTree"',
    'lazy.IBk -K 3 -A "weka.core.neighboursearch.BallTree"',
    'lazy.IBk -K 9 -X',
    'lazy.IBk -K 5 -A "weka.core.neighboursearch.CoverTree"',
    "lazy.KStar",
    "lazy.LWL -K 20",
    "rules.OneR",
    "rules.ZeroR",
    "rules.JRip",
    "rules.PART",
    "rules.DecisionTable",
    "trees.DecisionStump",
    "trees.LMT -I 5",
    "trees.HoeffdingTree",
    "meta.AdaBoostM1 -W weka.classifiers.trees.J48",
    "meta.LogitBoost -I 5",
    "meta.Bagging -I 3 -W weka.classifiers.bayes.NaiveBayes",
    "meta.RandomSubSpace -I 3",
    'meta.Vote -B weka.classifiers.trees.J48 -B weka.classifiers.bayes.NaiveBayes -R AVG',
    'meta.Vote -B weka.classifiers.trees.J48 -B weka.classifiers.rules.OneR -B weka.classifiers.lazy.IBk -R MAJ',
    "meta.Stacking -B weka.classifiers.trees.J48 -M weka.classifiers.bayes.NaiveBayes",
    "meta.MultiScheme -B weka.classifiers.rules.ZeroR -B weka.classifiers.trees.J48",
    "meta.MultiClassClassifier -W weka.classifiers.functions.Logistic",
    "meta.MultiClassClassifierUpdateable -W weka.classifiers.functions.SGD -- -F 1",
    "meta.FilteredClassifier -F weka.filters.unsupervised.attribute.Standardize -W weka.classifiers.functions.SMO",
    "meta.FilteredClassifier -F weka.filters.supervised.attribute.Discretize -W weka.classifiers.trees.J48",
    'meta.FilteredClassifier -F "weka.filters.MultiFilter -F weka.filters.unsupervised.attribute.Normalize '
    '-F weka.filters.supervised.instance.Resample" -W weka.classifiers.trees.J48',
    "meta.AttributeSelectedClassifier -W weka.classifiers.trees.J48",
    'meta.AttributeSelectedClassifier -E weka.attributeSelection.InfoGainAttributeEval '
    '-S "weka.attributeSelection.Ranker -N 5" -W weka.classifiers.bayes.NaiveBayes',
    'meta.CostSensitiveClassifier -cost-matrix "[0 1 2; 1 0 1; 1 3 0]" -M -W weka.classifiers.trees.J48',
    "meta.RandomizableFilteredClassifier",
    "meta.WeightedInstancesHandlerWrapper -W weka.classifiers.trees.J48",
    "meta.IterativeClassifierOptimizer -F 2 -R 1",
]  # fmt: skip
AS_FOREST = [
    "trees.RandomForest -I 7",
    "trees.RandomForest -I 5 -depth 4 -K 3",
    "trees.RandomTree",
    "trees.RandomTree -M 3",
    "trees.REPTree",
    "trees.REPTree -P",
    "trees.J48",
    "trees.J48 -A",
    "trees.J48 -B",
    "trees.J48 -U",
    "trees.J48 -R",
    "trees.J48 -doNotMakeSplitPointActualValue",
    "meta.Bagging -I 4",
    "meta.Bagging -I 4 -W weka.classifiers.trees.J48 -- -A",
    "meta.RandomCommittee -I 4",
]


def asked_of_weka(path, X, *, anew=False):
    """Weka's own reading of the file, and one call of Weka a sample; its class as TWS gives it."""
    import jpype

    classifier, header = jpype.JClass("weka.core.SerializationHelper").readAll(str(path))
    found, labels = [], []
    for row in X.astype(np.float64):
        if anew:
            classifier, header = jpype.JClass("weka.core.SerializationHelper").readAll(str(path))
        sample = jpype.JClass("weka.core.DenseInstance")(1.0, jpype.JDouble[:]([*row.tolist(), 0.0]))
        sample.setDataset(header)
        found.append(list(classifier.distributionForInstance(sample)))
        labels.append(classifier.classifyInstance(sample))
    return np.array(found), np.array(labels)


@pytest.mark.parametrize("text", BY_WEKA)
def test_run_by_weka(saved, features, text):
    path, X = saved(text), features[0]
    rows = np.concatenate([X[features[1][:20]], X[::90]])
    classifier = read_weka_model(path)
    assert isinstance(classifier, WekaClassifier)
    assert classifier.java_class == "weka.classifiers." + text.split()[0]
    assert (classifier.feature_names, classifier.class_names) == (features[3], NAMES)
    remembers = any(name in text for name in ("IBk", "LWL", "RandomizableFiltered"))  # what it was asked before
    expected, labels = asked_of_weka(path, rows, anew=remembers)
    np.testing.assert_allclose(expected.sum(axis=1), 1, atol=1e-9)
    found = classifier.predict_proba(rows, n_threads=1)
    np.testing.assert_array_equal(found, np.maximum(expected, 0))  # LWL has -1e-17 for 0
    np.testing.assert_array_equal(classifier.predict_proba(rows[::-1], n_threads=3)[::-1], found)
    np.testing.assert_array_equal(classifier.predict(rows), labels)


@pytest.mark.parametrize("text", AS_FOREST)
def test_as_a_forest(saved, features, text):
    """J48's and RandomTree's split points are met exactly by the training samples."""
    path, X = saved(text), features[0]
    rows = np.concatenate([X[features[1]], X[::30]])
    forest = read_weka_model(path)
    assert isinstance(forest, Forest)
    assert forest.settings["trained_by"] == "weka.classifiers." + text.split()[0]
    expected, labels = asked_of_weka(path, rows)
    found = forest.predict_proba(rows)
    np.testing.assert_allclose(found, expected, atol=1e-12, rtol=0)
    np.testing.assert_array_equal(found.argmax(axis=1), expected.argmax(axis=1))
    np.testing.assert_array_equal(found.argmax(axis=1), labels)
    assert read_model(path).equals(forest)
    holes = rows[:60].copy()
    holes[np.random.default_rng(0).random(holes.shape) < 0.3] = np.nan
    np.testing.assert_allclose(forest.predict_proba(holes), asked_of_weka(path, holes)[0], atol=1e-12, rtol=0)


# --- the object -----------------------------------------------------------------------------------------------------


def test_its_face(saved, features, tmp_path):
    classifier = read_weka_model(saved("bayes.NaiveBayes"))
    assert (classifier.n_features, classifier.n_classes) == (len(features[3]), 3)
    trained = {"trained_by": "weka.classifiers.bayes.NaiveBayes", "run_by": "Weka"}
    assert classifier.settings == trained | {"relation": "TWS-2D-v4.0.0-grayscale"}
    assert repr(classifier).startswith("WekaClassifier(weka.classifiers.bayes.NaiveBayes, ")
    assert in_few_words(classifier) == "weka.classifiers.bayes.NaiveBayes run by Weka"
    assert brief(classifier) == {
        "classifier": "weka.classifiers.bayes.NaiveBayes",
        "run_by": "Weka",
        "sha256": classifier.sha256(),
    }
    again = read_weka_model(classifier.save(tmp_path / "again.model"))
    assert again.equals(classifier)
    assert not read_weka_model(saved("functions.Logistic")).equals(classifier)
    with pytest.raises(SettingsError, match="importances"):
        classifier.feature_importances()


def test_it_travels(saved, features):
    classifier = read_weka_model(saved("functions.SMO -M"))
    expected = classifier.predict_proba(features[0][:50])
    sent = pickle.loads(pickle.dumps(classifier))
    assert sent.equals(classifier)
    np.testing.assert_array_equal(sent.predict_proba(features[0][:50]), expected)


def test_compressed(saved, features, tmp_path):
    path = tmp_path / "smo.model.gz"
    path.write_bytes(gzip.compress(saved("functions.SMO").read_bytes()))
    assert read_weka_model(path).equals(read_weka_model(saved("functions.SMO")))


@pytest.mark.parametrize("text", ["bayes.NaiveBayes", "trees.J48"])
def test_columns_in_another_order(saved, features, text):
    X, _, _, names = features
    turn = np.random.default_rng(1).permutation(len(names))
    classifier = read_weka_model(saved(text))
    turned = in_order(classifier, [names[k] for k in turn])
    assert turned.feature_names == tuple(names[k] for k in turn)
    np.testing.assert_array_equal(turned.predict_proba(X[::50, turn]), classifier.predict_proba(X[::50]))
    assert not turned.equals(classifier)
    assert in_order(turned, names).equals(classifier)
    assert in_order(classifier, names) is classifier
    assert in_java(turned)[2] == (names if text == "bayes.NaiveBayes" else turned.feature_names)


def test_samples_that_do_not_suit(saved, features):
    classifier = read_weka_model(saved("rules.OneR"))
    with pytest.raises(FeatureMismatchError):
        classifier.predict_proba(np.zeros((4, 3)))
    with pytest.raises(SettingsError, match="dtype"):
        classifier.predict_proba(np.zeros((4, classifier.n_features), "U1"))
    with pytest.raises(SettingsError, match="n_threads"):
        classifier.predict_proba(np.zeros((4, classifier.n_features)), n_threads=0)
    with pytest.raises(SettingsError, match="in place of"):
        classifier.in_order(["a"])
    assert classifier.predict_proba(np.zeros((0, classifier.n_features))).shape == (0, 3)
    assert classifier.predict_proba(np.zeros((2, 3, classifier.n_features), np.uint8)).shape == (2, 3, 3)


def test_blocks_and_threads(saved, features, monkeypatch):
    import fijibridge.forest.java.weka_classifier as module

    classifier = read_weka_model(saved("lazy.IBk"))
    expected = classifier.predict_proba(features[0][:300], n_threads=1)
    monkeypatch.setattr(module, "_ROWS", 37)
    np.testing.assert_array_equal(classifier.predict_proba(features[0][:300], n_threads=2), expected)


def test_no_answer_is_an_even_one(saved, features, monkeypatch):
    """Some of Weka's answer zeros or NaN where they know nothing."""
    from fijibridge.forest.java.weka_classifier import _summing_to_1

    given = np.array([[0, 0], [np.nan, 1], [0.5, 0.5], [2, 6], [-1, 2], [-1e-17, 1], [np.inf, 0]])
    expected = [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5], [0.25, 0.75], [0.5, 0.5], [0, 1], [0.5, 0.5]]
    np.testing.assert_array_equal(_summing_to_1(given), expected)


def test_the_class_among_the_features(saved, features, java, tmp_path):
    """TWS puts the class last; Weka lets it stand anywhere."""
    import jpype

    import fijibridge.forest.java.weka as weka

    X, at, y, names = features
    data = weka._header(names, NAMES, len(y))
    weka._add_samples(data, X[at], y.astype(np.int32))
    reorder = jpype.JClass("weka.filters.unsupervised.attribute.Reorder")()
    reorder.setAttributeIndices(f"1-3,{len(names) + 1},4-{len(names)}")
    reorder.setInputFormat(data)
    data = jpype.JClass("weka.filters.Filter").useFilter(data, reorder)
    data.setClassIndex(3)
    for name in ("bayes.NaiveBayes", "trees.J48"):
        classifier = jpype.JClass(f"weka.classifiers.{name}")()
        classifier.buildClassifier(data)
        path = tmp_path / f"{name}.model"
        things = jpype.JObject[:]([classifier, data.stringFreeStructure()])
        jpype.JClass("weka.core.SerializationHelper").writeAll(str(path), things)
        read = read_weka_model(path)
        assert read.feature_names == names
        expected = [list(classifier.distributionForInstance(data.instance(k))) for k in range(30)]
        np.testing.assert_allclose(read.predict_proba(X[at[:30]]), expected, atol=1e-12, rtol=0)


def test_trees_that_the_kernel_cannot_say(saved, features):
    """Trees inside another classifier, and a forest of something else."""
    assert isinstance(read_weka_model(saved("meta.Bagging -I 3 -W weka.classifiers.bayes.NaiveBayes")), WekaClassifier)
    with pytest.raises(ModelFileError, match="which is no forest") as caught:
        read_model(saved("bayes.NaiveBayes"))
    assert "read_weka_model" in caught.value.remedy
