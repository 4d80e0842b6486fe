"""TWS's own "Save data", "Load data" and "Balance classes" against ours: the real TWS in a Java process of its own."""

from __future__ import annotations

import os

import numpy as np
import pytest
import tifffile

from fijibridge.forest import read_arff, write_arff
from fijibridge.forest.balance import balanced_rows
from fijibridge.images.image import read_image
from fijibridge.operations.train import train
from fijibridge.segmentation import load_segmenter

pytestmark = pytest.mark.slow

# what a person does in the window: two classes, traces, Save data; then Load data of a file of ours
_CODE = """
import os, sys, jpype
jpype.startJVM("-Xmx600m", "-Djava.awt.headless=true",
               classpath=os.environ["FIJIBRIDGE_TWS_CLASSPATH"].split(os.pathsep))
folder = {folder!r}
jpype.JClass("ij.Prefs").setThreads(4)  # TWS hangs with fewer
image = jpype.JClass("ij.IJ").openImage(folder + "/micrograph.tif")
tws = jpype.JClass("trainableSegmentation.WekaSegmentation")
own = tws(image)
own.setClassLabel(0, "pore space")
own.setClassLabel(1, "50% \\"glass\\"")
Roi = jpype.JClass("ij.gui.Roi")
own.addExample(0, Roi(2, 2, 14, 9), 1)
own.addExample(1, Roi(40, 40, 12, 12), 1)
own.addExample(1, Roi(42, 20, 5, 5), 1)
if {back!r}:
    print("loaded", own.loadTrainingData({back!r}), own.getLoadedTrainingData().numInstances())
else:
    print("saved", own.saveData(folder + "/saved.arff"))
    data = own.createTrainingInstances()
    data.setClassIndex(data.numAttributes() - 1)
    drawn = tws.balanceTrainingData(data)
    with open(folder + "/drawn.txt", "w", encoding="utf-8") as file:
        for i in range(drawn.numInstances()):
            file.write(str(drawn.get(i).toString()) + "\\n")
jpype.JClass("java.lang.System").out.flush()
os._exit(0) if not sys.stdout.flush() else None
"""


@pytest.fixture
def tws(run_python, tmp_path):
    if not os.environ.get("FIJIBRIDGE_TWS_CLASSPATH"):
        pytest.skip("FIJIBRIDGE_TWS_CLASSPATH is not set")
    y, x = np.mgrid[:64, :64]
    grey = 90 + 70 * ((y - 45) ** 2 + (x - 45) ** 2 < 200) + np.random.default_rng(0).normal(0, 9, y.shape)
    tifffile.imwrite(tmp_path / "micrograph.tif", grey.astype(np.uint8))

    def run(back: str = "") -> str:
        done = run_python(_CODE.format(folder=tmp_path.as_posix(), back=back), timeout=240)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_data_of_tws(tws, tmp_path):
    assert "saved True" in tws()
    saved = tmp_path / "saved.arff"
    samples = read_arff(saved, dtype=np.float64)
    assert samples.counts == {"pore space": 126, '50% "glass"': 169}
    # written again: the same bytes
    again = tmp_path / "again.arff"
    write_arff(again, samples.X, samples.y, samples.feature_names, samples.class_names, relation=samples.relation)
    assert again.read_bytes() == saved.read_bytes()
    # TWS's balanced draw, row by row
    rows = balanced_rows(samples.y, 2, 1)
    lines = saved.read_text(encoding="utf-8").split("@data\n")[1].splitlines()
    assert (tmp_path / "drawn.txt").read_text(encoding="utf-8").splitlines() == [lines[row] for row in rows]
    # a classifier of the data segments the image, and TWS loads what we save
    report = train(data=saved, out=tmp_path / "t", trees=20, threads=1, save_data=True)
    assert report["oob_accuracy"] > 0.95
    found = load_segmenter(tmp_path / "t").predict(read_image(tmp_path / "micrograph.tif"))
    assert (found[42:50, 42:50] == 2).all()
    assert (found[2:11, 2:16] == 1).all()
    assert "loaded True 295" in tws((tmp_path / "t" / "data.arff").as_posix())
