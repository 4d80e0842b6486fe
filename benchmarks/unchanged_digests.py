"""Digests of what an operation wrote: of pixels, table values and arrays, whatever the files are called within.

Left out on purpose: reports, recipes and pictures, which hold dates, seconds, versions, paths and words.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tifffile
from safetensors.numpy import load_file

# What is renamed: today's path within a result, without its suffix -> the one that the JSON knows.
PLACES: dict[str, str] = {}

# Names of tables' columns that are no result.
TIMES = ("seconds", "minutes", "wall_s", "cpu_s")

# Files of tensors: a saved classifier's other files tell how its features are made, in words.
TENSORS = ("forest", "network", "upsampler", "generator")

# Files of JSON whose numbers are results.
NUMBERS = ("parameters",)


def digest(*blobs: bytes) -> str:
    """SHA-256 of all of them, one after another."""
    found = hashlib.sha256()
    for blob in blobs:
        found.update(len(blob).to_bytes(8, "little"))
        found.update(blob)
    return found.hexdigest()


def of_array(array: Any) -> str:
    """Of values, shape and kind of number; NaNs are all the same."""
    array = np.ascontiguousarray(array)
    if array.dtype.kind == "f":
        array = np.where(np.isnan(array), np.array(np.nan, array.dtype), array)
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return digest(f"{array.dtype.str}{array.shape}".encode(), array.tobytes())


def of_texts(texts: Iterable[str]) -> str:
    """Of texts in their order."""
    return digest(*(text.encode() for text in texts))


def of_table(path: Path) -> str:
    """Of the numbers of a CSV, column by column; names and words of it are left out."""
    table = pd.read_csv(path)
    numeric = [name for name in table.columns if table[name].dtype.kind in "iuf" and name not in TIMES]
    return digest(*(of_array(table[name].to_numpy(np.float64)).encode() for name in numeric))


def of_tensors(path: Path) -> str:
    """Of all tensors of a safetensors file, whatever their names and order."""
    return digest(*sorted(of_array(array).encode() for array in load_file(path).values()))


def of_numbers(path: Path) -> str:
    """Of all numbers of a JSON file, sorted: keys may be renamed and change places."""

    def numbers(item: Any) -> Iterable[float]:
        if isinstance(item, dict):
            item = list(item.values())
        if isinstance(item, list):
            for each in item:
                yield from numbers(each)
        elif isinstance(item, (int, float)):
            yield float(item)

    return of_array(np.sort(np.fromiter(numbers(json.loads(path.read_text(encoding="utf-8"))), float)))


def of_folder(folder: Path) -> dict[str, str]:
    """Place in a result -> digest, of everything numeric in a folder (or in the one file).

    A feature stack's names are a part of their own beside its values.
    """
    found = {}
    for path in sorted(folder.rglob("*")) if folder.is_dir() else [folder]:
        place = path.relative_to(folder).with_suffix("").as_posix() if folder.is_dir() else path.stem
        place = PLACES.get(place, place)
        if path.suffix == ".tif":
            with tifffile.TiffFile(path) as file:
                found[place] = of_array(file.asarray())
                if path.stem.startswith("features"):
                    found[f"{place} names"] = of_texts((file.imagej_metadata or {}).get("Labels", []))
        elif path.suffix == ".csv":
            found[place] = of_table(path)
        elif path.suffix == ".safetensors" and path.stem in TENSORS:
            found[place] = of_tensors(path)
        elif path.suffix == ".json" and path.stem in NUMBERS:
            found[place] = of_numbers(path)
    if not found:
        raise FileNotFoundError(f"nothing numeric in {folder.name}")
    return found
