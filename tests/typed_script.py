"""What a type checker sees of the public names: read by mypy in test_typing.py, never run."""

from typing import assert_type

import numpy as np

import fijibridge as fb
from fijibridge.forest import to_sklearn, train_sklearn
from fijibridge.metrology import Measurement, measure
from fijibridge.network import Network, load_network
from fijibridge.phases import Phases, as_phases
from fijibridge.superresolution import SuperresolutionSettings
from fijibridge.synthesis import SimulationConfig, load_preset

image = fb.read_image("micrograph.tif")
assert_type(image, fb.Image)
assert_type(image.shape, tuple[int, int])
assert_type(image.grey.ndim, int)
assert_type(fb.join_detectors({"BSE": image, "SE": image.grey}), fb.Image)

labels = fb.read_labels("labels.tif", shape=image.shape)
assert_type(labels, fb.Labels)
assert_type(labels.class_names, tuple[str, ...])

assert_type(fb.extract_features(image), fb.FeatureStack)
segmenter = fb.load_segmenter("classifier.fbc")
assert_type(segmenter, fb.PixelSegmenter)
assert_type(fb.list_encoders(), list[str])

assert_type(train_sklearn(np.zeros((9, 2)), np.arange(9) % 2)[0], fb.Forest)
assert_type(as_phases(labels.data), Phases)
assert_type(measure(labels.data), Measurement)
assert_type(load_network("network"), Network)
assert_type(load_preset("generic"), SimulationConfig)
assert_type(SuperresolutionSettings(), SuperresolutionSettings)

try:
    fb.read_image(1)  # type: ignore[arg-type]  # mypy sees that this is wrong, and that the next line is
    fb.no_such_name  # type: ignore[attr-defined]  # noqa: B018
    to_sklearn()  # type: ignore[call-arg]
except fb.BridgeError as error:
    assert_type(error.remedy, str)
