"""The commands of the command line that are no operations: the service, macros, and a Fiji prepared for them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from fijibridge.core.errors import BridgeError

BAD_INPUT = 2

_Folder = Annotated[Path | None, typer.Option(help="the service's private folder, instead of the user's")]


def _explained(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command whose errors are printed without a traceback."""

    @wraps(command)
    def run(*args: Any, **values: Any) -> Any:
        try:
            return command(*args, **values)
        except BridgeError as error:
            # a macro's exec() gives standard output alone
            stream = sys.stdout if values.get("background") else sys.stderr
            print(f"fijibridge {command.__name__.replace('_', '-')}: {error}", file=stream)
            raise typer.Exit(BAD_INPUT) from None

    return run


@_explained
def serve(
    status: Annotated[bool, typer.Option("--status", help="print whether one runs, and its log")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="end the one that runs")] = False,
    background: Annotated[bool, typer.Option("--background", help="start one that goes on, unless one runs")] = False,
    folder: _Folder = None,
    idle: Annotated[float, typer.Option(help="minutes without a call after which it ends; 0: never", min=0)] = 60,
) -> None:
    """Run the local service that ImageJ macros call (they start it when they need it)."""
    from fijibridge.frontends.service import client as service

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
        from fijibridge.frontends.service.server import serve as run

        run(place, idle=idle)


@_explained
def macro(
    file: Annotated[str, typer.Argument(help="an .ijm file")],
    argument: Annotated[str, typer.Argument(help="what getArgument() gives in it")] = "",
    fiji: Annotated[str | None, typer.Option(help="folder of your Fiji, instead of the embedded ImageJ")] = None,
    heap: Annotated[str | None, typer.Option(help="Java's memory, such as 4g")] = None,
) -> None:
    """Run an ImageJ macro headlessly, with the operations as Ext functions and the macro library's."""
    from fijibridge.frontends.imagej.session import start

    if not file.lower().endswith((".ijm", ".txt")):
        from fijibridge.core.errors import MacroError

        raise MacroError(f"{file} is no macro", expected="an .ijm file", remedy="give the macro's file name")
    answer = start(fiji=fiji, heap=heap).run_macro(Path(file), argument)
    if answer is not None:
        print(answer)


@_explained
def install(
    folder: Annotated[Path, typer.Argument(help="folder of a Fiji or ImageJ")],
    uninstall: Annotated[bool, typer.Option("--uninstall", help="remove what was installed there")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only print what would be done")] = False,
) -> None:
    """Put the menu commands, the macro library and the scripts into a Fiji or ImageJ."""
    from fijibridge.frontends.imagej import install as installer

    act = installer.uninstall if uninstall else installer.install
    done = act(folder, dry_run=dry_run)
    for line in done:
        print(line)
    if not uninstall and not dry_run:
        print("Restart it; the commands are in Plugins > FijiBridge.")
        if not any(line.endswith(".groovy") for line in done):
            print("A plain ImageJ: without the commands for TWS's window, which need a Fiji (it runs Groovy scripts).")


@_explained
def update_site(
    folder: Annotated[Path, typer.Argument(help="folder to be served; new, empty, or written before")],
    wheel: Annotated[Path | None, typer.Option(help="fijibridge's wheel, instead of one built from this clone")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only print what would be done")] = False,
) -> None:
    """Write a Fiji update site, for users without Python: its first command sets Python up."""
    from fijibridge.frontends.imagej.update_site import update_site as write

    done = write(folder, wheel=wheel, dry_run=dry_run)
    print("\n".join(done) if done else "all is there already")
    if done and not dry_run:
        print("Serve the folder; users add its address under Help > Update... > Manage Update Sites.")


@_explained
def gui(
    image: Annotated[Path | None, typer.Argument(help="an image to open")] = None,
    fiji: Annotated[Path | None, typer.Option(help="folder of your Fiji or ImageJ; else FIJIBRIDGE_FIJI")] = None,
    heap: Annotated[str | None, typer.Option(help="Java's memory, such as 4g")] = None,
) -> None:
    """Open your Fiji, or an ImageJ of fijibridge's own, with the commands in its menu."""
    from fijibridge.frontends.imagej import gui as window

    raise typer.Exit(window.run(image, fiji=fiji, heap=heap))


COMMANDS = {"serve": serve, "macro": macro, "install": install, "update-site": update_site, "gui": gui}
