"""Hostile and broken images: other formats under an image's name, bombs, forged tags, damaged bytes, pipes, folders."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import imagecodecs  # noqa: F401  (loaded before the attack's memory is counted)
import numpy as np
import tifffile
from attack_kinds.attack import Attack, command_line
from PIL import Image as pillow

from fijibridge.core.errors import BridgeError
from fijibridge.images import folders, pictures, tiff  # noqa: F401  (loaded before the attack, too)
from fijibridge.images.image import count_slices, read_image, read_slices, read_stored
from fijibridge.images.tiff import read_hyperstack
from fijibridge.labels.reading import read_labels
from fijibridge.phases.reading import read_phases

TITLE = "images"
GOAL = 37

_BOMB_XML = (
    '<?xml version="1.0"?><!DOCTYPE OME [<!ENTITY a0 "aaaaaaaaaa">'
    + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    + ']><OME><Pixels PhysicalSizeX="&a9;" SizeX="1"/></OME>'
)


def attacks(folder: Path) -> Iterator[Attack]:
    """All of them; files are made in the folder."""
    yield from _other_formats(folder)
    yield from _bombs(folder)
    yield from _forged(folder)
    yield from _damaged(folder)
    yield from _no_files(folder)
    yield from _doors(folder)


# --- what is asked ---------------------------------------------------------------------------------------------------


def _refused(path: Path, *words: str, asks: tuple[Callable[[Path], object], ...] = ()) -> Callable[[], None]:
    """Every way in says no, and says why with these words."""

    def call() -> None:
        for ask in asks or (read_image, count_slices, read_stored, lambda file: list(read_slices(file))):
            try:
                found = ask(path)
            except BridgeError as error:
                text = str(error)
                assert not words or any(word in text for word in words), f"{text!r} says none of {words}"
                assert len(text) < 2000, f"a message of {len(text)} characters"
            else:
                raise AssertionError(f"{path.name} was taken: {found!r}"[:200])

    return call


def _pixels_refused(path: Path, *words: str) -> Callable[[], None]:
    return _refused(path, *words, asks=(read_image, read_stored, lambda file: list(read_slices(file))))


def _right(path: Path, expected: np.ndarray, pixel_size: object = "any") -> Callable[[], None]:
    """The pixels are read, and a forged pixel size is not."""

    def call() -> None:
        image = read_image(path, databar=0)
        assert np.array_equal(image.data, expected), "other pixels"
        assert pixel_size == "any" or image.pixel_size == pixel_size, f"pixel size {image.pixel_size}"

    return call


def _right_or_refused(path: Path) -> Callable[[], None]:
    """The pixels that are there, or a refusal."""

    def call() -> None:
        with contextlib.suppress(BridgeError):
            image = read_image(path, databar=0)
            assert np.array_equal(image.data, np.arange(64, dtype=np.uint8).reshape(8, 8)), "pixels that are not there"
        read_image(path, databar=0)  # without them: the refusal in words

    return call


def _bytes(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def _picture(seed: int = 0, shape: tuple[int, ...] = (60, 80)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8)


def _encoded(form: str, data: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    pillow.fromarray(data).save(buffer, form)
    return buffer.getvalue()


def _png(width: int, height: int, data: bytes, *more: tuple[bytes, bytes]) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), *more, (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    packed = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def _ifd(tags: dict[int, tuple[int, int, int]], at: int, following: int) -> bytes:
    entries = b"".join(struct.pack("<HHII", code, *value) for code, value in sorted(tags.items()))
    return struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)


def _tiff(data: bytes = bytes(range(64)), following: int = 0, **tags: int | tuple[int, int, int]) -> bytes:
    """A TIFF of one page: 8 x 8 px, 8 bits, data at its end; tags as t256=..., a number or (type, count, value)."""
    start = 8 + 2 + 12 * 9 + 4
    made: dict[int, int | tuple[int, int, int]] = {
        256: 8, 257: 8, 258: 8, 259: 1, 262: 1, 273: start, 277: 1, 278: 8, 279: len(data),
    }  # fmt: skip
    made |= {int(name[1:]): value for name, value in tags.items()}
    start_now = 8 + 2 + 12 * len(made) + 4
    if made[273] == start:
        made[273] = start_now
    packed = {code: value if isinstance(value, tuple) else (4, 1, value) for code, value in made.items()}
    return b"II*\0" + struct.pack("<I", 8) + _ifd(packed, 8, following) + data


# --- kinds -----------------------------------------------------------------------------------------------------------


def _other_formats(folder: Path) -> Iterator[Attack]:
    mark = folder / "ran"
    ps = f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n({mark}) (w) file closefile showpage\n".encode()
    contents = {
        "postscript.png": ps,
        "loop.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n{ } loop\n",
        "eps.tif": b"\xc5\xd0\xd3\xc6" + struct.pack("<II", 30, len(ps)) + b"\0" * 18 + ps,
        "pdf.tif": b"%PDF-1.7\n1 0 obj\n",
        "svg.png": b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
        "array.npy": b"\x93NUMPY\x01\0" + b"\0" * 120,
        "pickle.npy": b"\x80\x04cos\nsystem\n(S'true'\ntR.",
        "volume.h5": b"\x89HDF\r\n\x1a\n" + b"\0" * 100,
        "scan.dm3": b"\0\0\0\x03" + b"\0" * 100,
        "scan.dm4": b"\0\0\0\x04" + b"\0" * 100,
        "map.mrc": b"\0" * 208 + b"MAP DD\0\0" + b"\0" * 900,
        "scan.czi": b"ZISRAWFILE" + b"\0" * 100,
        "packed.tif": b"\x1f\x8b\x08" + b"\0" * 50,
        "packed.png": b"PK\x03\x04" + b"\0" * 50,
        "wmf.png": b"\xd7\xcd\xc6\x9a" + b"\0" * 90,
        "fits.png": b"SIMPLE  =                    T" + b" " * 200,
        "psd.tif": b"8BPS\0\x01" + b"\0" * 60,
        "spider.png": struct.pack(">27f", *([1.0] * 27)),
        "ico.png": b"\0\0\x01\0\x01\0" + b"\xff" * 60,
        "text.bmp": b"hello",
    }
    words = ("supported", "no format", "cannot be read", "no pixels")
    for name, content in contents.items():
        yield Attack(f"{name}: another format", _refused(_bytes(folder, name, content), *words))

    def nothing_ran() -> None:
        assert not mark.exists(), "an interpreter ran"

    yield Attack("no interpreter ran", nothing_ran)


def _bombs(folder: Path) -> Iterator[Attack]:
    sizes = ("would take", "memory")
    for side in (30_000, 65_535, 1_000_000_000, 2**31 - 1):
        path = _bytes(folder, f"png_{side}.png", _png(side, side, b"\0" * 100))
        yield Attack(f"PNG of {side} x {side}", _refused(path, *sizes, "cannot be read"))
        path = _bytes(
            folder, f"tiff_{side}.tif", _tiff(zlib.compress(b"\0" * 999), t256=side, t257=side, t259=8, t278=side)
        )
        yield Attack(f"TIFF of {side} x {side}", _pixels_refused(path, *sizes, "cannot be read", "lacks"))
    jpeg = bytearray(_encoded("JPEG", _picture()))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = struct.pack(">HH", 65500, 65500)
    yield Attack("JPEG of 65500 x 65500", _pixels_refused(_bytes(folder, "big.jpg", bytes(jpeg)), *sizes))
    gif = bytearray(_encoded("GIF", _picture()))
    gif[6:10] = struct.pack("<HH", 65535, 65535)
    yield Attack("GIF of 65535 x 65535", _pixels_refused(_bytes(folder, "big.gif", bytes(gif)), *sizes))
    bmp = bytearray(_encoded("BMP", _picture()))
    bmp[18:26] = struct.pack("<ii", 1_000_000, -1_000_000)
    yield Attack("BMP of 1e6 x -1e6", _pixels_refused(_bytes(folder, "big.bmp", bytes(bmp)), *sizes, "cannot be read"))
    path = _bytes(folder, "big.pgm", b"P5 400000 400000 255\n" + b"\0" * 99)
    yield Attack("PGM of 400000 x 400000", _pixels_refused(path, *sizes, "cannot be read"))
    bomb = _png(8, 8, b"\0" * 72, (b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * 50_000_000)))

    packed = _bytes(folder, "text_bomb.png", bomb)

    def text_bomb() -> None:
        with contextlib.suppress(BridgeError):  # Pillow's own limit
            assert not read_image(packed).data.any()

    yield Attack("50 MB of text in a PNG", text_bomb)
    shared = _shared_strip(folder / "shared.tif", 40_000)
    yield Attack("40,000 pages that share a strip", _refused(shared, "would take", asks=(read_phases,)), seconds=20)


def _shared_strip(path: Path, pages: int) -> Path:
    """So many pages of 256 x 256 px, each with the same data."""
    tags = {256: 256, 257: 256, 258: 8, 259: 8, 262: 1, 273: 8, 277: 1, 278: 256, 279: 0}
    data = zlib.compress(b"\0" * 65536)
    tags[279] = len(data)
    size = 2 + 12 * len(tags) + 4
    start = 8 + len(data) + len(data) % 2
    packed = {code: (4, 1, value) for code, value in tags.items()}
    ifds = [_ifd(packed, 0, start + (number + 1) * size if number + 1 < pages else 0) for number in range(pages)]
    path.write_bytes(b"II*\0" + struct.pack("<I", start) + data.ljust(start - 8, b"\0") + b"".join(ifds))
    return path


def _forged(folder: Path) -> Iterator[Attack]:
    forged = {
        "no width": _tiff(t256=0),
        "no height": _tiff(t257=0),
        "60,000 samples": _tiff(t277=60000),
        "1,000 bits": _tiff(t258=1000),
        "no bits": _tiff(t258=0),
        "no rows a strip": _tiff(t278=0),
        "a strip beyond the end": _tiff(t273=10**9),
        "a strip that ends beyond the end": _tiff(t279=10**9),
        "a strip at 0": _tiff(t273=0),
        "a strip of 0 bytes": _tiff(t279=0),
        "4e9 strips": _tiff(t273=(4, 2**32 - 1, 8), t279=(4, 2**32 - 1, 8)),
        "unknown compression": _tiff(t259=65000),
        "LZW of nothing": _tiff(b"\xff" * 64, t259=5),
        "deflate of nothing": _tiff(b"\xff" * 64, t259=8),
        "JPEG of nothing": _tiff(b"\xff" * 64, t259=7),
        "JPEG 2000 of nothing": _tiff(b"\xff" * 64, t259=34712),
        "complex numbers": _tiff(b"\0" * 512, t258=64, t339=6),
        "tiles of 0 px": _tiff(t322=0, t323=0, t324=8, t325=64),
        "a page that leads to itself": _tiff(following=8),
        "a page beyond the end": _tiff(following=10**9),
        "a huge count of tags": b"II*\0" + struct.pack("<IH", 8, 65535) + b"\0" * 100,
        "BigTIFF beyond the end": b"II+\0" + struct.pack("<HHQ", 8, 0, 2**63 - 1),
    }
    for name, content in forged.items():
        path = _bytes(folder, f"{name.replace(' ', '_').replace(',', '')}.tif", content)
        yield Attack(f"TIFF with {name}", _right_or_refused(path))
    data = _picture()
    descriptions = {
        "entities that unpack to 10 GB": _BOMB_XML,
        "nested OME-XML": "<OME>" * 5000 + "PhysicalSizeX" + "</OME>" * 5000,
        "OME-XML with sizes of 1e308 and NaN": '<OME><Image><Pixels SizeX="80" SizeY="60" PhysicalSizeX="1e999" '
        'PhysicalSizeY="nan" PhysicalSizeXUnit="nm"/></Image></OME>',
        "ImageJ's description of a unit with lines": "ImageJ=1.54p\nunit=nm\\u000ashow=x\nspacing=nan\n",
        "a shape of 1e18": '{"shape": [1000000000, 1000000000]}',
        "nested JSON": '{"shape": ' + "[" * 5000 + "]" * 5000 + "}",
    }
    for name, text in descriptions.items():
        path = folder / f"description{len(name)}.tif"
        tifffile.imwrite(path, data, description=text, metadata=None, resolution=(1, 1))

        def described(path: Path = path) -> None:
            try:
                image = read_image(path, databar=0)
            except BridgeError:
                return
            assert np.array_equal(image.data, data), "other pixels"
            assert image.pixel_size is None, f"pixel size {image.pixel_size}"

        yield Attack(f"TIFF with {name}", described)
    path = folder / "promise.tif"
    text = "ImageJ=1.54p\nimages=1000000000\nslices=1000000000\n"
    tifffile.imwrite(path, data, description=text, metadata=None)
    yield Attack("ImageJ's description of 1e9 slices", _refused(path, "truncated", "cannot be read"))
    tags = {
        34683: _BOMB_XML,
        34682: "[Scan]\nPixelWidth=1e-999\nPixelHeight=nan\n",
        50431: "PixelSizeX=-1e999",
        34118: "\nAP_IMAGE_PIXEL_SIZE\nImage Pixel Size = 0 nm\n",
    }
    for tag, content in tags.items():
        path = folder / f"tag{tag}.tif"
        code = content.encode() + b"\0"
        tifffile.imwrite(path, data, extratags=[(tag, 1, len(code), code, True)], metadata=None)
        yield Attack(f"a vendor's tag {tag} of nonsense", _right(path, data, None))
    for resolution in ((0, 1), (2**32 - 1, 1), (1, 2**32 - 1)):
        path = folder / f"resolution{resolution[0]}_{resolution[1]}.tif"
        tifffile.imwrite(path, data, resolution=(resolution, resolution), resolutionunit=2, metadata=None)
        yield Attack(f"a resolution of {resolution[0]}/{resolution[1]}", _right(path, data))


def _damaged(folder: Path) -> Iterator[Attack]:
    data = _picture(1)
    buffers = {form: _encoded(form, data) for form in ("PNG", "JPEG", "GIF", "BMP", "PPM", "WEBP")}
    kinds: dict[str, dict[str, object]] = {
        "TIFF": {},
        "zlib": {"compression": "zlib"},
        "lzw": {"compression": "lzw"},
        "ImageJ": {"imagej": True},
        "OME": {"ome": True},
        "BigTIFF": {"bigtiff": True},
    }
    for name, options in kinds.items():
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, data, **options)
        buffers[name] = buffer.getvalue()

    for number, (form, whole) in enumerate(buffers.items()):

        def flipped(form: str = form, whole: bytes = whole, number: int = number) -> None:
            rng = np.random.default_rng(number)
            for turn in range(40):
                broken = bytearray(whole)
                for _ in range(rng.integers(1, 8)):
                    # half of them in the header, where they hurt
                    end = min(len(broken), 200) if rng.random() < 0.5 else len(broken)
                    broken[rng.integers(0, end)] = rng.integers(0, 256)
                path = _bytes(folder, f"flipped_{form}.{turn % 2}", bytes(broken))
                try:
                    found = read_image(path)
                except BridgeError as error:
                    found = error
                assert len(str(found)) < 2000 or found.data.size, "a long message, or no pixels"

        yield Attack(f"{form} with flipped bytes", flipped, seconds=20)

        def cut(form: str = form, whole: bytes = whole) -> None:
            for share in (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98):
                path = _bytes(folder, f"cut_{form}", whole[: int(len(whole) * share)])
                try:
                    found = read_image(path, databar=0).data
                except BridgeError:
                    continue
                # what a program writes behind the pixels may be missing
                assert form not in ("JPEG", "WEBP"), f"{share:.0%} of a file was taken"
                assert np.array_equal(found, data), f"{share:.0%} of a file gave other pixels"

        yield Attack(f"{form} cut off", cut, seconds=20)


def _no_files(folder: Path) -> Iterator[Attack]:
    pipe = folder / "pipe.tif"
    os.mkfifo(pipe)
    yield Attack("a pipe", _refused(pipe, "pipe"))
    yield Attack("a device", _refused(Path("/dev/zero"), "device"))
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(folder / "s.tif"))
    yield Attack("a socket", _refused(folder / "s.tif", "pipe or a device"))
    loop = folder / "loop.tif"
    loop.symlink_to(loop)
    yield Attack("a link to itself", _refused(loop, "no file"))
    yield Attack("a name of 5,000 letters", _refused(folder / ("a" * 5000), "no file"))
    yield Attack("a name with NUL", _refused(Path(f"{folder}/a\0.tif"), "no file"))
    yield Attack("an empty file", _refused(_bytes(folder, "empty.tif", b""), "empty"))
    (folder / "nothing").mkdir()
    yield Attack("an empty folder", _refused(folder / "nothing", "folder"))
    (folder / "store.zarr").mkdir()
    (folder / "store.zarr" / ".zarray").write_text("{}")
    yield Attack("a zarr store", _refused(folder / "store.zarr", "zarr"))
    data = _picture()
    for name, what in (("gap", (1, 2, 4)), ("mixed", (1, 2))):
        (folder / name).mkdir()
        for number in what:
            pillow.fromarray(data).save(folder / name / f"s_{number}.png")
    pillow.fromarray(data).save(folder / "mixed" / "overview.png")
    yield Attack("a series with a gap", _refused(folder / "gap", "3 is missing"))
    yield Attack("a series with another image", _refused(folder / "mixed", "overview.png"))
    (folder / "bad").mkdir()
    for number in range(3):
        pillow.fromarray(data).save(folder / "bad" / f"s_{number}.png")
    (folder / "bad" / "s_1.png").write_bytes(_png(30_000, 30_000, b"\0" * 99))
    yield Attack("a bomb among slices", _refused(folder / "bad", "would take", "cannot be read", asks=(read_phases,)))
    beside = folder / "beside.png"
    pillow.fromarray(data).save(beside)
    os.mkfifo(folder / "beside.txt")
    (folder / "beside.hdr").symlink_to("/dev/zero")
    yield Attack("a pipe and a device beside an image", _right(beside, data, None))
    exported = folder / "exported.tif"
    tifffile.imwrite(exported, data)
    for number, target in enumerate((pipe, Path("/dev/zero"), folder / "postscript.png", exported)):
        copy = folder / f"exported{number}.tif"
        copy.write_bytes(exported.read_bytes())
        copy.with_name(copy.name + ".original").write_text(str(target))
        yield Attack(f"an original that is {target.name}", _right(copy, data, None))


def _doors(folder: Path) -> Iterator[Attack]:
    """The other ways in: labels, phases, coarse volumes, the command line."""
    hostile = [folder / name for name in ("postscript.png", "png_1000000000.png", "tiff_1000000.tif", "pipe.tif")]
    for path in hostile:

        def labels(path: Path = path) -> None:
            read_labels(path, shape=(60, 80))
            raise AssertionError("taken as labels")

        yield Attack(f"{path.name} as labels", labels)
        yield Attack(f"{path.name} as phases", _refused(path, asks=(read_phases,)))
        yield Attack(f"{path.name} as a hyperstack", _refused(path, asks=(read_hyperstack,)))
        yield Attack(
            f"fijibridge measure {path.name}",
            lambda path=path: _answered("measure", path, "--out", folder / "out"),  # type: ignore[misc]
            seconds=20,
            memory=None,
        )


def _answered(*words: object) -> None:
    text = command_line(*words)
    assert "remedy:" in text, text[-300:]
