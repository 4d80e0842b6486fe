"""Features into a Trainable Weka Segmentation session of a real Fiji: seconds, and what they take of Java's heap.

    python benchmarks/tws_session.py FIJI_FOLDER [--shape 1024 1024 384]

A second copy in Java would show as a share of 2 of the features' own size.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from machine import describe

import fijibridge as fb
from fijibridge.features import FeatureStack


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fiji")
    parser.add_argument("--shape", type=int, nargs=3, default=[1024, 1024, 384], help="height, width, features")
    parser.add_argument("--heap", default="6g")
    arguments = parser.parse_args()
    print(describe(), flush=True)
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
    print("\n| features | size | wall | CPU | held in Java | peak in Java | training (1600 pixels) |")
    print("|---|---|---|---|---|---|---|")
    print(
        f"| {count} x {height} x {width} float32 | {size / 2**20:.0f} MiB | {wall:.2f} s | {cpu:.2f} s "
        f"| {held / size:.2f} x | {peak / size:.2f} x | {trained:.1f} s |"
    )


if __name__ == "__main__":
    main()
