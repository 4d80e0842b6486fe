"""Our own Java: files that a Java compiler takes as they are, and that javassist takes member by member."""

from __future__ import annotations

from importlib.resources import files

import pytest

from fijibridge.forest.java.compiler import _CLASSES as _NAMES
from fijibridge.forest.java.compiler import _STATIC, class_members


def test_a_class_taken_apart():
    head, members = class_members(
        "package p;\n/** A class { with; braces } */\n"
        "public class A extends b.C implements d.E {\n"
        '    private String text = "{;}"; // }\n'
        '    public A(int x) { this.text = "\\"}"; }\n'
        "    /* { */ static int f() { if (1 / 1 > '}') { return 1; } return 2; }\n"
        "}\n"
    )
    assert head == {"extends": "b.C", "implements": "d.E"}
    assert [member.split("(")[0] for member in members] == ['private String text = "{;}";', "public A", "static int f"]
    assert members[2].endswith("return 2; }")


@pytest.mark.parametrize("name", _NAMES)
def test_members_are_those_of_the_compiled_class(java, name):
    from fijibridge.forest.java import compiler

    _, members = class_members(files("fijibridge.forest.java").joinpath(f"{name}.java").read_text(encoding="utf-8"))
    made = compiler._classes()[name].class_
    kinds = made.getDeclaredFields(), made.getDeclaredConstructors(), made.getDeclaredMethods()
    declared = len(kinds[0]) + len(kinds[1]) * (name not in _STATIC) + len(kinds[2])
    assert declared == len(members)


def test_a_java_compiler_takes_them(java, tmp_path):
    import jpype

    compiler = java.jclass("javax.tools.ToolProvider").getSystemJavaCompiler()
    if compiler is None:
        pytest.skip("no Java compiler on this machine")
    paths = []
    for name in _NAMES:
        path = tmp_path / f"{name}.java"
        path.write_text(files("fijibridge.forest.java").joinpath(path.name).read_text(encoding="utf-8"), "utf-8")
        paths.append(str(path))
    classes = str(java.jclass("java.lang.System").getProperty("java.class.path"))
    said = java.jclass("java.io.ByteArrayOutputStream")()
    options = ["-nowarn", "-d", str(tmp_path), "-cp", classes, *paths]
    assert compiler.run(None, None, said, jpype.JString[:](options)) == 0, str(said)
