"""Start the one JVM of this process, or attach to the one that runs."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from pathlib import Path

from fijibridge.core.errors import JavaError, SettingsError
from fijibridge.jvm.extra_jars import extra_jars
from fijibridge.jvm.gateway import Gateway, java_version, jvm_options, this_java
from fijibridge.jvm.java import heap_bytes, require_java
from fijibridge.jvm.maven import jars

_log = logging.getLogger(__name__)

_NEEDED = (
    "ij.IJ",
    "weka.core.Instances",
    "hr.irb.fastRandomForest.FastRandomForest",
    "javassist.ClassPool",
)
_PATCHER = "net.imagej.patcher.LegacyInjector"


_lock = threading.RLock()
_running: Gateway | None = None


def start(*, heap: str | None = None, fiji: str | os.PathLike[str] | None = None, gui: bool = False) -> Gateway:
    """Start the JVM with ImageJ, Weka and FastRandomForest, or return the one that runs.

    Uses the Java of JAVA_HOME, else the one on PATH, headless, with jars from Maven Central alone (fetched once), and
    those that the environment's FIJIBRIDGE_JARS names, for classifiers of Weka's packages.
    Ctrl-C stays with Python. A JVM that this process already runs is taken over if it has the needed classes.

    Parameters
    ----------
    heap : str, optional
        Largest Java heap, such as ``"4g"`` or ``"800m"``; a third of the memory and at most 8 GiB by default.
    fiji : path or str, optional
        The user's own Fiji, started through pyimagej instead of the embedded default: its folder, or a Maven endpoint
        such as ``"sc.fiji:fiji"``. By default what the environment's FIJIBRIDGE_FIJI says. A Fiji that brings its own
        Java uses that one.
    gui : bool
        Open the Fiji's window (needs a display and ``fiji``).

    Returns
    -------
    Gateway

    Raises
    ------
    SettingsError
        If `heap` is malformed or larger than the memory.
    JavaError
        If there is no Java 11 or newer, a jar cannot be had, the JVM runs already with another heap or another Fiji,
        a JVM that somebody else started lacks classes, or the folder is no Fiji.
    """
    global _running
    asked = heap_bytes(heap) if heap is not None else None
    named = fiji is not None
    fiji = os.fspath(fiji) if fiji is not None else os.environ.get("FIJIBRIDGE_FIJI", "")
    if gui and not fiji:
        raise SettingsError(
            "gui=True without a Fiji",
            expected="fiji=FOLDER, or FIJIBRIDGE_FIJI in the environment",
            remedy="name the folder of your Fiji; the embedded ImageJ has no window",
        )
    with _lock:
        if _running is None:
            import jpype

            if not jpype.isJVMStarted():
                for jar in extra_jars():
                    jpype.addClassPath(jar)
            if jpype.isJVMStarted():
                _running = _attach()
            elif fiji:
                from fijibridge.jvm.fiji import start_fiji

                _running = start_fiji(fiji, size=heap_bytes(heap), gui=gui)
            else:
                _running = _start_new(heap)
            atexit.register(_stop_threads)
        # one that somebody else started may well be the Fiji that the environment speaks of
        if fiji and not _same_place(fiji, _running.fiji) and (named or not _running.attached):
            runs = "a JVM that somebody else started" if _running.attached else _running.fiji or "the embedded ImageJ"
            raise JavaError(
                f"fiji={fiji!r} asked of a process that runs {runs}",
                expected="the Fiji with the first use of Java",
                remedy="call fijibridge.start(fiji=...) before anything else that uses Java, in a fresh process",
            )
        if gui and bool(_running.jclass("java.awt.GraphicsEnvironment").isHeadless()):
            raise JavaError(
                "gui=True asked of a Fiji that runs headless",
                expected="gui=True with the first use of Java",
                remedy="call fijibridge.start(fiji=..., gui=True) before anything else that uses Java",
            )
        # Java rounds the heap to its page and region sizes, and keeps a part of it out of maxMemory().
        if asked is not None and abs(_running.heap - asked) > 0.05 * asked:
            raise JavaError(
                f"heap={heap!r} asked of a JVM that runs with {_running.heap // 2**20}m",
                expected="the heap size with the first use of Java",
                remedy="call fijibridge.jvm.start(heap=...) before anything else that uses Java, in a fresh process",
            )
        return _running


def _same_place(one: str, other: str) -> bool:
    """Whether two names of a Fiji, folders or endpoints, mean the same."""
    return one == other or (bool(other) and Path(one).expanduser().resolve() == Path(other).expanduser().resolve())


def gateway() -> Gateway:
    """The running JVM; started with the defaults if there is none (see `start`)."""
    return _running or start()


def _start_new(heap: str | None) -> Gateway:
    import jpype
    import scyjava

    size = heap_bytes(heap)
    java = require_java()
    for jar in jars():
        jpype.addClassPath(jar)
    # scyjava's own default downloads a Java although the machine has one; require_java has found ours.
    scyjava.config.set_java_constraints(fetch="never")
    options = [
        *jvm_options(size),
        "-Djava.awt.headless=true",
        "--add-opens=java.base/java.lang=ALL-UNNAMED",  # the patcher defines classes
    ]
    _log.info("starting Java %s from %s with a heap of %dm", java.version, java.home, size // 2**20)
    try:
        with this_java(java):
            scyjava.start_jvm(options)
    except Exception as error:
        raise JavaError(
            f"Java {java.version} at {java.home} does not start ({error})",
            expected="a JVM in this process, of the same bitness as Python",
            remedy="try a smaller heap, or another Java through JAVA_HOME",
        ) from error
    _patch()
    _load_weka_silently()
    return Gateway(java_version=java_version(), heap=size, attached=False)


def _load_weka_silently() -> None:
    """Load Weka's package manager, which complains on standard output about jars that no forest needs."""
    import jpype

    System = jpype.JClass("java.lang.System")
    out, nowhere = System.out, jpype.JClass("java.io.ByteArrayOutputStream")()
    System.setOut(jpype.JClass("java.io.PrintStream")(nowhere))
    try:
        jpype.JClass("java.lang.Class").forName("weka.core.WekaPackageManager")
    finally:
        System.setOut(out)
    _log.debug("Weka said: %s", nowhere)


