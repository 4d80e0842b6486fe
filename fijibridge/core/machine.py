"""Memory of the machine."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from fijibridge.core.errors import SettingsError

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt])i?b?", re.IGNORECASE | re.ASCII)


def bytes_of(text: str) -> int:
    """A size such as ``2GB``, ``1.5 GiB`` or ``500m`` in bytes (a G is 2^30); 0 for an empty text.

    Parameters
    ----------
    text : str
        A number and K, M, G or T.

    Raises
    ------
    SettingsError
        Malformed, or nothing.
    """
    if not text.strip():
        return 0
    match = _SIZE.fullmatch(text.strip())
    size = int(float(match.group(1)) * 2 ** (10 * (1 + "kmgt".index(match.group(2).lower())))) if match else 0
    if not size:
        raise SettingsError(f"memory = {text!r}", expected="a number and its unit", remedy="such as 2GB or 500MB")
    return size


def machine_memory() -> int:
    """Memory of the machine, or of the container where one limits it.

    Returns
    -------
    int
        Bytes.
    """
    if sys.platform == "win32":
        import ctypes

        class Status(ctypes.Structure):
            _fields_ = [  # the layout of MEMORYSTATUSEX
                ("length", ctypes.c_ulong), ("load", ctypes.c_ulong), ("total", ctypes.c_ulonglong),
                *((name, ctypes.c_ulonglong) for name in ("a", "b", "c", "d", "e", "f")),
            ]  # fmt: skip

        status = Status(length=ctypes.sizeof(Status))
        ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
        return int(status.total)
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            total = min(total, int(Path(limit).read_text()))
        except (OSError, ValueError):  # not Linux, not in a container, or "max"
            continue
    return total


def free_memory() -> int:
    """Memory that this process may still take: what the machine has free, within the limits set to it.

    Returns
    -------
    int
        Bytes; those of the whole machine where the system does not say.
    """
    free = machine_memory()
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            words = next(line.split() for line in file if line.startswith("MemAvailable"))
        free = min(free, int(words[1]) * 1024)
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
            free = min(free, limit - used)
    except (OSError, ValueError, StopIteration, ImportError):  # not Linux
        pass
    return free


def peak_memory_mib() -> float | None:
    """The process's largest resident memory so far, in MiB; None where the system does not say."""
    try:
        # the kernel counts getrusage's from the process that started this one on, which may have been larger
        with open("/proc/self/status", encoding="ascii") as file:
            words = next(line.split() for line in file if line.startswith("VmHWM"))
        return round(int(words[1]) / 2**10, 1)
    except (OSError, ValueError, StopIteration):  # not Linux
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)
