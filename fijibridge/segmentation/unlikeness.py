"""How unlike every label a pixel looks: an open-set score, for a region that no class fits.

A classifier gives each pixel one of its classes, sure or not: of what nobody labelled it says nothing. Mahalanobis
distance to the nearest class (Lee, Lee, Lee and Shin 2018, "A simple unified framework for detecting
out-of-distribution samples"): the classes' pixels are taken as Gaussians with a common covariance, in the few first
principal components of the ViT's channels. What distance is far is told by the labels themselves: each stroke is left
out in turn, and its pixels are compared with the other strokes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from fijibridge.core.errors import FeatureMismatchError, SettingsError
from fijibridge.features.columns import columns
from fijibridge.features.linear_head.head import digest_of_names
from fijibridge.features.linear_head.statistics import image_statistics, standardised
from fijibridge.features.stack import FeatureStack

# Chosen on the tuning images of benchmarks/open_set.py, with one class's labels withheld: 8 to 16 do alike (area under
# the ROC curve 0.913 to 0.915), distances to the nearest labelled pixels (Sun, Ming, Zhu and Li 2022) worse (0.911).
COMPONENTS = 12
SAMPLED = 1_500  # pixels of all images together, which tell the components
FAR = 0.95  # share of the pixels of strokes left out that are no farther than the limit
LEAST_STROKES = 6  # left out, below which the limit is too uncertain for words
SURE = 0.6  # mean over a square, from which on a region is named
LEAST_SHARE = 0.005  # of an image, below which nothing is said
_RIDGE = 1e-3  # of the total variance, shared by the components: a class may have two pixels alone
_BLOCK_BYTES = 32 * 2**20
_SQUARES, _CHUNK = 1_000, 4_096  # squares that others are compared with; compared at a time


@dataclass(frozen=True, eq=False)
class Unlikeness:
    """What tells pixels that resemble none of the labels.

    Parameters
    ----------
    projection : ndarray, float64, shape (T, D)
        From standardised grouped features (the ViT's channels) to coordinates in which the covariance of a class is 1.
    means : ndarray, float64, shape (K, D)
        Of the labelled classes there.
    limit : float
        Distance that is far.
    strokes : int
        How many strokes told the limit; 0: the labels themselves, too near.
    features_digest : str
        Of the names of all features, see :func:`fijibridge.features.linear_head.head.digest_of_names`.
    """

    projection: np.ndarray
    means: np.ndarray
    limit: float
    strokes: int
    features_digest: str

    def of(self, stack: FeatureStack, rows: slice = slice(None), cols: slice = slice(None)) -> np.ndarray:
        """How unlike all labels the pixels of an image are.

        Parameters
        ----------
        stack : FeatureStack
            Without a linear head's channels, or made of one that still knows them.
        rows, cols : slice
            A field of it.

        Returns
        -------
        ndarray, float32, shape (Y, X)
            ``d^2 / (d^2 + limit^2)`` of the distance d: 0 in the middle of a class, 0.5 at the limit, 1 far away.

        Raises
        ------
        FeatureMismatchError
            Other features.
        """
        whole, offset = self._coordinates(stack)
        y, x = (range(*span.indices(length)) for span, length in zip((rows, cols), whole.shape[:2], strict=True))
        out = np.zeros((len(y), len(x)), np.float32)
        centres = (self.means - offset).astype(np.float32)
        for down, across in FeatureStack((len(y), len(x)), whole.parts).blocks(_BLOCK_BYTES):
            block = whole.block(
                slice(y.start + down.start, y.start + down.stop), slice(x.start + across.start, x.start + across.stop)
            )
            place = block.reshape(*block.shape[:2], len(whole.parts), -1).sum(2)
            distance = np.min([((place - centre) ** 2).sum(2) for centre in centres], axis=0)
            out[down, across] = distance / (distance + np.float32(self.limit**2))
        return out

    def typicality(
        self, stack: FeatureStack, rows: slice = slice(None), cols: slice = slice(None), *, side: int
    ) -> np.ndarray:
        """How many squares of an image look like the one around a pixel.

        Information density (Settles and Craven 2008): a label there tells about many pixels.

        Parameters
        ----------
        stack, rows, cols
            As of :meth:`of`.
        side : int
            Of a square, in pixels.

        Returns
        -------
        ndarray, float32, shape (Y, X)
            ``exp(-d / median of d)`` of the distance d to the neighbour that 2 % of the squares are nearer than.
        """
        from scipy.ndimage import uniform_filter
        from threadpoolctl import threadpool_limits

        whole, _ = self._coordinates(stack)
        y, x = (np.arange(length)[span] for span, length in zip((rows, cols), whole.shape[:2], strict=True))
        step = max(1, side // 3)
        down, across = (own[min(step // 2, len(own) - 1) :: step] for own in (y, x))
        mask = np.zeros(whole.shape[:2], bool)
        mask[np.ix_(down, across)] = True
        grid = whole.at(mask).reshape(len(down), len(across), len(whole.parts), -1).sum(2)
        points = uniform_filter(grid, (3, 3, 1), mode="nearest").reshape(-1, grid.shape[2])
        some = points[np.random.default_rng(0).choice(len(points), min(len(points), _SQUARES), replace=False)]
        near, distance = max(1, len(some) // 50), np.empty(len(points), np.float32)
        near = min(near, len(some) - 1)
        with threadpool_limits(1, "blas"):
            for first in range(0, len(points), _CHUNK):
                own = points[first : first + _CHUNK]
                squares = (own**2).sum(1)[:, None] + (some**2).sum(1) - 2 * own @ some.T
                distance[first : first + _CHUNK] = np.sqrt(np.maximum(np.partition(squares, near, axis=1)[:, near], 0))
        typical = np.exp(-distance / max(float(np.median(distance)), 1e-9)).reshape(grid.shape[:2])
        place = (np.minimum(np.arange(len(own)) // step, n - 1) for own, n in zip((y, x), grid.shape[:2], strict=True))
        found: np.ndarray = typical[np.ix_(*place)]
        return found

    def _coordinates(self, stack: FeatureStack) -> tuple[FeatureStack, np.ndarray]:
        """Coordinates of an image's pixels as a stack, in parts that are to be added up, and what is to be added."""
        stack = stack.read if stack.read is not None else stack
        count = sum(bool(group) for group in stack.groups)
        if self.features_digest != digest_of_names(stack.names) or count != len(self.projection):
            raise FeatureMismatchError(
                f"a classifier of other features than {stack.names[-1]} and those before it",
                expected="the features that it was trained on, in their order",
                remedy="make the features as the classifier's own, or train anew",
            )
        statistics, weighted, offset = image_statistics(stack), [], np.zeros(self.means.shape[1])
        first = of_projection = 0
        for part in stack.parts:
            own = slice(first, first + len(part.names))
            first = own.stop
            if part.groups[0]:
                weights = self.projection[of_projection : of_projection + len(part.names)]
                weights = weights / statistics.spread[own, None]
                offset -= statistics.mean[own] @ weights
                weighted.append(part.weighted(weights.astype(np.float32)))
                of_projection += len(part.names)
        return FeatureStack(stack.shape[:2], weighted), offset

    @property
    def sure(self) -> bool:
        """Whether enough strokes told what is far."""
        return self.strokes >= LEAST_STROKES

    def arrays(self) -> dict[str, np.ndarray]:
        """Its numbers by name."""
        found = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "features_digest"}
        return {name: np.atleast_1d(np.asarray(value, np.float64)) for name, value in found.items()}

    @classmethod
    def restored(cls, arrays: Mapping[str, np.ndarray], features_digest: str) -> Unlikeness:
        """What :meth:`arrays` and the digest describe.

        Parameters
        ----------
        arrays : mapping
        features_digest : str

        Raises
        ------
        SettingsError
            Other arrays.
        """
        wanted = [one.name for one in fields(cls)][:-1]
        if set(arrays) == set(wanted):
            found = {name: np.asarray(arrays[name], np.float64) for name in wanted}
            shapes = [found[name].shape for name in wanted]
            fits = [len(shape) for shape in shapes] == [2, 2, 1, 1] and shapes[0][1] == shapes[1][1]
            fits = fits and shapes[2:] == [(1,), (1,)] and len(found["means"]) > 0
            if fits and all(np.isfinite(array).all() for array in found.values()) and found["limit"][0] > 0:
                limit, strokes = float(found["limit"][0]), int(found["strokes"][0])
                return cls(found["projection"], found["means"], limit, strokes, features_digest)
        raise SettingsError(
            f"arrays {', '.join(sorted(arrays)) or 'none'} that do not tell what resembles no label",
            expected=f"finite {', '.join(wanted)}",
            remedy="restore the classifier's folder, or train it anew",
        )


