"""Macro library and menu commands, written from the signatures of the catalogue's operations."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, get_args

import fijibridge
from fijibridge.doors.arguments import kind_of, parameters_of
from fijibridge.errors import ServiceError
from fijibridge.operations import CATALOGUE, operation
from fijibridge.params import Param

LIBRARY = "FijiBridge.ijm"
COMMANDS = "commands"
_SEAM = '// --- written by "fijibridge macros" from the catalogue of operations ---\n'
_SHORT = ("bool", "choice", "int", "float")
_WIDTHS = {"path": 40, "paths": 40, "text": 16}


def macros_folder() -> Path:
    """The folder ``macros``: of the installed package, or of the source it runs from."""
    package = Path(fijibridge.__file__).parent
    for folder in (package / "macros", package.parent / "macros"):
        if (folder / LIBRARY).is_file():
            return folder
    raise ServiceError(
        f"no macros beside {package}", expected=f"macros/{LIBRARY}", remedy="install fijibridge again with pip"
    )


def camel(name: str) -> str:
    """``import_classifier`` as ``ImportClassifier``."""
    return "".join(part.capitalize() for part in name.split("_"))


# where the verb alone says too little in a menu
_TITLES = {"reconstruct": "Reconstruct 3D", "superresolve": "Superresolve 3D"}


def command_name(name: str) -> str:
    """An operation's name in the menu: ``FB Import Classifier``."""
    return "FB " + _TITLES.get(name, " ".join(part.capitalize() for part in name.split("_")))


def placed(name: str) -> tuple[list[str], list[str]]:
    """An operation's parameters as a macro function has them: those given by place, and the options.

    By place: what has no default, and the folder ``out``.
    """
    parameters = parameters_of(name)
    places = [
        key
        for key, (_, param, parameter) in parameters.items()
        if parameter.default is parameter.empty or param.role == "out"
    ]
    return places, [key for key in parameters if key not in places]


def generated(library: str) -> dict[str, str]:
    """The texts of ``macros/`` that follow from the catalogue.

    Parameters
    ----------
    library : str
        The present text of the library; what a person wrote in it, above the seam, stays.

    Returns
    -------
    dict
        Path below ``macros`` -> text.
    """
    head, seam, _ = library.partition(_SEAM)
    if not seam:
        raise ServiceError(
            f"{LIBRARY} without the line that begins its generated part", expected=_SEAM.strip(), remedy="restore it"
        )
    texts = {LIBRARY: head + seam + "".join(_function(name) for name in CATALOGUE)}
    for name in CATALOGUE:
        texts[f"{COMMANDS}/{command_name(name).replace(' ', '_')}.ijm"] = _command(name)
    return texts


def differences(folder: Path) -> list[str]:
    """The files below ``macros`` that do not agree with the catalogue."""
    texts = generated((folder / LIBRARY).read_text(encoding="utf-8"))
    wrong = [
        path
        for path, text in texts.items()
        if not (folder / path).is_file() or (folder / path).read_text(encoding="utf-8") != text
    ]
    there = {f"{COMMANDS}/{path.name}" for path in (folder / COMMANDS).glob("*.ijm")}
    return sorted({*wrong, *(there - set(texts))})


def write(folder: Path) -> list[str]:
    """Make ``macros`` agree with the catalogue; the files that changed."""
    changed = differences(folder)
    texts = generated((folder / LIBRARY).read_text(encoding="utf-8"))
    (folder / COMMANDS).mkdir(exist_ok=True)
    for path in changed:
        if path in texts:
            (folder / path).write_text(texts[path], encoding="utf-8", newline="\n")
        else:
            (folder / path).unlink()
    return changed


def _summary(name: str) -> str:
    return inspect.getdoc(operation(name)).partition("\n")[0]  # type: ignore[union-attr]


def _value(key: str, param: Param, value: str) -> str:
    """The macro's expression for a parameter's value: what may be open in ImageJ becomes a file."""
    if param.role in ("image", "labels"):
        value = f"{'fbImage' if param.role == 'image' else 'fbLabels'}({value}, id)"
    return f'fbPair("{key}", {value})'


