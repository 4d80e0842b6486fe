"""Measure a volume in Python: one call for all, and single metrics on arrays.

    python examples/measure_volume.py

The volume is simulated here: particles (CAM) of 4 um in a solid electrolyte (ISE) with pores, 100 nm a voxel.
"""

import numpy as np
from scipy import ndimage as ndi

from fijibridge.metrology import measure, phase_fractions, tortuosity

rng = np.random.default_rng(0)
particles = ndi.gaussian_filter(rng.normal(size=(48, 48, 48)), 4)
pores = ndi.gaussian_filter(rng.normal(size=(48, 48, 48)), 1.5)
volume = np.where(particles > np.quantile(particles, 0.55), 1, 0)
volume[pores > np.quantile(pores, 0.9)] = 2

about = {"spacing": (0.1, 0.1, 0.1), "unit": "um", "class_names": ["ISE", "CAM", "pore"]}
found = measure(volume, conductivities={"ISE": 1.0, "CAM": 0.01, "pore": 0}, **about)
print(found.table.to_string(max_rows=None))

# how much one slice of it would have told
for name, image in (("volume", volume), ("one slice", volume[24])):
    row = phase_fractions(image, **about).set_index("phase").loc["CAM"]
    print(f"CAM in the {name}: {100 * row.fraction:.1f} % ({100 * row.low:.1f} to {100 * row.high:.1f} %)")

for axis, name in enumerate("zyx"):
    print(f"tortuosity factor of ISE along {name}: {tortuosity(volume == 0, axis).tau:.3f}")
