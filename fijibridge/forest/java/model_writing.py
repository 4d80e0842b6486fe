"""`.model` files of TWS and Weka, written without Java: byte for byte what Java writes for the same forest.

A ``.model`` is two serialized objects: a trained FastRandomForest and the empty Instances that name its attributes and
classes. Their layout is described here by class names, serialVersionUIDs and fields alone.
"""

from __future__ import annotations

import dataclasses
import gzip
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from fijibridge.core.atomic_output import output_file
from fijibridge.core.errors import SettingsError
from fijibridge.forest.forest import Forest
from fijibridge.forest.java.model_file import RELATION, RELATION_3D
from fijibridge.forest.java.serialization import JavaClass, JavaStream, reference, string_hash
from fijibridge.forest.samples import features_tried

_SEEDS = 2**31  # Java's int
_CHUNK = 2**16  # nodes a step

_LIST, _STRING, _INSTANCES = "Ljava/util/ArrayList;", "Ljava/lang/String;", "Lweka/core/Instances;"
_ABSTRACT = JavaClass(
    "weka.classifiers.AbstractClassifier",
    6502780192411755341,
    (("m_Debug", "Z"), ("m_DoNotCheckCapabilities", "Z"), ("m_numDecimalPlaces", "I"), ("m_BatchSize", _STRING)),
)
_FOREST = JavaClass(
    "hr.irb.fastRandomForest.FastRandomForest",
    4216839470751428700,
    (
        ("m_KValue", "I"),
        ("m_MaxDepth", "I"),
        ("m_NumThreads", "I"),
        ("m_computeImportances", "Z"),
        ("m_numFeatures", "I"),
        ("m_numTrees", "I"),
        ("m_randomSeed", "I"),
        ("m_FeatureImportances", "[D"),
        ("m_Info", _INSTANCES),
        ("m_ZeroR", "Lweka/classifiers/AbstractClassifier;"),
        ("m_bagger", "Lhr/irb/fastRandomForest/FastRfBagging;"),
    ),
    _ABSTRACT,
)
_SINGLE = JavaClass(
    "weka.classifiers.SingleClassifierEnhancer",
    -3665885256363525164,
    (("m_Classifier", "Lweka/classifiers/Classifier;"),),
    _ABSTRACT,
)
_ITERATED = JavaClass(
    "weka.classifiers.IteratedSingleClassifierEnhancer",
    -6217979135443319724,
    (("m_NumIterations", "I"), ("m_Classifiers", "[Lweka/classifiers/Classifier;")),
    _SINGLE,
)
_RANDOMIZABLE = JavaClass(
    "weka.classifiers.RandomizableIteratedSingleClassifierEnhancer", 5063351391524938557, (("m_Seed", "I"),), _ITERATED
)
_BAGGING = JavaClass(
    "hr.irb.fastRandomForest.FastRfBagging",
    -505879962237199702,
    (
        ("m_BagSizePercent", "I"),
        ("m_CalcOutOfBag", "Z"),
        ("m_OutOfBagError", "D"),
        ("m_computeImportances", "Z"),
        ("m_FeatureImportances", "[D"),
    ),
    _RANDOMIZABLE,
)
_TREE = JavaClass(
    "hr.irb.fastRandomForest.FastRandomTree",
    8934314652175299375,
    (
        ("m_Attribute", "I"),
        ("m_SplitPoint", "D"),
        ("m_ClassProbs", "[D"),
        ("m_MotherForest", "Lhr/irb/fastRandomForest/FastRandomForest;"),
        ("m_Prop", "[D"),
        ("m_Successors", "[Lhr/irb/fastRandomForest/FastRandomTree;"),
    ),
    _ABSTRACT,
)
_HEADER = JavaClass(
    "weka.core.Instances",
    -19412345060742748,
    (
        ("m_ClassIndex", "I"),
        ("m_Lines", "I"),
        ("m_Attributes", _LIST),
        ("m_Instances", _LIST),
        ("m_NamesToAttributeIndices", "Ljava/util/HashMap;"),
        ("m_RelationName", _STRING),
    ),
)
_ATTRIBUTE = JavaClass(
    "weka.core.Attribute",
    -742180568732916383,
    (
        ("m_Index", "I"),
        ("m_Type", "I"),
        ("m_Weight", "D"),
        ("m_AttributeInfo", "Lweka/core/AttributeInfo;"),
        ("m_AttributeMetaInfo", "Lweka/core/AttributeMetaInfo;"),
        ("m_Name", _STRING),
    ),
)
_NOMINAL = JavaClass(
    "weka.core.NominalAttributeInfo",
    -4143961687839418499,
    (("m_Hashtable", "Ljava/util/Hashtable;"), ("m_Values", _LIST)),
)
_ARRAY_LIST = JavaClass("java.util.ArrayList", 8683452581122892189, (("size", "I"),), writes=True)
_TABLE_FIELDS = (("loadFactor", "F"), ("threshold", "I"))
_HASHTABLE = JavaClass("java.util.Hashtable", 1421746759512286392, _TABLE_FIELDS, writes=True)
_HASH_MAP = JavaClass("java.util.HashMap", 362498820763181265, _TABLE_FIELDS, writes=True)
_INTEGER = JavaClass(
    "java.lang.Integer", 1360826667806852920, (("value", "I"),), JavaClass("java.lang.Number", -8742448824652078965)
)
_DOUBLES = JavaClass("[D", 4514449696888150558)
_CLASSIFIERS = JavaClass("[Lweka.classifiers.Classifier;", 3598330857592102858)
_TREES = JavaClass("[Lhr.irb.fastRandomForest.FastRandomTree;", -3175045561189425181)


