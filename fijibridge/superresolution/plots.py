"""Pictures of a super-resolution, for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.images.palette import class_colors_or_default

if TYPE_CHECKING:
    from fijibridge.phases.phases import Phases
    from fijibridge.superresolution.posterior import Posterior
    from fijibridge.superresolution.volume import Tie

_DPI = 130
_REST = (70, 70, 70)
_MOST = 4  # samples that are shown


def write_agreement_picture(tie: Tie, fine: Phases, folder: Path) -> str:
    """Write ``agreement.png``: middle slices across the three axes, of the coarse volume, the fine one, and both.

    In the third row the outlines of the coarse volume's visible phases lie on the fine volume, and coarse voxels that
    do not agree are crossed out. Grey volumes are shown as they are.

    Parameters
    ----------
    tie : Tie
        What the volume was tied to.
    fine : Phases
        The volume.
    folder : Path
        Exists.

    Returns
    -------
    str
        The file's name.
    """
    from matplotlib.figure import Figure

    coarse, factor = tie.agreement.coarse, tie.agreement.factor
    palette = class_colors_or_default(fine.names, None)
    seen = np.array([palette[group[0]] if len(group) == 1 else _REST for group in coarse.groups], np.uint8)
    wrong = ~tie.agreement.agreeing(fine.index)
    figure = Figure(figsize=(9, 9.4), layout="constrained")
    axes = figure.subplots(3, 3)
    for axis, name in enumerate("zyx"):
        place = coarse.shape[axis] // 2
        low = np.take(coarse.labels, place, axis)
        high = np.take(fine.index, place * factor + factor // 2, axis)
        extent = (-0.5, high.shape[1] - 0.5, high.shape[0] - 0.5, -0.5)
        if coarse.kind == "grey":
            grey = np.take(coarse.values, place, axis)
            axes[0, axis].imshow(grey, cmap="gray", extent=extent, interpolation="nearest")
        else:
            axes[0, axis].imshow(seen[low], extent=extent, interpolation="nearest")
        axes[1, axis].imshow(palette[high], extent=extent, interpolation="nearest")
        axes[2, axis].imshow((0.6 * palette[high] + 102).astype(np.uint8), extent=extent, interpolation="nearest")
        steps = (np.arange(high.shape[1]), np.arange(high.shape[0]))
        near = np.kron(low, np.ones((factor, factor), np.uint8))
        for group in range(len(coarse.groups) - 1):
            if (near == group).any() and (near != group).any():
                axes[2, axis].contour(*steps, near == group, levels=[0.5], colors="black", linewidths=0.8)
        rows, columns = np.nonzero(np.take(wrong, place, axis))
        middle = (factor - 1) / 2
        axes[2, axis].plot(columns * factor + middle, rows * factor + middle, "rx", markersize=5)
        axes[0, axis].set_title(f"across {name}: coarse voxel {place}")
    for row, text in zip(axes, ("coarse", "fine", "fine, with the coarse outlines"), strict=True):
        row[0].set_ylabel(text)
        for axis in row:
            axis.set(xticks=[], yticks=[])
    from matplotlib.patches import Patch

    patches = [Patch(color=palette[k] / 255, label=name) for k, name in fine]
    if any(len(group) > 1 for group in coarse.groups):
        patches.append(Patch(color=(_REST[0] / 255, _REST[1] / 255, _REST[2] / 255), label="not distinguished"))
    figure.legend(handles=patches, loc="outside lower center", ncols=len(patches), frameon=False)
    figure.savefig(folder / "agreement.png", dpi=_DPI)
    return "agreement.png"


def write_posterior_picture(posterior: Posterior, sample: Phases, folder: Path) -> str:
    """Write ``posterior.png``: middle slices across the three axes, of a sample, the most probable volume, and how
    unsure it is.

    Parameters
    ----------
    posterior : Posterior
        The probabilities.
    sample : Phases
        (Z, Y, X).
    folder : Path
        Exists.

    Returns
    -------
    str
        The file's name.
    """
    from matplotlib.figure import Figure

    palette, unsure = class_colors_or_default(sample.names, None), posterior.uncertainty()
    figure = Figure(figsize=(9, 9), layout="constrained")
    axes = figure.subplots(3, 3)
    for axis, name in enumerate("zyx"):
        place = unsure.shape[axis] // 2
        for row, phases in enumerate((sample, posterior.mean)):
            axes[row, axis].imshow(palette[np.take(phases.index, place, axis)], interpolation="nearest")
        image = axes[2, axis].imshow(np.take(unsure, place, axis), cmap="viridis", vmin=0, vmax=1)
        axes[0, axis].set_title(f"across {name}: voxel {place}")
    for row, text in zip(axes, ("volume", "most probable", "uncertainty"), strict=True):
        row[0].set_ylabel(text)
        for axis in row:
            axis.set(xticks=[], yticks=[])
    figure.colorbar(image, ax=axes[2, 2], shrink=0.8)
    figure.savefig(folder / "posterior.png", dpi=_DPI)
    return "posterior.png"


def write_sample_picture(samples: Sequence[Phases], folder: Path) -> str:
    """Write ``samples.png``: the middle slice of the first samples, and how many of all agree with the most frequent
    phase.

    Parameters
    ----------
    samples : sequence of Phases
        (Z, Y, X) each, of one size.
    folder : Path
        Exists.

    Returns
    -------
    str
        The file's name.
    """
    from matplotlib.figure import Figure

    shown = samples[:_MOST]
    palette = class_colors_or_default(samples[0].names, None)
    middle = samples[0].index.shape[0] // 2
    planes = np.stack([each.index[middle] for each in samples])
    most = np.stack([(planes == place).mean(0) for place in range(len(palette))]).max(0)
    figure = Figure(figsize=(3.1 * (len(shown) + 1), 3.4), layout="constrained")
    axes = figure.subplots(1, len(shown) + 1)
    for number, plane in enumerate(planes[:_MOST]):
        axes[number].imshow(palette[plane], interpolation="nearest")
        axes[number].set_title(f"sample {number + 1}")
    image = axes[-1].imshow(most, cmap="viridis", vmin=0, vmax=1, interpolation="nearest")
    axes[-1].set_title(f"share of {len(samples)} samples that agree")
    figure.colorbar(image, ax=axes[-1], shrink=0.8)
    for axis in axes:
        axis.set(xticks=[], yticks=[])
    figure.savefig(folder / "samples.png", dpi=_DPI)
    return "samples.png"
