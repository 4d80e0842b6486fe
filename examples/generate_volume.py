"""A large volume like one slice, in Python: fit, volume, and what changes with a parameter.

    python examples/generate_volume.py [SIZE]

The slice is simulated here: round particles (CAM) and pores in a solid electrolyte (ISE). A real one is the labels.tif
of `fijibridge segment`, read by `tifffile.imread`. SIZE is 64 voxels by default; 512 takes some minutes.
"""

import sys

import numpy as np
import tifffile

from fijibridge.metrology import specific_surface
from fijibridge.parametric import fit, volume_of
from fijibridge.phases.phases import as_phases

size = int(sys.argv[1]) if len(sys.argv) > 1 else 64
names = ["ISE", "CAM", "pore"]
rng = np.random.default_rng(0)
z, y, x = np.ogrid[:1, :96, :96]
micrograph = np.zeros((96, 96), np.uint8)
for phase, count, low, high in ((1, 260, 3.0, 6.0), (2, 160, 1.5, 3.0)):
    for radius in rng.uniform(low, high, count):
        a, b, c = rng.uniform([-6, -6, -6], [7, 102, 102])
        micrograph[((z - a) ** 2 + (y - b) ** 2 + (x - c) ** 2 < radius**2)[0]] = phase

found = fit([as_phases(micrograph, class_names=names)])
for step in found.model.steps:
    print(f"{names[step.phase]}: {step.kind}")
print(f"two-point functions differ by {max(own['two_point'] for own in found.differences.values()):.1f} %")

volume = volume_of(found.model, (size, size, size), seed=0)
tifffile.imwrite("volume.tif", volume, imagej=True, metadata={"axes": "ZYX"})
for name, share in zip(names, np.bincount(volume.ravel()) / volume.size, strict=True):
    print(f"{name}: {100 * share:.2f} %")

larger = volume_of(found.model.with_lengths(1.5), (size, size, size), seed=0)
surfaces = [specific_surface(index, class_names=names) for index in (volume, larger)]
one, other = (float(table[table.phase == "CAM"].specific_surface.iloc[0]) for table in surfaces)
print(f"surface of CAM with all lengths times 1.5: {other / one:.2f} of what it was")
