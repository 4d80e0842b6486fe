"""A preview of simulated pairs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.core.atomic_output import output_file
from fijibridge.images.palette import class_colors_or_default

if TYPE_CHECKING:
    from fijibridge.synthesis.imaging import Micrograph

_LARGEST = 384  # side in pixels of the part shown, the upper left corner
_METADATA = {"Software": "fijibridge", "Description": "preview of simulated micrographs"}


def write_gallery(path: Path, pairs: Sequence[Micrograph], class_names: Sequence[str], *, title: str = "") -> Path:
    """Write SE, BSE and labels of pairs, two pairs a row, as a PNG.

    Parameters
    ----------
    path : Path
        Ends in .png.
    pairs : sequence of Micrograph
        Labels 1, 2, ... for ``class_names``.
    class_names : sequence of str
        For the legend.
    title : str
        Of the figure.

    Returns
    -------
    Path
        ``path``.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    colors = class_colors_or_default(class_names, None) / 255
    palette = np.vstack([np.zeros((1, 3)), colors])
    columns = min(2, len(pairs))
    rows = -(-len(pairs) // columns)
    figure = Figure(figsize=(6.6 * columns, 2.3 * rows + 0.7), layout="constrained")
    axes = figure.subplots(rows, 3 * columns, squeeze=False)
    for axis in axes.ravel():
        axis.axis("off")
    for number, pair in enumerate(pairs):
        row, first = number // columns, 3 * (number % columns)
        cut = (slice(0, _LARGEST), slice(0, _LARGEST))
        for axis, name, data in zip(
            axes[row, first : first + 3], ("SE", "BSE", "labels"), (pair.se, pair.bse, pair.labels), strict=True
        ):
            data = data[cut]
            if name == "labels":
                axis.imshow(palette[data], interpolation="nearest")
            else:
                limit = np.iinfo(data.dtype).max
                axis.imshow(data, cmap="gray", vmin=0, vmax=limit, interpolation="nearest")
            width = data.shape[1] * pair.pixel_size
            axis.set_title(name if name != "SE" else f"SE ({width:.3g} um wide)", fontsize=8, pad=3)
    figure.legend(
        handles=[Patch(color=color, label=name) for color, name in zip(colors, class_names, strict=True)],
        loc="outside lower center", ncols=len(class_names), frameon=False, fontsize=9,
    )  # fmt: skip
    if title:
        figure.suptitle(title, fontsize=11)
    with output_file(path) as part:
        figure.savefig(part, format="png", dpi=100, metadata=_METADATA)
    return path


def is_gallery(path: Path) -> bool:
    """Whether a file is a picture that `write_gallery` wrote.

    Parameters
    ----------
    path : Path
        Exists.
    """
    from PIL import Image

    try:
        with Image.open(path, formats=["PNG"]) as picture:
            return picture.info.items() >= _METADATA.items()
    except (OSError, ValueError, SyntaxError):
        return False
