"""Options of the training, which `PixelSegmenter` and the operations share."""

from __future__ import annotations

from typing import Annotated, Literal

from fijibridge.core.params import Param

Engine = Annotated[
    Literal["sklearn", "weka"],
    Param("who trains the forest: scikit-learn, or Weka's FastRandomForest as in TWS", group="Forest"),
]
Trees = Annotated[int, Param("number of trees", low=1, high=10_000, group="Forest")]
MaxFeatures = Annotated[str, Param("features tried at a split: sqrt, log2, or a number", group="Forest")]
Statistics = Annotated[
    Literal["auto", "training", "stack", "slice"],
    Param(
        "whose grey levels and means features are scaled by: training: those of the training images, with the drift of "
        "greys along a stack undone; stack: those of about 16 slices of the stack, likewise; slice: each image and "
        "slice its own; auto: training for slices of a stack, slice for images",
        group="Features",
    ),
]
MaxDepth = Annotated[int, Param("greatest depth of a tree; 0: no limit", low=0, high=10_000, group="Forest")]
Balance = Annotated[
    bool,
    Param(
        "draw as many samples of each class, with copies of those of rare ones, as TWS's Balance classes does",
        group="Forest",
    ),
]
Head = Annotated[
    Literal["linear", "none"],
    Param(
        "linear: a linear head, fitted to the labels and to pseudo-labels by label propagation, turns the ViT's "
        "channels into class probabilities for the forest; none: the forest sees the channels, and the labels alone",
        group="Features",
    ),
]
