"""One random forest as flat arrays: what scikit-learn, Weka and the prediction kernel all read and write."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fijibridge.core.atomic_output import output_file
from fijibridge.core.errors import FeatureMismatchError, ModelFileError, SettingsError
from fijibridge.core.names import LONGEST_FEATURE, check_names
from fijibridge.core.records import parse_json, texts

_KIND = "fijibridge.forest"
_HIGHEST = 1e100  # of a leaf value: the sum over the trees is finite
_VERSION = 1
_ARRAYS = ("feature", "threshold", "left", "right", "value", "left_fraction", "roots")
_DTYPES = dict(zip(_ARRAYS, ("i4", "f8", "i4", "i4", "f8", "f8", "i8"), strict=True))


def _bad(found: str, expected: str) -> SettingsError:
    return SettingsError(
        f"not a forest: {found}", expected=expected, remedy="build it with a forest_from_* function or Forest.load"
    )


def _in_order(data: bytes) -> bytes:
    """A safetensors file whose metadata are in one order: the library writes them in another at every run."""
    size = int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8 : 8 + size]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[8 + size :]


@dataclass(frozen=True, eq=False, repr=False)
class Forest:
    """A random forest classifier, all trees in one set of node arrays.

    The rule of a split is Weka's: a sample goes left when ``x[feature] < threshold``, compared in float64. A sample's
    probabilities are ``sum over trees of value[leaf]``, normalised once at the end, because the leaves of Weka's
    FastRandomForest do not sum to 1.

    Parameters
    ----------
    feature : ndarray of int32, shape (n_nodes,)
        Feature that a node splits on; -1 at a leaf.
    threshold : ndarray of float64, shape (n_nodes,)
        Split point; infinities are allowed, NaN is not. Stored as 0 at leaves.
    left, right : ndarray of int32, shape (n_nodes,)
        Absolute index of the child; -1 at leaves. Every node but the roots has exactly one parent.
    value : ndarray of float64, shape (n_nodes, n_classes)
        Class probabilities of a leaf, as its owner holds them (not normalised). Stored as 0 at inner nodes.
    left_fraction : ndarray of float64, shape (n_nodes,)
        Share of the training weight that went left, in [0, 1] (FastRandomForest's ``m_Prop[0]``). A NaN feature goes
        down both branches, weighted by it. Stored as 0 at leaves.
    roots : ndarray of int64, shape (n_trees,)
        Index of each tree's root, in tree order.
    n_features : int
        Number of features of a sample.
    feature_names, class_names : tuple of str
        Distinct names, in the order of the features and of the columns of `value`.
    settings : dict
        What trained it, as plain JSON (``seed``, ``max_features``, ``n_samples``, ...). Not part of its identity.

    Raises
    ------
    SettingsError
        If the arrays do not describe a forest.

    Notes
    -----
    The arrays are stored read-only. ``n_samples`` in `settings`, where present, is the size of a bootstrap sample.
    """

    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    value: np.ndarray
    left_fraction: np.ndarray
    roots: np.ndarray
    n_features: int
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        put = lambda name, item: object.__setattr__(self, name, item)  # noqa: E731  the dataclass is frozen
        arrays = {name: np.asarray(getattr(self, name)) for name in _ARRAYS}
        put("feature_names", tuple(str(name) for name in self.feature_names))
        put("class_names", tuple(str(name) for name in self.class_names))
        put("n_features", int(self.n_features))
        try:
            put("settings", json.loads(json.dumps(self.settings, allow_nan=False)))
            if not isinstance(self.settings, dict):
                raise TypeError("no dict")
        except (TypeError, ValueError) as error:
            raise _bad(f"settings that are not plain JSON ({error})", "str, int, finite float, list, dict") from error
        self._check_shapes(arrays)
        for name in ("feature", "left", "right", "roots"):
            if arrays[name].dtype.kind not in "iu":
                raise _bad(f"{name} of dtype {arrays[name].dtype}", "integers")
        leaf = arrays["feature"] < 0
        self._check_nodes(arrays, leaf)
        # One form for what has no meaning, so that equal forests have equal arrays; + 0.0 turns -0.0 into 0.0.
        arrays["threshold"] = np.where(leaf, 0.0, arrays["threshold"]) + 0.0
        arrays["left_fraction"] = np.where(leaf, 0.0, arrays["left_fraction"])
        arrays["value"] = np.where(leaf[:, None], arrays["value"], 0.0)
        for name in ("feature", "left", "right"):
            arrays[name] = np.where(leaf, -1, arrays[name])
        for name, array in arrays.items():
            kept = np.ascontiguousarray(array, dtype=_DTYPES[name]).view()
            kept.flags.writeable = False
            put(name, kept)
        self._check_trees()

    def _check_shapes(self, arrays: dict[str, np.ndarray]) -> None:
        n = len(arrays["feature"]) if arrays["feature"].ndim == 1 else -1
        for name, array in arrays.items():
            good = array.ndim == 2 and len(array) == n if name == "value" else array.ndim == 1
            if not good or (name != "roots" and len(array) != n):
                raise _bad(f"{name} of shape {array.shape}", "one entry a node in every node array, value 2-D")
        if n < 1 or len(arrays["roots"]) < 1:
            raise _bad(f"{max(n, 0)} nodes, {len(arrays['roots'])} trees", "at least one tree")
        if n > np.iinfo(np.int32).max:
            raise _bad(f"{n} nodes", "fewer than 2^31 nodes")
        if len(self.feature_names) != self.n_features or len(set(self.feature_names)) != self.n_features:
            raise _bad(f"{len(self.feature_names)} feature names", f"{self.n_features} distinct ones, one a feature")
        n_classes = arrays["value"].shape[1]
        if n_classes < 1 or len(self.class_names) != n_classes or len(set(self.class_names)) != n_classes:
            raise _bad(f"{len(self.class_names)} class names", f"{n_classes} distinct ones, one a column of value")

    def _check_nodes(self, arrays: dict[str, np.ndarray], leaf: np.ndarray) -> None:
        inner = ~leaf
        if inner.any():
            highest = int(arrays["feature"].max())
            if highest >= self.n_features:
                raise _bad(f"a split on feature {highest}", f"features 0 to {self.n_features - 1}")
            if np.isnan(arrays["threshold"][inner]).any():
                raise _bad("a NaN threshold", "numbers (infinities are allowed)")
            fraction = arrays["left_fraction"][inner]
            if not ((fraction >= 0) & (fraction <= 1)).all():
                raise _bad("a left_fraction outside [0, 1] or NaN", "shares between 0 and 1")
            children = np.concatenate([arrays["left"][inner], arrays["right"][inner]])
            if children.min() < 0 or children.max() >= len(leaf):
                raise _bad("a child outside the node arrays", f"indices 0 to {len(leaf) - 1}")
        value = arrays["value"][leaf]
        if not ((value >= 0) & (value <= _HIGHEST)).all():
            raise _bad("a leaf value that is negative or not finite", f"numbers of 0 to {_HIGHEST:g}")
        if arrays["roots"].min() < 0 or arrays["roots"].max() >= len(leaf):
            raise _bad("a root outside the node arrays", f"indices 0 to {len(leaf) - 1}")

    def _check_trees(self) -> None:
        """Each node has one way in, and all are reached from the roots: so no cycles and no shared branches."""
        inner = self.feature >= 0
        ways_in = np.bincount(
            np.concatenate([self.left[inner], self.right[inner], self.roots]), minlength=len(self.feature)
        )
        reached, level = 0, self.roots
        if (ways_in == 1).all():
            while len(level):
                reached += len(level)
                level = level[inner[level]]
                level = np.concatenate([self.left[level], self.right[level]])
        if reached != self.n_nodes:
            raise _bad("a cycle, a shared branch or a node that no tree reaches", "one parent a node, none for a root")

    @property
    def n_trees(self) -> int:
        """Number of trees."""
        return len(self.roots)

    @property
    def n_nodes(self) -> int:
        """Number of nodes of all trees, leaves included."""
        return len(self.feature)

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return self.value.shape[1]

    def __repr__(self) -> str:
        return (
            f"Forest({self.n_trees} trees, {self.n_nodes} nodes, {self.n_features} features, "
            f"classes {', '.join(self.class_names)})"
        )

    def predict_proba(self, X: np.ndarray, *, n_threads: int | None = None) -> np.ndarray:
        """Class probabilities of samples.

        ``p = sum_t value[leaf_t(x)]``, summed in tree order in float64, then ``p / sum(p)``.

        Parameters
        ----------
        X : ndarray, shape (..., n_features)
            Samples; float32 and float64 are read in place in any memory order, others are converted. A (Y, X, F)
            feature stack can be given as it is. NaN goes down both branches, weighted by `left_fraction`.
        n_threads : int, optional
            Threads to use; all cores that this process may use by default.

        Returns
        -------
        ndarray of float64, shape (..., n_classes)
            Each row sums to 1. Where every reached leaf is all zero the row is uniform (FastRandomForest returns
            zeros there; the first class wins in both).

        Raises
        ------
        FeatureMismatchError
            If the last axis of `X` is not n_features long.
        SettingsError
            If `n_threads` is below 1 or `X` is not numeric.
        """
        rows = self._rows(X)
        from fijibridge.forest.kernel import predict_proba  # loads numba

        return predict_proba(self, rows, n_threads).reshape(*np.shape(X)[:-1], self.n_classes)

    def predict(self, X: np.ndarray, *, n_threads: int | None = None) -> np.ndarray:
        """Index into `class_names` of the most probable class; of equals the first one, as in Weka and scikit-learn.

        Parameters
        ----------
        X : ndarray, shape (..., n_features)
            As for `predict_proba`, with its errors.
        n_threads : int, optional
            As for `predict_proba`.

        Returns
        -------
        ndarray of int64, shape (...)
        """
        return self.predict_proba(X, n_threads=n_threads).argmax(axis=-1)

    def apply(self, X: np.ndarray, *, n_threads: int | None = None) -> np.ndarray:
        """Leaf that each sample reaches in each tree, as absolute node index.

        Parameters
        ----------
        X : ndarray, shape (..., n_features)
            As for `predict_proba`, with its errors; NaN is refused (it has no single leaf).
        n_threads : int, optional
            As for `predict_proba`.

        Returns
        -------
        ndarray of int32, shape (..., n_trees)
        """
        rows = self._rows(X)
        from fijibridge.forest.kernel import apply

        return apply(self, rows, n_threads).reshape(*np.shape(X)[:-1], self.n_trees)

    def _rows(self, X: np.ndarray) -> np.ndarray:
        X = np.asarray(X)
        if X.ndim < 2 or X.shape[-1] != self.n_features:
            raise FeatureMismatchError(
                f"samples of shape {X.shape}",
                expected=f"(..., {self.n_features}), one column a feature of the forest",
                remedy="compute the features as for the forest's training",
            )
        if X.dtype.kind not in "fiub":
            raise SettingsError(f"samples of dtype {X.dtype}", expected="real numbers", remedy="give float32 features")
        if X.dtype not in (np.float32, np.float64):
            X = X.astype(np.result_type(X.dtype, np.float32))  # float32 where that is exact, else float64
        if X.dtype.kind == "f" and X.dtype.itemsize > 8:
            X = X.astype(np.float64)
        return X.reshape(-1, self.n_features)

    def depth(self) -> np.ndarray:
        """Depth of every node, 0 at the roots.

        Returns
        -------
        ndarray of int32, shape (n_nodes,)
        """
        depth = np.zeros(self.n_nodes, np.int32)
        for number, level in enumerate(self._levels()):
            depth[level] = number
        return depth

    def _levels(self) -> list[np.ndarray]:
        levels, level = [], self.roots
        while len(level):
            levels.append(level)
            level = level[self.feature[level] >= 0]
            level = np.concatenate([self.left[level], self.right[level]])
        return levels

    def node_statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Share of a tree's training weight, and class distribution, of every node.

        The share follows from `left_fraction`, top down; the distribution of an inner node is that of its children
        mixed by `left_fraction`, bottom up, with the leaves' values as they are.

        Returns
        -------
        share : ndarray of float64, shape (n_nodes,)
            1 at the roots.
        distribution : ndarray of float64, shape (n_nodes, n_classes)
            Not normalised.
        """
        share, distribution = np.ones(self.n_nodes), self.value.copy()
        levels = self._levels()
        for level in levels:
            inner = level[self.feature[level] >= 0]
            share[self.left[inner]] = share[inner] * self.left_fraction[inner]
            share[self.right[inner]] = share[inner] * (1 - self.left_fraction[inner])
        for level in reversed(levels):
            inner = level[self.feature[level] >= 0]
            fraction = self.left_fraction[inner, None]
            distribution[inner] = (
                fraction * distribution[self.left[inner]] + (1 - fraction) * distribution[self.right[inner]]
            )
        return share, distribution

    def feature_importances(self) -> np.ndarray:
        """Mean decrease of Gini impurity by feature, from what the forest holds.

        With `node_statistics` ``w`` and ``p`` (normalised), ``G = 1 - sum_c p_c^2``, a split adds
        ``w G - w_left G_left - w_right G_right`` to its feature; each tree is normalised, then the mean over the
        trees with a split. For forests of scikit-learn trained with Gini impurity this is `feature_importances_`.

        Returns
        -------
        ndarray of float64, shape (n_features,)
            Sums to 1; all zero if no tree splits.
        """
        share, distribution = self.node_statistics()
        total = distribution.sum(axis=1, keepdims=True)
        p = np.divide(distribution, total, out=np.zeros_like(distribution), where=total > 0)
        weighted = share * (1 - (p**2).sum(axis=1))
        inner = np.flatnonzero(self.feature >= 0)
        gain = weighted[inner] - weighted[self.left[inner]] - weighted[self.right[inner]]
        table = np.zeros((self.n_trees, self.n_features))
        np.add.at(table, (self.tree_of_node()[inner], self.feature[inner]), np.maximum(gain, 0))
        sums = table.sum(axis=1)
        table = table[sums > 0] / sums[sums > 0, None]
        return table.mean(axis=0) if len(table) else np.zeros(self.n_features)

    def depth_first(self) -> np.ndarray:
        """All nodes in depth-first order: tree after tree, a node before its branches, left before right.

        Returns
        -------
        ndarray of int64, shape (n_nodes,)
            Node indices.
        """
        levels = self._levels()
        size = np.ones(self.n_nodes, np.int64)  # of the branch that begins at the node
        for level in reversed(levels):
            inner = level[self.feature[level] >= 0]
            size[inner] += size[self.left[inner]] + size[self.right[inner]]
        place = np.zeros(self.n_nodes, np.int64)
        place[self.roots] = np.cumsum(size[self.roots]) - size[self.roots]
        for level in levels:
            inner = level[self.feature[level] >= 0]
            left, right = self.left[inner], self.right[inner]
            place[left] = place[inner] + 1
            place[right] = place[left] + size[left]
        order = np.empty(self.n_nodes, np.int64)
        order[place] = np.arange(self.n_nodes)
        return order

    def tree_of_node(self) -> np.ndarray:
        """Number of the tree that each node belongs to.

        Returns
        -------
        ndarray of int64, shape (n_nodes,)
        """
        tree = np.zeros(self.n_nodes, np.int64)
        tree[self.roots] = np.arange(self.n_trees)
        for level in self._levels():
            inner = level[self.feature[level] >= 0]
            tree[self.left[inner]] = tree[self.right[inner]] = tree[inner]
        return tree

    def equals(self, other: object) -> bool:
        """Whether `other` is a forest with the same arrays and names; settings may differ."""
        return (
            isinstance(other, Forest)
            and (self.feature_names, self.class_names) == (other.feature_names, other.class_names)
            and all(np.array_equal(getattr(self, name), getattr(other, name)) for name in _ARRAYS)
        )

    def sha256(self) -> str:
        """Digest over arrays and names, the same on every machine: equal forests have equal digests.

        Returns
        -------
        str
            64 hexadecimal digits.
        """
        digest = hashlib.sha256(json.dumps([_KIND, self.feature_names, self.class_names]).encode())
        for name in _ARRAYS:
            array = getattr(self, name)
            digest.update(f"{name}{array.shape}".encode())
            digest.update(array.astype("<" + _DTYPES[name], copy=False).tobytes())
        return digest.hexdigest()

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the forest as a safetensors file: arrays and JSON, nothing to unpickle.

        Parameters
        ----------
        path : path
            File to write; replaced if it exists.

        Returns
        -------
        Path
            `path`.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        from safetensors.numpy import save

        about = {
            "feature_names": self.feature_names,
            "class_names": self.class_names,
            "settings": self.settings,
            "sha256": self.sha256(),
        }
        metadata = {"kind": _KIND, "version": str(_VERSION), "about": json.dumps(about)}
        data = _in_order(save({name: getattr(self, name) for name in _ARRAYS}, metadata))
        path = Path(path)
        with output_file(path) as part:
            part.write_bytes(data)
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Forest:
        """Read a forest that `save` wrote.

        Raises
        ------
        ModelFileError
            If the file is missing, damaged or of another kind.
        """
        path = Path(path)
        bad = ModelFileError(
            f"{path} does not hold a fijibridge forest",
            expected=f"a safetensors file that Forest.save wrote, version {_VERSION}",
            remedy="save the forest again; for a Weka .model use read_model",
        )
        try:
            if path.exists() and not path.is_file():
                raise OSError(0, "no file")
            data = path.read_bytes()
        except OSError as error:
            raise ModelFileError(
                f"cannot read {path} ({error.strerror})", expected="a readable file", remedy="check the path"
            ) from error
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            arrays = load(data)
            header = parse_json(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
            if (header["kind"], header["version"]) != (_KIND, str(_VERSION)) or set(arrays) != set(_ARRAYS):
                raise bad
            about = parse_json(header["about"])
            features, classes = (texts(about[key], key) for key in ("feature_names", "class_names"))
            check_names(features, "feature", where=path, error=ModelFileError, longest=LONGEST_FEATURE)
            check_names(classes, where=path, error=ModelFileError)
            forest = cls(
                **arrays,
                n_features=len(features),
                feature_names=features,
                class_names=classes,
                settings=about["settings"],
            )
            intact = forest.sha256() == about["sha256"]
        except ModelFileError:
            raise
        except (SafetensorError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise bad from error
        if not intact:
            raise bad
        return forest
