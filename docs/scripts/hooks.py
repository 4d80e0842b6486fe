"""What mkdocs makes at build time: tables from the benchmarks' JSON, reference pages from signatures."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # this checkout, whatever is installed

from mkdocs.structure.files import File, Files
from operation_pages import operation_pages
from python_pages import python_pages
from result_tables import result_table

_ROLE = re.compile(r":(?:func|mod|class|meth|attr|data):<code>~?([\w.]+)</code>")  # Sphinx's, in docstrings
_TABLE = re.compile(r"^\{\{ table (\w+)\.(\w+) \}\}$", re.M)


def _pages() -> dict[str, dict[str, str]]:
    """Title of a section below Reference -> path -> text."""
    return {"Operations": operation_pages(), "Python": python_pages()}


def on_config(config: Any) -> Any:
    """Put the generated pages into the navigation, below Reference."""
    sections = _pages()
    reference = next(entry["Reference"] for entry in config.nav if "Reference" in entry)
    for title, pages in reversed(sections.items()):
        reference.insert(1, {title: list(pages)})
    config.extra["generated"] = {path: text for pages in sections.values() for path, text in pages.items()}
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages."""
    for path, text in config.extra["generated"].items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace ``{{ table NAME.KEY }}`` by a table of ``benchmarks/results/NAME.json``."""
    return _TABLE.sub(lambda match: result_table(*match.groups()), markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Show names that docstrings mark for Sphinx as plain code."""
    return _ROLE.sub(r"<code>\1</code>", html)
