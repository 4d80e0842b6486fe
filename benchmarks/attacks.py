"""Hostile and broken inputs, requests, kills and full disks: tried and failed, a kind at a time.

Each attack runs in a process of its own with bounded time and memory; nothing leaves the machine (loopback only).
Right is a refusal in words or a right result; a traceback, a hang, too much memory, a lost result or litter fails. ::

    python benchmarks/attacks.py [--only images,rois] [--list] [--json FILE]
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import time
from pathlib import Path

from attack_kinds.attack import attempt
from results import Results, add_json

KINDS = ("images", "rois", "classifiers", "toml", "network_files", "requests", "edges", "kills", "full_disk")


def main() -> int:
    """Try them; the exit status is 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(KINDS), help="kinds, with commas between")
    parser.add_argument("--list", action="store_true", help="name each attack")
    add_json(parser)
    choice = parser.parse_args()
    table = Results("attacks", choice.json).table(
        "attacks",
        "hostile and broken inputs, each in a process of its own (5 s and 1 GiB where nothing else is said)",
        {"kind": "", "goal": "d", "tried": "d", "failed": "d", "seconds": ".0f"},
    )
    failures = 0
    for name in choice.only.split(","):
        kind = importlib.import_module(f"attack_kinds.{name}")
        begin, tried, failed = time.monotonic(), 0, 0
        with tempfile.TemporaryDirectory(prefix="attacks-") as folder:
            for attack in kind.attacks(Path(folder)):
                wrong = attempt(attack)
                tried, failed = tried + 1, failed + bool(wrong)
                if wrong or choice.list:
                    print(f"{name}: {attack.name}: {wrong or 'right'}", file=sys.stderr, flush=True)
        table.add(kind.TITLE, kind.GOAL, tried, failed, time.monotonic() - begin)
        failures += failed
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
