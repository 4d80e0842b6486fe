"""ARFF files: written as Weka writes them, byte by byte, and read as Weka reads them."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fijibridge.core.errors import ImageNotFoundError, LabelsError, OutputError, SettingsError
from fijibridge.forest import LabelledSamples, read_arff, write_arff
from fijibridge.forest.arff import RELATION, quoted

ONCE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
NAMES = st.text(st.characters(min_codepoint=32, max_codepoint=0x17F, exclude_categories=["C"]), min_size=1, max_size=9)
NAMES = NAMES.filter(lambda name: name.strip())
FLOATS = st.one_of(
    st.floats(width=32, allow_infinity=False, min_value=-(2**53), max_value=2**53),
    st.integers(-(2**20), 2**20).map(lambda number: number / 128),  # ties: seven decimals, the last one a five
    st.sampled_from([0.0, -0.0, 1e-7, -1e-7, 255.0, float("nan")]),
)


def _as_weka_writes(java, X, y, names, classes, relation=RELATION):
    """The text of `Instances.toString`, as TWS writes it."""
    array = java.jclass("java.util.ArrayList")
    attributes, values = array(), array()
    for name in names:
        attributes.add(java.jclass("weka.core.Attribute")(name))
    for name in classes:
        values.add(name)
    attributes.add(java.jclass("weka.core.Attribute")("class", values))
    data = java.jclass("weka.core.Instances")(relation, attributes, len(y))
    for row, label in zip(X.tolist(), y.tolist(), strict=True):
        data.add(java.jclass("weka.core.DenseInstance")(1.0, [*row, float(label)]))
    return str(data.toString())


def _as_weka_reads(java, path):
    data = java.jclass("weka.core.converters.ConverterUtils$DataSource").read(str(path))
    rows = [[data.get(i).value(j) for j in range(data.numAttributes())] for i in range(data.numInstances())]
    names = [str(data.attribute(i).name()) for i in range(data.numAttributes())]
    return np.array(rows, np.float64).reshape(len(rows), len(names)), names


@ONCE
@given(
    X=arrays(np.float32, (4, 3), elements=FLOATS.map(lambda value: float(np.float32(value)))),
    names=st.lists(NAMES, min_size=3, max_size=3, unique=True),
    classes=st.lists(NAMES, min_size=2, max_size=2, unique=True),
)
def test_the_bytes_are_those_of_weka(java, tmp_path, X, names, classes):
    y = np.array([1, 0, 1, 1])
    path = write_arff(tmp_path / "a.arff", X, y, names, classes)
    wanted = _as_weka_writes(java, X, y, names, classes)
    assert path.read_bytes().decode() == wanted + "\n"  # TWS ends the last line, too


@ONCE
@given(values=st.lists(st.floats(-1e7, 1e7, width=64), min_size=3, max_size=3), decimals=st.integers(0, 6))
def test_numbers_that_were_read_are_written_as_they_were(java, tmp_path, values, decimals):
    """Of a file that is read and written again, no digit changes: its numbers have six decimals at most."""
    X, y = np.round(np.array([values]), decimals), np.array([0])
    path = write_arff(tmp_path / "a.arff", X, y, "pqr", "ab")
    assert path.read_text() == _as_weka_writes(java, X, y, "pqr", "ab") + "\n"
    again = read_arff(path, dtype=np.float64)
    write_arff(tmp_path / "b.arff", again.X, again.y, again.feature_names, again.class_names)
    assert (tmp_path / "b.arff").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("exact", [False, True])
def test_a_round_trip(tmp_path, exact):
    X = np.array([[0.5, np.nan], [-3.25, 1e7]], np.float32)
    names, classes = ["it's a feature", "100% \\ odd, {name}"], ["pore space", "söl'id"]
    path = write_arff(tmp_path / "a.arff", X, np.array([1, 0]), names, classes, exact=exact)
    back = read_arff(path)
    np.testing.assert_array_equal(back.X, X)
    assert (back.y.tolist(), list(back.feature_names), list(back.class_names)) == ([1, 0], names, classes)
    assert (back.relation, back.X.dtype, back.counts) == (RELATION, np.float32, {"pore space": 1, "söl'id": 1})


def test_exact_numbers_as_weka_reads_them(java, tmp_path):
    X = np.array([[0.1, np.nan], [np.float32(1e-40), -3.4e38]], np.float32)
    path = write_arff(tmp_path / "a.arff", X, np.array([1, 0]), ["p", "q"], ["a", "b"], exact=True)
    rows, names = _as_weka_reads(java, path)
    assert names == ["p", "q", "class"]
    np.testing.assert_array_equal(rows[:, :2].astype(np.float32), X)
    np.testing.assert_array_equal(read_arff(path).X, X)


# rows as people and programs write them
CELL = st.one_of(
    st.floats(-1e6, 1e6).map(repr), st.sampled_from(["?", "-0", "1e-3", "2E5", ".5", "7.", "+3", "'4.5'", "NaN"])
)


@st.composite
def files(draw):
    classes = draw(st.lists(NAMES, min_size=2, max_size=3, unique=True))
    target = draw(st.integers(0, 2))
    names = ["p", "a q", "r"]
    names[target] = draw(st.sampled_from(["class", "Class", "'class'"]))
    kinds = [draw(st.sampled_from(["numeric", "REAL", "Integer"])) for _ in range(3)]
    kinds[target] = "{" + draw(st.sampled_from([",", ", ", " , "])).join(map(quoted, classes)) + "}"
    lines = [draw(st.sampled_from(["% a comment", ""])), draw(st.sampled_from(["@relation", "@RELATION"])) + " 'a b'"]
    lines += [
        f"{draw(st.sampled_from(['@attribute', '@Attribute']))}\t{name if name[0] == chr(39) else quoted(name)} {kind}"
        for name, kind in zip(names, kinds, strict=True)
    ]
    lines += ["", draw(st.sampled_from(["@data", "@DATA"]))]
    for _ in range(draw(st.integers(1, 5))):
        cells = [draw(CELL) for _ in range(3)]
        cells[target] = quoted(draw(st.sampled_from(classes)))
        if draw(st.booleans()):
            lines.append(draw(st.sampled_from([",", ", ", "\t", " ,\t"])).join(cells))
        else:
            kept = [k for k in range(3) if draw(st.booleans())]
            lines.append("{" + ", ".join(f"{k} {cells[k]}" for k in kept) + "}")
        lines.append(draw(st.sampled_from(["", "% between", "   "])))
    return draw(st.sampled_from(["\n", "\r\n"])).join(lines) + "\n", target


@ONCE
@given(file=files())
def test_it_is_read_as_weka_reads_it(java, tmp_path, file):
    text, target = file
    path = tmp_path / "a.arff"
    path.write_bytes(text.encode())
    rows, names = _as_weka_reads(java, path)
    found = read_arff(path, dtype=np.float64)
    assert list(found.feature_names) == [name for k, name in enumerate(names) if k != target]
    np.testing.assert_array_equal(found.X, np.delete(rows, target, axis=1))
    np.testing.assert_array_equal(found.y, rows[:, target])


def test_many_rows_come_in_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr("fijibridge.forest.arff_reading._CHUNK", 1000)
    rng = np.random.default_rng(0)
    X, y = rng.normal(100, 50, (900, 5)).astype(np.float32), rng.integers(0, 3, 900)
    X[7, 2] = np.nan
    path = write_arff(tmp_path / "a.arff", X, y, "pqrst", ["a", "b c", "d"], exact=True)
    back = read_arff(path)
    np.testing.assert_array_equal(back.X, X)
    np.testing.assert_array_equal(back.y, y)


HEAD = "@relation r\n@attribute p numeric\n@attribute q numeric\n@attribute class {a,b}\n@data\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "empty"),
        ("Area,Mean\n1,2\n", "begins with"),
        ("\x89PNG\0\0", "begins with"),
        ("@relation r\n@attribute p numeric\n", "no line @data"),
        ("@relation r\n@attribute p numeric\n@data\n1\n", "'p', is no list of classes"),
        ("@relation r\n@attribute p string\n@attribute class {a,b}\n@data\n", "'p' is string"),
        ("@relation r\n@attribute p {u,v}\n@attribute class {a,b}\n@data\n", "'p' is nominal"),
        ("@relation r\n@attribute p real\n@attribute p real\n@attribute class {a,b}\n@data\n", "same name: p"),
        ("@relation r\n@attribute class {a,b}\n@data\n", "no feature"),
        ("@relation r\n@attribute 'p numeric\n@data\n", "line 2: a quote without its end"),
        ("@relation r\n@attribute p\n@data\n", "line 2: '@attribute p'"),
        (HEAD, "no samples"),
        (HEAD + "1,2\n", "line 6: 2 values"),
        (HEAD + "1,2,a\n1,2,3,a\n", "line 7: more than 3 values"),
        (HEAD + "1,2,a\n1,2,c\n", "line 7: the class 'c'"),
        (HEAD + "1,2,?\n", "line 6: the class is missing"),
        (HEAD + "1,two,a\n", "'two' where a number"),
        (HEAD + "1,1_0,a\n", "'1_0' where a number"),
        (HEAD + "1,2,a,{0.5}\n", "weight 0.5"),
        (HEAD + "{0 1, 0 2}\n", "index '0'"),
        (HEAD + "{0 1, 9 2}\n", "index '9'"),
        (HEAD + "{0 1\n", "not complete"),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path, text, found):
    path = tmp_path / "a.arff"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(LabelsError, match=re.escape(found)) as error:
        read_arff(path)
    assert error.value.expected
    assert error.value.remedy


def test_no_file(tmp_path):
    for path in (tmp_path, tmp_path / "no.arff"):
        with pytest.raises(ImageNotFoundError):
            read_arff(path)


def test_letters_of_an_older_tws(tmp_path):
    path = tmp_path / "a.arff"
    path.write_bytes(HEAD.replace("{a,b}", "{größe,b}").encode("latin-1") + "1,2,größe\n".encode("latin-1"))
    assert read_arff(path).class_names == ("größe", "b")


def test_samples_that_do_not_fit(tmp_path):
    X, y = np.zeros((2, 2), np.float32), np.array([0, 1])
    with pytest.raises(SettingsError):
        write_arff(tmp_path / "a.arff", X, y, ["one"], ["a", "b"])
    with pytest.raises(LabelsError):
        write_arff(tmp_path / "a.arff", X, y, ["p", "q"], ["a"])
    with pytest.raises(LabelsError):
        LabelledSamples(X, y, ("p", "q"), ("a",))
    with pytest.raises(OutputError):
        write_arff(tmp_path / "no" / "a.arff", X, y, ["p", "q"], ["a", "b"])
