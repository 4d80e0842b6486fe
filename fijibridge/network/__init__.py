"""The network that segments micrographs of several detectors: trained on simulated images, tuned on a user's labels."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_WHERE = {
    "Network": "fijibridge.network.network",
    "NetworkSettings": "fijibridge.network.settings",
    "export_onnx": "fijibridge.network.onnx_export",
    "fine_tune": "fijibridge.network.training",
    "load_network": "fijibridge.network.file",
    "save_network": "fijibridge.network.file",
    "train_network": "fijibridge.network.training",
}

__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'fijibridge.network' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