@dataclasses.dataclass(frozen=True)
class WekaSettings:
    """Training settings as a FastRandomForest holds them."""

    seed: int
    max_features: int
    max_depth: int
    features_per_node: int
    oob_error: float


def weka_settings(forest: Forest) -> WekaSettings:
    """A forest's settings in FastRandomForest's terms; its defaults for what another trainer does not know."""
    asked = _whole(forest.settings.get("max_features"), 0)  # "sqrt" and shares are scikit-learn's
    per_node = _whole(forest.settings.get("features_per_node"), asked) or features_tried("sqrt", forest.n_features)
    oob_error = forest.settings.get("oob_error")
    return WekaSettings(
        seed=_whole(forest.settings.get("seed"), 1),
        max_features=asked or per_node,
        max_depth=_whole(forest.settings.get("max_depth"), 0),
        features_per_node=per_node,
        oob_error=oob_error if isinstance(oob_error, float) else np.nan,
    )


def _whole(value: object, otherwise: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _SEEDS else otherwise


def check_feature_names(feature_names: Sequence[str]) -> None:
    """Refuse the one feature name that TWS keeps for itself (a SettingsError)."""
    if "class" in feature_names:
        raise SettingsError(
            "a feature called 'class'", expected="another name: TWS calls the labels so", remedy="rename the feature"
        )


def write_model(path: str | os.PathLike[str], forest: Forest, *, is_3d: bool = False) -> Path:
    """Write a classifier that TWS's "Load classifier" and Weka read. Needs no Java.

    Parameters
    ----------
    path : path
        Usually ``*.model``; compressed if it ends with ``.gz``. Replaced if it exists.
    forest : Forest
        The classifier.
    is_3d : bool
        For TWS 3D, which refuses a classifier of 2D; TWS in 2D refuses one of 3D.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    SettingsError
        If a feature is called ``class``.
    OutputError
        If it cannot be written.
    """
    check_feature_names(forest.feature_names)
    path, relation = Path(path), RELATION_3D if is_3d else RELATION
    with output_file(path) as part, part.open("wb") as file:
        if path.suffix.lower() == ".gz":
            with gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=6, mtime=0) as zipped:
                # GzipFile writes bytes, but is no BinaryIO by name
                _write(zipped, forest, relation)  # type: ignore[arg-type]
        else:
            _write(file, forest, relation)
    return path


