"""Type checkers and editors see the true types of the public names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import fijibridge

SCRIPT = Path(__file__).with_name("typed_script.py")


def _mypy(script: Path, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    # no configuration: a user has none of ours; the package's own errors are another check's
    options = ["--strict", "--config-file=", "--follow-imports=silent", "--ignore-missing-imports"]
    return subprocess.run(
        [sys.executable, "-m", "mypy", *options, "--cache-dir", str(tmp_path / "cache"), str(script)],
        capture_output=True, text=True, check=False, timeout=900, cwd=Path(fijibridge.__file__).parents[1],
    )  # fmt: skip


def test_the_package_says_that_it_has_types():
    assert Path(fijibridge.__file__).with_name("py.typed").is_file()


@pytest.mark.slow
def test_a_users_script_has_true_types(tmp_path):
    done = _mypy(SCRIPT, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    wrong = tmp_path / "wrong.py"
    wrong.write_text('import fijibridge as fb\nx: int = fb.read_image("x.tif")\n', encoding="utf-8")
    assert '"Image", variable has type "int"' in _mypy(wrong, tmp_path).stdout
