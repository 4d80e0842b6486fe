"""A classifier that TWS trained on features of fijibridge, made into one that segments images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fijibridge.operations.results import CLASSIFIER, REPORT, Out, Overwrite, about_classifier, write_report
from fijibridge.output import output_folder
from fijibridge.params import Param, check


def import_classifier(
    model: Annotated[Path, Param("a .model that TWS saved", positional=True, role="file")],
    *,
    recipe: Annotated[
        Path, Param("recipe.json that features wrote beside the features, or a saved classifier", role="file")
    ],
    out: Out,
    overwrite: Overwrite = False,
) -> dict[str, Any]:
    """Make a classifier that TWS trained on features of fijibridge fit for apply.

    TWS trains on features that the operation features wrote and saves a .model, which does not tell how its features
    were made; with their recipe it segments further images.

    Writes report.json and the folder classifier.

    Returns
    -------
    dict
        The report.

    Raises
    ------
    BridgeError
        For every input that cannot serve, among them a model of other features than the recipe's; nothing is left half
        written.
    """
    from fijibridge.segmentation.bundle import segmenter_from_model
    from fijibridge.segmentation.recipe_file import read_recipe

    check(import_classifier, locals())
    with output_folder(out, marker=REPORT, overwrite=overwrite, inputs=(model, recipe)) as folder:
        segmenter = segmenter_from_model(model, *read_recipe(recipe))
        segmenter.save(folder / CLASSIFIER)
        report = {
            "operation": "import_classifier",
            "out": str(out),
            "model": str(model),
            "outputs": [CLASSIFIER],
            **about_classifier(segmenter),
        }
        write_report(folder, report)
    return report
