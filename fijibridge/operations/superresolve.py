"""A fine 3D volume from a coarse one and fine 2D micrographs, with its report."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fijibridge.core.atomic_output import note_files, one_run, output_folder
from fijibridge.core.checkpoint import check_new
from fijibridge.core.errors import SettingsError
from fijibridge.core.options import Device, Overwrite, Resume, Seed, Threads
from fijibridge.core.params import Param, check
from fijibridge.core.threads import limited_threads
from fijibridge.core.timing import Stages
from fijibridge.operations.coarse_files import read_coarse
from fijibridge.operations.micrographs import Classifier, Otsu, read_slices
from fijibridge.operations.options import Classes, OutVolume, PixelSize, Probabilities, VggWeights, VoxelSize
from fijibridge.operations.report import REPORT, difference_lines, fraction_lines, peak_memory_mib, write_report
from fijibridge.operations.volume_files import VOLUME, beside, check_state, check_target, finished, places_of
from fijibridge.phases.reading import phase_names
from fijibridge.phases.writing import check_values, write_phases
from fijibridge.reconstruction.settings import (
    ChordWeight,
    Chunk,
    CorrelationWeight,
    FractionWeight,
    InterfaceWeight,
    Loss,
    Separate,
    ShapeWeight,
    SlicesPerStep,
    Steps,
)
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
    from fijibridge.superresolution.posterior import Posterior

TITLE = "Superresolve 3D"


def superresolve(
    coarse: Annotated[
        Path,
        Param(
            "coarse volume: labels, probabilities of a phase, or a grey CT",
            positional=True,
            role="image",
            level="basic",
            group="Input",
        ),
    ],
    *,
    micrographs: Annotated[
        list[Path] | None,
        Param(
            "segmented fine micrographs with all phases; default: those of the trained model",
            role="labels",
            level="basic",
            group="Input",
        ),
    ] = None,
    visible: Annotated[
        str,
        Param(
            "phases that the coarse volume shows, by their names in the micrographs, separated by commas",
            level="basic",
            group="Input",
        ),
    ] = "",
    out: OutVolume,
    factor: Factor = 0,
    method: Method = "optimise",
    train: Annotated[bool, Param("for the method gan: train a model, then apply it", group="Training")] = False,
    out_model: Annotated[
        Path | None, Param("folder for the model that is trained", role="file", group="Output")
    ] = None,
    model: Annotated[
        Path | None, Param("folder of a trained model, to apply", role="classifier", group="Input")
    ] = None,
    training_steps: Iterations = 3000,
    classes: Classes = "",
    coarse_classes: Annotated[
        str,
        Param(
            "names of the coarse volume's values in their order, separated by commas; default: those in the file",
            group="Input",
        ),
    ] = "",
    coarse_as: CoarseAs = "auto",
    trust: Trust = SuperresolutionSettings.trust,
    psf: Psf = SuperresolutionSettings.psf,
    samples: Annotated[
        int,
        Param(
            "volumes to make, by consecutive seeds; 0: the most probable volume alone, in a minute",
            low=0,
            high=1000,
            group="3D volume",
        ),
    ] = 1,
    probabilities: Probabilities = False,
    pixel_size: PixelSize = "",
    voxel_size: VoxelSize = "",
    classifier: Classifier = None,
    otsu: Otsu = 0,
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
    chunk: Chunk = 0,
    seed: Seed = 0,
    device: Device = "auto",
    vgg_weights: VggWeights = None,
    threads: Threads = 0,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> dict[str, Any]:
    """Make a fine 3D volume from a coarse one and fine 2D micrographs that show more phases.

    The fine volume, seen as coarsely, is the coarse one in the phases that this shows; its slices look like the
    micrographs, from which all other phases come. While it runs, its state is kept in NAME.resume (of a training: in
    the model's folder), from which --resume continues.

    Writes the volume (and further samples), and a report: agreement with the coarse volume, tables and pictures of
    volume against micrographs, mean and spread over the samples, report.json. The method optimise writes mean.tif, too,
    the most probable volume, and uncertainty.tif, the entropy of the probabilities: nearest to the truth voxel by
    voxel, but smoother than the material, whose surfaces and contacts the samples have.

    Returns
    -------
    dict
        The report; ``agreement`` is the share of coarse voxels that show the right phase, ``headline`` holds the
        largest differences from the micrographs, ``volume`` the file, ``posterior`` what is known of mean.tif.

    Raises
    ------
    BridgeError
        For every input that cannot serve; nothing is left half written.
    """
    from fijibridge.reconstruction.exemplars import check_exemplars
    from fijibridge.reconstruction.volume import check_size
    from fijibridge.superresolution.coarse import check_factor
    from fijibridge.superresolution.model import MODEL, load_model
    from fijibridge.superresolution.plots import write_agreement_picture, write_posterior_picture, write_sample_picture
    from fijibridge.superresolution.posterior import check_posterior_size
    from fijibridge.superresolution.samples import generated_samples, made_samples, sample_table, states_of
    from fijibridge.superresolution.training import TrainingSettings, train_gan
    from fijibridge.superresolution.volume import check_blocks, most_probable, tied

    check(superresolve, locals())
    given = {name: value for name, value in locals().items() if name in _SETTINGS}
    settings = SuperresolutionSettings(**given)
    micrographs = micrographs or []
    _check_method(method, train, out_model, model, micrographs, resume, samples)
    network = load_model(model) if model else None
    out = Path(out)
    inputs = [coarse, *micrographs, classifier, vgg_weights, model]
    target, place, state = places_of(out)
    is_file = target.parent != place
    check_target(target if is_file else None, place, inputs, overwrite)
    check_state(state, resume, overwrite)
    if out_model:
        check_new(out_model, MODEL, overwrite=overwrite or resume, inputs=inputs)
    stages = Stages()
    with (
        one_run(state),
        one_run(out_model) if out_model else nullcontext(),
        finished(place, target if is_file else None, states_of(state, samples)),
        output_folder(place, marker=REPORT, overwrite=overwrite, inputs=inputs) as folder,
        limited_threads(threads),
    ):
        with stages("reading"):
            if micrographs:
                names = [f"{number}." for number in range(1, len(micrographs) + 1)]
                numbered = dict(zip(names, micrographs, strict=True))
                images, notes = read_slices(numbered, classes, pixel_size, classifier, otsu)
                first, *others = images.values()
                exemplars = check_exemplars({"xy": first}, others)
            else:
                assert network is not None  # checked above: micrographs or a model
                exemplars, notes = network.exemplars(), []
                first = exemplars.first
            check_values(first)
            shown = phase_names(visible) or (network.visible if network else [])
            volume = read_coarse(coarse, first, shown, coarse_as, coarse_classes, voxel_size)
            if network:
                network.check(volume, first.names, factor)
                factor = factor or network.factor
            factor = check_factor(factor, volume, first)
            depth, height, width = (factor * size for size in volume.shape)
            shape = (depth, height, width)
            if method == "optimise":
                check_posterior_size(shape, len(first))
            if method == "optimise" and samples:
                check_blocks(factor, settings)
                check_size(shape, len(first), settings)
            tie = tied(volume, exemplars, factor, settings)
        loaded = None
        if settings.loss != "patches" and method == "optimise" and samples:
            from fijibridge.weights.weights import load_weights

            with stages("weights"):
                loaded = load_weights("vgg19", checkpoint=vgg_weights)
        if train:
            assert out_model is not None  # checked above
            with stages("training"):
                training = TrainingSettings(iterations=training_steps, seed=seed, device=device)
                network = train_gan(
                    tie, exemplars, training, out=out_model, resume=resume, overwrite=overwrite, weight=agreement_weight
                )
        with stages("super-resolution"):
            if network:
                made = generated_samples(network, tie, seed, samples, device)
            elif not samples:
                made = [most_probable(volume, exemplars, factor, settings)]
            else:
                made = made_samples(
                    volume, exemplars, factor, settings, samples, weights=loaded, state_file=state, resume=resume,
                    keep=True,
                )  # fmt: skip
        with stages("comparison"):
            found, table = sample_table(made, exemplars, threads)
        with stages("writing"):
            outputs = [VOLUME, *(f"sample_{number}.tif" for number in range(2, samples + 1))]
            for file, each in zip(outputs, made, strict=True):
                write_phases(folder / file, each.phases)
            posterior = made[0].posterior
            if posterior:
                outputs += _write_posterior(posterior, folder, mean=samples > 0, probabilities=probabilities)
                outputs.append(write_posterior_picture(posterior, made[0].phases, folder))
            found.table.to_csv(folder / "comparison.csv", index=False, encoding="utf-8")
            outputs.append("comparison.csv")
            for name, curve in found.curves.items():
                outputs.append(f"{name}.csv")
                curve.to_csv(folder / outputs[-1], index=False, encoding="utf-8", float_format="%.9g")
            from fijibridge.reconstruction.plots import write_comparison_pictures

            outputs += write_comparison_pictures(found, exemplars.planes, made[0].phases, folder)
            outputs.append(write_agreement_picture(tie, made[0].phases, folder))
            if samples > 1:
                table.to_csv(folder / "samples.csv", index=False, encoding="utf-8", float_format="%.9g")
                outputs += ["samples.csv", write_sample_picture([each.phases for each in made], folder)]
        notes += [*dict.fromkeys(note for each in made for note in each.notes), *found.notes]
        if not samples:
            notes.append("the most probable volume is smoother than the material: measure samples (--samples 1)")
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
            "micrographs": [str(path) for path in micrographs],
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
            "posterior": {
                "agreement": round(posterior.agreement, 6),
                "class_fractions": {name: round(posterior.mean.counts[k] / total, 6) for k, name in posterior.mean},
                "mean_uncertainty": round(float(posterior.uncertainty().mean()), 6),
            }
            if posterior
            else None,
            "method": method,
            "settings": asdict(settings),
            "model": network.about if network else None,
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
    seen, added = (", ".join(report[key]) or "none" for key in ("phases_seen", "phases_added"))
    return [
        *fraction_lines(report),
        f"agreement with the coarse volume: {100 * report['agreement']:.2f} % of its voxels",
        f"phases seen in it: {seen}; added from the micrographs: {added}",
        *(["mean.tif: the most probable volume; uncertainty.tif: where it is unsure"] if report["posterior"] else []),
        *difference_lines(report),
    ]


_SETTINGS = {name for base in SuperresolutionSettings.__mro__ for name in getattr(base, "__annotations__", {})}


def _write_posterior(posterior: Posterior, folder: Path, *, mean: bool, probabilities: bool) -> list[str]:
    """Write mean.tif (where it is not the volume itself), uncertainty.tif, and probabilities.tif where asked for."""
    import numpy as np

    from fijibridge.images.image import PixelSize
    from fijibridge.images.writing import write_imagej, write_probabilities

    found = posterior.mean
    z, y, x = found.spacing
    size, outputs = PixelSize(y, x, found.unit, z), ["uncertainty.tif"]
    write_imagej(
        folder / outputs[0], iter(posterior.uncertainty()), found.index.shape, np.float32, "ZYX", size, metadata={}
    )  # fmt: skip
    if mean:
        outputs.append("mean.tif")
        write_phases(folder / outputs[-1], found)
    if probabilities:
        outputs.append("probabilities.tif")
        planes = (np.moveaxis(posterior.probabilities[:, place], 0, -1) for place in range(found.index.shape[0]))
        write_probabilities(
            folder / outputs[-1], planes, pixel_size=size, class_names=found.names, count=found.index.shape[0]
        )  # fmt: skip
    return outputs


def _check_method(
    method: str,
    train: bool,
    out_model: Path | None,
    model: Path | None,
    micrographs: Sequence[Path],
    resume: bool,
    samples: int,
) -> None:
    """Options of the two methods that do not go together."""
    if not samples and method == "gan":
        raise SettingsError(
            "no samples of a GAN, which gives nothing else",
            expected="1 or more",
            remedy="use the method optimise for the most probable volume, or --samples 1",
        )
    if not samples and resume:
        raise SettingsError(
            "nothing to resume: the most probable volume is made in one go", expected="no resume", remedy="leave it out"
        )
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
    if not micrographs and not model:
        raise SettingsError(
            "no micrographs", expected="one fine micrograph or more", remedy="give --micrographs SEM.tif"
        )
