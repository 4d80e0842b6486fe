"""Data sets of simulated micrographs: written in shards, in parallel, and taken up again where they were stopped."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fijibridge import progress
from fijibridge.errors import OutputError, ServiceError, SettingsError
from fijibridge.output import output_file
from fijibridge.synthesis.config import SimulationConfig, config_of, draw_imaging, draw_structure, to_record
from fijibridge.synthesis.structure import PHASES

if TYPE_CHECKING:
    from fijibridge.synthesis.imaging import Micrograph
    from fijibridge.synthesis.structure import Structure

DATASET = "dataset.json"
PARAMETERS = "parameters.json"
DETECTORS = ("SE", "BSE")
FORMAT = 1
_STRUCTURES = 4  # a shard: what is lost at most when the work is stopped; of tomographies one
_PACKINGS = 20  # draws until a structure can be packed


def class_names(config: SimulationConfig) -> tuple[str, ...]:
    """The phases that a data set may show, in the order of their label values (from 1)."""
    return tuple(phase for phase in PHASES if phase == "pore" or phase in config.materials)


def make_pair_structure(config: SimulationConfig, seed: int, number: int, *, threads: int = 0) -> Structure:
    """The structure with a number, of the data set with a seed.

    Raises
    ------
    SettingsError
        None of several draws could be packed.
    """
    from fijibridge.synthesis.structure import make_structure

    rng = np.random.default_rng([seed, number])
    fixed = not any(isinstance(value, (list, tuple)) for value in config.structure.values())
    shape = (config.depth, config.size, config.size)
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
    """The micrographs of a structure: evenly through its depth, each with its own imaging parameters; or a stack."""
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
    """The first ``count`` micrographs of a data set, made as they are asked for.

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
    """A tomography has a shard of its own, so that its files are its stacks."""
    return 1 if config.spacing else _STRUCTURES


def shard_name(number: int) -> str:
    """``shard-00000``, ..."""
    return f"shard-{number:05d}"


def write_shard(folder: str, record: dict[str, Any], seed: int, number: int, count: int) -> int:
    """Write the shard with a number; what was there of it is replaced.

    Parameters
    ----------
    folder : str
        Of the data set; another machine's view of it may have another path.
    record : dict
        `to_record` of the configuration.
    seed : int
        Of the data set.
    number : int
        Of the shard.
    count : int
        Images of the whole data set.

    Returns
    -------
    int
        Images written.
    """
    from fijibridge.image_output import write_imagej, write_labels
    from fijibridge.images import PixelSize

    config = config_of(record, record["name"])
    structures = structures_a_shard(config)
    first = number * structures * config.sections
    wanted = min(structures * config.sections, count - first)
    names, values = class_names(config), label_values(config)
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
    size = pairs[0].pixel_size
    depth = config.spacing * size or None
    pixel = PixelSize(size, size, "um", depth) if all(pair.pixel_size == size for pair in pairs) else None
    target = Path(folder) / shard_name(number)
    with _appearing(target) as building:
        for detector in DETECTORS:
            images = [getattr(pair, detector.lower()) for pair in pairs]
            shape = (len(images), *images[0].shape)
            write_imagej(
                building / f"{detector.lower()}.tif", images, shape, images[0].dtype, "ZYX", pixel, metadata={}
            )
        labels = np.stack([values[pair.labels] for pair in pairs])
        write_labels(building / "labels.tif", labels, pixel_size=pixel, class_names=names)
        (building / PARAMETERS).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return len(pairs)


