"""Macro library and menu commands, generated from the signatures of the catalogue's operations.

For developers, after a change of an operation::

    python -m fijibridge.frontends.imagej.macro_generator          # writes macros/ anew
    python -m fijibridge.frontends.imagej.macro_generator --check  # only lists the files that differ
"""

from __future__ import annotations

import argparse
import inspect
import sys
from pathlib import Path
from typing import Any, get_args

import fijibridge
from fijibridge.core.errors import BridgeError, OutputError, ServiceError
from fijibridge.core.params import Param, without_none
from fijibridge.frontends.arguments import PRESET, kind_of, parameters_of
from fijibridge.operations import CATALOGUE, operation, title_of

LIBRARY = "FijiBridge.ijm"
_WEKA = "FijiBridge_Weka.ijm"  # its second part: the functions for macros that called TWS
COMMANDS = "commands"
_SEAM = "// --- generated from the catalogue of operations: fijibridge.frontends.imagej.macro_generator ---\n"
_MORE = "More_options"
_WHERE_DEFAULTS = "on the last page"
_PASSING = ("out", "out_model", "overwrite", "page", "preview", "roi", "slices")
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


def library_text() -> str:
    """The whole library, as it is installed: ImageJ's macros include one file."""
    folder = macros_folder()
    return "".join((folder / name).read_text(encoding="utf-8") for name in (LIBRARY, _WEKA))


def camel(name: str) -> str:
    """``import_classifier`` as ``ImportClassifier``."""
    return "".join(part.capitalize() for part in name.split("_"))


def command_name(name: str) -> str:
    """An operation's name in the menu: ``FB Import Classifier``."""
    return f"FB {title_of(name)}"


