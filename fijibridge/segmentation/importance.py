"""Importance of the forest's features and of the linear head's groups, as a table and a picture."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

_BARS = 25  # features shown in the picture


def write_importances(
    folder: Path,
    importances: np.ndarray,
    feature_names: Sequence[str],
    class_names: Sequence[str],
    class_colors: np.ndarray,
    head: Mapping[str, np.ndarray] | None = None,
) -> list[str]:
    """Write ``importance.csv`` and ``importance.png``.

    The table has a row for each feature of the forest (``model`` is ``forest``), most important first, and with a
    linear head one for each of its groups of features and class (``linear``). Importances sum to 1 over the forest's
    features, and over the groups for each class.

    Parameters
    ----------
    folder : Path
    importances : ndarray of float64, shape (F,)
        Of the forest's features.
    feature_names : sequence of str
    class_names : sequence of str
    class_colors : ndarray of uint8, shape (classes, 3)
    head : mapping, optional
        See :func:`fijibridge.features.linear_head.importance.head_importances`.

    Returns
    -------
    list of str
        Names of the files.
    """
    order = np.argsort(-importances, kind="stable")
    groups = head or {}
    with (folder / "importance.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["model", "feature", "class", "importance"])
        table.writerows(["forest", feature_names[i], "", f"{importances[i]:.6g}"] for i in order)
        for group, shares in groups.items():
            rows = zip(class_names, shares, strict=True)
            table.writerows(["linear", group, name, f"{share:.6g}"] for name, share in rows)
    _picture(folder / "importance.png", importances, feature_names, class_names, class_colors, groups)
    return ["importance.csv", "importance.png"]


def _picture(
    path: Path,
    values: np.ndarray,
    names: Sequence[str],
    classes: Sequence[str],
    colors: np.ndarray,
    groups: Mapping[str, np.ndarray],
) -> None:
    from matplotlib.figure import Figure

    shown = np.argsort(-values, kind="stable")[:_BARS]
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
        shares = np.array(list(groups.values()))
        height = 0.8 / len(classes)
        for k, (name, colour) in enumerate(zip(classes, colors / 255, strict=True)):
            axes[1].barh(
                np.arange(len(groups)) + (k + 0.5) * height - 0.4, shares[:, k], height, color=colour, label=name
            )
        axes[1].set_yticks(range(len(groups)), list(groups), fontsize=8)
        axes[1].invert_yaxis()
        axes[1].set_title("Linear head")
        axes[1].set_xlabel("share of the spread of a class's value")
        axes[1].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)