def _attach() -> Gateway:
    import jpype

    # As resources, not as classes: to load ij.IJ before the patcher ran would make it unpatchable.
    loader = jpype.JClass("java.lang.Thread").currentThread().getContextClassLoader()
    loader = loader or jpype.JClass("java.lang.ClassLoader").getSystemClassLoader()
    missing = [name for name in _NEEDED if loader.getResource(name.replace(".", "/") + ".class") is None]
    if missing:
        raise JavaError(
            f"a JVM runs in this process without {', '.join(missing)}",
            expected="a JVM with ImageJ, Weka, FastRandomForest and javassist on its class path",
            remedy="call fijibridge.jvm.start() before other code starts Java, or add the files of "
            "fijibridge.jvm.jars() with jpype.addClassPath before it starts",
        )
    if loader.getResource(_PATCHER.replace(".", "/") + ".class") is not None:
        _patch()
    _load_weka_silently()
    heap = int(jpype.JClass("java.lang.Runtime").getRuntime().maxMemory())
    version = java_version()
    _log.info("attached to a running JVM, Java %s", version)
    return Gateway(java_version=version, heap=heap, attached=True)


def _patch() -> None:
    """Patch ImageJ for headless use; works only before any class of ij is loaded."""
    import jpype

    try:
        jpype.JClass(_PATCHER).preinit()
    except jpype.JException as error:
        # In an attached JVM only: ij was loaded before, or java.lang is not open. All but menu commands works.
        _log.warning(
            "ImageJ could not be patched, its menu commands may not work headless: %s", str(error).partition("\n")[0]
        )


def _stop_threads() -> None:
    """Stop ImageJ's worker threads, which are no daemons: Python would wait for them for ever at its exit."""
    import jpype

    if jpype.isJVMStarted():
        try:
            jpype.JClass("ij.util.ThreadUtil").threadPoolExecutor.shutdown()
        except (jpype.JException, TypeError, AttributeError) as error:  # an older ij without that field
            _log.debug("no thread pool to stop: %s", error)
