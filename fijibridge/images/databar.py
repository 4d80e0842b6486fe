"""The data bar at the bottom of an SEM image, found by what it looks like."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fijibridge.images.databar_text import bar_with_text, glyphs_on_lines

_FEWEST_GLYPHS = 4  # on one line of a plain strip


@dataclass(frozen=True)
class Databar:
    """A data bar, or none.

    Parameters
    ----------
    rows : int
        At the bottom; 0 for none.
    method : str
        How it was found, in words.
    confidence : float
        From 0 to 1: how much of what makes a bar was seen.
    """

    rows: int
    method: str
    confidence: float

    def __str__(self) -> str:
        return f"{self.method}, confidence {self.confidence:.2f}" if self.rows else self.method


def look_for_databar(data: np.ndarray) -> Databar:
    """Look for the data bar below a micrograph by its pixels.

    Parameters
    ----------
    data : np.ndarray
        (Y, X) or (Y, X, 3), any real dtype.

    Returns
    -------
    Databar
        First as `find_databar` says; where there is no plain strip, a box, table, or strip of any background, by
        its lines of text (:func:`fijibridge.images.databar_text.bar_with_text`).
    """
    if rows := _plain_strip(data):
        return Databar(rows, "a plain strip with text", 0.95)
    rows, confidence = bar_with_text(data)
    if rows:
        return Databar(rows, "lines of text on a flat strip with a straight edge", confidence)
    return Databar(0, "no strip with text was seen", 1.0)


def is_flat(rows: np.ndarray) -> bool:
    """Whether most pixels of some rows equal their neighbours, as in a bar.

    Parameters
    ----------
    rows : np.ndarray
        (Y, X) or (Y, X, 3).
    """
    part = rows.astype(np.float32)
    part = part.mean(axis=2) if part.ndim == 3 else part
    spread = float(part.max() - part.min())
    return bool((np.abs(np.diff(part, axis=1)) <= 0.05 * spread).mean() >= 0.6)


def find_databar(data: np.ndarray) -> int:
    """Find the data bar below a micrograph by its pixels.

    A bar is a strip at the bottom with a straight upper edge, flat but for its text: one background value under most of
    it, or cells, a frame, or a gradient. Where one of these is missing the answer is 0, for a bar taken as image costs
    less than image taken as a bar.

    Parameters
    ----------
    data : np.ndarray
        (Y, X) or (Y, X, 3), any real dtype.

    Returns
    -------
    int
        Rows of the bar, 0 if there is none.
    """
    return look_for_databar(data).rows


def _plain_strip(data: np.ndarray) -> int:
    """Rows of a strip of one background value with text; 0 if there is none."""
    height = data.shape[0]
    if height < 64 or data.shape[1] < 32:
        return 0
    # Work on the bottom quarter only: no bar is higher, and images can be large.
    part = data[-(height // 4) :].astype(np.float32)
    if part.ndim == 3:
        part = part.mean(axis=2)
    background = _background(part[-max(4, height // 50) :])
    if background is None:
        return 0
    level, tolerance = background
    share = (np.abs(part - level) <= tolerance).mean(axis=1)
    is_line = _is_line(part, tolerance / 4)  # narrower: a smooth specimen is not to pass for a line
    gap = max(3, height // 200)
    top = _bar_top(share, is_line, gap)
    rows = len(part) - top
    if rows < max(8, height // 50) or rows > 0.22 * height or top < 4:
        return 0
    # The edge of a bar is straight: from image to plain background in one row, or within a block of a JPEG.
    first = top
    while first < len(part) and share[first] < 0.35 and is_line[first]:
        first += 1
    bar = part[first:]
    blurred = (bar == level).sum() < 0.97 * (np.abs(bar - level) <= tolerance).sum()
    edge_is_sharp = share[top - 3 : top].mean() <= 0.3 and share[first : first + (4 if blurred else 1)].max() >= 0.75
    # Without its upper rows, which in a dark region of the specimen would hold bits of the image above it.
    below_edge = bar[len(bar) // 8 :]
    if not edge_is_sharp or not _has_text(below_edge, level, contrast_of=part[:top]):
        return 0
    # Specks on a dark strip jump as often as text does, but stand on no lines.
    return rows if glyphs_on_lines(bar, 0.0) >= _FEWEST_GLYPHS else 0


def _background(bottom: np.ndarray) -> tuple[float, float] | None:
    """Level of the strip at the very bottom and the tolerance around it; None if it has no dominant level."""
    values, counts = np.unique(bottom, return_counts=True)
    level = float(values[counts.argmax()])
    # Of the strip's own range: JPEG blurs black text into white; half of it must be level all the same.
    tolerance = 0.03 * float(bottom.max() - bottom.min())
    return (level, tolerance) if (np.abs(bottom - level) <= tolerance).mean() >= 0.5 else None


def _is_line(part: np.ndarray, tolerance: float) -> np.ndarray:
    """Rows that hold one value over most of the width."""
    medians = np.median(part, axis=1, keepdims=True)
    return (np.abs(part - medians) <= tolerance).mean(axis=1) >= 0.7


def _bar_top(share: np.ndarray, is_line: np.ndarray, gap: int) -> int:
    """Walk up from the bottom while rows hold the background, across thin horizontal lines; index of the top row."""
    top = row = len(share)
    while row > 0 and top - row <= gap:
        row -= 1
        if share[row] >= 0.35:
            top = row
        elif not is_line[row]:
            break
    # A line drawn along the upper edge belongs to the bar; a flat image above it does not end within the gap.
    edge = top
    while edge > 0 and top - edge <= gap and is_line[edge - 1]:
        edge -= 1
    return edge if top - edge <= gap else top


def _has_text(bar: np.ndarray, level: float, contrast_of: np.ndarray) -> bool:
    """Whether several rows jump often between the background and values as far from it as text is."""
    contrast = float(np.abs(bar - level).max())
    low, high = np.percentile(contrast_of, (1, 99))
    if contrast == 0 or contrast < 0.3 * float(high - low):
        return False
    ink = np.abs(bar - level) > 0.5 * contrast
    jumps = (ink[:, 1:] != ink[:, :-1]).sum(axis=1)
    return bool(0.002 <= ink.mean() <= 0.5 and (jumps >= 6).sum() >= 5)
