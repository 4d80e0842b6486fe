"""The names of TWS's 3D filters, in TWS's order, and where each stands."""

from __future__ import annotations

from typing import Any

from fijibridge.core.registry import Registry

_AT = "fijibridge.features.tws3d.filters."

# In the order in which TWS makes them, at each sigma in turn. Each is a Filter3d, whose file is not loaded for names.
FILTERS_3D: Registry[Any] = Registry(
    "TWS 3D filter",
    {
        "Gaussian_blur": ("", f"{_AT}gaussian:GaussianBlur3d"),
        "Difference_of_Gaussian": ("", f"{_AT}gaussian:DifferenceOfGaussian3d"),
        "Hessian": ("", f"{_AT}tensors:Hessian3d"),
        "Derivatives": ("", f"{_AT}derivatives:Derivatives3d"),
        "Laplacian": ("", f"{_AT}derivatives:Laplacian3d"),
        "Edges": ("", f"{_AT}derivatives:Edges3d"),
        "Structure": ("", f"{_AT}tensors:Structure3d"),
        "Minimum": ("", f"{_AT}neighbourhood:Minimum3d"),
        "Maximum": ("", f"{_AT}neighbourhood:Maximum3d"),
        "Mean": ("", f"{_AT}neighbourhood:Mean3d"),
        "Median": ("", f"{_AT}median:Median3d"),
        "Variance": ("", f"{_AT}neighbourhood:Variance3d"),
    },
)
