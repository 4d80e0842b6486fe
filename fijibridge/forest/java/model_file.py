"""`.model` files as untrusted input: what is looked at before Java reads them, and what Java may make of them."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn

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
_MOST_COLLECTIONS = 40  # of a forest and its header

# Further classes of the JDK that hold text and numbers, for classifiers other than FastRandomForest. A File's name is
# taken from it as it is read (see Reader.java); no comparator, no class, no method, nothing of java.net.
_DATA = (
    "java.io.File",
    "java.lang.Boolean",
    "java.lang.Byte",
    "java.lang.Character",
    "java.lang.Enum",
    "java.lang.Float",
    "java.lang.Long",
    "java.lang.Short",
    "java.lang.StringBuffer",
    "java.util.AbstractMap",
    "java.util.AbstractSequentialList",
    "java.util.AbstractSet",
    "java.util.BitSet",
    "java.util.HashSet",
    "java.util.LinkedHashMap",
    "java.util.LinkedHashSet",
    "java.util.LinkedList",
    "java.util.Random",
    "java.util.Stack",
    "java.util.TreeMap",
    "java.util.TreeSet",
    "java.util.Vector",
    "java.util.concurrent.atomic.AtomicInteger",
    "java.util.concurrent.atomic.AtomicLong",
)

# What is refused for what it does, and why; in the words of the message.
_DANGEROUS = {
    "weka.classifiers.misc.SerializedClassifier": "which loads a classifier from another file",
    "weka.classifiers.misc.InputMappedClassifier": "which loads a classifier from another file",
    "weka.classifiers.meta.CVParameterSelection": "which starts what the text in the file names",
    "weka.classifiers.scripting.GroovyClassifier": "which runs a script",
    "weka.classifiers.scripting.JythonClassifier": "which runs a script",
}
# Packages of Weka's package manager whose names do not follow from their classes': prefix of the class, package.
_PACKAGES = {
    "weka.classifiers.functions.LibSVM": "LibSVM",
    "weka.classifiers.functions.LibLINEAR": "LibLINEAR",
    "weka.classifiers.functions.MLPClassifier": "multiLayerPerceptrons",
    "weka.classifiers.functions.MLPRegressor": "multiLayerPerceptrons",
    "weka.classifiers.functions.RBF": "RBFNetwork",
    "weka.classifiers.functions.Dl4jMlpClassifier": "wekaDeeplearning4j",
    "weka.classifiers.functions.LDA": "discriminantAnalysis",
    "weka.classifiers.functions.FLDA": "discriminantAnalysis",
    "weka.classifiers.functions.QDA": "discriminantAnalysis",
    "weka.classifiers.functions.Winnow": "winnow",
    "weka.classifiers.lazy.LBR": "lazyBayesianRules",
    "weka.classifiers.mi.": "multiInstanceLearning",
    "weka.classifiers.meta.Dagging": "dagging",
    "weka.classifiers.meta.Decorate": "decorate",
    "weka.classifiers.meta.END": "ensemblesOfNestedDichotomies",
    "weka.classifiers.meta.GridSearch": "gridSearch",
    "weka.classifiers.meta.MultiBoostAB": "multiBoostAB",
    "weka.classifiers.meta.MultiSearch": "multisearch",
    "weka.classifiers.meta.OrdinalClassClassifier": "ordinalClassClassifier",
    "weka.classifiers.meta.RealAdaBoost": "realAdaBoost",
    "weka.classifiers.meta.RotationForest": "rotationForest",
    "weka.classifiers.meta.StackingC": "stackingC",
    "weka.classifiers.misc.FLR": "fuzzyLaticeReasoning",
    "weka.classifiers.misc.HyperPipes": "hyperPipes",
    "weka.classifiers.misc.VFI": "votingFeatureIntervals",
    "weka.classifiers.mlr.": "RPlugin",
    "weka.classifiers.rules.ConjunctiveRule": "conjunctiveRule",
    "weka.classifiers.rules.DTNB": "DTNB",
    "weka.classifiers.rules.FURIA": "fuzzyUnorderedRuleInduction",
    "weka.classifiers.rules.JCBA": "J48Consolidated",
    "weka.classifiers.rules.NNge": "NNge",
    "weka.classifiers.rules.Ridor": "ridor",
    "weka.classifiers.trees.ADTree": "alternatingDecisionTrees",
    "weka.classifiers.trees.BFTree": "bestFirstTree",
    "weka.classifiers.trees.ExtraTree": "extraTrees",
    "weka.classifiers.trees.ForestPA": "ForestPA",
    "weka.classifiers.trees.FT": "functionalTrees",
    "weka.classifiers.trees.Id3": "simpleEducationalLearningSchemes",
    "weka.classifiers.trees.J48Consolidated": "J48Consolidated",
    "weka.classifiers.trees.J48graft": "J48graft",
    "weka.classifiers.trees.LADTree": "alternatingDecisionTrees",
    "weka.classifiers.trees.NBTree": "naiveBayesTree",
    "weka.classifiers.trees.SimpleCart": "simpleCART",
    "weka.classifiers.trees.SysFor": "SysFor",
    "weka.classifiers.trees.UserClassifier": "userClassifier",
}

_STREAM = b"\xac\xed\x00\x05"  # magic and version of Java serialisation
_OBJECT, _CLASS = 0x73, 0x72
# A forest's numbers compress by a factor of 3 to 30; gzip gives 1000 to what is made to fill the memory.
_LARGEST_RATIO = 200
_SMALL = 2**24  # bytes that are no danger
_LARGEST = 2**33
_GZIP = b"\x1f\x8b"
_EXPECTED = "a .model file of TWS: a classifier of Weka, by default FastRandomForest, and its header"
_SAVE_AGAIN = "save the classifier again in TWS (Save classifier), or copy the file again"


def unusable(found: str, remedy: str = "choose FastRandomForest in TWS's Settings, train, and save again") -> Exception:
    """A ModelFileError about a classifier that is not as TWS trains it.

    Parameters
    ----------
    found : str
        What is wrong with it.
    remedy : str
        What to do.
    """
    return ModelFileError(found, expected=_EXPECTED, remedy=remedy)


@dataclass(frozen=True)
class ModelObjects:
    """What a ``.model`` file holds.

    Parameters
    ----------
    classifier : weka.classifiers.Classifier
    header : weka.core.Instances
    java_class : str
        The classifier's class.
    size : int
        Bytes of the uncompressed stream.
    ranges : Object[] or None
        Of `read_stream`: the ranges of features by which the classifier's distances scale, for Classifiers.java.
    """

    classifier: Any
    header: Any
    java_class: str
    size: int
    ranges: Any = None

    @property
    def is_fast_random_forest(self) -> bool:
        """Whether it is TWS's default classifier."""
        return self.java_class == _FOREST


