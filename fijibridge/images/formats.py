"""Which formats are read, known by a file's content and never by its name; what to do with those that are not."""

from __future__ import annotations

import stat
from pathlib import Path

from fijibridge.core.errors import ImageError, ImageNotFoundError

READ = "TIFF, PNG, JPEG, BMP, GIF, PGM/PPM, JPEG 2000, WebP, OME-Zarr, HDF5, MRC, DM3 or DM4"

# (offset, bytes there, name of the reader)
_STARTS = (
    *((0, start, "TIFF") for start in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    (0, b"\x89HDF\r\n\x1a\n", "HDF5"),
    (208, b"MAP ", "MRC"),
    *((0, b"\0\0\0" + version, "DM") for version in (b"\x03", b"\x04")),
)
# (offset, bytes there, Pillow's name of the format): no others are opened, for Pillow knows formats which run code.
_PICTURES = (
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"BM", "BMP"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG2000"),
    (8, b"WEBP", "WEBP"),
    *((0, b"P" + kind, "PPM") for kind in (b"1", b"2", b"3", b"4", b"5", b"6", b"f", b"F")),
)
_AS_TIFF = "open it in Fiji (File > Import > Bio-Formats) and save it as TIFF"
_PYTHON = "read it in Python ({}) and save the array with tifffile.imwrite"
# (offset, bytes there, what it is, what to do)
_OTHERS = (
    (0, b"\x93NUMPY", "a NumPy file", _PYTHON.format("numpy.load")),
    (0, b"ZISRAWFILE", "a Zeiss CZI file", _AS_TIFF),
    (0, b"\x70\0\0\0", "a Leica LIF file", _AS_TIFF),
    (0, b"\xda\xce\xbe\x0a", "a Nikon ND2 file", _AS_TIFF),
    (0, b"II\x97\x01", "a TIA file (.ser)", _AS_TIFF),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an OLE file, such as Zeiss ZVI or TXM", _AS_TIFF),
    (128, b"DICM", "a DICOM file", "open it in Fiji and save it as TIFF"),
    (0, b"SIMPLE  =", "a FITS file", "open it in Fiji and save it as TIFF"),
    (0, b"# AmiraMesh", "an Amira mesh", "open it in Fiji and save it as TIFF"),
    (0, b"# Avizo", "an Avizo file", "open it in Fiji and save it as TIFF"),
    (0, b"NRRD", "an NRRD file", "open it in Fiji and save it as TIFF"),
    (0, b"CDF", "a NetCDF file", _AS_TIFF),
    (0, b"8BPS", "a Photoshop file", "save it as TIFF or PNG"),
    (4, b"ftyp", "an AVIF, HEIC or film file", "save it as TIFF or PNG"),
    (0, b"%!", "PostScript", "export the micrograph itself as TIFF or PNG"),
    (0, b"\xc5\xd0\xd3\xc6", "PostScript (EPS)", "export the micrograph itself as TIFF or PNG"),
    (0, b"%PDF", "a PDF", "export the micrograph itself as TIFF or PNG"),
    (0, b"PK\x03\x04", "a zip archive", "unpack it"),
    (0, b"\x1f\x8b", "a gzip archive", "unpack it"),
    (0, b"BZh", "a bzip2 archive", "unpack it"),
    (0, b"7z\xbc\xaf", "a 7z archive", "unpack it"),
    (0, b"Iout", "ImageJ ROIs", "give it as labels, and a micrograph as image"),
    (0, b"<?xml", "XML", "name the micrograph itself"),
    (0, b"<svg", "an SVG drawing", "export it as PNG"),
)
_BY_SUFFIX = {
    ".npy": ("a NumPy file", _PYTHON.format("numpy.load")),
    ".dm3": ("a Gatan DigitalMicrograph file", _AS_TIFF),
    ".dm4": ("a Gatan DigitalMicrograph file", _AS_TIFF),
    **dict.fromkeys(
        (".mrc", ".rec", ".st"), ("no MRC file of 2000 or later (its header lacks the word MAP)", _AS_TIFF)
    ),
    ".vol": ("a raw volume", "in Fiji: File > Import > Raw..., then save it as TIFF"),
    ".raw": ("raw numbers", "in Fiji: File > Import > Raw..., then save it as TIFF"),
    ".dat": ("raw numbers", "in Fiji: File > Import > Raw..., then save it as TIFF"),
    ".txt": ("text", "in Fiji: File > Import > Text Image..., then save it as TIFF"),
    ".csv": ("text", "in Fiji: File > Import > Text Image..., then save it as TIFF"),
    ".tga": ("a Targa picture", "save it as TIFF or PNG"),
    ".pcx": ("a PCX picture", "save it as TIFF or PNG"),
    ".emi": ("a TIA file", "open the .ser file beside it in Fiji, and save it as TIFF"),
    ".hdr": ("a text of metadata", "name the image that lies beside it"),
}
_START = 512


def format_of(path: Path) -> str:
    """The format of an image file, by its content.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    str
        A name among :data:`fijibridge.images.reading.READERS`.

    Raises
    ------
    ImageNotFoundError
        No such file.
    ImageError
        A folder, a pipe or a device, an empty file, one that cannot be read, or a format that is not supported.
    """
    try:
        kind = path.stat().st_mode
    except (OSError, ValueError) as error:
        name = str(path) if len(str(path)) < 500 else f"{str(path)[:500]}..."
        raise ImageNotFoundError(
            f"no file {name}", expected="an image file", remedy="check the path and its spelling"
        ) from error
    if stat.S_ISDIR(kind):
        raise ImageError(f"{path} is a folder", expected="an image file", remedy="name a file in it")
    if not stat.S_ISREG(kind):
        raise ImageError(
            f"{path} is a pipe or a device", expected="an image file", remedy="write its content into a file first"
        )
    try:
        with path.open("rb") as handle:
            start = handle.read(_START)
    except OSError as error:
        raise ImageError(
            f"{path} cannot be read ({error.strerror or error})",
            expected="a file with read permission",
            remedy="change its permissions, or copy it elsewhere",
        ) from error
    if not start:
        raise ImageError(f"{path} is empty (0 bytes)", expected="an image file", remedy="copy it again from its source")
    for offset, signature, name in _STARTS:
        if start[offset:].startswith(signature):
            return name
    if picture_format(start):
        return "picture"
    raise unsupported(path, start)


def picture_format(start: bytes) -> str:
    """Pillow's name of a picture's format; empty for none of those that are read.

    Parameters
    ----------
    start : bytes
        The first bytes of the file.
    """
    for offset, signature, name in _PICTURES:
        if start[offset:].startswith(signature) and (name != "PPM" or start[2:3] in (b" ", b"\n", b"\r", b"\t", b"#")):
            return name
    return ""


def unsupported(path: Path, start: bytes) -> ImageError:
    """What to say of a file that is in no format which is read.

    Parameters
    ----------
    path : Path
        The file.
    start : bytes
        Its first bytes.
    """
    for offset, signature, what, remedy in _OTHERS:
        if start[offset:].startswith(signature):
            return _not_supported(path, what, remedy)
    if path.suffix.lower() in _BY_SUFFIX:
        return _not_supported(path, *_BY_SUFFIX[path.suffix.lower()])
    return ImageError(
        f"{path} cannot be read as an image: its content is of no format that is supported",
        expected=READ,
        remedy="open it in Fiji to see what it is, and save it as TIFF; or copy it again from its source",
    )


def _not_supported(path: Path, what: str, remedy: str) -> ImageError:
    return ImageError(
        f"{path} is {what}, a format that is not supported; it cannot be read as an image", expected=READ, remedy=remedy
    )
