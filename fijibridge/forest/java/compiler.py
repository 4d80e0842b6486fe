"""Compile and call our own Java (the ``.java`` files beside this one) in the running JVM.

javassist, which ImageJ's headless patcher brings along and every Fiji has, compiles it: no Java compiler and no jar of
our own is needed.
"""

from __future__ import annotations

import re
import tempfile
import threading
from importlib.resources import files
from typing import Any

from fijibridge.core.errors import JavaError
from fijibridge.jvm.lifecycle import gateway

# Deep trees are serialised recursively, several Java frames a level. The stack is reserved, not used, until needed.
_STACK = 512 * 2**20
_POLL_MS = 100
_CLASSES = ("Task", "Filter", "Reader", "Forests", "Trees", "Classifiers")
_STATIC = {"Forests": "", "Trees": "trees_", "Classifiers": "classifiers_"}  # what `call` puts before their methods

_lock = threading.Lock()
_compiled: dict[str, Any] = {}


def forests() -> Any:
    """The class Forests: static methods for forests in Java, compiled at the first call."""
    return _classes()["Forests"]


def stream_filter(allowed: list[str], size: int, collections: int) -> Any:
    """A filter for one stream.

    Parameters
    ----------
    allowed : list of str
        Class names; arrays of them and of primitives are admitted too.
    size : int
        Uncompressed bytes of the stream.
    collections : int
        How many lists and tables it may hold.

    Returns
    -------
    java.io.ObjectInputFilter
        Its field `refused` says in words what it refused, or is null.
    """
    return _classes()["Filter"](allowed, size, collections)


def call(name: str, *arguments: Any) -> Any:
    """Call a static method of ours in a Java thread with a large stack, open to Ctrl-C.

    Parameters
    ----------
    name : str
        Method of Forests; ``trees_`` and ``classifiers_`` before its name: of Trees and Classifiers.
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
    try:
        compiled = [_class_of(pool, name) for name in _CLASSES]
        # Defined by a class loader of their own from a folder: javassist's direct ways need --add-opens in an attached
        # JVM. The folder can go as soon as the classes are loaded.
        with tempfile.TemporaryDirectory(prefix="fijibridge-") as folder:
            for made in compiled:
                made.writeFile(folder)
            url = jpype.JClass("java.io.File")(folder).toURI().toURL()
            loader = jpype.JClass("java.net.URLClassLoader")(jpype.JClass("java.net.URL")[:]([url]), Loader)
            loaded = {name: jpype.JClass(f"fijibridge.{name}", loader=loader) for name in _CLASSES}
            loader.close()
    except jpype.JException as error:
        raise JavaError(
            f"fijibridge's Java helper does not compile ({error})",
            expected="FastRandomForest 0.99 (TWS 3 or 4) and javassist 3 on the class path",
            remedy="use the embedded default: call fijibridge.jvm.start() before other code starts Java",
        ) from error
    methods = {
        before + str(found.getName()): found
        for name, before in _STATIC.items()
        for found in loaded[name].class_.getDeclaredMethods()
    }
    return {**loaded, "methods": methods}


def _class_of(pool: Any, name: str) -> Any:
    """A class that javassist makes of a ``.java`` file: its compiler takes one field, constructor or method a time."""
    import jpype

    source = files(__package__).joinpath(f"{name}.java").read_text(encoding="utf-8")
    head, members = class_members(source)
    parent, interface = head.get("extends"), head.get("implements")
    made = pool.makeClass(f"fijibridge.{name}", pool.get(parent)) if parent else pool.makeClass(f"fijibridge.{name}")
    if interface:
        made.addInterface(pool.get(interface))
    for member in members:
        if member.endswith(";"):
            made.addField(jpype.JClass("javassist.CtField").make(member, made))
        elif re.match(rf"public {name}\(", member):
            made.addConstructor(jpype.JClass("javassist.CtNewConstructor").make(member, made))
        else:
            made.addMethod(jpype.JClass("javassist.CtNewMethod").make(member, made))
    return made


_TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)|(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')"""
    r"""|(?P<mark>[{};])|(?P<code>[^{};"'/]+|/)""",
    re.DOTALL,
)


def class_members(source: str) -> tuple[dict[str, str], list[str]]:
    """Take a ``.java`` file of one class apart.

    Parameters
    ----------
    source : str
        The file's text. No class within the class, no initialiser blocks.

    Returns
    -------
    head : dict of str
        The names behind ``extends`` and ``implements``, where it has them.
    members : list of str
        Its fields, constructors and methods in their order, without comments.
    """
    depth, head = 0, ""
    pieces: list[str] = []
    members: list[str] = []
    for token in _TOKEN.finditer(source):
        text = " " if token.lastgroup == "comment" else token.group()
        mark = text if token.lastgroup == "mark" else ""
        depth += (mark == "{") - (mark == "}")
        if mark == "{" and depth == 1:
            head, pieces = "".join(pieces), []
            continue
        pieces.append(text)
        if depth == 1 and mark:
            members.append("".join(pieces).strip())
            pieces = []
    return dict(re.findall(r"\b(extends|implements)\s+([\w.]+)", head)), members
