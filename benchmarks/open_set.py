"""Pixels that resemble none of the labels: of a class whose labels are withheld, and of fully labelled images.

    python benchmarks/open_set.py [--images NAME ...] [--cache DIR] [--data DIR]

Each class's labels are withheld in turn. The area under the ROC curve says how well the score tells this class's pixels
from the others (0.5: not at all); what is said in words is a share of the image, which is right as far as it is of that
class. With all labels nothing should be said. Settings were chosen on the tuning images and the simulated ones.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from cached_stacks import Case, cases
from machine import data_folder
from results import Results, add_json, met
from skimage.measure import label
from sklearn.metrics import roc_auc_score

from fijibridge.segmentation.suggestions import square_side
from fijibridge.segmentation.unlikeness import LEAST_SHARE, SURE, fit_unlikeness, regions_unlike, sure_regions

GOAL_AREA, GOAL_RIGHT, LARGE = 0.9, 0.9, 0.1
EVERY = 3  # pixel that is scored


def score_of(case: Case, withheld: int = 0) -> np.ndarray:
    """How unlike all labels pixels are, those of one class being withheld."""
    mask = (case.labels > 0) & (case.labels != withheld)
    strokes = label(case.labels, connectivity=2)[mask]
    classes = case.labels[mask].astype(np.int64) - 1
    learned = fit_unlikeness([case.stack], [case.stack.at(mask)], classes, strokes, 0)
    return learned.of(case.stack)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", nargs="+", default=None)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "fijibridge-benchmark-stacks")
    parser.add_argument("--data", type=Path, default=None)
    add_json(parser)
    arguments = parser.parse_args()
    results = Results("open_set", arguments.json)
    each = results.table(
        "classes",
        "Each class's labels withheld",
        {"image": "", "tuning": "", "class": "d", "share of image": ".3f", "area under ROC": ".3f",
         "said, share of image": ".3f", "of the class": ".2f"},
    )  # fmt: skip
    found: dict[tuple[str, bool], list[tuple[float, float, float, float]]] = {}
    alarms: dict[tuple[str, bool], list[float]] = {}
    for case in cases(arguments.data or data_folder(), arguments.cache, arguments.images):
        key, side = (case.group, case.tuning), square_side(case.truth.shape)
        far = regions_unlike(score_of(case), side)
        alarms.setdefault(key, []).append(far["pixels"] / case.truth.size if far else 0.0)
        for k in np.unique(case.labels[case.labels > 0]).tolist():
            score, own = score_of(case, k), case.truth == k
            area = roc_auc_score(own[::EVERY, ::EVERY].ravel(), score[::EVERY, ::EVERY].ravel())
            said = sure_regions(score, side)
            share = float(said.mean()) if said.mean() >= LEAST_SHARE else 0.0
            right = float(own[said].mean()) if share else np.nan
            found.setdefault(key, []).append((float(own.mean()), float(area), share, right))
            each.add(case.name, "yes" if case.tuning else "", k, own.mean(), area, share, right if share else None)
    table = results.table(
        "open_set",
        f"A class whose labels are withheld; said: mean over a square above {SURE}, on {100 * LEAST_SHARE:g} % of it",
        {"images": "", "area under ROC": ".3f", "least": ".3f", "goal": "", "withheld classes": "d", "said": "d",
         f"of those of {100 * LARGE:g} % of the image": "", "said of the right class": ".2f", "goal ": "",
         "false alarms with all labels": "", "goal  ": ""},
    )  # fmt: skip
    for key, rows in found.items():
        values = np.array(rows)
        area, large, said = values[:, 1].mean(), values[:, 0] >= LARGE, values[:, 2] > 0
        right = float(np.average(values[said, 3], weights=values[said, 2])) if said.any() else None
        wrong = sum(share > 0 for share in alarms[key])
        name = f"{key[0]}, {'tuning' if key[1] else 'others'}"
        table.add(
            name, area, values[:, 1].min(), f"{GOAL_AREA}: {met(area >= GOAL_AREA)}", len(rows), int(said.sum()),
            f"{(said & large).sum()} of {large.sum()}", right,
            None if right is None else f"{GOAL_RIGHT}: {met(right >= GOAL_RIGHT)}",
            f"{wrong} of {len(alarms[key])} images", f"none: {met(not wrong)}",
        )  # fmt: skip


if __name__ == "__main__":
    main()
