"""Configurations of simulated data sets: values of another type, beyond any range, nested, damaged."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from attack_kinds.attack import Attack, command_line
from attack_kinds.mutations import damaged, refused

TITLE = "TOML"
GOAL = 88

_VALUES = (
    '"x"', '""', "-1", "0", "1e308", "nan", "inf", "-inf", "true", "[]", "[1]", "[2, 1]", "[nan, 1]", '["a", 1]',
    "[[1]]", "{}", "{a = 1}", "1979-05-27", "07:32:00", "9" * 5000, "1" + "0" * 400,
)  # fmt: skip
# keys that take no text at all, or no value of most kinds
_KEYS = (
    "size", "depth", "sections", "spacing", "pixel_size", "name", "preset", "structure", "imaging", "materials",
    "composition", "structure.cam_fraction", "structure.porosity", "imaging.bits", "imaging.defocus",
    "materials.CAM", "composition.CAM", "nothing", "structure.nothing", "materials.nothing",
)  # fmt: skip
_FORMULAS = ('"C' + "9" * 400 + '"', '"' + "C" * 10**5 + '"', '"Li(2"', '""', "5", '"Xx2"', '"C0"')


def attacks(folder: Path) -> Iterator[Attack]:
    """See the runner."""
    from fijibridge.synthesis.config import SimulationConfig, draw_imaging, draw_structure, load_config

    rng = random.Random(18)
    number = iter(range(10**6))

    def write(text: str | bytes) -> Path:
        path = folder / f"{next(number)}.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def drawn(path: Path) -> None:
        """What is accepted can be drawn from: its numbers are those that the settings declare."""
        import numpy as np

        config = load_config(path)
        assert isinstance(config, SimulationConfig)
        for seed in range(3):
            draw_structure(config, np.random.default_rng(seed))
            draw_imaging(config, np.random.default_rng(seed))

    base = 'preset = "generic"\n'
    yield Attack("a preset alone", partial(drawn, write(base)))
    for key in _KEYS:
        for value in _VALUES:
            yield Attack(
                f"{key} = {value[:20]}", partial(drawn, write(f"{key} = {value}\n" + base * (key != "preset")))
            )
    for formula in _FORMULAS:
        text = f"{base}[materials.CAM]\nformula = {formula}\ndensity = 4.7\n"
        yield Attack(f"the formula {formula[:12]}", partial(refused, partial(drawn, write(text)), formula[:12]))
    for key in ("density", "se_yield", "milling_rate", "roughness", "channelling", "conducting", "name"):
        for value in ("nan", "inf", "1e300", "-1", '"a\\nb"', "[]", "5"):
            text = f'{base}[materials.CAM]\nformula = "C"\n' + ("" if key == "density" else "density = 2.2\n")
            yield Attack(f"CAM's {key} = {value}", partial(drawn, write(f"{text}{key} = {value}\n")))

    # shapes of the file
    deep = 100_000
    for name, text in (
        ("nested lists", f"{base}size = {'[' * deep}{']' * deep}"),
        ("nested tables", f"{base}size = {'{a=' * deep}1{'}' * deep}"),
        ("a key of many dots", f"{base}{'a.' * deep}a = 1"),
        ("a key of 40 dots", f"{base}{'a.' * 40}a = 1"),
        ("a long key", f"{base}{'a' * 500_000} = 1"),
        ("a long text", f'{base}name = "{"x" * 900_000}"'),
        ("10,000 keys", base + "\n".join(f"k{k} = {k}" for k in range(10_000))),
        ("10,000 sections", base + "\n".join(f"[s{k}]" for k in range(10_000))),
        ("a file too large", base + "# " + "x" * 2**21),
        ("a key twice", f"{base}size = 64\nsize = 128"),
        ("a name with a line's end", 'preset = "generic"\nname = "a\\nshow=x"'),
        ("a name with NUL", 'preset = "generic"\nname = "a\\u0000"'),
        ("another preset", 'preset = "../../etc/passwd"'),
        ("an empty key", f'{base}"" = 1'),
        ("a key with a line's end", f'{base}"a\\nb" = 1'),
    ):
        yield Attack(name, partial(refused, partial(drawn, write(text)), name))
    for name, data in (("Latin-1", b"name = '\xe9'"), ("UTF-16", base.encode("utf-16")), ("NUL", b"\0" * 99)):
        yield Attack(name, partial(refused, partial(drawn, write(data)), name))
    for name, data in damaged((base + "size = 128\n[structure]\nporosity = [0.05, 0.1]\n").encode(), rng):
        yield Attack(f"a file {name}", partial(drawn, write(data)))
    os.mkfifo(folder / "pipe.toml")
    yield Attack("a pipe", partial(refused, partial(load_config, folder / "pipe.toml"), "a pipe"))
    yield Attack("a folder", partial(refused, partial(load_config, folder), "a folder"))
    yield Attack("a name with NUL", partial(refused, partial(load_config, Path("a\0b.toml")), "NUL"))

    # the command line
    for text in ("structure = 5", f"size = {'[' * deep}", f"size = {'9' * 5000}", 'pixel_size = "a"', "materials = 5"):
        words = ("simulate", "--config", write(base + text), "--out", folder / "out", "--count", 1, "--quiet")
        yield Attack(f"simulate with {text[:20]}", partial(command_line, *words), seconds=20)
