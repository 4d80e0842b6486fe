"""Public names: one list, the stub; what it says is there, and nothing heavy loads before it is used."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import pytest

import fijibridge

PACKAGE = Path(fijibridge.__file__).parent
STUBS = sorted(PACKAGE.rglob("*.pyi"))


def _package(stub: Path) -> str:
    return ".".join(("fijibridge", *stub.parent.relative_to(PACKAGE).parts))


def _names(stub: Path) -> dict[str, str]:
    """Name -> module, as a type checker reads the stub."""
    found = {}
    for node in ast.parse(stub.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                assert alias.asname == alias.name, f"{stub}: {alias.name} as itself, or it is no public name"
                found[alias.name] = node.module
        else:
            assert ast.unparse(node) == "__version__: str", f"{stub} holds more than names"
            found["__version__"] = _package(stub)
    return found


def test_each_lazy_package_has_its_stub():
    lazy = {file.parent for file in PACKAGE.rglob("__init__.py") if "attach_stub(" in file.read_text(encoding="utf-8")}
    assert lazy == {stub.parent for stub in STUBS}
    assert PACKAGE in lazy


@pytest.mark.parametrize("stub", STUBS, ids=_package)
def test_public_names_are_those_of_the_stub(stub):
    package, names = import_module(_package(stub)), _names(stub)
    assert sorted(package.__all__) == sorted(names)
    assert set(names) <= set(dir(package))
    for name, module in names.items():
        assert getattr(package, name) is getattr(import_module(module), name)
        # from where it is, not from a module that passes it on: one hop for a reader
        assert getattr(getattr(package, name), "__module__", module) == module
    with pytest.raises(AttributeError, match=rf"module '{package.__name__}' has no attribute 'no_such_name'"):
        package.no_such_name  # noqa: B018


@pytest.mark.parametrize("stub", STUBS, ids=_package)
def test_no_public_name_is_that_of_a_module_beside_it(stub):
    # importing the module would put it in the name's place
    beside = {path.stem for path in stub.parent.glob("*.py")}
    beside |= {path.parent.name for path in stub.parent.glob("*/*.py")}
    assert not beside & set(_names(stub))


def test_names_load_on_first_use(run_python):
    done = run_python(
        "import sys, fijibridge, fijibridge.metrology, fijibridge.superresolution, fijibridge.tws\n"
        "loaded = lambda: sorted({'numpy', 'torch', 'jpype'} & set(sys.modules))\n"
        "print(loaded())\n"
        "fijibridge.BridgeError; print(loaded())\n"
        "fijibridge.Image; print(loaded(), 'Image' in vars(fijibridge))\n"
    )
    assert done.stdout.splitlines() == ["[]", "[]", "['numpy'] True"], done.stderr
