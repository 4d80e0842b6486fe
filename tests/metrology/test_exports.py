"""`measure --export`: each format is read back, by its own library or by its definition; and what is refused."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media import ball, three_phases

from fijibridge.core.errors import BridgeError, ImageError, ImageNotFoundError, LabelsError, SettingsError
from fijibridge.core.manifest import listed
from fijibridge.frontends.cli import main
from fijibridge.images.image import PixelSize
from fijibridge.images.writing import write_labels
from fijibridge.metrology.export.catalogue import EXPORTS
from fijibridge.metrology.export.export import Export, Job, Written
from fijibridge.metrology.export.exporting import check_exports, write_exports
from fijibridge.metrology.export.openpnm import pore_network
from fijibridge.metrology.export.stl import phase_surface
from fijibridge.operations.measure import measure
from fijibridge.phases.phases import Phases, as_phases
from fijibridge.phases.volume import PhaseVolume, phase_volume

NAMES = ["pore", "binder", "CAM"]
NM = (25.0, 10.0, 10.0)


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return three_phases((18, 20, 22), sigma=3) + 1


@pytest.fixture
def phases(labels) -> Phases:
    return as_phases(labels, spacing=NM, unit="nm", class_names=NAMES)


def in_slabs(labels: np.ndarray, slices: int, **options: object) -> PhaseVolume:
    """Read again and again, some slices at a time."""
    volume, _ = phase_volume(labels.__getitem__, len(labels), slices=slices, **options)
    return volume


def written(name: str, source: Phases | PhaseVolume, folder: Path, **options: object) -> Written:
    job = Job(source, **options)
    check_exports([name], job)
    return write_exports([name], job, folder)


def read_vti(path: Path) -> tuple[np.ndarray, dict[str, str], dict[str, list[str]]]:
    """Labels, attributes of the image, and field data, by VTK's definition of XML with appended raw data."""
    data = path.read_bytes()
    head, _, rest = data.partition(b'<AppendedData encoding="raw">\n_')
    text = head.decode("ascii")
    image = dict(re.findall(r'(\w+)="([^"]*)"', re.search(r"<ImageData ([^>]*)>", text)[1]))
    array = dict(re.findall(r'(\w+)="([^"]*)"', re.search(r"<DataArray ([^>]*appended[^>]*)/>", text)[1]))
    kind = {"UInt8": "<u1", "UInt16": "<u2", "Int16": "<i2", "Int32": "<i4", "Int64": "<i8"}[array["type"]]
    (size,) = np.frombuffer(rest[:8], "<u8")
    assert rest[8 + int(size) :].split() == [b"</AppendedData>", b"</VTKFile>"]
    extent = np.array(image["WholeExtent"].split(), int).reshape(3, 2)
    cells = np.maximum(np.diff(extent, axis=1)[::-1, 0], 1)
    found = np.frombuffer(rest[8 : 8 + int(size)], kind).reshape(cells)
    fields = {
        name: bytes(map(int, codes.split())).decode("utf-8").split("\0")[:-1]
        for name, codes in re.findall(r'<Array type="String" Name="(\w+)"[^>]*>([\d ]+)</Array>', text)
    }
    return found, image, fields


@pytest.mark.parametrize("values", [(1, 2, 3), (0, 200, 255), (0, 7, 300), (-1, 0, 1), (0, 1, 70000)])
def test_vtk_by_its_definition(labels, tmp_path, values):
    given_labels = np.array(values, np.int32)[labels - 1]
    source = in_slabs(given_labels, 5, spacing=NM, unit="\u00b5m", class_names=NAMES)
    assert written("vtk", source, tmp_path).names == ("phases.vti",)
    found, image, fields = read_vti(tmp_path / "phases.vti")
    assert (found == given_labels).all()
    assert image["Spacing"] == "10.0 10.0 25.0"
    assert fields == {"unit": ["\u00b5m"], "phase_names": NAMES}


