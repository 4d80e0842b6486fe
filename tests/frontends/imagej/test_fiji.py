"""Macros run from Python, in the embedded ImageJ."""

from __future__ import annotations

import threading

import pytest

import fijibridge as fb
from fijibridge.core.errors import ImageNotFoundError, MacroError


@pytest.fixture
def fiji(java):
    return fb.start()


def test_a_macro_returns_its_value(fiji, tmp_path):
    code = "newImage('a', '8-bit black', 9, 7, 1); run('Add...', 'value=3');"
    code += "return '' + getPixel(2, 2) + getArgument();"
    assert fiji.run_macro(code, " px") == "3 px"
    path = tmp_path / "grün und blau.ijm"
    path.write_text("// a comment\n" + code, encoding="utf-8")
    assert fiji.run_macro(path) == fiji.run_macro(str(path)) == "3"
    assert fiji.run_macro("x = 1;") is None
    assert fiji.run_macro("x = 1;\nexit;\nreturn 'no';") is None


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("x = 1;\ny = foo(3);\nz = 2;\n", "line 2: Undefined identifier"),
        ("x = 1;\n\nrun('No Such Command');\nx = 2;", 'line 3: Unrecognized command: "No Such Command"'),
        ("a = newArray(2);\nb = a[5];", r"line 2: Index \(5\) out of 0-1 range"),
        ("function f(a) {\n  return foo(a);\n}\nx = 1;\nf(x);", "line 2: Undefined identifier"),
        ("close('*');\nrun('Gaussian Blur...');", "line 2: There are no images open"),
        ("x = ;;; ((", "line 1: Number or numeric function expected"),
        ("x = 1;\nif (x > 0)\n  exit('nothing to do');", r"stopped itself in line 3: exit\('nothing to do'\);"),
    ],
)
def test_a_failure_names_the_line(fiji, code, told):
    with pytest.raises(MacroError, match=told):
        fiji.run_macro(code)
    assert fiji.run_macro("return 'still works';") == "still works"


def test_no_such_macro(fiji, tmp_path):
    with pytest.raises(ImageNotFoundError, match="no macro"):
        fiji.run_macro(tmp_path / "nowhere.ijm")
    with pytest.raises(ImageNotFoundError, match="no macro"):
        fiji.run_macro("nowhere.ijm")


def test_macros_of_several_threads_take_turns(fiji):
    answers: dict[int, str | None] = {}

    def work(k: int) -> None:
        answers[k] = fiji.run_macro(f"s = 0; for (i = 0; i < 2000; i++) s += {k}; return '' + s;")

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {k: str(2000 * k) for k in range(6)}
