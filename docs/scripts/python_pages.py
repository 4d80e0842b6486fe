"""Reference pages of the Python API: every public name, documented by mkdocstrings."""

from __future__ import annotations

from importlib import import_module

MODULES = (
    "fijibridge",
    "fijibridge.features",
    "fijibridge.forest",
    "fijibridge.segmentation",
    "fijibridge.network",
    "fijibridge.phases",
    "fijibridge.metrology",
    "fijibridge.reconstruction",
    "fijibridge.parametric",
    "fijibridge.superresolution",
    "fijibridge.synthesis",
)


def python_pages() -> dict[str, str]:
    """Path -> Markdown of each public module. A name that two modules offer stands on the first one's page."""
    pages: dict[str, str] = {}
    shown: dict[str, str] = {}
    for name in MODULES:
        module = import_module(name)
        lines = [f"# {name}", "", (module.__doc__ or "").strip(), ""]
        for public in module.__all__:
            found = getattr(module, public)
            if public.startswith("__"):
                continue
            where = f"{found.__module__}.{found.__qualname__}"
            if where in shown:
                lines += [f"`{public}`: see [{shown[where]}]({shown[where]}.md)", ""]
            else:
                shown[where] = name
                lines += [f"::: {where}", ""]
        pages[f"reference/python/{name}.md"] = "\n".join(lines)
    return pages
