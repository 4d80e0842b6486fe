"""The catalogue: what every door calls. One plain function an operation; its signature is its only parameter list."""

from __future__ import annotations

from importlib import import_module
from typing import Any

# operation -> module; the order is that of help texts
CATALOGUE = {
    "segment": "fijibridge.operations.segment",
    "apply": "fijibridge.operations.apply",
    "features": "fijibridge.operations.features",
    "bias": "fijibridge.operations.bias",
    "import_classifier": "fijibridge.operations.import_classifier",
    "measure": "fijibridge.operations.measure",
    "reconstruct": "fijibridge.operations.reconstruct",
    "superresolve": "fijibridge.operations.superresolve",
    "simulate": "fijibridge.operations.simulate",
    "diversity": "fijibridge.operations.diversity",
    "train_network": "fijibridge.operations.train_network",
    "segment_network": "fijibridge.operations.segment_network",
    "fine_tune_network": "fijibridge.operations.fine_tune_network",
    "train_upsampler": "fijibridge.operations.train_upsampler",
    "demo": "fijibridge.operations.demo",
    "doctor": "fijibridge.operations.doctor",
}


def operation(name: str) -> Any:
    """The function of an operation of the catalogue."""
    return getattr(import_module(CATALOGUE[name]), name)
