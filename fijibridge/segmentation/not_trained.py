"""The error of what was not trained; apart, since it loads scikit-learn."""

from __future__ import annotations

from sklearn.exceptions import NotFittedError

from fijibridge.core.errors import SettingsError


class NotTrainedError(SettingsError, NotFittedError):
    """A segmenter that was not trained."""
