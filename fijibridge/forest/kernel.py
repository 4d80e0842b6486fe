"""The compiled prediction kernel of a forest. Importing it loads numba; `Forest` does so at the first prediction.

How it is fast, measured against one row at a time through nodes as they come (5 times slower):

- A block of 64 rows is copied feature by feature, so that neighbouring pixels, which mostly take the same branches,
  share cache lines, and the block stays in the second-level cache while all trees pass over it.
- Eight rows descend together. Their steps do not depend on each other, so the processor overlaps the waits.
- A step has no branch: siblings are neighbours, so the next node is ``child + (x >= threshold)``. A leaf is its own
  child with threshold NaN, so rows that are done stay where they are until all eight are.
- Unsigned indices everywhere: for signed ones numba adds the test for Python's negative indices.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import numba
import numpy as np

from fijibridge.core.errors import SettingsError
from fijibridge.core.parallel import compiled
from fijibridge.forest.rounding import float32_at_least

_BLOCK = 64  # rows a block; a multiple of the eight that descend together
_CHUNK = 256 * _BLOCK  # rows a call: long enough to hide Python, short enough to answer Ctrl-C
_U8, _ONE = np.uint64(8), np.uint32(1)


class Nodes(Protocol):
    """What the kernel takes of a forest: the node arrays of `fijibridge.forest.Forest`, which never change."""

    @property
    def feature(self) -> np.ndarray: ...
    @property
    def threshold(self) -> np.ndarray: ...
    @property
    def left(self) -> np.ndarray: ...
    @property
    def right(self) -> np.ndarray: ...
    @property
    def value(self) -> np.ndarray: ...
    @property
    def left_fraction(self) -> np.ndarray: ...
    @property
    def roots(self) -> np.ndarray: ...


@dataclass(frozen=True)
class _Packed:
    """A forest's nodes tree by tree, each breadth first with siblings side by side."""

    offset: np.ndarray  # uint32: where the node's feature begins in a block
    threshold: np.ndarray  # float32 or float64, NaN at leaves
    child: np.ndarray  # uint32: left child, the right one follows; a leaf's is itself
    left_fraction: np.ndarray  # float64
    value: np.ndarray  # float64 (n_classes, n_nodes)
    roots: np.ndarray  # uint32
    node: np.ndarray  # int32: index in the Forest
    used: np.ndarray  # int64: features that the forest looks at
    depth: int


_PACKED: WeakKeyDictionary[Nodes, dict[str, _Packed]] = WeakKeyDictionary()


def _pack(forest: Nodes, dtype: np.dtype) -> _Packed:
    kept = _PACKED.setdefault(forest, {})
    if dtype.str in kept:
        return kept[dtype.str]
    levels, trees = [], []
    level, tree = forest.roots, np.arange(len(forest.roots))
    while len(level):
        levels.append(level)
        trees.append(tree)
        inner = forest.feature[level] >= 0
        level = np.stack([forest.left[level[inner]], forest.right[level[inner]]], axis=1).ravel()
        tree = np.repeat(tree[inner], 2)
    by_tree = np.argsort(np.concatenate(trees), kind="stable")  # keeps siblings side by side
    node = np.concatenate(levels)[by_tree]
    place = np.empty(len(forest.feature), np.int64)
    place[node] = np.arange(len(forest.feature))
    feature = forest.feature[node]
    leaf = feature < 0
    used = np.unique(feature[~leaf]).astype(np.int64)
    threshold = forest.threshold[node]
    if dtype == np.float32:
        threshold = float32_at_least(threshold)  # x < t and x < this are the same for every float32 x
    packed = _Packed(
        offset=np.where(leaf, 0, np.searchsorted(used, feature) * _BLOCK).astype(np.uint32),
        threshold=np.where(leaf, dtype.type(np.nan), threshold),
        child=np.where(leaf, np.arange(len(node)), place[forest.left[node]]).astype(np.uint32),
        left_fraction=forest.left_fraction[node],
        value=np.ascontiguousarray(forest.value[node].T),
        roots=place[forest.roots].astype(np.uint32),
        node=node.astype(np.int32),
        used=used,
        depth=len(levels),
    )
    kept[dtype.str] = packed
    return packed


