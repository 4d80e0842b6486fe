"""How diverse a simulated data set is, beside real micrographs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fijibridge.features.recipe import Encoder, FeatureRecipe
from fijibridge.operations.results import REPORT, Databar, Out, Overwrite, Weights, peak_memory_mib, write_report
from fijibridge.output import output_folder
from fijibridge.params import Param, check
from fijibridge.segmentation.stages import Stages

if TYPE_CHECKING:
    from fijibridge.images import Image

Detector = Annotated[Literal["SE", "BSE"], Param("which of the simulated images")]


def diversity(
    dataset: Annotated[Path, Param("folder of a data set that simulate wrote", positional=True, role="classifier")],
    *,
    real: Annotated[list[Path], Param("real micrographs to stand beside it", role="file")] = (),  # type: ignore[assignment] - never changed
    out: Out,
    detector: Detector = "BSE",
    images: Annotated[int, Param("images of the data set to look at, evenly through it", low=2, high=10_000)] = 48,
    encoder: Encoder = FeatureRecipe.encoder,
    databar: Databar = "auto",
    weights: Weights = None,
    overwrite: Overwrite = False,
) -> dict[str, Any]:
    """Measure how diverse simulated micrographs are, beside real ones.

    Phase fractions, grey histograms, power spectra and mean ViT features: how far images are from one another, and
    how far a real one is from the nearest simulated one.

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

    from fijibridge.images import read_image
    from fijibridge.network.data import open_dataset
    from fijibridge.network.images import spread
    from fijibridge.synthesis.diversity import diversity_table, signature, write_diversity_picture

    check(diversity, locals())
    stages = Stages()
    with output_folder(out, marker=REPORT, overwrite=overwrite, inputs=[dataset, *real, weights]) as folder:
        with stages("reading"):
            data = open_dataset(dataset)
            chosen = spread(np.arange(len(data)), images)
            simulated = [_as_image(data.grey(index, detector), data.name(index)) for index in chosen]
            shares = [np.bincount(data.labels(index).ravel(), minlength=len(data.class_names) + 1) for index in chosen]
            fractions = pd.DataFrame(
                [counts[1:] / counts[1:].sum() for counts in shares], columns=list(data.class_names)
            )
            micrographs = [read_image(path, databar=databar) for path in real]
        tokens = None
        if encoder != "none":
            from fijibridge.features.vit import ViTEncoder

            with stages("weights"):
                tokens = ViTEncoder(FeatureRecipe(encoder=encoder, enlargement=1.0), checkpoint=weights).tokens
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


def _as_image(grey: Any, name: str) -> Image:
    import numpy as np

    from fijibridge.images import Image

    return Image(np.asarray(grey), name)
