"""Two doors, one answer: an image read from its file, as ImageJ saves it again, and out of an open ImageJ image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as pillow

from fijibridge import jvm
from fijibridge.images.image import count_frames, read_image, read_slices, read_stored

pytestmark = pytest.mark.usefixtures("java")
SLOW = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def values(draw, dtype, shape):
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(0, 1000, shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)


def palettes(draw):
    """(256, 3): Fire's kind of map, greys in any order, or colours."""
    kind = draw(st.sampled_from(["map", "greys", "inverse", "colours", "labels"]))
    steps = np.arange(256)
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    if kind == "map":
        return np.stack([np.minimum(2 * steps, 255), steps // 2, steps], axis=1).astype(np.uint8)
    if kind == "labels":
        few = np.zeros((256, 3), np.uint8)
        few[1:4] = [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
        return few
    if kind == "colours":
        return rng.integers(0, 256, (256, 3)).astype(np.uint8)
    greys = 255 - steps if kind == "inverse" else rng.permutation(256)
    return np.repeat(greys[:, None], 3, axis=1).astype(np.uint8)


@st.composite
def files(draw):
    """What a microscope or a program writes: (how, writes it to a path)."""
    kind = draw(st.sampled_from(
        ["grey", "white is 0", "signed", "integers", "float", "RGB", "16-bit RGB", "palette", "PNG", "PNG palette",
         "bits", "stack", "frames", "calibrated", "pages", "big-endian"]
    ))  # fmt: skip
    shape = (draw(st.integers(1, 12)), draw(st.integers(1, 12)))
    grey = draw(st.sampled_from(["uint8", "uint16"]))
    data = values(draw, grey, shape)
    options: dict = {"photometric": "minisblack", "metadata": None}
    if kind == "white is 0":
        options["photometric"] = "miniswhite"
    elif kind == "signed":
        data = values(draw, "int16", shape)
    elif kind == "integers":
        data = values(draw, draw(st.sampled_from(["int32", "uint32"])), shape) // 2**9
    elif kind == "float":
        data = values(draw, "float32", shape)
    elif kind in ("RGB", "16-bit RGB"):
        data = values(draw, "uint8" if kind == "RGB" else "uint16", (*shape, 3))
        options["photometric"] = "rgb"
    elif kind in ("palette", "PNG palette"):
        data = values(draw, "uint8", shape)
        colours = palettes(draw)
        if kind == "palette":
            options = {"photometric": "palette", "colormap": colours.T.astype(np.uint16) * 257, "metadata": None}
        else:

            def png(path: Path) -> None:
                picture = pillow.new("P", shape[::-1])
                picture.putdata(data.ravel().tolist())
                picture.putpalette(colours.ravel().tolist())
                picture.save(path)

            return kind, ".png", png
    elif kind == "PNG":
        return kind, ".png", lambda path: pillow.fromarray(data).save(path)
    elif kind == "bits":
        data = data > np.iinfo(data.dtype).max // 2
    elif kind in ("stack", "frames"):
        count, axes = draw(st.integers(2, 5)), "Z" if kind == "stack" else "T"
        size = (*(count if axis == axes else 1 for axis in "TZC"), *shape, 1)
        stack = values(draw, grey, size)
        about = {"axes": "TZCYXS", "unit": "nm", **({"spacing": 7.5} if kind == "stack" else {})}
        return (
            kind,
            ".tif",
            lambda path: tifffile.imwrite(path, stack, imagej=True, metadata=about, resolution=(0.5, 0.25)),
        )
    elif kind == "calibrated":
        data = values(draw, "uint8", shape)
        options["description"] = "ImageJ=1.54p\nunit=nm\ncf=0\nc0=10.0\nc1=2.5\nvunit=OD\n"
        options |= {"resolution": (0.05, 0.05), "resolutionunit": 1}
    elif kind == "pages":
        stack = values(draw, grey, (3, *shape))

        def pages(path: Path) -> None:
            with tifffile.TiffWriter(path) as writer:
                for plane in stack:
                    writer.write(plane, contiguous=False, **options)

        return kind, ".tif", pages
    elif kind == "big-endian":
        options["byteorder"] = ">"
    if kind == "grey" and draw(st.booleans()):
        options |= {"resolution": (192, 192), "resolutionunit": 2}  # a screen's
    return kind, ".tif", lambda path: tifffile.imwrite(path, data, **options)


@SLOW
@given(file=files())
def test_file_saved_again_and_open_image_are_equal(java, tmp_path, file):
    kind, suffix, write = file
    IJ = java.jclass("ij.IJ")
    path, again = tmp_path / f"a{suffix}", tmp_path / "again.tif"
    write(path)
    image = IJ.openImage(str(path))
    assert image is not None, kind
    IJ.saveAsTiff(image, str(again))
    from_file, saved = ([each.data for each in read_slices(where, databar=0)] for where in (path, again))
    np.testing.assert_array_equal(saved, from_file, err_msg=kind)
    assert [each.dtype for each in saved] == [each.dtype for each in from_file]
    assert count_frames(path) == count_frames(again)
    assert read_image(path, databar=0).pixel_size == read_image(again, databar=0).pixel_size
    opened, size = jvm.from_imageplus(image)
    np.testing.assert_array_equal(opened, from_file if len(from_file) > 1 else from_file[0], err_msg=kind)
    assert opened.dtype == from_file[0].dtype
    assert size == read_image(path, databar=0).pixel_size
    if kind != "bits":  # as labels: what is stored; of 1 bit ImageJ makes 0 and 255
        np.testing.assert_array_equal(read_stored(path), read_stored(again), err_msg=kind)
    image.close()


@pytest.mark.parametrize("kind", ["colour map", "contrast", "inverted"])
def test_what_only_shows_the_image_changes_no_value(java, tmp_path, kind):
    """But an inverted look-up table, which is how ImageJ keeps an image in which white is 0."""
    data = np.random.default_rng(0).integers(0, 255, (9, 11), dtype=np.uint8)
    image, IJ = jvm.to_imageplus(data), java.jclass("ij.IJ")
    if kind == "colour map":
        IJ.run(image, "Fire", "")
    elif kind == "contrast":
        image.setDisplayRange(40, 90)
    else:
        IJ.run(image, "Invert LUT", "")
    IJ.saveAsTiff(image, str(tmp_path / "a.tif"))
    expected = 255 - data if kind == "inverted" else data
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").data, expected)
    np.testing.assert_array_equal(jvm.from_imageplus(image)[0], expected)
