"""Between macros and operations: text becomes typed arguments, a report becomes lines of text."""

from __future__ import annotations

import difflib
import inspect
import math
import re
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from fijibridge.core.errors import SettingsError
from fijibridge.core.params import Param, param_of, without_none
from fijibridge.operations import operation

# key=value, key=[value with spaces], or a key alone, as in ImageJ's run("Command", "...")
_OPTION = re.compile(r"\s*([A-Za-z_]\w*)(?:=(?:\[([^\]]*)\]|(?!\[)(\S*)))?(?=\s|$)")
_MACRO_WORDS = ("show", "on_error")  # what the macro library does with the answer: no option of an operation
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_CONTROL_AND_SPACE = re.compile(rf"\s*{_CONTROL.pattern}\s*")
PRESET = "preset"  # the choice that leaves an option to the preset
_TRUE, _FALSE = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}


@cache
def parameters_of(name: str) -> dict[str, tuple[Any, Param, inspect.Parameter]]:
    """An operation's parameters: name -> (plain type, Param, inspect's parameter)."""
    function = operation(name)
    hints = get_type_hints(function, include_extras=True)
    found = {}
    for key, parameter in inspect.signature(function).parameters.items():
        plain, param = param_of(hints[key])
        found[key] = (plain, param or Param(""), parameter)
    return found


def kind_of(plain: Any) -> str:
    """A plain type in a word: "bool", "int", "float", "choice", "path", "paths" or "text"; None besides counts not."""
    plain = without_none(plain)
    if get_origin(plain) is Literal:
        return "choice"
    if plain is Path or Path in get_args(plain):
        return "paths" if get_origin(plain) is list else "path"
    return {bool: "bool", int: "int", float: "float"}.get(plain, "text")


def parse_options(text: str) -> dict[str, str]:
    """The options of ``run("Command", "key=value key=[a value] flag")``; a flag's value is ``"true"``.

    Raises
    ------
    SettingsError
        Text that is no such list.
    """
    found: dict[str, str] = {}
    place, text = 0, text.rstrip()
    while place < len(text):
        match = _OPTION.match(text, place)
        if match is None:
            raise SettingsError(
                f"options {_short(text)!r}, not understood from {text[place : place + 40].strip()!r} on",
                expected="key=value pairs with a space between, values with spaces in brackets",
                remedy='for example "engine=weka classes=[ISE, CAM, pore]"',
            )
        key, bracketed, plain = match.groups()
        if key.lower() in found and key.lower() not in _MACRO_WORDS:
            raise SettingsError(
                f"options {_short(text)!r}, with {_short(key)!r} twice",
                expected="each option once; no ] inside of a value in brackets",
                remedy="give a file whose name holds ] by place, as in fbSegment(image, labels, out, options)",
            )
        found[key.lower()] = bracketed if bracketed is not None else plain if plain is not None else "true"
        place = match.end()
    return found


def _short(text: str, length: int = 200) -> str:
    return text if len(text) <= length else f"{text[:length]}..."


def arguments_of(name: str, values: dict[str, Any], options: str = "") -> dict[str, Any]:
    """Typed arguments of an operation from what a macro gave.

    Parameters
    ----------
    name : str
        The operation.
    values : dict
        Text, numbers or truth values by parameter name; an empty text stands for the default, and so does the word
        ``preset`` where that is the preset's value.
    options : str
        More of them, as `parse_options` reads them; they win, but for images and labels, which the macro has turned
        from titles into files. The macro library's own words ``show`` and ``on_error`` count not.

    Raises
    ------
    SettingsError
        An unknown operation or option, a value of the wrong type, one that is missing. Ranges are the operation's.
    """
    parameters = parameters_of(name)
    found: dict[str, Any] = {}
    given = {key: value for key, value in parse_options(options).items() if key not in _MACRO_WORDS}
    for key in given.keys() & values.keys():
        if key in parameters and parameters[key][1].role in ("image", "labels") and str(values[key]).strip():
            del given[key]
    for key, value in {**values, **given}.items():
        if key not in parameters:
            close = difflib.get_close_matches(_short(key), parameters, n=1)
            raise SettingsError(
                f"{name} has no option {_short(key)!r}",
                expected=", ".join(parameters),
                remedy=f"did you mean {close[0]}?" if close else "check the spelling",
            )
        plain, param, parameter = parameters[key]
        if value is None or (isinstance(value, str) and _means_default(value, param)):
            if parameter.default is parameter.empty:
                raise _missing(name, key, param)
            continue
        found[key] = _converted(key, value, plain)
    for key, (_, param, parameter) in parameters.items():
        if parameter.default is parameter.empty and key not in found:
            raise _missing(name, key, param)
    return found


