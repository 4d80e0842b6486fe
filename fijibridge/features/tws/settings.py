"""What a user chooses for TWS's features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fijibridge.features.source import SourceSettings


@dataclass(frozen=True)
class TwsSettings(SourceSettings):
    """TWS 4.0's 76 default features; nothing is to be chosen."""

    kind: ClassVar[str] = "tws"
