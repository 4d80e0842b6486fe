"""Simulate SE + BSE training data, train a network, segment an image: the whole way, small.

python examples/simulate_and_segment.py OUT
"""

import sys
from pathlib import Path

from fijibridge.network import NetworkSettings, train_network
from fijibridge.operations.segment_network import segment_network
from fijibridge.synthesis import SimulationConfig, write_dataset

out = Path(sys.argv[1])
config = SimulationConfig(
    "small",
    size=128,
    depth=16,
    sections=2,
    pixel_size=0.1,  # micrometres
    materials={"ISE": "Li6PS5Cl", "CAM": "NCM"},
    structure={"cam_fraction": [0.35, 0.5], "cam_diameter": [2.0, 5.0], "porosity": [0.08, 0.2]},  # ranges
    imaging={"snr": [8, 20]},  # dB
)
write_dataset(config, out=out / "dataset", count=8, seed=0, workers=1)

# a real one: 5000 pairs of 512 x 512, an hour; see the README
settings = NetworkSettings(steps=20, width=8, levels=3, crop=64, batch=4, checks=2)
network = train_network(out / "dataset", settings, out=out / "network")
print("classes:", ", ".join(network.class_names))

first = out / "dataset" / "shard-00000"
report = segment_network(out / "network", se=first / "se.tif", bse=first / "bse.tif", out=out / "segmentation")
print({name: round(share, 3) for name, share in report["class_fractions"].items()})
