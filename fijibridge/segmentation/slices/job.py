"""What is to be segmented, and how: all that a worker on another machine has to know."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from fijibridge.features.tws.from_names import Dimensions
from fijibridge.images.grey_map import GreyMap
from fijibridge.labels.region import Field
from fijibridge.segmentation.clean_up import CleanUp

STORE = "volume.zarr"
_UNITS = 32  # of a stack, about: what is done is saved so often; a unit is also one shard of OME-Zarr
_TALLEST = 16  # slices of a unit
_THICK = 32  # of a unit of features that look some 30 slices along z
_UNIT_BYTES = 256 * 2**20  # of a unit's results, which are held in memory


class Unit(NamedTuple):
    """Slices of one stack that follow one another in the result: place of the first, from 0, and their number."""

    stack: int
    first: int
    size: int


@dataclass(frozen=True)
class StackFiles:
    """An image or a stack, as each detector saw it.

    Parameters
    ----------
    name : str
        Begins the names of its results.
    paths : dict
        Detector -> file.
    slices : tuple of int
        That are segmented, from 1.
    shape : (int, int)
        Height and width of what is segmented, in pixels.
    databar : str or int
        Rows of the data bar of all slices, or ``"auto"``.
    field : Field, optional
        The part of each slice that is segmented.
    frames : int
        Points in time among the slices.
    total : int
        Slices that the files have.
    greys : GreyMap, optional
        By which greys are mapped before features are made.
    """

    name: str
    paths: dict[str, str]
    slices: tuple[int, ...]
    shape: tuple[int, int]
    databar: str | int = "auto"
    field: Field | None = None
    frames: int = 1
    total: int = 1
    greys: GreyMap | None = None

    @property
    def files(self) -> dict[str, Path]:
        """`paths`, as paths."""
        return {detector: Path(path) for detector, path in self.paths.items()}


@dataclass(frozen=True)
class Job:
    """Stacks and images, the classifier, and what is written.

    Parameters
    ----------
    stacks : tuple of StackFiles
    state : str
        Folder of what is done.
    classes : int
        Number of classes.
    classifier, weights, dimensions : str
        Of `load_segmenter`, for workers of other processes.
    align : bool
        Move the images of further detectors onto the first.
    page : int
        Page of a file that is no stack, from 1; 0: chosen by itself.
    probabilities : {"none", "float32", "uint8"}
        What is written of them; of uint8, 255 is 1.
    uncertainty : bool
        Write the entropy of the probabilities, 0 to 1.
    unlikeness : bool
        Write how unlike all labels pixels are, 0 to 1.
    statistics : {"auto", "training", "stack", "slice"}
        By whose statistics features are scaled, see :data:`fijibridge.segmentation.options.Statistics`.
    vit_every : int
        The ViT sees every n-th slice; tokens of those between are interpolated.
    smooth_z : bool
        Probabilities are means over a slice and its two neighbours, weighted 1 : 2 : 1.
    cleaning : CleanUp
        Of the labels.
    suggest : int
        So many places of each slice where to label next.
    zarr : {"", "0.4", "0.5"}
        Version of OME-Zarr that the only stack is written in; empty: TIFF.
    threads : int
        Of each process; 0: all cores.
    identity : str
        Digest of classifier, settings and inputs: a worker that lives on must not take an older classifier of the same
        path for this one.
    thick : bool
        Units of more slices, for features that look along z: thin ones would take more time.
    """

    stacks: tuple[StackFiles, ...]
    state: str
    classes: int
    classifier: str = ""
    weights: str = ""
    dimensions: Dimensions = "auto"
    align: bool = True
    page: int = 0
    probabilities: str = "float32"
    uncertainty: bool = False
    unlikeness: bool = False
    statistics: Literal["auto", "training", "stack", "slice"] = "auto"
    vit_every: int = 1
    smooth_z: bool = False
    cleaning: CleanUp = field(default_factory=CleanUp)
    suggest: int = 0
    zarr: str = ""
    threads: int = 0
    identity: str = ""
    thick: bool = False

    def unit_height(self, stack: StackFiles) -> int:
        """Slices of a unit of a stack: a 32nd of it, 16 at most, and what memory may hold; not fewer than from one that
        the ViT sees to the next. It hangs on nothing else, so that any number of workers makes the same files."""
        a_pixel = 1 + self.classes * {"none": 0, "uint8": 1, "float32": 4}[self.probabilities]
        a_pixel += 4 * (self.uncertainty + self.unlikeness)
        fitting = max(1, _UNIT_BYTES // (stack.shape[0] * stack.shape[1] * a_pixel))
        height = min(-(-len(stack.slices) // _UNITS), _TALLEST, fitting)
        if self.thick:
            height = min(len(stack.slices), _THICK, fitting)
        return max(1, -(-height // self.vit_every) * self.vit_every)

    def units(self) -> list[Unit]:
        """All units, in order."""
        found = []
        for number, stack in enumerate(self.stacks):
            height, count = self.unit_height(stack), len(stack.slices)
            found += [Unit(number, first, min(height, count - first)) for first in range(0, count, height)]
        return found

    def settings(self) -> dict[str, Any]:
        """What the result depends on, besides files and classifier; of JSON's types."""
        own = asdict(self)
        for name in ("state", "classifier", "weights", "threads", "classes", "identity"):
            del own[name]
        for stack in own["stacks"]:
            del stack["paths"]
        return own


def unit_name(number: int) -> str:
    """Name of a unit's folder: ``unit-00000``, ..."""
    return f"unit-{number:05d}"


def store_of(state: Path) -> Path:
    """The OME-Zarr store that is filled, in the folder of what is done."""
    return state / STORE
