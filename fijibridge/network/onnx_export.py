"""A trained network as an ONNX file, for other programs."""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from fijibridge.core.atomic_output import output_file
from fijibridge.core.errors import OutputError, SettingsError

if TYPE_CHECKING:
    from fijibridge.network.network import Network

_OPSET = 18


def export_onnx(network: Network, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a network as one ONNX file, weights included.

    Inputs are ``grey`` (N, D * S, Y, X) float32, the S slices of a detector one after the other, normalised as
    :meth:`Network.normalised` does and 0 for a missing detector, and ``present`` (N, D) float32, 1 for each detector
    that is there. Output is ``probabilities`` (N, K, Y, X) float32, calibrated. N, Y and X are free; Y and X are
    multiples of the stride. Classes, detectors, slices, normalisation and stride are in the file's metadata.

    Parameters
    ----------
    network : Network
        Trained.
    path : path
        Ends in .onnx.
    overwrite : bool
        Whether an older file there may be replaced.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    OutputError
        It exists, has another ending, or cannot be written.
    SettingsError
        torch is older than 2.6, or onnxscript, which it needs to export, is not installed.
    """
    import onnx
    import torch

    path = Path(path)
    if path.suffix.lower() != ".onnx":
        raise OutputError(f"{path.name}: not an ONNX file", expected="a name that ends in .onnx", remedy="rename it")
    if path.exists() and not overwrite:
        raise OutputError(
            f"{path} exists already",
            expected="a new file",
            remedy="choose another name, or use --overwrite (overwrite=True)",
        )
    if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 6):  # its exporter was another before
        raise SettingsError(
            f"torch {torch.__version__}",
            expected="2.6 or newer, for its ONNX exporter",
            remedy='pip install "torch>=2.6"',
        )
    try:
        import onnxscript  # noqa: F401  torch's exporter needs it
    except ImportError as error:
        raise SettingsError(
            "onnxscript is not installed", expected="torch's ONNX exporter", remedy="pip install onnxscript"
        ) from error

    class Calibrated(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module, self.temperature = network.module(), network.temperature

        def forward(self, grey: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
            return torch.softmax(self.module(grey, present) / self.temperature, dim=1)

    stride, detectors = network.architecture.stride, len(network.detectors)
    example = (torch.zeros(2, detectors * network.slices, 2 * stride, 3 * stride), torch.ones(2, detectors))
    number, rows, columns = torch.export.Dim("number"), torch.export.Dim("rows"), torch.export.Dim("columns")
    shapes = {"grey": {0: number, 2: stride * rows, 3: stride * columns}, "present": {0: number}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about its own parts
        program = torch.onnx.export(
            Calibrated().eval(), example, dynamo=True, dynamic_shapes=shapes, opset_version=_OPSET, verbose=False,
            input_names=["grey", "present"], output_names=["probabilities"],
        )  # fmt: skip
    assert program is not None
    model = program.model_proto
    normalisation = asdict(network.normalisation)
    about = {"class_names": network.class_names, "detectors": network.detectors, "normalisation": normalisation}
    for key, value in {**about, "stride": stride, "slices": network.slices}.items():
        model.metadata_props.add(key=key, value=json.dumps(value))
    onnx.checker.check_model(model)
    with output_file(path) as part:
        part.write_bytes(model.SerializeToString())
    return path