def _write(file: BinaryIO, forest: Forest, relation: str) -> None:
    stream, settings = JavaStream(file), weka_settings(forest)
    mother = stream.begin(_FOREST)
    stream.put("??i", False, False, 2)
    batch_size = stream.string("100")
    stream.put("iii", settings.features_per_node, settings.max_depth, 0)
    stream.put("?iii", False, settings.max_features, forest.n_trees, settings.seed)
    stream.null()
    header = _write_header(stream, forest.feature_names, forest.class_names, relation)
    stream.null()
    stream.begin(_BAGGING)
    _write_abstract(stream, batch_size)
    stream.begin(_TREE)  # what the trees were copied from
    _write_abstract(stream, batch_size)
    stream.put("id", -1, np.nan)
    stream.null()
    stream.refer(mother)
    stream.null()
    stream.null()
    stream.put("i", forest.n_trees)
    stream.begin_array(_CLASSIFIERS, forest.n_trees)
    _write_trees(stream, forest, mother, batch_size)
    stream.put("ii?d?", settings.seed, 100, True, settings.oob_error, False)
    stream.null()
    stream.refer(header)


def _write_abstract(stream: JavaStream, batch_size: int) -> None:
    """The fields of AbstractClassifier, the same in every object: Weka's defaults."""
    stream.put("??i", False, False, 2)
    stream.refer(batch_size)


# --- the header -------------------------------------------------------------------------------------------------------


def _write_header(stream: JavaStream, feature_names: Sequence[str], class_names: Sequence[str], relation: str) -> int:
    handle = stream.begin(_HEADER)
    stream.put("ii", len(feature_names), 0)
    _begin_list(stream, len(feature_names) + 1)
    names = {}
    for index, name in enumerate(feature_names):
        _begin_attribute(stream, index, 0)
        stream.null()
        stream.null()
        names[name] = stream.string(name)
    _begin_attribute(stream, len(feature_names), 1)
    _write_values(stream, class_names)
    stream.null()
    names["class"] = stream.string("class")
    stream.end_block()
    _begin_list(stream, 0)
    stream.end_block()
    capacity, order = _hash_map_order(list(names))
    stream.begin(_HASH_MAP)
    stream.put("fi", 0.75, int(0.75 * capacity))
    stream.block("ii", capacity, len(names))
    index_of = {name: index for index, name in enumerate(names)}
    for name in order:
        stream.refer(names[name])
        stream.begin(_INTEGER)
        stream.put("i", index_of[name])
    stream.end_block()
    stream.string(relation)
    return handle


def _begin_list(stream: JavaStream, size: int) -> None:
    stream.begin(_ARRAY_LIST)
    stream.put("i", size)
    stream.block("i", size)


def _begin_attribute(stream: JavaStream, index: int, kind: int) -> None:
    stream.begin(_ATTRIBUTE)
    stream.put("iid", index, kind, 1.0)


def _write_values(stream: JavaStream, class_names: Sequence[str]) -> None:
    stream.begin(_NOMINAL)
    capacity, order = _hashtable_order(class_names)
    stream.begin(_HASHTABLE)
    stream.put("fi", 0.75, int(0.75 * capacity))
    stream.block("ii", capacity, len(class_names))
    handles = {}
    for index in order:
        handles[index] = stream.string(class_names[index])
        stream.begin(_INTEGER)
        stream.put("i", index)
    stream.end_block()
    _begin_list(stream, len(class_names))
    for index in range(len(class_names)):
        stream.refer(handles[index])
    stream.end_block()


def _hash_map_order(names: Sequence[str]) -> tuple[int, list[str]]:
    """Capacity of a HashMap made for this many names as Weka makes it, and the order in which it lists them.

    Eight names of one hash value would be listed in another order by Java, which then keeps them as a tree; what is
    read is the same.
    """
    capacity = 1
    while capacity < int(len(names) / 0.75):
        capacity *= 2
    while len(names) > int(0.75 * capacity):
        capacity *= 2
    hashes = [string_hash(name) for name in names]
    places = [(value ^ (value >> 16)) & (capacity - 1) for value in hashes]
    return capacity, [names[i] for i in sorted(range(len(names)), key=places.__getitem__)]


def _hashtable_order(names: Sequence[str]) -> tuple[int, Iterable[int]]:
    """Capacity of a Hashtable made for this many names and filled in turn, and the order in which it is serialized."""
    hashes = [string_hash(name) & 0x7FFFFFFF for name in names]
    table: list[list[int]] = [[] for _ in names]
    for index in range(len(names)):
        if index >= int(0.75 * len(table)):  # it grows before it is full, and turns each chain round
            old, table = table, [[] for _ in range(2 * len(table) + 1)]
            for chain in reversed(old):
                for entry in chain:
                    table[hashes[entry] % len(table)].insert(0, entry)
        table[hashes[index] % len(table)].insert(0, index)
    return len(table), [entry for chain in reversed(table) for entry in reversed(chain)]


