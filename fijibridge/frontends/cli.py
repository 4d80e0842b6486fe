"""The command line: each operation of the catalogue becomes a command, its signature the options."""

from __future__ import annotations

import inspect
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, get_type_hints

import typer
from typer.core import TyperCommand

from fijibridge import __version__
from fijibridge.core.ending import INTERRUPTED, TERMINATED, tell_when_interrupted, wait_if_ending
from fijibridge.core.errors import BridgeError
from fijibridge.core.params import GROUPS, Param, param_of, without_none
from fijibridge.core.progress import reported, terminal
from fijibridge.frontends.arguments import kind_of, parameters_of
from fijibridge.frontends.cli_fiji import BAD_INPUT, COMMANDS
from fijibridge.frontends.process import run as run  # what the shell starts
from fijibridge.operations import CATALOGUE, operation, summary_of

INCOMPLETE = 3  # results of all inputs but some, which the report names
_BASIC, _GENERAL = "Basic options", "Command line"


class _GroupedCommand(TyperCommand):
    """A command whose help shows basic options first, then the others group by group.

    typer itself shows groups through rich alone, whose import would take half of the time of a ``--help``.
    """

    def format_options(self, ctx: Any, formatter: Any) -> None:
        parameters = parameters_of(str(self.callback.__name__)) if self.callback else {}
        sections: dict[str, list[tuple[str, str]]] = {name: [] for name in ("Arguments", _BASIC, *GROUPS, _GENERAL)}
        for option in self.get_params(ctx):
            _, param, _ = parameters.get(option.name or "", (None, None, None))
            if param is not None:  # with the choices of a registry, which is read for this help alone
                setattr(option, "help", _help_of(param))  # noqa: B010 - typer's options and arguments have it
            if (record := option.get_help_record(ctx)) is None:
                continue
            if option.param_type_name == "argument":
                sections["Arguments"].append(record)
            else:
                sections[getattr(option, "rich_help_panel", None) or _GENERAL].append(record)
        for name, records in sections.items():
            if records:
                with formatter.section(name):
                    formatter.write_dl(records)


def _help_of(param: Param) -> str:
    return param.description + (f" [{param.unit}]" if param.unit else "")


def _option(annotation: Any, parameter: inspect.Parameter) -> Any:
    """typer's annotation of an operation's parameter."""
    plain, param = param_of(annotation)
    param = param or Param("")
    settings: dict[str, Any] = {"help": param.help}
    if without_none(plain) in (int, float):
        settings |= {"min": param.low, "max": param.high}
    if kind_of(plain) == "paths" and not param.positional:
        settings["metavar"] = "<path>..."
    if parameter.default is None or parameter.default == "":
        settings["show_default"] = False
    if param.positional:
        return Annotated[plain, typer.Argument(**settings)]
    settings["rich_help_panel"] = _BASIC if param.level == "basic" else param.group or _GENERAL
    return Annotated[plain, typer.Option(**settings)]


