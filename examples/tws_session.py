"""Trainable Weka Segmentation in your own Fiji, on ViT features that Python made.

pip install "fijibridge[fiji]"
python examples/tws_session.py FIJI_FOLDER
"""

import sys

import numpy as np

import fijibridge as fb
from fijibridge.synthesis.demo import demo_image

fiji = fb.start(fiji=sys.argv[1])  # before anything else that uses Java
image, labels, truth = demo_image(192)

# TWS's 76 default features, and 32 principal components of the ViT's channels at each of two scales
with fiji.trainable_segmentation(image, "default", labels) as session:
    result = session.train().predict()
    print(f"by TWS: {100 * np.mean(result == truth):.1f} % of the pixels right")
    session.save("phases.model")

    # the same session with a forest that scikit-learn trained on these features
    features = fb.extract_features(image, session.extractor)
    segmenter = fb.PixelSegmenter(engine="sklearn", head="none").fit(features, labels)
    same = session.use(segmenter.forest_).predict() == segmenter.predict(features)
    print("scikit-learn's forest gives the same labels in TWS:", bool(same.all()))
