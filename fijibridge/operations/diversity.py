"""How diverse a simulated data set is, compared with real micrographs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fijibridge.core.atomic_output import output_folder
from fijibridge.core.errors import SettingsError
from fijibridge.core.options import Out, Overwrite
from fijibridge.core.params import Param, check
from fijibridge.core.timing import Stages
from fijibridge.operations.batch import Batch
from fijibridge.operations.feature_options import Detector, Encoder, EncoderWeights
from fijibridge.operations.options import Databar, Dataset
from fijibridge.operations.report import REPORT, fraction_lines, peak_memory_mib, write_report
from fijibridge.weights.encoders import DEFAULT_ENCODER

if TYPE_CHECKING:
    from fijibridge.images.image import Image


def diversity(
    dataset: Dataset,
    *,
    real: Annotated[
        list[Path] | None, Param("real micrographs to compare with", role="file", level="basic", group="Input")
    ] = None,
    out: Out,
    detector: Detector = "BSE",
    max_images: Annotated[
        int, Param("images of the data set to compare, at most, evenly through it", low=2, high=10_000, group="Input")
    ] = 48,
    encoder: Encoder = DEFAULT_ENCODER,
    databar: Databar = "auto",
    weights: EncoderWeights = None,
    overwrite: Overwrite = False,
) -> dict[str, Any]:
    """Measure how diverse simulated micrographs are, compared with real ones.

    Phase fractions, grey histograms, power spectra and mean ViT features (none of these with encoder none): how far
    images are from one another, and how far a real one is from the nearest simulated one.

    Writes diversity.csv, images.csv, diversity.png and report.json.

    Returns
    -------
    dict
        The report; ``diversity`` holds the table's rows.

    Raises
    ------
    BridgeError
        For every input that cannot serve; nothing is left half written.
    """
    import numpy as np
    import pandas as pd

    from fijibridge.images.image import read_image
    from fijibridge.network.data import open_dataset
    from fijibridge.network.images import spread
    from fijibridge.synthesis.diversity import diversity_table, signature, write_diversity_picture

    check(diversity, locals())
    real = real or []
    stages = Stages()
    with output_folder(out, marker=REPORT, overwrite=overwrite, inputs=[dataset, *real, weights]) as folder:
        with stages("reading"):
            data = open_dataset(dataset)
            if detector not in data.detectors:
                raise SettingsError(
                    f"detector = {detector!r}",
                    expected=f"one of those of {dataset}: {', '.join(data.detectors)}",
                    remedy="check the spelling",
                )
            chosen = spread(np.arange(len(data)), max_images)
            simulated = [_as_image(data.grey(index, detector), data.name(index)) for index in chosen]
            shares = [np.bincount(data.labels(index).ravel(), minlength=len(data.class_names) + 1) for index in chosen]
            fractions = pd.DataFrame(
                [counts[1:] / counts[1:].sum() for counts in shares], columns=list(data.class_names)
            )
            batch = Batch(len(real))
            micrographs = []
            for path in real:
                with batch.each(path):
                    micrographs.append(read_image(path, databar=databar))
            if not micrographs:
                batch.check()
        tokens = None
        if encoder != "none":
            from fijibridge.features.vit.encoder import ViTEncoder
            from fijibridge.features.vit.settings import VitSettings

            settings = VitSettings(
                encoder=encoder,
                blocks=(6,),
                coarse_blocks=(),
                enlargement=1.0,
                upsampler="bilinear",
                weights=str(weights or ""),
            )
            with stages("weights"):
                tokens = ViTEncoder(settings).tokens
        with stages("measuring"):
            ours = signature(simulated, tokens)
            theirs = signature(micrographs, tokens) if micrographs else None
            table = diversity_table(ours, theirs)
        with stages("writing"):
            table.to_csv(folder / "diversity.csv", index=False, encoding="utf-8", float_format="%.6g")
            fractions.insert(0, "image", list(ours.names))
            fractions.to_csv(folder / "images.csv", index=False, encoding="utf-8", float_format="%.6g")
            picture = write_diversity_picture(ours, theirs, fractions.drop(columns="image"), folder)
        report = {
            "operation": "diversity",
            "out": str(out),
            "image": str(dataset),
            "images": len(chosen),
            "real": [str(path) for path in real],
            "failed": batch.failed,
            "detector": detector,
            "class_fractions": {name: round(float(fractions[name].mean()), 6) for name in data.class_names},
            "class_spread": {name: round(float(fractions[name].std()), 6) for name in data.class_names},
            "diversity": table.round(6).to_dict("records"),
            "outputs": ["diversity.csv", "images.csv", picture],
            "stages": stages.seconds,
            "peak_memory_mib": peak_memory_mib(),
        }
        write_report(folder, report)
    return report


def summary(report: dict[str, Any]) -> list[str]:
    """Lines for a person."""
    return fraction_lines(report)


def _as_image(grey: Any, name: str) -> Image:
    import numpy as np

    from fijibridge.images.image import Image

    return Image(np.asarray(grey), name)
