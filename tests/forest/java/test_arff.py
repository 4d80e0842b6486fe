""".arff files, as Weka reads them."""

from __future__ import annotations

import numpy as np
import pytest

from fijibridge.core.errors import LabelsError, OutputError, SettingsError

pytestmark = pytest.mark.usefixtures("java")


def test_arff_as_weka_reads_it(weka, java, tmp_path):
    X = np.array([[0.1, np.nan], [np.float32(1e-40), -3.4e38]], np.float32)
    names = ["it's a feature", "100% \\ odd, {name}"]
    path = weka.write_arff(tmp_path / "a.arff", X, np.array([1, 0]), names, ["pore space", "söl'id"])
    data = java.jclass("weka.core.converters.ConverterUtils$DataSource").read(str(path))
    assert [str(data.attribute(i).name()) for i in range(3)] == [*names, "class"]
    assert [str(data.attribute(2).value(i)) for i in range(2)] == ["pore space", "söl'id"]
    assert [data.get(i).value(2) for i in range(2)] == [1, 0]
    back = np.array([[data.get(i).value(j) for j in range(2)] for i in range(2)])
    np.testing.assert_array_equal(back.astype(np.float32), X)


def test_arff_errors(weka, tmp_path):
    X, y = np.zeros((2, 2), np.float32), np.array([0, 1])
    with pytest.raises(SettingsError):
        weka.write_arff(tmp_path / "a.arff", X, y, ["one"], ["a", "b"])
    with pytest.raises(LabelsError):
        weka.write_arff(tmp_path / "a.arff", X, y, ["p", "q"], ["a"])
    with pytest.raises(OutputError):
        weka.write_arff(tmp_path / "no" / "a.arff", X, y, ["p", "q"], ["a", "b"])