# --- the trees --------------------------------------------------------------------------------------------------------


def _write_trees(stream: JavaStream, forest: Forest, mother: int, batch_size: int) -> None:
    """All nodes, depth first: a split ends with its two branches, so that each node is a record of its own."""
    nodes = forest.depth_first()
    done = 0
    # One by one until the stream has described the two kinds of arrays: from then on all records are alike.
    while done < len(nodes) and (stream.handle_of(_DOUBLES) is None or stream.handle_of(_TREES) is None):
        _write_node(stream, forest, nodes[done], mother, batch_size)
        done += 1
    if done == len(nodes):
        return
    kinds = {kind: stream.handle_of(kind) for kind in (_TREE, _DOUBLES, _TREES)}
    tree, doubles, trees = (reference(handle) for handle in kinds.values() if handle is not None)
    start = b"\x73" + tree + b"\x00\x00\x00\x00\x00\x02" + reference(batch_size)
    to_mother = reference(mother)
    n_classes = forest.n_classes
    parts: list[tuple[str, str | bytes]] = [("start", start), ("feature", ">i4"), ("threshold", ">f8")]
    branch = _Records(
        *parts,
        ("mother", b"\x70" + to_mother),
        ("prop", b"\x75" + doubles + (2).to_bytes(4, "big")),
        ("left", ">f8"),
        ("right", ">f8"),
        ("branches", b"\x75" + trees + (2).to_bytes(4, "big")),
    )
    leaf = _Records(
        *parts,
        ("probs", b"\x75" + doubles + n_classes.to_bytes(4, "big")),
        ("value", f"({n_classes},)>f8"),
        ("mother", to_mother + b"\x70\x70"),
    )
    for first in range(done, len(nodes), _CHUNK):
        node = nodes[first : first + _CHUNK]
        splits = forest.feature[node] >= 0
        inner, leaves = node[splits], node[~splits]
        left = forest.left_fraction[inner]
        records = branch.filled(
            len(inner), feature=forest.feature[inner], threshold=forest.threshold[inner], left=left, right=1.0 - left
        )
        ends = leaf.filled(len(leaves), feature=-1, threshold=np.nan, value=forest.value[leaves])
        of_splits = np.repeat(splits, np.where(splits, branch.size, leaf.size))
        data = np.empty(len(of_splits), np.uint8)
        data[of_splits], data[~of_splits] = records, ends
        stream.raw(data.data)


def _write_node(stream: JavaStream, forest: Forest, node: int, mother: int, batch_size: int) -> None:
    stream.begin(_TREE)
    _write_abstract(stream, batch_size)
    if forest.feature[node] < 0:
        stream.put("id", -1, np.nan)
        stream.begin_array(_DOUBLES, forest.n_classes)
        stream.put(f"{forest.n_classes}d", *forest.value[node])
        stream.refer(mother)
        stream.null()
        stream.null()
    else:
        stream.put("id", forest.feature[node], forest.threshold[node])
        stream.null()
        stream.refer(mother)
        left = forest.left_fraction[node]
        stream.begin_array(_DOUBLES, 2)
        stream.put("dd", left, 1.0 - left)
        stream.begin_array(_TREES, 2)


class _Records:
    """Records of fixed bytes and numbers in turn."""

    def __init__(self, *parts: tuple[str, str | bytes]) -> None:
        self._fixed = {name: np.void(part) for name, part in parts if isinstance(part, bytes)}
        self._dtype = np.dtype([(name, f"V{len(part)}" if isinstance(part, bytes) else part) for name, part in parts])
        self.size = self._dtype.itemsize

    def filled(self, count: int, **numbers: np.ndarray | float) -> np.ndarray:
        """The bytes of `count` records with these numbers."""
        records = np.empty(count, self._dtype)
        for name, values in (self._fixed | numbers).items():
            records[name] = values
        return records.view(np.uint8)
