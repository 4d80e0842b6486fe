"""Training data of a segmenting network: labelled SE and BSE images in shards on disk.

::

    dataset.json                        class_names, detectors, pixel_size (micrometres), count
    shard-00000/se.tif, bse.tif         one stack a detector, (N, Y, X), 8 or 16 bit
    shard-00000/labels.tif              (N, Y, X) uint8: 0 unknown, k = class_names[k - 1]
    shard-00000/parameters.json         one entry an image; "structure" and "pixel_size" are read; of stacks also
                                        "slice" (0, 1, ... in a structure) and "z" (its plane, in pixels)

Images are read as they are needed: a data set may be larger than memory.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from fijibridge.core.errors import BridgeError, ImageError, ImageNotFoundError
from fijibridge.core.names import check_names
from fijibridge.core.records import check_values, read_json, texts
from fijibridge.core.records import number as checked_number
from fijibridge.images.detectors import check_names as check_detector_names
from fijibridge.network.images import default_reference

log = logging.getLogger(__name__)

INDEX = "dataset.json"
PARAMETERS = "parameters.json"
LABELS = "labels.tif"
_OPEN = 192  # stacks kept open: three a shard, well below the usual 1024 files of a process
_BLOCKS = 10


@dataclass(frozen=True, eq=False)
class ShardedImages:
    """A data set on disk; by `open_dataset`."""

    folder: Path
    detectors: tuple[str, ...]
    class_names: tuple[str, ...]
    pixel_sizes: tuple[float, float] | None
    reference: str
    shards: tuple[Path, ...]
    shapes: tuple[tuple[int, int, int], ...]
    """Of each shard's stacks."""
    structures: tuple[Any, ...]
    """One an image; None where they are not known."""
    ends: np.ndarray = field(repr=False)
    """(N, 2) first and last image of each image's stack: itself of a single section."""
    spacings: tuple[float, float] | None = None
    """Smallest and largest distance of the slices of stacks, in micrometres; None where it is not known."""
    _starts: np.ndarray = field(init=False, repr=False)
    _stack: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_starts", np.cumsum([0, *(shape[0] for shape in self.shapes)]))
        object.__setattr__(self, "_stack", lru_cache(maxsize=_OPEN)(_open_stack))

    def __len__(self) -> int:
        return int(self._starts[-1])

    def digest(self) -> str:
        """What a training on it belongs to: SHA-256 of ``dataset.json``."""
        return hashlib.sha256((self.folder / INDEX).read_bytes()).hexdigest()

    def check_stacks(self, slices: int) -> None:
        """See that a network of several slices can learn from them.

        Parameters
        ----------
        slices : int
            That the network sees together.

        Raises
        ------
        ImageError
            Stacks of fewer slices, or single sections.
        """
        longest = int((self.ends[:, 1] - self.ends[:, 0]).max(initial=0)) + 1
        if longest < slices:
            found = f"stacks of {longest} slices" if longest > 1 else "single sections"
            raise ImageError(
                f"{self.folder} holds {found}, and the network is to see {slices} slices",
                expected=f"stacks of at least {slices} consecutive sections",
                remedy=f"simulate such: fijibridge simulate --config FILE, with sections = {max(5, slices)} and "
                "spacing = 2 in FILE; or train with --unet-slices 1 (slices=1)",
            )

    def place(self, index: int, offset: int) -> int:
        """See :class:`fijibridge.network.images.LabelledImages`."""
        first, last = self.ends[index]
        return int(np.clip(index + offset, first, last)) - index

    def page(self, index: int) -> tuple[int, int]:
        """Shard, and place in it."""
        shard = int(np.searchsorted(self._starts, index, side="right")) - 1
        return shard, index - int(self._starts[shard])

    def grey(self, index: int, detector: str, offset: int = 0) -> np.ndarray | None:
        """See :class:`fijibridge.network.images.LabelledImages`."""
        shard, page = self.page(index + offset)
        return self._stack(self.shards[shard] / stack_name(detector))[page]

    def labels(self, index: int) -> np.ndarray:
        """(Y, X) uint8."""
        shard, page = self.page(index)
        return self._stack(self.shards[shard] / LABELS)[page]

    def shape(self, index: int) -> tuple[int, int]:
        """Height and width."""
        return self.shapes[self.page(index)[0]][1:]

    def name(self, index: int) -> str:
        """For messages."""
        shard, page = self.page(index)
        return f"{self.shards[shard]}, image {page + 1}"