def placed(name: str) -> tuple[list[str], list[str]]:
    """An operation's parameters as a macro function has them: those given by place, and the options.

    By place: what has no default, the folder ``out``, and images and labels, whose titles the library makes files of.
    """
    parameters = parameters_of(name)
    places = [
        key
        for key, (_, param, parameter) in parameters.items()
        if parameter.default is parameter.empty or param.positional or param.role == "out" or key == "labels"
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
    """Make ``macros`` agree with the catalogue; the files that changed.

    Raises
    ------
    OutputError
        The folder of an installed package.
    """
    if folder == Path(fijibridge.__file__).parent / "macros":
        raise OutputError(
            f"{folder} belongs to an installed package",
            expected="macros/ of the source tree",
            remedy="run it in a clone that is installed with pip install -e",
        )
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
    return (inspect.getdoc(operation(name)) or "").partition("\n")[0]


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


def on_first_page(name: str) -> list[str]:
    """The options on the first page of an operation's dialog; `_MORE` leads to the others.

    The image is the active one, and what is replaced is asked for beside the other details.
    """
    parameters = parameters_of(name)
    basic = [key for key, (_, param, _) in parameters.items() if param.level == "basic" and param.role != "image"]
    return [key for key in basic if key != "overwrite"]


def is_passing(name: str, key: str) -> bool:
    """Whether an option belongs to one image or run, so that a dialog does not remember it.

    Parameters
    ----------
    name : str
        The operation.
    key : str
        The option.
    """
    return key in _PASSING or parameters_of(name)[key][1].role == "labels"


def _command(name: str) -> str:
    """The menu command of an operation: a dialog, or with ``run("FB ...", options)`` the options alone.

    A dialog shows what it was last left with, unless "Defaults" is ticked: that empties it and asks again. A macro's
    call has the defaults in all that it does not give, whatever a dialog was left with.
    """
    title, parameters = command_name(name), parameters_of(name)
    first = on_first_page(name)
    further = [key for key, (_, param, _) in parameters.items() if param.role != "image" and key not in first]
    asked = [*first, *further]
    images = [key for key, (_, param, _) in parameters.items() if param.role == "image"]
    from_imagej = [key for key, (_, param, _) in parameters.items() if param.role in ("image", "labels")]
    lines = ["// include FijiBridge.ijm", f"// {_summary(name)} Generated: changes are lost."]
    lines += ["given = fbGiven();", "asks = fbAsks(given);", "if (asks) {"]
    lines += [f"    {line}" for line in _dialogs(name, title, first, further)]
    lines += ["}", "id = fbBegin();", 'arguments = "";']
    values = {key: f'fbOption(given, "{key}")' for key in parameters}
    lines += [f"arguments = fbJoined(arguments, {_value(key, parameters[key][1], values[key])});" for key in images]
    typed = [(key, _value(key, parameters[key][1], f"v_{key}")) for key in asked]
    lines.append("if (asks) {")
    lines += [f"    arguments = fbJoined(arguments, {pair});" for key, pair in typed if key in first]
    if further:
        lines.append("    if (v_more) {")
        lines += [f"        arguments = fbJoined(arguments, {pair});" for key, pair in typed if key in further]
        lines.append("    }")
    lines += ["    if (v_show)", '        given = "show";']
    given = [key for key in from_imagej if key not in images]
    lines.append("} else {")
    if further:  # recorded by earlier versions
        lines.append(f'    given = replace(given, "(?<![^ ]){_MORE.lower()}(?![^ ])", "");')
    for key in given:  # the others go with the options
        value = _value(key, parameters[key][1], f'fbLastValue(given, "{key}", fbDefaultLabels())')
        lines.append(f"    arguments = fbJoined(arguments, {value});")
    lines.append("}")
    lines.append(f'result = fbCall("{name}", id, arguments, given + " on_error=return");')
    lines += ["if (fbFailed(result))", "    fbFail(substring(result, 6));"]
    if "out" not in parameters:  # what it found is all there is
        lines.append("print(result);")
    return "\n".join(lines) + "\n"


def _dialogs(name: str, title: str, first: list[str], further: list[str]) -> list[str]:
    """What asks for the options, page by page, remembers them and has them recorded."""
    parameters = parameters_of(name)
    defaults = 'Dialog.addCheckbox("Defaults", false);'
    back = ["v_defaults = Dialog.getCheckbox();", "if (v_defaults)", f'    fbRemember("{name}", "");']
    lines = [
        f'records = fbRecorder("{title}");',
        "do {",
        f'    last = fbLast("{name}");',
        f'    Dialog.create("{title}");',
    ]
    page = [*_page(name, first), 'fbAddCheckbox("Show", last, "show", "true");']
    answers = [*_answers(name, first), "v_show = Dialog.getCheckbox();"]
    if further:
        page.append(f'fbAddCheckbox("{_MORE}", last, "more_options", "false");')
        answers += ["v_more = Dialog.getCheckbox();", "v_defaults = false;"]
    else:
        page.append(defaults)
        answers += back
    lines += [f"    {line}" for line in (*page, _help(name, first), "Dialog.show();", *answers)]
    if further:
        second = [f'Dialog.create("{title}: more options");', *_page(name, further), defaults, _help(name, further)]
        lines.append("    if (v_more) {")
        lines += [f"        {line}" for line in (*second, "Dialog.show();", *_answers(name, further), *back)]
        lines.append("    }")
    lines.append("} while (v_defaults);")

    def chosen(into: str, key: str) -> str:
        plain, param, parameter = parameters[key]
        value = f"fbTruth(v_{key})" if kind_of(plain) == "bool" else f"v_{key}"
        return f'{into} = fbChosen({into}, "{key}", {value}, {_default_text(plain, param, parameter.default)});'

    lines += ['once = "";', 'chosen = "";']
    lines += [chosen("once" if is_passing(name, key) else "chosen", key) for key in first]
    if further:
        lines.append("if (v_more) {")
        lines += [f"    {chosen('once' if is_passing(name, key) else 'chosen', key)}" for key in further]
        lines.append("}")
    lines += [
        "kept = chosen;",
        'shown = "";',
        "if (v_show)",
        '    shown = "show";',
        "else",
        '    kept = kept + "show=false ";',
    ]
    lines += ["if (v_more)", '    kept = kept + "more_options";'] if further else []
    return [*lines, f'fbRemember("{name}", kept);', "if (records)", f'    fbRecord("{title}", once + chosen + shown);']


def _rows(name: str, keys: list[str]) -> list[list[str]]:
    """A page's fields in rows of one or two, so that it fits on a laptop's screen.

    A file has a row of its own; of two beside each other the left one is short, else the right one would stand outside
    of the dialog.
    """
    parameters = parameters_of(name)
    paths = {key for key in keys if parameters[key][1].role in ("labels", "out", "classifier", "file")}
    # texts with a unit are one or two numbers
    short = {key for key in keys if kind_of(parameters[key][0]) in _SHORT or parameters[key][1].unit} - paths
    wide = {key for key in keys if kind_of(parameters[key][0]) in ("path", "paths")} | paths
    rest, rows = list(keys), []
    while rest:
        key = rest.pop(0)
        fits = (one for one in rest if one not in wide and (key in short or one in short))
        partner = None if key in wide else next(fits, None)
        if partner is None:
            rows.append([key])
        else:
            rest.remove(partner)
            rows.append([key, partner] if key in short else [partner, key])
    return rows


def _page(name: str, keys: list[str]) -> list[str]:
    """The fields of a dialog's page."""
    parameters, lines = parameters_of(name), []
    for row in _rows(name, keys):
        for place, key in enumerate(row):
            plain, param, parameter = parameters[key]
            lines += ["Dialog.addToSameRow();"] if place else []
            lines.append(_field(key, plain, param, parameter.default)[0])
    return lines


def _answers(name: str, keys: list[str]) -> list[str]:
    """What reads the fields of a page, in their order."""
    parameters = parameters_of(name)
    found = {key: parameters[key] for row in _rows(name, keys) for key in row}
    return [f"v_{key} = {_field(key, plain, param, one.default)[1]};" for key, (plain, param, one) in found.items()]


def _help(name: str, keys: list[str]) -> str:
    """The help of a page: what each of its options does."""
    rows = []
    for key in keys:
        param = parameters_of(name)[key][1]
        explained = param.description + (f" ({param.range})" if param.range else "")
        rows.append(f"<b>{key.replace('_', ' ')}</b>: {explained}")
    rows.append(f"<br>The fields are as you left them last time; <b>Defaults</b>, {_WHERE_DEFAULTS}, empties them.")
    text = f"<html><h3>{command_name(name)}</h3>{_summary(name)}<br><br>" + "<br>".join(rows)
    return f"Dialog.addHelp({_quoted(text)});"


def _default_text(plain: Any, param: Param, default: Any) -> str:
    """The default of a field as a macro's text; a number field's has all digits that matter."""
    if kind_of(plain) == "bool":
        return '"true"' if default is True else '"false"'
    if _choices(plain, param):
        return _quoted(PRESET if default is None else str(default))
    if default is inspect.Parameter.empty or default is None:
        return '""'
    return f'"{default:.10g}"' if kind_of(plain) in ("int", "float") else _quoted(str(default))


def _field(key: str, plain: Any, param: Param, default: Any) -> tuple[str, str]:
    """A dialog's field, and the expression that reads it."""
    label = _quoted(key.capitalize())
    text, kind = _default_text(plain, param, default), kind_of(plain)
    if kind == "bool":
        return f'fbAddCheckbox({label}, last, "{key}", {text});', "Dialog.getCheckbox()"
    if choices := _choices(plain, param):
        quoted = ", ".join(map(_quoted, choices))
        return f'fbAddChoice({label}, last, "{key}", newArray({quoted}), {text});', "Dialog.getChoice()"
    if kind in ("int", "float"):  # as text: the operation refuses what is no number, in the same words everywhere
        label = _quoted(f"{key.capitalize()} ({param.unit})" if param.unit else key.capitalize())
        return f'fbAddString({label}, last, "{key}", {text}, 7);', "Dialog.getString()"
    if param.role == "labels":
        return f'fbAddPath({label}, last, "{key}", fbDefaultLabels(), false);', "Dialog.getString()"
    if param.role == "out":
        return f'fbAddPath({label}, last, "{key}", "", true);', "Dialog.getString()"
    if param.role in ("classifier", "file"):
        folder = "true" if param.role == "classifier" else "false"
        return f'fbAddPath({label}, last, "{key}", {text}, {folder});', "Dialog.getString()"
    width = 7 if param.unit else _WIDTHS.get(kind, 16)
    return f'fbAddString({label}, last, "{key}", {text}, {width});', "Dialog.getString()"


def _choices(plain: Any, param: Param) -> list[str]:
    """The names that an option may have; none where it is free, or several may be given."""
    if kind_of(plain) == "choice":
        return [str(choice) for choice in get_args(without_none(plain))]
    if param.choices is None or param.several:
        return []
    return [*([PRESET] if param.from_preset else []), *param.choices()]


def _quoted(text: str) -> str:
    """A text as a macro's string; macro files are read as ISO 8859-1."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    assert escaped.isascii(), f"a help text with letters that ImageJ reads wrongly: {text!r}"
    return f'"{escaped}"'


def main(argv: list[str] | None = None) -> int:
    """Write ``macros`` anew, or list what differs; status 1 if something does."""
    parser = argparse.ArgumentParser(prog="python -m fijibridge.frontends.imagej.macro_generator")
    parser.add_argument("--check", action="store_true", help="only list the files that differ")
    check = parser.parse_args(argv).check
    try:
        folder = macros_folder()
        changed = differences(folder) if check else write(folder)
    except BridgeError as error:
        print(error, file=sys.stderr)
        return 2
    for path in changed:
        print(f"{'differs' if check else 'written'}: {folder / path}")
    return 1 if check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