@compiled
def _fill(X, first, rows, used, block, has_nan):
    """Copy rows of X feature by feature; say which hold a NaN."""
    for r in range(np.uint64(rows)):
        found = False
        for k in range(np.uint64(len(used))):
            x = X[first + r, used[k]]
            found |= x != x
            block[k * np.uint64(_BLOCK) + r] = x
        has_nan[r] = found


@compiled
def _descend(block, root, offset, threshold, child, leaf):
    """Find the leaf of every row of a block in one tree."""
    r1, r2, r3, r4, r5, r6, r7 = (
        np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4), np.uint64(5), np.uint64(6), np.uint64(7)
    )  # fmt: skip
    for r in range(np.uint64(0), np.uint64(_BLOCK), _U8):
        a = b = c = d = e = f = g = h = root
        while True:
            # Two steps a test: of the few wasted ones most are cheaper than the test.
            i = child[a] + np.uint32(block[np.uint64(offset[a]) + r] >= threshold[a])
            j = child[b] + np.uint32(block[np.uint64(offset[b]) + r + r1] >= threshold[b])
            k = child[c] + np.uint32(block[np.uint64(offset[c]) + r + r2] >= threshold[c])
            m = child[d] + np.uint32(block[np.uint64(offset[d]) + r + r3] >= threshold[d])
            n = child[e] + np.uint32(block[np.uint64(offset[e]) + r + r4] >= threshold[e])
            o = child[f] + np.uint32(block[np.uint64(offset[f]) + r + r5] >= threshold[f])
            p = child[g] + np.uint32(block[np.uint64(offset[g]) + r + r6] >= threshold[g])
            q = child[h] + np.uint32(block[np.uint64(offset[h]) + r + r7] >= threshold[h])
            a = child[i] + np.uint32(block[np.uint64(offset[i]) + r] >= threshold[i])
            b = child[j] + np.uint32(block[np.uint64(offset[j]) + r + r1] >= threshold[j])
            c = child[k] + np.uint32(block[np.uint64(offset[k]) + r + r2] >= threshold[k])
            d = child[m] + np.uint32(block[np.uint64(offset[m]) + r + r3] >= threshold[m])
            e = child[n] + np.uint32(block[np.uint64(offset[n]) + r + r4] >= threshold[n])
            f = child[o] + np.uint32(block[np.uint64(offset[o]) + r + r5] >= threshold[o])
            g = child[p] + np.uint32(block[np.uint64(offset[p]) + r + r6] >= threshold[p])
            h = child[q] + np.uint32(block[np.uint64(offset[q]) + r + r7] >= threshold[q])
            if (a ^ i) | (b ^ j) | (c ^ k) | (d ^ m) | (e ^ n) | (f ^ o) | (g ^ p) | (h ^ q) == 0:
                break
        leaf[r], leaf[r + r1], leaf[r + r2], leaf[r + r3] = a, b, c, d
        leaf[r + r4], leaf[r + r5], leaf[r + r6], leaf[r + r7] = e, f, g, h


@compiled
def _both_ways(block, r, offset, threshold, child, left_fraction, value, roots, nodes, weights, total):
    """Sum the trees for one row with NaN: a split on a NaN takes both branches, weighted by left_fraction."""
    total[:, r] = 0
    for t in range(np.uint64(len(roots))):
        nodes[0], weights[0] = roots[t], 1.0
        height = np.uint64(1)
        while height > 0:
            height -= np.uint64(1)
            i, weight = nodes[height], weights[height]
            while child[i] != i:
                x = block[np.uint64(offset[i]) + r]
                if x != x:
                    nodes[height] = child[i] + _ONE
                    weights[height] = weight * (1 - left_fraction[i])
                    height += np.uint64(1)
                    weight *= left_fraction[i]
                    i = child[i]
                else:
                    i = child[i] + np.uint32(x >= threshold[i])
            for c in range(np.uint64(len(value))):
                total[c, r] += weight * value[c, i]


