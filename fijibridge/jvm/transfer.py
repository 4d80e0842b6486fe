"""numpy arrays to ImageJ images and back, plane by plane through direct buffers.

A direct buffer is a Java view of numpy's memory, so each plane is copied once, by Java. Everything that ImageJ holds
is a copy: changing the array afterwards does not change the image, nor the other way round.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fijibridge.core.errors import ImageError, SettingsError
from fijibridge.images.palette import brightness

if TYPE_CHECKING:
    from fijibridge.images.image import PixelSize

# Elements a transfer step: a Java buffer counts its bytes in an int, so one view may not pass 2 GiB.
_STEP = 2**27
# Channels gathered at once from (Y, X, F): 16 float32 are one cache line, so that each line is read once.
_GATHER = 16
_ROWS = 8
_UNSCALED = {"pixel", "pixels", ""}
_COLOR8, _RGB48 = 5, 12  # of ij.io.FileInfo

_LOSSLESS = {
    "bool": "array.astype(np.uint8)",
    "int8": "array.astype(np.float32)",
    "int16": "array.astype(np.float32)",
    "int32": "array.astype(np.uint16), where the values are within 0 to 65535, else np.float32 up to 2**24",
    "uint32": "array.astype(np.uint16), where the values are below 65536, else np.float32 up to 2**24",
    "int64": "array.astype(np.uint16), where the values are within 0 to 65535, else np.float32 up to 2**24",
    "uint64": "array.astype(np.uint16), where the values are below 65536, else np.float32 up to 2**24",
    "float16": "array.astype(np.float32)",
    "float64": "array.astype(np.float32), which keeps 24 bits of the mantissa",
}


def to_imageplus(
    array: np.ndarray,
    *,
    title: str = "",
    pixel_size: PixelSize | None = None,
    labels: Sequence[str] | None = None,
) -> Any:
    """Copy an array into an ImagePlus with real planes (not a virtual stack).

    Parameters
    ----------
    array : ndarray of uint8, uint16 or float32
        (Y, X), a stack (Z, Y, X), or RGB as uint8 with 3 channels last, (Y, X, 3) or (Z, Y, X, 3). A uint8 array
        whose last axis is 3 is taken as RGB. Any memory order.
    title : str
        Title of the image.
    pixel_size : PixelSize, optional
        Calibration; unscaled pixels by default.
    labels : sequence of str, optional
        Slice labels, one a plane.

    Returns
    -------
    ij.ImagePlus

    Raises
    ------
    SettingsError
        If dtype or shape has no ImageJ type, or the number of labels is wrong.
    """
    from fijibridge.jvm.lifecycle import gateway

    array, is_rgb = _checked(array)
    is_stack = array.ndim == 3 + is_rgb
    stack = to_imagestack(array if is_stack else array[None], labels)
    image = gateway().jclass("ij.ImagePlus")(title, stack)
    if is_stack:
        image.setDimensions(1, len(array), 1)
    if pixel_size is not None:
        calibration = image.getCalibration()
        calibration.pixelHeight, calibration.pixelWidth = pixel_size.y, pixel_size.x
        if pixel_size.z is not None:
            calibration.pixelDepth = pixel_size.z
        calibration.setUnit(pixel_size.unit)
    return image


def from_imageplus(image: Any) -> tuple[np.ndarray, PixelSize | None]:
    """Copy the pixels and the calibration of an ImagePlus.

    Parameters
    ----------
    image : ij.ImagePlus
        8, 16 or 32 bit, RGB or 8-bit colour; a single image, or a stack along one axis (slices, frames or channels).

    Returns
    -------
    array : ndarray of uint8, uint16 or float32
        (Y, X), (Z, Y, X), (Y, X, 3) or (Z, Y, X, 3): as `read_image` gives them of the file: without ImageJ's density
        calibration, but for what it adds to values below 0 (float32 then); inverted greys as they are seen; a palette
        of colours as RGB.
    pixel_size : PixelSize or None
        Of an image that ImageJ knows no scale of, what the file says that it was opened from; None if that neither.

    Raises
    ------
    ImageError
        If it is a hyperstack with more than one long axis.
    """
    dimensions = dict(zip(("width", "height", "channels", "slices", "frames"), image.getDimensions(), strict=True))
    long = {axis: int(dimensions[axis]) for axis in ("channels", "slices", "frames") if dimensions[axis] > 1}
    if len(long) > 1:
        raise ImageError(
            f"image {image.getTitle()} with " + " x ".join(f"{size} {axis}" for axis, size in long.items()),
            expected="a stack along one axis",
            remedy="take one channel or frame first (Image > Duplicate... or Image > Hyperstacks > Reduce...)",
        )
    # the contrast of an 8-bit image is a look-up table too, and only display: what ImageJ would save is the image's own
    kind = int(image.getFileInfo().fileType)
    array = _planes_of(image.getStack(), palette=kind == _COLOR8)
    if kind == _RGB48:  # as ImageJ opens 16 bits a channel, and saves them
        return np.ascontiguousarray(np.moveaxis(array, 0, -1)), _pixel_size(image)
    if array.dtype == np.uint16 and image.getCalibration().isSigned16Bit():
        array = (array ^ np.uint16(0x8000)).view(np.int16).astype(np.float32)
    return (array if image.getStackSize() > 1 else array[0]), _pixel_size(image)


def _pixel_size(image: Any) -> PixelSize | None:
    """The calibration in ImageJ; of an image that has none, what the file that it was opened from says."""
    from fijibridge.images.pixel_size import PixelSize, believed, normalise_unit

    calibration = image.getCalibration()
    unit = normalise_unit(str(calibration.getUnit() or ""))
    if unit not in _UNSCALED and calibration.scaled():
        # A single image has ImageJ's default depth of 1, which says nothing; frames have none.
        depth = float(calibration.pixelDepth) if image.getNSlices() > 1 else None
        # Each axis may have a unit of its own.
        y, z = (_factor(str(text), unit) for text in (calibration.getYUnit(), calibration.getZUnit()))
        if y is None:
            return None
        depth = None if depth is None or z is None else float(f"{depth * z:.9g}")
        height = float(calibration.pixelHeight) if y == 1 else float(f"{calibration.pixelHeight * y:.9g}")
        size = believed(PixelSize(y=height, x=float(calibration.pixelWidth), unit=unit, z=depth))
        if size is not None:
            return size
    return _original_size(image)


def _factor(unit: str, of: str) -> float | None:
    from fijibridge.images.pixel_size import METRES, normalise_unit

    unit = normalise_unit(unit)
    if unit in _UNSCALED or unit == of:
        return 1.0
    return METRES[unit] / METRES[of] if unit in METRES and of in METRES else None


def _original_size(image: Any) -> PixelSize | None:
    from pathlib import Path

    from fijibridge.core.errors import BridgeError
    from fijibridge.images.reading import open_planes

    info = image.getOriginalFileInfo()
    path = str(info.getFilePath() or "") if info is not None else ""
    try:
        if not path or not Path(path).is_file():
            return None
        with open_planes(path) as planes:
            shape = planes.plane(0, raw=True).shape[:2]
            return planes.pixel_size if shape == (int(image.getHeight()), int(image.getWidth())) else None
    except (BridgeError, OSError):
        return None


def to_imagestack(array_zyx: np.ndarray, labels: Sequence[str] | None = None) -> Any:
    """Copy a stack of planes into an ImageStack.

    Parameters
    ----------
    array_zyx : ndarray of uint8, uint16 or float32, shape (Z, Y, X), or uint8 of shape (Z, Y, X, 3)
        Any memory order.
    labels : sequence of str, optional
        Slice labels, one a plane.

    Returns
    -------
    ij.ImageStack

    Raises
    ------
    SettingsError
        If dtype or shape has no ImageJ type, or the number of labels is wrong.
    """
    array = np.asarray(array_zyx)
    _check_dtype(array)
    if array.ndim != 3 and not (array.ndim == 4 and array.shape[-1] == 3 and array.dtype == np.uint8):
        raise _no_shape(array, "(Z, Y, X), or uint8 of (Z, Y, X, 3)")
    return _stack_of(array, array.shape[1:3], labels, len(array))


def features_to_imagestack(array_yxf: np.ndarray, names: Sequence[str]) -> Any:
    """Copy a feature stack with features last into an ImageStack, one slice a feature.

    Gathers a few channels at a time: no second copy of the whole on the Python side.

    Parameters
    ----------
    array_yxf : ndarray of float32, uint8 or uint16, shape (Y, X, F)
        Features.
    names : sequence of str
        Slice labels, F of them: TWS's attribute names.

    Returns
    -------
    ij.ImageStack

    Raises
    ------
    SettingsError
        If it is not (Y, X, F), dtype has no ImageJ type, or the number of names is wrong.
    """
    array = np.asarray(array_yxf)
    _check_dtype(array)
    if array.ndim != 3:
        raise _no_shape(array, "(Y, X, F)")
    planes = (plane for first in range(0, array.shape[2], _GATHER) for plane in _gathered(array, first))
    return _stack_of(planes, array.shape[:2], names, array.shape[2])


def _gathered(array: np.ndarray, first: int) -> np.ndarray:
    """Some channels as planes; a few rows at a time, so that source and target stay in the processor's cache."""
    part = array[:, :, first : first + _GATHER]
    planes = np.empty((part.shape[2], *part.shape[:2]), part.dtype)
    for row in range(0, len(part), _ROWS):
        planes[:, row : row + _ROWS] = np.moveaxis(part[row : row + _ROWS], 2, 0)
    return planes


