"""A saved network: a folder with the weights and what they are for.

::

    network.json          architecture, classes, detectors, normalisation, temperature, pixel size, distance of slices,
                          training, versions
    network.safetensors   the weights

Nothing in it is unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fijibridge.core.atomic_output import output_folder
from fijibridge.core.errors import ImageNotFoundError, ModelFileError, SettingsError
from fijibridge.core.names import check_names
from fijibridge.core.records import made, number, read_json, texts
from fijibridge.core.versions import versions
from fijibridge.images.detectors import check_names as check_detector_names
from fijibridge.network.augmentation import Normalisation
from fijibridge.network.network import Network

if TYPE_CHECKING:
    import torch

INDEX = "network.json"
WEIGHTS = "network.safetensors"
_FORMAT = "fijibridge-network"
_VERSION = 1
_TEMPERATURES = (1e-3, 1e3)  # calibration stays within 0.1 to 10 or so


def save_network(
    network: Network,
    path: str | Path,
    *,
    overwrite: bool = False,
    more: Callable[[Path], None] = lambda folder: None,
) -> Path:
    """Write a network as a folder.

    Parameters
    ----------
    network : Network
        Trained.
    path : path
        The folder.
    overwrite : bool
        Whether an older network there may be replaced.
    more : callable
        Writes more files into the folder that it is given.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    OutputError
        The place exists or cannot be written.
    """
    from safetensors.torch import save_file

    from fijibridge.weights.weights import state_digest

    index = {
        "format": _FORMAT, "version": _VERSION, "architecture": asdict(network.architecture),
        "class_names": list(network.class_names), "detectors": list(network.detectors),
        "normalisation": asdict(network.normalisation), "temperature": network.temperature,
        "pixel_sizes": list(network.pixel_sizes) if network.pixel_sizes else None,
        "spacings": list(network.spacings) if network.spacings else None, "training": network.training,
        "weights_sha256": state_digest(network.state), "versions": versions(),
    }  # fmt: skip
    with output_folder(path, marker=INDEX, overwrite=overwrite) as folder:
        save_file({name: tensor.contiguous().cpu() for name, tensor in network.state.items()}, folder / WEIGHTS)
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
        more(folder)
    return Path(path)


def load_network(
    path: str | Path, *, class_names: Sequence[str] | None = None, detectors: Sequence[str] | None = None
) -> Network:
    """Load a network that `save_network` or a training wrote.

    Parameters
    ----------
    path : path
        The folder.
    class_names, detectors : sequence of str, optional
        That it must have been trained for; see `Network.check`.

    Returns
    -------
    Network

    Raises
    ------
    ImageNotFoundError
        Nothing there.
    ModelFileError
        Damaged, or no network.
    LabelsError, ImageError
        A network of other classes or detectors.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from fijibridge.weights.weights import state_digest

    path = Path(path)
    if not path.exists():
        raise ImageNotFoundError(
            f"no network {path}", expected="a folder written by train-network", remedy="check the path"
        )
    for name in (INDEX, WEIGHTS):
        if not (path / name).is_file():
            raise _not_a_network(path, f"it holds no {name}")
    try:
        index = read_json(path / INDEX)
        if (index["format"], index["version"]) != (_FORMAT, _VERSION):
            raise _not_a_network(path, f"it says {index['format']!r} version {index['version']!r}")
        state = load_file(path / WEIGHTS)
        if state_digest(state) != index["weights_sha256"]:
            raise _not_a_network(path, f"{WEIGHTS} has another SHA-256 than {INDEX} says")
        if not all(bool(torch.isfinite(tensor).all()) for tensor in state.values()):
            raise _not_a_network(path, f"{WEIGHTS} has weights that are no finite numbers")
        try:
            network = _described(index, state)
        except ValueError as error:
            raise _not_a_network(path, f"{INDEX}: {getattr(error, 'found', error)}") from error
        network.module()
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError, SafetensorError) as error:
        if isinstance(error, (ModelFileError, SettingsError)):  # SettingsError: an encoder that is not installed
            raise
        raise _not_a_network(path, f"{type(error).__name__}: {str(error)[:300]}") from error
    network.check(class_names=class_names, detectors=detectors)
    return network


def _described(index: dict[str, Any], state: dict[str, torch.Tensor]) -> Network:
    """The network of an index whose every value is checked."""
    from fijibridge.network.unet import Architecture

    class_names, detectors = texts(index["class_names"], "class_names"), texts(index["detectors"], "detectors")
    check_names(class_names)
    check_detector_names(detectors)
    architecture = made(Architecture, index["architecture"], "architecture")
    normalisation = made(Normalisation, index["normalisation"], "normalisation")
    for what, found, wanted in (
        ("class_names", class_names, architecture.classes), ("detectors", detectors, architecture.detectors)
    ):  # fmt: skip
        if len({name.casefold() for name in found}) != wanted or len(found) != wanted:
            raise ValueError(f"{len(found)} {what} of a network of {wanted}, or one is there twice")
    # a file without "spacings" was written before networks saw several slices
    sizes, spacings = _two_rising(index["pixel_sizes"], "pixel_sizes"), _two_rising(index.get("spacings"), "spacings")
    if not isinstance(index["training"], dict):
        raise ValueError("training is no record")
    temperature = number(index["temperature"], "temperature", *_TEMPERATURES)
    return Network(
        architecture, state, class_names, detectors, normalisation, temperature, sizes, spacings, index["training"]
    )


def _two_rising(values: Any, what: str) -> tuple[float, float] | None:
    if values is None:
        return None
    if not isinstance(values, list) or len(values) != 2 or values != sorted(values):
        raise ValueError(f"{what} that are not two rising numbers")
    low, high = (number(value, what, 1e-6, 1e6) for value in values)
    return low, high


def _not_a_network(path: Path, why: str) -> ModelFileError:
    return ModelFileError(
        f"{path} is no network that can be used: {why}",
        expected=f"a folder with {INDEX} and {WEIGHTS}, format version {_VERSION}",
        remedy="give the folder that train-network wrote, or train again",
    )