def sure_regions(score: np.ndarray, side: int) -> np.ndarray:
    """Where an image resembles none of the labels on the whole of a square, bool (Y, X).

    Parameters
    ----------
    score, side
        As of :func:`regions_unlike`.
    """
    from scipy.ndimage import uniform_filter

    found: np.ndarray = uniform_filter(score, min(side, *score.shape), mode="nearest") > SURE
    return found


def regions_unlike(score: np.ndarray, side: int) -> dict[str, Any] | None:
    """How much of an image resembles none of the labels, for sure, and where.

    Parameters
    ----------
    score : ndarray, float32, shape (Y, X)
        Of :meth:`Unlikeness.of`.
    side : int
        Of the squares over which means are taken, in pixels: the boundary of two classes resembles neither.

    Returns
    -------
    dict or None
        ``pixels``, of all such regions; ``largest``, and the box around it: ``top``, ``left``, ``height``, ``width``.
        None where that is less than 0.5 % of the image.
    """
    from scipy.ndimage import find_objects, label

    numbers, count = label(sure_regions(score, side))
    sizes = np.bincount(numbers.ravel(), minlength=count + 1)[1:]
    if not count or sizes.sum() < LEAST_SHARE * score.size:
        return None
    place = int(sizes.argmax())
    down, across = find_objects(numbers)[place]
    return {
        "pixels": int(sizes.sum()),
        "largest": int(sizes[place]),
        "top": down.start,
        "left": across.start,
        "height": down.stop - down.start,
        "width": across.stop - across.start,
    }


