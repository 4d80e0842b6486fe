"""Where the phases lie, as probabilities: what a coarse volume and the material together say of each fine voxel.

A quick reconstruction of the material from the fine slices shows what fine structures there are; seen as the coarse
volume sees (`fijibridge.superresolution.observation`), it gives pairs of coarse neighbourhoods and the fine voxels
within, from any place of the coarse grid and by all symmetries of the material. A small network learns the
probabilities of the phases from these, by the cross entropy, whose least value has the true ones (Bishop 1995, Neural
Networks for Pattern Recognition, section 6.9). The truth is never seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.core.errors import SettingsError
from fijibridge.phases.phases import Phases
from fijibridge.reconstruction.settings import ReconstructionSettings
from fijibridge.superresolution.observation import observation_of
from fijibridge.superresolution.posterior_network import applied, trained

if TYPE_CHECKING:
    from fijibridge.reconstruction.exemplars import Exemplars
    from fijibridge.superresolution.agreement import Agreement
    from fijibridge.superresolution.settings import SuperresolutionSettings

_SIDES = (48, 80)  # voxels: of the reconstruction, at least and at most
_COARSE = 16  # coarse voxels along it between these
_SHARE = 0.2  # of the steps of a volume, for the reconstruction
_SLICES = 4  # of it, a step
_LEARNING = 25  # steps of the network for each of a volume, and at most: with 450 it gained half as much
_MOST = 1500
_MEMORY = 0.5  # of the machine's, at most
_LEAST = 1e-4  # no probability is less
_CHOSEN = 2**21  # voxels at most by which fractions are set


@dataclass(frozen=True, eq=False)
class Posterior:
    """Probabilities of the phases in a fine volume.

    Parameters
    ----------
    probabilities : np.ndarray
        (P, Z, Y, X) float32 that sum to 1; their means are the wanted fractions.
    mean : Phases
        (Z, Y, X): the most probable phases that have the wanted fractions. It is smoother than the material.
    agreement : float
        Share of the coarse voxels in which it shows the group of the coarse volume.
    """

    probabilities: np.ndarray
    mean: Phases
    agreement: float

    def uncertainty(self) -> np.ndarray:
        """(Z, Y, X) float32: entropy of the probabilities, 0 (sure) to 1."""
        from fijibridge.network.calibration import uncertainty

        # plane by plane: of a large volume there is no second copy
        return np.stack([uncertainty(self.probabilities[:, plane]) for plane in range(self.probabilities.shape[1])])


def check_posterior_size(shape: tuple[int, int, int], phases: int) -> None:
    """See that the probabilities fit into the memory, which are kept whole even where a volume is made in chunks.

    Parameters
    ----------
    shape : tuple of int
        (Z, Y, X) of the fine volume.
    phases : int
        Number of phases.

    Raises
    ------
    SettingsError
        They do not.
    """
    from fijibridge.core.machine import machine_memory

    needed, memory = 4 * (phases + 2) * shape[0] * shape[1] * shape[2], _MEMORY * machine_memory()
    if needed > memory:
        raise SettingsError(
            f"probabilities of {phases} phases in {' x '.join(map(str, shape))} voxels: {needed / 2**30:.1f} GiB",
            expected=f"at most {memory / 2**30:.1f} GiB, half of this machine's memory",
            remedy="superresolve parts of the coarse volume one by one (in Fiji: Image > Duplicate...)",
        )


def learned_posterior(agreement: Agreement, exemplars: Exemplars, settings: SuperresolutionSettings) -> Posterior:
    """Learn where within the coarse voxels the phases lie, and say it of a coarse volume.

    Parameters
    ----------
    agreement : Agreement
        The coarse volume, by `fijibridge.superresolution.tied`.
    exemplars : Exemplars
        Fine slices of the material.
    settings : SuperresolutionSettings
        Steps (of which those of reconstruction and network are shares), seed, device.

    Returns
    -------
    Posterior
        The same for the same seed on the same device with the same versions.

    Raises
    ------
    SettingsError
        As `check_posterior_size`.
    """
    z, y, x = (agreement.factor * size for size in agreement.coarse.shape)
    check_posterior_size((z, y, x), len(exemplars.first))
    material = typical_material(exemplars, agreement.factor, settings)
    return posterior_of(agreement, exemplars, settings, material)


def typical_material(exemplars: Exemplars, factor: int, settings: SuperresolutionSettings) -> np.ndarray:
    """A quick reconstruction, in which the structures of the slices occur, wherever they lie.

    Parameters
    ----------
    exemplars : Exemplars
        Fine slices.
    factor : int
        Fine voxels along a coarse one.
    settings : SuperresolutionSettings
        Steps, seed, device.

    Returns
    -------
    np.ndarray
        (Z, Y, X) uint8 phase indices.
    """
    from fijibridge.reconstruction.volume import reconstruct

    side = int(np.clip(_COARSE * factor, *_SIDES))
    quick = ReconstructionSettings(
        loss="patches", steps=max(1, round(_SHARE * settings.steps)), seed=settings.seed, device=settings.device,
        slices_per_step=min(_SLICES, settings.slices_per_step), separate=False,
    )  # fmt: skip
    return reconstruct(exemplars, (side, side, side), quick).phases.index


def posterior_of(
    agreement: Agreement, exemplars: Exemplars, settings: SuperresolutionSettings, material: np.ndarray
) -> Posterior:
    """Learn from a known structure, and apply what was learned to a coarse volume.

    Parameters
    ----------
    agreement, exemplars, settings
        As of `learned_posterior`.
    material : np.ndarray
        (Z, Y, X) phase indices.

    Returns
    -------
    Posterior
    """
    from fijibridge.core.devices import torch_device
    from fijibridge.reconstruction.cut import balanced, cut

    observation, phases = observation_of(agreement), exemplars.first
    device = torch_device(settings.device)
    network = trained(
        observation.of(material), material, agreement.factor, len(phases), noise=observation.noise,
        steps=min(_MOST, _LEARNING * settings.steps), isotropic=exemplars.isotropic, seed=settings.seed,
        device=device,
    )  # fmt: skip
    found = applied(network, observation.given(), device)
    wanted = agreement.fractions()
    found = with_means(found, wanted, _LEAST)
    flat = found.reshape(len(found), -1)
    if flat.shape[1] <= _CHOSEN:
        index = cut(np.log(flat), wanted)
    else:
        step = -(-flat.shape[1] // _CHOSEN)
        offsets = np.exp(balanced(np.log(flat[:, ::step]), wanted))
        index = np.concatenate([(part * offsets).argmax(0).astype(np.uint8) for part in np.array_split(flat, 64, 1)])
    index = index.reshape(found.shape[1:])
    counts = np.bincount(index.ravel(), minlength=len(phases))
    size = phases.spacing[2]
    mean = Phases(
        index, phases.values, phases.names, (size, size, size), phases.unit, 3, tuple(int(count) for count in counts)
    )
    return Posterior(found, mean, float(agreement.agreeing(index).mean()))


def with_means(values: np.ndarray, wanted: np.ndarray, least: float) -> np.ndarray:
    """Probabilities whose means are the wanted ones: a factor on each, and the sum is 1 again.

    Parameters
    ----------
    values : np.ndarray
        (K, ...) float32 that sum to 1; may be changed.
    wanted : np.ndarray
        (K,) that sum to 1.
    least : float
        Smaller probabilities are raised to it first.

    Returns
    -------
    np.ndarray
        (K, ...) float32.
    """
    np.maximum(values, np.float32(least), out=values)
    flat = values.reshape(len(values), -1)
    some = flat[:, :: -(-flat.shape[1] // _CHOSEN)]
    factors = np.ones(len(wanted), np.float32)
    for _ in range(100):
        shares = some * factors[:, None]
        change = np.maximum(wanted, 1e-6) / (shares / shares.sum(0)).mean(1, dtype=np.float64)
        if np.abs(np.log(change)).max() < 1e-4:
            break
        factors *= change.astype(np.float32)
    values *= factors.reshape(-1, *[1] * (values.ndim - 1))
    values /= values.sum(0)
    return values
