"""ROI sets with coordinates, sizes, names and archives that no ImageJ wrote."""

from __future__ import annotations

import io
import os
import random
import struct
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from attack_kinds.attack import Attack, command_line
from attack_kinds.mutations import damaged, refused

TITLE = "ROIs"
GOAL = 58
SHAPE = (256, 256)

_FAR = (1e9, -1e9, 3e38, float("nan"), float("inf"))


def attacks(folder: Path) -> Iterator[Attack]:
    """See the runner."""
    import roifile
    from roifile import ROI_SUBTYPE, ROI_TYPE

    from fijibridge.labels.reading import read_labels

    rng = random.Random(18)
    good = [_box("pore", 10), _box("CAM", 60)]

    def counts(path: Path, wanted: dict[str, int] | None) -> None:
        found = read_labels(path, shape=SHAPE).counts
        assert wanted is None or found == wanted, f"{found}, not {wanted}"

    def of_set(name: str, *rois: Any, wanted: dict[str, int] | None = None) -> Attack:
        path = _zip(folder / f"{name}.zip", [(f"{k}.roi", roi.tobytes()) for k, roi in enumerate((*good, *rois))])
        if wanted is None:
            return Attack(name, partial(refused, partial(counts, path, None), name))
        return Attack(name, partial(counts, path, wanted))

    yield of_set("two ROIs", wanted={"pore": 100, "CAM": 100})

    # coordinates
    kinds = (ROI_TYPE.POLYGON, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED, ROI_TYPE.POLYLINE, ROI_TYPE.FREELINE, ROI_TYPE.POINT)
    for kind in kinds:
        for far in _FAR:
            roi = _points(kind, [[1.5, 1.5], [9.5, 2.5], [5.5, 9.5]])
            roi.subpixel_coordinates[1, 1] = far
            yield of_set(f"{kind.name} to {far}", roi)
    for far in _FAR:
        line = _box("line", 5)
        line.roitype, line.x1, line.y1, line.x2, line.y2 = ROI_TYPE.LINE, 1.0, 1.0, far, 9.0
        yield of_set(f"line to {far}", line)
        ellipse = _points(ROI_TYPE.FREEHAND, [[1, 1], [5, 5], [9, 1]])
        ellipse.subtype, ellipse.x1, ellipse.y1, ellipse.x2, ellipse.y2 = ROI_SUBTYPE.ELLIPSE, 1.0, far, 9.0, 9.0
        yield of_set(f"ellipse to {far}", ellipse)
        path = np.array([0, 1, 1, 1, far, 1, 3, 1, 2, 3, 4, 5, 6, 4], np.float32)
        yield of_set(f"path to {far}", _box("path", 5, multi_coordinates=path, shape_roi_size=len(path)))
    for width in (1e9, float("nan"), float("inf")):
        line = _points(ROI_TYPE.FREELINE, [[1, 1], [100, 100]])
        line.float_stroke_width = width
        yield of_set(f"a line {width} wide", line)
    whole = _points(ROI_TYPE.POLYGON, np.array([[-9e5, -9e5], [9e5, -9e5], [9e5, 9e5], [-9e5, 9e5]], np.float32))
    whole.name = "pore"
    yield of_set("a polygon around the image", whole, wanted={"pore": 256 * 256 - 100, "CAM": 100})
    yield of_set("a ROI over the edge", _box("pore", 250), wanted={"pore": 136, "CAM": 100})
    yield of_set("a ROI beside the image", _box("pore", 900), wanted={"pore": 100, "CAM": 100})

    # numbers of points
    turns = np.cumsum(np.random.default_rng(0).uniform(-90, 90, (60_000, 2)), axis=0) % 250
    many = _points(ROI_TYPE.POLYGON, turns)
    many.name = "pore"
    yield Attack("a polygon of 60,000 points through the image", partial(_mask, many))
    tall = np.stack([np.tile([0.5, 255.5], 200_000), np.tile([-9e5, 9e5], 200_000)], axis=1)
    yield Attack("a polygon of 400,000 points", partial(_mask, _points(ROI_TYPE.POLYGON, tall)))
    yield Attack("a line of 400,000 points", partial(_mask, _points(ROI_TYPE.FREELINE, tall)))
    commands = np.tile(np.array([3, 0, 0, 900000, -900000, 100, 200], np.float32), 20_000)
    curves = _box("curves", 5, multi_coordinates=np.concatenate([np.array([0, 1, 1], np.float32), commands]))
    yield Attack("20,000 wild curves", partial(_mask, curves))
    spline = _points(ROI_TYPE.POLYGON, tall[:60_000])
    spline.options |= roifile.ROI_OPTIONS.SPLINE_FIT
    yield Attack("a spline through 60,000 points", partial(_mask, spline))

    # names
    for name in ("a\nshow=/etc/passwd", "a\tb", "a\x00", "x" * 30_000, "\u202eevil", "a\u2028b", "\x1b[2J"):
        yield of_set(f"a ROI named {name[:6]!a}", _box(name, 100))

    # headers
    body = _box("pore", 10).tobytes()
    for place, value in ((16, 0xFFFF), (18, 0x7FFFFFFF), (36, 0x7FFFFFFF), (60, 0x7FFFFFFF), (60, 0xFFFFFFFF)):
        form = ">H" if value < 2**16 else ">I"
        bad = bytearray(_points(ROI_TYPE.POLYGON, [[1, 1], [9, 1], [9, 9]]).tobytes())
        bad[place : place + struct.calcsize(form)] = struct.pack(form, value)
        path = _zip(folder / f"head {place} {value}.zip", [("a.roi", bytes(bad)), ("b.roi", body)])
        yield Attack(f"{value:#x} at byte {place}", partial(_no_traceback, counts, path))
    for name, bad in damaged(b"".join((body, bytes(64))), rng):
        (path := folder / f"{name}.roi").write_bytes(bad)
        yield Attack(f"a ROI {name}", partial(_no_traceback, counts, path))

    # archives
    archive = _zip(folder / "good.zip", [(f"{k}.roi", roi.tobytes()) for k, roi in enumerate(good)])
    for name, bad in damaged(archive.read_bytes(), rng):
        (path := folder / f"zip {name}.zip").write_bytes(bad)
        yield Attack(f"an archive {name}", partial(_no_traceback, counts, path))
    bomb = _zip(folder / "bomb.zip", [(f"{k}.roi", body + bytes(2**26)) for k in range(4)])
    yield Attack("a bomb of zip", partial(refused, partial(counts, bomb, None), "a bomb"))
    (lying := folder / "lying.zip").write_bytes(_lying(bomb.read_bytes()))
    yield Attack("a bomb that lies about its size", partial(refused, partial(counts, lying, None), "a bomb"))
    full = _zip(folder / "many.zip", [(f"{k}.roi", b"x") for k in range(70_000)])
    yield Attack("70,000 entries", partial(refused, partial(counts, full, None), "70,000 entries"), seconds=20)
    mac = [*((f"R/{roi.name}.roi", roi.tobytes()) for roi in good), ("__MACOSX/R/._pore.roi", b"\0\5\x16\7" * 9)]
    yield Attack("an archive of macOS", partial(counts, _zip(folder / "mac.zip", mac), {"pore": 100, "CAM": 100}))
    odd = _zip(folder / "odd.zip", [("../../pore.roi", body), ("/CAM.roi", _box("CAM", 60).tobytes())])
    yield Attack("names that lead out", partial(counts, odd, {"pore": 100, "CAM": 100}))
    os.mkfifo(folder / "pipe.zip")
    os.mkfifo(folder / "pipe.roi")
    for name in ("pipe.zip", "pipe.roi"):
        yield Attack(name, partial(refused, partial(counts, folder / name, None), name))

    # overlays
    grey = np.random.default_rng(0).integers(0, 255, SHAPE, dtype=np.uint8)
    for name, rois in (("good", [roi.tobytes() for roi in good]), ("junk", [b"junk" * 30]), ("cut", [body[:70]])):
        tifffile.imwrite(path := folder / f"{name}.tif", grey, imagej=True, metadata={"Overlays": rois})
        wanted = {"pore": 100, "CAM": 100} if name == "good" else None
        check: Callable[[], object] = partial(counts, path, wanted)
        yield Attack(f"an overlay: {name}", check if wanted else partial(refused, check, name))

    # the command line
    tifffile.imwrite(picture := folder / "image.tif", grey)
    for name in ("POLYGON to 3e+38", "a line nan wide", "bomb", "zip cut to 50%"):
        words = ("segment", picture, "--labels", folder / f"{name}.zip", "--out", folder / "out", "--features", "tws")
        yield Attack(f"segment with {name}", partial(command_line, *words, "--quiet"), seconds=20)


