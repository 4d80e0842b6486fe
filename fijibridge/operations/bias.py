"""Positional bias of a ViT's features, before and after each debiasing method."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fijibridge.core.atomic_output import output_folder
from fijibridge.core.errors import ImageError, SettingsError
from fijibridge.core.options import Out, Overwrite, Threads
from fijibridge.core.params import Param, check, names_in
from fijibridge.core.threads import limited_threads
from fijibridge.core.timing import Stages
from fijibridge.features.presets import preset_settings
from fijibridge.features.settings import FeatureSettings
from fijibridge.features.tws.settings import TwsSettings
from fijibridge.features.vit.debiasing.base import DEBIASING
from fijibridge.features.vit.settings import VitSettings
from fijibridge.operations.batch import Batch
from fijibridge.operations.feature_options import Encoder, EncoderWeights, Preset
from fijibridge.operations.options import Databar
from fijibridge.operations.report import REPORT, peak_memory_mib, write_report
from fijibridge.weights.encoders import DEFAULT_ENCODER

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from fijibridge.images.image import Image

_BIASED = 0.1  # R^2 up to which the position cannot be said to be in the features
_SQUARE = 7  # pixels a side; a patch of the default preset
_CLEARLY = 0.2  # R^2 by which another method must be less biased to be worth its loss of accuracy


def bias(
    images: Annotated[
        list[Path],
        Param("micrographs: TIFF, PNG, ...", positional=True, role="image", level="basic", group="Input"),
    ],
    *,
    out: Out,
    preset: Preset = "default",
    candidates: Annotated[
        str,
        Param(
            "debiasing methods to compare with none and template, separated by commas; default: all that need one pass",
            group="Features",
            choices=DEBIASING.descriptions,
            several=True,
        ),
    ] = "",
    encoder: Encoder = DEFAULT_ENCODER,
    databar: Databar = "auto",
    weights: EncoderWeights = None,
    threads: Threads = 0,
    overwrite: Overwrite = False,
) -> dict[str, Any]:
    """Measure the positional bias of a ViT's features on images, and how well each debiasing method removes it.

    A linear probe predicts a patch's position from its features: R^2 near 1 means that the features hold the position,
    0 or less that they do not. It is fitted to a random 1/36 of the patches; to one colour of a chessboard (stricter);
    and, of several images, to all others. The same probe of Trainable Weka Segmentation's features, which have no
    positional bias, shows what the image itself gives away: layers, gradients of brightness.

    Writes bias.csv, bias.png (features as colours, for each method) and report.json. Of several images one that cannot
    be read is left out, and named in the report.

    Returns
    -------
    dict
        The report; ``choice`` is the debiasing method to use for these images, ``reason`` says why.

    Raises
    ------
    BridgeError
        For every input that cannot serve; nothing is left half written.
    """
    import math

    import numpy as np
    import pandas as pd

    from fijibridge.images.image import count_slices, read_image

    check(bias, locals())
    if not images:
        raise SettingsError("no image", expected="an image at least", remedy="name an image")
    methods = _methods(candidates)
    stages = Stages()
    with (
        limited_threads(threads),
        output_folder(out, marker=REPORT, overwrite=overwrite, inputs=(*images, weights)) as folder,
    ):
        with stages("reading"):
            batch = Batch(len(images))
            micrographs, used = [], []
            for path in images:
                if not Path(path).exists():
                    count_slices(path)  # a wrong path is known at once
                with batch.each(path):
                    if (slices := count_slices(path)) > 1:
                        raise ImageError(
                            f"{path} has {slices} slices", expected="single images", remedy="save slices as images"
                        )
                    micrographs.append(read_image(path, databar=databar))
                    used.append(path)
            if not micrographs:
                batch.check()
        rows: list[dict[str, Any]] = []
        colours: dict[str, np.ndarray] = {}
        left_out: dict[str, str] = {}
        for method in methods:
            settings = _settings(preset, encoder, method, weights)
            with stages("features"):
                found = _tokens(micrographs, settings, left_out)
            if found is None:
                continue
            with stages("measuring"):
                rows += _rows(method, [Path(path).name for path in used], found)
                colours[method] = _colours(found[0][f"vit_b{settings.blocks[-1]:02d}"])
        with stages("measuring"):
            plain = [_plain_probe(micrograph) for micrograph in micrographs]
        table = pd.DataFrame(rows)
        choice, reason = _choice(table, float(np.mean(plain)))
        with stages("writing"):
            table.to_csv(folder / "bias.csv", index=False, encoding="utf-8", float_format="%.4f")
            _picture(folder / "bias.png", micrographs[0], colours, table)
        means = table.groupby("debiasing", sort=False).mean(numeric_only=True)
        report = {
            "operation": "bias",
            "out": str(out),
            "images": [str(path) for path in used],
            "failed": batch.failed,
            "choice": choice,
            "reason": reason,
            "r2": {method: _plain(means.loc[method]) for method in means.index},
            "r2_without_vit": [None if math.isnan(value) else round(value, 4) for value in plain],
            "not_possible": left_out,
            "outputs": ["bias.csv", "bias.png"],
            "stages": stages.seconds,
            "features": FeatureSettings((TwsSettings(), _settings(preset, encoder, choice, weights))).to_json(),
            "peak_memory_mib": peak_memory_mib(),
        }
        write_report(folder, report)
    return report


def summary(report: dict[str, Any]) -> list[str]:
    """Lines for a person."""
    return [f"debiasing to use: {report['choice']}; {report['reason']}"]


def _methods(candidates: str) -> tuple[str, ...]:
    """The methods to measure: ``none`` and ``template``, which others are compared with, and the candidates."""
    chosen = names_in(candidates) or [name for name in DEBIASING if DEBIASING[name].passes == 1]
    return tuple(dict.fromkeys(["none", "template", *chosen]))


def _settings(preset: Preset, encoder: str, method: str, weights: Path | None) -> VitSettings:
    return preset_settings(preset, encoder=encoder, debiasing=method, weights=str(weights or ""))


def _tokens(images: list[Image], settings: VitSettings, left_out: dict[str, str]) -> list[dict[str, np.ndarray]] | None:
    """Tokens of each image, block by block; None where an encoder has nothing to average, which is noted."""
    import numpy as np

    from fijibridge.features.vit.encoder import ViTEncoder

    try:
        encoder = ViTEncoder(settings)
    except SettingsError as error:
        if not DEBIASING[settings.debiasing].network_variant:
            raise
        left_out[settings.debiasing] = error.found
        return None
    found = []
    for image in images:
        parts: dict[str, np.ndarray] = {}
        for _, tokens, names in encoder.scales(image):
            groups = list(dict.fromkeys(name.rsplit("_", 1)[0] for name in names))
            parts.update(zip(groups, np.split(tokens, len(groups), axis=2), strict=True))
        found.append(parts)
    return found


def _rows(method: str, names: list[str], found: list[dict[str, np.ndarray]]) -> list[dict[str, Any]]:
    """R^2 of each image and block; of all images together where there are several."""
    from fijibridge.features.vit.probe import positional_probe

    rows = []
    for block in found[0]:
        others = [parts[block] for parts in found]
        across = positional_probe(others, split="images") if len(others) > 1 else float("nan")
        rows += [
            {
                "debiasing": method,
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
    """R^2 of the probe on TWS's features, means over squares of pixels: positional bias that the image itself has."""
    import numpy as np

    from fijibridge.features.extract import extract_features
    from fijibridge.features.vit.probe import positional_probe

    stack = extract_features(image, "tws")
    rows, cols = (length // _SQUARE for length in stack.shape[:2])
    means = np.empty((rows, cols, stack.shape[2]), np.float32)
    for top in range(0, rows, 16):
        span = slice(top, min(top + 16, rows))
        block = stack.block(slice(span.start * _SQUARE, span.stop * _SQUARE), slice(0, cols * _SQUARE))
        means[span] = block.reshape(span.stop - span.start, _SQUARE, cols, _SQUARE, -1).mean((1, 3))
    return positional_probe(means, split="random")


def _choice(table: pd.DataFrame, plain: float = 0.0) -> tuple[str, str]:
    """The method to use, and why; ``plain``: R^2 without a ViT."""
    score = {str(name): float(value) for name, value in table.groupby("debiasing", sort=False)["random"].mean().items()}
    if any(value != value for value in score.values()):
        return "template", "the image has too few patches for the probe; template removes the pattern found in noise"
    template = score["template"]
    reduced = f"it reduces R^2 from {score['none']:.2f} to {template:.2f}"
    if template <= _BIASED:
        return "template", f"{reduced}, and costs no accuracy"
    others = sorted(
        (max(score[name], 0.0), DEBIASING[name].passes, name) for name in score.keys() - {"none", "template"}
    )
    for left, passes, name in others:
        if DEBIASING[name].accurate and left <= _BIASED:
            cost = f"takes {passes} times as long"
            return name, f"R^2 {score[name]:.2f}, where template leaves {template:.2f}; it {cost}"
    if others and others[0][0] < template - _CLEARLY:
        name = others[0][2]
        cost = "takes longer" if DEBIASING[name].accurate else "costs accuracy"
        return name, f"R^2 {score[name]:.2f}, where template leaves {template:.2f}; it {cost}"
    if plain > _BIASED:
        return "template", f"{reduced}; the image itself gives the position away (R^2 of TWS's features: {plain:.2f})"
    if others and others[0][0] < template - _BIASED:
        name = others[0][2]
        return "template", f"{reduced}; {name} leaves {score[name]:.2f}, and costs more than that is worth"
    return "template", f"{reduced}; what is left is the image's own, which differs from place to place"


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
    """The image, and beside it the features' first three principal components for each method."""
    from matplotlib.figure import Figure

    from fijibridge.images.image import scale_percentiles

    score = table.groupby("debiasing", sort=False)["random"].mean()
    figure = Figure(figsize=(3.4 * (len(colours) + 1), 3.9), layout="constrained")
    axes = figure.subplots(1, len(colours) + 1)
    axes[0].imshow(scale_percentiles(image.grey[image.field], 0.5, 99.5), cmap="gray")
    axes[0].set_title(image.name, fontsize=10)
    for axis, (method, picture) in zip(axes[1:], colours.items(), strict=True):
        axis.imshow(picture, interpolation="nearest")
        axis.set_title(f"debiasing {method}: R² {score[method]:.2f}", fontsize=10)
    for axis in axes:
        axis.set_axis_off()
    figure.savefig(path, dpi=110)
