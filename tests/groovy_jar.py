"""Groovy from Maven Central, in which Fiji runs scripts. For several test files."""

from __future__ import annotations

from pathlib import Path

from fijibridge.jvm.maven import Jar, fetched

GROOVY = Jar(
    "org.apache.groovy", "groovy", "4.0.27", "c9103813240be47a6c48bcdda7c5ed2e5fc9ecba3251c6ab8122258230a97f9d"
)


def groovy_jar() -> Path:
    """The file, fetched once."""
    return fetched(GROOVY)