@cache
def _weka_classes() -> frozenset[str]:
    text = files(__package__).joinpath("weka_classes.txt").read_text(encoding="utf-8")
    return frozenset(line for line in text.splitlines() if line and not line.startswith("#"))


def _admitted(java_class: str) -> tuple[tuple[str, ...], int]:
    """The classes that a stream with this classifier may hold, and how many collections."""
    if java_class == _FOREST:
        return _ALLOWED, _MOST_COLLECTIONS
    from fijibridge.jvm.extra_jars import classes_of_jars

    return (*_ALLOWED, *_DATA, *sorted(_weka_classes()), *sorted(classes_of_jars())), 2**31 - 1


def read_objects(path: Path) -> ModelObjects:
    """Read the two objects of a ``.model`` file.

    Parameters
    ----------
    path : Path
        The file, compressed or not.

    Returns
    -------
    ModelObjects

    Raises
    ------
    ModelFileError
        If it is missing, truncated, not a ``.model``, of a classifier that is not there, or holds what it must not.
    """
    zipped, size, name = _look_at(path)
    import jpype

    return _read(
        str(path), name, size,
        lambda checks: ("read", jpype.java.lang.String(str(path.absolute())), jpype.JBoolean(zipped), checks,
                        jpype.JLong(size)),
    )  # fmt: skip


def read_stream(data: bytes, java_class: str) -> ModelObjects:
    """Read the two objects of a stream in memory that came out of a file that `read_objects` took.

    Parameters
    ----------
    data : bytes
        The uncompressed stream.
    java_class : str
        The classifier's class.

    Returns
    -------
    ModelObjects

    Raises
    ------
    ModelFileError
        As `read_objects`.
    """
    import jpype

    return _read(
        f"a saved {java_class}",
        java_class,
        len(data),
        lambda checks: ("classifiers_read", jpype.JArray(jpype.JByte)(data), checks),
    )


def stream_of(path: Path) -> bytes:
    """The uncompressed bytes of a file that `read_objects` took."""
    data = path.read_bytes()
    return gzip.decompress(data) if data.startswith(_GZIP) else data


def _read(what: str, name: str, size: int, call: Any) -> ModelObjects:
    import jpype

    from fijibridge.forest.java import compiler as javahelper

    allowed, collections = _admitted(name)
    checks = javahelper.stream_filter(list(allowed), size, collections)
    try:
        classifier, header, *ranges = javahelper.call(*call(checks))
    except jpype.JException as error:
        raise _not_read(what, error, checks.refused) from error
    if header is None:
        raise unusable(f"{what} holds a {name} but no header after it", _SAVE_AGAIN)
    found = str(classifier.getClass().getName())
    if found != name or str(header.getClass().getName()) != _HEADER:
        raise unusable(f"{what} holds {found} and {header.getClass().getName()}", _SAVE_AGAIN)
    if name == _FOREST:
        own = javahelper.forests().get(classifier, "m_Info")
        if own is None:
            raise unusable(f"{what} holds a classifier that was never trained")
        if (own.numAttributes(), own.numClasses()) != (header.numAttributes(), header.numClasses()):
            raise unusable(
                f"{what} has a header of {header.numAttributes()} attributes, its trees of {own.numAttributes()}"
            )
    elif not isinstance(classifier, jpype.JClass("weka.classifiers.Classifier")):
        raise unusable(f"{what} holds a {name}, which is no classifier")
    return ModelObjects(classifier, header, name, size, *ranges)


