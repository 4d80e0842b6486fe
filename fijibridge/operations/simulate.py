"""Simulated SE + BSE micrographs with exact labels: training data."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from fijibridge.core.atomic_output import note_files
from fijibridge.core.errors import OutputError, SettingsError
from fijibridge.core.options import Overwrite, Resume, Seed
from fijibridge.core.params import Param, check
from fijibridge.core.task_pool import Dask, Workers
from fijibridge.core.timing import Stages
from fijibridge.operations.report import add_report, fraction_lines, peak_memory_mib

_SHOWN = 8  # pairs of a preview
PREVIEW = "preview.png"


def materials() -> dict[str, str]:
    """What ``material`` may name."""
    from fijibridge.synthesis.config import presets

    return dict.fromkeys(presets(), "")


def simulate(
    *,
    material: Annotated[
        str,
        Param(
            "electrode whose materials, structure and imaging are simulated",
            level="basic",
            group="Simulation",
            choices=materials,
        ),
    ] = "generic",
    config: Annotated[
        Path | None,
        Param(
            "TOML file with materials and ranges of your own, instead of a named material",
            role="file",
            group="Simulation",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        Param("folder of the data set; what is written stays when stopped", role="out", level="basic", group="Output"),
    ] = None,
    count: Annotated[int, Param("SE + BSE pairs", low=1, high=10_000_000, level="basic", group="Simulation")] = 100,
    size: Annotated[
        int,
        Param(
            "height and width of the micrographs; 0: the material's or the config's",
            low=0,
            high=4096,
            unit="px",
            level="basic",
            group="Simulation",
        ),
    ] = 0,
    preview: Annotated[
        Path | None,
        Param("PNG of the first pairs; without --out only this is made", role="file", level="basic", group="Output"),
    ] = None,
    seed: Seed = 0,
    workers: Workers = 0,
    dask: Dask = "",
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> dict[str, Any]:
    """Simulate SE + BSE micrographs of composite electrodes, with labels.

    A 3D structure (active material, solid electrolyte, pores, carbon, binder) is cut into sections, each imaged with
    its own parameters, which are drawn from the ranges of the material or the config file. The number of workers does
    not change the data; --resume also adds pairs to a data set, up to a larger count.

    Writes shards of images, each with se.tif, bse.tif, labels.tif (stacks) and parameters.json; dataset.json,
    preview.png and report.json.

    Returns
    -------
    dict
        The report; ``class_fractions`` over the pairs of the preview.

    Raises
    ------
    BridgeError
        For every input that cannot serve.
    """
    from fijibridge.synthesis.config import load_config, load_preset
    from fijibridge.synthesis.dataset import DATASET, class_names, shard_name, simulated_pairs, written_dataset
    from fijibridge.synthesis.gallery import write_gallery

    check(simulate, locals())
    if out is None and preview is None:
        raise SettingsError(
            "nothing to write", expected="a folder for the data set, or a preview", remedy="give --out or --preview"
        )
    wanted = load_config(config) if config else load_preset(material)
    if size:
        wanted = replace(wanted, size=size)
    if preview is not None:
        _check_preview(Path(preview), overwrite)
    stages = Stages()
    report: dict[str, Any] = {"operation": "simulate", "config": wanted.name, "seed": seed}
    report["image"] = str(out or preview)
    if preview is not None:
        report["preview"] = str(preview)
    names = class_names(wanted)

    with ExitStack() as stack:
        folder = None
        if out is not None:
            with stages("simulation"):
                folder, _ = stack.enter_context(
                    written_dataset(
                        wanted, Path(out), count, seed=seed, workers=workers, dask=dask, resume=resume,
                        overwrite=overwrite, inputs=[config],
                    )
                )  # fmt: skip
            first = shard_name(0)
            outputs = [f"{first}/{name}.tif" for name in ("se", "bse", "labels")] + [DATASET, PREVIEW]
            report |= {"out": str(out), "count": count, "class_names": list(names), "outputs": outputs}
        with stages("preview"):
            pairs = list(simulated_pairs(wanted, min(_SHOWN, count), seed))
            for place in (folder / PREVIEW if folder else None, preview):
                if place is not None:
                    write_gallery(Path(place), pairs, names, title=wanted.name)
        report["class_fractions"] = {
            name: round(float(sum((pair.labels == value).mean() for pair in pairs) / len(pairs)), 6)
            for value, name in enumerate(names, start=1)
        }
        report |= {"stages": stages.seconds, "peak_memory_mib": peak_memory_mib()}
        if folder is not None:
            note_files(folder, [PREVIEW])
            add_report(folder, report)
    return report


def summary(report: dict[str, Any]) -> list[str]:
    """Lines for a person."""
    return fraction_lines(report)


def _check_preview(path: Path, overwrite: bool) -> None:
    from fijibridge.synthesis.gallery import is_gallery

    if path.suffix.lower() != ".png":
        raise SettingsError(f"preview = {path}", expected="a name that ends in .png", remedy="choose such a name")
    if path.exists() and not overwrite:
        raise OutputError(
            f"{path} exists already", expected="a new file", remedy="choose another name, or use --overwrite"
        )
    if path.exists() and not is_gallery(path):
        raise OutputError(
            f"{path} is no preview that fijibridge wrote; it is not overwritten",
            expected="an older preview, or nothing",
            remedy="choose another name, or delete the file yourself",
        )
    if not path.absolute().parent.is_dir():
        raise OutputError(
            f"no folder {path.absolute().parent}", expected="an existing folder", remedy="make it, or choose another"
        )
