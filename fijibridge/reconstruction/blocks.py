"""How a volume is divided into overlapping blocks, and how much memory one takes."""

from __future__ import annotations

from itertools import product

from fijibridge.core.errors import SettingsError

OVERLAP = 16  # voxels that a block shares with its neighbour, and must agree with
_STEP = 16  # block sides that are proposed are multiples of this
_VOLUME = 11  # float32 copies of all logits: Adam's, gradients, softmax, a backup, the barrier
_TERMS = 2000  # float32 copies of the slices that features see, for statistics of four times as many, and gradients
_NETWORK = 2000  # float32 numbers a pixel that passes VGG19, with gradients
_AT_ONCE = 2**18  # pixels that pass it together
_BASE = 800 * 2**20  # bytes of the libraries


def memory_needed(shape: tuple[int, int, int], phases: int, slices: int, *, network: bool) -> int:
    """Estimate the memory that an optimisation takes.

    Parameters
    ----------
    shape : tuple of int
        (Z, Y, X) of the volume, or of a block.
    phases : int
        Number of phases.
    slices : int
        Slices along each axis in a step.
    network : bool
        Whether slices pass VGG19.

    Returns
    -------
    int
        Bytes.
    """
    voxels = shape[0] * shape[1] * shape[2]
    pixels = slices * voxels // min(shape)
    sliced = pixels * (phases * _TERMS + 60) * 4
    passed = min(pixels, _AT_ONCE) * _NETWORK * 4 if network else 0
    return _BASE + voxels * phases * 4 * _VOLUME + sliced + passed


def largest_block(shape: tuple[int, int, int], phases: int, slices: int, memory: int, *, network: bool) -> int:
    """Find the largest block that fits into memory.

    Parameters
    ----------
    shape : tuple of int
        (Z, Y, X) of the volume.
    phases, slices, network
        As for `memory_needed`.
    memory : int
        Bytes there are.

    Returns
    -------
    int
        Side of the block in voxels, a multiple of 16; 0 where none fits.
    """
    for side in range(max(shape) // _STEP * _STEP, 2 * OVERLAP - 1, -_STEP):
        depth, height, width = (min(side, size) for size in shape)
        if memory_needed((depth, height, width), phases, slices, network=network) <= memory:
            return side
    return 0


def blocks_of(shape: tuple[int, int, int], side: int) -> list[tuple[slice, slice, slice]]:
    """Blocks that cover a volume in the order they are made in: each overlaps those before it.

    Parameters
    ----------
    shape : tuple of int
        (Z, Y, X) of the volume.
    side : int
        Of a block, in voxels; 0: one block.

    Returns
    -------
    list of tuple of slice
        (Z, Y, X) of each block.

    Raises
    ------
    SettingsError
        Blocks too small for their overlap.
    """
    if side == 0 or side >= max(shape):
        return [(slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2]))]
    if side < 2 * OVERLAP:
        raise SettingsError(
            f"block = {side} voxels",
            expected=f"at least {2 * OVERLAP}: blocks overlap by {OVERLAP}",
            remedy="give a larger block, or 0 for none",
        )
    cuts = []
    for size in shape:
        last = max(0, size - side)
        starts = [*range(0, last, side - OVERLAP), last]
        cuts.append([slice(start, min(start + side, size)) for start in starts])
    depth, height, width = cuts
    return list(product(depth, height, width))