def _means_default(text: str, param: Param) -> bool:
    return not text.strip() or (param.from_preset and text.strip().lower() == PRESET)


def _missing(name: str, key: str, param: Param) -> SettingsError:
    if param.role == "image":
        return SettingsError(
            f"{name}: no image is open in ImageJ, and none is named",
            expected="an open image, or a file's path",
            remedy="open the image first",
        )
    return SettingsError(f"{name} without {key}", expected=param.help, remedy=f"give {key}")


def _converted(key: str, value: Any, plain: Any) -> Any:
    kind = kind_of(plain)
    items = value if isinstance(value, (list, tuple)) and kind == "paths" else [value]
    for item in items:
        if not isinstance(item, (str, bool, int, float)):
            wanted = "paths" if kind == "paths" else "one value"
            raise SettingsError(
                f"{key} = {_short(repr(item))}", expected=f"text or numbers: {wanted}", remedy=f"give {key} as {wanted}"
            )
        lines = str(item).splitlines() if kind == "paths" and not isinstance(value, (list, tuple)) else [str(item)]
        if any(_CONTROL.search(line) for line in lines):
            raise SettingsError(
                f"{key} = {_short(_text(item))!r}, with a line break or a control character in it",
                expected="letters, digits, signs and spaces",
                remedy="rename the file" if kind in ("path", "paths") else f"write {key} without it",
            )
    text = str(value).strip()
    if kind == "path":
        return Path(text)
    if kind == "paths":
        items = items if isinstance(value, (list, tuple)) else _split(text)
        return [Path(str(item).strip()) for item in items if str(item).strip()]
    if kind == "bool":
        if text.lower() in _TRUE | _FALSE:
            return text.lower() in _TRUE
        text = _short(text, 60)
        raise SettingsError(f"{key} = {text}", expected="true or false", remedy=f"give {key}=true or {key}=false")
    if kind in ("int", "float"):
        try:
            number = float(text)
            if kind == "float" and math.isfinite(number):
                return number
            if kind == "int" and number == int(number):
                return int(number)
        except (ValueError, OverflowError):
            pass
        wanted = "a whole number" if kind == "int" else "a number"
        raise SettingsError(f"{key} = {_short(text, 60)}", expected=wanted, remedy=f"give {key} as {wanted}")
    return text


def _split(text: str) -> list[str]:
    """Paths one a line; or with semicolons between, unless such a file is there."""
    lines = text.splitlines()
    return text.split(";") if len(lines) == 1 and ";" in text and not Path(text).exists() else lines


def report_lines(report: dict[str, Any]) -> list[str]:
    """A report as ``key=value`` lines, nested keys joined by dots, for a macro's ``List.setList``.

    Paths have forward slashes, which ImageJ takes on every system. What keys and values hold of line breaks, tabs and
    other control characters becomes a space, and ``=`` in a key a ``-``: a name that came from a file is one line's
    part, and no line of its own.
    """
    lines: list[str] = []

    def put(key: str, value: Any) -> None:
        if isinstance(value, dict):
            for inner, item in value.items():
                name = one_line(str(inner)).replace("=", "-")
                put(f"{key}.{name}" if key else name, item)
        elif isinstance(value, (list, tuple)) and any(isinstance(item, (dict, list, tuple)) for item in value):
            for number, item in enumerate(value, start=1):
                put(f"{key}.{number}", item)
        else:
            text = ",".join(map(_text, value)) if isinstance(value, (list, tuple)) else _text(value)
            lines.append(f"{key}={text}")

    put("", report)
    return lines


def one_line(text: str) -> str:
    """A text without line breaks, tabs and other control characters.

    Parameters
    ----------
    text : str
        Anything.
    """
    return _CONTROL_AND_SPACE.sub(" ", text).strip()


def is_one_line(text: str) -> bool:
    """Whether a text can stand in a line of an answer as it is."""
    return _CONTROL.search(text) is None


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return one_line("" if value is None else value.as_posix() if isinstance(value, Path) else str(value))