def test_vtk_reads_it(phases, labels, tmp_path):
    vtk = pytest.importorskip("vtk")
    from vtk.util.numpy_support import vtk_to_numpy

    for source, expected in ((phases, labels), (as_phases(labels[4], class_names=NAMES), labels[4])):
        written("vtk", source, tmp_path)
        reader = vtk.vtkXMLImageDataReader()
        reader.SetFileName(str(tmp_path / "phases.vti"))
        reader.Update()
        image = reader.GetOutput()
        assert (vtk_to_numpy(image.GetCellData().GetScalars()).reshape(expected.shape) == expected).all()
        assert image.GetSpacing() == tuple(reversed(source.spacing))
        names = image.GetFieldData().GetAbstractArray("phase_names")
        assert [names.GetValue(place) for place in range(3)] == NAMES


def test_npz_with_a_background(labels, tmp_path):
    whole = as_phases(labels, background=2, class_names=["pore", "CAM"], spacing=NM, unit="nm")
    slabs = in_slabs(labels, 4, background=2, class_names=["pore", "CAM"], spacing=NM, unit="nm")
    files = []
    for source in (whole, slabs):
        written("npz", source, tmp_path)
        files.append((tmp_path / "phases.npz").read_bytes())
    assert files[0] == files[1]
    with np.load(tmp_path / "phases.npz") as found:
        assert (found["labels"] == np.where(labels == 2, 0, labels)).all()
        assert found["labels"].dtype == np.uint8
        assert found["voxel_size"].tolist() == list(NM)
        assert (str(found["unit"]), found["axes"].tolist()) == ("nm", ["z", "y", "x"])
        assert (found["values"].tolist(), found["names"].tolist()) == ([1, 3], ["pore", "CAM"])


def test_npz_of_an_image(labels, tmp_path):
    written("npz", as_phases(labels[3], spacing=7), tmp_path)
    with np.load(tmp_path / "phases.npz") as found:
        assert (found["labels"] == labels[3]).all()
        assert (found["voxel_size"].tolist(), str(found["unit"])) == ([7, 7], "px")


def test_geodict(labels, tmp_path):
    source = in_slabs(labels, 4, spacing=20, unit="nm", background=3, class_names=NAMES[:2])
    assert written("geodict", source, tmp_path).names == ("geodict.raw", "geodict.txt")
    text = (tmp_path / "geodict.txt").read_text(encoding="utf-8")
    told = dict(re.findall(r"^(.*?) = (\S+)", text, re.MULTILINE))
    size = [int(told[name]) for name in ("NZ", "NY", "NX")]
    found = np.fromfile(tmp_path / "geodict.raw", np.uint8).reshape(size)
    assert (found == np.where(labels == 3, 0, labels)).all()
    assert float(told["Voxel Length"]) == pytest.approx(20e-9)
    assert [told[value] for value in "012"] == ["background", "pore", "binder"]


def triangles(source: Phases | PhaseVolume, phase: int, method: str = "intercepts") -> np.ndarray:
    return np.concatenate([np.zeros((0, 3, 3)), *phase_surface(source, phase, method)])


def volume_of(corners: np.ndarray) -> float:
    return float(np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))) / 6


def open_edges(corners: np.ndarray) -> int:
    """Edges that are not passed once in each direction: 0 of a closed surface of which each edge has two facets."""
    _, vertices = np.unique(corners.astype(np.float32).reshape(-1, 3), axis=0, return_inverse=True)
    facets = vertices.reshape(-1, 3)
    edges = np.concatenate([facets, np.roll(facets, -1, axis=1)]).reshape(2, -1).T
    passed, count = np.unique(edges, axis=0, return_counts=True)
    back = {tuple(edge) for edge in passed[:, ::-1].tolist()}
    return int((count != 1).sum()) + sum(tuple(edge) not in back for edge in passed.tolist())


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**16),
    st.tuples(*[st.integers(2, 7)] * 3),
    st.sampled_from(["intercepts", "marching-cubes"]),
    st.integers(1, 4),
    st.floats(0.1, 0.9),
)
def test_surfaces_are_closed_and_the_same_by_slabs(seed, shape, method, slices, share):
    labels = (np.random.default_rng(seed).random(shape) < share).astype(np.uint8)
    labels[0, 0, :2] = 0, 1
    whole = triangles(as_phases(labels, spacing=(3, 1, 2)), 1, method)
    slabs = triangles(in_slabs(labels, slices, spacing=(3, 1, 2)), 1, method)
    assert open_edges(whole) == open_edges(slabs) == 0
    assert len(whole) == len(slabs)
    assert volume_of(whole) == pytest.approx(volume_of(slabs), rel=1e-6, abs=1e-6)


