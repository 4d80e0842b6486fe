"""Public names of a package that load on first use, listed in the stub beside it.

The stub, ``__init__.pyi``, is the one list: editors and type checkers read it, and so does :func:`attach_stub`. Each of
its lines is ``from MODULE import NAME as NAME``.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

# The library lazy_loader does the same, but takes relative imports from within the package alone: `fijibridge` would
# do, `fijibridge.metrology`, whose `Phases` comes from fijibridge.phases, would not. It also costs an `import ast`.


def attach_stub(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Make the names in a package's stub load on first use.

    Parameters
    ----------
    package : str
        The package's ``__name__``.
    file : str
        Its ``__file__``; the stub lies beside it.

    Returns
    -------
    tuple
        The package's ``__getattr__``, ``__dir__`` and ``__all__``.
    """
    with open(f"{file}i", encoding="utf-8") as stub:
        lines = [line.split() for line in stub if line.startswith("from ")]
    modules = {name: module for _, module, _, name, *_ in lines}

    def load(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(modules[name]), name)
        setattr(import_module(package), name, value)  # found at once from now on
        return value

    return load, lambda: sorted({*vars(import_module(package)), *modules}), list(modules)
