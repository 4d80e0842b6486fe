"""Grey drift is undone, and where there is none greys stay as they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from fijibridge.core.errors import FeatureMismatchError, ImageError, SettingsError
from fijibridge.features.grey_model import TERMS, GreyModel, Samples, gain_and_offset, places
from fijibridge.images.detectors import join_detectors
from fijibridge.images.image import image_from_array
from fijibridge.segmentation import PixelSegmenter
from fijibridge.segmentation.grey_drift import GreyDrift

COUNT, SIDE, TRAINING = 12, 120, 5
CONTRAST = 20_000.0


@pytest.fixture(scope="module")
def stack():
    """Three phases, uint16 greys 10,000 to 30,000 with noise; in some slices one phase dominates."""
    rng = np.random.default_rng(0)
    field = gaussian_filter(rng.normal(size=(2 * COUNT, SIDE, SIDE)), (3, 5, 5))[::2] * 40
    field += np.linspace(-0.6, 0.6, COUNT)[:, None, None]
    phases = np.digitize(field, (-0.7, 0.5))
    grey = np.array([10_000.0, 20_000.0, 30_000.0])[phases] + rng.normal(0, 1500, phases.shape)
    return grey.astype(np.uint16), phases


@pytest.fixture(scope="module")
def segmenter(stack):
    grey, phases = stack
    labels = np.zeros((SIDE, SIDE), np.uint8)
    labels[::10] = phases[TRAINING, ::10] + 1
    return PixelSegmenter("tws", n_trees=10, n_threads=2).fit(grey[TRAINING], labels)


def drifted(grey: np.ndarray, gain: float = 0, offset: float = 0, shading: float = 0) -> np.ndarray:
    z = ((np.arange(len(grey)) - TRAINING) / len(grey))[:, None, None]
    y, x = places(grey.shape[1:])
    found = grey * (1 + gain * z + shading * z * (x - 0.5 * y)) + offset * CONTRAST * z
    return found.clip(0, 65535).astype(np.uint16)


def error(found: GreyDrift, seen: np.ndarray, grey: np.ndarray) -> float:
    """Root mean square of what is left, relative to the contrast, of the worst slice."""
    left = [found.corrected(one, z).data - grey[z].astype(float) for z, one in enumerate(seen)]
    return float(max(np.sqrt((one**2).mean()) for one in left)) / CONTRAST


@pytest.mark.parametrize("kind", [{"gain": 0.5}, {"offset": 0.4}, {"shading": 0.3}, {"gain": -0.4, "offset": 0.3}])
@pytest.mark.parametrize("known", [(), (TRAINING,)])
def test_drift_is_undone(stack, segmenter, kind, known):
    grey, _ = stack
    seen = drifted(grey, **kind)
    before = np.sqrt(((seen.astype(float) - grey) ** 2).mean((1, 2))).max() / CONTRAST
    found = GreyDrift.of(seen, segmenter, training=known)
    assert found.coefficients.shape == (COUNT, 1, TERMS)
    assert error(found, seen, grey) < min(0.05, before / 2.5)


def test_without_drift_greys_stay(stack, segmenter):
    grey, phases = stack
    found = GreyDrift.of(iter(grey), segmenter)  # gone through once
    assert error(found, grey, grey) < 0.03
    accuracies = [
        np.mean([(segmenter.predict(one) == phases[z] + 1).mean() for z, one in chosen])
        for chosen in (list(enumerate(grey)), [(z, found.corrected(one, z)) for z, one in enumerate(grey)])
    ]
    assert accuracies[1] > accuracies[0] - 0.002


def test_the_training_slice_stays_to_the_bit_where_it_is_known(stack, segmenter):
    seen = drifted(stack[0], gain=0.4)
    found = GreyDrift.of(seen, segmenter, training=[TRAINING])
    np.testing.assert_array_equal(found.corrected(seen[TRAINING], TRAINING).data, seen[TRAINING])


def test_the_forest_sees_through_drift(stack, segmenter):
    grey, phases = stack
    seen = drifted(grey, gain=0.5, offset=0.3)
    found = GreyDrift.of(seen, segmenter)
    as_it_is, corrected = (
        np.mean([(segmenter.predict(one) == phases[z] + 1).mean() for z, one in enumerate(images)])
        for images in (seen, [found.corrected(one, z) for z, one in enumerate(seen)])
    )
    assert corrected > 0.95
    assert as_it_is < corrected - 0.05


def test_the_data_bar_stays(stack, segmenter):
    grey, _ = stack
    with_bar = np.concatenate([drifted(grey, gain=0.5), np.full((COUNT, 20, SIDE), 255, np.uint16)], axis=1)
    images = [replace(image_from_array(one), databar_rows=20) for one in with_bar]
    out = GreyDrift.of(images, segmenter).corrected(images[-1], COUNT - 1)
    assert out.databar_rows == 20
    assert out.data.dtype == np.float32
    assert (out.data[-20:] == 255).all()
    assert not np.array_equal(out.data[:-20], with_bar[-1, :-20])


def test_two_detectors_each_have_their_own(stack):
    grey, phases = stack
    other = (grey[:, ::-1] // 2).astype(np.uint16)

    def joined(one, two):
        return join_detectors({"SE": image_from_array(one), "BSE": image_from_array(two)})

    labels = np.zeros((SIDE, SIDE), np.uint8)
    labels[::10] = phases[TRAINING, ::10] + 1
    segmenter = PixelSegmenter("tws", n_trees=3, n_threads=2).fit(joined(grey[TRAINING], other[TRAINING]), labels)
    seen = drifted(other, gain=0.5)
    images = [joined(one, two) for one, two in zip(grey, seen, strict=True)]
    found = GreyDrift.of(images, segmenter)
    assert found.detectors == ("SE", "BSE")
    out = found.corrected(images[-1], COUNT - 1)
    left = [np.sqrt(((own - true.astype(float)) ** 2).mean()) for own, true in
            ((out.data, grey[-1]), (out.others[0].data, other[-1]))]  # fmt: skip
    assert left[0] < 0.03 * CONTRAST
    assert left[1] < 0.03 * CONTRAST / 2
    with pytest.raises(FeatureMismatchError, match="missing"):
        GreyDrift.of(list(grey), segmenter)


def test_bad_stacks_are_refused(stack, segmenter):
    grey, _ = stack
    with pytest.raises(SettingsError, match="no slices"):
        GreyDrift.of([], segmenter)
    with pytest.raises(SettingsError, match="training slices"):
        GreyDrift.of(grey, segmenter, training=[COUNT])
    with pytest.raises(SettingsError, match="does not know"):
        GreyDrift.of(grey, PixelSegmenter("tws"))
    with pytest.raises(ImageError):
        GreyDrift.of([np.full((40, 40), np.nan, np.float32)], segmenter)


def test_a_constant_slice_and_a_constant_training(stack, segmenter):
    grey = stack[0].copy()
    grey[3] = 20_000
    found = GreyDrift.of(grey, segmenter)
    assert np.isfinite(found.corrected(grey[3], 3).data).all()
    assert GreyModel.of(np.full(50, 3.0)) is None


@pytest.mark.parametrize("shape", [(1, 1), (2, 70), (3, 3), (400, 300)])
def test_samples_are_means_of_squares(shape):
    grey = np.random.default_rng(1).random(shape).astype(np.float32)
    found = Samples.of(grey)
    assert 0 < len(found.grey) <= 4600
    assert len(found.grey) == len(found.y) == len(found.x)
    assert abs(found.y).max() < 1
    assert grey.min() <= found.grey.min() <= found.grey.max() <= grey.max()


def test_a_single_slice(stack, segmenter):
    seen = drifted(stack[0], gain=0.5)[-1:]
    found = GreyDrift.of(seen, segmenter)
    left = found.corrected(seen[0], 0).data - stack[0][-1].astype(float)
    assert np.sqrt((left**2).mean()) < 0.06 * CONTRAST


def test_gain_and_offset_are_polynomials():
    gain, offset = gain_and_offset(np.arange(1.0, 13), *places((3, 5)))
    assert gain.shape == offset.shape == (3, 5)
    assert gain[1, 2] == 1
    assert offset[1, 2] == 7
    np.testing.assert_allclose(gain[2, 2], 1 + 2 * 2 / 3 + 4 * 4 / 9)
