"""Each operation where the disk is full: refused in words, the older result untouched, nothing left; and then done.

The disk is a small file system in memory where the user may mount one, and else a limit on the size of files.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from attack_kinds.attack import Attack
from attack_kinds.small_work import Work, contents, works

TITLE = "each operation on a full disk"
GOAL = 28
_LARGE = 64 << 20


def attacks(folder: Path) -> Iterator[Attack]:
    """Each operation with no room at all, and with room for half of its result.

    Parameters
    ----------
    folder : Path
        Empty.
    """
    disk = folder / "disk"
    disk.mkdir()
    mounted = _mount(disk, _LARGE)
    try:
        for number, work in enumerate(works(folder)):
            place = disk / str(number)
            place.mkdir()
            before = _used(disk)
            subprocess.run(work.command(place), check=True)
            right, size = contents(place, place / work.out), _used(disk) - before
            for share in (0.0, 0.5):
                yield Attack(
                    f"{work.name}: room for {share:.0%} of its result",
                    lambda work=work, place=place, right=right, room=int(share * size): _full(
                        work, place, right, room, mounted
                    ),
                    seconds=240,
                    memory=None,
                )
    finally:
        if mounted:
            subprocess.run(["umount", "-l", disk], check=True)


def _mount(disk: Path, size: int) -> bool:
    """A small file system, or a new size of one that is mounted; False where that is not allowed."""
    again = ["-o", f"remount,size={size}"] if os.path.ismount(disk) else ["-t", "tmpfs", "-o", f"size={size}", "tmpfs"]
    done = subprocess.run(["mount", *again, disk], capture_output=True, check=False)
    return done.returncode == 0


def _used(disk: Path) -> int:
    return sum(path.lstat().st_blocks * 512 for path in disk.rglob("*"))


def _full(work: Work, place: Path, right: str, room: int, mounted: bool) -> None:
    disk, names = place.parent, set(os.listdir(place))
    limit = 0
    if mounted:
        state = os.statvfs(disk)
        page = state.f_frsize
        used = (state.f_blocks - state.f_bfree) * page
        assert _mount(disk, used + max(page, room // page * page))
    else:
        limit = max(512, room // 4)
    command = work.command(place, "--overwrite", file_limit=limit)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted:
        assert _mount(disk, _LARGE)
    assert "Traceback" not in done.stderr, done.stderr[-300:]
    assert done.returncode == 2, f"exit status {done.returncode}: {done.stderr[-300:]}"
    assert "cannot be written" in done.stderr, done.stderr[-300:]
    assert "remedy: free some space" in done.stderr, done.stderr[-300:]
    out = place / work.out
    state_file = out.with_name(f"{out.stem}.resume")
    left = set(os.listdir(place)) - names - {state_file.name}
    assert not left, f"left: {left}"
    network = (out / "checkpoint.json").is_file()
    if not network:
        assert contents(place, out) == right, "the older result"
    more = ["--resume"] if network else ["--overwrite", *(["--resume"] if state_file.exists() else [])]
    done = subprocess.run(work.command(place, *more), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"afterwards: exit status {done.returncode}: {done.stderr[-300:]}"
    assert contents(place, out) == right, "afterwards: another result"
    left = set(os.listdir(place)) - names
    assert not left, f"afterwards left: {left}"