def stack_name(detector: str) -> str:
    """File of a detector's images in a shard."""
    return f"{detector.lower()}.tif"


class _Pages:
    """A compressed stack, read page by page."""

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self.path, self.shape = path, shape

    def __getitem__(self, page: int) -> np.ndarray:
        return tifffile.imread(self.path, key=page)


def _open_stack(path: Path) -> Any:
    """An (N, Y, X) array on the disk."""
    with tifffile.TiffFile(path) as file:
        series = file.series[0]
        shape, offset, dtype = series.shape, series.dataoffset, series.dtype
        order = file.byteorder
    if len(shape) == 2:
        shape = (1, *shape)
    if offset is None:
        return _Pages(path, shape)
    return np.memmap(path, np.dtype(dtype).newbyteorder(order), "r", offset, shape)


def open_dataset(folder: str | Path) -> ShardedImages:
    """Look at a data set, and check that it is whole.

    Parameters
    ----------
    folder : path
        See the module.

    Returns
    -------
    ShardedImages

    Raises
    ------
    ImageNotFoundError
        No data set there.
    ImageError
        Half written, or stacks that do not belong together.
    """
    folder = Path(folder)
    shards = tuple(sorted(path for path in folder.glob("shard-*") if path.is_dir()))
    if not (folder / INDEX).is_file():
        if shards:
            raise _half_written(folder, f"{len(shards)} shards and no {INDEX}")
        raise ImageNotFoundError(
            f"no data set {folder}", expected=f"a folder with {INDEX}", remedy="make one with: fijibridge simulate"
        )
    try:
        index = read_json(folder / INDEX)
        class_names, detectors = texts(index["class_names"], "class_names"), texts(index["detectors"], "detectors")
        check_names(class_names, error=ImageError)
        check_detector_names(detectors)
        count, pixel_size = int(checked_number(index["count"], "count", 0, 1e9)), index.get("pixel_size")
        if pixel_size is not None:
            for size in pixel_size if isinstance(pixel_size, list) else [pixel_size]:
                checked_number(size, "pixel_size", 1e-9, 1e6)
        reference = str(index.get("reference") or default_reference(detectors))
    except (ValueError, KeyError, TypeError, IndexError, OSError) as error:
        if isinstance(error, BridgeError):
            raise ImageError(error.found, expected=error.expected, remedy=error.remedy) from error
        raise ImageError(
            f"{folder / INDEX} cannot be read ({type(error).__name__}: {error})",
            expected="class_names, detectors and count",
            remedy="make the data set again with: fijibridge simulate",
        ) from error
    shapes, structures, sizes, about = [], [], [], []
    for shard in shards:
        shape, entries = _look_at(shard, detectors, folder)
        shapes.append(shape)
        about += entries
        structures += [entry.get("structure") for entry in entries]
        sizes += [float(entry["pixel_size"]) for entry in entries if entry.get("pixel_size")]
    number = sum(shape[0] for shape in shapes)
    if number != count:
        raise _half_written(folder, f"{number} of {count} images")
    if not sizes and pixel_size:
        sizes = [float(size) for size in np.ravel(pixel_size)]
    pixel_sizes = (min(sizes), max(sizes)) if sizes else None
    ends, spacings = _stacks(about, np.repeat([str(shape[1:]) for shape in shapes], [shape[0] for shape in shapes]))
    return ShardedImages(
        folder, detectors, class_names, pixel_sizes, reference, shards, tuple(shapes), tuple(structures), ends, spacings
    )


def _stacks(entries: list[dict[str, Any]], sizes: np.ndarray) -> tuple[np.ndarray, tuple[float, float] | None]:
    """(N, 2) first and last image of each image's stack, and the smallest and largest distance of their slices."""
    count = len(entries)
    follows, apart = np.zeros(count, bool), []
    for index in range(1, count):
        one, other = entries[index - 1], entries[index]
        here, before = other.get("slice"), one.get("slice")
        follows[index] = (
            isinstance(here, int) and isinstance(before, int) and here == before + 1
            and other.get("structure") is not None and other["structure"] == one.get("structure")
            and sizes[index] == sizes[index - 1]
        )  # fmt: skip
        if follows[index]:
            before, here, pixel = one.get("z"), other.get("z"), other.get("pixel_size")
            if pixel and isinstance(before, (int, float)) and isinstance(here, (int, float)) and here != before:
                apart.append(abs(here - before) * float(pixel))
    number = np.cumsum(~follows) - 1
    firsts = np.flatnonzero(~follows)
    lasts = np.append(firsts[1:], count) - 1
    return np.stack([firsts[number], lasts[number]], axis=1), (min(apart), max(apart)) if apart else None


