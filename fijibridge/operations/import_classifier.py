"""A classifier that TWS trained on features of fijibridge, made into one that segments images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fijibridge.core.atomic_output import output_folder
from fijibridge.core.options import Out, Overwrite
from fijibridge.core.params import Param, check
from fijibridge.operations.options import FEATURE_FILE
from fijibridge.operations.report import REPORT, oob_lines, write_report
from fijibridge.operations.segmentation_files import CLASSIFIER, about_classifier


def import_classifier(
    tws_model: Annotated[
        Path, Param("a .model that TWS saved", positional=True, role="file", level="basic", group="Input")
    ],
    *,
    feature_file: Annotated[Path, FEATURE_FILE],
    out: Out,
    overwrite: Overwrite = False,
) -> dict[str, Any]:
    """Import a classifier that TWS trained on features of fijibridge, for apply.

    TWS trains on features that the operation features wrote and saves a .model, which does not say how its features
    were made; with their features.json it segments further images.

    Writes report.json and the folder classifier.

    Returns
    -------
    dict
        The report.

    Raises
    ------
    BridgeError
        For every input that cannot serve, among them a model of other features; nothing is left half written.
    """
    from fijibridge.segmentation.load import read_features, segmenter_from_model

    check(import_classifier, locals())
    with output_folder(out, marker=REPORT, overwrite=overwrite, inputs=(tws_model, feature_file)) as folder:
        segmenter = segmenter_from_model(tws_model, *read_features(feature_file))
        segmenter.save(folder / CLASSIFIER)
        report = {
            "operation": "import_classifier",
            "out": str(out),
            "model": str(tws_model),
            "outputs": [CLASSIFIER],
            **about_classifier(segmenter),
        }
        write_report(folder, report)
    return report


def summary(report: dict[str, Any]) -> list[str]:
    """Lines for a person."""
    return oob_lines(report)