def test_a_slab_meshed_in_parts_is_closed(phases, monkeypatch):
    whole = triangles(phases, 1)
    monkeypatch.setattr("fijibridge.metrology.export.stl._MESHED", 1)
    parts = triangles(phases, 1)
    assert open_edges(parts) == 0
    assert len(parts) == len(whole)
    assert volume_of(parts) == pytest.approx(volume_of(whole))


def test_a_box_at_the_faces_is_itself():
    labels = np.zeros((12, 16, 24), np.uint8)
    labels[:, :, :10] = 1
    corners = triangles(as_phases(labels, spacing=(3, 1, 2), unit="nm"), 1)
    assert corners.reshape(-1, 3).min(axis=0) == pytest.approx([0, 0, 0])
    assert corners.reshape(-1, 3).max(axis=0) == pytest.approx([20, 16, 36], abs=0.05)
    assert volume_of(corners) == pytest.approx(20 * 16 * 36, rel=0.01)


@pytest.mark.parametrize(("spacing", "off"), [((1, 1, 1), 0.01), ((2.5, 1, 1), 0.02)])
def test_stl_of_a_ball(tmp_path, spacing, off):
    trimesh = pytest.importorskip("trimesh")
    labels = ball(45, 18, spacing)
    source = in_slabs(labels, 7, spacing=spacing, unit="nm", class_names=["matrix", "grain 1/2"])
    made = written("stl", source, tmp_path)
    assert made.names == ("surface_matrix.stl", "surface_grain_1_2.stl")
    for phase, name in enumerate(made.names):
        mesh = trimesh.load(tmp_path / name)
        assert mesh.is_watertight
        assert mesh.is_winding_consistent
        assert mesh.volume == pytest.approx(source.counts[phase] * source.voxel, rel=off)
    assert mesh.bounds.mean(axis=0) == pytest.approx(np.array([22.5, 22.5, 22.5]) * spacing[::-1], abs=0.01)
    assert not made.notes


def test_stl_tells_what_smoothing_takes(tmp_path):
    labels = np.zeros((12, 12, 12), np.uint8)
    labels[3::6, 3::6, :] = 1  # wires of one voxel
    source = as_phases(labels, class_names=["pore", "wire"])
    (note,) = written("stl", source, tmp_path, phases=("wire",)).notes
    assert "0.000 times the volume of wire" in note
    assert "--surface marching-cubes" in note
    (note,) = written("stl", source, tmp_path, phases=("wire",), surface_method="marching-cubes").notes
    assert "marching-cubes" not in note
    assert (tmp_path / "surface_wire.stl").stat().st_size > 84  # the isosurface cuts edges, but nothing is lost


def dumbbell() -> np.ndarray:
    """Two cubes of 9 voxels along x, joined by a duct of 4 x 4 voxels; the first touches the face."""
    labels = np.zeros((13, 13, 28), np.uint8)
    labels[2:11, 2:11, :9] = labels[2:11, 2:11, 15:24] = 1
    labels[4:8, 4:8, 9:15] = 1
    return labels


def test_two_pores_and_their_throat():
    network = pore_network(as_phases(dumbbell(), spacing=(1, 1, 1), unit="nm"), 1, 1e-9)
    assert network["throat.conns"].tolist() == [[0, 1]]
    assert network["throat.cross_sectional_area"] == pytest.approx([16e-18])
    assert network["throat.diameter"] == pytest.approx([4e-9])
    assert network["pore.volume"].sum() == pytest.approx((dumbbell() == 1).sum() * 1e-27)
    assert network["pore.diameter"] == pytest.approx([10e-9] * 2)
    assert network["pore.coords"][:, 1:] == pytest.approx(6.5e-9, abs=0.2e-9)
    assert (np.diff(network["pore.coords"][:, 0]) > 14e-9).all()
    assert network["pore.xmin"].tolist() == [True, False]
    assert not network["pore.xmax"].any()


