"""Segment a micrograph from sparse labels, save the classifier, use it again.

python examples/segment_micrograph.py [IMAGE LABELS]
"""

import sys

import fijibridge as fb
from fijibridge.images.overlay import write_overlay
from fijibridge.images.writing import write_labels
from fijibridge.synthesis.demo import demo_image

if len(sys.argv) == 3:
    image = fb.read_image(sys.argv[1])
    labels = fb.read_labels(sys.argv[2], shape=image.shape)
else:
    image, labels, truth = demo_image()

segmenter = fb.PixelSegmenter(engine="sklearn")
segmenter.fit(image, labels)
result = segmenter.predict(image)  # (Y, X) uint8: 1, 2, ... in the order of class_names_

for value, name in enumerate(segmenter.class_names_, start=1):
    print(f"{name}: {100 * (result == value).mean():.1f} %")
names, colors = segmenter.class_names_, segmenter.class_colors_
write_labels("result.tif", result, pixel_size=image.pixel_size, class_names=names, class_colors=colors)
write_overlay("overlay.png", image, result, names, colors)

segmenter.save("phases", overwrite=True)  # a folder; phases/classifier.model is for Fiji
again = fb.load_segmenter("phases")
assert (again.predict(image) == result).all()
