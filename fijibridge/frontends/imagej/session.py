"""What ``fijibridge.start`` gives a script: the running ImageJ or Fiji, and TWS sessions and macros in it."""

from __future__ import annotations

import os
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fijibridge.core.errors import ImageNotFoundError, MacroError

if TYPE_CHECKING:
    from fijibridge.jvm import Gateway
    from fijibridge.tws import TrainableSegmentation

_interpreter = threading.Lock()  # ImageJ's macro interpreter keeps its state in static fields
_EXIT = re.compile(r"\bexit\s*\(\s*[^)\s]")  # with a message


@dataclass(frozen=True)
class Fiji:
    """A running ImageJ: the embedded default, or the user's own Fiji.

    Parameters
    ----------
    gateway : Gateway
        The JVM.
    """

    gateway: Gateway

    @property
    def ij(self) -> Any:
        """pyimagej's gateway where a Fiji was asked for, else None."""
        return self.gateway.ij

    def trainable_segmentation(
        self, image: Any, features: Any = "default", labels: Any = None, **settings: Any
    ) -> TrainableSegmentation:
        """A Trainable Weka Segmentation session on features made in Python; needs a Fiji.

        Parameters
        ----------
        image, features, labels, **settings
            As for `fijibridge.tws.TrainableSegmentation`, with the same errors.

        Returns
        -------
        TrainableSegmentation
            Not trained yet: ``session.train().predict()``.
        """
        from fijibridge.tws import TrainableSegmentation

        return TrainableSegmentation(image, features, labels, **settings)

    def run_macro(self, macro: str | os.PathLike[str], argument: str = "") -> str | None:
        """Run an ImageJ macro to its end.

        Parameters
        ----------
        macro : str or path
            Code; or an ``.ijm`` or ``.txt`` file, as a path or as its name. What it prints goes to standard output, or
            to the Log window of a Fiji with ``gui=True``, where ImageJ also shows errors in a dialog of its own. It may
            call the operations: ``run("fijibridge"); Ext.segment(image, labels, out, options);``, or by the functions
            of the macro library, such as ``fbSegment``.
        argument : str
            What ``getArgument()`` gives in the macro.

        Returns
        -------
        str or None
            What the macro returns by ``return``; None without, or after ``exit;``.

        Raises
        ------
        ImageNotFoundError
            No such file.
        MacroError
            The macro failed, or stopped itself by ``exit("...")``; with ImageJ's message and the number of the line.
        """
        import jpype

        from fijibridge.frontends.imagej.macro_extension import register

        code, name = _code(macro)
        with _interpreter:
            extension = register(self.gateway)
            extension.failure = ""
            interpreter, IJ = self.gateway.jclass("ij.macro.Interpreter")(), self.gateway.jclass("ij.IJ")
            IJ.getErrorMessage()  # forgets that of an earlier macro
            failure = None
            try:
                answer = interpreter.run(code, argument)
            except jpype.JException as error:
                failure, answer = str(error.getMessage()), None
            message = interpreter.getErrorMessage()
            line = _line_of_end(interpreter, code, message is not None)
            logged = IJ.getErrorMessage()
        if failure is not None and message is None and not extension.failure and logged is not None:
            extension.failure = str(logged)  # a command that the macro ran stopped it
        if extension.failure:
            found, expected, remedy = _parts(extension.failure)
            raise MacroError(f"{name} failed in line {line}: {found}", expected=expected, remedy=remedy)
        if message is not None:
            raise MacroError(
                f"{name} failed in line {line}: {' '.join(str(message).split())}",
                expected="a macro that runs to its end",
                remedy="correct that line; commands and options are those that ImageJ's macro recorder writes",
            )
        if failure is not None and failure != "Macro canceled":
            raise MacroError(
                f"{name} failed near line {line}: {failure}",
                expected="a macro that runs to its end",
                remedy="look at that line",
            )
        if failure is not None and _EXIT.search(stopped := "".join(code.splitlines()[line - 1 : line])):
            raise MacroError(
                f"{name} stopped itself in line {line}: {stopped.strip()}",
                expected="a macro that runs to its end",
                remedy="see its message for the reason",
            )
        return None if answer is None else str(answer)


def _code(macro: str | os.PathLike[str]) -> tuple[str, str]:
    """The macro's code, and its name for messages."""
    if isinstance(macro, str) and ("\n" in macro or not macro.lower().endswith((".ijm", ".txt"))):
        return macro, "the macro"
    path = Path(macro)
    if not path.is_file():
        raise ImageNotFoundError(f"no macro {path}", expected="an .ijm file", remedy="check the path and its spelling")
    return path.read_text(encoding="utf-8"), str(path)


def _line_of_end(interpreter: Any, code: str, is_error: bool) -> int:
    """The line where a macro ended; in a function of the macro library, which follows it, the line of its call."""
    import jpype

    def value(name: str) -> Any:
        field = interpreter.getClass().getDeclaredField(name)
        field.setAccessible(True)
        return field.get(interpreter)

    line = int(interpreter.getLineNumber())
    try:
        if is_error:  # of an error, getLineNumber gives the line that would have come next
            line = int(value("lineNumber"))
        depth, calls = int(value("callDepth")), value("callStack")
    except jpype.JException:  # an ImageJ of another time
        return line
    last = len(code.splitlines())
    called_from = [int(calls[k]) for k in reversed(range(depth))] if calls is not None else []
    return next((number for number in [line, *called_from] if number <= last), line)


def _parts(text: str) -> tuple[str, str, str]:
    """Found, expected and remedy of an error's text."""
    found, _, rest = text.partition("\n  expected: ")
    expected, _, remedy = rest.partition("\n  remedy: ")
    return found.strip(), expected or "a call that succeeds", remedy or "look at that line"


def start(*, heap: str | None = None, fiji: str | os.PathLike[str] | None = None, gui: bool = False) -> Fiji:
    """Start the embedded ImageJ with Weka, or a Fiji of your own; or return the one that runs.

    Parameters
    ----------
    heap, fiji, gui
        As for `fijibridge.jvm.start`, with the same errors.

    Returns
    -------
    Fiji
    """
    from fijibridge.jvm import start as start_jvm

    return Fiji(start_jvm(heap=heap, fiji=fiji, gui=gui))
