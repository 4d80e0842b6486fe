"""Files of other classifiers than FastRandomForest that are damaged, hostile, or need what is not there."""

from __future__ import annotations

import contextlib
import io
import zipfile

import numpy as np
import pytest

from fijibridge.core.errors import JavaError, ModelFileError
from fijibridge.forest import read_weka_model

pytestmark = pytest.mark.usefixtures("java")


def _serialised(java, *objects) -> bytes:
    buffer = java.jclass("java.io.ByteArrayOutputStream")()
    stream = java.jclass("java.io.ObjectOutputStream")(buffer)
    for item in objects:
        stream.writeObject(item)
    stream.close()
    return bytes(buffer.toByteArray())


def _refused(tmp_path, data: bytes, match: str) -> ModelFileError:
    path = tmp_path / "bad.model"
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match=match) as caught:
        read_weka_model(path)
    assert caught.value.expected
    assert caught.value.remedy
    return caught.value


def _header():
    import fijibridge.forest.java.weka as weka

    return weka._header(["a", "b"], ["x", "y"])


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.97])
def test_truncated(saved, tmp_path, share):
    data = saved("functions.SMO").read_bytes()
    _refused(tmp_path, data[: int(share * len(data))], "ends in the middle|damaged|no header|ends after")


@pytest.mark.parametrize("text", ["functions.SMO -M", "trees.J48", "bayes.BayesNet"])
def test_flipped_bytes(saved, features, tmp_path, text):
    """Damage may hit a number and load, or it is a ModelFileError: nothing else comes out."""
    data, path = bytearray(saved(text).read_bytes()), tmp_path / "bad.model"
    for place in np.random.default_rng(0).integers(6, len(data), 40):
        damaged = bytearray(data)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        with contextlib.suppress(ModelFileError):
            found = read_weka_model(path).predict_proba(features[0][:20])
            np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize(
    "name", ["java.util.HashMap", "java.util.ArrayList", "weka.core.SelectedTag", "java.lang.String"]
)
def test_no_classifier_first(java, tmp_path, name):
    make = {"java.lang.String": lambda: "x", "weka.core.SelectedTag": lambda: _header()}
    item = make.get(name, java.jclass(name))()
    _refused(tmp_path, _serialised(java, item, _header()), "no classifier")


def test_no_classifier_of_the_list_first(java, tmp_path):
    """A part of classifiers that is none itself."""
    item = java.jclass("weka.classifiers.trees.j48.Distribution")(2, 2)
    _refused(tmp_path, _serialised(java, item, _header()), "no classifier")


@pytest.mark.parametrize(
    "name", ["misc.SerializedClassifier", "misc.InputMappedClassifier", "meta.CVParameterSelection"]
)
def test_dangerous_first(java, tmp_path, name):
    item = java.jclass(f"weka.classifiers.{name}")()
    _refused(tmp_path, _serialised(java, item, _header()), rf"{name}, which (loads|starts)")


@pytest.mark.parametrize(
    "make",
    [
        lambda java: java.jclass("weka.classifiers.misc.SerializedClassifier")(),
        lambda java: java.jclass("weka.classifiers.meta.CVParameterSelection")(),
        lambda java: java.jclass("weka.filters.unsupervised.attribute.NumericTransform")(),
        lambda java: java.jclass("weka.filters.unsupervised.attribute.MathExpression")(),
        lambda java: java.jclass("weka.core.SerializedObject")("x"),
        lambda java: java.jclass("java.net.URL")("http://127.0.0.1:9/"),
        lambda java: java.jclass("java.util.PriorityQueue")(),
        lambda java: java.jclass("java.util.concurrent.ConcurrentHashMap")(),
        lambda java: java.jclass("java.lang.Class").forName("java.lang.Runtime"),
        lambda java: java.jclass("java.util.Collections").reverseOrder(),
        lambda java: java.jclass("javax.swing.DefaultListModel")(),
        lambda java: java.jclass("java.util.Date")(),
    ],
    ids=[
        "SerializedClassifier", "CVParameterSelection", "NumericTransform", "MathExpression", "SerializedObject", "URL",
        "PriorityQueue", "ConcurrentHashMap", "Class", "Comparator", "swing", "Date",
    ],
)  # fmt: skip
def test_hidden_deep_inside(java, tmp_path, make):
    """In a list of a Vote inside a Bagging inside a Vote."""
    item = java.jclass("java.util.ArrayList")()
    item.add(make(java))
    inner = _vote_with(java, item)
    bagging = java.jclass("weka.classifiers.meta.Bagging")()
    bagging.setClassifier(inner)
    outer = java.jclass("weka.classifiers.meta.Vote")()
    outer.addPreBuiltClassifier(bagging)
    error = _refused(tmp_path, _serialised(java, outer, _header()), "holds the Java class")
    assert "unless you know who made it" in error.remedy


