"""A fine 3D volume from a coarse one and fine 2D micrographs, with its report."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fijibridge.devices import torch_threads
from fijibridge.errors import ImageError, LabelsError, SettingsError
from fijibridge.operations.fine_slices import Classifier, Otsu, read_slices
from fijibridge.operations.label_volumes import (
    PhaseNames,
    VoxelSize,
    named,
    phase_names,
    read_labels_volume,
    stored_names,
    voxel_of,
)
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
    Seed,
    Separate,
    ShapeWeight,
    SlicesPerStep,
    Steps,
)
from fijibridge.segmentation.pixel import Threads
from fijibridge.segmentation.stages import Stages
from fijibridge.superresolution.settings import (
    AgreementWeight,
    CoarseAs,
    Factor,
    Iterations,
    Method,
    Psf,
    SuperresolutionSettings,
    Trust,
)

if TYPE_CHECKING:
    import numpy as np

    from fijibridge.images import PixelSize
    from fijibridge.metrology import Phases
    from fijibridge.superresolution import Coarse


def superresolve(
    coarse: Annotated[
        Path, Param("coarse volume: labels, probabilities of a phase, or a grey CT", positional=True, role="image")
    ],
    *,
    slices: Annotated[
        list[Path], Param("segmented fine micrographs with all phases; none: those of the trained model", role="labels")
    ] = (),  # type: ignore[assignment] - never changed
    visible: Annotated[
        str, Param("phases that the coarse volume shows, as the slices name them, separated by commas")
    ] = "",
    out: Annotated[
        Path, Param("the fine volume, NAME.tif, with its report in NAME_report; or a folder for both", role="out")
    ],
    factor: Factor = 0,
    method: Method = "optimise",
    train: Annotated[bool, Param("for the method gan: train a model, then apply it")] = False,
    out_model: Annotated[Path | None, Param("folder for the model that is trained", role="file")] = None,
    model: Annotated[Path | None, Param("folder of a trained model, to apply", role="classifier")] = None,
    iterations: Iterations = 3000,
    classes: PhaseNames = "",
    coarse_classes: Annotated[
        str, Param("names of the coarse volume's values in their order, separated by commas; empty: those in the file")
    ] = "",
    coarse_as: CoarseAs = "auto",
    trust: Trust = SuperresolutionSettings.trust,
    psf: Psf = SuperresolutionSettings.psf,
    samples: Annotated[int, Param("volumes to make, by seeds one after another", low=1, high=1000)] = 1,
    pixel_size: Annotated[str, Param("size of a slice's pixel, y,x and its unit; empty: from the file")] = "",
    voxel_size: VoxelSize = "",
    classifier: Classifier = None,
    phases: Otsu = 0,
    loss: Loss = SuperresolutionSettings.loss,
    steps: Steps = SuperresolutionSettings.steps,
    slices_per_step: SlicesPerStep = SuperresolutionSettings.slices_per_step,
    separate: Separate = True,
    agreement_weight: AgreementWeight = 1.0,
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
    resume: Annotated[bool, Param("go on where a stopped super-resolution was")] = False,
    overwrite: Overwrite = False,
) -> dict[str, Any]:
    """Make a fine 3D volume from a coarse one and fine 2D micrographs that show more phases.

    The fine volume, seen as coarsely, is the coarse one in the phases that this shows; its slices look like the
    micrographs, from which all other phases come. While it runs, its state is kept in NAME.resume (of a training: in
    the model's folder), from which a stopped run goes on.

    Writes the volume (and further samples), and a report: agreement with the coarse volume, tables and pictures of
    volume against micrographs, mean and spread over the samples, report.json.

    Returns
    -------
    dict
        The report; ``agreement`` is the share of coarse voxels that show the right phase, ``headline`` holds the
        largest differences from the micrographs, ``volume`` the file.

    Raises
    ------
    BridgeError
        For every input that cannot serve; nothing is left half written.
    """
    from fijibridge.reconstruction.exemplars import check_exemplars
    from fijibridge.reconstruction.volume import check_size
    from fijibridge.superresolution.coarse import check_factor
    from fijibridge.superresolution.model import load_model
    from fijibridge.superresolution.pictures import write_agreement_picture, write_sample_picture
    from fijibridge.superresolution.samples import generated_samples, made_samples, sample_table
    from fijibridge.superresolution.training import TrainingSettings, train_gan
    from fijibridge.superresolution.volume import tied

    check(superresolve, locals())
    settings = SuperresolutionSettings(**{name: value for name, value in locals().items() if name in _SETTINGS})
    _check_method(method, train, out_model, model, slices, resume)
    network = load_model(model) if model else None
    out = Path(out)
    inputs = [coarse, *slices, classifier, weights, model]
    target, place, state = places_of(out)
    is_file = target.parent != place
    check_target(target if is_file else None, inputs, overwrite)
    check_state(state, resume, overwrite)
    stages = Stages()
    with output_folder(place, marker=REPORT, overwrite=overwrite, inputs=inputs) as folder, torch_threads(threads):
        with stages("reading"):
            if slices:
                names = [f"{number}." for number in range(1, len(slices) + 1)]
                numbered = dict(zip(names, slices, strict=True))
                images, notes = read_slices(numbered, classes, pixel_size, classifier, phases)
                first, *others = images.values()
                exemplars = check_exemplars({"xy": first}, others)
            else:
                exemplars, notes = network.exemplars(), []
                first = exemplars.first
            shown = phase_names(visible) or (network.visible if network else [])
            volume = read_coarse(coarse, first, shown, coarse_as, coarse_classes, voxel_size)
            if network:
                network.check(volume, first.names, factor)
                factor = factor or network.factor
            factor = check_factor(factor, volume, first)
            shape = tuple(factor * size for size in volume.shape)
            if method == "optimise":
                check_size(shape, len(first), settings)
            tie = tied(volume, exemplars, factor, settings)
        loaded = None
        if settings.loss != "patches" and method == "optimise":
            from fijibridge.weights import load_weights

            with stages("weights"):
                loaded = load_weights("vgg19", checkpoint=weights)
        if train:
            with stages("training"):
                training = TrainingSettings(iterations=iterations, seed=seed, device=device)
                network = train_gan(
                    tie, exemplars, training, out=out_model, resume=resume, overwrite=overwrite, weight=agreement_weight
                )
        with stages("super-resolution"):
            if network:
                made = generated_samples(network, tie, seed, samples, device)
            else:
                made = made_samples(
                    volume, exemplars, factor, settings, samples, weights=loaded, state_file=state, resume=resume
                )
        with stages("comparison"):
            found, table = sample_table(made, exemplars, threads)
        with stages("writing"):
            outputs = [VOLUME, *(f"sample_{number}.tif" for number in range(2, samples + 1))]
            for file, each in zip(outputs, made, strict=True):
                write_phases(folder / file, each.phases)
            found.table.to_csv(folder / "comparison.csv", index=False, encoding="utf-8")
            outputs.append("comparison.csv")
            for name, curve in found.curves.items():
                outputs.append(f"{name}.csv")
                curve.to_csv(folder / outputs[-1], index=False, encoding="utf-8", float_format="%.9g")
            from fijibridge.reconstruction.pictures import write_comparison_pictures

            outputs += write_comparison_pictures(found, exemplars.planes, made[0].phases, folder)
            outputs.append(write_agreement_picture(tie, made[0].phases, folder))
            if samples > 1:
                table.to_csv(folder / "samples.csv", index=False, encoding="utf-8", float_format="%.9g")
                outputs += ["samples.csv", write_sample_picture([each.phases for each in made], folder)]
        notes += [*dict.fromkeys(note for each in made for note in each.notes), *found.notes]
        if is_file:
            outputs[0] = os.path.relpath(target, place)
        fine = made[0].phases
        total = sum(fine.counts)
        seen = [name for place, name in first if (place,) in volume.groups]
        report = {
            "operation": "superresolve",
            "out": str(place),
            "volume": str(target),
            "image": str(coarse),
            "slices": [str(path) for path in slices],
            "coarse_as": volume.kind,
            "factor": factor,
            "coarse_shape": list(volume.shape),
            "shape": list(shape),
            "voxel_size": {"size": fine.spacing[2], "unit": fine.unit},
            "phases": dict(zip(fine.names, fine.values, strict=True)),
            "phases_seen": seen,
            "phases_added": [name for name in first.names if name not in seen],
            "class_fractions": {name: round(fine.counts[k] / total, 6) for k, name in fine},
            "agreement": round(made[0].agreement, 6),
            "fractions": {
                name: {
                    "coarse_volume": round(float(tie.coarse[k]), 6),
                    "slices_seen_coarsely": round(float(tie.expected[k]), 6),
                    "slices": round(float(tie.slices[k]), 6),
                    "fine_volume": round(sum(fine.counts[p] for p in volume.groups[k]) / total, 6),
                }
                for k, name in enumerate(tie.names)
            },
            "psf_coarse_voxels": round(tie.psf, 3),
            "headline": found.headline(),
            "comparison": found.summary(),
            "samples": samples,
            "method": method,
            "settings": asdict(settings),
            "model": {key: value for key, value in network.about.items() if key != "checkpoint"} if network else None,
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


_SETTINGS = {name for base in SuperresolutionSettings.__mro__ for name in getattr(base, "__annotations__", {})}


def _check_method(
    method: str, train: bool, out_model: Path | None, model: Path | None, slices: Sequence[Path], resume: bool
) -> None:
    """Options of the two methods that do not go together."""
    if method == "optimise" and (train or model or out_model):
        raise SettingsError(
            "a model, and the method optimise, which has none",
            expected="the method gan for models",
            remedy="use --method gan, or leave the model out",
        )
    if method == "gan" and train and (model or not out_model):
        raise SettingsError(
            "training without a folder for its model" if not out_model else "training, and a trained model",
            expected="a folder for the new model alone",
            remedy="give --out-model FOLDER and no --model",
        )
    if method == "gan" and not train and not model:
        raise SettingsError(
            "the method gan without a model", expected="a trained one, or training", remedy="give --model, or --train"
        )
    if resume and method == "gan" and not train:
        raise SettingsError(
            "nothing to resume: a model is applied in one go", expected="no resume", remedy="leave it out"
        )
    if not slices and not model:
        raise SettingsError("no slices", expected="one fine micrograph or more", remedy="give --slices SEM.tif")


def read_coarse(
    path: Path, slices: Phases, visible: list[str], kind: str, coarse_classes: str, voxel_size: str
) -> Coarse:
    """Read a coarse volume: labels, probabilities (a channel each visible phase) or grey values.

    Raises
    ------
    ImageNotFoundError, ImageError, LabelsError, SettingsError
        No such file, unreadable, or what it holds does not fit.
    """
    import numpy as np

    from fijibridge.metrology.phases import as_phases
    from fijibridge.superresolution.coarse import coarse_grey, coarse_labels, coarse_probabilities

    values, stored = read_channels(path) if kind == "probabilities" and len(visible) > 1 else read_labels_volume(path)
    spacing, unit, _ = voxel_of(voxel_size, stored, 3)
    if kind == "auto":
        fractions = values.dtype.kind == "f" and values.min() >= 0 and values.max() <= 1
        kind = "probabilities" if fractions and (values % 1 != 0).any() else "labels"
    if kind == "labels":
        try:
            phases = as_phases(values, spacing=spacing, unit=unit, class_names=phase_names(coarse_classes))
        except LabelsError as error:
            if "grey image" not in error.found:
                raise
            raise LabelsError(
                f"{path}: {error.found}",
                expected=error.expected,
                remedy="say that it is a grey CT (--coarse-as grey), or segment it first",
            ) from error
        if phases.ndim == 3 and not coarse_classes.strip():
            phases = named(phases, stored_names(path))
        return coarse_labels(phases, slices, visible)
    size = {"spacing": (spacing * 3)[:3] if spacing else (float("nan"),) * 3, "unit": unit}
    if kind == "grey":
        return coarse_grey(values, slices, visible, **size)
    if values.dtype.kind == "u":
        values = values / np.float32(np.iinfo(values.dtype).max)
    return coarse_probabilities(values, slices, visible, **size)


def read_channels(path: Path) -> tuple[np.ndarray, PixelSize | None]:
    """(C, Z, Y, X) of a hyperstack, and its pixel size.

    Raises
    ------
    ImageError
        Not such a TIFF.
    """
    import tifffile

    from fijibridge.metadata import pixel_size_of_tiff

    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            axes, values = series.axes, series.asarray()
            stored = pixel_size_of_tiff(file, path)
    except (OSError, ValueError, tifffile.TiffFileError) as error:
        raise ImageError(
            f"{path} cannot be read as a TIFF ({error})", expected="a hyperstack", remedy="save it in Fiji as TIFF"
        ) from error
    if sorted(axes) != ["C", "X", "Y", "Z"]:
        raise ImageError(
            f"{path} has the axes {axes}",
            expected="a hyperstack with slices (Z) and a channel (C) for each visible phase",
            remedy="in Fiji: Image > Hyperstacks > Stack to Hyperstack...",
        )
    return values.transpose([axes.index(axis) for axis in "CZYX"]), stored
