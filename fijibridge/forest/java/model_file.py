"""`.model` files as untrusted input: what is looked at before Java reads them, and what Java may make of them."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

from fijibridge.core.errors import ModelFileError

# What TWS 4.0 calls its training data. Its "Load classifier" refuses "2D" in a window of TWS 3D, and "3D" in one of 2D.
RELATION = "TWS-2D-v4.0.0-grayscale"
RELATION_3D = "TWS-3D-v4.0.0-grayscale"
_FOREST = "hr.irb.fastRandomForest.FastRandomForest"
_HEADER = "weka.core.Instances"

# The classes that the stream of a FastRandomForest and its header consists of; of the JDK only what holds text and
# numbers. No other part of Weka: some of its classes run commands or open files.
_ALLOWED = (
    _FOREST,
    "hr.irb.fastRandomForest.FastRfBagging",
    "hr.irb.fastRandomForest.FastRandomTree",
    "weka.classifiers.Classifier",  # the array of trees
    "weka.classifiers.AbstractClassifier",
    "weka.classifiers.SingleClassifierEnhancer",
    "weka.classifiers.IteratedSingleClassifierEnhancer",
    "weka.classifiers.RandomizableIteratedSingleClassifierEnhancer",
    _HEADER,
    "weka.core.Attribute",
    "weka.core.AttributeInfo",
    "weka.core.NominalAttributeInfo",
    "weka.core.AttributeMetaInfo",
    "weka.core.ProtectedProperties",  # attributes that carry metadata
    "java.lang.Object",  # the arrays inside lists
    "java.lang.Number",
    "java.lang.Integer",
    "java.lang.Double",
    "java.lang.String",
    "java.util.AbstractList",
    "java.util.ArrayList",
    "java.util.HashMap",
    "java.util.Hashtable",
    "java.util.Properties",
    "java.util.Map$Entry",
)

_STREAM = b"\xac\xed\x00\x05"  # magic and version of Java serialisation
_OBJECT, _CLASS = 0x73, 0x72
# A forest's numbers compress by a factor of 3 to 30; gzip gives 1000 to what is made to fill the memory.
_LARGEST_RATIO = 200
_SMALL = 2**24  # bytes that are no danger
_LARGEST = 2**33
_GZIP = b"\x1f\x8b"
_EXPECTED = "a .model file of TWS with FastRandomForest, its default classifier: the classifier and its header"
_SAVE_AGAIN = "save the classifier again in TWS (Save classifier), or copy the file again"


def unusable(found: str, remedy: str = "choose FastRandomForest in TWS's Settings, train, and save again") -> Exception:
    """A ModelFileError about a classifier that is not a FastRandomForest as TWS trains it.

    Parameters
    ----------
    found : str
        What is wrong with it.
    remedy : str
        What to do.
    """
    return ModelFileError(found, expected=_EXPECTED, remedy=remedy)


def read_objects(path: Path) -> tuple[Any, Any, int]:
    """Read the two objects of a ``.model`` file.

    Parameters
    ----------
    path : Path
        The file, compressed or not.

    Returns
    -------
    frf : hr.irb.fastRandomForest.FastRandomForest
    header : weka.core.Instances
    size : int
        Bytes of the uncompressed stream.

    Raises
    ------
    ModelFileError
        If it is missing, truncated, not a ``.model``, another classifier, or holds what it must not.
    """
    zipped, size = _look_at(path)
    import jpype

    from fijibridge.forest.java import compiler as javahelper

    checks = javahelper.stream_filter(list(_ALLOWED), size)
    try:
        name = jpype.java.lang.String(str(path.absolute()))
        frf, header = javahelper.call("read", name, jpype.JBoolean(zipped), checks)
    except jpype.JException as error:
        if checks.refused is not None:
            raise ModelFileError(
                f"{path} holds {checks.refused}",
                expected=_EXPECTED,
                remedy="do not open it in TWS or Weka unless you know who made it; ask for a new one",
            ) from error
        kind = str(error.getClass().getSimpleName())
        if kind == "EOFException":
            raise unusable(f"{path} ends in the middle of the classifier", _SAVE_AGAIN) from error
        if kind == "OutOfMemoryError":
            remedy = "start Java with a larger heap: fijibridge.jvm.start(heap=...)"
            raise unusable(f"{path} is too large for Java's heap", remedy) from error
        if kind == "StackOverflowError":
            raise unusable(f"{path} is nested too deeply", _SAVE_AGAIN) from error
        raise unusable(f"{path} is damaged ({kind}: {error.getMessage()})", _SAVE_AGAIN) from error
    if header is None:
        raise unusable(f"{path} has a classifier but no header after it", _SAVE_AGAIN)
    if str(frf.getClass().getName()) != _FOREST or str(header.getClass().getName()) != _HEADER:
        raise unusable(f"{path} holds {frf.getClass().getName()} and {header.getClass().getName()}", _SAVE_AGAIN)
    own = javahelper.forests().get(frf, "m_Info")
    if own is None:
        raise unusable(f"{path} holds a classifier that was never trained")
    if (own.numAttributes(), own.numClasses()) != (header.numAttributes(), header.numClasses()):
        raise unusable(
            f"{path} has a header of {header.numAttributes()} attributes, its trees of {own.numAttributes()}"
        )
    return frf, header, size


def _look_at(path: Path) -> tuple[bool, int]:
    """Whether it is compressed and how long its stream is, once its first object is known to be the right one."""
    try:
        if path.exists() and not path.is_file():
            raise OSError(0, "no file")
        with path.open("rb") as file:
            zipped = file.read(2) == _GZIP
        with gzip.open(path) if zipped else path.open("rb") as stream:
            start = stream.read(1024)
            _check_start(path, start)
            size, stored = len(start), path.stat().st_size
            while part := stream.read(2**20):
                size += len(part)
                if size > max(_LARGEST_RATIO * stored, _SMALL) or size > _LARGEST:
                    raise unusable(
                        f"{path}, of {stored} bytes, unpacks to more than {size} bytes, which no forest does",
                        _SAVE_AGAIN,
                    )
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise unusable(f"{path} is a damaged or truncated gzip file ({error})", _SAVE_AGAIN) from error
    except OSError as error:
        raise ModelFileError(
            f"cannot read {path} ({error.strerror})", expected="a readable file", remedy="check the path"
        ) from error
    return zipped, size


def _check_start(path: Path, start: bytes) -> None:
    if not start:
        raise unusable(f"{path} is empty", _SAVE_AGAIN)
    if not start.startswith(_STREAM):
        raise unusable(f"{path} is not a .model file (it starts with {start[:8]!r})", "choose a file that TWS saved")
    if len(start) < 9:
        raise unusable(f"{path} ends after {len(start)} bytes", _SAVE_AGAIN)
    length = int.from_bytes(start[6:8], "big")
    name = start[8 : 8 + length].decode("utf-8", "replace")
    if (start[4], start[5]) != (_OBJECT, _CLASS):
        raise unusable(f"{path} holds no classifier as its first object")
    if name != _FOREST:
        raise unusable(f"{path} holds a {name}")
