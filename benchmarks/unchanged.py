"""Whether every operation still gives the same numbers: for changes of the code that should change none.

    python benchmarks/unchanged.py [--only NAME ...] [--write] [--list]

Runs all operations on small simulated inputs (and two on a real micrograph, where the data folder is there), and
compares SHA-256 digests of all pixels, table values and trained weights with ``benchmarks/results/unchanged.json``.
One line a case: its digest, CPU seconds, and ``equal``, ``CHANGED`` with the parts that did, or ``new``. The exit code
is 1 where something changed or failed. ``--only`` takes the beginnings of names; ``--write`` writes the JSON (with
``--only`` those cases in it).

One thread does the work: sums of several may round otherwise, and beside other work one is the fastest. Digests are
those of one machine: another processor or version of a library may round otherwise. So write the JSON before a change,
on the machine that runs the comparison after it. Cases and the words they use are in ``unchanged_cases.py`` and
``unchanged_volumes.py``, what is compared in ``unchanged_digests.py``.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"  # before a library reads it

from machine import describe, processor  # noqa: E402
from unchanged_cases import Skipped, Workshop  # noqa: E402
from unchanged_digests import of_texts  # noqa: E402
from unchanged_volumes import CASES  # noqa: E402

from fijibridge.core.cache import cache_folder  # noqa: E402
from fijibridge.core.versions import versions  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "unchanged.json"


def machine() -> dict[str, Any]:
    """What digests may depend on besides the code."""
    libraries = {name: number for name, number in versions().items() if name != "fijibridge"}
    return {"processor": processor(), "python": platform.python_version(), "libraries": libraries}


def own_cache(folder: Path) -> None:
    """A cache that has the weights alone: what else is kept there must not come from other code or threads."""
    (weights := cache_folder() / "weights").mkdir(parents=True, exist_ok=True)
    folder.mkdir()
    (folder / "weights").symlink_to(weights.absolute(), target_is_directory=True)
    os.environ["FIJIBRIDGE_CACHE"] = str(folder)


def changes(parts: dict[str, str], known: dict[str, str] | None) -> tuple[str, list[str]]:
    """The verdict on a case, and the parts that tell of it. A part that is new alone is no change."""
    if known is None:
        return "new", []
    wrong = [name if name in parts else f"no {name}" for name in known if parts.get(name) != known[name]]
    further = [f"also {name}" for name in parts if name not in known]
    return ("CHANGED" if wrong else "equal"), wrong + further


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=[""], metavar="NAME", help="beginnings of the cases' names")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}")
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    arguments = parser.parse_args()
    chosen = {name: run for name, run in CASES.items() if name.startswith(tuple(arguments.only))}
    if arguments.list or not chosen:
        print(*(chosen or CASES), sep="\n")
        return 0 if chosen else 2
    stored = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    known = stored.get("cases", {})
    print(describe(), flush=True)
    if stored and stored["machine"] != machine():
        print("another machine or other versions than those of the JSON: digests may differ for that alone")
    logging.disable(logging.WARNING)
    found, bad, began = {}, 0, time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        own_cache(Path(folder) / "cache")
        shop = Workshop(Path(folder))
        for name, run in chosen.items():
            started = time.process_time()
            try:
                parts = run(shop)
            except Skipped as reason:
                print(f"{name:34} {'':12}         skipped: {reason}", flush=True)
                continue
            except Exception as error:  # the others are still of interest
                bad += 1
                print(f"{name:34} {'':12}         FAILED: {type(error).__name__}: {error}", flush=True)
                continue
            note = parts.pop("note", "")
            verdict, told = changes(parts, known.get(name))
            bad += verdict == "CHANGED"
            found[name] = parts
            whole = of_texts(f"{part} {parts[part]}" for part in sorted(parts))[:12]
            more = "; ".join(filter(None, [", ".join(told), note]))
            print(f"{name:34} {whole} {time.process_time() - started:6.1f} s {verdict} {more}".rstrip(), flush=True)
    print(f"{len(found)} cases, {bad} changed or failed, {time.perf_counter() - began:.0f} s")
    if arguments.write:
        RESULTS.parent.mkdir(exist_ok=True)
        every = known | found
        cases = {name: every[name] for name in CASES if name in every}
        content = {"date": str(date.today()), "machine": machine(), "cases": cases}
        RESULTS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        return 0
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
