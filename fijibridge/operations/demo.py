"""The main job on a simulated micrograph with known truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fijibridge.core.atomic_output import output_folder
from fijibridge.core.options import Out, Overwrite, Seed, Threads
from fijibridge.core.params import Param, check
from fijibridge.operations.feature_options import Encoder, EncoderWeights, Features
from fijibridge.operations.report import REPORT, fraction_lines, iou_lines, oob_lines, write_report
from fijibridge.segmentation.options import Engine
from fijibridge.weights.encoders import DEFAULT_ENCODER


def demo(
    *,
    out: Out = Path("fijibridge-demo"),
    engine: Engine = "sklearn",
    features: Features = None,
    encoder: Encoder = DEFAULT_ENCODER,
    size: Annotated[
        int,
        Param("height and width of the micrograph", low=96, high=4096, unit="px", level="basic", group="Simulation"),
    ] = 384,
    seed: Seed = 0,
    weights: EncoderWeights = None,
    threads: Threads = 0,
    overwrite: Overwrite = False,
) -> dict[str, Any]:
    """Segment a simulated micrograph with known truth.

    CAM particles and pores in a solid electrolyte (ISE), labelled by 24 strokes; the result is compared with the truth.

    Writes image.tif (BSE), se.tif (the same place by secondary electrons), labels.tif (the strokes), truth.tif, the
    folder segmentation (see segment) of image.tif, and report.json.

    Returns
    -------
    dict
        The report of segment, with ``iou`` (intersection over union of each class with the truth) and ``mean_iou``.
    """
    import numpy as np

    from fijibridge.images.image import read_image
    from fijibridge.images.writing import write_imagej, write_labels
    from fijibridge.operations.segment import segment
    from fijibridge.synthesis.demo import demo_image

    check(demo, locals())
    with output_folder(out, marker=REPORT, overwrite=overwrite, inputs=[weights]) as folder:
        image, labels, truth = demo_image(size, seed)
        other, _, _ = demo_image(size, seed, detector="SE")
        for name, each in (("image.tif", image), ("se.tif", other)):
            planes, shape = iter([each.data]), (1, *each.shape)
            write_imagej(folder / name, planes, shape, each.data.dtype.type, "ZYX", each.pixel_size, metadata={})
        for name, values in (("labels.tif", labels.data), ("truth.tif", truth)):
            write_labels(folder / name, values, pixel_size=image.pixel_size, class_names=labels.class_names)
        report = segment(
            folder / "image.tif",
            labels=folder / "labels.tif",
            out=folder / "segmentation",
            engine=engine,
            classes=",".join(labels.class_names),
            features=features,
            encoder=encoder,
            seed=seed,
            databar="0",
            weights=weights,
            threads=threads,
        )
        found = read_image(folder / "segmentation" / "labels.tif", databar=0).data
        iou = {}
        for k, name in enumerate(labels.class_names, start=1):
            ours, theirs = found == k, truth == k
            iou[name] = round(float((ours & theirs).sum() / (ours | theirs).sum()), 4)
        outputs = [
            "image.tif",
            "se.tif",
            "labels.tif",
            "truth.tif",
            *(f"segmentation/{name}" for name in report["outputs"]),
        ]
        report |= {"operation": "demo", "out": str(out), "image": str(Path(out) / "image.tif"), "outputs": outputs}
        report["iou"] = iou
        report["mean_iou"] = round(float(np.mean(list(iou.values()))), 4)
        write_report(folder, report)
        # the inner report names the place where the folder was built
        (folder / "segmentation" / REPORT).unlink()
    return report


def summary(report: dict[str, Any]) -> list[str]:
    """Lines for a person."""
    return [*fraction_lines(report), *oob_lines(report), *iou_lines(report)]