def _half_written(folder: Path, why: str) -> ImageError:
    return ImageError(
        f"the data set {folder} is half written: {why}",
        expected="all its images",
        remedy="give the command fijibridge simulate again with the same options and --resume",
    )


def _look_at(
    shard: Path, detectors: tuple[str, ...], folder: Path
) -> tuple[tuple[int, int, int], list[dict[str, Any]]]:
    """Shape of a shard's stacks, and the entries of its images."""
    shapes: dict[str, Any] = {}
    for name in (*map(stack_name, detectors), LABELS):
        try:
            with tifffile.TiffFile(shard / name) as file:
                shape = file.series[0].shape
                end = (file.series[0].dataoffset or 0) + (file.series[0].nbytes if file.series[0].dataoffset else 0)
            if end > (shard / name).stat().st_size:
                raise _half_written(folder, f"{shard.name}/{name} is cut off")
        except (OSError, ValueError, IndexError) as error:
            if isinstance(error, ImageError):
                raise
            missing = "is missing" if isinstance(error, FileNotFoundError) else "cannot be read"
            raise _half_written(folder, f"{shard.name}/{name} {missing}") from error
        shapes[name] = shape if len(shape) == 3 else (1, *shape)
    if len({shape[0] for shape in shapes.values()}) != 1:
        found = ", ".join(f"{name} {shape[0]}" for name, shape in shapes.items())
        raise _half_written(folder, f"numbers of images in {shard.name} differ: {found}")
    if len(set(shapes.values())) != 1:
        found = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ImageError(
            f"stacks of different sizes in {shard}: {found}",
            expected="as many images of one size for each detector and the labels",
            remedy="make the data set again with: fijibridge simulate",
        )
    length = shapes[LABELS][0]
    try:
        entries = json.loads((shard / PARAMETERS).read_text(encoding="utf-8"))
        check_values(entries)
        entries = entries["images"] if isinstance(entries, dict) else entries
        entries = [entry if isinstance(entry, dict) else {} for entry in entries]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _half_written(folder, f"{shard.name}/{PARAMETERS} cannot be read") from error
    if len(entries) != length:
        raise _half_written(folder, f"{shard.name}: {len(entries)} entries in {PARAMETERS} for {length} images")
    return shapes[LABELS], entries


def split(data: ShardedImages, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices for training and for validation; no structure is in both.

    Whole structures are kept for validation where these are known, else whole shards, or blocks of neighbouring
    images where there are few shards.

    Parameters
    ----------
    data : ShardedImages
        At least two images.
    share : float
        Of validation.
    seed : int
        Of the choice.

    Returns
    -------
    training, validation : np.ndarray
        (N,) int.

    Raises
    ------
    ImageError
        A single image.
    """
    count = len(data)
    if count < 2:
        raise ImageError(
            f"{count} image in {data.folder}", expected="at least two", remedy="make more with: fijibridge simulate"
        )
    groups = [str(structure) for structure in data.structures]
    if None in data.structures or len(set(groups)) < 2:
        if len(data.shapes) >= _BLOCKS:
            groups = [str(data.page(index)[0]) for index in range(count)]
        else:
            groups = [str(index * min(count, _BLOCKS) // count) for index in range(count)]
        log.info("the structures of the images are not known: %d blocks of images are split", len(set(groups)))
    sizes: dict[str, int] = {}
    for group in groups:
        sizes[group] = sizes.get(group, 0) + 1
    kept: set[str] = set()
    number = 0
    for group in sorted(sizes, key=lambda group: hashlib.sha256(f"{seed} {group}".encode()).digest())[:-1]:
        if number >= share * count:
            break
        kept.add(group)
        number += sizes[group]
    inside = np.array([group in kept for group in groups])
    return np.flatnonzero(~inside), np.flatnonzero(inside)