def test_the_network_scales_with_the_voxel(phases):
    one = pore_network(phases, 0)
    two = pore_network(phases, 0, 2.0)
    for name, power in (("pore.volume", 3), ("throat.cross_sectional_area", 2), ("throat.total_length", 1)):
        assert two[name] == pytest.approx(one[name] * 2**power)
    assert one["pore.volume"].sum() == pytest.approx(phases.counts[0] * phases.voxel)
    assert (one["throat.conns"][:, 0] < one["throat.conns"][:, 1]).all()
    low, high = one["pore.coords"].min(axis=0), one["pore.coords"].max(axis=0)
    assert (low > 0).all()
    assert (high < np.array([22 * 10, 20 * 10, 18 * 25])).all()


def test_network_file(tmp_path, labels):
    source = in_slabs(dumbbell(), 4, spacing=10, unit="nm", class_names=["solid", "pore"])
    assert written("openpnm", source, tmp_path, phases=("pore",)).names == ("network_pore.csv",)
    table = pd.read_csv(tmp_path / "network_pore.csv")
    assert len(table) == 2
    assert table["throat.conns[1]"].dropna().tolist() == [1]


def test_openpnm_reads_it(tmp_path, phases):
    openpnm = pytest.importorskip("openpnm")
    written("openpnm", phases, tmp_path, phases=("CAM",))
    network = openpnm.io.network_from_csv(tmp_path / "network_CAM.csv")
    expected = pore_network(phases, 2, 1e-9)
    assert network.Np == len(expected["pore.volume"])
    assert network.Nt == len(expected["throat.conns"])
    for name, array in expected.items():
        assert np.asarray(network[name]) == pytest.approx(array, rel=1e-6), name
    assert set(network.pores("xmin")) == set(np.flatnonzero(expected["pore.xmin"]))


def electrode() -> dict[str, object]:
    porous = {"Thickness [m]": 5e-5, "Conductivity [S.m-1]": 0.2, "Porosity": 0.25, "Transport efficiency": 0.125}
    return porous | material()


def material() -> dict[str, object]:
    return {
        "Particle radius [m]": 4e-6, "Surface area per unit volume [m-1]": 4e5, "Diffusivity [m2.s-1]": 3e-14,
        "OCP [V]": {"x": [0, 0.5, 1], "y": [1.5, 0.5, 0.1]}, "Minimum stoichiometry": 0.05,
        "Maximum stoichiometry": 0.85, "Maximum concentration [mol.m-3]": 3e4,
        "Reaction rate constant [mol.m-2.s-1]": 1e-6,
    }  # fmt: skip


def of_balls(side: int, radius: float, step: int) -> np.ndarray:
    """CAM balls of one size, apart, in the pore."""
    near = [np.mod(axis + step / 2, step) - step / 2 for axis in np.ogrid[:side, :side, :side]]
    return (1 + (near[0] ** 2 + near[1] ** 2 + near[2] ** 2 <= radius**2)).astype(np.uint8)


OF_PARTICLES = ("Particle radius [m]", "Surface area per unit volume [m-1]")


