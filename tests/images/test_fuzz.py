"""Images with any bytes changed: an image or a refusal in words, and never anything else.

FIJIBRIDGE_FUZZ_SECONDS says how long: with 3600 it takes an hour.
"""

from __future__ import annotations

import io
import logging
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
import volume_files
from PIL import Image as pillow

from fijibridge.core.errors import BridgeError
from fijibridge.images.image import read_image, read_stored

SECONDS = float(os.environ.get("FIJIBRIDGE_FUZZ_SECONDS", "60" if os.environ.get("CI") else "10"))
DATA = np.random.default_rng(0).integers(0, 255, (24, 32), np.uint8)


def tiff(**options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, DATA, **options)
    return buffer.getvalue()


def picture(form):
    buffer = io.BytesIO()
    pillow.fromarray(DATA).save(buffer, form)
    return buffer.getvalue()


def container(write):
    with tempfile.TemporaryDirectory() as folder:
        return write(Path(folder) / "v", np.stack([DATA, DATA])).read_bytes()


WHOLE = {
    "plain": tiff(),
    "ImageJ": tiff(imagej=True, resolution=(0.5, 0.5), metadata={"unit": "nm", "Info": "1 = a"}),
    "OME": tiff(ome=True, metadata={"axes": "YX", "PhysicalSizeX": 2.0}),
    "zlib": tiff(compression="zlib", tile=(16, 16)),
    "lzw": tiff(compression="lzw"),
    "BigTIFF": tiff(bigtiff=True),
    "palette": tiff(photometric="palette", colormap=np.zeros((3, 256), np.uint16)),
    "FEI": tiff(extratags=[(34682, 1, 40, b"[Scan]\r\nPixelWidth=2e-8\r\nPixelHeight=2e-8"[:40], True)], metadata=None),
    **{form: picture(form) for form in ("PNG", "JPEG", "GIF", "BMP", "PPM", "WEBP")},
    "HDF5": container(volume_files.hdf5),
    "MRC": container(volume_files.mrc),
    "DM3": container(volume_files.digital_micrograph),
}


@pytest.mark.parametrize("form", WHOLE)
def test_changed_bytes(tmp_path, form):
    logging.disable(logging.CRITICAL)  # tifffile logs each flaw
    rng, end, path = np.random.default_rng(len(form)), time.monotonic() + SECONDS / len(WHOLE), tmp_path / "a.tif"
    tried = read = longest = 0
    try:
        while time.monotonic() < end or tried < 20:
            content = bytearray(WHOLE[form])
            for _ in range(rng.integers(1, 6)):
                place = rng.integers(0, min(len(content), 300) if rng.random() < 0.7 else len(content))
                content[place] = rng.choice([0, 1, 127, 128, 255, rng.integers(0, 256)])
            if rng.random() < 0.2:
                del content[rng.integers(1, len(content)) :]
            path.write_bytes(content)
            for ask in (read_image, read_stored):
                try:
                    ask(path)
                    read += 1
                except BridgeError as error:
                    longest = max(longest, len(str(error)))
            tried += 1
    finally:
        logging.disable(logging.NOTSET)
    assert longest < 2000
    assert 0 < read < 2 * tried  # neither is all refused, nor is any change without effect
