"""A classifier from several places of a material, from the data that TWS saved, and from both.

    python examples/train_from_many.py

The places are fijibridge's demo images; the last one is segmented.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import tifffile

from fijibridge.forest import read_arff, write_arff
from fijibridge.operations import operation
from fijibridge.synthesis.demo import demo_image

SIZE = 128
PLACES = 3  # to train on; one more is segmented


def main() -> None:
    train, apply = operation("train"), operation("apply")
    how = {"features": "tws", "trees": 40}
    with TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "labels").mkdir()
        for k in range(PLACES + 1):
            image, labels, truth = demo_image(SIZE, k)
            tifffile.imwrite(folder / f"place{k}.tif", image.data)
            tifffile.imwrite(folder / "labels" / f"place{k}.tif", labels.data)
        images = [folder / f"place{k}.tif" for k in range(PLACES)]
        classes = ",".join(labels.class_names)

        def told(name: str, report: dict) -> None:
            apply(folder / name, [folder / f"place{PLACES}.tif"], out=folder / f"{name}-applied")
            found = tifffile.imread(folder / f"{name}-applied" / f"place{PLACES}_labels.tif")
            share = 100 * np.mean(found == truth)
            print(f"{name}: {sum(report['samples'].values())} samples, {share:.1f} % of the pixels as in the truth")

        told("one", train(images[:1], labels=[folder / "labels"], classes=classes, out=folder / "one", **how))
        told(
            "many",
            train(images, labels=[folder / "labels"], classes=classes, save_data=True, out=folder / "many", **how),
        )
        data = folder / "many" / "data.arff"  # as TWS's "Save data" writes it
        told("data", train(data=data, trees=40, out=folder / "data"))
        new = [folder / f"place{PLACES - 1}.tif"]
        told("both", train(new, labels=[folder / "labels"], data=data, trees=40, out=folder / "both"))

        samples = read_arff(data, dtype=np.float64)
        again = write_arff(folder / "again.arff", samples.X, samples.y, samples.feature_names, samples.class_names)
        same = again.read_bytes() == data.read_bytes()
        print(f"data.arff is read and written again: {'the same bytes' if same else 'other bytes'}")


if __name__ == "__main__":
    main()
