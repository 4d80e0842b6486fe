"""Labels, voxel size and names as NumPy arrays in one file."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import numpy as np

from fijibridge.metrology.export.export import Export, Job, Written, label_slabs

_NAME = "phases.npz"


def _write(job: Job, folder: Path) -> Written:
    # np.savez takes arrays that are in memory as a whole
    source = job.source
    dtype, slabs = label_slabs(source)
    head = {"descr": dtype.str, "fortran_order": False, "shape": source.shape[3 - source.ndim :]}
    rest = {
        "voxel_size": np.array(source.spacing[3 - source.ndim :]),
        "unit": np.array(source.unit),
        "axes": np.array(source.axes),
        "values": np.array(source.values),
        "names": np.array(source.names),
    }
    with ZipFile(folder / _NAME, "w") as archive:
        with archive.open(_entry("labels"), "w", force_zip64=True) as file:
            np.lib.format.write_array_header_1_0(file, head)
            for labels in slabs:
                file.write(labels.tobytes())
        for name, array in rest.items():
            with archive.open(_entry(name), "w") as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
    return Written((_NAME,))


def _entry(name: str) -> ZipInfo:
    entry = ZipInfo(f"{name}.npy")  # without the time, so that the same volume makes the same bytes
    entry.compress_type = ZIP_DEFLATED
    return entry


NPZ = Export(_write)
