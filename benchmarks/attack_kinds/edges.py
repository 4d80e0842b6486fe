"""Edges of images: sizes of one pixel, every type, axes in every order, pages, palettes, values far from 0, folders."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import imagecodecs  # noqa: F401  (loaded before the attack's memory is counted)
import numpy as np
import tifffile
from attack_kinds.attack import Attack, command_line
from PIL import Image as pillow

from fijibridge.core.errors import BridgeError
from fijibridge.images import folders, pictures, tiff  # noqa: F401  (loaded before the attack, too)
from fijibridge.images.databar import look_for_databar
from fijibridge.images.image import (
    count_frames,
    count_slices,
    image_from_array,
    read_image,
    read_slices,
    read_stored,
    reading_notes,
)
from fijibridge.images.pixel_size import PixelSize
from fijibridge.images.writing import write_labels, write_probabilities
from fijibridge.phases.reading import read_phases

TITLE = "edges"
GOAL = 50

_SIZES = (
    (1, 1),
    (1, 9),
    (9, 1),
    (1, 3),
    (3, 1),
    (1, 4),
    (4, 1),
    (2, 2),
    (3, 3),
    (4, 4),
    (3, 9),
    (9, 3),
    (4, 9),
    (9, 4),
)
_NAMES = ("pore", "CAM")


def attacks(folder: Path) -> Iterator[Attack]:
    """All of them; files are made in the folder."""
    yield from _sizes(folder)
    yield from _types(folder)
    yield from _axes(folder)
    yield from _pages(folder)
    yield from _colours(folder)
    yield from _arrays()
    yield from _volumes(folder)
    yield from _whole(folder)


def _values(shape: tuple[int, ...], dtype: str = "uint8", seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)


def _equal(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape, f"{found.shape}, not {expected.shape}"
    assert np.array_equal(found, expected), "other values"


def _refuses(ask: Callable[[], object], *words: str) -> Callable[[], None]:
    def call() -> None:
        try:
            found = ask()
        except BridgeError as error:
            text = str(error)
            assert not words or any(word in text for word in words), f"{text!r} says none of {words}"
        else:
            raise AssertionError(f"taken: {found!r}"[:200])

    return call


# --- kinds -----------------------------------------------------------------------------------------------------------


def _sizes(folder: Path) -> Iterator[Attack]:
    for height, width in _SIZES:
        data = _values((height, width), "uint16")
        path = folder / f"{height}x{width}"
        for suffix, options in ((".tif", {"photometric": "minisblack"}), (".ij.tif", {"imagej": True})):
            tifffile.imwrite(f"{path}{suffix}", data, metadata={"axes": "YX"}, **options)

        def read(path: Path = path, data: np.ndarray = data) -> None:
            for suffix in (".tif", ".ij.tif"):
                _equal(read_image(f"{path}{suffix}").data, data)
                assert count_slices(f"{path}{suffix}") == 1

        yield Attack(f"{height} x {width} px read", read)
        for count in (1, 3):

            def written(path: Path = path, size: tuple[int, int] = (height, width), count: int = count) -> None:
                stack = np.arange(count * size[0] * size[1], dtype=np.uint8).reshape(count, *size) % 3
                pixel = PixelSize(2, 3, "nm", 5 if count > 1 else None)
                file = write_labels(
                    f"{path}_labels.tif", iter(stack), class_names=_NAMES, count=count, pixel_size=pixel
                )
                _equal(np.array([image.data for image in read_slices(file)]), stack)
                assert read_image(file).pixel_size == pixel, read_image(file).pixel_size
                shares = np.random.default_rng(0).random((count, *size, 2)).astype(np.float32)
                file = write_probabilities(f"{path}_p.tif", iter(shares), class_names=_NAMES, count=count)
                with tifffile.TiffFile(file) as tif:
                    assert tif.is_imagej
                    assert "shape does not match" not in str(tif.series[0])
                    axes = "CYX" if count == 1 else "ZCYX"
                    found = tif.series[0].asarray().reshape([count, 2, *size] if count > 1 else [2, *size])
                    _equal(found, np.moveaxis(shares, -1, 1).reshape(found.shape))
                    assert tif.series[0].axes[-2:] == axes[-2:]

            yield Attack(f"{count} label image(s) of {height} x {width} px written", written)


def _types(folder: Path) -> Iterator[Attack]:
    for dtype in ("bool", "int8", "int16", "int32", "int64", "uint32", "uint64", "float16", "float64"):
        data = _values((5, 7), dtype)
        if data.dtype.kind in "if" and data.dtype.itemsize > 1:
            data = data - data.dtype.type(50)
        path = folder / f"{dtype}.tif"
        tifffile.imwrite(path, data, photometric="minisblack")
        expected = data * np.uint8(255) if dtype == "bool" else data.astype(np.float32)
        yield Attack(f"{dtype}", lambda path=path, expected=expected: _equal(read_image(path).data, expected))  # type: ignore[misc]
    micrograph = np.random.default_rng(0).normal(0, 30, (20, 20)) + 128
    for name, data, told in (
        ("float64 at 1e12", micrograph + 1e12, True),
        ("float64 at -1e9", micrograph - 1e9, True),
        ("float64 at 0", micrograph, False),
        ("float64 of 1e30", micrograph * 1e30, False),
        ("uint32 beyond 2^24", np.full((4, 4), 2**24 + 1, np.uint32), True),
        ("uint32 below", np.full((4, 4), 2**24 - 1, np.uint32), False),
        ("int64 of 2^62", np.full((4, 4), 2**62 + 1, np.int64), True),
    ):

        def rounding(data: np.ndarray = data, told: bool = told) -> None:
            notes = image_from_array(data).notes
            assert bool(notes) == told, notes

        yield Attack(f"{name}: {'told' if told else 'not a word'}", rounding)
    for bad in (np.nan, np.inf, -np.inf, 1e300):
        data = np.ones((4, 4))
        data[1, 1] = bad
        yield Attack(f"a value of {bad}", _refuses(lambda data=data: image_from_array(data), "1 value(s)"))  # type: ignore[misc]


def _axes(folder: Path) -> Iterator[Attack]:
    for axes, shape, frames in (
        ("TYX", (3, 5, 7), 3), ("ZYX", (3, 5, 7), 1), ("TZYX", (3, 2, 5, 7), 3), ("TZYX", (2, 3, 5, 1), 2),
        ("TYX", (3, 1, 7), 3), ("ZYXS", (3, 5, 7, 3), 1), ("TYXS", (3, 5, 7, 3), 3),
    ):  # fmt: skip
        data = _values(shape)
        path = folder / f"{axes}{shape}.tif"
        full = dict(zip(axes, shape, strict=True))
        six = tuple(full.get(axis, 1) for axis in "TZCYXS")
        tifffile.imwrite(path, data.reshape(six), imagej=True, metadata={"axes": "TZCYXS"})

        def read(path: Path = path, data: np.ndarray = data, frames: int = frames, colour: bool = "S" in axes) -> None:
            planes = data.reshape(-1, *data.shape[-3 if colour else -2 :])
            _equal(np.array([image.data for image in read_slices(path)]), planes)
            assert count_frames(path) == frames, f"{count_frames(path)} frames"

        yield Attack(f"ImageJ's {axes} of {shape}", read)
        if frames > 1 and "S" not in axes:
            yield Attack(f"{axes} of {shape} as a volume", _refuses(lambda path=path: read_phases(path), "time"))  # type: ignore[misc]
    data = _values((2, 3, 5, 7), "uint16")
    tifffile.imwrite(folder / "order.ome.tif", data, metadata={"axes": "ZTYX"})

    def ordered() -> None:
        assert count_frames(folder / "order.ome.tif") == 3
        planes = np.moveaxis(data, 1, 0).reshape(-1, 5, 7)
        _equal(np.array([image.data for image in read_slices(folder / "order.ome.tif")]), planes)

    yield Attack("OME-TIFF with time inside of depth comes frame by frame", ordered)
    for axes, shape in (("CYX", (2, 5, 7)), ("ZCYX", (3, 2, 5, 7)), ("TCYX", (3, 2, 5, 7))):
        path = folder / f"channels{axes}.tif"
        tifffile.imwrite(path, _values(shape), imagej=True, metadata={"axes": axes})
        yield Attack(f"channels, {axes}", _refuses(lambda path=path: read_image(path), "2 channels"))  # type: ignore[misc]


def _pages(folder: Path) -> Iterator[Attack]:
    stack = _values((4, 30, 40), "uint16")
    for name, options in (
        ("page by page", {}), ("zlib", {"compression": "zlib"}), ("lzw", {"compression": "lzw"}),
        ("no metadata", {"metadata": None}), ("not contiguous", {"contiguous": False}), ("BigTIFF", {}),
    ):  # fmt: skip
        path = folder / f"pages {name}.tif"
        with tifffile.TiffWriter(path, bigtiff=name == "BigTIFF") as writer:
            for plane in stack:
                writer.write(plane, **options)

        def all_of_them(path: Path = path) -> None:
            _equal(np.array([image.data for image in read_slices(path)]), stack)
            assert not reading_notes(path), reading_notes(path)

        yield Attack(f"pages written {name} are all pages", all_of_them)
    with tifffile.TiffWriter(folder / "mixed.tif") as writer:
        for number, plane in enumerate(stack):
            writer.write(plane, compression="zlib" if number % 2 else None, metadata=None)
    yield Attack("pages that are compressed in turns", lambda: _equal(
        np.array([image.data for image in read_slices(folder / "mixed.tif")]), stack))  # fmt: skip
    rng = np.random.default_rng(0)
    coarse = np.kron(rng.integers(20, 230, (12, 16)), np.ones((20, 20)))
    raw = (coarse * 257 + rng.normal(0, 900, coarse.shape)).clip(0, 65535).astype(np.uint16)
    eight = (raw >> 8).astype(np.uint8)
    drawn = np.stack([eight] * 3, axis=2)
    drawn[-20:-10, 10:80] = 255
    with_bar = np.vstack([eight, np.zeros((30, eight.shape[1]), np.uint8)])
    for name, preview, data in (
        ("an RGB preview of 16 bits", drawn, raw),
        ("an RGB preview of 8 bits", drawn, eight),
        ("an 8-bit preview of 16 bits", eight, raw),
        ("an RGB thumbnail", drawn[::4, ::4], raw),
        ("a grey thumbnail", eight[::4, ::4], eight),
        ("a preview with a data bar", with_bar, raw),
        ("a preview of float", drawn, raw.astype(np.float32)),
    ):
        path = folder / f"{name}.tif"
        with tifffile.TiffWriter(path) as writer:
            writer.write(preview, photometric="rgb" if preview.ndim == 3 else "minisblack", metadata=None)
            writer.write(data, photometric="minisblack", metadata=None)

        def the_raw_page(path: Path = path, preview: np.ndarray = preview, data: np.ndarray = data) -> None:
            image = read_image(path, databar=0)
            _equal(image.data, data)
            assert any("preview" in note and "--page" in note for note in image.notes), image.notes
            _equal(read_image(path, databar=0, page=0).data, preview)
            _equal(read_image(path, databar=0, page=1).data, data)
            _refuses(lambda: read_image(path, page=2), "2 page(s)")()

        yield Attack(f"{name} before the raw page", the_raw_page)
    mask = (coarse > 120).astype(np.uint8)
    other = rng.integers(0, 65535, raw.shape).astype(np.uint16)
    for name, data in (("a mask", mask), ("another picture", other), ("a smaller page", raw[::2, ::2])):
        path = folder / f"with {name}.tif"
        with tifffile.TiffWriter(path) as writer:
            writer.write(drawn if name != "a smaller page" else raw, metadata=None)
            writer.write(data, metadata=None, photometric="minisblack")

        def the_first_page(path: Path = path, first: np.ndarray = drawn if name != "a smaller page" else raw) -> None:
            image = read_image(path, databar=0)
            _equal(image.data, first)
            assert image.notes, "a page was left out without a word"

        yield Attack(f"{name} behind the image stays behind it", the_first_page)


def _colours(folder: Path) -> Iterator[Attack]:
    data = _values((6, 8))
    for dtype, top in (("uint8", 255), ("uint16", 65535)):
        path = folder / f"white{dtype}.tif"
        tifffile.imwrite(path, data.astype(dtype), photometric="miniswhite")
        expected = (top - data.astype(int)).astype(dtype)
        yield Attack(
            f"white is 0, {dtype}", lambda path=path, expected=expected: _equal(read_image(path).data, expected)
        )  # type: ignore[misc]
    signed = (data.astype(np.int32) - 50 + 32768).astype(np.uint16)
    path = folder / "signed.tif"
    tifffile.imwrite(path, signed, description="ImageJ=1.54p\ncf=0\nc0=-32768.0\nc1=1.0\n", metadata=None)
    yield Attack("ImageJ's 32768 is taken off", lambda: _equal(read_image(path).data, data.astype(np.float32) - 50))
    other = folder / "calibrated.tif"
    tifffile.imwrite(other, signed, description="ImageJ=1.54p\ncf=0\nc0=-5.0\nc1=2.0\n", metadata=None)
    yield Attack("a density calibration is not applied", lambda: _equal(read_image(other).data, signed))
    for shape in ((6, 8, 3), (6, 8, 4), (1, 1, 3), (3, 3, 3), (4, 4, 4)):
        rgb = _values(shape)
        for planar in ("contig", "separate"):
            path = folder / f"rgb{shape}{planar}.tif"
            stored = rgb if planar == "contig" else np.moveaxis(rgb, -1, 0)
            extra = {"extrasamples": ["unassalpha"]} if shape[2] == 4 else {}
            tifffile.imwrite(path, stored, photometric="rgb", planarconfig=planar, **extra)
            expected = rgb[..., :3]
            yield Attack(
                f"{planar} RGB of {shape}", lambda path=path, expected=expected: _equal(read_image(path).data, expected)
            )  # type: ignore[misc]
    for form in ("PNG", "BMP", "GIF", "PPM"):
        buffer = io.BytesIO()
        pillow.fromarray(data).save(buffer, form)
        path = folder / f"named.{form.lower()}.jpg"
        path.write_bytes(buffer.getvalue())
        yield Attack(f"{form} under another name", lambda path=path: _equal(read_image(path).data, data))  # type: ignore[misc]
    path = folder / "labels.png"
    picture = pillow.fromarray(data % 4).convert("P")
    picture.putdata((data % 4).ravel().tolist())
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    picture.save(path)
    yield Attack("a palette's indices are the labels", lambda: _equal(read_stored(path), data % 4))


def _arrays() -> Iterator[Attack]:
    for shape in ((0, 5), (5, 0), (0,), (7,), (4, 5, 2), (2, 3, 4, 3)):
        yield Attack(f"an array of {shape}", _refuses(lambda shape=shape: image_from_array(np.zeros(shape))))  # type: ignore[misc]
    for shape in ((1, 1), (64, 64), (64, 3000), (3000, 64)):
        for value in (0.0, 1e-300, 65535.0):

            def none(shape: tuple[int, int] = shape, value: float = value) -> None:
                assert look_for_databar(np.full(shape, value)).rows == 0

            yield Attack(f"no data bar in {shape} of {value}", none)
    image = np.ones((40, 50), np.uint8)
    for rows in (40, 41, 10**9):
        yield Attack(
            f"a data bar of {rows} of 40 rows", _refuses(lambda rows=rows: image_from_array(image, databar=rows))
        )  # type: ignore[misc]


def _volumes(folder: Path) -> Iterator[Attack]:
    labels = _values((5, 9, 11)) % 2
    for name, numbers, suffix in (
        ("from 0", range(5), "png"),
        ("by tens", range(10, 60, 10), "tif"),
        ("past 9", range(7, 12), "png"),
    ):
        place = folder / f"series {name}"
        place.mkdir()
        for number, plane in zip(numbers, labels, strict=True):
            file = place / f"slice_{number}_2nm.{suffix}"
            tifffile.imwrite(file, plane) if suffix == "tif" else pillow.fromarray(plane).save(file)

        def volume(place: Path = place) -> None:
            phases, _, _ = read_phases(place)
            _equal(np.asarray(phases.index).astype(int), labels)

        yield Attack(f"a folder of slices numbered {name}", volume)


def _whole(folder: Path) -> Iterator[Attack]:
    for height, width in ((1, 256), (256, 1)):
        rng = np.random.default_rng(0)
        labels = np.repeat([1, 2], 128).reshape(height, width).astype(np.uint8)
        image = np.where(labels == 1, 60, 180) + rng.integers(-9, 9, labels.shape)
        tifffile.imwrite(folder / f"thin{width}.tif", image.astype(np.uint8), photometric="minisblack")
        tifffile.imwrite(folder / f"thin{width}_labels.tif", labels, photometric="minisblack")

        def segmented(width: int = width, labels: np.ndarray = labels) -> None:
            logging.disable(logging.CRITICAL)
            place = folder / f"thin{width}"
            command_line(
                "segment", folder / f"thin{width}.tif", "--labels", folder / f"thin{width}_labels.tif", "--out", place,
                "--features", "tws", "--trees", 5, code=0,
            )  # fmt: skip
            found = read_image(place / "labels.tif").data
            assert found.shape == labels.shape, f"{found.shape}"
            assert (found == labels).mean() > 0.9, f"{(found == labels).mean():.0%} right"

        yield Attack(f"{height} x {width} px segmented", segmented, seconds=120, memory=None)
