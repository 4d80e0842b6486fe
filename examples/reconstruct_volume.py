"""A 3D volume from one 2D image in Python, and how well it agrees with what it was made from.

    python examples/reconstruct_volume.py [SIZE]

The micrograph is simulated here: a slice through round particles (CAM) and pores in a solid electrolyte (ISE), 100 nm a
pixel. A real one is the labels.tif of `fijibridge segment`, read by `tifffile.imread`. SIZE is 32 voxels by default;
with 64 and the default settings the work takes some minutes.
"""

import sys

import numpy as np
import tifffile

from fijibridge.phases.phases import as_phases
from fijibridge.reconstruction import ReconstructionSettings, check_exemplars, compare, reconstruct

size = int(sys.argv[1]) if len(sys.argv) > 1 else 32
rng = np.random.default_rng(0)
z, y, x = np.ogrid[:1, :96, :96]
micrograph = np.zeros((96, 96), np.uint8)
for phase, count, low, high in ((1, 260, 3.0, 6.0), (2, 160, 1.5, 3.0)):
    for radius in rng.uniform(low, high, count):
        a, b, c = rng.uniform([-6, -6, -6], [7, 102, 102])
        micrograph[((z - a) ** 2 + (y - b) ** 2 + (x - c) ** 2 < radius**2)[0]] = phase

exemplar = as_phases(micrograph, spacing=0.1, unit="um", class_names=["ISE", "CAM", "pore"])
exemplars = check_exemplars({"xy": exemplar})  # or three: xy, xz and yz

# without loss="patches" the features of a pre-trained VGG19 are compared too: better, and slower
settings = ReconstructionSettings(loss="patches", steps=40 if size <= 32 else 100, seed=0)
volume = reconstruct(exemplars, (size, size, size), settings).phases
tifffile.imwrite("volume.tif", volume.index, imagej=True, metadata={"axes": "ZYX", "spacing": 0.1, "unit": "um"})

found = compare(exemplars.planes, volume)
for name, fraction in zip(volume.names, exemplars.fractions, strict=True):
    print(f"{name}: {100 * fraction:.2f} % in the micrograph")
print(found.rows("fraction", "autocorrelation", "perimeter").to_string(index=False))
for name, value in found.headline().items():
    print(f"{name}: {value:.3f}")
