"""A trained generator: saved, loaded, and applied to coarse volumes of any size."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fijibridge.core import progress
from fijibridge.core.atomic_output import output_folder
from fijibridge.core.errors import BridgeError, LabelsError, SettingsError
from fijibridge.core.names import check_names
from fijibridge.core.records import made, number, read_json, texts
from fijibridge.phases.phases import Phases
from fijibridge.superresolution.agreement import Agreement
from fijibridge.superresolution.coarse import Coarse
from fijibridge.superresolution.networks import Architecture, noise_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch

    from fijibridge.reconstruction.exemplars import Exemplars

MODEL = "model.json"
_WEIGHTS = "generator.safetensors"
_BLOCK = 24  # coarse voxels a side of the blocks it is applied in
_ROUNDS = 12  # of repair


@dataclass(frozen=True, eq=False)
class GanModel:
    """A generator and what it was trained on.

    Parameters
    ----------
    architecture : Architecture
        Sizes of the generator.
    state : dict of str to torch.Tensor
        Its weights.
    slices : tuple of np.ndarray
        (Y, X) uint8: the fine slices, by phase index.
    names, values : tuple
        Of the phases.
    groups : tuple of tuple of int
        Phases that the coarse volume does not distinguish.
    offsets : np.ndarray
        (P,) on the logits, so that the training volume has the wanted fractions.
    pixel : float
        Size of a fine pixel.
    unit : str
        Of it.
    about : dict
        Iterations, errors and settings of the training.
    """

    architecture: Architecture
    state: dict[str, torch.Tensor] = field(repr=False)
    slices: tuple[np.ndarray, ...] = field(repr=False)
    names: tuple[str, ...]
    values: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...]
    offsets: np.ndarray
    pixel: float
    unit: str
    about: dict[str, Any]

    @property
    def factor(self) -> int:
        """Fine voxels along a coarse one."""
        return self.architecture.factor

    @property
    def visible(self) -> list[str]:
        """Names of the phases that the coarse volume shows."""
        return [self.names[group[0]] for group in self.groups if len(group) == 1]

    def phases(self, index: np.ndarray, ndim: int) -> Phases:
        """Phase indices with the model's values, names and pixel size.

        Parameters
        ----------
        index : np.ndarray
            (Z, Y, X).
        ndim : int
            2 for a slice, 3 for a volume.

        Returns
        -------
        Phases
        """
        counts = tuple(int(count) for count in np.bincount(index.ravel(), minlength=len(self.names)))
        depth = self.pixel if ndim == 3 else 1.0
        return Phases(index, self.values, self.names, (depth, self.pixel, self.pixel), self.unit, ndim, counts)

    def exemplars(self) -> Exemplars:
        """The slices it was trained on."""
        from fijibridge.reconstruction.exemplars import Exemplars

        first, *others = (self.phases(plane[None], 2) for plane in self.slices)
        return Exemplars({"xy": first}, (), tuple(others))

    def save(
        self, folder: Path, *, overwrite: bool = False, more: Callable[[Path], None] = lambda folder: None
    ) -> Path:
        """Write ``model.json`` and ``generator.safetensors``.

        Parameters
        ----------
        folder : Path
            To write.
        overwrite : bool
            Whether an older model there may be replaced.
        more : callable
            Writes more files into the folder that it is given.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        OutputError
            It exists, or cannot be written.
        """
        import torch
        from safetensors.torch import save_file

        about = {
            "fijibridge": "superresolution-gan 1",
            "architecture": asdict(self.architecture),
            "names": list(self.names),
            "values": list(self.values),
            "groups": [list(group) for group in self.groups],
            "offsets": [float(offset) for offset in self.offsets],
            "pixel": self.pixel,
            "unit": self.unit,
            "about": self.about,
        }
        tensors = {f"generator.{name}": tensor.contiguous().cpu() for name, tensor in self.state.items()}
        tensors |= {f"slice.{number}": torch.from_numpy(plane) for number, plane in enumerate(self.slices)}
        with output_folder(folder, marker=MODEL, overwrite=overwrite) as building:
            save_file(tensors, building / _WEIGHTS)
            (building / MODEL).write_text(json.dumps(about, indent=2), encoding="utf-8")
            more(building)
        return folder

    def check(self, coarse: Coarse, names: tuple[str, ...] | None = None, factor: int = 0) -> None:
        """See that the model is one for a coarse volume.

        Parameters
        ----------
        coarse : Coarse
            The volume.
        names : tuple of str, optional
            Phases of the slices.
        factor : int
            Fine voxels along a coarse one; 0: any.

        Raises
        ------
        LabelsError, SettingsError
            A model of other phases, or of another factor.
        """
        if names is not None and tuple(names) != self.names:
            raise LabelsError(
                f"a model of the phases {', '.join(self.names)}, slices of {', '.join(names)}",
                expected="the same phases",
                remedy="choose another model, or train one on these slices",
            )
        if coarse.groups != self.groups:
            raise LabelsError(
                f"a model whose coarse volumes show {', '.join(self.visible)}, another choice of visible phases here",
                expected="the same visible phases",
                remedy="choose another model, or train one",
            )
        if factor and factor != self.factor:
            raise SettingsError(
                f"factor {factor}, and a model of factor {self.factor}",
                expected="the model's factor",
                remedy="leave the factor out, or train another model",
            )

    def logits(self, coarse: Coarse, seed: int, *, device: str = "cpu", block: int = _BLOCK) -> np.ndarray:
        """(P, Z, Y, X) float32 for a coarse volume, made block by block; no seam, whatever the block size.

        Parameters
        ----------
        coarse : Coarse
            The volume.
        seed : int
            Of the noise.
        device : str
            Of the work.
        block : int
            Coarse voxels a side.
        """
        shape = coarse.shape
        made = np.empty((len(self.names), *(size * self.factor for size in shape)), np.float32)
        for where, logits in self._blocks(coarse, seed, device, block):
            place = (slice(None), *where)
            made[place] = logits
        return made

    def apply(self, agreement: Agreement, seed: int, *, device: str = "cpu", block: int = _BLOCK) -> np.ndarray:
        """(Z, Y, X) uint8 phases of a coarse volume, each block made to agree with it.

        Parameters
        ----------
        agreement : Agreement
            With the coarse volume.
        seed, device, block
            As of `logits`.
        """
        coarse = agreement.coarse
        made = np.empty(tuple(size * self.factor for size in coarse.shape), np.uint8)
        for where, logits in self._blocks(coarse, seed, device, block):
            part = agreement.part(where)
            for _ in range(_ROUNDS):
                made[where] = logits.argmax(0)
                raised = part.raised(made[where], logits)
                if raised is None:
                    break
                logits = raised
        return made

    def _blocks(
        self, coarse: Coarse, seed: int, device: str, block: int
    ) -> Iterator[tuple[tuple[slice, ...], np.ndarray]]:
        """(where in the fine volume, the logits there) of all blocks."""
        import torch

        from fijibridge.superresolution.networks import Generator

        with torch.random.fork_rng(devices=[]):  # a user's random numbers stay as they are
            generator = Generator(self.architecture)
        generator.load_state_dict(self.state)
        generator.to(device).eval()
        offsets = self.offsets.astype(np.float32)[:, None, None, None]
        shape, margin = coarse.shape, self.architecture.margin
        corners = list(product(*(range(0, size, block) for size in shape)))
        with progress.bar("super-resolving", len(corners)) as bar, torch.inference_mode():
            for corner in corners:
                ends = [min(start + block, size) for start, size in zip(corner, shape, strict=True)]
                wide = tuple(
                    slice(max(0, start - margin), min(end + margin, size))
                    for start, end, size in zip(corner, ends, shape, strict=True)
                )
                given = torch.from_numpy(shares_of(coarse, wide))[None].to(device)
                noise = noise_of(self.architecture, seed, shape, wide)
                logits = generator(given, [torch.from_numpy(part).to(device) for part in noise])[0].cpu().numpy()
                f = self.factor
                where = tuple(slice(start * f, end * f) for start, end in zip(corner, ends, strict=True))
                inside = tuple(
                    slice((start - piece.start) * f, (end - piece.start) * f)
                    for start, end, piece in zip(corner, ends, wide, strict=True)
                )
                place = (slice(None), *inside)
                yield where, (logits + offsets)[place]
                bar.update(1)


def shares_of(coarse: Coarse, where: tuple[slice, ...] = (slice(None),) * 3) -> np.ndarray:
    """What the generator sees of a coarse volume; a grey one by its labels.

    Parameters
    ----------
    coarse : Coarse
        The volume.
    where : tuple of slice
        (z, y, x) part of it, in coarse voxels.

    Returns
    -------
    np.ndarray
        (G, z, y, x) float32.
    """
    if coarse.kind == "probabilities":
        place = (slice(None), *where)
        return np.ascontiguousarray(coarse.values[place])
    labels = coarse.labels[where]
    return (labels == np.arange(len(coarse.groups))[:, None, None, None]).astype(np.float32)


def load_model(folder: str | Path) -> GanModel:
    """Load a model that `GanModel.save` wrote.

    Raises
    ------
    SettingsError
        No such model, or files that do not belong together.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = Path(folder)
    try:
        about = read_json(folder / MODEL, error=SettingsError)
        if not (folder / _WEIGHTS).is_file():
            raise OSError(f"no file {_WEIGHTS}")
        # clones: what is read is mapped to the file, which a resumed training replaces
        tensors = {name: tensor.clone() for name, tensor in load_file(folder / _WEIGHTS).items()}
        return _described(about, tensors)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError, SafetensorError) as error:
        why = error.found if isinstance(error, BridgeError) else f"{type(error).__name__}: {str(error)[:300]}"
        raise SettingsError(
            f"{folder} is no trained model ({why})",
            expected=f"a folder with {MODEL} and {_WEIGHTS}",
            remedy="train one: --method gan --train --out-model FOLDER",
        ) from error


