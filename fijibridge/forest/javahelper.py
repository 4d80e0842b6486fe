"""Compile and call our own Java (see `javasource`) in the running JVM.

javassist, which ImageJ's headless patcher brings along and every Fiji has, compiles it: no Java compiler and no jar of
our own is needed.
"""

from __future__ import annotations

import tempfile
import threading
from typing import Any

from fijibridge.errors import JavaError
from fijibridge.forest import javasource
from fijibridge.jvm import gateway

# Deep trees are serialised recursively, several Java frames a level. The stack is reserved, not used, until needed.
_STACK = 512 * 2**20
_POLL_MS = 100

_lock = threading.Lock()
_compiled: dict[str, Any] = {}


def forests() -> Any:
    """The class Forests: static methods for forests in Java, compiled at the first call."""
    return _classes()["Forests"]


def stream_filter(allowed: list[str], size: int) -> Any:
    """A filter for one stream.

    Parameters
    ----------
    allowed : list of str
        Class names; arrays of them and of primitives are admitted too.
    size : int
        Uncompressed bytes of the stream.

    Returns
    -------
    java.io.ObjectInputFilter
        Its field `refused` says in words what it refused, or is null.
    """
    return _classes()["Filter"](allowed, size)


def call(name: str, *arguments: Any) -> Any:
    """Call a static method of Forests in a Java thread with a large stack, open to Ctrl-C.

    Parameters
    ----------
    name : str
        Method.
    *arguments
        Java values (``jpype.JInt(3)``, not 3: reflection does not convert).

    Returns
    -------
    object
        What the method returns.

    Raises
    ------
    jpype.JException
        What the method throws, StackOverflowError included.
    KeyboardInterrupt
        After Ctrl-C; the Java thread has been interrupted.
    """
    return wait([start(name, *arguments)])[0]


def start(name: str, *arguments: Any) -> Any:
    """Start such a call and return its thread, for `wait`."""
    import jpype

    classes = _classes()
    task = classes["Task"](classes["methods"][name], jpype.JObject[:](list(arguments)), jpype.JLong(_STACK))
    task.start()
    return task


def wait(tasks: list[Any]) -> list[Any]:
    """Results of started calls; the first failure is raised after all have ended."""
    try:
        for task in tasks:
            while task.isAlive():
                task.join(_POLL_MS)  # in steps: Python handles Ctrl-C between two Java calls only
    except KeyboardInterrupt:
        for task in tasks:
            task.interrupt()
        raise
    for task in tasks:
        if task.failure is not None:
            raise task.failure
    return [task.result for task in tasks]


def _classes() -> dict[str, Any]:
    with _lock:
        if not _compiled:
            _compiled.update(_compile())
        return _compiled


def _compile() -> dict[str, Any]:
    import jpype

    gateway()
    pool = jpype.JClass("javassist.ClassPool")(True)
    Loader = jpype.JClass("java.lang.Thread").currentThread().getContextClassLoader()
    pool.appendClassPath(jpype.JClass("javassist.LoaderClassPath")(Loader))
    field, method = jpype.JClass("javassist.CtField"), jpype.JClass("javassist.CtNewMethod")
    constructor = jpype.JClass("javassist.CtNewConstructor")
    try:
        task = pool.makeClass("fijibridge.Task", pool.get("java.lang.Thread"))
        for source in javasource.TASK_FIELDS:
            task.addField(field.make(source, task))
        task.addConstructor(constructor.make(javasource.TASK_CONSTRUCTOR, task))
        checks = pool.makeClass("fijibridge.Filter")
        checks.addInterface(pool.get("java.io.ObjectInputFilter"))
        for source in javasource.FILTER_FIELDS:
            checks.addField(field.make(source, checks))
        checks.addConstructor(constructor.make(javasource.FILTER_CONSTRUCTOR, checks))
        forests = pool.makeClass("fijibridge.Forests")
        for owner, sources in (
            (task, javasource.TASK_METHODS),
            (checks, javasource.FILTER_METHODS),
            (forests, javasource.FOREST_METHODS),
        ):
            for source in sources:
                owner.addMethod(method.make(source, owner))
        # Defined by a class loader of their own from a folder: javassist's direct ways need --add-opens in an attached
        # JVM. The folder can go as soon as the classes are loaded.
        with tempfile.TemporaryDirectory(prefix="fijibridge-") as folder:
            for made in (task, checks, forests):
                made.writeFile(folder)
            url = jpype.JClass("java.io.File")(folder).toURI().toURL()
            loader = jpype.JClass("java.net.URLClassLoader")(jpype.JClass("java.net.URL")[:]([url]), Loader)
            names = ("Task", "Filter", "Forests")
            loaded = {name: jpype.JClass(f"fijibridge.{name}", loader=loader) for name in names}
            loader.close()
    except jpype.JException as error:
        raise JavaError(
            f"fijibridge's Java helper does not compile ({error})",
            expected="FastRandomForest 0.99 (TWS 3 or 4) and javassist 3 on the class path",
            remedy="use the embedded default: call fijibridge.jvm.start() before other code starts Java",
        ) from error
    methods = {str(found.getName()): found for found in loaded["Forests"].class_.getDeclaredMethods()}
    return {**loaded, "methods": methods}
