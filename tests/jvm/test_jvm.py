"""The JVM: which Java, which jars, heap, start, attach, Ctrl-C and exit. Each start needs a process of its own."""

from __future__ import annotations

import hashlib
import os
import sys

import pytest

from fijibridge import jvm
from fijibridge.core.errors import JavaError, SettingsError
from fijibridge.core.machine import machine_memory
from fijibridge.jvm import maven
from fijibridge.jvm.java import heap_bytes, major_version, require_java

_posix = pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands in for java")


@pytest.fixture
def fake_java(tmp_path):
    """A folder like JAVA_HOME whose java only says a version."""

    def make(version: str, name: str = "jdk"):
        home = tmp_path / name
        (home / "bin").mkdir(parents=True)
        script = home / "bin" / "java"
        script.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n", encoding="utf-8")
        script.chmod(0o755)
        return home

    return make


def test_import_loads_no_java(run_python):
    done = run_python(
        "import sys, fijibridge.jvm, fijibridge.forest.java.weka\n"
        "assert not {'jpype', 'scyjava', 'jgo'} & set(sys.modules), 'java loaded'"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("text", "major"), [("1.8.0_292", 8), ("11.0.2", 11), ("17", 17), ("21-ea", 21), ("x", 0)])
def test_major_version(text, major):
    assert major_version(text) == major


@_posix
def test_java_home_wins_over_path(fake_java, monkeypatch):
    home, other = fake_java("17.0.1", "a"), fake_java("21.0.1", "b")
    monkeypatch.setenv("JAVA_HOME", str(home))
    monkeypatch.setenv("PATH", str(other / "bin") + os.pathsep + os.environ["PATH"])
    assert (jvm.find_java().version, jvm.find_java().home) == ("17.0.1", home)


@_posix
def test_old_java_home_yields_to_a_newer_one_on_path(fake_java, monkeypatch):
    monkeypatch.setenv("JAVA_HOME", str(fake_java("1.8.0_292", "a")))
    monkeypatch.setenv("PATH", str(fake_java("21.0.1", "b") / "bin") + os.pathsep + os.environ["PATH"])
    assert jvm.find_java().major == 21


@_posix
def test_too_old_java(fake_java, monkeypatch):
    home = fake_java("1.8.0_292")
    monkeypatch.setenv("JAVA_HOME", str(home))
    monkeypatch.setenv("PATH", str(home / "nothing"))
    assert jvm.find_java().major == 8
    with pytest.raises(JavaError, match=r"Java 1\.8\.0_292[\s\S]*Java 11 or newer[\s\S]*install"):
        require_java()


