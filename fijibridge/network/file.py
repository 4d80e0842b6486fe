"""A saved network: a folder with the weights and what they are for.

::

    network.json          architecture, classes, detectors, normalisation, temperature, pixel size, training, versions
    network.safetensors   the weights

Nothing in it is unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from fijibridge.errors import ImageNotFoundError, ModelFileError, SettingsError
from fijibridge.network.augmentation import Normalisation
from fijibridge.network.network import Network
from fijibridge.output import output_folder
from fijibridge.versions import versions

INDEX = "network.json"
WEIGHTS = "network.safetensors"
_FORMAT = "fijibridge-network"
_VERSION = 1


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
        Writes further files into the folder that it is given.

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

    from fijibridge.weights import state_digest

    index = {
        "format": _FORMAT, "version": _VERSION, "architecture": asdict(network.architecture),
        "class_names": list(network.class_names), "detectors": list(network.detectors),
        "normalisation": asdict(network.normalisation), "temperature": network.temperature,
        "pixel_sizes": list(network.pixel_sizes) if network.pixel_sizes else None, "training": network.training,
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
        What it must tell apart, and see; see `Network.check`.

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
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from fijibridge.network.unet import Architecture
    from fijibridge.weights import state_digest

    path = Path(path)
    if not path.exists():
        raise ImageNotFoundError(
            f"no network {path}", expected="a folder written by train-network", remedy="check the path"
        )
    if not (path / INDEX).is_file():
        raise _not_a_network(path, f"it holds no {INDEX}")
    try:
        index = json.loads((path / INDEX).read_text(encoding="utf-8"))
        if (index["format"], index["version"]) != (_FORMAT, _VERSION):
            raise _not_a_network(path, f"it says {index['format']!r} version {index['version']!r}")
        state = load_file(path / WEIGHTS)
        if state_digest(state) != index["weights_sha256"]:
            raise _not_a_network(path, f"{WEIGHTS} is not what {INDEX} tells of")
        sizes = index["pixel_sizes"]
        network = Network(
            Architecture(**index["architecture"]), state, tuple(index["class_names"]), tuple(index["detectors"]),
            Normalisation(**index["normalisation"]), float(index["temperature"]), tuple(sizes) if sizes else None,
            index["training"],
        )  # fmt: skip
        network.module()
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, RecursionError, SafetensorError) as error:
        if isinstance(error, (ModelFileError, SettingsError)):  # SettingsError: an encoder that is not installed
            raise
        raise _not_a_network(path, f"{type(error).__name__}: {error}") from error
    network.check(class_names=class_names, detectors=detectors)
    return network


def _not_a_network(path: Path, why: str) -> ModelFileError:
    return ModelFileError(
        f"{path} is no network that can be used: {why}",
        expected=f"a folder with {INDEX} and {WEIGHTS}, format version {_VERSION}",
        remedy="give the folder that train-network wrote, or train again",
    )
