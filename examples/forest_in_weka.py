"""One forest on both sides: trained by scikit-learn, predicted by Weka's FastRandomForest in the JVM, and back.

python examples/forest_in_weka.py
"""

from pathlib import Path

import numpy as np

import fijibridge as fb
from fijibridge.forest import predict_weka, read_model, to_sklearn
from fijibridge.synthesis.demo import demo_image

image, labels, truth = demo_image(192)
fb.start(heap="1g")  # the embedded ImageJ and Weka; needs Java 11 or newer

features = "tws"  # TWS's 76 default features: what a TWS window computes itself
segmenter = fb.PixelSegmenter(engine="sklearn", features=features).fit(image, labels)
segmenter.save("tws_phases", overwrite=True)

model = read_model(Path("tws_phases") / "classifier.model")  # the file that Fiji loads
stack = np.asarray(segmenter.extract(image)).reshape(-1, 76)
in_java = predict_weka(model, stack)
in_sklearn = to_sklearn(model).predict_proba(stack)
by_kernel = segmenter.forest_.predict_proba(stack)

print("same labels in Weka:", (in_java.argmax(1) == by_kernel.argmax(1)).mean() == 1)
print("same labels in scikit-learn:", (in_sklearn.argmax(1) == by_kernel.argmax(1)).mean() == 1)
print("greatest difference of a probability:", abs(in_java - by_kernel).max())
