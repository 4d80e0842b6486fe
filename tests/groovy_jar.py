"""Groovy and Appose from Maven Central: Fiji runs scripts in the one, and builds environments by the other. For several
test files."""

from __future__ import annotations

from pathlib import Path

from fijibridge.jvm.maven import Jar, fetched

GROOVY = Jar(
    "org.apache.groovy", "groovy", "4.0.27", "c9103813240be47a6c48bcdda7c5ed2e5fc9ecba3251c6ab8122258230a97f9d"
)
# What Appose needs to build environments: it writes JSON by Groovy's module, and unpacks pixi by Commons Compress.
APPOSE = (
    Jar("org.apposed", "appose", "0.9.0", "b09ce4ff9d7a29518bba7ec7903c63d0504159637376506d9b2a3a70ed37b1bc"),
    Jar(
        "org.apache.groovy", "groovy-json", "4.0.27", "a614690bb526370d4b80ced80e9ecfc9afd59acffed8f72d62f36478978dbd14"
    ),
    Jar(
        "org.apache.commons",
        "commons-compress",
        "1.28.0",
        "e1522945218456f3649a39bc4afd70ce4bd466221519dba7d378f2141a4642ca",
    ),
)


def groovy_jar() -> Path:
    """The file, fetched once."""
    return fetched(GROOVY)


def appose_jars() -> list[Path]:
    """The files, fetched once."""
    return [fetched(jar) for jar in APPOSE]
