"""Reference pages of the operations, from the catalogue and the functions' signatures: there is no other list."""

from __future__ import annotations

import inspect
from typing import Any, get_args

import typer.main

from fijibridge.core.params import GROUPS, Param, without_none
from fijibridge.frontends.arguments import kind_of, parameters_of
from fijibridge.frontends.cli_fiji import COMMANDS
from fijibridge.frontends.imagej.macro_generator import camel, command_name, placed
from fijibridge.operations import CATALOGUE, operation


def operation_pages() -> dict[str, str]:
    """Path -> Markdown: an overview, a page an operation, and the commands that are no operations."""
    pages = {"reference/operations/index.md": _overview()}
    pages |= {f"reference/operations/{name.replace('_', '-')}.md": _page(name) for name in CATALOGUE}
    pages["reference/operations/other-commands.md"] = _other_commands()
    return pages


def _overview() -> str:
    lines = [
        "# Operations",
        "",
        "Every front end calls the same operations: the shell, menu commands, macros, Python. This list and the pages",
        "of each are made from the functions themselves.",
        "",
        "| shell | menu command | macro function | |",
        "|---|---|---|---|",
    ]
    for name in CATALOGUE:
        shell = name.replace("_", "-")
        about = _sections(name)[0]
        lines.append(f"| [`{shell}`]({shell}.md) | {command_name(name)} | `fb{camel(name)}` | {about} |")
    return "\n".join(lines) + "\n"


def _sections(name: str) -> list[str]:
    """The docstring before its numpydoc sections, by paragraphs."""
    text = (inspect.getdoc(operation(name)) or "").split("\n\nReturns\n")[0].split("\n\nParameters\n")[0]
    return [paragraph.replace("\n", " ") for paragraph in text.split("\n\n")]


def _page(name: str) -> str:
    shell = name.replace("_", "-")
    parameters = parameters_of(name)
    summary, *about = _sections(name)
    places, _ = placed(name)
    required = [f"--{_dashed(key)} {key.upper()}" for key, (_, param, own) in parameters.items()
                if own.default is own.empty and not param.positional]  # fmt: skip
    given = [key.upper() + ("..." if kind_of(plain) == "paths" else "")
             for key, (plain, param, _) in parameters.items() if param.positional]  # fmt: skip
    lines = [f"# {shell}", "", summary, "", "```text", " ".join(["fijibridge", shell, *given, *required, "[OPTIONS]"])]
    lines += ["```", "", "```javascript", f'run("{command_name(name)}", "key=value key=[value with spaces]");']
    lines += [f"result = fb{camel(name)}({', '.join([*places, 'options'])});   // include FijiBridge.ijm", "```", ""]
    lines += ["```{.python .no-test}", "from fijibridge.operations import operation", ""]
    lines += [f'report = operation("{name}")(...)  # the same names', "```", ""]
    for paragraph in about:
        lines += [paragraph, ""]
    for title, rows in _tables(parameters).items():
        lines += [title, "", "| shell | macro | default | values | |", "|---|---|---|---|---|", *rows, ""]
    return "\n".join(lines)


def _tables(parameters: dict[str, tuple[Any, Param, inspect.Parameter]]) -> dict[str, list[str]]:
    """Heading -> rows: the basic parameters, required ones first; then the advanced ones by group."""
    tables: dict[str, list[str]] = {"## Basic": []}
    ordered = sorted(parameters.items(), key=lambda one: one[1][2].default is not one[1][2].empty)
    for key, (plain, param, own) in ordered:
        shell = f"`{key.upper()}`" if param.positional else f"`--{_dashed(key)}`"
        if kind_of(plain) == "bool":
            shell += f", `--no-{_dashed(key)}`"
        default = "*required*" if own.default is own.empty else _default(own.default, param)
        row = f"| {shell} | `{key}` | {default} | {_values(plain, param)} | {_escaped(param.help)} |"
        required = own.default is own.empty
        tables.setdefault("## Basic" if required or param.level == "basic" else f"### {param.group}", []).append(row)
    order = ["## Basic", *(f"### {group}" for group in GROUPS)]
    found = {title: tables[title] for title in order if title in tables}
    basic = {"## Basic": found.pop("## Basic")} if "## Basic" in found else {}
    if found:  # the first group stands below a heading of its own
        first = next(iter(found))
        basic[f"## Advanced\n\n{first}"] = found.pop(first)
    return {**basic, **found}


def _dashed(key: str) -> str:
    return key.replace("_", "-")


def _default(value: Any, param: Param) -> str:
    if param.from_preset and value is None:
        return "the preset's"
    if value in (None, "", ()):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _values(plain: Any, param: Param) -> str:
    kind = kind_of(plain)
    if param.choices is not None:
        offered = param.choices()
        words = "; ".join(f"`{name}`: {_escaped(about)}" if about else f"`{name}`" for name, about in offered.items())
        return f"{words}; several, with commas" if param.several else words
    if kind == "choice":
        return ", ".join(f"`{choice}`" for choice in get_args(without_none(plain)))
    words = {"bool": "true, false", "int": "whole number", "float": "number", "path": "file or folder",
             "paths": "files or folders", "text": "text"}[kind]  # fmt: skip
    if param.role == "out":
        words = "folder"
    if kind in ("int", "float") and param.range:
        return f"{words}, {param.range}"
    return f"{words}, {param.unit}" if param.unit else words


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def _other_commands() -> str:
    """The commands of the shell that are no operations, from typer's own declarations."""
    app = typer.Typer()
    for name, function in COMMANDS.items():
        app.command(name)(function)
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    lines = ["# Other commands of the shell", ""]
    for name, command in commands.items():
        lines += [f"## {name}", "", (command.help or "").strip(), "", "| | default | |", "|---|---|---|"]
        for parameter in command.params:
            shown = parameter.opts[0] if parameter.param_type_name == "option" else (parameter.name or "").upper()
            default = _default(parameter.default, Param("")) if not callable(parameter.default) else ""
            lines.append(f"| `{shown}` | {default} | {_escaped(getattr(parameter, 'help', '') or '')} |")
        lines.append("")
    return "\n".join(lines)
