"""The same forest in scikit-learn, fijibridge and Weka: are the answers equal, split points hit exactly?

    python benchmarks/interchange.py [--pixels 1000000] [--skip-java]

Two walks: scikit-learn -> Forest -> FastRandomForest .model -> Forest -> scikit-learn, and the same from a
FastRandomForest trained in Java. A part of the pixels' values are split points and their float32 neighbours. Prints a
Markdown table; the exit status is 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from results import Results, add_json, met

from fijibridge.forest import Forest, forest_from_sklearn, to_sklearn

GOAL_DIFFERENCE = 1e-7
CLASSES = ("matrix", "pore", "binder")
Predict = Callable[[np.ndarray], np.ndarray]


def training_data(n: int, n_features: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Three overlapping classes: overlap makes leaves of several kinds and trees of some depth."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    centres = rng.normal(0, 0.6, (3, n_features))
    return (centres[y] + rng.normal(size=(n, n_features))).astype(np.float32), y


def pixels(forest: Forest, n: int, chunk: int, share: float, seed: int) -> Iterator[np.ndarray]:
    """Chunks of float32 samples; a `share` of the values is a split point of their feature or a neighbour of one."""
    rng = np.random.default_rng(seed)
    splits = []
    for k in range(forest.n_features):
        at = forest.threshold[forest.feature == k].astype(np.float32)
        near = [at, *(np.nextafter(at, np.float32(towards)) for towards in (np.inf, -np.inf))]
        splits.append(np.concatenate([*near, np.zeros(1, np.float32)]))
    for start in range(0, n, chunk):
        X = rng.normal(0, 1.2, (min(chunk, n - start), forest.n_features)).astype(np.float32)
        for k, values in enumerate(splits):
            hit = rng.random(len(X)) < share
            X[hit, k] = rng.choice(values, hit.sum())
        yield X


class Comparison:
    """Counts of one pair of predictors over all chunks."""

    def __init__(self, name: str, first: str, second: str, limit: int | None = None) -> None:
        self.name, self.first, self.second, self.limit = name, first, second, limit
        self.n = self.equal = self.ties = 0
        self.difference = 0.0

    def add(self, p: np.ndarray, q: np.ndarray) -> None:
        best = np.sort(p, axis=1)
        same = p.argmax(axis=1) == q.argmax(axis=1)
        self.n += len(p)
        self.equal += int(same.sum())
        # Two classes of equal probability: the last bit of a sum, so its order, decides.
        self.ties += int((~same & (best[:, -1] - best[:, -2] < 1e-12)).sum())
        self.difference = max(self.difference, float(np.abs(p - q).max()))

    @property
    def met(self) -> bool:
        return self.equal + self.ties == self.n and self.difference <= GOAL_DIFFERENCE

    def row(self) -> tuple:
        share, goal = 100 * self.equal / self.n, f"100 %; {GOAL_DIFFERENCE:.0e}: {met(self.met)}"
        return self.name, self.n, share, self.ties, f"{self.difference:.1e}", goal


def compare(
    forest: Forest, predictors: dict[str, Predict], comparisons: list[Comparison], arguments: argparse.Namespace
) -> list[Comparison]:
    done = 0
    for X in pixels(forest, arguments.pixels, arguments.chunk, arguments.split_share, arguments.seed):
        found = {}
        for comparison in comparisons:
            rows = len(X) if comparison.limit is None else max(0, min(len(X), comparison.limit - done))
            for name in (comparison.first, comparison.second):
                if rows and (name not in found or len(found[name]) < rows):
                    found[name] = predictors[name](X[:rows])
            if rows:
                comparison.add(found[comparison.first][:rows], found[comparison.second][:rows])
        done += len(X)
    return comparisons


def walk(forest: Forest, folder: Path, java: bool) -> tuple[Forest, dict[str, Predict]]:
    """Send a forest through a Weka model file and scikit-learn; return what comes back and all its predictors."""
    predictors: dict[str, Predict] = {"Forest": lambda X: forest.predict_proba(X, n_threads=1)}
    back = forest
    if java:
        from fijibridge.forest import predict_weka, read_model, write_model

        write_model(folder / "forest.model", forest)
        back = read_model(folder / "forest.model")
        predictors["Weka"] = lambda X: predict_weka(back, X, n_threads=1)
    clf = to_sklearn(back)
    again = forest_from_sklearn(clf)
    predictors["Forest of .model"] = lambda X: back.predict_proba(X, n_threads=1)
    predictors["to_sklearn"] = clf.predict_proba
    predictors["Forest of that"] = lambda X: again.predict_proba(X, n_threads=1)
    return back, predictors


def from_sklearn(arguments: argparse.Namespace, folder: Path) -> tuple[str, list[Comparison]]:
    from sklearn.ensemble import RandomForestClassifier

    X, y = training_data(arguments.training, arguments.features, arguments.seed)
    trained = RandomForestClassifier(arguments.trees, random_state=arguments.seed, n_jobs=1).fit(X, y)
    forest = forest_from_sklearn(trained, class_names=CLASSES)
    _, predictors = walk(forest, folder, not arguments.skip_java)
    predictors["scikit-learn"] = trained.predict_proba
    way = "there and back" if arguments.skip_java else "after .model"
    comparisons = [
        Comparison("scikit-learn, Forest", "scikit-learn", "Forest"),
        Comparison(f"scikit-learn, {way}: scikit-learn", "scikit-learn", "to_sklearn"),
    ]
    if not arguments.skip_java:
        name = "scikit-learn, FastRandomForest in Java"
        comparisons.append(Comparison("scikit-learn, after .model: Forest", "scikit-learn", "Forest of .model"))
        comparisons.append(Comparison(name, "scikit-learn", "Weka", arguments.java_pixels))
    return f"scikit-learn, {forest.n_nodes} nodes", compare(forest, predictors, comparisons, arguments)


def from_java(arguments: argparse.Namespace, folder: Path) -> tuple[str, list[Comparison]]:
    from fijibridge.forest import predict_weka, train_weka

    X, y = training_data(arguments.training, arguments.features, arguments.seed)
    forest, _ = train_weka(
        X, y, n_trees=arguments.trees, max_features="sqrt", seed=arguments.seed, n_threads=1, max_depth=0,
        feature_names=[f"f{k}" for k in range(arguments.features)], class_names=CLASSES,
    )  # fmt: skip
    _, predictors = walk(forest, folder, True)
    predictors["trained in Java"] = lambda X: predict_weka(forest, X, n_threads=1)
    comparisons = [
        Comparison("FastRandomForest in Java, Forest", "trained in Java", "Forest", arguments.java_pixels),
        Comparison("FastRandomForest in Java, after .model: Java", "trained in Java", "Weka", arguments.java_pixels),
        Comparison("Forest of Java, after .model: Forest", "Forest", "Forest of .model"),
        Comparison("Forest of Java, after .model: scikit-learn", "Forest", "to_sklearn"),
        Comparison("Forest of Java, after scikit-learn: Forest", "Forest", "Forest of that"),
    ]
    return f"FastRandomForest in Java, {forest.n_nodes} nodes", compare(forest, predictors, comparisons, arguments)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pixels", type=int, default=1_000_000)
    parser.add_argument("--features", type=int, default=64)
    parser.add_argument("--trees", type=int, default=200)
    parser.add_argument("--training", type=int, default=2000, help="labelled samples")
    parser.add_argument("--split-share", type=float, default=0.25, help="share of values on or beside a split point")
    parser.add_argument("--java-pixels", type=int, default=20_000, help="pixels that FastRandomForest itself predicts")
    parser.add_argument("--chunk", type=int, default=50_000, help="pixels held at a time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--skip-java", action="store_true", help="leave out the .model file and FastRandomForest")
    add_json(parser)
    arguments = parser.parse_args(argv)
    results = Results("interchange", arguments.json)
    about = f"{arguments.features} float32 features, {arguments.trees} trees, {arguments.training} training samples"
    all_met = True
    with tempfile.TemporaryDirectory() as folder:
        for run in (from_sklearn,) if arguments.skip_java else (from_sklearn, from_java):
            source, comparisons = run(arguments, Path(folder))
            columns = {"compared": "", "pixels": ",d", "equal labels, %": ".4f", "ties among the rest": "d",
                       "greatest difference of a probability": "", "goal": ""}  # fmt: skip
            table = results.table(run.__name__, f"One forest, trained by {source}: {about}", columns)
            for comparison in comparisons:
                table.add(*comparison.row())
            all_met &= all(comparison.met for comparison in comparisons)
    return 0 if all_met else 1


if __name__ == "__main__":
    raise SystemExit(main())
