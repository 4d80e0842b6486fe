"""One channel of several: detectors or stains of one field, chosen by name or number."""

from __future__ import annotations

from collections.abc import Sequence

from fijibridge.core.errors import ImageError


def channel_notes(names: Sequence[str], chosen: int) -> tuple[str, ...]:
    """Which channel of several was read, in words.

    Parameters
    ----------
    names : sequence of str
        Of the channels.
    chosen : int
        From 0.
    """
    return (f"channel {names[chosen] or chosen + 1} of {len(names)} was read",) if len(names) > 1 else ()


def choose_channel(what: str, names: Sequence[str], wanted: str, *, remedy: str = "") -> int:
    """Choose a channel.

    Parameters
    ----------
    what : str
        The file, as the user may write it.
    names : sequence of str
        Of its channels; one, empty, where it has no channels.
    wanted : str
        A name, else a number from 1; empty: the only one.
    remedy : str
        What else helps where none was chosen.

    Returns
    -------
    int
        From 0.

    Raises
    ------
    ImageError
        Several and none chosen, or none of that name.
    """
    listed = ", ".join(f"{number} {name}".rstrip() for number, name in enumerate(names, start=1))
    some = next((name for name in names if name), "1")
    how = f'name one behind the path: {what}/{some}; in Python also channel="{some}"'
    if not wanted:
        if len(names) == 1:
            return 0
        raise ImageError(
            f"{what} has {len(names)} channels: {listed}",
            expected="one grey channel, or RGB",
            remedy="; ".join(part for part in (how, remedy) if part),
        )
    for same in (str, str.casefold):
        found = [index for index, name in enumerate(names) if name and same(name) == same(wanted)]
        if len(found) == 1:
            return found[0]
    if wanted.isascii() and wanted.isdigit() and 0 < int(wanted) <= len(names):
        return int(wanted) - 1
    has = f"{len(names)} channels: {listed}" if len(names) > 1 else f"one channel{f', {names[0]}' if names[0] else ''}"
    raise ImageError(
        f"channel {wanted!r} of {what}, which has {has}",
        expected="a name, or a number from 1",
        remedy=how if len(names) > 1 else f"name the file alone: {what}",
    )
