"""Features into a Trainable Weka Segmentation session of a real Fiji: seconds, and what they take of Java's heap.

    python benchmarks/tws_session.py FIJI_FOLDER [--shape 1024 1024 384]

A second copy in Java would show as a share of 2 of the features' own size.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from results import Results, add_json

import fijibridge as fb
from fijibridge.features import FeatureStack


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fiji")
    parser.add_argument("--shape", type=int, nargs=3, default=[1024, 1024, 384], help="height, width, features")
    parser.add_argument("--heap", default="6g")
    add_json(parser)
    arguments = parser.parse_args()
    results = Results("tws_session", arguments.json)
    fiji = fb.start(fiji=arguments.fiji, heap=arguments.heap)
    beans = fiji.gateway.jclass("java.lang.management.ManagementFactory")
    pools = [pool for pool in beans.getMemoryPoolMXBeans() if str(pool.getType().name()) == "HEAP"]
    runtime, collect = fiji.gateway.jclass("java.lang.Runtime").getRuntime(), fiji.gateway.jclass("java.lang.System").gc
    height, width, count = arguments.shape
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (height, width)).astype(np.uint8)
    labels = np.zeros_like(image)
    labels[10:20, 10:90], labels[-20:-10, 10:90] = 1, 2
    array = rng.random((height, width, count), np.float32)
    features = FeatureStack.from_array(array, [f"vit_{k:03d}" for k in range(count)])
    collect()
    before = runtime.totalMemory() - runtime.freeMemory()
    for pool in pools:
        pool.resetPeakUsage()
    wall, cpu = time.perf_counter(), time.process_time()
    with fiji.trainable_segmentation(image, features, labels) as session:
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        peak = sum(int(pool.getPeakUsage().getUsed()) for pool in pools) - before
        collect()
        held = runtime.totalMemory() - runtime.freeMemory() - before
        started = time.perf_counter()
        session.train()
        trained = time.perf_counter() - started
    size = array.nbytes
    about = f"{count} features of {height} x {width} pixels ({size / 2**20:.0f} MiB)"
    title = f"{about} into a Trainable Weka Segmentation session of a real Fiji"
    table = results.table("session", title, {"what": "", "measured": ".2f", "unit": ""})
    figures = {
        "wall time": (wall, "s"),
        "CPU time": (cpu, "s"),
        "held in Java's heap": (held / size, "times their size"),
        "greatest in Java's heap": (peak / size, "times their size"),
        "training, 1600 pixels": (trained, "s"),
    }
    for name, (value, unit) in figures.items():
        table.add(name, value, unit)


if __name__ == "__main__":
    main()
