"""Models of Weka's other classifiers in TWS itself: the same labels and probabilities as fijibridge's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_CODE = """
import os
from pathlib import Path
import jpype
import numpy as np
import fijibridge as fb
from fijibridge.jvm import jars
from weka_models import NAMES, picture, train_and_save
patcher = [str(jar) for jar in jars() if "javassist" in jar.name or "patcher" in jar.name]
options = ["-Xmx1g", "-Djava.awt.headless=true", "--add-opens=java.base/java.lang=ALL-UNNAMED"]
jpype.startJVM(*options, classpath=os.environ["FIJIBRIDGE_TWS_CLASSPATH"].split(os.pathsep) + patcher)
fiji = fb.start()
jpype.JClass("ij.Prefs").setThreads(4)
image, _ = picture()
features = fb.PixelSegmenter("tws", head="none").extract(image)
turned = fb.FeatureStack.from_array(features.block()[..., ::-1], features.names[::-1])
for number, text in enumerate(["functions.SMO -M", "bayes.NaiveBayes", "trees.J48", "trees.RandomForest -I 9"]):
    model = train_and_save(text, Path(f"{number}.model"))
    segmenter = fb.load_segmenter(model)
    for given in (features, turned):
        with fiji.trainable_segmentation(image, given) as session:
            assert (session.load(model).predict() == segmenter.predict(features)).all(), text
            assert np.abs(session.predict_proba() - segmenter.predict_proba(features)).max() < 1e-6, text
            folder = segmenter.save(f"{number}", overwrite=True)
            assert (session.load(folder).predict() == segmenter.predict(features)).all(), text
            assert session.class_names == NAMES
print("done")
"""


@pytest.mark.slow
def test_the_same_in_tws(run_python, tmp_path, monkeypatch):
    if not os.environ.get("FIJIBRIDGE_TWS_CLASSPATH"):
        pytest.skip("FIJIBRIDGE_TWS_CLASSPATH is not set")
    monkeypatch.chdir(tmp_path)
    tests = str(Path(__file__).parents[1])
    done = run_python(_CODE, PYTHONPATH=os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")]))
    assert done.stdout.strip().endswith("done"), done.stdout + done.stderr
