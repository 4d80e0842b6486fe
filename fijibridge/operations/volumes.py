"""Volumes from Python: segment a tomography with a classifier that is in memory or saved."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fijibridge.segmentation.segmenter import PixelSegmenter


def segment_volume(
    classifier: PixelSegmenter | str | Path, volume: str | Path, out: str | Path, **options: Any
) -> dict[str, Any]:
    """Segment a volume slice by slice, never holding more than some slices, so that one larger than memory works.

    What is done is kept beside the result in ``NAME.resume`` until all is done; ``resume=True`` goes on with it.

    Parameters
    ----------
    classifier : PixelSegmenter or path
        Trained; or the folder of a saved one, or a ``.model`` of TWS.
    volume : path
        A stack, a folder of slices, or a volume of any format that :func:`fijibridge.open_volume` reads.
    out : path
        ``NAME.zarr`` (OME-Zarr) or ``NAME.tif``, with the report in ``NAME_report``; or a folder for all.
    **options
        Of ``fijibridge apply``, such as ``workers=2``, ``dask="tcp://host:8786"``, ``slices="1-100"``, ``resume=True``,
        ``overwrite=True``, ``smooth_z=True``, ``ome_zarr="0.4"``.

    Returns
    -------
    dict
        The report; ``failed`` names slices that could not be used, which stay unlabelled.

    Raises
    ------
    BridgeError
        For every input that cannot serve.
    """
    from fijibridge.operations.apply import apply

    if isinstance(classifier, (str, Path)):
        return apply(Path(classifier), [Path(volume)], out=Path(out), **options)
    with tempfile.TemporaryDirectory() as folder:  # worker processes read it from there
        return apply(classifier.save(Path(folder) / "classifier"), [Path(volume)], out=Path(out), **options)
