"""The declaration of an option, read by every front end: help, range, unit, level and group stand in its annotation."""

from __future__ import annotations

import difflib
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from fijibridge.core.errors import SettingsError

Group = Literal[
    "",
    "Input",
    "Output",
    "Features",
    "Forest",
    "Network",
    "Training",
    "Clean-up",
    "Measurement",
    "Simulation",
    "3D volume",
    "Computation",
]
GROUPS: tuple[str, ...] = get_args(Group)[1:]  # in the order in which front ends show them


@dataclass(frozen=True)
class Param:
    """What a person needs to know of an option; stands in ``Annotated[type, Param(...)]``.

    Parameters
    ----------
    help : str
        One sentence.
    low, high : float, optional
        Inclusive range.
    unit : str
        ``"px"``, ``"%"``, ...; empty for a pure number.
    positional : bool
        On the command line given by place, not by name.
    role : str
        What a path is, for front ends that can ask ImageJ: ``"image"`` and ``"labels"`` may be open there,
        ``"classifier"`` and ``"file"`` are chosen on the disk, ``"out"`` is the folder for the results. Empty for all
        but paths.
    level : {"basic", "advanced"}
        Basic options are shown first, and alone in a short dialog: at most eight an operation.
    group : str
        One of `GROUPS`; empty for settings that no operation shows.
    choices : callable, optional
        Returns the names that may be given, each with a few words of help (which may be empty). It reads a registry, so
        that what is registered later is offered too.
    several : bool
        Several of the choices may be given, separated by commas.
    abbreviated : bool
        The beginning of a choice serves where no other begins so, in capitals or not: see :func:`completed`.
    file_suffix : str
        A file with this suffix may be given in place of choices.
    from_preset : bool
        An option left out (None) has the value of the preset.
    """

    help: str
    low: float | None = None
    high: float | None = None
    unit: str = ""
    positional: bool = False
    role: Literal["", "image", "labels", "classifier", "file", "out"] = ""
    level: Literal["basic", "advanced"] = "advanced"
    group: Group = ""
    choices: Callable[[], Mapping[str, str]] | None = None
    several: bool = False
    abbreviated: bool = False
    file_suffix: str = ""
    from_preset: bool = False

    @property
    def range(self) -> str:
        """The range in words, with its unit."""
        low, high = ("" if bound is None else f"{bound:.10g}" for bound in (self.low, self.high))
        words = f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}" if high else ""
        return f"{words} {self.unit}".strip()

    @property
    def description(self) -> str:
        """The help, the choices that a registry holds, and the preset's part."""
        text = self.help
        if self.choices is not None:
            offered = self.choices()
            explained = "; ".join(f"{name}: {words}" for name, words in offered.items() if words)
            plain = ", ".join(name for name, words in offered.items() if not words)
            text += "".join(f"; {part}" for part in (explained, plain) if part)
        return f"{text}; default: the preset's" if self.from_preset else text


def param_of(annotation: Any) -> tuple[Any, Param | None]:
    """The plain type of an annotation and its Param, if it has one."""
    if get_origin(annotation) in (Union, types.UnionType):  # Optional may stand around it
        annotated = [part for part in get_args(annotation) if get_origin(part) is Annotated]
        annotation = annotated[0] if annotated else annotation
    if get_origin(annotation) is Annotated:
        plain, *extras = get_args(annotation)
        return plain, next((extra for extra in extras if isinstance(extra, Param)), None)
    return annotation, None


def without_none(plain: Any) -> Any:
    """``float`` of ``float | None``; other types as they are."""
    if get_origin(plain) in (Union, types.UnionType):
        parts = [part for part in get_args(plain) if part is not type(None)]
        return parts[0] if len(parts) == 1 else plain
    return plain


# what may stand where an annotation says so: NumPy's numbers are numbers too
_KINDS: dict[Any, Any] = {str: str, int: Integral, float: Real}


def check(owner: Any, values: Mapping[str, Any]) -> None:
    """Check values against the ranges and choices in ``owner``'s annotations.

    Parameters
    ----------
    owner : class or function
        Annotated with `Param` and ``Literal``.
    values : dict
        By parameter name; names that ``owner`` does not annotate are passed over.

    Raises
    ------
    SettingsError
        A value outside its range or choices.
    """
    for name, annotation in get_type_hints(owner, include_extras=True).items():
        if name not in values:
            continue
        plain, param = param_of(annotation)
        value = values[name]
        if value is None and without_none(plain) is not plain:
            continue
        _check_type(name, value, without_none(plain))
        if param is not None:
            _check_choice(name, value, param)
            _check_range(name, value, param)


def _check_type(name: str, value: Any, plain: Any) -> None:
    if get_origin(plain) is Literal:
        if value not in get_args(plain):
            choices = ", ".join(map(str, get_args(plain)))
            raise SettingsError(f"{name} = {value!r}", expected=f"one of {choices}", remedy="check the spelling")
    elif (kind := _KINDS.get(plain)) and (isinstance(value, bool) or not isinstance(value, kind)):
        text = plain is str and isinstance(value, (Real, tuple, list)) and not isinstance(value, bool)
        quoted = ",".join(map(str, value)) if isinstance(value, (tuple, list)) else value
        raise SettingsError(
            f"{name} = {value!r}",
            expected=plain.__name__,
            remedy=f'give {name}="{quoted}"' if text else f"give {name} as {plain.__name__}",
        )


def _check_choice(name: str, value: Any, param: Param) -> None:
    if param.choices is None or not isinstance(value, str):
        return
    if param.file_suffix and value.lower().endswith(param.file_suffix):
        return
    offered = param.choices()
    given = names_in(value) if param.several else [value]
    wrong = [part for part in given if part not in offered and not (param.abbreviated and completed(part, offered))]
    if wrong:
        close = difflib.get_close_matches(wrong[0], offered, 1)
        raise SettingsError(
            f"{name} = {wrong[0]!r}",
            expected=f"{'some' if param.several else 'one'} of {', '.join(offered)}",
            remedy=f"did you mean {close[0]}?" if close else "check the spelling",
        )


def completed(name: str, offered: Iterable[str]) -> str:
    """The choice that a name means: itself, or the only one that begins so; empty where none or several do.

    Parameters
    ----------
    name : str
        In any case, with spaces or underscores.
    offered : iterable of str
        The choices.
    """
    start = name.strip().replace(" ", "_").casefold()
    found = [one for one in offered if one.casefold().startswith(start)] if start else []
    exact = [one for one in found if one.casefold() == start]
    return exact[0] if exact else found[0] if len(found) == 1 else ""


def _check_range(name: str, value: Any, param: Param) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    below = param.low is not None and not value >= param.low
    above = param.high is not None and not value <= param.high
    if below or above:
        raise SettingsError(f"{name} = {value}", expected=param.range, remedy=f"choose {name} in that range")


def names_in(text: str) -> list[str]:
    """Names separated by commas; none in an empty text."""
    return [part.strip() for part in text.split(",") if part.strip()]
