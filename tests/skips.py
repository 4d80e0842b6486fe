"""Which skipped tests allowed_skips.txt does not allow; not in conftest.py, since other folders have one, too."""

from __future__ import annotations

import re


def not_allowed(skipped: list[str], allowed: str) -> list[str]:
    """The skipped tests whose reason is none of ``allowed``, the text of allowed_skips.txt."""
    patterns = [line for line in allowed.splitlines() if line and not line.startswith("#")]
    return [test for test in skipped if not any(re.search(pattern, test) for pattern in patterns)]
