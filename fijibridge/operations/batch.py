"""Work on several inputs, of which one may be bad: the others keep their results, and the bad one is named."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fijibridge.core.errors import BridgeError, OutputError

log = logging.getLogger(__name__)


class Batch:
    """The inputs that failed, for the report's ``failed``; with entries there the command line ends with status 3.

    Parameters
    ----------
    count : int
        Of the inputs; an error about the only one is raised.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.failed: list[dict[str, str]] = []
        self._first: BridgeError | None = None

    @contextmanager
    def each(self, name: object, folder: Path | None = None, errors: type[BridgeError] = BridgeError) -> Iterator[None]:
        """Within the ``with`` one input is worked on: an error about it is noted, and what it wrote is removed.

        Parameters
        ----------
        name : object
            Of the input, for a person.
        folder : Path, optional
            Where it writes to.
        errors : type
            That are about the input; others are raised.

        Raises
        ------
        OutputError
            A place that cannot be written to, which has nothing to do with the input.
        BridgeError
            Of the only input.
        """
        before = set(folder.iterdir()) if folder else set()
        try:
            yield
        except OutputError:
            raise
        except errors as error:
            if self.count == 1:
                raise
            for path in set(folder.iterdir()) - before if folder else ():
                path.unlink()
            log.warning("%s is left out: %s", name, error)
            self.failed.append({"image": str(name), "error": " ".join(str(error).split())})
            self._first = self._first or error

    def check(self) -> None:
        """Raise the first error, if there was one: for a batch of which nothing is left."""
        if self._first is not None:
            raise self._first
