"""Voxels for GeoDict: 8-bit raw with a text of what its import dialog asks for.

GeoDict's own .gdt is packed, and its definition is not published (GeoDict User Guide, "Structure of a GUF File", tells
the blocks of its header alone). Its import of "1, 2, or 4 Byte Integer File Formats" takes raw voxels.
"""

from __future__ import annotations

import math
from pathlib import Path

from fijibridge.core.errors import ImageError
from fijibridge.metrology.export.export import Export, Job, Written, background_value, label_slabs, metres
from fijibridge.phases.writing import check_values

_RAW, _TEXT = "geodict.raw", "geodict.txt"


def _check(job: Job) -> None:
    check_values(job.source)
    sides = job.source.spacing[3 - job.source.ndim :]
    if not all(math.isclose(side, sides[0], rel_tol=1e-6) for side in sides):
        raise ImageError(
            f"export geodict of voxels of {' x '.join(f'{side:g}' for side in sides)} {job.source.unit}",
            expected="cubic voxels: GeoDict has one voxel length",
            remedy="resample the labels (in Fiji: Image > Scale..., interpolation None), or leave geodict out",
        )


def _write(job: Job, folder: Path) -> Written:
    source = job.source
    _, slabs = label_slabs(source)
    with open(folder / _RAW, "wb") as file:
        for labels in slabs:
            file.write(labels.tobytes())
    depth, height, width = source.shape
    outside, side = background_value(source), source.spacing[2]
    ids = dict(zip(source.values, source.names, strict=True)) | ({} if outside is None else {outside: "background"})
    lines = [
        f"{_RAW}: for GeoDict's import of volume images, format Int, 1 byte",
        f"NX = {width}",
        f"NY = {height}",
        f"NZ = {depth}",
        "Header Size = 0",
        "Order: x fastest, then y, then z",
        f"Voxel Length = {side * metres(source, 'export geodict'):.9g} m ({side:.9g} {source.unit})",
        "Material IDs (a voxel's byte):",
        *(f"{value} = {name}" for value, name in sorted(ids.items())),
    ]
    (folder / _TEXT).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Written((_RAW, _TEXT))


GEODICT = Export(_write, check=_check, metres=True)
