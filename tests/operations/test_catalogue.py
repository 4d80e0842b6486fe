"""The catalogue: options are declared once and described, and a new operation is known to every front end."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import pytest

from fijibridge.core.params import GROUPS, Param, without_none
from fijibridge.frontends.arguments import parameters_of
from fijibridge.frontends.cli import main
from fijibridge.frontends.dispatch import perform
from fijibridge.frontends.imagej.macro_generator import generated, macros_folder
from fijibridge.operations import CATALOGUE, operation

# The same word for the same thing, whose help or range follows from the operation: all with their reasons.
DECLARED_ANEW = {
    "image": "the image that the operation works on: a micrograph, a stack, or a label image",
    "images": "the images that the operation works on: micrographs, stacks, or segmented planes",
    "labels": "of one image, or one for each of several",
    "out": "where the results go: most write a folder when all is done, some a file, or step by step",
    "classifier": "a saved classifier: applied, or segmenting the micrographs of a volume",
    "network": "a trained network: applied, or a source of features",
    "steps": "steps of an optimiser: of a volume, a network or an upsampler",
    "crop": "side of a training crop: a network of its own stride, an upsampler of its own patch",
    "size": "height and width of simulated images: a demo needs room for its strokes",
}
MOST_BASIC = 8


def _declarations() -> dict[str, list[tuple[str, Any, Param]]]:
    found: dict[str, list[tuple[str, Any, Param]]] = {}
    for name in CATALOGUE:
        for key, (plain, param, _) in parameters_of(name).items():
            found.setdefault(key, []).append((name, without_none(plain), param))
    return found


def test_a_name_is_one_declaration():
    anew = {}
    for key, uses in _declarations().items():
        different = {(str(plain), id(param)) for _, plain, param in uses}
        if len(different) > 1:
            anew[key] = [name for name, _, _ in uses]
    assert anew.keys() == DECLARED_ANEW.keys(), anew


def test_what_is_declared_anew_is_of_one_kind():
    """Also the exceptions have one group, and one kind of value."""
    declarations = _declarations()
    for key in DECLARED_ANEW.keys() - {"labels", "network", "steps"}:
        assert len({param.group for _, _, param in declarations[key]}) == 1, key
        assert len({str(plain) for _, plain, _ in declarations[key]}) == 1, key


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_option_is_described(name):
    basic = []
    for key, (plain, param, parameter) in parameters_of(name).items():
        assert param.help, key
        assert param.group in GROUPS, key
        if param.level == "basic":
            basic.append(key)
        if param.from_preset:
            assert parameter.default is None, key
        if parameter.default is inspect.Parameter.empty:
            assert param.level == "basic", key
        if (param.low, param.high) != (None, None):
            assert without_none(plain) in (int, float), key
    assert len(basic) <= MOST_BASIC, basic


def test_choices_of_registries_hold_the_defaults():
    for name in CATALOGUE:
        for key, (_, param, parameter) in parameters_of(name).items():
            if param.choices is not None and isinstance(parameter.default, str) and parameter.default:
                assert parameter.default in param.choices(), (name, key)


# --- a new operation --------------------------------------------------------------------------------------------------


def toy(
    image: Annotated[Path, Param("a text", positional=True, role="image", level="basic", group="Input")],
    *,
    factor: Annotated[float, Param("of the length", low=1, high=9, group="Measurement")] = 2.0,
) -> dict[str, Any]:
    """Measure how long a text is.

    Returns
    -------
    dict
        The report.
    """
    return {"operation": "toy", "length": factor * len(image.read_text(encoding="utf-8")), "outputs": []}


@pytest.fixture
def known(monkeypatch):
    """The toy as a file of its own and a line in the catalogue."""
    module = ModuleType("toy_operation")
    module.toy = toy
    module.summary = lambda report: [f"length {report['length']:g}"]
    module.TITLE = "Toy of Length"
    monkeypatch.setitem(sys.modules, "toy_operation", module)
    monkeypatch.setitem(CATALOGUE, "toy", "toy_operation")
    yield
    parameters_of.cache_clear()


@pytest.mark.usefixtures("known")
def test_a_new_operation_is_known_everywhere(tmp_path, capsys):
    text = tmp_path / "text.txt"
    text.write_text("four", encoding="utf-8")
    assert operation("toy") is toy
    assert main(["toy", str(text), "--factor", "3"]) == 0
    assert capsys.readouterr().out == "length 12\n"
    assert main(["--help"]) == 0
    assert "Measure how long a text is" in capsys.readouterr().out
    assert main(["toy", str(text), "--factor", "30"]) == 2
    answer = perform("toy", {"image": str(text)}, "factor=5", place=tmp_path, watch=lambda *_: None)
    assert answer.split("\n") == ["done", "operation=toy", "length=20.0", "outputs="]
    folder = macros_folder()
    texts = generated((folder / "FijiBridge.ijm").read_text(encoding="utf-8"))
    assert "function fbToy(image, options) {" in texts["FijiBridge.ijm"]
    assert 'fbAddString("Factor", last, "factor", "2", 7);' in texts["commands/FB_Toy_of_Length.ijm"]
