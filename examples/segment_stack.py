"""Labels on two slices of a stack train a classifier for all of them.

    python examples/segment_stack.py

The slices are three of fijibridge's demo images; a class may be labelled on one slice alone.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import tifffile

from fijibridge.operations import operation
from fijibridge.synthesis.demo import demo_image

SIZE = 160


def main() -> None:
    images, labels, truths = zip(*(demo_image(SIZE, seed) for seed in range(3)), strict=True)
    names = labels[0].class_names
    sparse = np.zeros((3, SIZE, SIZE), np.uint8)  # no label on the second slice
    sparse[0], sparse[2] = labels[0].data, labels[2].data
    sparse[2][sparse[2] == 1] = 0  # and none of the first class on the third
    with TemporaryDirectory() as place:
        folder = Path(place)
        for name, stack in (("stack", np.stack([image.data for image in images])), ("labels", sparse)):
            tifffile.imwrite(folder / f"{name}.tif", stack, imagej=True, metadata={"axes": "ZYX"})
        report = operation("segment")(
            folder / "stack.tif",
            labels=folder / "labels.tif",
            classes=",".join(names),
            features="tws",
            out=folder / "out",
        )
        found = tifffile.imread(folder / "out" / "labels.tif")
    print(f"labels on slices {report['labelled_slices']}, segmented {report['slices']}")
    for number, (own, truth) in enumerate(zip(found, truths, strict=True), start=1):
        print(f"slice {number}: {100 * np.mean(own == truth):.1f} % of the pixels as in the truth")


if __name__ == "__main__":
    main()
