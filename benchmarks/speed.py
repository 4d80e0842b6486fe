"""CPU seconds a megapixel of forest prediction, against scikit-learn and FastRandomForest; and of pixels to ImageJ.

    python benchmarks/speed.py [--features 448 76] [--skip-java]

Prints Markdown tables, each figure beside its goal and its peer. CPU time is that of the whole process (all threads,
the Java virtual machine included), one thread asked for everywhere.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from results import Results, add_json, met
from scipy import ndimage as ndi

from fijibridge.forest import Forest, forest_from_sklearn

GOALS = {448: 3, 76: 2}  # times less CPU than scikit-learn's predict_proba, by number of features
GOAL_TRANSFER = 3  # times a numpy copy, once the heap has grown
TRANSFERS = 9
GOAL_JAVA = 5  # times less CPU than FastRandomForest in Java


def labelled_image(size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, str]:
    """A micrograph with sparse labels where the data folder is there, else a simulated one of three phases."""
    folder = Path(os.environ.get("FIJIBRIDGE_DATA", Path(__file__).parents[2] / "shared" / "data")) / "superalloy"
    if (folder / "spot1_0d_0.png").is_file():
        import imageio.v3 as iio

        image, labels = (iio.imread(folder / f"spot1_0d_0{end}.png")[:size, :size] for end in ("", "_labels"))
        return image.astype(np.float32), labels, "superalloy spot1_0d_0"
    rng = np.random.default_rng(seed)
    field = ndi.gaussian_filter(rng.normal(size=(size, size)), 6)
    phase = np.digitize(field, np.quantile(field, [0.4, 0.7]))
    strokes = ndi.binary_dilation(rng.random((size, size)) < 2e-4, iterations=3)
    image = ndi.gaussian_filter(60 + 60.0 * phase, 1) + rng.normal(0, 12, phase.shape)
    return image.astype(np.float32), np.where(strokes, phase + 1, 0), "simulated, three phases"


def features(image: np.ndarray, n: int) -> tuple[np.ndarray, str]:
    """A (Y, X, n) float32 stack and its name: TWS's 76 filters, and for more channels ViT features before them."""
    import fijibridge as fb
    from fijibridge.core.errors import WeightsError

    try:
        vit = fb.VitSettings(blocks=(6,), coarse_blocks=(), upsampler="bilinear")
        features = "tws" if n <= 76 else (fb.TwsSettings(), vit)
        stack = np.asarray(fb.extract_features(image, features))
    except WeightsError as error:
        print(f"(simulated channels instead of the ViT's: {error.found})\n")
        return simulated_features(image, n), "simulated"
    return np.ascontiguousarray(stack[..., stack.shape[2] - n :]), "TWS" if n <= 76 else "TWS + ViT"


def simulated_features(image: np.ndarray, n: int, seed: int = 0) -> np.ndarray:
    """Smooth channels for a machine without weights: Gaussian derivatives at random scales and a little noise."""
    rng = np.random.default_rng(seed)
    stack = np.empty((*image.shape, n), np.float32)
    for k in range(n):
        sigma, order = np.exp(rng.uniform(np.log(0.7), np.log(16))), tuple(rng.integers(0, 3, 2))
        channel = ndi.gaussian_filter(image, sigma, order=order, truncate=3)
        stack[..., k] = channel / (channel.std() + 1e-9) + rng.normal(0, 0.05, image.shape)
    return stack


