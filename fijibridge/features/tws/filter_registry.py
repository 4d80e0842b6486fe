"""Which filters of Trainable Weka Segmentation there are."""

from __future__ import annotations

from typing import Any

from fijibridge.core.registry import Registry

_AT = "fijibridge.features.tws.filters."

# Classes of features/tws/filter.py, in the order in which TWS makes them; those of the sigmas, at each sigma in turn.
FILTERS: Registry[Any] = Registry(
    "TWS filter",
    {
        "Gaussian_blur": ("", f"{_AT}gaussian_blur:GaussianBlur"),
        "Sobel_filter": ("", f"{_AT}sobel_filter:SobelFilter"),
        "Hessian": ("", f"{_AT}hessian:Hessian"),
        "Difference_of_gaussians": ("", f"{_AT}difference_of_gaussians:DifferenceOfGaussians"),
        "Derivatives": ("", f"{_AT}derivatives:Derivatives"),
        "Laplacian": ("", f"{_AT}laplacian:Laplacian"),
        "Structure": ("", f"{_AT}structure:Structure"),
        "Membrane_projections": ("", f"{_AT}membrane_projections:MembraneProjections"),
    },
)
