"""Choices by name: upsamplers, debiasing methods, feature sources and the like, each one line in a table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Generic, TypeVar

from fijibridge.core.errors import SettingsError

T = TypeVar("T")


class Registry(Generic[T]):
    """Things by name, imported when one is asked for: a help text needs the names alone.

    Parameters
    ----------
    what : str
        What is chosen, for messages: ``"upsampler"``.
    table : dict
        Name -> (help in a few words, where it stands: ``"module:attribute"``).
    """

    def __init__(self, what: str, table: dict[str, tuple[str, str]]) -> None:
        self.what = what
        self._help = {name: text for name, (text, _) in table.items()}
        self._where: dict[str, Any] = {name: where for name, (_, where) in table.items()}

    def __getitem__(self, name: str) -> T:
        if name not in self._where:
            raise SettingsError(
                f"{self.what} {name!r}", expected=f"one of {', '.join(self._where)}", remedy="check the spelling"
            )
        found = self._where[name]
        if isinstance(found, str):
            module, _, attribute = found.partition(":")
            found = self._where[name] = getattr(import_module(module), attribute)
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._where

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._where))

    def __len__(self) -> int:
        return len(self._where)

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in the table's order."""
        return tuple(self._where)

    def descriptions(self) -> dict[str, str]:
        """Each name with its help in a few words, as an option's choices are shown."""
        return dict(self._help)

    def add(self, name: str, thing: T, help: str = "") -> T:
        """Register a further choice.

        Parameters
        ----------
        name : str
        thing : object
        help : str
            A few words for users.

        Returns
        -------
        object
            The thing itself.

        Raises
        ------
        SettingsError
            The name is taken.
        """
        if name in self._where:
            raise SettingsError(f"a second {self.what} {name!r}", expected="a name of its own", remedy="choose another")
        self._where[name], self._help[name] = thing, help
        return thing

    @contextmanager
    def added(self, name: str, thing: T, help: str = "") -> Iterator[None]:
        """A further choice for a while, as in tests; see :meth:`add` for the parameters.

        Parameters
        ----------
        name : str
        thing : object
        help : str
        """
        self.add(name, thing, help)
        try:
            yield
        finally:
            del self._where[name], self._help[name]