def _stack_of(planes: Any, shape: tuple[int, int], labels: Sequence[str] | None, count: int) -> Any:
    from fijibridge.jvm.lifecycle import gateway

    if labels is not None and len(labels) != count:
        raise SettingsError(
            f"{len(labels)} labels for {count} planes", expected="one label a plane", remedy="give as many as planes"
        )
    stack = gateway().jclass("ij.ImageStack")(shape[1], shape[0])
    for index, plane in enumerate(planes):
        stack.addSlice(None if labels is None else str(labels[index]), _to_java(plane))
    return stack


def from_imagestack(stack: Any) -> np.ndarray:
    """Copy the planes of an ImageStack.

    Parameters
    ----------
    stack : ij.ImageStack
        8, 16, 32 bit, RGB or 8-bit colour (a colour look-up table makes it RGB); also a virtual stack.

    Returns
    -------
    ndarray of uint8, uint16 or float32, shape (Z, Y, X), or uint8 of shape (Z, Y, X, 3)

    Raises
    ------
    ImageError
        If it has no slices.
    """
    return _planes_of(stack, palette=False)


def _planes_of(stack: Any, *, palette: bool) -> np.ndarray:
    """As `from_imagestack`; `palette`: a look-up table of greys counts too."""
    from fijibridge.jvm.lifecycle import gateway

    gateway()
    depth, height, width = int(stack.size()), int(stack.getHeight()), int(stack.getWidth())
    out: np.ndarray | None = None
    for z in range(depth):
        processor = stack.getProcessor(z + 1)  # not getPixels: a virtual stack reads the plane here
        colours = _palette(processor) if palette or processor.isColorLut() or processor.isInvertedLut() else None
        pixels = processor.getPixels()
        name = pixels.getClass().getSimpleName()
        if colours is not None:
            plane = np.empty((height, width), np.uint8)
            _from_java(pixels, plane)
            seen = brightness(plane, colours)
            if out is None or (out.ndim == 3 and seen.ndim == 3):
                # greys before colours: all become colours
                out = np.empty((depth, *seen.shape), np.uint8) if out is None else np.repeat(out[..., None], 3, axis=3)
            out[z] = seen if seen.ndim == out.ndim - 1 else seen[..., None]
            continue
        if out is None:
            if name == "int[]":
                out = np.empty((depth, height, width, 3), np.uint8)
            else:
                out = np.empty(
                    (depth, height, width), {"byte[]": np.uint8, "short[]": np.uint16, "float[]": np.float32}[str(name)]
                )
        if out.ndim == 4:
            packed = np.empty((height, width), np.int32)
            _from_java(pixels, packed)
            for channel, shift in enumerate((16, 8, 0)):
                out[z, ..., channel] = (packed >> shift) & 0xFF
        else:
            _from_java(pixels, out[z])
            if out.dtype == np.uint16 and processor.isInvertedLut():
                out[z] ^= np.uint16(0xFFFF)
    if out is None:
        raise ImageError("a stack without slices", expected="at least one slice", remedy="give the image its slices")
    return out


