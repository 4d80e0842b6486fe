"""What the tests of operations share."""

from __future__ import annotations

import pytest

from fijibridge.jvm import find_java


@pytest.fixture(scope="session", autouse=True)
def _one_jvm(request):
    """The tests' own JVM, before a classifier is saved and starts one with another heap."""
    if find_java():
        request.getfixturevalue("java")
