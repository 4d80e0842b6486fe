"""A fine 3D volume from a coarse one that shows one phase, and a fine 2D image that shows all, in Python.

    python examples/superresolve_volume.py [SIZE]

Both are simulated here: round particles (CAM) and pores in a solid electrolyte (ISE). The coarse volume shows where CAM
is, four times as coarsely, and no pores; the fine slice comes from another place of the same material. SIZE is 32 fine
voxels by default; with 64 and the default settings the work takes some minutes.
"""

import sys

import numpy as np
import tifffile

from fijibridge.phases.phases import as_phases
from fijibridge.reconstruction import check_exemplars
from fijibridge.superresolution import SuperresolutionSettings, coarse_labels, superresolve

size = int(sys.argv[1]) if len(sys.argv) > 1 else 32
factor = 4
rng = np.random.default_rng(0)
shape = (size + 48, 96, 96)
material = np.zeros(shape, np.uint8)
for phase, per_voxel, low, high in ((1, 6e-4, 4.0, 8.0), (2, 2e-3, 1.5, 3.0)):
    for radius in rng.uniform(low, high, int(per_voxel * material.size)):
        center = rng.uniform(-6, np.array(shape) + 6)
        corner = [max(0, int(c - radius)) for c in center]
        ends = [max(0, int(c + radius) + 2) for c in center]
        part = tuple(slice(start, end) for start, end in zip(corner, ends, strict=True))
        grid = np.ogrid[part]
        inside = sum((axis - c) ** 2 for axis, c in zip(grid, center, strict=True)) < radius**2
        material[part][inside[tuple(slice(n) for n in material[part].shape)]] = phase

truth = material[:size, :size, :size]
elsewhere = material[size + 8 :]
apart = [abs((plane == 1).mean() - (truth == 1).mean()) for plane in elsewhere]
micrograph = elsewhere[int(np.argmin(apart))]
blocks = (truth == 1).reshape(size // factor, factor, size // factor, factor, size // factor, factor)
coarse = as_phases((blocks.mean((1, 3, 5)) >= 0.5).astype(np.uint8), class_names=["rest", "CAM"])

slices = check_exemplars({"xy": as_phases(micrograph, spacing=0.1, unit="um", class_names=["ISE", "CAM", "pore"])})
seen = coarse_labels(coarse, slices.first, visible=["CAM"])  # or coarse_probabilities, coarse_grey

# without loss="patches" the features of a pre-trained VGG19 are compared too: better, and slower
settings = SuperresolutionSettings(loss="patches", steps=40 if size <= 32 else 150, trust="coarse", seed=0)
made = superresolve(seen, slices, factor, settings)
volume = made.phases
tifffile.imwrite("fine.tif", volume.index, imagej=True, metadata={"axes": "ZYX", "spacing": 0.1, "unit": "um"})

for name, count in zip(volume.names, volume.counts, strict=True):
    print(f"{name}: {100 * count / volume.index.size:.1f} %")
print(f"agreement with the coarse volume: {100 * made.agreement:.1f} %")
fine, true = volume.index == 1, truth == 1
print(f"overlap of CAM with the truth (intersection over union): {(fine & true).sum() / (fine | true).sum():.3f}")
likeliest = made.posterior.mean.index == 1  # smoother than the material, and nearer to the truth voxel by voxel
print(f"the same of the most probable volume: {(likeliest & true).sum() / (likeliest | true).sum():.3f}")
tifffile.imwrite("uncertainty.tif", made.posterior.uncertainty(), imagej=True, metadata={"axes": "ZYX"})
for note in made.notes:
    print(f"note: {note}")
