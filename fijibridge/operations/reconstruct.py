"""A 3D volume from 2D micrographs, with its report."""

from __future__ import annotations

import logging
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from fijibridge.core.atomic_output import note_files, one_run, output_folder
from fijibridge.core.errors import SettingsError
from fijibridge.core.options import Device, Overwrite, Resume, Seed, Threads
from fijibridge.core.params import Param, check
from fijibridge.core.threads import limited_threads
from fijibridge.core.timing import Stages
from fijibridge.operations.micrographs import Classifier, Otsu, read_slices
from fijibridge.operations.options import Classes, OutVolume, PixelSize, VggWeights
from fijibridge.operations.report import REPORT, difference_lines, fraction_lines, peak_memory_mib, write_report
from fijibridge.operations.volume_files import (
    VOLUME,
    beside,
    check_state,
    check_target,
    finished,
    places_of,
    write_comparison,
)
from fijibridge.operations.volume_size import VolumeSize, volume_shape
from fijibridge.phases.writing import check_values, write_phases
from fijibridge.reconstruction.settings import (
    ChordWeight,
    Chunk,
    CorrelationWeight,
    FractionWeight,
    InterfaceWeight,
    Loss,
    Periodic,
    ReconstructionSettings,
    Separate,
    ShapeWeight,
    SlicesPerStep,
    Steps,
)

log = logging.getLogger(__name__)
TITLE = "Reconstruct 3D"


def reconstruct(
    images: Annotated[
        list[Path],
        Param(
            "segmented micrograph, or two of the planes xy and xz, or three of xy, xz and yz",
            positional=True,
            role="image",
            level="basic",
            group="Input",
        ),
    ],
    *,
    out: OutVolume,
    volume_size: VolumeSize = "128",
    classes: Classes = "",
    pixel_size: PixelSize = "",
    classifier: Classifier = None,
    otsu: Otsu = 0,
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
    chunk: Chunk = 0,
    seed: Seed = 0,
    device: Device = "auto",
    vgg_weights: VggWeights = None,
    threads: Threads = 0,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> dict[str, Any]:
    """Make a 3D volume from one segmented 2D micrograph, or from two or three of different planes.

    The volume starts random and changes until slices through it look like the micrographs: features of a pre-trained
    VGG19, patches and statistics are compared. Phase fractions are kept exactly. A micrograph's pixels become the
    volume's voxels. Of two micrographs the first is of the xy plane, the second stands for xz and yz, with z along its
    columns: as of a calendered electrode. While it runs, its state is kept in NAME.resume, from which --resume
    continues.

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
    from fijibridge.reconstruction.volume import check_size
    from fijibridge.reconstruction.volume import reconstruct as make

    check(reconstruct, locals())
    given = {name: value for name, value in locals().items() if name in ReconstructionSettings.__annotations__}
    settings = ReconstructionSettings(**given)
    shape = volume_shape(volume_size)
    if len(images) not in (1, 2, 3):
        raise SettingsError(
            f"{len(images)} micrographs",
            expected="one, two of the planes xy and xz, or three of xy, xz and yz",
            remedy="give one micrograph of a material that looks the same in all directions, two of one that does in "
            "its xy plane (the second stands for xz and yz), else three",
        )
    out = Path(out)
    inputs = [*images, classifier, vgg_weights]
    target, place, state = places_of(out)
    is_file = target.parent != place
    check_target(target if is_file else None, place, inputs, overwrite)
    check_state(state, resume, overwrite)
    stages = Stages()
    with (
        one_run(state),
        finished(place, target if is_file else None, [state]),
        output_folder(place, marker=REPORT, overwrite=overwrite, inputs=inputs) as folder,
        limited_threads(threads),
    ):
        with stages("reading"):
            planes, notes = read_slices(dict(zip(PLANES, images, strict=False)), classes, pixel_size, classifier, otsu)
            exemplars = check_exemplars(planes)
            check_values(exemplars.first)
            check_size(shape, len(exemplars.first), settings)
        loaded = None
        if settings.loss != "patches":
            from fijibridge.weights.weights import load_weights

            with stages("weights"):
                loaded = load_weights("vgg19", checkpoint=vgg_weights)
        with stages("reconstruction"):
            made = make(exemplars, shape, settings, weights=loaded, state_file=state, resume=resume, keep=state)
        with stages("comparison"):
            found = compare(exemplars.planes, made.phases, threads=threads)
        with stages("writing"):
            write_phases(folder / VOLUME, made.phases)
            outputs = [VOLUME, *write_comparison(found, exemplars.planes, made.phases, folder)]
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
        note_files(folder, [beside(target)] if is_file else [])
    return report


def summary(report: dict[str, Any]) -> list[str]:
    """Lines for a person."""
    return [*fraction_lines(report), *difference_lines(report)]
