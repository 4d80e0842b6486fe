"""The commands of the command line that are no operations: the service, macros, and a Fiji prepared for them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from fijibridge.errors import BridgeError

BAD_INPUT = 2

_Folder = Annotated[Path | None, typer.Option(help="the service's private folder, instead of the user's")]


def _told(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command whose errors are told in the user's words."""

    @wraps(command)
    def run(*args: Any, **values: Any) -> Any:
        try:
            return command(*args, **values)
        except BridgeError as error:
            # a macro's exec() gives standard output alone
            stream = sys.stdout if values.get("background") else sys.stderr
            print(f"fijibridge {command.__name__}: {error}", file=stream)
            raise typer.Exit(BAD_INPUT) from None

    return run


@_told
def serve(
    status: Annotated[bool, typer.Option("--status", help="tell whether one runs, and its log")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="end the one that runs")] = False,
    background: Annotated[bool, typer.Option("--background", help="start one that goes on, unless one runs")] = False,
    folder: _Folder = None,
    idle: Annotated[float, typer.Option(help="minutes without a call after which it ends; 0: never", min=0)] = 60,
) -> None:
    """Run the local service that ImageJ macros call (they start it when they need it)."""
    from fijibridge.doors import service

    place = (folder or service.service_folder()).absolute()
    if status:
        found = service.status(place)
        print("no service runs" if found is None else "\n".join(f"{key}: {value}" for key, value in found.items()))
        raise typer.Exit(0 if found else 1)
    if stop:
        print("stopped" if service.stop(place) else "no service ran")
    elif background:
        service.start_in_background(place)
        print("ready")
    else:
        from fijibridge.doors.server import serve as run

        run(place, idle=idle)


@_told
def macro(
    file: Annotated[str, typer.Argument(help="an .ijm file")],
    argument: Annotated[str, typer.Argument(help="what getArgument() gives in it")] = "",
    fiji: Annotated[str | None, typer.Option(help="folder of your Fiji, instead of the embedded ImageJ")] = None,
    heap: Annotated[str | None, typer.Option(help="Java's memory, such as 4g")] = None,
) -> None:
    """Run an ImageJ macro headlessly, with the operations as Ext functions and the macro library's."""
    from fijibridge.doors.fiji import start

    if not file.lower().endswith((".ijm", ".txt")):
        from fijibridge.errors import MacroError

        raise MacroError(f"{file} is no macro", expected="an .ijm file", remedy="give the macro's file name")
    answer = start(fiji=fiji, heap=heap).run_macro(Path(file), argument)
    if answer is not None:
        print(answer)


@_told
def macros(
    check: Annotated[bool, typer.Option("--check", help="only tell what does not agree")] = False,
) -> None:
    """Write the macro library and the menu commands anew from the operations (for developers)."""
    from fijibridge.doors import generate

    folder = generate.macros_folder()
    changed = generate.differences(folder) if check else generate.write(folder)
    for path in changed:
        print(f"{'differs' if check else 'written'}: {folder / path}")
    if check and changed:
        raise typer.Exit(1)


@_told
def install(
    folder: Annotated[Path, typer.Argument(help="folder of a Fiji or ImageJ")],
    uninstall: Annotated[bool, typer.Option("--uninstall", help="remove what was installed there")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only tell what would be done")] = False,
) -> None:
    """Put the menu commands, the macro library and the scripts into a Fiji or ImageJ."""
    from fijibridge.doors import install as installer

    act = installer.uninstall if uninstall else installer.install
    done = act(folder, dry_run=dry_run)
    for line in done:
        print(line)
    if not uninstall and not dry_run:
        print("Restart it; the commands are in Plugins > FijiBridge.")


@_told
def gui(
    image: Annotated[Path | None, typer.Argument(help="an image to open")] = None,
    fiji: Annotated[Path | None, typer.Option(help="folder of your Fiji or ImageJ; else FIJIBRIDGE_FIJI")] = None,
    heap: Annotated[str | None, typer.Option(help="Java's memory, such as 4g")] = None,
) -> None:
    """Open your Fiji, or an ImageJ of fijibridge's own, with the commands in its menu."""
    from fijibridge.doors import gui as window

    raise typer.Exit(window.run(image, fiji=fiji, heap=heap))


COMMANDS = {"serve": serve, "macro": macro, "macros": macros, "install": install, "gui": gui}