@compiled
def _predict_rows(X, offset, threshold, child, left_fraction, value, roots, used, depth, out):
    n_classes = np.uint64(len(value))
    block = np.zeros(max(len(used), 1) * _BLOCK, X.dtype)
    has_nan = np.zeros(_BLOCK, np.bool_)
    leaf = np.empty(_BLOCK, np.uint32)
    total = np.empty((len(value), _BLOCK), np.float64)
    nodes, weights = np.empty(depth + 1, np.uint32), np.empty(depth + 1, np.float64)
    for first in range(0, len(X), _BLOCK):
        rows = min(_BLOCK, len(X) - first)
        _fill(X, first, rows, used, block, has_nan)
        total[:] = 0
        for t in range(np.uint64(len(roots))):
            _descend(block, roots[t], offset, threshold, child, leaf)
            for c in range(n_classes):
                for r in range(np.uint64(_BLOCK)):
                    total[c, r] += value[c, leaf[r]]
        for r in range(np.uint64(rows)):
            if has_nan[r]:
                _both_ways(block, r, offset, threshold, child, left_fraction, value, roots, nodes, weights, total)
            mass = 0.0
            for c in range(n_classes):
                mass += total[c, r]
            for c in range(n_classes):
                out[first + r, c] = total[c, r] / mass if mass > 0 else 1 / n_classes


@compiled
def _apply_rows(X, offset, threshold, child, roots, node, used, out):
    """Write the leaves; return whether a NaN was met."""
    block = np.zeros(max(len(used), 1) * _BLOCK, X.dtype)
    has_nan = np.zeros(_BLOCK, np.bool_)
    leaf = np.empty(_BLOCK, np.uint32)
    any_nan = False
    for first in range(0, len(X), _BLOCK):
        rows = min(_BLOCK, len(X) - first)
        _fill(X, first, rows, used, block, has_nan)
        any_nan |= bool(has_nan[:rows].any())
        for t in range(np.uint64(len(roots))):
            _descend(block, roots[t], offset, threshold, child, leaf)
            for r in range(np.uint64(rows)):
                out[first + r, t] = node[leaf[r]]
    return any_nan


def _in_chunks(work: Callable[[slice], bool | None], n_rows: int, n_threads: int | None) -> list[bool | None]:
    config: Any = numba.config  # its attributes are made of the environment
    n_threads = config.NUMBA_NUM_THREADS if n_threads is None else n_threads
    if n_threads < 1:
        raise SettingsError(f"n_threads={n_threads}", expected="1 or more", remedy="leave it out to use all cores")
    size = min(_CHUNK, max(_BLOCK, -(-n_rows // (_BLOCK * n_threads)) * _BLOCK))
    chunks = [slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size)]
    if n_threads == 1 or len(chunks) < 2:
        return [work(chunk) for chunk in chunks]
    pool = ThreadPoolExecutor(n_threads, thread_name_prefix="forest")
    try:
        return list(pool.map(work, chunks))
    finally:
        pool.shutdown(cancel_futures=True)


def predict_proba(forest: Nodes, X: np.ndarray, n_threads: int | None = None) -> np.ndarray:
    """Class probabilities; the work behind `Forest.predict_proba`.

    Parameters
    ----------
    forest : Forest
        Its node arrays are brought into the kernel's order once, and kept as long as the forest lives.
    X : ndarray of float32 or float64, shape (n, n_features)
        In any memory order.
    n_threads : int, optional
        Default: all cores this process may use (or what NUMBA_NUM_THREADS says).

    Returns
    -------
    ndarray of float64, shape (n, n_classes)
    """
    p = _pack(forest, X.dtype)
    out = np.empty((len(X), forest.value.shape[1]))

    def work(rows: slice) -> None:
        _predict_rows(
            X[rows], p.offset, p.threshold, p.child, p.left_fraction, p.value, p.roots, p.used, p.depth, out[rows]
        )

    _in_chunks(work, len(X), n_threads)
    return out


def apply(forest: Nodes, X: np.ndarray, n_threads: int | None = None) -> np.ndarray:
    """Leaves as node indices of `forest`; the work behind `Forest.apply`.

    Parameters
    ----------
    forest : Forest
        As for `predict_proba`.
    X : ndarray of float32 or float64, shape (n, n_features)
        In any memory order, without NaN.
    n_threads : int, optional
        As for `predict_proba`.

    Returns
    -------
    ndarray of int32, shape (n, n_trees)

    Raises
    ------
    SettingsError
        If `X` holds NaN.
    """
    p = _pack(forest, X.dtype)
    out = np.empty((len(X), len(forest.roots)), np.int32)

    def work(rows: slice) -> bool:
        return _apply_rows(X[rows], p.offset, p.threshold, p.child, p.roots, p.node, p.used, out[rows])

    if any(_in_chunks(work, len(X), n_threads)):
        raise SettingsError(
            "NaN among the samples", expected="finite features", remedy="use predict_proba, or fill the NaN first"
        )
    return out
