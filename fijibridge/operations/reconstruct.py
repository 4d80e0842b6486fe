"""A 3D volume from 2D micrographs, with its report."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fijibridge.errors import ImageError, LabelsError, OutputError, SettingsError
from fijibridge.operations.label_volumes import PhaseNames, VoxelSize, named, phase_names, read_phases, voxel_of
from fijibridge.operations.results import REPORT, Overwrite, peak_memory_mib, write_report
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

if TYPE_CHECKING:
    from fijibridge.metrology import Phases

log = logging.getLogger(__name__)

VOLUME = "volume.tif"
_TIFF = (".tif", ".tiff")


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
    classifier: Annotated[
        Path | None, Param("for grey micrographs: folder of the saved classifier that segments them", role="classifier")
    ] = None,
    phases: Annotated[
        int, Param("for grey micrographs: number of phases, told apart by multi-Otsu", low=0, high=8)
    ] = 0,
    loss: Loss = ReconstructionSettings.loss,
    steps: Steps = ReconstructionSettings.steps,
    slices: SlicesPerStep = ReconstructionSettings.slices,
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
    from fijibridge.reconstruction.exemplars import check_exemplars
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
    is_file = out.suffix.lower() in _TIFF
    target = out if is_file else out / VOLUME
    place = out.with_name(f"{out.stem}_report") if is_file else out
    state = out.with_name(f"{out.stem if is_file else out.name}.resume")
    _check_target(target if is_file else None, inputs, overwrite)
    _check_state(state, resume, overwrite)
    stages = Stages()
    with output_folder(place, marker=REPORT, overwrite=overwrite, inputs=inputs) as folder, _torch_threads(threads):
        with stages("reading"):
            planes, notes = _planes(images, classes, voxel_size, classifier, phases)
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
        try:
            os.replace(place / VOLUME, target)
        except OSError as error:
            raise OutputError(
                f"{target} cannot be written ({error.strerror or error}); the volume is {place / VOLUME}",
                expected="a place with write permission, and a file that no other program holds open",
                remedy="close the file in other programs, then move the volume yourself",
            ) from error
    return report


def write_phases(path: Path, phases: Phases) -> Path:
    """Write a labelled volume as an ImageJ TIFF: the phases' own values, their colours, names and voxel size.

    Raises
    ------
    OutputError
        As `write_imagej`.
    LabelsError
        Values beyond 0 ... 255.
    """
    import numpy as np

    from fijibridge.image_output import class_colors_or_default, write_imagej
    from fijibridge.images import PixelSize

    if not 0 <= min(phases.values) <= max(phases.values) <= 255:
        raise LabelsError(
            f"phase values {', '.join(map(str, phases.values))}",
            expected="values from 0 to 255, as 8-bit images have",
            remedy="give the micrograph's phases smaller values (in Fiji: Process > Math > Macro...)",
        )
    values = np.array(phases.values, np.uint8)
    colours = np.zeros((3, 256), np.uint16)
    colours[:, values] = class_colors_or_default(phases.names, None).T.astype(np.uint16) * 257
    names = "\n".join(f"{value} = {name}" for value, name in zip(phases.values, phases.names, strict=True))
    z, y, x = phases.spacing
    return write_imagej(
        path, (values[plane] for plane in phases.index), phases.index.shape, np.uint8, "ZYX",
        PixelSize(y, x, phases.unit, z), colormap=colours, metadata={"Info": names},
    )  # fmt: skip


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


def _check_target(target: Path | None, inputs: list[Path | None], overwrite: bool) -> None:
    """Refuse a volume over something else, before the work."""
    if target is None:
        return
    if any(item is not None and Path(item).resolve() == target.resolve() for item in inputs):
        raise OutputError(
            f"{target} is an input of this work", expected="another file", remedy="choose another name for the volume"
        )
    if target.is_dir() or (target.exists() and not overwrite):
        raise OutputError(
            f"{target} exists already",
            expected="a new file",
            remedy="choose another name, or use --overwrite (overwrite=True)",
        )


def _check_state(state: Path, resume: bool, overwrite: bool) -> None:
    if state.exists() and not resume and not overwrite:
        raise OutputError(
            f"{state}: the state of a reconstruction that was stopped",
            expected="a word on whether to go on with it",
            remedy="use --resume (resume=True) to go on, or --overwrite (overwrite=True) to start anew",
        )


@contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    """torch with so many threads for a while; 0: as it is."""
    import torch

    before = torch.get_num_threads()
    if count:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _planes(
    images: list[Path], classes: str, voxel_size: str, classifier: Path | None, phases: int
) -> tuple[dict[str, Phases], list[str]]:
    """The micrographs' phases by plane, segmented first where that is asked for, and notes."""
    from fijibridge.reconstruction.exemplars import PLANES

    if classifier is not None and phases:
        raise SettingsError(
            "a classifier and a number of phases", expected="one of the two", remedy="leave one of them out"
        )
    found: dict[str, Phases] = {}
    notes: list[str] = []
    for plane, path in zip(PLANES, images, strict=False):
        if classifier is not None:
            found[plane] = _segmented(path, classifier, voxel_size)
        elif phases:
            found[plane], note = _thresholded(path, phases, classes, voxel_size)
            notes.append(note)
        else:
            try:
                found[plane], _, size_note = read_phases(path, classes=classes, voxel_size=voxel_size)
            except LabelsError as error:
                if "grey image" not in error.found:
                    raise
                remedy = "segment it first (fijibridge segment), name a classifier, or give phases=3 for multi-Otsu"
                raise LabelsError(f"{path}: {error.found}", expected=error.expected, remedy=remedy) from error
            if size_note:
                notes.append(size_note)
    sizes = {plane: (phase.spacing[1:], phase.unit) for plane, phase in found.items()}
    (y, x), _ = sizes["xy"]
    if any(size != sizes["xy"] for size in sizes.values()) or abs(y - x) > 1e-3 * x:
        told = ", ".join(f"{plane} {y:g} x {x:g} {unit}" for plane, ((y, x), unit) in sizes.items())
        raise ImageError(
            f"pixel sizes (height x width): {told}",
            expected="square pixels of one size: they become the volume's voxels",
            remedy="scale the images in Fiji (Image > Scale...), or give voxel_size",
        )
    return found, notes


