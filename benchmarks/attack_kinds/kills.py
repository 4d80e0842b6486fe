"""Long operations that are ended at random moments, on an older result that they replace.

After each kill the exit status is right, the older result is there or the new one is, whole, nothing is half written,
and no process lives on; after the last of a row, the work is done again (resumed where it can be): its result is that
of a run without a stop, and nothing else is left.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from attack_kinds.attack import Attack
from attack_kinds.small_work import Work, contents, wait_until_gone, works

TITLE = "kills over all long operations"
GOAL = 100
_KILLS = 8  # in a row, of an operation
_SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
_STATUS = {signal.SIGKILL: (-9,), signal.SIGTERM: (143, -15), signal.SIGHUP: (129, -1), signal.SIGINT: (130, -2)}


def attacks(folder: Path) -> Iterator[Attack]:
    """A row of kills of each operation, and the run behind it.

    Parameters
    ----------
    folder : Path
        Empty.
    """
    rng = random.Random(18)
    for number, work in enumerate(works(folder)):
        place = folder / str(number)
        place.mkdir()
        begin = time.monotonic()
        subprocess.run(work.command(place), check=True)
        row = Row(work, place, time.monotonic() - begin, contents(place, place / work.out))
        if place.joinpath(work.out).is_dir():
            (place / work.out / "notes.txt").write_text("mine", encoding="utf-8")
        if number % 2:  # the other half without an older result
            shutil.move(place, folder / "elsewhere")
            shutil.rmtree(folder / "elsewhere")
            place.mkdir()
            row.older = False
        for kill in range(_KILLS):
            ending = _SIGNALS[(kill + number) % len(_SIGNALS)]
            # mostly while it works: its first third is Python's start
            share = rng.uniform(0.15, 1.0)
            yield Attack(
                f"{work.name}: {ending.name} at {share:.0%}",
                lambda ending=ending, share=share, row=row: row.kill(ending, share),
                seconds=120,
                memory=None,
            )
        yield Attack(f"{work.name}: done again", row.again, seconds=240, memory=None)


@dataclass
class Row:
    """Kills of one operation, one after the other, on what the last ones left."""

    work: Work
    place: Path
    seconds: float
    right: str
    older: bool = True
    _log: Path = field(init=False)

    def __post_init__(self) -> None:
        self._log = self.place.with_suffix(".log")

    def _more(self) -> list[str]:
        """The options with which a person goes on."""
        out = self.place / self.work.out
        state = out.with_name(f"{out.stem}.resume")
        network = (out / "checkpoint.json").is_file()
        begun = self.work.words[0] == "simulate" and (out / "dataset.json").is_file() and not self.older
        there = out.exists() or out.with_name(f"{out.stem}_report").exists()
        resume = ["--resume"] if self.work.resumes and (state.exists() or network or begun) else []
        if network or begun or (resume and self.work.words[0] == "simulate"):
            return resume
        return resume + (["--overwrite"] if there else [])

    def kill(self, ending: signal.Signals, share: float) -> None:
        """One kill, and the look at what it left."""
        with self._log.open("w", encoding="utf-8") as log:
            process = subprocess.Popen(
                self.work.command(self.place, *self._more()), stdout=log, stderr=log, start_new_session=True
            )
            try:
                time.sleep(share * self.seconds)
                os.kill(process.pid, ending)
                status = process.wait(30)
            finally:
                if process.poll() is None:
                    process.kill()
        said = self._log.read_text(encoding="utf-8")
        assert "Traceback" not in said, said[-300:]
        assert status in (*_STATUS[ending], 0), f"exit status {status}: {said[-300:]}"
        wait_until_gone(process.pid)
        self._look(ending)

    def again(self) -> None:
        """Done without a kill: as if there had been none."""
        done = subprocess.run(self.work.command(self.place, *self._more()), capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"exit status {done.returncode}: {done.stderr[-300:]}"
        assert contents(self.place, self.place / self.work.out) == self.right, "another result than without a stop"
        left = {path.name for path in self.place.iterdir()}
        wanted = {self.work.out, f"{Path(self.work.out).stem}_report"}
        assert left <= wanted, f"left: {left - wanted}"
        out = self.place / self.work.out
        hidden = [path.name for path in out.glob(".*") if path.name != ".fijibridge.json"] if out.is_dir() else []
        assert not hidden, f"left: {hidden}"

    def _look(self, ending: signal.Signals) -> None:
        out = self.place / self.work.out
        report = out.with_name(f"{out.stem}_report")
        state = out.with_name(f"{out.stem}.resume")
        names = {path.name for path in self.place.iterdir()}
        hidden = {name for name in names if name.startswith(f".{out.stem}")}
        if ending != signal.SIGKILL:
            assert not hidden, f"left behind: {hidden}"
        other = names - hidden - {out.name, report.name, state.name}
        assert not other, f"left behind: {other}"
        if self.older:
            assert out.exists(), "the older result is gone"
            if out.is_dir():
                assert (out / "notes.txt").read_text(encoding="utf-8") == "mine", "the user's notes"
        grows = self.work.words[0] in ("simulate", "train-network") and not self.older
        if out.exists() and not grows and self.work.words[0] != "train-network":
            assert contents(self.place, out) == self.right, "neither the older nor the new result"
        elif out.exists() and (out / "network.json").is_file():
            from fijibridge.network.file import load_network

            load_network(out)
