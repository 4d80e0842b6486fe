"""Options that several operations share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fijibridge.core.params import Param

LabelsFile = Annotated[
    Path,
    Param(
        "label image of the same size (0 = unlabelled), or ImageJ ROIs (.zip, .roi); of a stack: a label image for "
        "each slice, or ROIs that say theirs",
        role="labels",
        level="basic",
        group="Input",
    ),
]
Classes = Annotated[
    str,
    Param(
        "names of the classes (phases) in the order of their values, separated by commas; default: those in the file",
        level="basic",
        group="Input",
    ),
]
VoxelSize = Annotated[
    str,
    Param(
        "size of a volume's voxel (of an image: its pixel), z,y,x and its unit, such as 50,10,10 nm; default: from the "
        "file, else 1 px",
        level="basic",
        group="Input",
    ),
]
PixelSize = Annotated[
    str,
    Param(
        "size of a micrograph's pixel, y,x and its unit, such as 10,10 nm; default: from the file, else 1 px",
        level="basic",
        group="Input",
    ),
]
Databar = Annotated[str, Param("data bar of an SEM image at the bottom: 'auto', or its number of rows", group="Input")]
Page = Annotated[
    int,
    Param(
        "page of a file whose pages are no stack, such as a preview and the raw data, from 1; 0: chosen by itself, as "
        "the report's notes tell",
        low=0,
        group="Input",
    ),
]
NetworkFolder = Annotated[
    Path, Param("folder of a trained network", positional=True, role="classifier", level="basic", group="Input")
]
Dataset = Annotated[
    Path,
    Param(
        "folder of a data set, as simulate writes it", positional=True, role="classifier", level="basic", group="Input"
    ),
]
FEATURE_FILE = Param(
    "features.json that features wrote, or a saved classifier: features are made as it says",
    role="classifier",
    level="basic",
    group="Features",
)
OutVolume = Annotated[
    Path,
    Param(
        "the volume, NAME.tif, with its report in NAME_report; or a folder for both",
        role="out",
        level="basic",
        group="Output",
    ),
]
Probabilities = Annotated[bool, Param("write the class probabilities, too", group="Output")]
Uncertainty = Annotated[
    bool,
    Param(
        "write the entropy of the probabilities, 0 (sure) to 1, too, and how unlike all labels pixels are, where the "
        "classifier knows: where to label next",
        group="Output",
    ),
]
Suggest = Annotated[
    int,
    Param(
        "write label_next.zip, too: so many places as ROIs, whose classes are unsure and which look like much of the "
        "image and like few labels: label there next",
        low=0,
        high=1000,
        group="Output",
    ),
]
Importance = Annotated[
    bool,
    Param(
        "write importance.csv and importance.png, too: which features the forest and the linear head use",
        group="Output",
    ),
]
VggWeights = Annotated[
    Path | None,
    Param(
        "file with VGG19's weights; default: from the cache, a model hub or the offline source",
        role="file",
        group="Computation",
    ),
]