def _segmented(path: Path, classifier: Path, voxel_size: str) -> Phases:
    """A grey micrograph's phases by a saved classifier."""
    from fijibridge.images import read_image
    from fijibridge.metrology.phases import as_phases
    from fijibridge.segmentation import load_segmenter

    segmenter = load_segmenter(classifier)
    image = read_image(path)
    labels = segmenter.predict(image)[image.field]
    spacing, unit, _ = voxel_of(voxel_size, image.pixel_size, 2)
    return named(as_phases(labels, spacing=spacing, unit=unit), dict(enumerate(segmenter.class_names_, start=1)))


def _thresholded(path: Path, count: int, classes: str, voxel_size: str) -> tuple[Phases, str]:
    """A grey micrograph's phases by multi-Otsu, darkest first, and the thresholds in words."""
    import numpy as np
    from skimage.filters import threshold_multiotsu

    from fijibridge.images import read_image
    from fijibridge.metrology.phases import as_phases

    if count < 2:
        raise SettingsError(f"phases = {count}", expected="2 to 8", remedy="give the number of phases, or 0")
    image = read_image(path)
    grey = image.data[image.field].astype(np.float32)
    try:
        thresholds = threshold_multiotsu(grey, classes=count)
    except ValueError as error:
        raise ImageError(
            f"{path} has fewer grey values than {count} phases",
            expected="a micrograph whose phases differ in grey",
            remedy="give fewer phases, or segment the image first",
        ) from error
    spacing, unit, _ = voxel_of(voxel_size, image.pixel_size, 2)
    labels = np.digitize(grey, thresholds)
    told = ", ".join(f"{value:.4g}" for value in thresholds)
    note = f"{path} was segmented by its grey values alone (multi-Otsu): thresholds {told}"
    return as_phases(labels, spacing=spacing, unit=unit, class_names=phase_names(classes)), note
