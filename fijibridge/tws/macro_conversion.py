"""Macros that call TWS, rewritten so that they call fijibridge: no window of TWS is needed."""

from __future__ import annotations

import re
from dataclasses import dataclass

# The methods that TWS's macro recorder writes, and how many texts each takes.
CALLS = {
    "addTrace": 2,
    "applyClassifier": 6,
    "changeClassColor": 2,
    "changeClassName": 2,
    "createNewClass": 1,
    "deleteTrace": 3,
    "getProbability": 0,
    "getResult": 0,
    "launchWeka": 0,
    "loadClassifier": 1,
    "loadData": 1,
    "plotResultGraphs": 0,
    "saveClassifier": 1,
    "saveData": 1,
    "saveFeatureStack": 2,
    "setClassBalance": 1,
    "setClassHomogenization": 1,
    "setClassifier": 2,
    "setFeature": 1,
    "setMaximumSigma": 1,
    "setMembranePatchSize": 1,
    "setMembraneThickness": 1,
    "setMinimumSigma": 1,
    "setOpacity": 1,
    "toggleOverlay": 0,
    "trainClassifier": 0,
}
INCLUDE = "// include FijiBridge.ijm"
_CALL = re.compile(r"""call\s*\(\s*(["'])trainableSegmentation\.Weka_Segmentation\.(\w+)\1\s*""")
_OPEN = re.compile(r"""run\s*\(\s*(["'])Trainable Weka Segmentation\1\s*(?:,\s*(["'])[^"']*\2\s*)?\)""")
_SELECT = re.compile(r"""(?:selectWindow|selectImage)\s*\(\s*(["'])Trainable Weka Segmentation[^"']*\1\s*\)""")
_LEFT = re.compile(r"trainableSegmentation|Trainable Weka Segmentation")


@dataclass(frozen=True)
class Converted:
    """A macro that calls fijibridge.

    Parameters
    ----------
    text : str
    converted : int
        Calls that were rewritten.
    left : list of (int, str, str)
        Lines of the old macro that stayed as they are, though they need TWS: number, text, why.
    """

    text: str
    converted: int
    left: list[tuple[int, str, str]]


def function_of(call: str) -> str:
    """The macro library's function of a call: ``addTrace`` as ``fbWekaAddTrace``."""
    return f"fbWeka{call[0].upper()}{call[1:]}"


def convert(text: str) -> Converted:
    """Rewrite the calls of TWS in a macro.

    Parameters
    ----------
    text : str
        A macro in ImageJ's language.

    Returns
    -------
    Converted
    """
    end = "\r\n" if "\r\n" in text else "\n"
    lines, left, count = [], [], 0
    for number, line in enumerate(text.split(end), start=1):
        code, comment = _code_of(line)
        changed, places, why = _converted(code)
        count += places
        if why or _LEFT.search(_without_names(changed)):
            left.append((number, line.strip(), why or "no function of fijibridge does this"))
        lines.append(changed + comment)
    if count:
        first = lines[0].strip()
        if first.startswith("// include ") and first != INCLUDE:
            left.append((1, first, f"ImageJ includes one file: put it into the macro, and begin with {INCLUDE}"))
        elif first != INCLUDE:
            lines.insert(0, INCLUDE)
    return Converted(end.join(lines), count, left)


def _code_of(line: str) -> tuple[str, str]:
    """A line's code, and the comment at its end."""
    quote = ""
    for place, sign in enumerate(line):
        if quote:
            quote = "" if sign == quote and line[place - 1] != "\\" else quote
        elif sign in "\"'":
            quote = sign
        elif line.startswith("//", place):
            return line[:place], line[place:]
    return line, ""


def _converted(code: str) -> tuple[str, int, str]:
    """The line, how many calls were rewritten, and why one was not."""
    code, opened = _OPEN.subn("fbWekaOpen()", code)
    code, chosen = _SELECT.subn("fbWekaSelect()", code)
    count, place, why = opened + chosen, 0, ""
    while match := _CALL.search(code, place):
        name, place = match[2], match.end()
        if name not in CALLS:
            why = f"TWS's {name} is none of the calls that its recorder writes"
            continue
        arguments = _arguments(code, place)
        if arguments is None:
            why = "the call does not end in this line"
            continue
        inside, stop = arguments
        if len(inside) != CALLS[name]:
            why = f"{name} takes {CALLS[name]} values, and not {len(inside)}"
            continue
        call = f"{function_of(name)}({', '.join(inside)})"
        code = code[: match.start()] + call + code[stop:]
        place = match.start() + len(function_of(name)) + 1  # further calls may stand inside
        count += 1
    return code, count, why


def _arguments(code: str, start: int) -> tuple[list[str], int] | None:
    """What follows a call's name up to its closing bracket, and the place after that; None where it does not close."""
    found, part, depth, quote = [], "", 0, ""
    for place in range(start, len(code)):
        sign = code[place]
        if quote:
            quote = "" if sign == quote and code[place - 1] != "\\" else quote
        elif sign in "\"'":
            quote = sign
        elif sign in "([":
            depth += 1
        elif sign == ")" and depth == 0:
            found.append(part.strip())
            return found[1:], place + 1
        elif sign in ")]":
            depth -= 1
        elif sign == "," and depth == 0:
            found.append(part.strip())
            part = ""
            continue
        part += sign
    return None


def _without_names(code: str) -> str:
    """The code without what only tells a person something."""
    return re.sub(r"\b(?:print|showMessage|showStatus|waitForUser|exit)\s*\(.*", "", code)
