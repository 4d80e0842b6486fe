"""What an image would take in memory, checked before any is taken."""

from __future__ import annotations

from pathlib import Path

from fijibridge.core.errors import ImageError
from fijibridge.core.machine import free_memory

# Compressed more than so many times, and larger than so many bytes, no micrograph and no label image is: it is a bomb.
_RATIO = 300
_SMALL = 2**28
LARGEST_SIDE = 2**31 - 1
MOST_PAGES = 200_000


def check_size(path: Path, sizes: str, needed: int, stored: int) -> None:
    """Refuse an image that memory cannot hold, or whose size is not to be believed.

    Parameters
    ----------
    path : Path
        The file.
    sizes : str
        Width, height and so on, in words.
    needed : int
        Bytes of the pixels once they are unpacked.
    stored : int
        Bytes of the file.

    Raises
    ------
    ImageError
        More than the memory that is free, or hundreds of times what the file holds.
    """
    free = free_memory()
    # twice: as it is unpacked, and as it is converted
    if 2 * needed > free:
        raise ImageError(
            f"{path} of {sizes} would take {2 * needed / 2**30:.3g} GiB of memory, "
            f"{max(free, 0) / 2**30:.3g} GiB are free",
            expected="an image that fits into memory",
            remedy="cut it into parts, or take a machine with more memory; if it should be small, it is damaged",
        )
    if needed > _SMALL and needed > _RATIO * stored:
        raise ImageError(
            f"{path} of {sizes} would take {needed / 2**30:.3g} GiB, and holds {stored / 2**20:.3g} MiB",
            expected=f"an image that is compressed to no less than 1/{_RATIO} of its size",
            remedy="if it really is an image, open it in Fiji and save it as an uncompressed TIFF",
        )