def fit_unlikeness(
    stacks: Sequence[FeatureStack], samples: Sequence[np.ndarray], y: np.ndarray, strokes: np.ndarray, seed: int
) -> Unlikeness | None:
    """Learn from labelled pixels what resembles them.

    Parameters
    ----------
    stacks : sequence of FeatureStack
        Without a linear head's channels.
    samples : sequence of ndarray, float32, shape (n_i, F)
        Features at the labelled pixels of each.
    y, strokes : ndarray of int64, shape (n,)
        Their classes, and their strokes, each of one class.
    seed : int
        Of the pixels that tell the components.

    Returns
    -------
    Unlikeness or None
        None for features without groups, or where none of these differs between pixels.
    """
    from sklearn.decomposition import PCA
    from threadpoolctl import threadpool_limits

    grouped = np.array([bool(group) for group in stacks[0].groups])
    if not grouped.any():
        return None
    each, drawn, known = -(-SAMPLED // len(stacks)), [], []
    for number, (stack, own) in enumerate(zip(stacks, samples, strict=True)):
        statistics = image_statistics(stack)
        statistics = type(statistics)(statistics.mean[grouped], statistics.spread[grouped])
        parts = [part for part in stack.parts if part.groups[0]]
        drawn.append(standardised(FeatureStack(stack.shape[:2], parts).sample(each, seed + number), statistics))
        known.append(standardised(own[:, columns(grouped)], statistics))
    pixels, labelled = np.concatenate(drawn), np.concatenate(known)
    if not np.ptp(pixels, axis=0).any():
        return None
    count = min(COMPONENTS, len(pixels), pixels.shape[1])
    with threadpool_limits(1, "blas"):
        fitted = PCA(count, svd_solver="randomized", iterated_power=2, random_state=seed).fit(pixels)
        basis = fitted.components_.T.astype(np.float64)
        variance = float(fitted.explained_variance_.sum())
        points = labelled @ basis
        points -= (middle := points.mean(0))
        moments = _ClassMoments(points, y, variance)
        whiten, means = moments.gaussians()
        held = _left_out(points, y, strokes, moments)
    distances = np.concatenate(held) if held else _distances(points, whiten, means)
    limit = float(np.quantile(distances, FAR))
    if not limit > 0:
        return None
    return Unlikeness(basis @ whiten, (means + middle) @ whiten, limit, len(held), digest_of_names(stacks[0].names))


class _ClassMoments:
    """Numbers of pixels, (K,), sums, (K, D), and second moments, (K, D, D), of the classes.

    A stroke that is left out is subtracted from its class's; the others need not be gone through anew.
    """

    def __init__(self, points: np.ndarray, y: np.ndarray, variance: float) -> None:
        own = [points[y == k] for k in np.unique(y)]
        self.n = np.array([len(p) for p in own], np.float64)
        self.total, self.second = np.array([p.sum(0) for p in own]), np.array([p.T @ p for p in own])
        self.ridge = _RIDGE * variance / points.shape[1] * np.eye(points.shape[1])

    def gaussians(self, left_out: np.ndarray | None = None, of: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """What makes the classes' common covariance 1, (D, D), and the classes' means, (K, D); without the points that
        are left out, (n, D), of the class at place `of`."""
        n, total, second = self.n, self.total, self.second
        if left_out is not None:
            n, total, second = n.copy(), total.copy(), second.copy()
            n[of] -= len(left_out)
            total[of] -= left_out.sum(0)
            second[of] -= left_out.T @ left_out
        means = total / n[:, None]
        apart = second.sum(0) - np.einsum("k,ki,kj->ij", n, means, means)
        return np.linalg.cholesky(np.linalg.inv(apart / n.sum() + self.ridge)), means


def _distances(points: np.ndarray, whiten: np.ndarray, means: np.ndarray) -> np.ndarray:
    """To the nearest mean."""
    apart = (points[:, None] - means) @ whiten
    nearest: np.ndarray = np.sqrt((apart**2).sum(2).min(1))
    return nearest


def _left_out(points: np.ndarray, y: np.ndarray, strokes: np.ndarray, moments: _ClassMoments) -> list[np.ndarray]:
    """Distances of each stroke's pixels from the other strokes; of a class's only stroke there are none."""
    found = []
    for place, k in enumerate(np.unique(y)):
        own = np.unique(strokes[y == k])
        for stroke in own if len(own) > 1 else ():
            out = points[strokes == stroke]
            found.append(_distances(out, *moments.gaussians(out, place)))
    return found