def test_no_java(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
    assert jvm.find_java() is None
    with pytest.raises(JavaError, match=r"no Java[\s\S]*install"):
        require_java()


def test_start_without_java(tmp_path, run_python):
    done = run_python(
        "import fijibridge.jvm as j\nfrom fijibridge.core.errors import JavaError\n"
        "try:\n    j.start()\nexcept JavaError as e:\n    print('refused', e.remedy)",
        PATH=str(tmp_path),
        JAVA_HOME="",
    )
    assert done.returncode == 0, done.stderr
    assert "refused install Java" in done.stdout


@pytest.mark.parametrize("heap", ["", "4", "g", "-4g", "4 gigs", "1e3m", 4])
def test_malformed_heap(heap):
    with pytest.raises(SettingsError, match="heap="):
        heap_bytes(heap)


@pytest.mark.parametrize(("heap", "remedy"), [("4000t", "less"), ("1m", "more")])
def test_heap_out_of_range(heap, remedy):
    with pytest.raises(SettingsError) as caught:
        heap_bytes(heap)
    assert remedy in caught.value.remedy


def test_heap_sizes():
    assert heap_bytes("800m") == 800 * 2**20
    assert heap_bytes("0.5G") == heap_bytes("512 MiB") == 2**29
    assert 64 * 2**20 <= heap_bytes(None) <= min(8 * 2**30, machine_memory())


def test_jars_are_the_pinned_ones(java):
    names = [path.name for path in jvm.jars(offline=True)]
    assert len(names) == len(set(names)) == len(maven.PINNED)
    assert [name for name in names if name.startswith("weka-dev")] == ["weka-dev-3.9.6.jar"]
    assert not [name for name in names if "tests" in name]
    on_path = str(java.jclass("java.lang.System").getProperty("java.class.path"))
    assert on_path.count("weka-dev-") == 1


def test_damaged_and_missing_jars(tmp_path, monkeypatch):
    monkeypatch.setenv("M2_REPO", str(tmp_path))
    with pytest.raises(JavaError, match="network connection"):
        jvm.jars(offline=True)
    first = tmp_path / maven.PINNED[0].path
    first.parent.mkdir(parents=True)
    first.write_bytes(b"half a jar")
    with pytest.raises(JavaError, match="delete that file"):
        jvm.jars(offline=True)


def test_download_is_checked_and_leaves_no_half_file(tmp_path, monkeypatch):
    source = tmp_path / "central"
    blob = b"a jar"
    jar = maven.Jar("org.example", "thing", "1", hashlib.sha256(blob).hexdigest())
    (source / jar.path).parent.mkdir(parents=True)
    (source / jar.path).write_bytes(blob)
    monkeypatch.setattr("jgo.constants.MAVEN_CENTRAL_URL", source.as_uri())
    monkeypatch.setenv("M2_REPO", str(tmp_path / "m2"))
    target = tmp_path / "m2" / jar.path
    assert maven.fetched(jar).read_bytes() == blob
    wrong = maven.Jar("org.example", "thing", "1", "0" * 64)
    target.unlink()
    with pytest.raises(JavaError, match="proxy"):
        maven.fetched(wrong)
    gone = maven.Jar("org.example", "gone", "1", "0" * 64)
    with pytest.raises(JavaError, match="cannot fetch"):
        maven.fetched(gone)
    assert not [path for path in tmp_path.rglob("*.part")]


def test_start_is_idempotent_and_the_heap_is_fixed(java):
    assert jvm.start() is jvm.gateway() is java
    assert jvm.start(heap="1g") is java
    with pytest.raises(JavaError, match="before anything else"):
        jvm.start(heap="700m")


def test_unknown_class(java):
    with pytest.raises(JavaError, match="not on the class path"):
        java.jclass("no.such.Thing")


def test_menu_commands_work_headless(java):
    IJ = java.jclass("ij.IJ")
    image = IJ.createImage("spot", "32-bit black", 33, 33, 1)
    image.getProcessor().setf(16, 16, 100)
    IJ.run(image, "Gaussian Blur...", "sigma=2")
    assert 2 < image.getProcessor().getf(16, 16) < 6


@pytest.mark.slow
def test_exit_does_not_hang_and_heap_is_used(run_python):
    done = run_python(
        "import fijibridge.jvm as j\n"
        "import os; before = dict(os.environ)\n"
        "g = j.start(heap='300m')\n"
        "assert dict(os.environ) == before\n"
        "IJ = g.jclass('ij.IJ')\n"
        "image = IJ.createImage('a', '32-bit ramp', 512, 512, 1)\n"
        "IJ.run(image, 'Gaussian Blur...', 'sigma=5')\n"
        "IJ.run(image, 'Median...', 'radius=3')\n"
        "print(int(g.jclass('java.lang.Runtime').getRuntime().maxMemory()) // 2**20)",
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert 280 <= int(done.stdout.split()[-1]) <= 300


_INTERRUPT = """
import os, signal, subprocess, sys, time
import fijibridge.jvm as j
g = j.start(heap='200m')
kill = f"import os, signal, time; time.sleep(1); os.kill({os.getpid()}, signal.SIGINT)"
subprocess.Popen([sys.executable, "-S", "-c", kill])
began = time.monotonic()
try:
    BODY
    print("not interrupted")
except KeyboardInterrupt:
    print("interrupted after", time.monotonic() - began < 8)
"""


@_posix
@pytest.mark.parametrize(
    "body",
    ["time.sleep(20)", "g.jclass('java.lang.Thread').sleep(3000); time.sleep(20)"],
    ids=["in Python", "in Java"],
)
@pytest.mark.slow
def test_ctrl_c_reaches_python(run_python, body):
    done = run_python(_INTERRUPT.replace("BODY", body), timeout=60)
    assert done.stdout.strip() == "interrupted after True", done.stderr


@pytest.mark.slow
def test_attach_to_a_running_jvm(run_python):
    done = run_python(
        "import jpype, fijibridge.jvm as j\n"
        "from fijibridge.core.errors import JavaError\n"
        "for jar in j.jars(): jpype.addClassPath(jar)\n"
        "jpype.startJVM('-Xmx300m', '-Djava.awt.headless=true', '--add-opens=java.base/java.lang=ALL-UNNAMED')\n"
        "g = j.start()\n"
        "assert g.attached and j.start(heap='300m') is g\n"
        "try: j.start(heap='1g')\n"
        "except JavaError as e: print(e)\n"
        "IJ = g.jclass('ij.IJ')\n"
        "IJ.run(IJ.createImage('a', '32-bit ramp', 32, 32, 1), 'Gaussian Blur...', 'sigma=2')\n"
    )
    assert done.returncode == 0, done.stderr
    assert "heap='1g' asked of a JVM that runs" in done.stdout


@pytest.mark.slow
def test_refuse_a_running_jvm_without_the_classes(run_python):
    done = run_python(
        "import jpype, fijibridge.jvm as j\n"
        "from fijibridge.core.errors import JavaError\n"
        "jpype.addClassPath(j.jars()[0])\n"
        "jpype.startJVM()\n"
        "try: j.start()\n"
        "except JavaError as e: print(e)\n"
    )
    assert done.returncode == 0, done.stderr
    assert "without weka.core.Instances, hr.irb.fastRandomForest.FastRandomForest, javassist.ClassPool" in done.stdout
    assert "before other code starts Java" in done.stdout


@pytest.mark.slow
def test_threaded_linear_algebra_survives_the_jvm(run_python):
    # HotSpot's guard page on Python's main stack used to kill OpenBLAS's LU, whose frames are large
    done = run_python(
        "import numpy as np, fijibridge.jvm as j\n"
        "j.start(heap='300m')\n"
        "a = np.random.default_rng(0).random((600, 600))\n"
        "x = np.linalg.solve(a, np.ones(600))\n"
        "assert np.allclose(a @ x, 1)\n"
    )
    assert done.returncode == 0, (done.returncode, done.stderr)


@pytest.mark.slow
def test_the_users_own_options_win_where_two_are_an_error(run_python):
    done = run_python(
        "import scyjava\nscyjava.config.add_option('-XX:+UseSerialGC')\n"
        "import fijibridge.jvm as j\nj.start(heap='256m')\n"
        "import jpype\n"
        "beans = jpype.JClass('java.lang.management.ManagementFactory').getGarbageCollectorMXBeans()\n"
        "print([str(bean.getName()) for bean in beans])"
    )
    assert done.returncode == 0, done.stderr
    assert "Copy" in done.stdout
