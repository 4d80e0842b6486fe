"""Names that files and people give to classes, phases and features: what they must not hold, and how they are shown."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from fijibridge.core.errors import BridgeError, LabelsError

LONGEST = 120  # characters
LONGEST_FEATURE = 1000  # features have the names that another program gave them
MOST = 65535  # names in a list: more than any image has features
_SHOWN = 6
_SEPARATORS = ("Zl", "Zp")  # ends of lines


def flaw(name: object, longest: int = LONGEST) -> str:
    """What makes a name unusable, in a few words; empty where nothing does.

    A name is text of one line, 1 to 120 characters, without control characters: it stands in reports of one value a
    line, in CSV files and in ImageJ's options, none of which it may break out of.

    Parameters
    ----------
    name : object
        Of a class, a phase, a feature.
    longest : int
        Characters.
    """
    if not isinstance(name, str):
        return "is no text"
    if not name.strip():
        return "is empty"
    if len(name) > longest:
        return f"has {len(name)} characters"
    for sign in name:
        kind = unicodedata.category(sign)
        if kind == "Cs":
            return "has half a character (a lone surrogate)"
        if kind in ("Cc", "Cf", *_SEPARATORS):  # Cf: signs that turn the direction of text, or that nobody sees
            return f"has the control character U+{ord(sign):04X}"
    return ""


def shown(name: object) -> str:
    """A name for a message: in quotes, escaped, and cut where it is long.

    Parameters
    ----------
    name : object
        Whatever was found where a name should stand.
    """
    text = ascii(name) if isinstance(name, str) and flaw(name) else repr(name)
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]}..."


def listed(names: Iterable[object]) -> str:
    """The first names of a list, and how many there are, for a message.

    Parameters
    ----------
    names : iterable
        Of any length.
    """
    every = [str(name) if not flaw(str(name)) else shown(name) for name in names]
    return ", ".join(every[:_SHOWN]) + (f", ... ({len(every)})" if len(every) > _SHOWN else "")


def check_names(
    names: Sequence[object], what: str = "class", *, error: type[BridgeError] = LabelsError, where: object = "",
    longest: int = LONGEST,
) -> None:  # fmt: skip
    """Refuse names that could break out of what they are written into.

    Parameters
    ----------
    names : sequence
        As a file or a person gives them.
    what : str
        What they name, for the message.
    error : type
        What to raise.
    where : object
        The file they come from, for the message.
    longest : int
        Characters of a name.

    Raises
    ------
    BridgeError
        Of the type ``error``.
    """
    place = f"{where}: " if where else ""
    if len(names) > MOST:
        raise error(f"{place}{len(names)} names of {what}", expected=f"at most {MOST}", remedy="check what wrote them")
    for name in names:
        if why := flaw(name, longest):
            raise error(
                f"{place}the {what} name {shown(name)} {why}",
                expected=f"one line of 1 to {longest} characters, none of them a control character",
                remedy=f"rename the {what}",
            )
