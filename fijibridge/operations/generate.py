"""A large 3D volume from a 2D slice by a parametric model, with its report."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fijibridge.core.atomic_output import note_files, output_folder
from fijibridge.core.errors import SettingsError
from fijibridge.core.options import Overwrite, Seed, Threads
from fijibridge.core.params import Param, check
from fijibridge.core.threads import limited_threads
from fijibridge.core.timing import Stages
from fijibridge.operations.micrographs import Classifier, Otsu, read_slices
from fijibridge.operations.options import Classes, OutVolume, PixelSize
from fijibridge.operations.report import REPORT, difference_lines, fraction_lines, peak_memory_mib, write_report
from fijibridge.operations.volume_files import VOLUME, beside, check_target, finished, places_of, write_comparison
from fijibridge.operations.volume_size import VolumeSize, volume_shape
from fijibridge.parametric.settings import ScaleLengths, SetFractions, Stretch, fractions_of, stretch_of
from fijibridge.phases.writing import check_values, write_phases
from fijibridge.reconstruction.settings import Periodic

if TYPE_CHECKING:
    import numpy as np

    from fijibridge.parametric.model import Model
    from fijibridge.phases.phases import Phases
    from fijibridge.reconstruction.comparison import Comparison

log = logging.getLogger(__name__)
PARAMETERS = "parameters.json"
TITLE = "Generate 3D"
NOT_OPENED = (PARAMETERS,)
_COMPARED = 128  # voxels a side of the part that is compared with the slice
_MOST_BYTES = 2**24  # of a file with parameters


def generate(
    like: Annotated[
        Path,
        Param("segmented slice, or the parameters.json of an earlier run", role="image", level="basic", group="Input"),
    ],
    *,
    out: OutVolume,
    volume_size: VolumeSize = "256",
    classes: Classes = "",
    pixel_size: PixelSize = "",
    classifier: Classifier = None,
    otsu: Otsu = 0,
    set_fractions: SetFractions = "",
    scale_lengths: ScaleLengths = 1.0,
    stretch: Stretch = "1,1,1",
    periodic: Periodic = False,
    seed: Seed = 0,
    threads: Threads = 0,
    overwrite: Overwrite = False,
) -> dict[str, Any]:
    """Generate a large 3D volume like a segmented 2D slice, in minutes.

    A parametric model is fitted to the slice: each phase is where a Gaussian or chi-square random field is above a
    threshold, cut out of what the phases before have left. Phase fractions are kept exactly. The model's parameters are
    written, can be changed, and can be given in place of the slice.

    Writes the volume, parameters.json, and a report: tables and pictures of volume against slice, report.json.

    Returns
    -------
    dict
        The report; ``fit`` holds how far slices of the model are from the slice, ``volume`` the file.

    Raises
    ------
    BridgeError
        For every input that cannot serve; nothing is left half written.
    """
    from fijibridge.parametric.generation import check_memory, volume_of

    check(generate, locals())
    shape = volume_shape(volume_size)
    fractions, factors = fractions_of(set_fractions), stretch_of(stretch)
    like, out = Path(like), Path(out)
    from_parameters = like.suffix.lower() == ".json"
    if from_parameters and (classes or pixel_size or classifier is not None or otsu):
        raise SettingsError(
            "parameters, and options of a slice",
            expected="classes, pixel_size, classifier and otsu with a slice alone",
            remedy="leave them out; names and voxel size stand in the parameters",
        )
    target, place, _ = places_of(out)
    is_file = target.parent != place
    check_target(target if is_file else None, place, [like, classifier], overwrite)
    stages = Stages()
    with (
        finished(place, target if is_file else None, []),
        output_folder(place, marker=REPORT, overwrite=overwrite, inputs=[like, classifier]) as folder,
        limited_threads(threads, torch=False),
    ):
        exemplar: Phases | None = None
        fitted: dict[str, dict[str, float]] = {}
        notes: list[str] = []
        with stages("reading"):
            if from_parameters:
                model = _read_model(like)
            else:
                slices, notes = read_slices({"xy": like}, classes, pixel_size, classifier, otsu)
                exemplar = slices["xy"]
                check_values(exemplar)
        if exemplar is not None:
            from fijibridge.parametric.fitting import fit

            with stages("fit"):
                found = fit([exemplar], seed=seed)
            model, fitted = found.model, found.differences
            notes += found.notes
        model = model.with_fractions(fractions).with_lengths(scale_lengths, factors)
        check_memory(model, shape, periodic)
        with stages("generation"):
            volume = _phases(model, volume_of(model, shape, seed=seed, periodic=periodic, threads=threads))
        changed = bool(fractions) or scale_lengths != 1 or factors != (1.0, 1.0, 1.0)
        compared = None
        if exemplar is not None and not changed:
            with stages("comparison"):
                part, compared = _compared(exemplar, volume, threads)
            notes += compared.notes
        elif exemplar is not None:
            notes.append("not compared with the slice: fractions or lengths were asked for that it has not")
        with stages("writing"):
            outputs = [VOLUME, PARAMETERS]
            write_phases(folder / VOLUME, volume)
            text = json.dumps(model.as_dict(), indent=1) + "\n"
            (folder / PARAMETERS).write_text(text, encoding="utf-8")
            if compared is not None and exemplar is not None:
                outputs += write_comparison(compared, {"xy": exemplar}, part, folder)
        if is_file:
            outputs[0] = os.path.relpath(target, place)
        total = sum(volume.counts)
        report = {
            "operation": "generate",
            "out": str(place),
            "volume": str(target),
            "like": str(like),
            "shape": list(shape),
            "voxel_size": {"size": volume.spacing[2], "unit": volume.unit},
            "phases": dict(zip(volume.names, volume.values, strict=True)),
            "class_fractions": {name: round(volume.counts[k] / total, 6) for k, name in volume},
            "periodic": periodic,
            "seed": seed,
            "model": [
                {
                    "phase": model.names[step.phase],
                    "field": str(step.kind),
                    "follows": model.names[model.steps[step.follows].phase] if step.follows >= 0 else None,
                    "leaning": step.leaning,
                }
                for step in model.steps
            ],
            "fit": fitted,
            "headline": compared.headline() if compared is not None else {},
            "comparison": compared.summary() if compared is not None else {},
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
    steps = [
        f"{step['phase']}: {step['field']} field" + (f", follows {step['follows']}" if step["follows"] else "")
        for step in report["model"]
    ]
    lines = difference_lines(report) if report["headline"] else [f"note: {note}" for note in report["notes"]]
    return [*fraction_lines(report), *steps, *lines]


def _read_model(path: Path) -> Model:
    from fijibridge.core.errors import ImageError
    from fijibridge.parametric.model import model_from_dict

    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("too long")
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ImageError(
            f"{path} cannot be read: {error}",
            expected="parameters.json as generate writes it",
            remedy="check the path, and the commas and brackets if you changed the file",
        ) from error
    return model_from_dict(values, str(path))


def _phases(model: Model, index: np.ndarray) -> Phases:
    from fijibridge.phases.phases import Phases

    counts = _counts(index, model)
    step = model.spacing
    return Phases(
        index, model.values, model.names, (step, step, step), model.unit, 3, tuple(int(count) for count in counts)
    )


def _counts(index: np.ndarray, model: Model) -> np.ndarray:
    """Voxels of each phase, slice by slice: bincount makes wide integers of all that it is given."""
    import numpy as np

    found = np.zeros(len(model.names), np.int64)
    for plane in index:
        found += np.bincount(plane.ravel(), minlength=len(found))
    return found


def _compared(exemplar: Phases, volume: Phases, threads: int) -> tuple[Phases, Comparison]:
    """The middle of a volume, and how it compares with the slice."""
    from fijibridge.reconstruction.alike import with_index
    from fijibridge.reconstruction.comparison import compare

    cuts = tuple(
        slice((side - min(side, _COMPARED)) // 2, (side + min(side, _COMPARED)) // 2) for side in volume.index.shape
    )
    part = with_index(volume, volume.index[cuts].copy())
    return part, compare({"xy": exemplar}, part, threads=threads)
