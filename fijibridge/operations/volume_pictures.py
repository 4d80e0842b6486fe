"""Looking at a segmented stack: three orthogonal sections, classes along z, and where the classifier is least sure."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fijibridge.core.atomic_output import output_file

if TYPE_CHECKING:
    import numpy as np

    from fijibridge.images.image import Image
    from fijibridge.segmentation.slices.results import StackResult

_FEWEST = 3  # slices of a stack that has a third direction to look at
_LEAST_CERTAIN = 5
_COLUMNS = ("slice", "uncertainty", "changes")


def least_certain(slices: Sequence[dict[str, Any]]) -> list[int]:
    """Numbers of the slices whose classes are least sure, the least first: where to label next.

    Parameters
    ----------
    slices : sequence of dict
        Of `StackResult.slices`.
    """
    known = [one for one in slices if "uncertainty" in one]
    return [one["number"] for one in sorted(known, key=lambda one: -one["uncertainty"])[:_LEAST_CERTAIN]]


def write_pictures(
    result: StackResult, folder: Path, prefix: str, first: Image, class_names: Sequence[str], class_colors: Any
) -> list[str]:
    """Write ``sections.png``, ``along_z.png`` and ``along_z.csv`` of a stack of three slices and more.

    Parameters
    ----------
    result : StackResult
    folder, prefix
        Files are ``prefix + "sections.png"`` and so on.
    first : Image
        A slice of it.
    class_names, class_colors
        Of its classes.

    Returns
    -------
    list of str
        The files' names; none for an image, or where time is an axis.
    """
    slices = result.slices
    if len(slices) < _FEWEST or result.stack.frames > 1:
        return []
    sections, changes = _sections(result, len(slices))
    names = [f"{prefix}{name}" for name in ("along_z.csv", "along_z.png", "sections.png")]
    fractions = _write_table(folder / names[0], slices, changes, class_names)
    _plot(folder / names[1], slices, fractions, changes, class_names, class_colors)
    _show(folder / names[2], result, sections, first, class_names, class_colors)
    return names


def _sections(result: StackResult, count: int) -> tuple[dict[str, np.ndarray], list[float | None]]:
    """Labels of the three middle sections, and the share of pixels whose label differs from the slice before."""
    import numpy as np

    height, width = result.stack.shape
    found = {
        "xy": np.zeros((height, width), np.uint8),
        "xz": np.zeros((count, width), np.uint8),
        "yz": np.zeros((count, height), np.uint8),
    }
    changes: list[float | None] = []
    before = None
    for z, (plane, about) in enumerate(zip(result.labels(), result.slices, strict=True)):
        if z == count // 2:
            found["xy"][:] = plane
        found["xz"][z], found["yz"][z] = plane[height // 2], plane[:, width // 2]
        known = None if "error" in about else plane
        changes.append(None if before is None or known is None else round(float((before != known).mean()), 5))
        before = known
    return found, changes


def _write_table(
    path: Path, slices: Sequence[dict[str, Any]], changes: Sequence[float | None], class_names: Sequence[str]
) -> np.ndarray:
    """Write the numbers along z; gives the fractions, (Z, classes), NaN where a slice could not be used."""
    import numpy as np

    fractions = np.full((len(slices), len(class_names)), np.nan)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow([*_COLUMNS, *class_names])
        for z, (about, changed) in enumerate(zip(slices, changes, strict=True)):
            if (total := sum(about["counts"][1:])) > 0:
                fractions[z] = np.array(about["counts"][1:]) / total
            row = [about["number"], about.get("uncertainty", ""), "" if changed is None else changed]
            table.writerow([*row, *("" if np.isnan(value) else round(float(value), 6) for value in fractions[z])])
    return fractions


def _plot(
    path: Path,
    slices: Sequence[dict[str, Any]],
    fractions: np.ndarray,
    changes: Sequence[float | None],
    class_names: Sequence[str],
    class_colors: Any,
) -> None:
    """Fractions, uncertainty and changes from slice to slice over the slices' numbers."""
    import numpy as np
    from matplotlib.figure import Figure

    numbers = [about["number"] for about in slices]
    figure = Figure(figsize=(8, 5), dpi=100, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [2, 1]})
    for k, name in enumerate(class_names):
        above.plot(numbers, 100 * fractions[:, k], color=np.asarray(class_colors[k]) / 255, label=name)
    above.set_ylabel("fraction of the slice (%)")
    above.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    below.plot(numbers, [about.get("uncertainty", np.nan) for about in slices], color="black", label="uncertainty")
    below.plot(numbers, [np.nan if value is None else value for value in changes], color="grey", linestyle="--",
               label="labels that changed\nfrom the slice before")  # fmt: skip
    below.set_xlabel("slice")
    below.set_ylim(bottom=0)
    below.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    with output_file(path) as part:
        figure.savefig(part, format="png")


def _show(
    path: Path,
    result: StackResult,
    labels: dict[str, np.ndarray],
    first: Image,
    class_names: Sequence[str],
    class_colors: Any,
) -> None:
    """The slice in the middle, below it the section along its middle row, to its right that along its middle column."""
    from dataclasses import replace

    import numpy as np

    from fijibridge.images.overlay import write_overlay

    greys = np.concatenate(list(result.sections()))
    height, width = result.stack.shape
    size = first.pixel_size
    # slices far apart are drawn so often that the sections have one scale, as far as that is sensible
    tall = 1 if size is None or size.z is None else max(1, min(8, round(size.z / size.x)))
    depth, gap = len(result.stack.slices) * tall, 4
    grey = np.zeros((height + gap + depth, width + gap + depth), np.float32)
    shown = np.zeros(grey.shape, np.uint8)
    middle = result.middle()
    low, high = np.percentile(middle, (0.5, 99.5))
    grey[:] = high
    places = {
        "xy": (slice(0, height), slice(0, width)),
        "xz": (slice(height + gap, None), slice(0, width)),
        "yz": (slice(0, height), slice(width + gap, None)),
    }
    grey[places["xy"]], shown[places["xy"]] = middle, labels["xy"]
    grey[places["xz"]] = np.repeat(greys[:, height:], tall, axis=0)
    shown[places["xz"]] = np.repeat(labels["xz"], tall, axis=0)
    grey[places["yz"]] = np.repeat(greys[:, :height], tall, axis=0).T
    shown[places["yz"]] = np.repeat(labels["yz"], tall, axis=0).T
    grey = np.clip(grey, low, high)
    picture = replace(first, data=np.ascontiguousarray(grey), databar_rows=0, others=())
    write_overlay(path, picture, shown, class_names, class_colors)
