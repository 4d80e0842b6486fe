"""Segment a micrograph by two detectors: SE and BSE of one field as one image with named channels.

python examples/two_detectors.py [BSE SE LABELS]
"""

import sys

import fijibridge as fb
from fijibridge.synthesis.demo import demo_image

if len(sys.argv) == 4:
    bse, se = fb.read_image(sys.argv[1]), fb.read_image(sys.argv[2])
    labels = fb.read_labels(sys.argv[3], shape=bse.shape)
else:
    bse, labels, truth = demo_image(192)
    se, _, _ = demo_image(192, detector="SE")

image = fb.join_detectors({"BSE": bse, "SE": se})  # labels lie on the first; the others are moved onto it
for channel in image.others:
    print(f"{channel.name} lay off {image.detector} by (rows, columns):", channel.shift)

# without a ViT, so that it runs in seconds; leave "tws" out for the default
segmenter = fb.PixelSegmenter("tws")
result = segmenter.fit(image, labels).predict(image)
print("features of", ", ".join([segmenter.extractor_.detector, *segmenter.extractor_.detectors_]))
for value, name in enumerate(segmenter.class_names_, start=1):
    print(f"{name}: {100 * (result == value).mean():.1f} %")
