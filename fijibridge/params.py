"""One description of a parameter, read by every door: help, range and unit stand in the type annotation."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from fijibridge.errors import SettingsError


@dataclass(frozen=True)
class Param:
    """What a person needs to know of a parameter; stands in ``Annotated[type, Param(...)]``.

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
        What a path is, for doors that can ask ImageJ: ``"image"`` and ``"labels"`` may be open there, ``"classifier"``
        and ``"file"`` are chosen on the disk, ``"out"`` is the folder for the results. Empty for all but paths.
    """

    help: str
    low: float | None = None
    high: float | None = None
    unit: str = ""
    positional: bool = False
    role: Literal["", "image", "labels", "classifier", "file", "out"] = ""

    @property
    def range(self) -> str:
        """The range in words, with its unit."""
        low, high = ("" if bound is None else f"{bound:g}" for bound in (self.low, self.high))
        words = f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}" if high else ""
        return f"{words} {self.unit}".strip()


def param_of(annotation: Any) -> tuple[Any, Param | None]:
    """The plain type of an annotation and its Param, if it has one."""
    if get_origin(annotation) is Annotated:
        plain, *extras = get_args(annotation)
        return plain, next((extra for extra in extras if isinstance(extra, Param)), None)
    return annotation, None


# what may stand where an annotation says so: NumPy's numbers are numbers too
_KINDS: dict[Any, Any] = {str: str, int: Integral, float: Real}


def check(owner: Any, values: dict[str, Any]) -> None:
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
        if get_origin(plain) is Literal:
            if value not in get_args(plain):
                choices = ", ".join(map(str, get_args(plain)))
                raise SettingsError(f"{name} = {value!r}", expected=f"one of {choices}", remedy="check the spelling")
        elif (kind := _KINDS.get(plain)) and (isinstance(value, bool) or not isinstance(value, kind)):
            raise SettingsError(
                f"{name} = {value!r}", expected=f"{plain.__name__}", remedy=f"give {name} as {plain.__name__}"
            )
        elif param is not None and isinstance(value, (int, float)) and not isinstance(value, bool):
            below = param.low is not None and not value >= param.low
            above = param.high is not None and not value <= param.high
            if below or above:
                raise SettingsError(f"{name} = {value}", expected=param.range, remedy=f"choose {name} in that range")
