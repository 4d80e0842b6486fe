"""How much of a ViT's features tells where a patch is, before and after it is taken away."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fijibridge.errors import ImageError, SettingsError
from fijibridge.features.presets import Preset, preset_recipe
from fijibridge.features.recipe import Encoder, FeatureRecipe
from fijibridge.operations.results import REPORT, Databar, Out, Overwrite, Weights, peak_memory_mib, write_report
from fijibridge.output import output_folder
from fijibridge.params import Param, check
from fijibridge.segmentation.pixel import Threads
from fijibridge.segmentation.stages import Stages

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from fijibridge.images import Image

POSITIONS = ("keep", "template", "mean")
_BIASED = 0.1  # R^2 up to which the place cannot be said to be in the features
_CLEARLY = 0.2  # R^2 by which another way must be less biased to be worth its loss of accuracy


def bias(
    images: Annotated[list[Path], Param("micrographs: TIFF, PNG, ...", positional=True, role="image")],
    *,
    out: Out,
    preset: Preset = "default",
    encoder: Encoder = FeatureRecipe.encoder,
    databar: Databar = "auto",
    weights: Weights = None,
    threads: Threads = 0,
    overwrite: Overwrite = False,
) -> dict[str, Any]:
    """Measure the positional bias of a ViT's features on images, and how well each way of removing it does.

    A linear probe learns to tell a patch's place from its features: R^2 near 1 means that the place can be read off,
    0 or less that it cannot. It learns from a random 1/36 of the patches; from one colour of a chessboard (stricter);
    and, of several images, from all others.

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
        for position in POSITIONS:
            recipe = preset_recipe(preset, encoder=encoder, position=position, classical="none")
            with stages("features"):
                found = _tokens(micrographs, recipe, weights, left_out)
            if found is None:
                continue
            with stages("measuring"):
                rows += _rows(position, [Path(path).name for path in images], found)
                colours[position] = _colours(found[0][_shown(recipe)])
        table = pd.DataFrame(rows)
        choice, reason = _choice(table)
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
            "not_possible": left_out,
            "outputs": ["bias.csv", "bias.png"],
            "stages": stages.seconds,
            "recipe": preset_recipe(preset, encoder=encoder, position=choice).to_brief(),
            "peak_memory_mib": peak_memory_mib(),
        }
        write_report(folder, report)
    return report


def _tokens(
    images: list[Image], recipe: FeatureRecipe, weights: Path | None, left_out: dict[str, str]
) -> list[dict[str, np.ndarray]] | None:
    """Tokens of each image, block by block; None where an encoder has nothing to average, which is noted."""
    import numpy as np

    from fijibridge.features.vit import ViTEncoder

    try:
        encoder = ViTEncoder(recipe, checkpoint=weights)
    except SettingsError as error:
        if recipe.position != "mean":
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


def _choice(table: pd.DataFrame) -> tuple[str, str]:
    """The way to take, and why."""
    score = table.groupby("position", sort=False)["random"].mean()
    if score.isna().any():
        return "template", "the image has too few patches for the probe; template takes the pattern of noise away"
    kept, template = float(score["keep"]), float(score["template"])
    if template <= _BIASED:
        return "template", f"it takes the R^2 from {kept:.2f} to {template:.2f}, and costs no accuracy"
    if "mean" in score and max(float(score["mean"]), 0.0) < template - _CLEARLY:
        return "mean", f"R^2 {float(score['mean']):.2f}, where template leaves {template:.2f}; it costs accuracy"
    told = f"it takes the R^2 from {kept:.2f} to {template:.2f}; "
    if "mean" in score and float(score["mean"]) < template - _BIASED:
        return "template", told + f"mean leaves {float(score['mean']):.2f}, and costs more accuracy than that is worth"
    return "template", told + "what is left is the image's own, which differs from place to place"


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
