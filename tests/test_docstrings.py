"""Public functions say what their parameters are (numpydoc)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import fijibridge

PACKAGE = Path(fijibridge.__file__).parent
# options are described where they are declared
DECLARED = {PACKAGE / f"frontends/{name}.py" for name in ("cli", "cli_fiji")} | set((PACKAGE / "operations").iterdir())
FILES = sorted(set(PACKAGE.rglob("*.py")) - DECLARED)


def undocumented(file: Path) -> list[str]:
    """Public functions and methods of two and more parameters without a Parameters section."""
    found = []

    def visit(body: list[ast.stmt], prefix: str, of_class: ast.ClassDef | None) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                visit(node.body, f"{prefix}{node.name}.", node)
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                owner = of_class if node.name == "__init__" else node
                if owner is None or (node.name.startswith("_") and node.name != "__init__"):
                    continue
                arguments = node.args
                names = [one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
                names = [name for name in names if name not in ("self", "cls")]
                text = ast.get_docstring(owner) or ""
                inherited = text.startswith("See :")  # an override says no more than what it overrides
                if len(names) > 1 and "Parameters\n----" not in text and not inherited:
                    found.append(f"{prefix}{node.name}({', '.join(names)})")

    visit(ast.parse(file.read_text(encoding="utf-8")).body, "", None)
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_public_functions_tell_their_parameters(file):
    assert undocumented(file) == []
