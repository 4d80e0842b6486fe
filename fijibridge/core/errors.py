"""Errors a user can act on: what was found, what was expected, and the remedy."""

from __future__ import annotations

from typing import Any

_LONGEST = 1000  # characters


class BridgeError(Exception):
    """Base of every error that fijibridge raises on purpose.

    Parameters
    ----------
    found : str
        What was met, in the user's words, with the file or value named.
    expected : str
        What would have been right.
    remedy : str
        What the user can do now.
    """

    def __init__(self, found: str, *, expected: str, remedy: str) -> None:
        found, expected, remedy = (_cut(text) for text in (found, expected, remedy))
        super().__init__(found, expected, remedy)
        self.found = found
        self.expected = expected
        self.remedy = remedy

    def __reduce__(self) -> tuple[Any, ...]:
        """How it comes back from a worker process."""
        return _again, (type(self), self.found, self.expected, self.remedy)

    def __str__(self) -> str:
        return f"{self.found}\n  expected: {self.expected}\n  remedy: {self.remedy}"


def _cut(text: str) -> str:
    """A text that a screen holds, whatever a file held: its start and its end."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 200]} ... {text[-190:]}"


def _again(kind: type[BridgeError], found: str, expected: str, remedy: str) -> BridgeError:
    return kind(found, expected=expected, remedy=remedy)


class ImageNotFoundError(BridgeError, FileNotFoundError):
    """An image, label or classifier file that is not there."""


class ImageError(BridgeError, ValueError):
    """An image that cannot be read or cannot be used: empty, NaN, wrong axes."""


class LabelsError(BridgeError, ValueError):
    """Labels that cannot train: other size, fewer than two classes, a value with no name."""


class SettingsError(BridgeError, ValueError):
    """A setting outside its range, or an unknown name."""


class WeightsError(BridgeError, RuntimeError):
    """Pre-trained weights that cannot be had, or whose checksum is wrong."""


class ModelFileError(BridgeError, ValueError):
    """A classifier file that is truncated, of another kind, or holds what it must not."""


class FeatureMismatchError(BridgeError, ValueError):
    """Features that differ from those the classifier was trained on."""


class JavaError(BridgeError, RuntimeError):
    """No Java, one too old, or a running JVM that cannot serve."""


class MacroError(BridgeError, RuntimeError):
    """An ImageJ macro that failed, or stopped itself with a message."""


class ServiceError(BridgeError, RuntimeError):
    """The local service for macros, or an installation for it, that cannot serve."""


class OutputError(BridgeError, OSError):
    """A place that cannot be written to, or that already holds something."""