def seconds(work: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Least CPU and wall time of several runs, after one that compiles and warms up."""
    work()
    times = []
    for _ in range(repeats):
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        times.append((time.process_time() - cpu, time.perf_counter() - wall))
    return min(cpu for cpu, _ in times), min(wall for _, wall in times)


def prediction(arguments: argparse.Namespace, results: Results) -> None:
    from sklearn.ensemble import RandomForestClassifier

    image, labels, source = labelled_image(arguments.size)
    table = results.table(
        "prediction",
        f"CPU seconds a megapixel to predict {arguments.trees} trees, one thread ({source})",
        {"features": "", "nodes": ",d", "mean depth": ".1f", "fijibridge": ".2f", "peer": "", "the peer": ".2f",
         "ratio": ".1f", "goal": ""},
    )  # fmt: skip
    for n in arguments.features:
        stack, made = features(image, n)
        clf = RandomForestClassifier(arguments.trees, random_state=0, n_jobs=1)
        clf.fit(stack[labels > 0], labels[labels > 0])
        forest = forest_from_sklearn(clf)
        X = stack.reshape(-1, n)
        ours, _ = seconds(lambda f=forest, X=X: f.predict_proba(X, n_threads=1), arguments.repeats)
        ours *= 1e6 / len(X)
        peer, _ = seconds(lambda c=clf, X=X: c.predict_proba(X), 1)
        peer *= 1e6 / len(X)
        depth = forest.depth()[forest.apply(X[:: max(1, len(X) // 2000)])].mean()
        start, goal = (f"{n} ({made})", int(forest.n_nodes), depth, ours), GOALS.get(n, 2)
        table.add(*start, "scikit-learn", peer, peer / ours, f"{goal} x: {met(peer / ours >= goal)}")
        if not arguments.skip_java:
            peer = java_seconds(forest, X[len(X) // 2 :][: arguments.java_pixels], arguments.repeats)
            goal = f"{GOAL_JAVA} x: {met(peer / ours >= GOAL_JAVA)}"
            table.add(*start, "FastRandomForest in Java", peer, peer / ours, goal)


def java_seconds(forest: Forest, X: np.ndarray, repeats: int) -> float:
    """CPU s a megapixel of FastRandomForest's own distributionForInstance, from neighbouring pixels."""
    from fijibridge.forest import predict_weka, to_weka

    pair = to_weka(forest)
    predict_weka(pair, X, n_threads=1)  # besides the run in `seconds`: Java compiles what has run often
    return seconds(lambda: predict_weka(pair, X, n_threads=1), repeats)[0] / len(X) * 1e6


def transfer(arguments: argparse.Namespace, results: Results) -> None:
    from fijibridge.jvm import start
    from fijibridge.jvm.transfer import to_imagestack

    start()
    array = np.random.default_rng(0).random(arguments.transfer_shape, np.float32)
    times: dict[str, list[tuple[float, float]]] = {"to_imagestack": [], "numpy copy": []}
    for _ in range(TRANSFERS):  # in turn, so that both see the same load
        for name, work in (("to_imagestack", lambda: to_imagestack(array)), ("numpy copy", array.copy)):
            wall, cpu = time.perf_counter(), time.process_time()
            made = work()
            times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
            del made
    shape = " x ".join(map(str, array.shape))
    table = results.table(
        "transfer",
        f"numpy to an ImageStack: {shape} float32, {array.nbytes / 1e6:.0f} MB, seconds",
        {"time": "", "to_imagestack": ".3f", "a numpy copy": ".3f", "ratio": ".1f", "goal": ""},
    )
    for i, unit in enumerate(("wall", "CPU")):
        ours, copy = (np.array(found)[:, i] for found in times.values())
        for when, a, b in ((f"median of {TRANSFERS}", *map(np.median, (ours, copy))), ("the first", ours[0], copy[0])):
            judged = unit == "wall" and when != "the first"
            goal = f"{GOAL_TRANSFER} x: {met(a / b <= GOAL_TRANSFER)}" if judged else None
            table.add(f"{unit}, {when}", a, b, a / b, goal)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, nargs="+", default=[448, 76])
    parser.add_argument("--trees", type=int, default=200)
    parser.add_argument("--size", type=int, default=512, help="side of the image, pixels")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--java-pixels", type=int, default=8000, help="pixels that Java predicts, scaled up")
    parser.add_argument("--transfer-shape", type=int, nargs=3, default=[384, 512, 512])
    parser.add_argument("--skip-java", action="store_true", help="only scikit-learn as peer, no transfer")
    add_json(parser)
    arguments = parser.parse_args(argv)
    results = Results("speed", arguments.json)
    if not arguments.skip_java:
        transfer(arguments, results)  # first, while Java's heap is fresh, as a user's is
    prediction(arguments, results)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
