"""Data sets of simulated micrographs: written in shards, in parallel, and resumed where they were stopped."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fijibridge.core import progress
from fijibridge.core.atomic_output import (
    add_file,
    check_output,
    discard_folder,
    note_files,
    one_run,
    output_folder,
    put_folder,
    sweep,
)
from fijibridge.core.ending import cleaned_up
from fijibridge.core.errors import BridgeError, OutputError, SettingsError
from fijibridge.core.machine import machine_memory
from fijibridge.core.manifest import MANIFEST
from fijibridge.core.records import read_json
from fijibridge.core.task_pool import done_tasks
from fijibridge.synthesis.config import SimulationConfig, config_of, draw_imaging, draw_structure, to_record
from fijibridge.synthesis.structure import PHASES

if TYPE_CHECKING:
    from fijibridge.synthesis.imaging import Micrograph
    from fijibridge.synthesis.structure import Structure

DATASET = "dataset.json"
PARAMETERS = "parameters.json"
DETECTORS = ("SE", "BSE")
FORMAT = 1
_STRUCTURES = 4  # in a shard, which is what is lost at most when the work is stopped; of tomographies one
_VOXEL = 12  # bytes that a voxel takes at the least while a structure is made
_PACKINGS = 20  # draws at most until a structure can be packed


def class_names(config: SimulationConfig) -> tuple[str, ...]:
    """The phases that a data set can contain, in the order of their label values (from 1)."""
    return tuple(phase for phase in PHASES if phase == "pore" or phase in config.materials)


def make_pair_structure(config: SimulationConfig, seed: int, number: int, *, threads: int = 0) -> Structure:
    """A structure of a data set.

    Parameters
    ----------
    config : SimulationConfig
        From which it is drawn.
    seed : int
        Of the data set.
    number : int
        Of the structure in the data set.
    threads : int
        0: all cores.

    Returns
    -------
    Structure

    Raises
    ------
    SettingsError
        None of several draws could be packed.
    """
    from fijibridge.synthesis.structure import make_structure

    rng = np.random.default_rng([seed, number])
    fixed = not any(isinstance(value, (list, tuple)) for value in config.structure.values())
    shape = (config.depth, config.size, config.size)
    if (needed := _VOXEL * math.prod(shape)) > machine_memory():
        raise SettingsError(
            f"a structure of {' x '.join(map(str, shape))} voxels, which takes more than {needed / 2**30:.0f} GiB",
            expected=f"what fits into this machine's {machine_memory() / 2**30:.0f} GiB",
            remedy="choose a smaller size or depth",
        )
    for attempt in range(_PACKINGS):
        settings, pixel_size = draw_structure(config, rng)
        try:
            return make_structure(
                settings, shape=shape, voxel_size=pixel_size, seed=int(rng.integers(2**31)), threads=threads
            )
        except SettingsError:
            if fixed or attempt == _PACKINGS - 1:
                raise
    raise AssertionError("unreachable")


def sections_of(config: SimulationConfig, structure: Structure, seed: int, number: int) -> Iterator[Micrograph]:
    """The micrographs of a structure: evenly through its depth, each with its own imaging parameters; or a stack.

    Parameters
    ----------
    config : SimulationConfig
        From which the imaging parameters are drawn.
    structure : Structure
        From `make_pair_structure`.
    seed : int
        Of the data set.
    number : int
        Of the structure in the data set.

    Yields
    ------
    Micrograph
        Labels are those of the structure.
    """
    from fijibridge.synthesis.imaging import take_micrograph, take_stack

    materials = config.phase_materials()
    if config.spacing:
        rng = np.random.default_rng([seed, number, 0])
        heights = range(0, config.sections * config.spacing, config.spacing)
        yield from take_stack(structure, heights, draw_imaging(config, rng), materials, seed=int(rng.integers(2**31)))
        return
    for section in range(config.sections):
        rng = np.random.default_rng([seed, number, section])
        imaging = draw_imaging(config, rng)
        # what lies behind the lowest section's pores is part of its image
        z = section * (config.depth - config.depth // 4) // config.sections
        yield take_micrograph(structure, z, imaging, materials, seed=int(rng.integers(2**31)))


def simulated_pairs(config: SimulationConfig, count: int, seed: int) -> Iterator[Micrograph]:
    """The first micrographs of a data set, simulated one by one.

    Parameters
    ----------
    config : SimulationConfig
        From which they are drawn.
    count : int
        Number of SE + BSE pairs.
    seed : int
        The same seed gives the same pairs.

    Yields
    ------
    Micrograph
        Labels are 1, 2, ... for `class_names`.
    """
    values = label_values(config)
    for number in range(-(-count // config.sections)):
        structure = make_pair_structure(config, seed, number)
        for section, pair in enumerate(sections_of(config, structure, seed, number)):
            if number * config.sections + section < count:
                yield replace(pair, labels=values[pair.labels])


def label_values(config: SimulationConfig) -> np.ndarray:
    """(6,) uint8: label value in the data set of each value of a structure."""
    values = np.zeros(len(PHASES) + 1, np.uint8)
    for value, phase in enumerate(class_names(config), start=1):
        values[1 + PHASES.index(phase)] = value
    return values


def structures_a_shard(config: SimulationConfig) -> int:
    """Structures in a shard; a tomography has a shard of its own, so that its files are its stacks."""
    return 1 if config.spacing else _STRUCTURES


def shard_name(number: int) -> str:
    """``shard-00000``, ..."""
    return f"shard-{number:05d}"


def write_shard(folder: str, record: dict[str, Any], seed: int, number: int, count: int) -> int:
    """Write a shard, unless it is there already.

    Parameters
    ----------
    folder : str
        Of the data set.
    record : dict
        `to_record` of the configuration.
    seed : int
        Of the data set.
    number : int
        Of the shard.
    count : int
        Images in the whole data set.

    Returns
    -------
    int
        Images written.
    """
    config = config_of(record, record["name"])
    structures = structures_a_shard(config)
    first = number * structures * config.sections
    wanted = min(structures * config.sections, count - first)
    pairs: list[Micrograph] = []
    about: list[dict[str, Any]] = []
    for structure_number in range(number * structures, (number + 1) * structures):
        if len(pairs) == wanted:
            break
        structure = make_pair_structure(config, seed, structure_number, threads=1)  # a worker a core
        of_structure = {"structure_seed": structure.seed, "structure_settings": asdict(structure.settings)}
        for pair in sections_of(config, structure, seed, structure_number):
            if len(pairs) < wanted:
                place = {"image": first + len(pairs), "structure": structure_number}
                about.append(place | pair.parameters | of_structure)
                pairs.append(pair)
    try:
        _write(Path(folder) / shard_name(number), pairs, about, config)
    except OutputError:
        if not is_complete(Path(folder), number):  # the same by a parallel worker
            raise
    return len(pairs)


def is_complete(folder: Path, number: int) -> bool:
    """Whether a data set has a shard.

    Parameters
    ----------
    folder : Path
        Of the data set.
    number : int
        Of the shard.
    """
    return (folder / shard_name(number) / PARAMETERS).is_file()


def _write(target: Path, pairs: list[Micrograph], about: list[dict[str, Any]], config: SimulationConfig) -> None:
    """Write the files of a shard."""
    from fijibridge.images.image import PixelSize
    from fijibridge.images.writing import write_imagej, write_labels

    names, values = class_names(config), label_values(config)
    size = pairs[0].pixel_size
    depth = config.spacing * size or None
    pixel = PixelSize(size, size, "um", depth) if all(pair.pixel_size == size for pair in pairs) else None
    with output_folder(target, marker=PARAMETERS) as building:
        for detector in DETECTORS:
            images = [getattr(pair, detector.lower()) for pair in pairs]
            shape = (len(images), *images[0].shape)
            write_imagej(
                building / f"{detector.lower()}.tif", iter(images), shape, images[0].dtype, "ZYX", pixel, metadata={}
            )
        labels = np.stack([values[pair.labels] for pair in pairs])
        write_labels(building / "labels.tif", labels, pixel_size=pixel, class_names=names)
        (building / PARAMETERS).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def write_dataset(
    config: SimulationConfig,
    *,
    out: Path,
    count: int,
    seed: int = 0,
    workers: int = 0,
    dask: str = "",
    resume: bool = False,
    overwrite: bool = False,
    inputs: Sequence[Path | None] = (),
) -> dict[str, Any]:
    """Write a data set; stopped and resumed it is the same as written without a stop.

    One that replaces an older one is written to ``NAME.resume``, and takes its place when it is complete.

    Parameters
    ----------
    config : SimulationConfig
        From which it is drawn.
    out : Path
        Its folder.
    count : int
        SE + BSE pairs.
    seed : int
        The same seed gives the same data, whatever the number of workers.
    workers : int
        Processes; 0: one a core.
    dask : str
        Address of a Dask scheduler, whose workers have fijibridge and see ``out`` under the same path; empty: this
        machine.
    resume : bool
        Write what is missing; with a larger count than before the data set grows to it.
    overwrite : bool
        Replace an older data set.
    inputs : sequence of path
        Files that were read: a folder that holds one is not replaced.

    Returns
    -------
    dict
        The contents of ``dataset.json``.

    Raises
    ------
    OutputError
        The folder contains something else, or cannot be written.
    SettingsError
        Resumed with another configuration or seed, or a smaller count; structures that cannot be packed.
    ServiceError
        No Dask, or no scheduler at the address.
    """
    with written_dataset(
        config, out, count, seed=seed, workers=workers, dask=dask, resume=resume, overwrite=overwrite, inputs=inputs
    ) as (_, about):
        return about


@contextmanager
def written_dataset(
    config: SimulationConfig,
    out: Path,
    count: int,
    *,
    seed: int = 0,
    workers: int = 0,
    dask: str = "",
    resume: bool = False,
    overwrite: bool = False,
    inputs: Sequence[Path | None] = (),
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """As `write_dataset`: gives the folder of all shards, to add to, and ``dataset.json``; at the end it is in place.

    Parameters
    ----------
    config, out, count, seed, workers, dask, resume, overwrite, inputs
        As of `write_dataset`.
    """
    from fijibridge.core.versions import versions

    sizes = config.pixel_size
    about = {
        "format": FORMAT,
        "class_names": list(class_names(config)),
        "detectors": list(DETECTORS),
        "pixel_size": sizes,
        "unit": "um",
        "count": count,
        "seed": seed,
        "config": to_record(config),
        "versions": versions(),
    }
    draw_structure(config, np.random.default_rng([seed, 0]))  # refuses what cannot be drawn before anything is written
    each = structures_a_shard(config) * config.sections
    out = Path(out)
    with one_run(out):
        place = _prepare(out, about, each, resume, overwrite, inputs)
        shards = range(-(-count // each))
        missing = [number for number in shards if not is_complete(place, number)]
        tasks = [(str(place), about["config"], seed, number, count) for number in missing]
        left = place / "*"  # by workers that were killed
        sweep(left)
        with progress.bar("simulating", count) as bar, cleaned_up(lambda: sweep(left)):
            bar.update(min(count, each * (len(shards) - len(missing))))
            for _, done in done_tasks(write_shard, tasks, workers=workers, dask=dask):
                if isinstance(done, BridgeError):
                    raise done
                bar.update(done)
        yield place, about
        if place != out.absolute():
            put_folder(place, out, marker=DATASET, overwrite=True, inputs=inputs)


def _prepare(
    out: Path, about: dict[str, Any], each: int, resume: bool, overwrite: bool, inputs: Sequence[Path | None]
) -> Path:
    """The folder to write to: new, or with the beginning of the same data set, in shards of ``each`` images."""
    beside = out.absolute().with_name(f"{out.absolute().name}.resume")
    _sweep_unbegun(beside)
    begun = beside if (beside / DATASET).is_file() else out.absolute()
    if resume:
        _check_begun(begun, about)
        if begun == beside:
            check_output(out, marker=DATASET, overwrite=True, inputs=inputs)
    else:
        check_output(out, marker=DATASET, overwrite=overwrite, inputs=inputs, advice=", or --resume to go on with it")
        stopped = (beside / DATASET).is_file()
        if stopped and not overwrite:
            raise OutputError(
                f"{beside}: the data set of a run that was stopped",
                expected="either to continue it or to start anew",
                remedy="choose --resume or --overwrite (resume=True or overwrite=True)",
            )
        begun = beside if out.is_dir() and any(out.iterdir()) else out.absolute()
        if stopped or begun == beside:
            discard_folder(beside, marker=DATASET)
    try:
        begun.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{out} cannot be written ({error})", expected="a folder that can be written", remedy="choose another place"
        ) from error
    if resume:
        before = json.loads((begun / DATASET).read_text(encoding="utf-8"))["count"]
        if before < about["count"] and before % each:
            discard_folder(begun / shard_name(before // each), marker=PARAMETERS)  # it has fewer images than it will
    try:
        note_files(begun, map(shard_name, range(-(-about["count"] // each))))
        add_file(begun, DATASET, (json.dumps(about, indent=1) + "\n").encode())
    except OutputError:
        _sweep_unbegun(begun)
        raise
    return begun


def _sweep_unbegun(folder: Path) -> None:
    """Remove a folder whose data set had no time to begin."""
    sweep(folder / "*")
    if folder.is_dir() and {item.name for item in folder.iterdir()} <= {MANIFEST}:
        (folder / MANIFEST).unlink(missing_ok=True)
        folder.rmdir()


def _check_begun(folder: Path, about: dict[str, Any]) -> None:
    """See that a folder holds the beginning of a data set."""
    if not (folder / DATASET).is_file():
        raise OutputError(
            f"nothing to resume: no {DATASET} in {folder}",
            expected="the folder of a data set that was stopped",
            remedy="start without resume",
        )
    earlier = read_json(folder / DATASET, error=OutputError)
    wanted = json.loads(json.dumps(about))
    before = earlier.get("count")
    grows = type(before) is int and 0 < before < about["count"]
    for key in ("config", "seed", "count", "format"):
        if earlier.get(key) != wanted[key] and not (key == "count" and grows):
            raise SettingsError(
                f"{folder} holds a data set of another {key}",
                expected=f"{key} as in its {DATASET}",
                remedy="give the same options as before, or another folder",
            )