@contextmanager
def _appearing(target: Path) -> Iterator[Path]:
    """A folder that is there whole or not at all."""
    building = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield building
        if target.exists():  # the same by an earlier or a parallel worker
            return
        building.chmod(0o755)
        building.rename(target)
    finally:
        shutil.rmtree(building, ignore_errors=True)


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
) -> dict[str, Any]:
    """Write a data set; stopped and resumed it is the same as written in one go.

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
        Address of a Dask scheduler, whose workers see ``out`` under the same path and have fijibridge; empty: here.
    resume : bool
        Write what is missing; with a larger count than before the data set grows to it.
    overwrite : bool
        Replace an older data set.

    Returns
    -------
    dict
        What stands in ``dataset.json``.

    Raises
    ------
    OutputError
        The folder holds something else, or cannot be written.
    SettingsError
        Resumed with another configuration or seed, or a smaller count; structures that cannot be packed.
    ServiceError
        No Dask, or no scheduler at the address.
    """
    from fijibridge.versions import versions

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
    draw_structure(config, np.random.default_rng([seed, 0]))  # what cannot be drawn is told before anything is written
    each = structures_a_shard(config) * config.sections
    _prepare(Path(out), about, each, resume, overwrite)
    shards = range(-(-count // each))
    missing = [number for number in shards if not (Path(out) / shard_name(number)).is_dir()]
    folder = str(Path(out).absolute())
    tasks = [(folder, about["config"], seed, number, count) for number in missing]
    with progress.bar("simulating", count) as bar:
        bar.update(min(count, each * (len(shards) - len(missing))))
        for done in _done(tasks, workers, dask):
            bar.update(done)
    return about


def _prepare(out: Path, about: dict[str, Any], each: int, resume: bool, overwrite: bool) -> None:
    """Make the folder, or see that it holds the same data set's beginning, in shards of ``each`` images."""
    there = out.exists() and (not out.is_dir() or any(out.iterdir()))
    if resume and not (out / DATASET).is_file():
        raise OutputError(
            f"nothing to resume: no {DATASET} in {out}",
            expected="the folder of a data set that was stopped",
            remedy="start without resume",
        )
    if resume:
        try:
            earlier = dict(json.loads((out / DATASET).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise OutputError(
                f"{out / DATASET} cannot be read ({error})",
                expected="what simulate wrote",
                remedy="start again with --overwrite, or with another folder",
            ) from error
        told = json.loads(json.dumps(about))
        held = earlier.get("count")
        grows = isinstance(held, int) and held < about["count"]
        for key in ("config", "seed", "count", "format"):
            if earlier.get(key) != told[key] and not (key == "count" and grows):
                raise SettingsError(
                    f"{out} holds a data set of another {key}",
                    expected=f"{key} as in its {DATASET}",
                    remedy="give the same options as before, or another folder",
                )
        for rest in out.glob(".shard-*"):  # of workers that were killed
            shutil.rmtree(rest, ignore_errors=True)
        if grows:
            if held % each and (last := out / shard_name(held // each)).is_dir():
                shutil.rmtree(last)  # it has fewer images than it will have
            with output_file(out / DATASET) as part:
                part.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        return
    if there and not (overwrite and (out / DATASET).is_file()):
        raise OutputError(
            f"{out} exists already",
            expected="a new folder for the data set",
            remedy="choose another name, use --overwrite for an older data set, or --resume to go on with it",
        )
    try:
        if there:
            shutil.rmtree(out)
        out.mkdir(parents=True, exist_ok=True)
        (out / DATASET).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"{out} cannot be written ({error})", expected="a folder that can be written", remedy="choose another place"
        ) from error


def _done(tasks: list[tuple], workers: int, dask: str) -> Iterator[int]:
    """Run the tasks; the number of images of each as it is done."""
    if dask:
        yield from _done_by_dask(tasks, dask)
        return
    workers = min(workers or os.cpu_count() or 1, len(tasks))
    if workers <= 1:
        for task in tasks:
            yield write_shard(*task)
        return
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    # spawned: a forked process would inherit the threads of torch and of a JVM, half alive
    pool = ProcessPoolExecutor(workers, get_context("spawn"))
    try:
        for future in as_completed([pool.submit(write_shard, *task) for task in tasks]):
            yield future.result()
    except BrokenProcessPool as error:
        raise ServiceError(
            "a worker process ended before its work was done",
            expected="memory for all workers; in a script, calls under if __name__ == '__main__':",
            remedy="put them there, since each worker reads the script, or use workers=1; then go on with resume=True",
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _done_by_dask(tasks: list[tuple], address: str) -> Iterator[int]:
    try:
        from dask.distributed import Client, as_completed
    except ImportError as error:
        raise ServiceError(
            "Dask is not installed", expected="dask and distributed", remedy='pip install "fijibridge[cluster]"'
        ) from error
    try:
        client = Client(address, timeout=10)
    except (OSError, ValueError) as error:
        raise ServiceError(
            f"no Dask scheduler at {address} ({error})",
            expected="an address such as tcp://HOST:8786",
            remedy="start one with: dask scheduler",
        ) from error
    with client:
        futures = [client.submit(write_shard, *task, pure=False) for task in tasks]
        for future in as_completed(futures):
            yield future.result()
