"""Several detectors as one image: joined and moved onto one another, features of each, classifiers that know them."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from macro_client import values
from network_sample import pair
from scipy.ndimage import zoom
from shell import write_image

import fijibridge as fb
from fijibridge.core.errors import FeatureMismatchError, ImageError, ImageNotFoundError, SettingsError
from fijibridge.features import FeatureExtractor, FeatureSettings, TwsSettings, VitSettings, extract_features
from fijibridge.features.source import detector_name
from fijibridge.features.vit.source import _with_detector
from fijibridge.frontends.cli import main
from fijibridge.frontends.imagej.install import macro_text
from fijibridge.images.detectors import check_names, join_detectors, parse_detectors
from fijibridge.images.image import image_from_array
from fijibridge.images.pixel_size import PixelSize
from fijibridge.images.writing import write_labels
from fijibridge.network.features import NetworkFeatureSettings
from fijibridge.operations.apply import apply
from fijibridge.operations.features import features
from fijibridge.operations.segment import segment
from fijibridge.segmentation import PixelSegmenter, load_segmenter
from fijibridge.synthesis.demo import demo_image
from fijibridge.synthesis.strokes import strokes_of
from fijibridge.tws.inputs import feature_stacks, grey_planes

SIZE = 128
TINY = VitSettings(encoder="test_vit", blocks=(2, 3), coarse_blocks=(), upsampler="bilinear")


def tiny(weights: Path, **changes) -> tuple:
    """TWS's features and the tiny ViT's."""
    return TwsSettings(), replace(TINY, weights=weights, **changes)


@pytest.fixture(scope="module")
def planes():
    return {name: demo_image(SIZE, detector=name)[0].data for name in ("BSE", "SE")}


@pytest.fixture(scope="module")
def image(planes):
    """BSE and SE of one field, SE taken 3 px too far down and 2 too far left."""
    return join_detectors({"BSE": planes["BSE"], "SE": np.roll(planes["SE"], (3, -2), (0, 1))})


@pytest.fixture(scope="module")
def trained(image, tiny_vit):
    labels = demo_image(SIZE)[1]
    return PixelSegmenter(tiny(tiny_vit), n_trees=10, n_threads=2).fit(image, labels), labels


# --- names -----------------------------------------------------------------------------------------------------------

names = st.from_regex("[A-Za-z][A-Za-z0-9_-]{0,8}", fullmatch=True)
files = st.from_regex("[A-Za-z0-9_/., -]*[a-z]", fullmatch=True).map(str.strip).filter(bool)


@given(st.dictionaries(names, files, min_size=1, max_size=4))
def test_what_is_written_is_read(pairs):
    text = ", ".join(f"{name}={file}" for name, file in pairs.items())
    if len({name.replace("-", "_").casefold() for name in pairs}) == len(pairs):
        assert parse_detectors(text) == {name: Path(file) for name, file in pairs.items()}
    else:
        with pytest.raises(SettingsError, match="twice"):
            parse_detectors(text)


def test_paths_of_all_kinds():
    found = parse_detectors(r"SE=C:\my data\a,b.tif,EDX-S=/x/S = 1.tif")
    assert found == {"SE": Path(r"C:\my data\a,b.tif"), "EDX-S": Path("/x/S = 1.tif")}
    assert parse_detectors(" ") == {}
    assert parse_detectors("SE=a.tif, ") == {"SE": Path("a.tif")}


@pytest.mark.parametrize("text", ["SE.tif", "SE=", "=SE.tif", "SE=a.tif, S=", "SE: a.tif", ",,"])
def test_another_syntax_is_told(text):
    with pytest.raises(SettingsError, match="NAME=FILE"):
        parse_detectors(text)


@pytest.mark.parametrize("name", ["", "S E", "1st", "a.b", "é", "SE,", "x" * 33])
def test_a_name_that_will_not_do(name):
    with pytest.raises(SettingsError, match="a detector named"):
        check_names(["BSE", name])


@given(st.lists(names, unique_by=lambda name: name.replace("-", "_").casefold(), max_size=4))
def test_names_of_features_are_safe_and_unique(detectors):
    plain = ["original", "Gaussian_blur_1.0", "Mean_2.0"]
    of_vit = ["vit_b06_c000", "vit_h06_c000", "vit_pca_000", "vit_pcah_000"]
    found = []
    for detector in ("", *detectors):
        found += [detector_name(detector, name) for name in plain]
        found += [_with_detector(detector, name) for name in of_vit]
    assert len(set(found)) == len(found)
    for name in found[len(plain) + len(of_vit) :]:
        assert name.startswith(("det_", "vit_"))
        assert name.isascii()
        assert name.replace("_", "").isalnum()
    groups = {name.rsplit("_", 1)[0] for name in found if name.startswith("vit_")}
    assert len(groups) == 4 * (1 + len(detectors))


# --- joined ----------------------------------------------------------------------------------------------------------


def test_joined_and_moved(image, planes):
    (channel,) = image.others
    assert (image.detector, channel.name, channel.shift) == ("BSE", "SE", (3.0, -2.0))
    assert np.array_equal(channel.data[4:-4, 4:-4], planes["SE"][4:-4, 4:-4])
    assert image.data is planes["BSE"] or np.array_equal(image.data, planes["BSE"])
    assert list(image.by_detector) == ["BSE", "SE"]
    assert image.by_detector["SE"].others == ()
    as_is = join_detectors({"BSE": planes["BSE"], "SE": np.roll(planes["SE"], 3, 0)}, align=False)
    assert as_is.others[0].shift is None
    assert np.array_equal(as_is.others[0].data, np.roll(planes["SE"], 3, 0))


def test_types_colours_and_data_bars(planes):
    bse = image_from_array(planes["BSE"], databar=10)
    colour = np.stack([(planes["SE"] >> 8).astype(np.uint8)] * 3, axis=2)
    both = join_detectors({"BSE": bse, "SE": image_from_array(colour, databar=20), "S": planes["SE"] / 7.0})
    assert both.databar_rows == 20
    assert [channel.data.dtype for channel in both.others] == [np.uint8, np.float32]
    stack = extract_features(both, "tws")
    assert stack.shape == (SIZE - 20, SIZE, 3 * 76)
    assert stack.extractor.detectors_ == ("SE", "S")


@pytest.mark.parametrize("factor", [2, 0.5])
def test_another_pixel_size_is_resampled(planes, factor):
    bse = replace(image_from_array(planes["BSE"], databar=8), pixel_size=PixelSize(0.01, 0.01, "um"))
    bar = round(8 * factor)
    se = zoom(planes["SE"], factor, order=1)
    other = replace(image_from_array(se, databar=bar), pixel_size=PixelSize(10 / factor, 10 / factor, "nm"))
    both = join_detectors({"BSE": bse, "SE": other})
    (channel,) = both.others
    assert channel.data.shape == bse.shape
    assert channel.data.dtype == se.dtype
    assert both.databar_rows == 8
    assert both.notes == (f"SE: pixels of {10 / factor:g} nm resampled to 0.01 \u00b5m",)
    wanted = planes["SE"][2:-10, 2:-2].astype(float)
    assert np.corrcoef(channel.data[2:-10, 2:-2].ravel(), wanted.ravel())[0, 1] > 0.9
    small = replace(other, pixel_size=PixelSize(7, 7, "nm"))  # another field of view
    with pytest.raises(ImageError, match="different sizes"):
        join_detectors({"BSE": bse, "SE": small})


def test_images_that_cannot_be_joined(planes):
    bse, se = planes["BSE"], planes["SE"]
    with pytest.raises(ImageError, match=r"different sizes: BSE 128 x 128 px, SE 126 x 127 px"):
        join_detectors({"BSE": bse, "SE": se[1:, 2:]})
    with pytest.raises(ImageError, match=r"the detector EDX-S is constant: every pixel is 7"):
        join_detectors({"BSE": bse, "EDX-S": np.full_like(bse, 7)})
    with pytest.raises(ImageError, match="the detector BSE is constant"):
        join_detectors({"BSE": 0 * bse, "SE": se})
    far = np.roll(se, (11, 20), (0, 1))
    with pytest.raises(ImageError, match=r"SE lies 11 px down and 20 px right of BSE") as caught:
        join_detectors({"BSE": bse, "SE": far})
    assert caught.value.expected == "8 px at most in an image of 128 x 128 px"
    assert join_detectors({"BSE": bse, "SE": far}, align=False).others[0].shift is None
    with pytest.raises(SettingsError, match="the detector bse twice"):
        join_detectors({"BSE": bse, "bse": se})
    with pytest.raises(SettingsError, match="no image"):
        join_detectors({})


def test_another_place_is_told(planes, caplog):
    noise = np.random.default_rng(0).normal(size=(SIZE, SIZE))
    with caplog.at_level(logging.WARNING, "fijibridge"):
        joined = join_detectors({"BSE": planes["BSE"], "SE": noise})
    assert joined.others[0].shift is None
    assert "see whether both show the same place" in caplog.text


# --- features --------------------------------------------------------------------------------------------------------


def test_each_detector_has_the_features_it_has_alone(image, tiny_vit):
    stack = extract_features(image, tiny(tiny_vit))
    assert stack.shape[2] == 2 * (76 + 128)
    alone = {n: extract_features(own, tiny(tiny_vit)) for n, own in image.by_detector.items()}
    whole, bse, se = (each.block() for each in (stack, alone["BSE"], alone["SE"]))
    assert np.array_equal(whole, np.concatenate([bse[..., :76], se[..., :76], bse[..., 76:], se[..., 76:]], axis=2))
    assert stack.names[:76] + stack.names[152:280] == alone["BSE"].names
    assert list(dict.fromkeys(stack.groups)) == ["", "vit_b02", "vit_b03", "vit_SE_b02", "vit_SE_b03"]
    assert stack.extractor.n_features(2) == stack.shape[2]
    mask = np.random.default_rng(0).random((SIZE, SIZE)) < 0.01
    assert np.array_equal(stack.at(mask), whole[mask])
    assert np.array_equal(stack.tokens(), alone["BSE"].tokens())


def test_each_detector_is_scaled_by_itself(image, tiny_vit):
    (se,) = image.others
    brighter = replace(image, others=(replace(se, data=(1000 + 0.01 * se.data).astype(np.float32)),))
    one, other = (extract_features(own, replace(TINY, weights=tiny_vit)).block() for own in (image, brighter))
    np.testing.assert_allclose(one, other, atol=2e-2 * np.abs(one).max())


def test_one_basis_serves_all(image, tiny_vit):
    stack = extract_features(image, tiny(tiny_vit, channels=5))
    assert stack.names[152:] == tuple(f"vit_{n}pca_{k:03d}" for n in ("", "SE_") for k in range(5))
    again = extract_features(image, stack.extractor)
    assert np.array_equal(stack.block(), again.block())


def test_an_extractor_says_what_it_needs(image, planes):
    extractor = extract_features(image, "tws").extractor
    assert (extractor.detector, extractor.detectors_) == ("BSE", ("SE",))
    data = json.loads(json.dumps(extractor.to_json()))
    again = FeatureExtractor.restored(data, {})
    assert extractor.differences(again) == []
    assert (again.detector, again.detectors_) == ("BSE", ("SE",))
    single = FeatureExtractor("tws")
    assert extractor.differences(single) == ["detectors: ('SE',) against one"]
    assert extractor.differences(single, as_request=True) == []
    other = FeatureExtractor.restored({**data, "detector": "In-lens"}, {})
    assert extractor.differences(other) == ["detector: 'BSE' against 'In-lens'"]
    with pytest.raises(SettingsError, match="twice"):
        FeatureExtractor.restored({**data, "detectors": ["SE", "BSE"]}, {})
    with pytest.raises(FeatureMismatchError, match="an image by BSE: SE is missing"):
        extract_features(planes["BSE"], extractor)


def test_an_image_that_does_not_say_who_took_it_is_the_first_detectors(image):
    anonymous = replace(image, detector="")
    extractor = extract_features(anonymous, FeatureSettings((TwsSettings(),), "In-lens")).extractor
    assert (extractor.detector, extractor.detectors_) == ("In-lens", ("SE",))
    assert extract_features(anonymous, "tws").extractor.detector == "BSE"


def test_a_network_sees_the_detectors_it_knows(image, pair_network):
    network, folder = pair_network
    three = join_detectors({**image.by_detector, "EDX-S": image.data})
    labels = demo_image(SIZE)[1]
    segmenter = PixelSegmenter((TwsSettings(), NetworkFeatureSettings(str(folder))), n_trees=3, head="none")
    stack = segmenter.extract(three)
    found = stack.block()[..., 3 * 76 :]
    expected = network.predict({name: own.grey for name, own in image.by_detector.items()})
    assert np.array_equal(found, np.moveaxis(expected, 0, -1))
    assert segmenter.fit(stack, labels).predict(three).shape == (SIZE, SIZE)


# --- classifiers -----------------------------------------------------------------------------------------------------


def test_two_see_more_than_one():
    """In SE two classes look alike, in BSE the two others do."""
    se, bse, truth = pair(1)
    labels, right = strokes_of(truth, np.random.default_rng(0)), {}
    image = join_detectors({"BSE": bse, "SE": se})
    for name, own in {**image.by_detector, "both": image}.items():
        segmenter = PixelSegmenter("tws", n_trees=30, n_threads=2).fit(own, labels)
        right[name] = (segmenter.predict(own) == truth).mean()
    assert right["both"] > max(right["SE"], right["BSE"]) + 0.01, right


def test_saved_loaded_and_asked_for_what_it_needs(image, trained, tmp_path, tiny_vit, monkeypatch):
    monkeypatch.setattr("fijibridge.jvm.java.find_java", lambda: None)
    segmenter, _ = trained
    assert segmenter.forest_.feature_names[76] == "z_det_SE_original"
    again = load_segmenter(segmenter.save(tmp_path / "saved"), weights=tiny_vit)
    expected = segmenter.predict(image)
    assert (again.predict(image) == expected).all()
    both = image.by_detector
    swapped = join_detectors({"SE": both["SE"], "BSE": both["BSE"]}, align=False)
    assert (again.predict(swapped) == expected).all()  # by name, not by place
    for bad, told in (
        (both["BSE"], "an image by BSE: SE is missing"),
        (image.data, "an image by BSE: SE is missing"),
        (both["SE"], "an image by SE: BSE is missing"),
        (join_detectors({"BSE": image, "In-lens": both["SE"]}), "an image by BSE, In-lens: SE is missing"),
        (join_detectors({**both, "S": image.data}), "does not know S"),
    ):
        with pytest.raises(FeatureMismatchError, match=told):
            again.predict(bad)


def test_a_classifier_of_one_detector_refuses_two(image):
    labels = demo_image(SIZE)[1]
    segmenter = PixelSegmenter("tws", n_trees=5).fit(image.by_detector["BSE"], labels)
    with pytest.raises(FeatureMismatchError, match="the classifier does not know SE"):
        segmenter.predict(image)
    with pytest.raises(FeatureMismatchError, match="does not know SE"):
        PixelSegmenter("tws", n_trees=5).fit([image.by_detector["BSE"], image], [labels, labels])
    assert segmenter.fit(image, labels).extractor_.detectors_ == ("SE",)  # trained anew, on both


def test_in_weka_and_back(java, image, tmp_path):
    from fijibridge.forest import read_model

    labels = demo_image(SIZE)[1]
    segmenter = PixelSegmenter("tws", engine="weka", n_trees=5, n_threads=2).fit(image, labels)
    saved = segmenter.save(tmp_path / "saved")
    assert read_model(saved / "classifier.model").feature_names == extract_features(image, "tws").names
    assert (load_segmenter(saved).predict(image) == segmenter.predict(image)).all()


def test_what_a_tws_session_takes(image):
    stack = fb.extract_features(image, "tws")
    shown, is_stack = grey_planes(image)
    assert np.array_equal(shown[0], image.data)
    assert not is_stack
    (given,) = feature_stacks(stack, is_stack, shown.shape)
    assert len(given.names) == 152


# --- the operations --------------------------------------------------------------------------------------------------

FAST = {"features": "tws", "trees": 5, "threads": 1}


@pytest.fixture(scope="module")
def sample(tmp_path_factory, planes) -> Path:
    """bse.tif, se.tif (displaced), labels.tif; stacks of two slices, and se/ with the file of each image."""
    folder = tmp_path_factory.mktemp("detectors ü")
    labels = demo_image(SIZE)[1]
    moved = np.roll(planes["SE"], (3, -2), (0, 1))
    write_image(folder / "bse.tif", planes["BSE"])
    write_image(folder / "se.tif", moved)
    write_labels(folder / "labels.tif", labels.data, class_names=labels.class_names)
    write_image(folder / "bse_stack.tif", np.stack([planes["BSE"], planes["BSE"][::-1]]))
    write_image(folder / "se_stack.tif", np.stack([moved, planes["SE"][::-1]]))
    (folder / "se").mkdir()
    write_image(folder / "se" / "bse.tif", moved)
    write_image(folder / "se" / "bse_stack.tif", np.stack([moved, planes["SE"][::-1]]))
    return folder


@pytest.fixture(scope="module")
def segmented(sample) -> Path:
    report = segment(
        sample / "bse.tif",
        labels=sample / "labels.tif",
        detectors=f"SE={sample / 'se.tif'}",
        out=sample / "out",
        **FAST,
    )
    assert report["displacements_px"] == {"SE": [(3.0, -2.0)]}
    assert report["detectors"] == {"BSE": str(sample / "bse.tif"), "SE": str(sample / "se.tif")}
    assert report["features"]["detectors"] == ["SE"]
    return sample / "out"


def test_segment_and_apply(sample, segmented, tmp_path):
    expected = tifffile.imread(segmented / "labels.tif")
    classifier = segmented / "classifier"
    single = apply(classifier, [sample / "bse.tif"], detectors=f"SE={sample / 'se.tif'}", out=tmp_path / "one")
    assert single["files"][0]["displacements_px"] == {"SE": [(3.0, -2.0)]}
    assert np.array_equal(tifffile.imread(tmp_path / "one" / "bse_labels.tif"), expected)
    images = [sample / "bse.tif", sample / "bse_stack.tif"]
    many = apply(classifier, images, detectors=f"SE={sample / 'se'}", out=tmp_path / "many")
    assert many["files"][1]["displacements_px"] == {"SE": [(3.0, -2.0), (0.0, 0.0)]}
    assert np.array_equal(tifffile.imread(tmp_path / "many" / "bse_labels.tif"), expected)
    stack = tifffile.imread(tmp_path / "many" / "bse_stack_labels.tif")
    assert np.array_equal(stack[0], expected)
    assert (stack[1] == expected[::-1]).mean() > 0.95


def test_features_of_a_stack(sample, segmented, tmp_path):
    given = {"detectors": f"SE={sample / 'se_stack.tif'}", "out": tmp_path / "own", "slices": "2"}
    own = features(sample / "bse_stack.tif", features="tws", **given)
    assert own["n_features"] == 152
    assert own["displacements_px"] == {"SE": [(0.0, 0.0)]}
    with tifffile.TiffFile(tmp_path / "own" / "features_0002.tif") as tif:
        assert tif.imagej_metadata["Labels"][76] == "det_SE_original"
        assert tif.series[0].shape == (152, SIZE, SIZE)
    same = features(
        sample / "bse_stack.tif", feature_file=segmented / "classifier", **given | {"out": tmp_path / "same"}
    )
    assert same["features"]["detectors"] == ["SE"]
    with pytest.raises(FeatureMismatchError, match="SE is missing"):
        features(sample / "bse.tif", feature_file=segmented / "classifier", out=tmp_path / "bad")
    assert not (tmp_path / "bad").exists()


def test_what_does_not_fit_is_told(sample, segmented, planes, tmp_path):
    classifier, bse = segmented / "classifier", sample / "bse.tif"
    write_image(tmp_path / "small.tif", planes["SE"][1:])
    write_image(tmp_path / "flat.tif", np.zeros_like(planes["SE"]))
    write_image(tmp_path / "far.tif", np.roll(planes["SE"], 12, 0))
    write_image(tmp_path / "half.tif", np.stack([planes["SE"], np.zeros_like(planes["SE"])]))
    for images, detectors, kind, told in (
        ([bse], "", FeatureMismatchError, "an image by BSE: SE is missing"),
        ([bse], f"In-lens={bse}", FeatureMismatchError, "an image by BSE, In-lens: SE is missing"),
        ([bse], f"SE={bse}, S={bse}", FeatureMismatchError, "does not know S"),
        ([bse], f"SE={tmp_path / 'none.tif'}", ImageNotFoundError, "none.tif"),
        ([bse], f"SE={tmp_path / 'small.tif'}", ImageError, "BSE 128 x 128 px, SE 128 x 127 px"),
        ([bse], f"SE={tmp_path / 'flat.tif'}", ImageError, "the detector SE is constant: every pixel is 0"),
        ([bse], f"SE={tmp_path / 'far.tif'}", ImageError, "SE lies 12 px down and 0 px right of BSE"),
        ([bse], f"SE={sample / 'se_stack.tif'}", ImageError, "stacks of different length: BSE 1, SE 2"),
        ([bse], f"BSE={bse}", FeatureMismatchError, "SE is missing"),
        ([bse], "SE", SettingsError, "NAME=FILE"),
        ([bse, bse], f"SE={bse}", SettingsError, "2 images, and .* of a further detector"),
    ):
        with pytest.raises(kind, match=told):
            apply(classifier, images, detectors=detectors, out=tmp_path / "out")
        assert not (tmp_path / "out").exists()
    with pytest.raises(SettingsError, match="the detector BSE twice"):
        segment(bse, labels=sample / "labels.tif", detectors=f"BSE={bse}", out=tmp_path / "out", **FAST)
    half = apply(classifier, [sample / "bse_stack.tif"], detectors=f"SE={tmp_path / 'half.tif'}", out=tmp_path / "half")
    assert "SE is constant in slice 2" in half["failed"][0]["error"]
    taken = apply(classifier, [bse], detectors=f"SE={tmp_path / 'far.tif'}", align=False, out=tmp_path / "far")
    assert taken["files"][0]["displacements_px"] == {"SE": [None]}
    assert taken["files"][0]["class_fractions"]


def test_from_the_shell(sample, segmented, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(sample)
    words = ["apply", "out/classifier", "bse.tif", "--detectors", "SE=se.tif", "--out", str(tmp_path / "o")]
    assert main([*words, "--threads", "1"]) == 0
    assert main(["apply", "out/classifier", "bse.tif", "--out", str(tmp_path / "bad")]) == 2
    assert "an image by BSE: SE is missing" in capsys.readouterr().err


def test_from_a_macro(java, sample, segmented, tmp_path):
    options = f"features=tws trees=5 threads=1 detectors=[SE={sample.as_posix()}/se.tif]"
    places = [str(sample / name) for name in ("bse.tif", "labels.tif")]
    for number, function in enumerate(("Ext.segment", "fbSegment")):
        words = ", ".join(map(macro_text, [*places, str(tmp_path / str(number)), options]))
        answer = values(fb.start().run_macro(f'run("fijibridge");\nr = {function}({words});\nreturn r;'))
        assert answer["detectors.SE"] == (sample / "se.tif").as_posix()
        assert answer["displacements_px.SE.1"] == "3.0,-2.0"
        expected = (segmented / "labels.tif").read_bytes()
        assert (tmp_path / str(number) / "labels.tif").read_bytes() == expected
