"""What a classifier looks at: importance of the forest's features, and of the parts of its linear model."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.features.readout import Readout, group_of

if TYPE_CHECKING:
    from fijibridge.segmentation.pixel import PixelSegmenter

PLAIN = "plain"  # the linear model's features that are no ViT's
_BARS = 25  # features shown in the picture


def readout_importances(model: Readout, samples: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    """How much of the classes' values in a linear model comes from each group of features.

    A class's value is a sum over features; of each group's part of the sum the standard deviation over pixels is taken,
    after subtraction of the mean over the classes, which tells no class from another.

    Parameters
    ----------
    model : Readout
    samples : ndarray, float32, shape (n, F)
        Standardised features at pixels drawn from the whole images.
    names : sequence of str
        Of the features.

    Returns
    -------
    dict
        Group -> float64 (K,), which sum to 1 over the groups for each class (0 for a class with no value at all).
        Groups are ``"plain"``, TWS's features and a network's, and each block and scale of the ViT, ``"vit_b06"``.
    """
    groups = np.array([group_of(name) for name in names])
    vit = groups != ""
    values = np.clip(samples[:, ~vit].astype(np.float64), model.low, model.high)
    parts = {PLAIN: values @ model.plain_weights}
    for group in dict.fromkeys(groups[vit].tolist()):
        parts[group] = samples[:, groups == group] @ model.token_weights[groups[vit] == group]
    spread = np.array([(part - part.mean(axis=1, keepdims=True)).std(axis=0) for part in parts.values()])
    total = spread.sum(axis=0)
    shares = np.divide(spread, total, out=np.zeros_like(spread), where=total > 0)
    return dict(zip(parts, shares, strict=True))


def write_importances(segmenter: PixelSegmenter, folder: Path) -> list[str]:
    """Write ``importance.csv`` and ``importance.png``.

    The table has a row for each feature of the forest (``reader`` is ``forest``), most important first, and with a
    linear model one for each of its groups of features and class (``linear``). Importances sum to 1 over the forest's
    features, and over the groups for each class.

    Parameters
    ----------
    segmenter : PixelSegmenter
        Trained.
    folder : Path

    Returns
    -------
    list of str
        Names of the files.
    """
    names, values = segmenter.forest_.feature_names, segmenter.feature_importances_
    order = np.argsort(-values, kind="stable")
    groups = segmenter.readout_importances_ or {}
    with (folder / "importance.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["reader", "feature", "class", "importance"])
        table.writerows(["forest", names[i], "", f"{values[i]:.6g}"] for i in order)
        for group, shares in groups.items():
            rows = zip(segmenter.class_names_, shares, strict=True)
            table.writerows(["linear", group, name, f"{share:.6g}"] for name, share in rows)
    _picture(folder / "importance.png", segmenter, order[:_BARS])
    return ["importance.csv", "importance.png"]


def _picture(path: Path, segmenter: PixelSegmenter, shown: np.ndarray) -> None:
    from matplotlib.figure import Figure

    names, values = segmenter.forest_.feature_names, segmenter.feature_importances_
    groups = segmenter.readout_importances_ or {}
    figure = Figure(figsize=(11 if groups else 6.5, 1.2 + 0.2 * len(shown)), layout="constrained")
    axes = figure.subplots(1, 2 if groups else 1, squeeze=False)[0]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].barh(range(len(shown)), values[shown], color="0.45")
    axes[0].set_yticks(range(len(shown)), [names[i] for i in shown], fontsize=8)
    axes[0].invert_yaxis()
    rest = len(names) - len(shown)
    axes[0].set_title("Forest" + (f" (further {rest} features: {1 - values[shown].sum():.2f})" if rest else ""))
    axes[0].set_xlabel("importance: mean decrease in impurity, of 1")
    if groups:
        shares, classes = np.array(list(groups.values())), segmenter.class_names_
        height = 0.8 / len(classes)
        for k, (name, colour) in enumerate(zip(classes, segmenter.class_colors_ / 255, strict=True)):
            axes[1].barh(
                np.arange(len(groups)) + (k + 0.5) * height - 0.4, shares[:, k], height, color=colour, label=name
            )
        axes[1].set_yticks(range(len(groups)), list(groups), fontsize=8)
        axes[1].invert_yaxis()
        axes[1].set_title("Linear model")
        axes[1].set_xlabel("share of the spread of a class's value")
        axes[1].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)