def _command(name: str) -> Callable[..., None]:
    """A typer command that calls the operation, shows progress and prints what came out."""
    function = operation(name)
    shown = name.replace("_", "-")
    hints = get_type_hints(function, include_extras=True)
    signature = inspect.signature(function)
    parameters = [
        parameter.replace(annotation=_option(hints[parameter.name], parameter), kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in signature.parameters.values()
    ]
    quiet = Annotated[bool, typer.Option("--quiet", "-q", help="no progress, no summary")]
    verbose = Annotated[bool, typer.Option("--verbose", "-v", help="log what is being done")]
    parameters += [
        inspect.Parameter("quiet", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=quiet),
        inspect.Parameter("verbose", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=verbose),
    ]

    kept = "nothing was written"
    if name in ("segment", "apply"):
        kept = "nothing was written but what --resume goes on from, of a stack"
    elif "resume" in hints:
        kept = "--resume continues from what was kept"
    interrupted = f"fijibridge {shown}: interrupted; {kept}"

    def command(**values: Any) -> None:
        tell_when_interrupted(interrupted)
        silent, loud = values.pop("quiet"), values.pop("verbose")
        logging.basicConfig(level=logging.WARNING, format="%(message)s", force=True)
        logging.getLogger("fijibridge").setLevel(logging.INFO if loud else logging.WARNING)  # not all libraries' news
        try:
            if silent:
                report = function(**values)
            else:
                with reported(terminal):
                    report = function(**values)
        except BridgeError as error:
            wait_if_ending()
            print(f"fijibridge {shown}: {error}", file=sys.stderr)
            raise typer.Exit(BAD_INPUT) from None
        except (KeyboardInterrupt, ImportError) as error:
            if not isinstance(_ending(error), KeyboardInterrupt):
                raise
            print(interrupted, file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from None
        if not silent:
            _say("\n".join(summary_of(name, report)))
        if not report.get("healthy", True):
            raise typer.Exit(1)
        if report.get("failed"):
            raise typer.Exit(INCOMPLETE)

    command.__name__ = name
    command.__doc__ = (function.__doc__ or "").split("\n\n    Returns")[0]
    command.__signature__ = signature.replace(parameters=parameters, return_annotation=None)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def _say(text: str) -> None:
    """Print; where nothing can be printed to, such as a full disk, that is told: the result is there."""
    try:
        print(text, flush=True)
    except OSError as error:
        print(f"the summary cannot be printed ({error.strerror})", file=sys.stderr)
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - until the end of the process


def _version(wanted: bool) -> None:
    if wanted:
        print(f"fijibridge {__version__}")
        raise typer.Exit


def app() -> typer.Typer:
    """The typer application, made from the catalogue."""
    made = typer.Typer(
        name="fijibridge",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )

    @made.callback()
    def root(
        version: Annotated[
            bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version and exit")
        ] = False,
    ) -> None:
        """Vision-transformer features and interchangeable random forests for Trainable Weka Segmentation."""

    for name in CATALOGUE:
        made.command(name.replace("_", "-"), cls=_GroupedCommand)(_command(name))
    for name, command in COMMANDS.items():
        made.command(name)(command)
    return made


@contextmanager
def _tidy_end() -> Iterator[None]:
    """Let SIGTERM, which a cluster sends when the time is up, leave nothing half written, as Ctrl-C does."""

    def end(*_: Any) -> None:
        raise SystemExit(TERMINATED)

    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if ours:
        signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def repeated(argv: list[str]) -> list[str]:
    """``--slices A B`` as ``--slices A --slices B``: an option of several files takes all that follow it."""
    name = argv[0].replace("-", "_") if argv else ""
    if name not in CATALOGUE:
        return argv
    several = {
        f"--{key.replace('_', '-')}"
        for key, (plain, param, _) in parameters_of(name).items()
        if kind_of(plain) == "paths" and not param.positional
    }
    found: list[str] = []
    option = ""
    fresh = False  # the option's own name stands just before
    for word in argv:
        if word.startswith("-"):
            option, fresh = (word if word in several else ""), True
        elif option and not fresh:
            found.append(option)
        else:
            fresh = False
        found.append(word)
    return found


def main(argv: list[str] | None = None) -> int:
    """Run the command line.

    The exit status is 0, 1 (doctor: something is missing), 2 (bad input), 3 (some inputs failed, the results of the
    others are there), 129 (SIGHUP), 130 (Ctrl-C) or 143 (SIGTERM).
    """
    try:
        with _tidy_end():
            app()(args=repeated(sys.argv[1:] if argv is None else argv), prog_name="fijibridge")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else BAD_INPUT
    except KeyboardInterrupt:
        return INTERRUPTED
    except ImportError as error:
        if not isinstance(_ending(error), SystemExit):
            raise
        return TERMINATED
    return 0


def _ending(error: BaseException | None) -> BaseException | None:
    """The end that was asked for, where it fell into the import of a compiled module, which makes an error of it."""
    while error is not None and not isinstance(error, (KeyboardInterrupt, SystemExit)):
        error = error.__cause__ or error.__context__
    return error
