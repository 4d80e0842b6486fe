"""How much of a ViT's features tells where a patch is, before and after it is taken away."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fijibridge.errors import ImageError, SettingsError
from fijibridge.features.presets import Preset, preset_recipe
from fijibridge.features.recipe import Encoder, FeatureRecipe
from fijibridge.features.ways import WAYS
from fijibridge.operations.results import REPORT, Databar, Out, Overwrite, Weights, peak_memory_mib, write_report
from fijibridge.output import output_folder
from fijibridge.params import Param, check
from fijibridge.segmentation.pixel import Threads
from fijibridge.segmentation.stages import Stages

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from fijibridge.images import Image

_BIASED = 0.1  # R^2 up to which the place cannot be said to be in the features
_SQUARE = 7  # pixels a side; a patch of the default preset
_CLEARLY = 0.2  # R^2 by which another way must be less biased to be worth its loss of accuracy


def bias(
    images: Annotated[list[Path], Param("micrographs: TIFF, PNG, ...", positional=True, role="image")],
    *,
    out: Out,
    preset: Preset = "default",
    positions: Annotated[
        str, Param("ways to measure besides keep and template, separated by commas; empty: all that need one pass")
    ] = "",
    encoder: Encoder = FeatureRecipe.encoder,
    databar: Databar = "auto",
    weights: Weights = None,
    threads: Threads = 0,
    overwrite: Overwrite = False,
) -> dict[str, Any]:
    """Measure the positional bias of a ViT's features on images, and how well each way of removing it does.

    A linear probe learns to tell a patch's place from its features: R^2 near 1 means that the place can be read off,
    0 or less that it cannot. It learns from a random 1/36 of the patches; from one colour of a chessboard (stricter);
    and, of several images, from all others. The same probe of Trainable Weka Segmentation's features, which know no
    place, tells what the image itself gives away: layers, gradients of brightness.

    Writes bias.csv, bias.png (features as colours, for each way) and report.json.

    Returns
    -------
    dict
        The report; ``choice`` is the way to take for these images, ``reason`` says why.

    Raises
    ------
    BridgeError
        For every input that cannot serve; nothing is left half written.
    """
    import math

    import numpy as np
    import pandas as pd

    from fijibridge.images import count_slices, read_image

    check(bias, locals())
    if not images or encoder == "none":
        raise SettingsError(
            "no image" if not images else "encoder none",
            expected="an image, and a ViT",
            remedy="name an image" if not images else "leave --encoder out",
        )
    if threads:
        import torch

        torch.set_num_threads(threads)
    ways = _ways(positions)
    stages = Stages()
    with output_folder(out, marker=REPORT, overwrite=overwrite, inputs=(*images, weights)) as folder:
        with stages("reading"):
            for path in images:
                if (slices := count_slices(path)) > 1:
                    raise ImageError(
                        f"{path} has {slices} slices", expected="single images", remedy="save slices as images"
                    )
            micrographs = [read_image(path, databar=databar) for path in images]
        rows: list[dict[str, Any]] = []
        colours: dict[str, np.ndarray] = {}
        left_out: dict[str, str] = {}
        for position in ways:
            recipe = preset_recipe(preset, encoder=encoder, position=position, classical="none")
            with stages("features"):
                found = _tokens(micrographs, recipe, weights, left_out)
            if found is None:
                continue
            with stages("measuring"):
                rows += _rows(position, [Path(path).name for path in images], found)
                colours[position] = _colours(found[0][_shown(recipe)])
        with stages("measuring"):
            plain = [_plain_probe(micrograph) for micrograph in micrographs]
        table = pd.DataFrame(rows)
        choice, reason = _choice(table, float(np.mean(plain)))
        with stages("writing"):
            table.to_csv(folder / "bias.csv", index=False, encoding="utf-8", float_format="%.4f")
            _picture(folder / "bias.png", micrographs[0], colours, table)
        means = table.groupby("position", sort=False).mean(numeric_only=True)
        report = {
            "operation": "bias",
            "out": str(out),
            "images": [str(path) for path in images],
            "choice": choice,
            "reason": reason,
            "r2": {position: _plain(means.loc[position]) for position in means.index},
            "r2_without_vit": [None if math.isnan(value) else round(value, 4) for value in plain],
            "not_possible": left_out,
            "outputs": ["bias.csv", "bias.png"],
            "stages": stages.seconds,
            "recipe": preset_recipe(preset, encoder=encoder, position=choice).to_brief(),
            "peak_memory_mib": peak_memory_mib(),
        }
        write_report(folder, report)
    return report


def _ways(positions: str) -> tuple[str, ...]:
    """Names of the ways to measure: ``keep`` and ``template``, which others are compared with, and the chosen ones."""
    chosen = [name.strip() for name in positions.split(",") if name.strip()]
    if unknown := [name for name in chosen if name not in WAYS]:
        raise SettingsError(
            f"position {unknown[0]!r}", expected=f"some of {', '.join(WAYS)}", remedy="check the spelling"
        )
    chosen = chosen or [name for name, way in WAYS.items() if way.passes == 1]
    return tuple(dict.fromkeys(["keep", "template", *chosen]))


def _tokens(
    images: list[Image], recipe: FeatureRecipe, weights: Path | None, left_out: dict[str, str]
) -> list[dict[str, np.ndarray]] | None:
    """Tokens of each image, block by block; None where an encoder has nothing to average, which is noted."""
    import numpy as np

    from fijibridge.features.vit import ViTEncoder

    try:
        encoder = ViTEncoder(recipe, checkpoint=weights)
    except SettingsError as error:
        if not WAYS[recipe.position].mean_embedding:
            raise
        left_out[recipe.position] = error.found
        return None
    found = []
    for image in images:
        parts: dict[str, np.ndarray] = {}
        for tokens, names in encoder.scales(image):
            groups = list(dict.fromkeys(name.rsplit("_", 1)[0] for name in names))
            parts.update(zip(groups, np.split(tokens, len(groups), axis=2), strict=True))
        found.append(parts)
    return found


def _shown(recipe: FeatureRecipe) -> str:
    return f"vit_b{recipe.blocks[-1]:02d}"


def _rows(position: str, names: list[str], found: list[dict[str, np.ndarray]]) -> list[dict[str, Any]]:
    """R^2 of each image and block; of all images together where there are several."""
    from fijibridge.features.position import positional_probe

    rows = []
    for block in found[0]:
        others = [parts[block] for parts in found]
        across = positional_probe(others, split="images") if len(others) > 1 else float("nan")
        rows += [
            {
                "position": position,
                "image": name,
                "block": block,
                "random": positional_probe(tokens, split="random"),
                "chessboard": positional_probe(tokens),
                "images": across,
            }
            for name, tokens in zip(names, others, strict=True)
        ]
    return rows


def _plain(row: pd.Series) -> dict[str, float | None]:
    return {name: None if value != value else round(float(value), 4) for name, value in row.items()}


def _plain_probe(image: Image) -> float:
    """R^2 of the probe on TWS's features, means over squares of pixels: what the image itself tells of the place."""
    import numpy as np

    from fijibridge.features.position import positional_probe
    from fijibridge.features.stack import extract_features

    stack = extract_features(image, FeatureRecipe(encoder="none"))
    rows, cols = (length // _SQUARE for length in stack.shape[:2])
    means = np.empty((rows, cols, stack.shape[2]), np.float32)
    for top in range(0, rows, 16):
        span = slice(top, min(top + 16, rows))
        block = stack.block(slice(span.start * _SQUARE, span.stop * _SQUARE), slice(0, cols * _SQUARE))
        means[span] = block.reshape(span.stop - span.start, _SQUARE, cols, _SQUARE, -1).mean((1, 3))
    return positional_probe(means, split="random")


def _choice(table: pd.DataFrame, plain: float = 0.0) -> tuple[str, str]:
    """The way to take, and why; ``plain``: R^2 without a ViT."""
    score = {name: float(value) for name, value in table.groupby("position", sort=False)["random"].mean().items()}
    if any(value != value for value in score.values()):
        return "template", "the image has too few patches for the probe; template takes the pattern of noise away"
    template = score["template"]
    told = f"it takes the R^2 from {score['keep']:.2f} to {template:.2f}"
    if template <= _BIASED:
        return "template", f"{told}, and costs no accuracy"
    others = sorted((max(score[name], 0.0), WAYS[name].passes, name) for name in score.keys() - {"keep", "template"})
    for left, passes, name in others:
        if WAYS[name].accurate and left <= _BIASED:
            cost = f"takes {passes} times as long"
            return name, f"R^2 {score[name]:.2f}, where template leaves {template:.2f}; it {cost}"
    if others and others[0][0] < template - _CLEARLY:
        name = others[0][2]
        cost = "takes longer" if WAYS[name].accurate else "costs accuracy"
        return name, f"R^2 {score[name]:.2f}, where template leaves {template:.2f}; it {cost}"
    if plain > _BIASED:
        return "template", f"{told}; the image itself tells the place (R^2 of TWS's features: {plain:.2f})"
    if others and others[0][0] < template - _BIASED:
        name = others[0][2]
        return "template", f"{told}; {name} leaves {score[name]:.2f}, and costs more than that is worth"
    return "template", f"{told}; what is left is the image's own, which differs from place to place"


def _colours(tokens: np.ndarray) -> np.ndarray:
    """The first three principal components as red, green and blue: uint8 (gy, gx, 3)."""
    import numpy as np

    flat = tokens.reshape(-1, tokens.shape[2]).astype(np.float64)
    flat -= flat.mean(0)
    _, _, axes = np.linalg.svd(flat, full_matrices=False)
    values = flat @ axes[:3].T
    low, high = np.percentile(values, (2, 98), axis=0)
    values = np.clip((values - low) / np.maximum(high - low, 1e-9), 0, 1)
    return (values * 255).astype(np.uint8).reshape(*tokens.shape[:2], -1)


def _picture(path: Path, image: Image, colours: dict[str, np.ndarray], table: pd.DataFrame) -> None:
    """The image, and beside it the features' first three principal components for each way."""
    from matplotlib.figure import Figure

    from fijibridge.images import scale_percentiles

    score = table.groupby("position", sort=False)["random"].mean()
    figure = Figure(figsize=(3.4 * (len(colours) + 1), 3.9), layout="constrained")
    axes = figure.subplots(1, len(colours) + 1)
    axes[0].imshow(scale_percentiles(image.grey[image.field], 0.5, 99.5), cmap="gray")
    axes[0].set_title(image.name, fontsize=10)
    for axis, (position, picture) in zip(axes[1:], colours.items(), strict=True):
        axis.imshow(picture, interpolation="nearest")
        axis.set_title(f"position {position}: R² {score[position]:.2f}", fontsize=10)
    for axis in axes:
        axis.set_axis_off()
    figure.savefig(path, dpi=110)
