"""Fixtures of the tests of Weka's classifiers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from weka_models import train_and_save, tws_features


@pytest.fixture(scope="session")
def features() -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[str, ...]]:
    """Features, labelled pixels, their classes and the names, see weka_models."""
    return tws_features()


@pytest.fixture(scope="session")
def saved(java, tmp_path_factory) -> Callable[[str], Path]:
    """A classifier by its name and options, trained and saved once."""
    folder = tmp_path_factory.mktemp("models")

    @cache
    def made(text: str) -> Path:
        return train_and_save(text, folder / f"{len(list(folder.iterdir()))}.model")

    return made
