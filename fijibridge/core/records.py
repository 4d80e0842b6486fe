"""JSON and TOML files as untrusted input: size, depth, every number and every text are bounded before any is used."""

from __future__ import annotations

import json
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from fijibridge.core.errors import BridgeError, ImageNotFoundError, ModelFileError, SettingsError
from fijibridge.core.params import check, param_of

LARGEST = 2**25  # bytes of a file: the confusion matrix and feature names of the largest classifier take some of them
LARGEST_TOML = 2**20  # characters of a configuration
_LONGEST_LINE = 10_000
DEEPEST = 40  # nested lists and tables
_HIGHEST = 1e15  # of a number, either sign: integers up to it are exact as float64
_DIGITS = 20
_LONGEST = 2**20  # characters of a text

Made = TypeVar("Made")

_KINDS: dict[Any, Any] = {
    int: int, float: (int, float), str: str, bool: bool, dict: Mapping, Mapping: Mapping,
}  # fmt: skip


class _Unusable(ValueError):
    """What is wrong, in words; becomes the caller's error."""


def read_json(path: Path, *, error: type[BridgeError] = ModelFileError) -> dict[str, Any]:
    """The JSON object in a file.

    Parameters
    ----------
    path : Path
        A file of this program's, which others may have changed.
    error : type
        What to raise.

    Returns
    -------
    dict
        Every number in it is finite and below 1e15, every text free of lone surrogates.

    Raises
    ------
    BridgeError
        Of the type ``error``: it cannot be read, or is no such object.
    """
    try:
        if not path.is_file():
            raise _Unusable("it is no file")
        size = path.stat().st_size
        if size > LARGEST:
            raise _Unusable(f"it has {size} bytes, {LARGEST} at most are expected")
        return parse_json(path.read_bytes())
    except (OSError, ValueError) as reason:
        raise error(
            f"{path} cannot be read ({reason})",
            expected="a JSON object as fijibridge wrote it",
            remedy="copy it again from its source, or make it anew",
        ) from reason


def parse_json(data: bytes | str) -> dict[str, Any]:
    """The JSON object in a text; see :func:`read_json`.

    Parameters
    ----------
    data : bytes or str

    Raises
    ------
    ValueError
        No such object, in words.
    """
    if isinstance(data, bytes):
        data = data.decode("utf-8")
    try:
        found = json.loads(data, parse_int=_integer, parse_constant=_constant, object_pairs_hook=_table)
    except RecursionError:
        raise _Unusable("it is nested too deeply") from None
    if not isinstance(found, dict):
        raise _Unusable("it is no JSON object")
    check_values(found)
    return found


def parse_toml(text: str, where: object) -> dict[str, Any]:
    """The table in a TOML text.

    Parameters
    ----------
    text : str
    where : object
        The file, for messages.

    Raises
    ------
    SettingsError
        No TOML, too large, nested too deeply, or a value beyond what any setting may have.
    """
    import tomllib

    try:
        if len(text) > LARGEST_TOML:
            raise _Unusable(f"it has more than {LARGEST_TOML} characters")
        if (longest := max(map(len, text.splitlines()), default=0)) > _LONGEST_LINE:  # tomllib is slow at many dots
            raise _Unusable(f"a line of {longest} characters")
        found = tomllib.loads(text)
        check_values(found)
    except (ValueError, RecursionError) as error:  # of tomllib, and of int() for thousands of digits
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]
        raise SettingsError(
            f"{where} is not valid TOML ({why})", expected="key = value lines under [sections]", remedy="correct it"
        ) from error
    return found


def read_toml(path: Path) -> dict[str, Any]:
    """The table in a TOML file; see :func:`parse_toml`.

    Parameters
    ----------
    path : Path

    Raises
    ------
    ImageNotFoundError
        No such file.
    SettingsError
        As of :func:`parse_toml`.
    """
    try:
        if path.exists() and not path.is_file():
            raise OSError("it is no file")
        with path.open("rb") as file:
            text = file.read(LARGEST_TOML + 1).decode("utf-8")
    except (OSError, ValueError) as error:  # a name with NUL is a ValueError
        raise ImageNotFoundError(
            f"{path} cannot be read ({error})", expected="a TOML file", remedy="check the path"
        ) from error
    return parse_toml(text, path)


def _integer(text: str) -> int:
    if len(text) > _DIGITS:
        raise _Unusable(f"a number of {len(text)} digits")
    return int(text)


def _constant(text: str) -> float:
    raise _Unusable(f"{text}, which is no number")


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Unusable("a name that is given twice")
    return found


def check_values(found: Any) -> None:
    """See that nested plain values are bounded.

    Parameters
    ----------
    found : dict, list, str, number, bool or None
        As JSON or TOML give them.

    Raises
    ------
    ValueError
        In words what is not.
    """
    level: list[Any] = [found]
    for _ in range(DEEPEST):
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below += value.keys()
                below += value.values()
            elif isinstance(value, list):
                below += value
            else:
                _check_value(value)
        if not below:
            return
        level = below
    raise _Unusable(f"it is nested more than {DEEPEST} deep")


