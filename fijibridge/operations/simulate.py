"""Simulated SE + BSE micrographs with exact labels: training data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from fijibridge.errors import OutputError, SettingsError
from fijibridge.operations.results import Overwrite, peak_memory_mib, write_report
from fijibridge.params import Param, check
from fijibridge.segmentation.stages import Stages

_SHOWN = 8  # pairs of a preview


def simulate(
    *,
    preset: Annotated[
        str, Param("generic, si-li6ps5cl-vgcf, ncm-li3ps4 or licoo2: materials, structure and imaging")
    ] = "generic",
    config: Annotated[
        Path | None, Param("TOML file with own materials and ranges, instead of the preset", role="file")
    ] = None,
    out: Annotated[Path | None, Param("folder of the data set; kept as far as it got when stopped", role="out")] = None,
    count: Annotated[int, Param("SE + BSE pairs", low=1, high=10_000_000)] = 100,
    size: Annotated[int, Param("height and width; 0: as in preset or config", low=0, high=4096, unit="px")] = 0,
    preview: Annotated[
        Path | None, Param("PNG of the first pairs; without a folder for the data set only this is made", role="file")
    ] = None,
    seed: Annotated[int, Param("same seed and versions, same data, whatever the number of workers", low=0)] = 0,
    workers: Annotated[int, Param("processes; 0: one a core", low=0, high=1024)] = 0,
    dask: Annotated[str, Param("address of a Dask scheduler, such as tcp://host:8786; empty: this machine")] = "",
    resume: Annotated[
        bool, Param("write what is missing of a data set that was stopped, or is to grow to a larger count")
    ] = False,
    overwrite: Overwrite = False,
) -> dict[str, Any]:
    """Simulate SE + BSE micrographs of composite electrodes, with labels.

    A 3D structure (active material, solid electrolyte, pores, carbon, binder) is cut into sections, each imaged with
    its own parameters, which are drawn from the ranges of the preset or the config file.

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
    from fijibridge.synthesis.dataset import DATASET, class_names, shard_name, simulated_pairs, write_dataset
    from fijibridge.synthesis.gallery import write_gallery

    check(simulate, locals())
    if out is None and preview is None:
        raise SettingsError(
            "nothing to write", expected="a folder for the data set, or a preview", remedy="give --out or --preview"
        )
    wanted = load_config(config) if config else load_preset(preset)
    if size:
        wanted = replace(wanted, size=size)
    if preview is not None:
        _check_preview(Path(preview), overwrite)
    stages = Stages()
    report: dict[str, Any] = {"operation": "simulate", "config": wanted.name, "seed": seed}
    outputs = []
    if out is not None:
        with stages("simulation"):
            about = write_dataset(
                wanted, out=Path(out), count=count, seed=seed, workers=workers, dask=dask, resume=resume,
                overwrite=overwrite,
            )  # fmt: skip
        first = shard_name(0)
        outputs = [f"{first}/{name}.tif" for name in ("se", "bse", "labels")] + [DATASET, "preview.png"]
        report |= {"out": str(out), "count": count, "class_names": about["class_names"], "outputs": outputs}
    with stages("preview"):
        names = class_names(wanted)
        pairs = list(simulated_pairs(wanted, min(_SHOWN, count), seed))
        for place in [Path(out) / "preview.png" if out is not None else None, preview]:
            if place is not None:
                write_gallery(Path(place), pairs, names, title=wanted.name)
    report["image"] = str(out or preview)
    report["class_fractions"] = {
        name: round(float(sum((pair.labels == value).mean() for pair in pairs) / len(pairs)), 6)
        for value, name in enumerate(names, start=1)
    }
    report |= {"stages": stages.seconds, "peak_memory_mib": peak_memory_mib()}
    if preview is not None:
        report["preview"] = str(preview)
    if out is not None:
        write_report(Path(out), report)
    return report


def _check_preview(path: Path, overwrite: bool) -> None:
    if path.suffix.lower() != ".png":
        raise SettingsError(f"preview = {path}", expected="a name that ends in .png", remedy="choose such a name")
    if path.exists() and not overwrite:
        raise OutputError(
            f"{path} exists already", expected="a new file", remedy="choose another name, or use --overwrite"
        )
    if not path.absolute().parent.is_dir():
        raise OutputError(
            f"no folder {path.absolute().parent}", expected="an existing folder", remedy="make it, or choose another"
        )
