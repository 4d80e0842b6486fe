"""What a training tells of its accuracy: out-of-bag votes and strokes that were held out, beside the truth.

    python benchmarks/held_out.py [--data DIR]

Each micrograph trains with all its strokes, and with those of one third of it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from machine import data_folder
from results import Results, add_json
from scipy.stats import spearmanr
from segmentation import Micrograph, images

import fijibridge as fb


def accuracy(labels: np.ndarray, truth: np.ndarray) -> float:
    """Share of a class's pixels that are found, mean over the classes; labels are class + 1."""
    return float(np.mean([(labels[truth == k] == k + 1).mean() for k in np.unique(truth)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=None)
    add_json(parser)
    arguments = parser.parse_args()
    found: dict[str, list[tuple[float, float, float]]] = {}
    left_out = 0
    maker = fb.PixelSegmenter()
    for path in images(arguments.data or data_folder()):
        one = Micrograph(path, maker)
        trainings = {"all": [one.labels], "of a third": one.thirds()[:2]}
        for name, drawn in trainings.items():
            for labels in drawn:
                own = fb.PixelSegmenter(maker.features).fit(one.stack, labels)
                if own.held_out_accuracy_ is None:  # a class has one stroke
                    left_out += 1
                    continue
                true = accuracy(own.predict(one.stack), one.truth)
                found.setdefault(name, []).append((own.oob_accuracy_ or np.nan, own.held_out_accuracy_, true))
                print(f"  {path.stem}, {name}: {np.round(found[name][-1], 3)}", flush=True)
    table = Results("held_out", arguments.json).table(
        "accuracy",
        "Accuracy that a training tells, and that of the whole image (mean over the classes); means over trainings, "
        f"and rank correlation with the truth; {left_out} trainings with one stroke in a class are left out",
        {"strokes": "", "trainings": "d", "out of bag": ".3f", "strokes held out": ".3f", "true": ".3f",
         "correlation, out of bag": ".2f", "strokes held out ": ".2f"},
    )  # fmt: skip
    for name, rows in {**found, "every training": [row for own in found.values() for row in own]}.items():
        values = np.array(rows)
        ranks = [float(spearmanr(values[:, column], values[:, 2]).statistic) for column in (0, 1)]
        table.add(name, len(values), *values.mean(0), *ranks)


if __name__ == "__main__":
    main()