def _function(name: str) -> str:
    """The library's function of an operation."""
    parameters = parameters_of(name)
    places, options = placed(name)
    lines = ["", f"// {_summary(name)}"]
    lines += [f"//   {key}: {parameters[key][1].help}" for key in places]
    if options:
        lines.append(f"//   options: {', '.join(options)}")
    lines.append(f"function fb{camel(name)}({', '.join([*places, 'options'])}) {{")
    lines.append("    id = fbBegin();")
    pairs = [_value(key, parameters[key][1], key) for key in places]
    # ImageJ takes what begins with a function's call for a number
    joined = ' + ", "\n        + '.join(pairs)
    lines.append(f'    arguments = "" + {joined};' if pairs else '    arguments = "";')
    lines.append(f'    return "" + fbCall("{name}", id, arguments, options);')
    lines.append("}")
    return "\n".join(lines) + "\n"


def _command(name: str) -> str:
    """The menu command of an operation: a dialog, which ``run("FB ...", options)`` fills in without showing it."""
    title = command_name(name)
    fields, values, help_rows = [], [], []
    beside = False  # short fields stand two to a row: a dialog of thirty must fit on a laptop's screen
    for key, (plain, param, parameter) in parameters_of(name).items():
        if param.role == "image":  # the active one, unless the command's options name another
            values.append(_value(key, param, f'fbOption(given, "{key}")'))
            continue
        field, value = _field(key, plain, param, parameter.default)
        kind = kind_of(plain)
        if beside and (kind in _SHORT or kind == "text"):
            fields.append("Dialog.addToSameRow();")
            beside = False
        else:  # beside a longer field on its left the next would stand outside the dialog
            beside = kind in _SHORT
        fields.append(field)
        values.append(_value(key, param, value))
        explained = param.help + (f" ({param.range})" if param.range else "")
        help_rows.append(f"<b>{key.replace('_', ' ')}</b>: {explained}")
    lines = ["// include FijiBridge.ijm", f'// {_summary(name)} Written by "fijibridge macros"; changes are lost.']
    lines.append(f'Dialog.create("{title}");')
    lines += fields
    if fields:
        lines.append('Dialog.addCheckbox("Show", true);')
        help_text = f"<html><h3>{title}</h3>{_summary(name)}<br><br>" + "<br>".join(help_rows)
        lines.append(f"Dialog.addHelp({_quoted(help_text)});")
        lines.append("Dialog.show();")
    first = f'"" + {values[0]}' if values else '""'
    lines += ["given = fbGiven();", "id = fbBegin();", f"arguments = {first};"]
    lines += [f'arguments = arguments + ", " + {value};' for value in values[1:]]
    if fields:
        lines += ["if (Dialog.getCheckbox())", '    given = given + " show";']
    lines.append(f'result = fbCall("{name}", id, arguments, given + " on_error=return");')
    lines += ["if (fbFailed(result))", "    fbFail(substring(result, 6));"]
    if "out" not in parameters_of(name):  # what it found is all there is
        lines.append("print(result);")
    return "\n".join(lines) + "\n"


def _field(key: str, plain: Any, param: Param, default: Any) -> tuple[str, str]:
    """A dialog's field, and the expression that reads it."""
    label = _quoted(key.capitalize())
    empty = default is inspect.Parameter.empty or default in (None, ())
    kind = kind_of(plain)
    if kind == "bool":
        return f"Dialog.addCheckbox({label}, {'true' if default is True else 'false'});", "Dialog.getCheckbox()"
    if kind == "choice":
        choices = ", ".join(_quoted(str(choice)) for choice in get_args(plain))
        return f"Dialog.addChoice({label}, newArray({choices}), {_quoted(str(default))});", "Dialog.getChoice()"
    if kind in ("int", "float"):  # as text: what is no number is told by the operation, in the same words everywhere
        label = _quoted(f"{key.capitalize()} ({param.unit})" if param.unit else key.capitalize())
        return f'Dialog.addString({label}, "{default:g}", 7);', "Dialog.getString()"
    text = '""' if empty else _quoted(str(default))
    if param.role == "labels":
        return f"fbAddPath({label}, fbDefaultLabels(), false);", "Dialog.getString()"
    if param.role == "out":
        return f'fbAddPath({label}, "", true);', "Dialog.getString()"
    if param.role in ("classifier", "file"):
        return f"fbAddPath({label}, {text}, {'true' if param.role == 'classifier' else 'false'});", "Dialog.getString()"
    return f"Dialog.addString({label}, {text}, {_WIDTHS.get(kind, 16)});", "Dialog.getString()"


def _quoted(text: str) -> str:
    """A text as a macro's string; macro files are read as ISO 8859-1."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    assert escaped.isascii(), f"a help text with letters that ImageJ reads wrongly: {text!r}"
    return f'"{escaped}"'
