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

from fijibridge import __version__
from fijibridge.doors.arguments import kind_of, parameters_of
from fijibridge.doors.cli_fiji import BAD_INPUT, COMMANDS
from fijibridge.errors import BridgeError
from fijibridge.operations import CATALOGUE, operation
from fijibridge.params import Param, param_of
from fijibridge.progress import reported, terminal

INTERRUPTED = 130  # as shells count a process ended by Ctrl-C
TERMINATED = 143  # and one ended by SIGTERM
_PATIENCE_S = 8.0  # for the end after Ctrl-C


def _option(annotation: Any, parameter: inspect.Parameter) -> Any:
    """typer's annotation of an operation's parameter."""
    plain, param = param_of(annotation)
    param = param or Param("")
    settings: dict[str, Any] = {"help": param.help + (f" [{param.unit}]" if param.unit else "")}
    if plain in (int, float):
        settings |= {"min": param.low, "max": param.high}
    make = typer.Argument if param.positional else typer.Option
    if parameter.default is None:
        settings["show_default"] = False
    return Annotated[plain, make(**settings)]


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
    verbose = Annotated[bool, typer.Option("--verbose", "-v", help="tell what is being done")]
    parameters += [
        inspect.Parameter("quiet", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=quiet),
        inspect.Parameter("verbose", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=verbose),
    ]

    def command(**values: Any) -> None:
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
            print(f"fijibridge {shown}: {error}", file=sys.stderr)
            raise typer.Exit(BAD_INPUT) from None
        except (KeyboardInterrupt, ImportError) as error:
            if not isinstance(_ending(error), KeyboardInterrupt):
                raise
            kept = "--resume goes on from what was kept" if "resume" in hints else "nothing was written"
            print(f"fijibridge {shown}: interrupted; {kept}", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from None
        if not silent:
            print("\n".join(summary(report)))
        if not report.get("healthy", True):
            raise typer.Exit(1)

    command.__name__ = name
    command.__doc__ = (function.__doc__ or "").split("\n\n    Returns")[0]
    command.__signature__ = signature.replace(parameters=parameters, return_annotation=None)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def summary(report: dict[str, Any]) -> list[str]:
    """A report in a few lines, for a person."""
    lines = []
    for check in report.get("checks", []):
        lines.append(f"{check['state']:>8}  {check['name']}: {check['found']}")
        if check["remedy"]:
            lines.append(f"{'':>8}  -> {check['remedy']}")
    for file in report.get("files", [report] if "class_fractions" in report else []):
        parts = ", ".join(f"{name} {100 * share:.1f} %" for name, share in file["class_fractions"].items())
        lines.append(f"{file.get('volume') or file['image']}: {parts}")
    if report.get("oob_accuracy") is not None and report["operation"] != "apply":
        lines.append(f"out-of-bag accuracy at the labelled pixels: {100 * report['oob_accuracy']:.1f} %")
    if "mean_iou" in report:
        parts = ", ".join(f"{name} {value:.3f}" for name, value in report["iou"].items())
        lines.append(f"intersection over union with the truth: mean {report['mean_iou']:.3f} ({parts})")
    if "headline" in report:
        words = {"fraction_points": "phase fraction (points)", "two_point_percent": "two-point correlation (%)",
                 "surface_percent": "surface (%)", "axis_spread_percent": "spread between axes (%)"}  # fmt: skip
        if "agreement" in report:
            lines.append(f"agreement with the coarse volume: {100 * report['agreement']:.2f} % of its voxels")
            seen, added = (", ".join(report[key]) or "none" for key in ("phases_seen", "phases_added"))
            lines.append(f"phases seen in it: {seen}; added from the slices: {added}")
        lines.append("largest differences from the micrograph:")
        lines += [f"  {words.get(key, key)}: {value:.2f}" for key, value in report["headline"].items()]
    lines += [f"note: {note}" for note in report.get("notes", []) if "headline" in report]
    if "stages" in report:
        wall = sum(stage["wall_s"] for stage in report["stages"].values())
        cpu = sum(stage["cpu_s"] for stage in report["stages"].values())
        lines.append(f"{wall:.0f} s ({cpu:.0f} CPU s)")
    if "out" in report:
        lines.append(f"results: {report['out']}")
    return lines


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
        made.command(name.replace("_", "-"))(_command(name))
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
    """Run the command line; the exit status is 0, 1 (doctor: something missing), 2 (bad input), 130 (Ctrl-C) or 143."""
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
    """The end that was asked for, where it fell into the import of a compiled module, which tells its failure alone."""
    while error is not None and not isinstance(error, (KeyboardInterrupt, SystemExit)):
        error = error.__cause__ or error.__context__
    return error


def run() -> None:
    """What the shell starts: `main`, and the end of the process.

    After Ctrl-C the process ends even where threads of Java's do not, for which Python would wait at its exit.
    """
    status = main()
    if status == INTERRUPTED:
        sys.stderr.flush()
        killer = threading.Timer(_PATIENCE_S, os._exit, [status])
        killer.daemon = True
        killer.start()
    sys.exit(status)