def template(path: Path, **changes: object) -> Path:
    """A whole BPX file, with numbers of no cell."""
    parts = {
        "Cell": {
            "Electrode area [m2]": 0.01, "Number of electrode pairs connected in parallel to make a cell": 1,
            "Lower voltage cut-off [V]": 2.7, "Upper voltage cut-off [V]": 4.2, "Nominal cell capacity [A.h]": 2,
        },
        "Electrolyte": {
            "Cation transference number": 0.26, "Conductivity [S.m-1]": 1.0, "Diffusivity [m2.s-1]": 1e-10,
        },
        "Negative electrode": electrode(),
        "Positive electrode": electrode(),
        "Separator": {"Thickness [m]": 2e-5, "Porosity": 0.5, "Transport efficiency": 0.35},
    }  # fmt: skip
    whole = {"Header": {"BPX": "1.0.0", "Model": "DFN", "Title": "template"}, "Parameterisation": parts | changes}
    path.write_text(json.dumps(whole), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def volume_file(labels, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("volume") / "volume.tif"
    return write_labels(path, labels, class_names=NAMES, pixel_size=PixelSize(10, 10, "nm", 25))


def bpx_of(volume_file: Path, out: Path, **options: object) -> tuple[dict[str, dict[str, float]], dict[str, object]]:
    report = measure(
        volume_file, out=out, export="bpx", bpx_phases="pore=pore, particles=CAM",
        metrics="fractions,surface,sizes,tortuosity", threads=1, **options,
    )  # fmt: skip
    return json.loads((out / "bpx.json").read_text(encoding="utf-8"))["Parameterisation"], report


def test_bpx_with_a_template(volume_file, tmp_path):
    file = template(tmp_path / "cell.json")
    before = json.loads(file.read_text(encoding="utf-8"))["Parameterisation"]
    parts, report = bpx_of(volume_file, tmp_path / "out", bpx_template=file, bpx_axis="y", axes="y")
    numbers = report["metrics"]
    assert parts["Positive electrode"] == before["Positive electrode"] | {
        "Porosity": pytest.approx(numbers["fraction"]["pore"]),
        "Transport efficiency": pytest.approx(numbers["relative_conductivity"]["pore"]["y"]),
        "Particle radius [m]": pytest.approx(numbers["local_thickness_mean"]["CAM"] / 2 * 1e-9),
        "Surface area per unit volume [m-1]": pytest.approx(numbers["interface_area"]["pore / CAM"] * 1e9),
    }
    assert {**parts, "Positive electrode": None} == {**before, "Positive electrode": None}
    taken = math.prod(parts["Positive electrode"][name] for name in OF_PARTICLES) / 3
    said = f"x surface / 3 = {taken:.3g}, measured is {numbers['fraction']['CAM']:.3g}"
    assert any(said in note for note in report["notes"])
    bpx = pytest.importorskip("bpx")
    found = bpx.parse_bpx_file(str(tmp_path / "out" / "bpx.json")).parameterisation.positive_electrode
    assert found.porosity == pytest.approx(numbers["fraction"]["pore"])
    assert found.thickness == 5e-5


def test_bpx_of_a_blend_and_a_whole_electrode(volume_file, tmp_path):
    porous = {name: value for name, value in electrode().items() if name not in material()}
    blend = porous | {"Particle": {"other": material(), "CAM": material()}}
    file = template(tmp_path / "cell.json", **{"Negative electrode": blend})
    options = {"bpx_template": str(file), "bpx_electrode": "negative", "bpx_whole": True}
    parts, _ = bpx_of(volume_file, tmp_path / "out", **options)
    section = parts["Negative electrode"]
    assert section["Thickness [m]"] == pytest.approx(18 * 25e-9)
    assert section["Particle"]["other"] == material()
    assert section["Particle"]["CAM"]["Particle radius [m]"] < 1e-7
    assert "Particle radius [m]" not in section
    bpx = pytest.importorskip("bpx")
    bpx.parse_bpx_file(str(tmp_path / "out" / "bpx.json"))


def test_bpx_of_balls_holds_their_fraction(tmp_path):
    file = write_labels(
        tmp_path / "balls.tif", of_balls(48, 9, 24), class_names=["pore", "CAM"], pixel_size=PixelSize(1, 1, "um", 1)
    )
    parts, report = bpx_of(file, tmp_path / "out")
    taken = math.prod(parts["Positive electrode"][name] for name in OF_PARTICLES) / 3
    assert taken == pytest.approx(report["metrics"]["fraction"]["CAM"], rel=0.1)
    assert not any("x surface / 3" in note for note in report["notes"])


def test_bpx_of_single_particles_has_no_pores(volume_file, tmp_path):
    file = template(tmp_path / "cell.json")
    whole = json.loads(file.read_text(encoding="utf-8"))
    whole["Header"]["Model"] = "SPM"
    for name in ("Electrolyte", "Separator"):
        del whole["Parameterisation"][name]
    for name in ("Positive electrode", "Negative electrode"):
        for key in ("Porosity", "Transport efficiency", "Conductivity [S.m-1]"):
            del whole["Parameterisation"][name][key]
    file.write_text(json.dumps(whole), encoding="utf-8")
    parts, report = bpx_of(volume_file, tmp_path / "out", bpx_template=file)
    assert "Porosity" not in parts["Positive electrode"]
    assert any("SPM" in note for note in report["notes"])
    bpx = pytest.importorskip("bpx")
    bpx.parse_bpx_file(str(tmp_path / "out" / "bpx.json"))


def test_bpx_without_a_template_is_a_part(volume_file, tmp_path):
    parts, report = bpx_of(volume_file, tmp_path / "out")
    assert set(parts) == {"Positive electrode"}
    assert set(parts["Positive electrode"]) == {
        "Porosity", "Transport efficiency", "Particle radius [m]", "Surface area per unit volume [m-1]",
    }  # fmt: skip
    header = json.loads((tmp_path / "out" / "bpx.json").read_text(encoding="utf-8"))["Header"]
    assert header["Model"] == "Partial"
    assert any("a part of a BPX file" in note for note in report["notes"])


def test_bpx_leaves_out_what_no_model_takes(tmp_path):
    labels = np.ones((8, 9, 10), np.uint8)
    labels[2:4, 2:4, 2:4] = 2  # pores that do not percolate
    file = write_labels(tmp_path / "v.tif", labels, class_names=["CAM", "pore"], pixel_size=PixelSize(1, 1, "nm", 1))
    parts, report = bpx_of(file, tmp_path / "out")
    assert "Transport efficiency" not in parts["Positive electrode"]
    assert any("Transport efficiency is 0 and left out" in note for note in report["notes"])


def test_all_formats_at_once(labels, tmp_path, capsys):
    file = write_labels(tmp_path / "v.tif", labels, class_names=NAMES, pixel_size=PixelSize(10, 10, "nm", 10))
    command = ["measure", str(file), "--out", str(tmp_path / "out"), "--metrics", "fractions,surface,sizes,tortuosity"]
    formats = ",".join(EXPORTS)
    assert main([*command, "--export", formats, "--bpx-phases", "pore=pore,particles=CAM", "--threads", "1"]) == 0
    capsys.readouterr()
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    files = {
        "phases.vti", "phases.npz", "geodict.raw", "geodict.txt", "bpx.json",
        *(f"surface_{name}.stl" for name in NAMES), *(f"network_{name}.csv" for name in NAMES),
    }  # fmt: skip
    assert files <= set(report["outputs"])
    assert set(report["outputs"]) <= listed(tmp_path / "out")
    assert all((tmp_path / "out" / name).stat().st_size for name in report["outputs"])
    assert report["export"] == list(EXPORTS)


def test_the_same_files_slab_by_slab(volume_file, tmp_path):
    for name, memory in (("whole", ""), ("slabs", "20K")):
        report = measure(
            volume_file, out=tmp_path / name, export="vtk,npz,stl", metrics="fractions,chords", memory=memory
        )
        assert report["how"]["chords"].startswith("slabs" if memory else "whole")
    for file in ("phases.vti", "phases.npz"):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "slabs" / file).read_bytes()
    sizes = [(tmp_path / name / "surface_pore.stl").stat().st_size for name in ("whole", "slabs")]
    assert sizes[0] == sizes[1] > 84


def test_a_format_of_ones_own(volume_file, tmp_path):
    def write(job: Job, folder: Path) -> Written:
        (folder / "size.txt").write_text(str(job.source.shape), encoding="utf-8")
        return Written(("size.txt",), ("a note",))

    with EXPORTS.added("size", Export(write)):
        report = measure(volume_file, out=tmp_path / "out", export="size", metrics="fractions")
    assert (tmp_path / "out" / "size.txt").read_text(encoding="utf-8") == "(18, 20, 22)"
    assert "size.txt" in report["outputs"]
    assert "a note" in report["notes"]


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"export": "vtx"}, SettingsError, "did you mean vtk"),
        ({"export": "stl", "export_phases": "por"}, SettingsError, "no phase 'por'.*pore, binder, CAM"),
        ({"export": "openpnm", "voxel_size": "1,1,1"}, SettingsError, "unknown size.*--voxel-size"),
        ({"export": "geodict", "voxel_size": "1"}, SettingsError, "unknown size"),
        ({"export": "geodict"}, ImageError, "25 x 10 x 10 nm.*cubic"),
        ({"export": "openpnm", "memory": "1MB"}, ImageError, "the whole volume at once.*--memory"),
        ({"export": "bpx"}, SettingsError, "bpx-phases = ''.*pore and particles"),
        ({"export": "bpx", "bpx_phases": "pore=pore,particles=AM"}, SettingsError, "no phase 'AM'"),
        ({"export": "bpx", "bpx_phases": "pore=pore,particles=pore"}, SettingsError, "two different phases"),
        ({"export": "bpx", "metrics": "fractions,surface"}, SettingsError, "without the metrics sizes, tortuosity"),
        ({"export": "bpx", "bpx_phases": "pore=pore,particles=CAM", "axes": "x"}, SettingsError, "bpx along z"),
        ({"export": "bpx", "bpx_phases": "pore=pore,particles=CAM", "bpx_template": Path("no.json")},
         ImageNotFoundError, "no file no.json"),
    ],
)  # fmt: skip
def test_what_is_refused_before_anything_is_measured(volume_file, tmp_path, options, kind, words):
    with pytest.raises(kind) as caught:
        measure(volume_file, out=tmp_path / "out", **options)
    assert re.search(words, str(caught.value), re.DOTALL), caught.value
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["stl", "openpnm", "bpx"])
def test_an_image_is_no_volume(labels, name):
    with pytest.raises(ImageError, match="in 2D"):
        check_exports([name], Job(as_phases(labels[2], spacing=1, unit="nm")))