def _palette(processor: Any) -> np.ndarray | None:
    """(256, 3) colours of an 8-bit image's look-up table."""
    if str(processor.getPixels().getClass().getSimpleName()) != "byte[]":
        return None
    import jpype

    model = processor.getColorModel()
    colours = np.zeros((256, 3), np.uint8)
    for channel, get in enumerate((model.getReds, model.getGreens, model.getBlues)):
        values = jpype.JArray(jpype.JByte)(int(model.getMapSize()))
        get(values)
        colours[: len(values), channel] = np.asarray(values, np.int8).view(np.uint8)[:256]
    return colours


def _checked(array: Any) -> tuple[np.ndarray, bool]:
    array = np.asarray(array)
    _check_dtype(array)
    is_rgb = array.dtype == np.uint8 and array.ndim in (3, 4) and array.shape[-1] == 3
    if array.ndim - is_rgb not in (2, 3):
        raise _no_shape(array, "(Y, X), (Z, Y, X), or uint8 of (Y, X, 3) or (Z, Y, X, 3)")
    return array, is_rgb


def _check_dtype(array: np.ndarray) -> None:
    if array.dtype.name not in ("uint8", "uint16", "float32"):
        raise SettingsError(
            f"an array of {array.dtype}",
            expected="uint8, uint16 or float32, the types that ImageJ has",
            remedy="convert it first: " + _LOSSLESS.get(array.dtype.name, "there is no lossless conversion"),
        )
    if 0 in array.shape:
        raise _no_shape(array, "at least one pixel")


