"""Versions of the packages that a result depends on: written into every report."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

_NAMES = ("fijibridge", "numpy", "scipy", "scikit-learn", "numba", "torch", "timm", "jpype1")


def versions() -> dict[str, str]:
    """Name -> version, of those that are installed."""
    found = {}
    for name in _NAMES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
