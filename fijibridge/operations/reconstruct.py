"""A 3D volume from 2D micrographs, with its report."""

from __future__ import annotations

import logging
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from fijibridge.devices import torch_threads
from fijibridge.errors import SettingsError
from fijibridge.operations.fine_slices import Classifier, Otsu, read_slices
from fijibridge.operations.label_volumes import PhaseNames, VoxelSize
from fijibridge.operations.results import REPORT, Overwrite, peak_memory_mib, write_report
from fijibridge.operations.volume_output import (
    VOLUME,
    check_state,
    check_target,
    places_of,
    put_volume,
    write_phases,
)
from fijibridge.output import output_folder
from fijibridge.params import Param, check
from fijibridge.reconstruction.settings import (
    Block,
    ChordWeight,
    CorrelationWeight,
    Device,
    FractionWeight,
    InterfaceWeight,
    Loss,
    Periodic,
    ReconstructionSettings,
    Seed,
    Separate,
    ShapeWeight,
    SlicesPerStep,
    Steps,
)
from fijibridge.segmentation.pixel import Threads
from fijibridge.segmentation.stages import Stages

log = logging.getLogger(__name__)


def reconstruct(
    images: Annotated[
        list[Path],
        Param("segmented micrograph, or three of the planes xy, xz and yz", positional=True, role="image"),
    ],
    *,
    out: Annotated[
        Path, Param("the volume, NAME.tif, with its report in NAME_report; or a folder for both", role="out")
    ],
    size: Annotated[str, Param("voxels along all axes, or z,y,x")] = "128",
    classes: PhaseNames = "",
    voxel_size: VoxelSize = "",
    classifier: Classifier = None,
    phases: Otsu = 0,
    loss: Loss = ReconstructionSettings.loss,
    steps: Steps = ReconstructionSettings.steps,
    slices_per_step: SlicesPerStep = ReconstructionSettings.slices_per_step,
    periodic: Periodic = False,
    separate: Separate = True,
    fraction_weight: FractionWeight = 1.0,
    correlation_weight: CorrelationWeight = 1.0,
    interface_weight: InterfaceWeight = 1.0,
    chord_weight: ChordWeight = 1.0,
    shape_weight: ShapeWeight = 1.0,
    block: Block = 0,
    seed: Seed = 0,
    device: Device = "auto",
    weights: Annotated[
        Path | None, Param("file with VGG19's weights, instead of cache, hub or offline source", role="file")
    ] = None,
    threads: Threads = 0,
    resume: Annotated[bool, Param("go on where a stopped reconstruction was")] = False,
    overwrite: Overwrite = False,
) -> dict[str, Any]:
    """Make a 3D volume from one segmented 2D micrograph, or from three of different planes.

    The volume starts random and changes until slices through it look like the micrographs: features of a pre-trained
    VGG19, patches and statistics are compared. Phase fractions are kept exactly. While it runs, its state is kept in
    NAME.resume, from which a stopped run goes on.

    Writes the volume, and a report: tables and pictures of volume against micrographs, slices, a rendered view,
    report.json.

    Returns
    -------
    dict
        The report; ``headline`` holds the largest errors, ``volume`` the file.

    Raises
    ------
    BridgeError
        For every input that cannot serve; nothing is left half written.
    """
    from fijibridge.reconstruction.comparison import compare
    from fijibridge.reconstruction.exemplars import PLANES, check_exemplars
    from fijibridge.reconstruction.pictures import write_comparison_pictures
    from fijibridge.reconstruction.volume import check_size
    from fijibridge.reconstruction.volume import reconstruct as make

    check(reconstruct, locals())
    settings = ReconstructionSettings(
        **{name: value for name, value in locals().items() if name in ReconstructionSettings.__annotations__}
    )
    shape = _shape(size)
    if len(images) not in (1, 3):
        raise SettingsError(
            f"{len(images)} micrographs",
            expected="one, or three: of the planes xy, xz and yz",
            remedy="give one micrograph of a material that looks the same in all directions, else three",
        )
    out = Path(out)
    inputs = [*images, classifier, weights]
    target, place, state = places_of(out)
    is_file = target.parent != place
    check_target(target if is_file else None, inputs, overwrite)
    check_state(state, resume, overwrite)
    stages = Stages()
    with output_folder(place, marker=REPORT, overwrite=overwrite, inputs=inputs) as folder, torch_threads(threads):
        with stages("reading"):
            planes, notes = read_slices(
                dict(zip(PLANES, images, strict=False)), classes, voxel_size, classifier, phases
            )
            exemplars = check_exemplars(planes)
            check_size(shape, len(exemplars.first), settings)
        loaded = None
        if settings.loss != "patches":
            from fijibridge.weights import load_weights

            with stages("weights"):
                loaded = load_weights("vgg19", checkpoint=weights)
        with stages("reconstruction"):
            made = make(exemplars, shape, settings, weights=loaded, state_file=state, resume=resume)
        with stages("comparison"):
            found = compare(exemplars.planes, made.phases, threads=threads)
        with stages("writing"):
            write_phases(folder / VOLUME, made.phases)
            outputs = [VOLUME, "comparison.csv"]
            found.table.to_csv(folder / outputs[-1], index=False, encoding="utf-8")
            for name, curve in found.curves.items():
                outputs.append(f"{name}.csv")
                curve.to_csv(folder / outputs[-1], index=False, encoding="utf-8", float_format="%.9g")
            outputs += write_comparison_pictures(found, exemplars.planes, made.phases, folder)
        notes += [*made.notes, *found.notes]
        total = sum(made.phases.counts)
        if is_file:
            outputs[0] = os.path.relpath(target, place)
        report = {
            "operation": "reconstruct",
            "out": str(place),
            "volume": str(target),
            "images": [str(image) for image in images],
            "shape": list(shape),
            "voxel_size": {"size": made.phases.spacing[2], "unit": made.phases.unit},
            "phases": dict(zip(made.phases.names, made.phases.values, strict=True)),
            "class_fractions": {name: round(made.phases.counts[k] / total, 6) for k, name in made.phases},
            "fractions_before_cut": dict(
                zip(made.phases.names, (round(float(share), 6) for share in made.soft_fractions), strict=True)
            ),
            "headline": found.headline(),
            "comparison": found.summary(),
            "settings": asdict(settings),
            "weights": {"source": loaded.source, "licence": loaded.licence, "sha256": loaded.sha256}
            if loaded
            else None,
            "notes": notes,
            "outputs": outputs,
            "stages": stages.seconds,
            "peak_memory_mib": peak_memory_mib(),
        }
        write_report(folder, report)
    if is_file:
        put_volume(place / VOLUME, target)
    return report


def _shape(text: str) -> tuple[int, int, int]:
    import math

    from fijibridge.image_output import LARGEST_TIFF

    try:
        sides = [int(part) for part in str(text).split(",")]
    except ValueError:
        sides = []
    if len(sides) not in (1, 3) or min(sides) < 1:
        raise SettingsError(
            f"size {text!r}", expected="a number of voxels, or three: z,y,x", remedy="such as 128, or 64,128,128"
        )
    sides = sides * 3 if len(sides) == 1 else sides
    if math.prod(sides) > LARGEST_TIFF:  # known now, not after days
        raise SettingsError(
            f"size {text}: {math.prod(sides) / 2**30:.1f} GiB",
            expected="less than 4 GiB, the limit of an ImageJ TIFF",
            remedy="make a smaller volume, or several with other seeds",
        )
    return tuple(sides)  # type: ignore[return-value]
