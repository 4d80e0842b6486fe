"""VTK's ImageData (.vti): labels as cell data, for ParaView, PyVista and all that reads VTK."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fijibridge.metrology.export.export import Export, Job, Written, label_slabs

_TYPES = {"u1": "UInt8", "u2": "UInt16", "i2": "Int16", "i4": "Int32", "i8": "Int64"}
_NAME = "phases.vti"


def _write(job: Job, folder: Path) -> Written:
    # by the format's definition (VTK File Formats, XML, appended raw data); meshio writes no ImageData, pyevtk only
    # arrays that are in memory as a whole
    source = job.source
    dtype, slabs = label_slabs(source)
    depth, height, width = source.shape
    extent = f"0 {width} 0 {height} 0 {depth if source.ndim == 3 else 0}"
    spacing = " ".join(repr(float(step)) for step in reversed(source.spacing))
    head = f"""<?xml version="1.0"?>
<VTKFile type="ImageData" version="1.0" byte_order="LittleEndian" header_type="UInt64">
  <ImageData WholeExtent="{extent}" Origin="0 0 0" Spacing="{spacing}">
    <FieldData>
      {_texts("unit", [source.unit])}
      {_texts("phase_names", source.names)}
      <DataArray type="Int64" Name="phase_values" NumberOfTuples="{len(source)}" format="ascii">
        {" ".join(map(str, source.values))}
      </DataArray>
    </FieldData>
    <Piece Extent="{extent}">
      <CellData Scalars="phase">
        <DataArray type="{_TYPES[dtype.str[1:]]}" Name="phase" format="appended" offset="0"/>
      </CellData>
    </Piece>
  </ImageData>
  <AppendedData encoding="raw">
_"""
    with open(folder / _NAME, "wb") as file:
        file.write(head.encode("ascii"))
        file.write(np.uint64(source.size * dtype.itemsize).astype("<u8").tobytes())
        for labels in slabs:
            file.write(labels.tobytes())
        file.write(b"\n  </AppendedData>\n</VTKFile>\n")
    return Written((_NAME,))


def _texts(name: str, texts: tuple[str, ...] | list[str]) -> str:
    """Texts as the numbers of their bytes in UTF-8, each ended by a 0, as VTK has them in XML."""
    codes = " ".join(" ".join(map(str, [*text.encode("utf-8"), 0])) for text in texts)
    return f'<Array type="String" Name="{name}" NumberOfTuples="{len(texts)}" format="ascii">{codes}</Array>'


VTK = Export(_write)