def _described(about: dict[str, Any], tensors: dict[str, torch.Tensor]) -> GanModel:
    """The model of a record whose every value is checked."""
    import torch

    architecture = made(Architecture, about["architecture"], "architecture", error=SettingsError)
    names, count = texts(about["names"], "names"), architecture.phases
    check_names([*names, about["unit"]], "phase", error=SettingsError)
    values = tuple(int(number(value, "values", 0, 255)) for value in about["values"])
    groups = tuple(tuple(int(number(phase, "groups", 0, count - 1)) for phase in group) for group in about["groups"])
    offsets = np.array([number(offset, "offsets", -1e6, 1e6) for offset in about["offsets"]])
    pixel = number(about["pixel"], "pixel", 1e-9, 1e9)
    slices = tuple(tensors[name].numpy() for name in sorted(tensors) if name.startswith("slice."))
    if (
        not len(names) == len(set(names)) == len(set(values)) == len(values) == len(offsets) == count
        or sorted(phase for group in groups for phase in group) != list(range(count))
        or len(groups) != architecture.groups
        or architecture.factor not in (2, 4, 8)
        or not slices
        or any(plane.ndim != 2 or plane.dtype != np.uint8 or plane.max(initial=0) >= count for plane in slices)
        or not isinstance(about["about"], dict)
        or not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values())
    ):
        raise ValueError("names, values, groups, offsets and slices that do not belong together")
    state = {
        name.removeprefix("generator."): tensor for name, tensor in tensors.items() if name.startswith("generator.")
    }
    return GanModel(architecture, state, slices, names, values, groups, offsets, pixel, about["unit"], about["about"])