def _vote_with(java, held):
    """A Vote that carries `held` in place of its list of classifiers."""
    vote = java.jclass("weka.classifiers.meta.Vote")()
    field = java.jclass("weka.classifiers.meta.Vote").class_.getDeclaredField("m_preBuiltClassifiers")
    field.setAccessible(True)
    field.set(vote, held)
    return vote


def test_nested_hash_tables(java, tmp_path):
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
    held = ArrayList()
    held.add(inner)
    _refused(tmp_path, _serialised(java, _vote_with(java, held), _header()), "nested lists and tables")


def test_names_of_files_lead_nowhere(java, saved, tmp_path):
    from fijibridge.forest.java.model_file import read_stream

    vote = java.jclass("weka.classifiers.meta.Vote")()
    field = java.jclass("weka.classifiers.meta.Vote").class_.getDeclaredField("m_classifiersToLoad")
    field.setAccessible(True)
    field.get(vote).add("/etc/passwd")
    costs = java.jclass("weka.classifiers.meta.CostSensitiveClassifier")()
    costs.setOnDemandDirectory(java.jclass("java.io.File")("/etc"))
    vote.addPreBuiltClassifier(costs)
    found = read_stream(_serialised(java, vote, _header()), "weka.classifiers.meta.Vote").classifier
    assert field.get(found).isEmpty()
    lists = java.jclass("weka.classifiers.meta.Vote").class_.getDeclaredField("m_preBuiltClassifiers")
    lists.setAccessible(True)
    assert str(lists.get(found).get(0).getOnDemandDirectory().getPath()) == ""


def test_never_trained_and_without_a_header(java, tmp_path):
    classifier = java.jclass("weka.classifiers.functions.SMO")()
    _refused(tmp_path, _serialised(java, classifier, _header()), "never trained")
    _refused(tmp_path, _serialised(java, classifier), "no header after it")
    _refused(tmp_path, _serialised(java, classifier, classifier), "holds weka.classifiers.functions.SMO and weka")


def test_a_nominal_feature(java, saved, tmp_path):
    import jpype

    classifier, header = jpype.JClass("weka.core.SerializationHelper").readAll(str(saved("rules.ZeroR")))
    header.replaceAttributeAt(
        java.jclass("weka.core.Attribute")("a", java.jclass("java.util.ArrayList")(["p", "q"])), 0
    )
    _refused(tmp_path, _serialised(java, classifier, header), "not numeric")


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("weka.classifiers.functions.LibSVM", "package LibSVM "),
        ("weka.classifiers.functions.LibLINEAR", "package LibLINEAR "),
        ("weka.classifiers.meta.RotationForest", "package rotationForest "),
        ("weka.classifiers.trees.NoSuchTree", "of a Weka package"),
        ("hr.irb.fastRandomForest.FasterForest", "of a Weka package"),
    ],
)
def test_a_classifier_of_a_package(tmp_path, name, package):
    from fijibridge.forest.java.serialization import JavaClass, JavaStream

    data = io.BytesIO()
    JavaStream(data).begin(JavaClass(name, 1))
    error = _refused(tmp_path, data.getvalue(), package)
    assert name in error.found
    assert "FIJIBRIDGE_JARS" in error.remedy


