"""The folder of an update site: what Fiji's Updater reads in it, and how it grows."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
import sys
import time
import zipfile
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest
from shell import tree

from fijibridge import __version__
from fijibridge.core.errors import OutputError, ServiceError
from fijibridge.core.installation import MANIFEST, installation
from fijibridge.frontends.cli import main
from fijibridge.frontends.imagej import update_site as module
from fijibridge.frontends.imagej.install import install, texts_for, uninstall
from fijibridge.frontends.imagej.update_site import DATABASE, environment_name, update_site
from fijibridge.operations.doctor import _fiji_commands

# As the Updater's own document type has it: the children of an element in their order, and its attributes
CHILDREN = {
    "pluginRecords": "(plugin )*",
    "plugin": "(platform )*(category )*(version )?(previous-version )*",
    "version": "(description )?(dependency )*(link )*(author )*",
    "previous-version": "",
}
REQUIRED = {
    "pluginRecords": set(),
    "plugin": {"filename"},
    "version": {"timestamp", "checksum", "filesize"},
    "previous-version": {"timestamp", "checksum"},
}
OPTIONAL = {"plugin": {"executable"}, "previous-version": {"filename", "timestamp-obsolete"}}


def a_wheel(folder: Path, content: str = "one") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"fijibridge-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("fijibridge/__init__.py", content)
    return path


@pytest.fixture
def wheel(tmp_path) -> Path:
    return a_wheel(tmp_path / "wheels")


def read(site: Path) -> dict[str, ElementTree.Element]:
    """The database, read as strictly as its document type is: file name -> its element."""
    root = ElementTree.fromstring(gzip.decompress((site / DATABASE).read_bytes()))
    for element in root.iter():
        assert re.fullmatch(CHILDREN[element.tag], "".join(f"{child.tag} " for child in element)), element.tag
        given = set(element.attrib)
        assert REQUIRED[element.tag] <= given <= REQUIRED[element.tag] | OPTIONAL.get(element.tag, set())
        if "timestamp" in given:
            assert datetime.strptime(element.attrib["timestamp"], "%Y%m%d%H%M%S") <= datetime.now()
            assert re.fullmatch("[0-9a-f]{40}", element.attrib["checksum"])
    found = {entry.attrib["filename"]: entry for entry in root}
    assert len(found) == len(root)
    for name, entry in found.items():  # each version, earlier ones too, is served as NAME-TIMESTAMP
        for version in (*entry.findall("version"), *entry.findall("previous-version")):
            data = (site / f"{name}-{version.attrib['timestamp']}").read_bytes()
            assert hashlib.sha1(name.encode() + data).hexdigest() == version.attrib["checksum"]
            assert version.tag != "version" or int(version.attrib["filesize"]) == len(data)
    return found


def present(site: Path) -> set[str]:
    return {name for name, entry in read(site).items() if entry.find("version") is not None}


def an_update(site: Path, fiji: Path) -> None:
    """What the Updater does: the present files into a Fiji, those that are no more out of it."""
    for name, entry in read(site).items():
        version = entry.find("version")
        (fiji / name).parent.mkdir(parents=True, exist_ok=True)
        (fiji / name).unlink(missing_ok=True)
        if version is not None:
            shutil.copy(site / f"{name}-{version.attrib['timestamp']}", fiji / name)


def test_a_site_holds_what_install_writes_and_what_sets_python_up(tmp_path, wheel):
    site = tmp_path / "the site ü"
    said = update_site(site, wheel=wheel, dry_run=True)
    assert not site.exists()
    assert update_site(site, wheel=wheel) == said
    assert present(site) == {
        *texts_for(is_fiji=True),
        "scripts/Plugins/FijiBridge/FB_Set_Up_Python.groovy",
        "lib/fijibridge/pixi.toml",
        f"lib/fijibridge/{wheel.name}",
    }
    served = {re.sub(r"-\d{14}$", "", name): data for name, data in tree(site).items() if data is not None}
    assert f'path = "{wheel.name}"'.encode() in served["lib/fijibridge/pixi.toml"]
    assert f'fbSetUp("{environment_name(wheel)}")'.encode() in served["macros/FijiBridge.ijm"]
    assert sys.executable.encode() not in served["macros/FijiBridge.ijm"]
    before = tree(site)
    assert update_site(site, wheel=wheel) == []
    assert tree(site) == before


def test_a_second_version_keeps_the_first(tmp_path, wheel, monkeypatch):
    site = tmp_path / "site"
    texts = texts_for(is_fiji=True, environment="fijibridge-1-0")
    monkeypatch.setattr(module, "texts_for", lambda **_: texts)
    update_site(site, wheel=wheel)
    first = tree(site)
    changed, gone, new = (
        "plugins/FijiBridge/FB_Demo.ijm",
        "plugins/FijiBridge/FB_Doctor.ijm",
        "plugins/FijiBridge/N.ijm",
    )
    original = texts[changed]
    texts = {**texts, changed: b"// later\n", new: b"// new\n"}
    del texts[gone]
    newer = a_wheel(tmp_path / "later", "two")
    # within the same second: the Updater tells versions by their time
    assert set(update_site(site, wheel=newer)) == {
        f"update {changed}",
        f"add {new}",
        f"remove {gone}",
        f"update lib/fijibridge/{wheel.name}",
    }
    now = read_when_due(site)
    assert now[changed].find("version").attrib["timestamp"] > now[changed].find("previous-version").attrib["timestamp"]
    assert gone not in present(site)
    assert now[gone].find("previous-version").attrib["filename"] == gone
    assert {name: data for name, data in tree(site).items() if name in first and name != DATABASE} == {
        name: data for name, data in first.items() if name != DATABASE
    }
    texts = {**texts, changed: original, gone: b"// back\n"}
    update_site(site, wheel=newer)
    now = read_when_due(site)
    assert len(now[changed].findall("previous-version")) == 2
    assert gone in present(site)
    stamps = [one.attrib["timestamp"] for one in now[changed].findall("previous-version")]
    assert stamps == sorted(stamps, reverse=True)


def read_when_due(site: Path) -> dict[str, ElementTree.Element]:
    """The database, when its versions, each a second later than the last, are not in the future any more."""
    for _ in range(400):
        text = gzip.decompress((site / DATABASE).read_bytes()).decode()
        if max(re.findall(r"timestamp=\"(\d{14})\"", text)) <= datetime.now().strftime("%Y%m%d%H%M%S"):
            break
        time.sleep(0.01)
    return read(site)


def test_others_files_in_a_site_stay(tmp_path, wheel):
    site = tmp_path / "site"
    update_site(site, wheel=wheel)
    root = ElementTree.fromstring(gzip.decompress((site / DATABASE).read_bytes()))
    other = ElementTree.SubElement(root, "plugin", filename="plugins/Mine.ijm")
    ElementTree.SubElement(other, "version", checksum="0" * 40, timestamp="20200101000000", filesize="1")
    (site / DATABASE).write_bytes(gzip.compress(ElementTree.tostring(root)))
    update_site(site, wheel=a_wheel(tmp_path / "later", "two"))
    text = gzip.decompress((site / DATABASE).read_bytes()).decode()
    assert re.search(r'"plugins/Mine\.ijm">\s*<version checksum="0{40}"', text)


@pytest.mark.parametrize(
    "text", ["", "<a/>", "<pluginRecords>", '<pluginRecords><plugin><version timestamp="x"/></plugin></pluginRecords>']
)
def test_a_damaged_database_is_left(tmp_path, wheel, text):
    site = tmp_path / "site"
    update_site(site, wheel=wheel)
    (site / DATABASE).write_bytes(gzip.compress(text.encode()) if text else b"")
    before = tree(site)
    with pytest.raises(ServiceError, match="cannot be read"):
        update_site(site, wheel=wheel)
    assert tree(site) == before


def test_a_folder_of_other_things_is_left(tmp_path, wheel, capsys):
    site = tmp_path / "site"
    site.mkdir()
    (site / "mine.txt").touch()
    assert main(["update-site", str(site), "--wheel", str(wheel)]) == 2
    assert "holds files and no db.xml.gz" in capsys.readouterr().err
    root = '<pluginRecords><plugin filename="plugins/Mine.ijm"/></pluginRecords>'
    (site / DATABASE).write_bytes(gzip.compress(root.encode()))
    with pytest.raises(OutputError, match="another update site"):
        update_site(site, wheel=wheel)
    assert {path.name for path in site.iterdir()} == {"mine.txt", DATABASE}


def test_a_wheel_of_another_version(tmp_path, wheel):
    other = wheel.with_name("fijibridge-0.0.1-py3-none-any.whl")
    wheel.rename(other)
    for given in (other, tmp_path / "none.whl"):
        with pytest.raises(ServiceError, match="is no wheel of fijibridge"):
            update_site(tmp_path / "site", wheel=given)
    assert not (tmp_path / "site").exists()


@pytest.mark.slow
def test_the_wheel_is_built_from_the_clone(tmp_path, capsys):
    assert main(["update-site", str(tmp_path / "site")]) == 0
    assert "Serve the folder" in capsys.readouterr().out
    (wheel,) = (tmp_path / "site" / "lib" / "fijibridge").glob("*.whl-*")
    with zipfile.ZipFile(wheel) as archive:
        assert "fijibridge/macros/FijiBridge.ijm" in archive.namelist()
    assert main(["update-site", str(tmp_path / "site")]) == 0
    assert "all is there already" in capsys.readouterr().out


def test_install_lets_a_sites_commands_use_this_python(tmp_path, wheel, service_folder):
    fiji = tmp_path / "Fi ji ü"
    (fiji / "jars").mkdir(parents=True)
    (fiji / "jars" / "imagej-legacy-2.0.1.jar").touch()
    site = tmp_path / "site"
    update_site(site, wheel=wheel)
    an_update(site, fiji)
    before = tree(fiji)
    install(fiji, dry_run=True)
    assert tree(fiji) == before
    assert sys.executable in install(fiji)[0]
    told = json.loads((fiji / MANIFEST).read_text(encoding="utf-8"))
    assert told["environment"] == environment_name(wheel)
    assert told["folder"] == service_folder.as_posix() + "/"
    assert installation(fiji).python == Path(sys.executable)
    assert _fiji_commands(fiji)[:2] == ("ok", f"commands of an update site, run by {Path(sys.executable)}")
    uninstall(fiji)
    assert tree(fiji) == before
    assert "without Python yet" in _fiji_commands(fiji)[1]
    library = fiji / "macros" / "FijiBridge.ijm"
    library.write_text(library.read_text().replace(environment_name(wheel), "fijibridge-0.0.1-00000000"))
    with pytest.raises(ServiceError, match=r"are of fijibridge 0\.0\.1"):
        install(fiji)