def _box(name: str, place: int, **more: Any) -> Any:
    from roifile import ROI_TYPE, ImagejRoi

    return ImagejRoi(
        roitype=ROI_TYPE.RECT, left=place, top=place, right=place + 10, bottom=place + 10, name=name, **more
    )


def _points(kind: Any, points: Any) -> Any:
    from roifile import ImagejRoi

    roi = ImagejRoi.frompoints(np.asarray(points, np.float32))
    roi.roitype, roi.name = kind, "far"
    return roi


def _mask(roi: Any) -> None:
    from fijibridge.labels.roi_masks import roi_mask

    mask, (top, left) = roi_mask(roi, SHAPE)
    assert min(top, left) >= 0, (top, left)
    assert top + mask.shape[0] <= SHAPE[0], mask.shape


def _zip(path: Path, entries: list[tuple[str, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def _lying(data: bytes) -> bytes:
    found = bytearray(data)
    place = found.find(b"PK\x01\x02")
    while place >= 0:
        found[place + 24 : place + 28] = struct.pack("<I", 200)
        place = found.find(b"PK\x01\x02", place + 4)
    return bytes(found)


def _no_traceback(call: Callable[..., object], path: Path) -> None:
    """A refusal in words, or a result: which of them depends on the byte that was turned."""
    assert io.BytesIO(path.read_bytes()).read() == path.read_bytes()
    call(path, None)
