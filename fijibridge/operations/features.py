"""The features of an image, or of slices of a stack, as files that ImageJ and TWS open."""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

from fijibridge.errors import OutputError
from fijibridge.features.recipe import (
    Channels,
    Classical,
    Detector,
    Encoder,
    Enlargement,
    FeatureRecipe,
    Position,
    Tile,
    Upsampler,
)
from fijibridge.operations.detector_images import (
    Align,
    Detectors,
    about_detectors,
    count_joined,
    detector_files,
    read_joined,
    shifts_of,
)
from fijibridge.operations.previews import Slices, slice_numbers
from fijibridge.operations.results import (
    REPORT,
    Blocks,
    Databar,
    Out,
    Overwrite,
    UpsamplerWeights,
    Weights,
    block_numbers,
    own_upsampler,
    peak_memory_mib,
    write_report,
)
from fijibridge.output import output_folder
from fijibridge.params import Param, check
from fijibridge.segmentation.pixel import PixelSegmenter, Threads
from fijibridge.segmentation.stages import Stages

if TYPE_CHECKING:
    import numpy as np

    from fijibridge.features import FeatureStack
    from fijibridge.images import Image

log = logging.getLogger(__name__)

# Features of a band of rows; as many bytes again while they are turned from pixel by pixel to plane by plane. TWS's
# filters look 30 rows beyond a band, so that narrow bands cost time.
_BAND_BYTES = 128 * 2**20


def features(
    image: Annotated[Path, Param("micrograph or stack: TIFF, PNG, ...", positional=True, role="image")],
    *,
    out: Out,
    classifier: Annotated[
        Path | None,
        Param(
            "saved classifier, or recipe.json of other features, whose recipe is used instead of the options below",
            role="classifier",
        ),
    ] = None,
    encoder: Encoder = FeatureRecipe.encoder,
    blocks: Blocks = "6",
    channels: Channels = FeatureRecipe.channels,
    enlargement: Enlargement = FeatureRecipe.enlargement,
    position: Position = FeatureRecipe.position,
    upsampler: Upsampler = FeatureRecipe.upsampler,
    upsampler_weights: UpsamplerWeights = None,
    tile: Tile = FeatureRecipe.tile,
    classical: Classical = FeatureRecipe.classical,
    network: Annotated[
        Path | None,
        Param("folder of a trained network, whose probabilities become features too", role="classifier"),
    ] = None,
    detector: Detector = FeatureRecipe.detector,
    detectors: Detectors = "",
    align: Align = True,
    databar: Databar = "auto",
    slices: Slices = "",
    weights: Weights = None,
    threads: Threads = 0,
    overwrite: Overwrite = False,
) -> dict[str, Any]:
    """Write the features of an image as a stack for ImageJ and TWS.

    One 32-bit plane a feature, its name as the slice's label; the rows of a data bar are 0. With --channels the ViT's
    channels are replaced by their first principal components in the first slice, which are unsupervised; recipe.json
    keeps them for other images.

    Writes features.tif, or features_0001.tif, ... for the slices of a stack, recipe.json, and report.json.

    Returns
    -------
    dict
        The report.

    Raises
    ------
    BridgeError
        For every input that cannot serve, and for features that do not fit into an ImageJ TIFF; nothing is left half
        written.
    """
    from fijibridge.features.detectors import check_same_detectors, detectors_of
    from fijibridge.progress import bar
    from fijibridge.segmentation.recipe_file import RECIPE, read_recipe, write_recipe

    check(features, locals())
    recipe = FeatureRecipe(
        encoder=encoder,
        blocks=block_numbers(blocks),
        channels=channels,
        enlargement=enlargement,
        position=position,
        upsampler=upsampler,
        upsampler_weights=own_upsampler(upsampler_weights, upsampler),
        tile=tile,
        classical=classical,
        network=str(network) if network else "",
        detector=detector,
    )
    stages = Stages()
    if classifier is not None:
        chosen, _ = read_recipe(classifier)
        detector = chosen.detector
    paths = detector_files(image, detector, detectors)
    inputs = (classifier, weights, upsampler_weights, *paths.values())
    with output_folder(out, marker=REPORT, overwrite=overwrite, inputs=inputs) as folder:
        with stages("reading"):
            count = count_joined(paths)
            wanted = slice_numbers(slices, count)
            # the data bar is that of the first slice, as in apply
            first = read_joined(paths, align=align, databar=databar)
            if classifier is not None:
                if recipe != FeatureRecipe():
                    log.warning("the recipe of %s is used; the options for features are not", classifier)
                recipe = chosen
                check_same_detectors(recipe, detectors_of(first))
        with stages("features"):
            _check_size(recipe, first.shape, weights, len(paths))
        segmenter = PixelSegmenter(recipe=recipe, checkpoint=weights, n_threads=threads)
        shifts: list[dict[str, Any]] = []
        names = [f"features_{number:04d}.tif" for number in wanted] if count > 1 else ["features.tif"]
        with bar("slices", len(wanted)) as steps:
            for number, name in zip(wanted, names, strict=True):
                with stages("reading"):
                    micrograph = read_joined(paths, align=align, databar=first.databar_rows, page=number - 1)
                    shifts.append(shifts_of(micrograph))
                with stages("features"):
                    stack = segmenter.features(micrograph)
                with stages("writing"):
                    _write(folder / name, stack, micrograph, stages)
                steps.update()
        write_recipe(folder / RECIPE, stack.recipe, stack.names)
        report = {
            "operation": "features",
            "out": str(out),
            "image": str(image),
            "shape": [count, *first.shape] if count > 1 else list(first.shape),
            "databar_rows": first.databar_rows,
            **about_detectors(paths, shifts),
            "slices": wanted,
            "n_features": len(stack.names),
            "vit_features": sum(name.startswith(("vit_", "linear_")) for name in stack.names),
            "outputs": [*names, RECIPE],
            "stages": stages.seconds,
            "recipe": stack.recipe.to_brief(),
            "peak_memory_mib": peak_memory_mib(),
        }
        write_report(folder, report)
    return report