def _check_value(value: Any) -> None:
    if isinstance(value, str):
        if len(value) > _LONGEST:
            raise _Unusable(f"a text of {len(value)} characters")
        if not value.isascii() and any("\ud800" <= sign <= "\udfff" for sign in value):
            raise _Unusable("a text with half a character (a lone surrogate)")
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        if not -_HIGHEST <= value <= _HIGHEST:  # NaN is not, either
            raise _Unusable(f"the number {str(value)[:_DIGITS]}, beyond any that is used")
    elif value is not None and not isinstance(value, bool):
        raise _Unusable(f"{value}, which is neither a number nor a text")  # TOML has dates


# --- records of a dataclass ------------------------------------------------------------------------------------------


def made(kind: type[Made], values: object, what: str, *, error: type[BridgeError] = ModelFileError) -> Made:
    """A dataclass of the values of a file: their names, types and ranges are those that it declares.

    Parameters
    ----------
    kind : type
        A dataclass whose fields are annotated with plain types, ``Literal``, tuples of them and `Param`.
    values : object
        A mapping, if all is well.
    what : str
        What the values are, for messages.
    error : type
        What to raise.

    Raises
    ------
    BridgeError
        Of the type ``error``: a name that is unknown or missing, a value of another type or outside its range.
    """
    try:
        return _made(kind, values)
    except (ValueError, TypeError, OverflowError) as reason:  # a BridgeError of the class itself is a ValueError
        found = reason.found if isinstance(reason, BridgeError) else str(reason)
        expected = reason.expected if isinstance(reason, BridgeError) else "the values that fijibridge wrote"
        raise error(f"{what}: {found}", expected=expected, remedy="correct it, or make the file anew") from reason


def _made(kind: type[Made], values: object) -> Made:
    if not isinstance(values, Mapping):
        raise _Unusable(f"{_brief(values)} in place of named values")
    assert is_dataclass(kind)
    known = {one.name: one for one in fields(kind) if one.init}
    if unknown := [name for name in values if name not in known]:
        raise _Unusable(f"{_brief(unknown[0])}, which is none of {', '.join(known)}")
    needed = [name for name, one in known.items() if one.default is MISSING and one.default_factory is MISSING]
    if missing := [name for name in needed if name not in values]:
        raise _Unusable(f"no {missing[0]}")
    hints = get_type_hints(kind, include_extras=True)
    taken = {name: _taken(hints[name], value, name) for name, value in values.items()}
    check(kind, taken)
    return kind(**taken)


def _taken(annotation: Any, value: Any, name: str) -> Any:
    """A value as its annotation wants it: a list of JSON's is a tuple where that is wanted."""
    plain, _ = param_of(annotation)
    origin, inner = get_origin(plain), get_args(plain)
    if plain is Any:
        return value
    if origin in (Union, types.UnionType):
        if value is None and type(None) in inner:
            return None
        return _taken(next(one for one in inner if one is not type(None)), value, name)
    if origin is tuple and isinstance(value, Sequence) and not isinstance(value, str):
        kinds = inner[:1] * len(value) if inner[1:] == (...,) else inner
        if len(kinds) == len(value):
            return tuple(_taken(one, item, name) for one, item in zip(kinds, value, strict=True))
    elif origin is Literal:
        if any(value == one and type(value) is type(one) for one in inner):
            return value
    elif isinstance(plain, type) and is_dataclass(plain):
        return _made(plain, value)
    elif isinstance(value, _KINDS.get(origin or plain, ())) and (plain is bool or not isinstance(value, bool)):
        return value
    wanted = " or ".join(map(repr, inner)) if origin is Literal else getattr(plain, "__name__", str(plain))
    raise _Unusable(f"{name} = {_brief(value)}, which should be {wanted}")


def _brief(value: object) -> str:
    text = ascii(value)
    return text if len(text) < 60 else f"{text[:60]}..."


def texts(values: object, what: str) -> tuple[str, ...]:
    """A list of texts from a file.

    Parameters
    ----------
    values : object
        A list of text, if all is well.
    what : str
        What they are, for the message.

    Raises
    ------
    ValueError
        No such list, in words.
    """
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise _Unusable(f"{what} = {_brief(values)}, which should be a list of names")
    return tuple(values)


def number(value: object, what: str, low: float, high: float) -> float:
    """A number from a file, between two bounds.

    Parameters
    ----------
    value : object
        A number, if all is well.
    what : str
        What it is, for the message.
    low, high : float
        Inclusive.

    Raises
    ------
    ValueError
        No such number, in words.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise _Unusable(f"{what} = {_brief(value)}, which should be a number of {low:g} to {high:g}")
    return float(value)