def test_geodict_has_8_bits(labels):
    with pytest.raises(LabelsError, match="from 0 to 255"):
        check_exports(["geodict"], Job(as_phases(labels.astype(int) * 200, spacing=1, unit="nm")))


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"Header": {"BPX": "1"}, "Parameterisation": {}}', "\ud800",
     '{"Header": {"BPX": "1"}, "Parameterisation": {"Positive electrode": 3}}',
     '{"Header": {"BPX": "1"}, "Parameterisation": {"Positive electrode": {"Particle": [1]}}}',
     '{"Header": {"BPX": "1"}, "Parameterisation": {"Positive electrode": {"Particle": {"a": 1}}}}'],
)  # fmt: skip
def test_what_is_no_template(volume_file, tmp_path, text):
    file = tmp_path / "cell.json"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(BridgeError, match="no BPX file with a positive electrode"):
        bpx_of(volume_file, tmp_path / "out", bpx_template=file)


def test_a_blend_needs_the_phase(volume_file, tmp_path):
    blend = {"Particle": {"a": material(), "b": material()}}
    file = template(tmp_path / "cell.json", **{"Positive electrode": blend})
    with pytest.raises(SettingsError, match="a blend of a, b, none of them called CAM"):
        bpx_of(volume_file, tmp_path / "out", bpx_template=file)


def test_names_of_files_differ(labels):
    for names in (("a/b", "a b", "A_B"), ("A_2", "a", "A"), ("\u7530" * 120, "\u7530" * 119, "b")):
        parts = [part for _, _, part in Job(as_phases(labels, class_names=names)).chosen()]
        assert len({part.lower() for part in parts}) == 3
        assert all(re.fullmatch(r"\w+", part) and len(part.encode()) < 200 for part in parts)