def _no_shape(array: np.ndarray, expected: str) -> SettingsError:
    return SettingsError(
        f"an array of {array.dtype} and shape {array.shape}", expected=expected, remedy="reorder or index the axes"
    )


def _to_java(plane: np.ndarray) -> Any:
    """One plane as a new Java array: byte[], short[], float[], or int[] for RGB."""
    import jpype

    if plane.ndim == 3:
        red, green, blue = (plane[..., channel].astype(np.int32) for channel in range(3))
        plane = (red << 16) | (green << 8) | blue | np.int32(-(2**24))  # opaque, as ImageJ itself writes it
    # Native byte order: an array read from a file may have the other one.
    flat = np.ascontiguousarray(plane, dtype=plane.dtype.newbyteorder("=")).reshape(-1)
    kind = {1: jpype.JByte, 2: jpype.JShort, 4: jpype.JInt}[flat.itemsize] if flat.dtype.kind in "ui" else jpype.JFloat
    target = jpype.JArray(kind)(flat.size)
    for first in range(0, flat.size, _STEP):
        part = flat[first : first + _STEP]
        direct_buffer(part).get(target, first, part.size)
    return target


def _from_java(pixels: Any, plane: np.ndarray) -> None:
    """Copy a Java array into a C-contiguous plane of the same item size."""
    flat = plane.reshape(-1)
    for first in range(0, flat.size, _STEP):
        part = flat[first : first + _STEP]
        direct_buffer(part).put(pixels, first, part.size)


def direct_buffer(flat: np.ndarray) -> Any:
    """A typed Java buffer on the memory of an array: Java reads and writes numpy's own values.

    Parameters
    ----------
    flat : ndarray, 1-D, C-contiguous, native byte order, below 2 GiB
        Unsigned integers are seen as signed ones of the same width. A read-only array gives a read-only buffer.

    Returns
    -------
    java.nio.ByteBuffer, ShortBuffer, IntBuffer, LongBuffer, FloatBuffer or DoubleBuffer
    """
    import jpype

    if flat.dtype.kind in "ub":
        flat = flat.view(f"i{flat.itemsize}")
    # jpype leaves Java's default, big-endian; numpy's is that of the machine.
    raw = jpype.nio.convertToDirectBuffer(flat).order(jpype.JClass("java.nio.ByteOrder").nativeOrder())
    view = {"i1": "", "i2": "Short", "i4": "Int", "i8": "Long", "f4": "Float", "f8": "Double"}[flat.dtype.str[1:]]
    return getattr(raw, f"as{view}Buffer")() if view else raw
