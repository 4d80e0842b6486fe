"""The peer MCRpy on one slice: a volume whose slices have the slice's spatial correlations and mean variation.

    PYTHON_WITH_MCRPY benchmarks/mcrpy_peer.py SLICE.npy SIZE OUT.npy [--iterations 40] [--seed 0] [--threads 2]
        [--descriptors Correlations Variation] [--limit 8]

SLICE.npy is a (Y, X) uint8 label image of phases 0 .. P-1; OUT.npy becomes the (SIZE, SIZE, SIZE) uint8 volume. It runs
in MCRpy's own environment (Python 3.11: pip install "mcrpy==0.2.0" "tensorflow<2.16" "numpy<2") and imports nothing of
fijibridge. The last line it prints is JSON: CPU and wall seconds of characterising and reconstructing (imports and
files left out), the settings and MCRpy's version; MCRpy's progress goes to standard error.

The settings are those of MCRpy's README for 2D to 3D: three-point correlations up to 8 pixels, variation at weight 100,
every phase its own indicator function, coarse to fine, L-BFGS-B. Only the iterations differ: MCRpy gives every level of
the pyramid the same number (500), here the coarsest has --iterations and each finer one a third of the last, for a
level costs about eight times the one before (0.9, 5 and some 30 s an evaluation at 16^3, 32^3 and 64^3, three phases,
two shared cores).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np


@contextlib.contextmanager
def printing_to_stderr() -> Iterator[None]:
    """What TensorFlow and MCRpy write to standard output, from C++ too, goes to standard error."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def reconstruct(labels: np.ndarray, size: int, settings: dict[str, Any], seed: int) -> np.ndarray:
    """(size, size, size) labels; `settings` are fields of MCRpy's ReconstructionSettings."""
    import mcrpy
    from mcrpy.reconstruct import setup_reconstruction
    from mcrpy.src.DMCR import DMCR

    class Pyramid(DMCR):
        """MCRpy's coarse-to-fine reconstruction with fewer iterations at each finer level."""

        def setup_optimization(self, shape: Any, levels: int, previous: Any, level: int) -> None:
            self.max_iter = max(1, settings["max_iter"] // 3 ** (levels - 1 - level))
            super().setup_optimization(shape, levels, previous, level)

    shared = {k: settings[k] for k in ("descriptor_types", "limit_to", "use_multiphase", "use_multigrid_descriptor")}
    quiet = {"logging_level": logging.WARNING}
    np.random.seed(seed)  # MCRpy starts from noise of NumPy's global generator
    exemplar = mcrpy.Microstructure(labels.astype(np.float64), use_multiphase=True, trainable=False)
    # one descriptor for all three directions: the slice stands for slices along every axis
    wanted = mcrpy.characterize(exemplar, mcrpy.CharacterizationSettings(**shared, **quiet))
    shape = (size,) * 3
    fields = mcrpy.ReconstructionSettings(**settings, **quiet, convergence_data_steps=1)
    fields, descriptors = setup_reconstruction(wanted, shape, fields, None)
    _, found = Pyramid(**vars(fields)).reconstruct(descriptors, shape)
    indicators = found.numpy()
    undecided = float((indicators.max(axis=-1) < 0.9).mean())
    print(f"voxels with no phase's indicator above 0.9: {undecided:.3f}", file=sys.stderr)
    return indicators.argmax(axis=-1).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("slice", type=Path)
    parser.add_argument("size", type=int)
    parser.add_argument("out", type=Path)
    parser.add_argument("--iterations", type=int, default=40, help="at the coarsest level; a third at each next")
    parser.add_argument("--descriptors", nargs="+", default=["Correlations", "Variation"])
    parser.add_argument("--limit", type=int, default=8, help="longest correlation, in pixels of a level")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()

    labels = np.load(args.slice)
    phases = np.unique(labels)
    if labels.ndim != 2 or not np.array_equal(phases, np.arange(len(phases))):
        parser.error("SLICE.npy must be a (Y, X) image of phases 0 .. P-1")
    if args.size < 2 * args.limit or min(labels.shape) < args.size:
        parser.error("SIZE must be at least twice --limit and at most the slice's shorter side")

    settings = {
        "descriptor_types": args.descriptors,
        "descriptor_weights": [100.0 if name == "Variation" else 1.0 for name in args.descriptors],
        "limit_to": args.limit,
        "use_multiphase": True,
        "use_multigrid_descriptor": True,
        "use_multigrid_reconstruction": True,
        "optimizer_type": "LBFGSB",
        "loss_type": "MSE",
        "max_iter": args.iterations,
    }
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[name] = str(args.threads)  # read when TensorFlow is imported
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with printing_to_stderr():
        import mcrpy

        wall, cpu = time.perf_counter(), time.process_time()
        volume = reconstruct(labels, args.size, settings, args.seed)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    np.save(args.out, volume)
    settings |= {"max_iter_finer_level": "a third of the last"}
    settings |= {"seed": args.seed, "threads": args.threads, "tensorflow": version("tensorflow")}
    print(
        json.dumps(
            {"cpu_s": round(cpu, 1), "wall_s": round(wall, 1), "settings": settings, "version": mcrpy.__version__}
        )
    )


if __name__ == "__main__":
    main()
