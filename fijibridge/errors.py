"""Errors a user can act on: what was found, what was expected, and the remedy."""

from __future__ import annotations


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
        super().__init__(found, expected, remedy)
        self.found = found
        self.expected = expected
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.found}\n  expected: {self.expected}\n  remedy: {self.remedy}"


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
    """Features that were made another way than those the classifier was trained on."""


class JavaError(BridgeError, RuntimeError):
    """No Java, one too old, or a running JVM that cannot serve."""


class MacroError(BridgeError, RuntimeError):
    """An ImageJ macro that failed, or stopped itself with a message."""


class ServiceError(BridgeError, RuntimeError):
    """The local service for macros, or an installation for it, that cannot serve."""


class OutputError(BridgeError, OSError):
    """A place that cannot be written to, or that already holds something."""
