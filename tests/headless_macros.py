"""Macro files run one after the other in a headless ImageJ of their own. For several test files."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

# as a headless ImageJ runs them; a command's options are given as run() gives them
_CODE = """
import json, sys
import scyjava
folder, work = sys.argv[1:3]
scyjava.config.add_option(f"-Dplugins.dir={folder}")
from fijibridge import jvm
gateway = jvm.start(heap="400m")
IJ, Macro = gateway.jclass("ij.IJ"), gateway.jclass("ij.Macro")
IJ.run("Conversions...", "scale")  # the first command makes ImageJ find its folders
gateway.jclass("java.lang.Thread").currentThread().setName("Run$_main")
answers = []
for file, options in json.load(open(work, encoding="utf-8")):
    Macro.setOptions(options)
    answer = IJ.runMacroFile(file, "")
    Macro.setOptions(None)
    answers.append(None if answer is None else str(answer))
json.dump(answers, open(work + ".out", "w", encoding="utf-8"))
"""


def run_headless(imagej: Path, macros: list[tuple[str, str]]) -> tuple[list[str | None], str]:
    """Run macro files, each with its options: what they return, and what was printed."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder) / "macros.json"
        work.write_text(json.dumps(macros), encoding="utf-8")
        command = [sys.executable, "-W", "error", "-c", _CODE, str(imagej), str(work)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(Path(f"{work}.out").read_text(encoding="utf-8")), done.stdout