def _check_size(recipe: FeatureRecipe, shape: tuple[int, int], weights: Path | None, detectors: int) -> None:
    """Refuse features that do not fit into an ImageJ TIFF before any is made."""
    from fijibridge.features.classical import CLASSICAL_NAMES
    from fijibridge.image_output import LARGEST_TIFF

    classical, vit = len(CLASSICAL_NAMES) * (recipe.classical == "tws") * detectors, 0
    if recipe.has_vit:
        vit = len(recipe.readout_classes) or recipe.channels * detectors
        if not vit:
            from fijibridge.features.vit import ViTEncoder

            vit = len(ViTEncoder(recipe, checkpoint=weights).names) * detectors  # loaded once, for the features too
    height, width = shape
    size, plane = 4 * height * width * (classical + vit), 4 * height * width
    if size <= LARGEST_TIFF:
        return
    fits, side = LARGEST_TIFF // plane, math.isqrt(LARGEST_TIFF // (4 * (classical + vit)))
    fewer = (fits - classical) // detectors
    fewer = f"set channels to {fewer} or less" if 0 < fewer * detectors < vit else "leave the ViT out"
    raise OutputError(
        f"{classical + vit} features of {width} x {height} px would take {size / 2**30:.1f} GiB",
        expected=f"less than 4 GiB, the limit of an ImageJ TIFF: {fits} features of this size, or {classical + vit} of "
        f"{side} x {side} px",
        remedy=(f"{fewer}, or " if vit and fits >= max(classical, 1) else "") + "crop the image",
    )


def _write(path: Path, stack: FeatureStack, image: Image, stages: Stages) -> None:
    """Write a stack as an ImageJ TIFF, one plane a feature, of the whole image's height.

    Features come band by band with all planes, and go into the file plane by plane with all rows: between them they
    wait on the disk, so that only a band is held.
    """
    import numpy as np

    from fijibridge.image_output import write_imagej

    with tempfile.TemporaryFile(dir=path.parent) as spool:
        with stages("features"):
            _spool(stack, spool)
        height, width, count = stack.shape

        def planes() -> Iterator[np.ndarray]:
            spool.seek(0)
            for _ in range(count):
                plane = np.zeros(image.shape, np.float32)  # rows of the data bar stay 0
                plane[:height] = np.frombuffer(spool.read(4 * height * width), np.float32).reshape(height, width)
                yield plane

        about = {"Labels": list(stack.names), "mode": "grayscale"}
        full = (count, *image.shape)
        write_imagej(path, planes(), full, np.float32, "ZYX", image.pixel_size, metadata=about)


def _spool(stack: FeatureStack, spool: IO[bytes]) -> None:
    """Write features plane by plane, float32 (F, Y, X), without a header."""
    import numpy as np

    from fijibridge.progress import bar

    height, width, count = stack.shape
    band = max(1, _BAND_BYTES // (4 * width * count))
    with bar("features", height) as steps:
        for top in range(0, height, band):
            block = stack.block(slice(top, min(height, top + band)))
            turned = np.empty((count, *block.shape[:2]), np.float32)
            for y, row in enumerate(block):  # a row fits the processor's cache
                turned[:, y] = row.T
            for k, plane in enumerate(turned):
                spool.seek(4 * width * (k * height + top))
                spool.write(plane.data)
            steps.update(len(block))