def test_the_list_is_of_weka(java):
    """Each name is a class of Weka, without a method that runs when it is read, and serialised by Java's own rules."""
    from fijibridge.forest.java.model_file import _weka_classes

    names = _weka_classes()
    assert len(names) > 300
    own = {"readObject", "readResolve", "readExternal", "readObjectNoData", "validateObject", "finalize"}
    loader = java.jclass("java.lang.Thread").currentThread().getContextClassLoader()
    compared = java.jclass("java.util.Comparator").class_
    for name in sorted(names):
        found = java.jclass("java.lang.Class").forName(name, False, loader)
        assert not compared.isAssignableFrom(found), name
        if "no.uib.cipr" in _needs_matrices(found):
            continue
        assert not own & {str(method.getName()) for method in found.getDeclaredMethods()}, name


def _needs_matrices(found) -> str:
    """What Java says of classes that do not load without Weka's matrix library."""
    import jpype

    try:
        found.getDeclaredMethods()
    except jpype.JException as error:
        return str(error).replace("/", ".")
    return ""


_OWN = """package weka.classifiers.misc;
public class Tenths extends weka.classifiers.AbstractClassifier {
    private int classes;
    public void buildClassifier(weka.core.Instances data) { classes = data.numClasses(); }
    public double[] distributionForInstance(weka.core.Instance sample) {
        return new double[] {sample.value(1) / 10, 1 - sample.value(1) / 10};
    }
}
"""


def test_a_jar_of_the_users_own(java, run_python, tmp_path):
    import jpype

    compiler = java.jclass("javax.tools.ToolProvider").getSystemJavaCompiler()
    if compiler is None:
        pytest.skip("no Java compiler on this machine")
    (tmp_path / "Tenths.java").write_text(_OWN)
    classes = str(java.jclass("java.lang.System").getProperty("java.class.path"))
    options = ["-nowarn", "-d", str(tmp_path), "-cp", classes, str(tmp_path / "Tenths.java")]
    assert compiler.run(None, None, None, jpype.JString[:](options)) == 0
    (tmp_path / "package").mkdir()
    with zipfile.ZipFile(tmp_path / "package" / "tenths.jar", "w") as jar:
        jar.write(tmp_path / "weka" / "classifiers" / "misc" / "Tenths.class", "weka/classifiers/misc/Tenths.class")
    code = (
        "import sys, jpype, numpy as np, fijibridge.jvm as j\n"
        "from fijibridge.forest import read_weka_model\n"
        "import fijibridge.forest.java.weka as weka\n"
        "j.start(heap='300m')\n"
        "header = weka._header(['a', 'b'], ['x', 'y'])\n"
        "made = jpype.JClass('weka.classifiers.misc.Tenths')()\n"
        "made.buildClassifier(header)\n"
        f"path = {str(tmp_path / 'own.model')!r}\n"
        "jpype.JClass('weka.core.SerializationHelper').writeAll(path, jpype.JObject[:]([made, header]))\n"
        "print(read_weka_model(path).predict_proba(np.array([[0, 3.0], [0, 10]])).tolist())\n"
    )
    done = run_python(code, FIJIBRIDGE_JARS=str(tmp_path / "package"))
    assert done.stdout.strip() == "[[0.3, 0.7], [1.0, 0.0]]", done.stderr
    with pytest.raises(ModelFileError, match="not on the class path"):
        read_weka_model(tmp_path / "own.model")


def test_jars_that_are_not_there(monkeypatch, tmp_path):
    from fijibridge.jvm.extra_jars import classes_of_jars, extra_jars

    monkeypatch.delenv("FIJIBRIDGE_JARS", raising=False)
    assert extra_jars() == []
    assert classes_of_jars() == frozenset()
    for named in (tmp_path / "none.jar", tmp_path):
        monkeypatch.setenv("FIJIBRIDGE_JARS", str(named))
        with pytest.raises(JavaError, match="there is no jar"):
            extra_jars()
    (tmp_path / "a.jar").write_bytes(b"no zip")
    with pytest.raises(JavaError, match="which is no jar"):
        classes_of_jars()