def header_names(header: Any, what: str) -> tuple[tuple[str, ...], tuple[str, ...], int]:
    """Names of the features and classes of a header, and the class's place among the attributes.

    Parameters
    ----------
    header : weka.core.Instances
    what : str
        Whose header it is, for the message.

    Returns
    -------
    features, classes : tuple of str
    class_index : int
        TWS puts the class last.

    Raises
    ------
    ModelFileError
        If it has no list of classes, or a feature that is no number.
    """
    import jpype

    try:
        return _header_names(header, what)
    except jpype.JException as error:
        raise unusable(f"{what} has a damaged header ({error})", _SAVE_AGAIN) from error


def _header_names(header: Any, what: str) -> tuple[tuple[str, ...], tuple[str, ...], int]:
    n_features, class_index = int(header.numAttributes()) - 1, int(header.classIndex())
    if class_index < 0 or not header.classAttribute().isNominal():
        raise unusable(f"{what} with no list of classes")
    attributes = [header.attribute(i) for i in range(n_features + 1) if i != class_index]
    other = [str(attribute.name()) for attribute in attributes if not attribute.isNumeric()]
    if other:
        raise unusable(f"{what} with the feature {other[0]} that is not numeric")
    classes = tuple(str(header.classAttribute().value(i)) for i in range(header.numClasses()))
    return tuple(str(attribute.name()) for attribute in attributes), classes, class_index


def _not_read(what: str, error: Any, refused: Any) -> ModelFileError:
    """What a failure to read the objects means."""
    kind, text = str(error.getClass().getSimpleName()), str(error.getMessage())
    if refused is not None:
        name = str(refused).removeprefix("the Java class ")
        why = f", {_DANGEROUS[name]}" if name in _DANGEROUS else ""
        return ModelFileError(
            f"{what} holds {refused}{why}",
            expected=_EXPECTED,
            remedy="do not open it in TWS or Weka unless you know who made it; ask for a new one",
        )
    remedy = _SAVE_AGAIN
    if kind == "EOFException":
        found = f"{what} ends in the middle of the classifier"
    elif kind == "OutOfMemoryError":
        found = f"{what} is too large for Java's heap"
        remedy = "start Java with a larger heap: fijibridge.jvm.start(heap=...)"
    elif kind == "StackOverflowError":
        found = f"{what} is nested too deeply"
    elif kind in ("ClassNotFoundException", "NoClassDefFoundError"):
        missing = text.replace("/", ".")
        found = f"{what} needs the Java class {missing}, which is not there"
        library = (
            "mtj-1.0.4.jar of the folder jars of a Fiji"
            if missing.startswith("no.uib.cipr.matrix")
            else "the jar that has it"
        )
        remedy = f"let the environment's FIJIBRIDGE_JARS name {library} before Java starts"
    else:
        found = f"{what} is damaged ({kind}: {text})"
    return ModelFileError(found, expected=_EXPECTED, remedy=remedy)


def _look_at(path: Path) -> tuple[bool, int, str]:
    """Whether it is compressed, how long its stream is, and its classifier, once that is known to be one to read."""
    try:
        if path.exists() and not path.is_file():
            raise OSError(0, "no file")
        with path.open("rb") as file:
            zipped = file.read(2) == _GZIP
        with gzip.open(path) if zipped else path.open("rb") as stream:
            start = stream.read(1024)
            name = _checked_start(path, start)
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
    return zipped, size, name


def _checked_start(path: Path, start: bytes) -> str:
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
    if name != _FOREST and not (name in _weka_classes() and name.startswith("weka.classifiers.")):
        from fijibridge.jvm.extra_jars import classes_of_jars

        if name not in classes_of_jars():
            _refuse(path, name)
    return name


def _refuse(path: Path, name: str) -> NoReturn:
    """Say why a classifier, or what stands in its place, is not read."""
    if name in _DANGEROUS:
        raise unusable(f"{path} holds a {name}, {_DANGEROUS[name]}", "choose another classifier in TWS, train and save")
    if not name.startswith(("weka.classifiers.", "hr.irb.")):
        raise unusable(f"{path} holds a {name}, which is no classifier of Weka")
    package = next((name_ for start, name_ in _PACKAGES.items() if name.startswith(start)), None)
    of = f"of Weka's package {package}" if package else "of a Weka package"
    folder = f"~/wekafiles/packages/{package or 'PACKAGE'}"
    raise unusable(
        f"{path} holds a {name}, a classifier {of} that is not on the class path",
        f"install {package or 'the package'} with Weka's package manager and set FIJIBRIDGE_JARS={folder} before Java "
        "starts, or choose FastRandomForest in TWS's Settings, train, and save again",
    )
