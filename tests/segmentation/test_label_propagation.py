"""Pseudo-labels of unlabelled pixels: label propagation, and how far it and the linear model are trusted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from fijibridge.forest import train_sklearn
from fijibridge.segmentation.label_propagation import LEAK, propagate
from fijibridge.segmentation.pseudo_labels import (
    FOLDS,
    LEAST_OF_CLASS,
    MOST_LABELLED,
    chosen_labelled,
    folds,
    guessed,
    stacked,
)
from fijibridge.segmentation.similar_pixels import NEIGHBOURS, SimilarPixels, embedding, neighbour_graph


def clusters(counts, seed=0, dimensions=4, apart=12.0):
    """Points in clusters of a spread of 1, and their numbers."""
    rng = np.random.default_rng(seed)
    centres = apart * np.eye(dimensions)[: len(counts)]
    number = np.repeat(np.arange(len(counts)), counts)
    return centres[number] + rng.normal(size=(len(number), dimensions)), number


def graph_of(points):
    """Of points as they are."""
    found = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(points) - 1)).fit(points).kneighbors()
    return neighbour_graph(np.stack(found, -1))


def labels_at(number, rows):
    found = np.full(len(number), -1)
    found[rows] = number[rows]
    return found


def test_one_label_tells_of_its_whole_cluster():
    points, number = clusters((300, 60, 40))
    rows = [np.flatnonzero(number == k)[0] for k in range(3)]
    found = propagate(graph_of(points), labels_at(number, rows), 3)
    assert np.array_equal(found.argmax(1), number)
    np.testing.assert_allclose(found.sum(1), 1)


def test_a_much_labelled_class_is_not_found_more_often():
    points, number = clusters((200, 200), apart=3.5)  # they touch
    few, many = np.flatnonzero(number == 0)[:5], np.flatnonzero(number == 1)[:100]
    found = propagate(graph_of(points), labels_at(number, np.concatenate([few, many])), 2)
    assert (found.argmax(1) == 0).mean() == pytest.approx(0.5, abs=0.1)


def test_absorption_of_random_walks():
    """The walks themselves, by their definition."""
    points, number = clusters((25, 15), apart=4.0)
    graph, classes = graph_of(points), labels_at(number, [0, 3, 7, 30])
    found = propagate(graph, classes, 2)
    weights = graph.toarray()
    degree = weights.sum(1)
    absorbed = np.where(classes >= 0, np.array([1 / 3, 1.0])[classes], LEAK)
    step = weights / degree[:, None]
    stay = np.diag(1 / (1 + absorbed)) @ step  # goes on
    seized = np.stack([np.where(classes == k, absorbed / (1 + absorbed), 0) for k in range(2)], 1)
    expected = np.linalg.solve(np.eye(len(points)) - stay, seized)
    np.testing.assert_allclose(found, expected / expected.sum(1, keepdims=True), atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.integers(3, 80), st.integers(2, 4), st.integers(0, 2**31))
def test_probabilities_whatever_the_order(count, n_classes, seed):
    rng = np.random.default_rng(seed)
    points, classes = rng.normal(size=(count, 3)), rng.integers(-1, n_classes, count)
    classes[0] = 0
    graph = graph_of(points)
    assert abs(graph - graph.T).max() == 0
    found = propagate(graph, classes, n_classes)
    reached = found.any(1)
    np.testing.assert_allclose(found[reached].sum(1), 1)
    assert found.min() >= 0
    assert not found[:, np.setdiff1d(np.arange(n_classes), classes)].any()
    order = rng.permutation(count)
    again = propagate(graph[order][:, order], classes[order], n_classes)
    np.testing.assert_allclose(again, found[order], atol=2e-3)


def test_what_no_label_reaches():
    points, number = clusters((40, 40), apart=1000.0)
    found = propagate(graph_of(points), labels_at(number, [0]), 2)
    assert found[number == 0, 0] == pytest.approx(1)
    assert not found[number == 1].any()


def test_embeddings_weigh_the_kinds_of_features():
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(500, 90)).astype("f4")
    vit = np.arange(90) >= 10
    axes = embedding(samples[:400], vit, 0)
    place = samples @ axes[:-1] - axes[-1]
    assert place.shape == (500, 32 + 10)
    assert place[:400, :32].var(0).sum() == pytest.approx(1)
    assert place[:400, 32:].var(0).sum() == pytest.approx(0.36)
    np.testing.assert_allclose(place[:400].mean(0), 0, atol=1e-5)
    assert embedding(samples[:, 10:], vit[10:], 0).shape == (81, 32)
    assert not embedding(np.ones((20, 4), "f4"), np.array([True] * 4), 0).any()  # all alike
    assert graph_of(np.zeros((NEIGHBOURS + 2, 3))).sum() > 0
    assert SimilarPixels(np.ones((20, 4), "f4"), np.array([True] * 4), 0).graph(np.ones((2, 4), "f4")).sum() > 0


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 60), st.integers(1, 30), st.booleans(), st.integers(0, 2**31))
def test_further_pixels_join_a_graph_as_if_it_were_made_of_all(count, further, alike, seed):
    """What is kept of the unlabelled pixels serves other labels, too."""
    rng = np.random.default_rng(seed)
    samples = rng.normal(size=(count + further, 6)).astype("f4")
    samples[:count] *= not alike
    grouped = np.arange(6) < 4
    pixels = SimilarPixels(samples[:count], grouped, 0)
    for last in {count + further, count + 1}:
        found = pixels.graph(samples[count:last])
        axes = embedding(samples[:count], grouped, 0)
        place = (samples[:last] @ axes[:-1].astype("f4")).astype("f8") - axes[-1]
        if len(np.unique(np.round(place, 9), axis=0)) == last:  # else the nearest of equals are any
            np.testing.assert_allclose(found.toarray(), graph_of(place).toarray(), atol=1e-6)
        assert found.shape == (last, last)


def test_whole_strokes_are_held_out():
    y = np.repeat([0, 0, 0, 0, 1, 1, 2, 2, 2], 5)
    strokes = np.repeat(np.arange(9) * 7, 5)
    fold = folds(y, strokes)
    assert set(fold) == set(range(FOLDS))
    for stroke in np.unique(strokes):
        assert len(set(fold[strokes == stroke])) == 1
    for apart in range(FOLDS):
        assert set(y[fold != apart]) == {0, 1, 2}
    assert (folds(y, np.where(y == 1, 1, strokes)) == -1).all()  # one stroke of class 1


def test_the_better_one_is_trusted():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 600)
    right, chance = np.full((600, 3), 0.1), rng.dirichlet((1, 1, 1), 600)
    right[np.arange(600), y] = 0.8
    walks, linear = stacked(right, chance, y)
    assert walks > 5 * linear
    walks, linear = stacked(chance, right, y)
    assert linear > 5 * walks


NAMES = ("a", "b")


def found_classes(known, y, strokes, unknown):
    """Of unlabelled pixels with four ViT channels, and by the forest alone."""
    names = [f"vit_b01_c{i:03d}" for i in range(known.shape[1])]
    groups = ("vit_b01",) * len(names)
    forest, _ = train_sklearn(known, y, n_trees=30, feature_names=names, class_names=NAMES)
    votes = forest.predict_proba(unknown)
    found = guessed(known, y, strokes, unknown, groups, len(NAMES), lambda: votes, seed=0)
    assert np.allclose(found.probabilities.sum(1), 1)
    return found.probabilities.argmax(1), votes.argmax(1)


def test_what_propagation_does_not_reach_is_left_to_the_linear_model():
    """Two islands, labels on one of them; the linear model tells the other by the feature that both share."""
    first = np.zeros((120, 4), "f4")
    first[:, 0] = np.random.default_rng(0).normal(size=120) + np.repeat([-3, 3], 60)
    other = first + np.float32([0, 0, 500, 500])
    y = np.repeat([0, 1], 60)
    found, _ = found_classes(first, y, np.arange(120) // 10, np.concatenate([first, other]))
    assert (found == np.tile(y, 2)).mean() > 0.95


def test_one_stroke_a_class():
    """Two clusters, long and bent, labelled at one end of each: what is alike leads on, a forest is lost."""
    rng = np.random.default_rng(0)
    along, y = rng.uniform(0, np.pi, 1000), np.repeat([0, 1], 500)
    place = np.stack([np.cos(along), np.sin(along)], 1) * np.where(y, -1, 1)[:, None] + np.where(
        y[:, None], (1, 0.4), 0
    )
    points = np.hstack([place, np.zeros((1000, 2))]) + rng.normal(scale=0.05, size=(1000, 4))
    points = points.astype("f4")
    stroke = along < 0.3
    found, by_forest = found_classes(points[stroke], y[stroke], y[stroke], points)
    assert (by_forest == y).mean() < 0.8
    assert (found == y).mean() > 0.95


def test_of_very_many_labelled_pixels_some_train():
    assert np.array_equal(chosen_labelled(np.zeros(50, int), 0), np.arange(50))
    y = np.repeat([0, 1, 2], [40 * MOST_LABELLED, 20 * MOST_LABELLED, 40])
    kept = chosen_labelled(y, 3)
    counts = np.bincount(y[kept])
    assert counts[2] == 40  # a rare class keeps all it has
    assert counts[0] == pytest.approx(2 * counts[1], rel=0.01)
    assert counts[1] >= LEAST_OF_CLASS
    assert np.array_equal(kept, np.unique(kept))
    assert np.array_equal(kept, chosen_labelled(y, 3))
