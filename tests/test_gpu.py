"""What a CUDA device must do as the CPU does."""

import numpy as np
import pytest

from fijibridge.phases.phases import as_phases
from fijibridge.reconstruction import ReconstructionSettings, check_exemplars, reconstruct

pytestmark = [pytest.mark.gpu, pytest.mark.slow]


@pytest.fixture
def exemplar():
    from scipy import ndimage

    field = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((64, 64)), 2.5, mode="wrap")
    return as_phases(np.digitize(field, np.quantile(field, (0.4, 0.8))), class_names=["pore", "ISE", "CAM"])


@pytest.fixture
def settings():
    return ReconstructionSettings(loss="patches", steps=12, slices_per_step=4, seed=3, device="cuda")


def test_a_seed_gives_the_same_volume(exemplar, settings):
    made = [reconstruct(check_exemplars({"xy": exemplar}), (32, 32, 32), settings) for _ in range(2)]
    np.testing.assert_array_equal(made[0].phases.index, made[1].phases.index)


def test_fractions_are_the_exemplars(exemplar, settings):
    volume = reconstruct(check_exemplars({"xy": exemplar}), (32, 32, 32), settings).phases
    found, wanted = (np.array(phases.counts) / sum(phases.counts) for phases in (volume, exemplar))
    np.testing.assert_allclose(found, wanted, atol=5e-4)


def test_it_is_stopped_and_resumed_to_the_same_volume(exemplar, settings, tmp_path, monkeypatch):
    from fijibridge.reconstruction import volume as module

    whole = reconstruct(check_exemplars({"xy": exemplar}), (32, 32, 32), settings).phases
    monkeypatch.setattr(module, "_SAVE_S", 0.0)
    file = tmp_path / "volume.state"
    write = module._Saver._write

    def stopping(self, tensors, block, made, softs, *, level, step):
        write(self, tensors, block, made, softs, level=level, step=step)
        if (level, step) == (1, 7):
            raise KeyboardInterrupt

    monkeypatch.setattr(module._Saver, "_write", stopping)
    with pytest.raises(KeyboardInterrupt):
        reconstruct(check_exemplars({"xy": exemplar}), (32, 32, 32), settings, state_file=file)
    monkeypatch.setattr(module._Saver, "_write", write)
    again = reconstruct(check_exemplars({"xy": exemplar}), (32, 32, 32), settings, state_file=file, resume=True)
    np.testing.assert_array_equal(again.phases.index, whole.index)
