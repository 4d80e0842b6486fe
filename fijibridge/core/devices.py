"""Where torch works: the device, and its CPU threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fijibridge.core.errors import SettingsError


def torch_device(name: str) -> str:
    """The device to work on: "auto" is a GPU where torch sees one.

    Raises
    ------
    SettingsError
        A device that torch does not have.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise SettingsError(
            f"device {name!r}: {str(error).splitlines()[0]}",
            expected="auto, cpu, or a GPU of this machine such as cuda",
            remedy="use auto",
        ) from error
    return name


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """torch with so many CPU threads for a while; 0: as it is."""
    import torch

    before = torch.get_num_threads()
    if count:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fast_bfloat16() -> bool:
    """Whether the CPU has instructions for bfloat16, with which convolutions take half the time."""
    import torch

    return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", bool)())  # torch has no public name for it yet
