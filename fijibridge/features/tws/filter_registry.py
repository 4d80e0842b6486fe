"""Which filters of Trainable Weka Segmentation there are."""

from __future__ import annotations

from typing import Any

from fijibridge.core.registry import Registry

_AT = "fijibridge.features.tws.filters."

# Classes of features/tws/filter.py, in the order in which TWS makes them; those of the sigmas, at each sigma in turn.
FILTERS: Registry[Any] = Registry(
    "TWS filter",
    {
        "Gabor": ("", f"{_AT}gabor:Gabor"),
        "Anisotropic_diffusion": ("", f"{_AT}anisotropic_diffusion:AnisotropicDiffusion"),
        "Bilateral": ("", f"{_AT}bilateral:Bilateral"),
        "Lipschitz": ("", f"{_AT}lipschitz:Lipschitz"),
        "Kuwahara": ("", f"{_AT}kuwahara:Kuwahara"),
        "Gaussian_blur": ("", f"{_AT}gaussian_blur:GaussianBlur"),
        "Sobel_filter": ("", f"{_AT}sobel_filter:SobelFilter"),
        "Hessian": ("", f"{_AT}hessian:Hessian"),
        "Difference_of_gaussians": ("", f"{_AT}difference_of_gaussians:DifferenceOfGaussians"),
        "Variance": ("", f"{_AT}variance:Variance"),
        "Mean": ("", f"{_AT}mean:Mean"),
        "Minimum": ("", f"{_AT}minimum:Minimum"),
        "Maximum": ("", f"{_AT}maximum:Maximum"),
        "Median": ("", f"{_AT}median:Median"),
        "Derivatives": ("", f"{_AT}derivatives:Derivatives"),
        "Laplacian": ("", f"{_AT}laplacian:Laplacian"),
        "Structure": ("", f"{_AT}structure:Structure"),
        "Entropy": ("", f"{_AT}entropy:Entropy"),
        "Membrane_projections": ("", f"{_AT}membrane_projections:MembraneProjections"),
        "Neighbors": ("", f"{_AT}neighbors:Neighbors"),
    },
)
# Those that TWS makes of every RGB image, whatever is chosen.
OF_COLOURS: Registry[Any] = Registry("TWS filter of colours", {"HSB": ("", f"{_AT}hsb:HueSaturationBrightness")})
