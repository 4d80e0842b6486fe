"""Loss by a pre-trained VGG19: Gram matrices of its features on the slices against those on the exemplar."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from fijibridge.core.devices import fast_bfloat16
from fijibridge.core.errors import SettingsError
from fijibridge.reconstruction.slices import wrapped

if TYPE_CHECKING:
    import torch

    from fijibridge.weights.weights import Weights

_CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 16, 19)  # places in torchvision's VGG19, conv1_1 ... conv4_1
_POOLED = (2, 7, 16)  # after these, features are averaged over 2 x 2 pixels
# relu1_1, 2_1, 3_1, 4_1: their place, and the side in pixels from which an exemplar is compared by them. The last costs
# as much as the others together, and its receptive field is too large for coarser levels.
_COMPARED = {0: 8, 5: 8, 10: 16, 19: 96}
_AT_ONCE = 2**18  # pixels in a chunk; with several chunks activations are recomputed for the gradient, to save memory
_SCALE = 100.0  # brings the loss to the order of the other terms
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# corners of the colour cube, far from each other: red, green, blue, black, white, ...
_PALETTE = ((1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0), (1, 1, 1), (0, 1, 1), (1, 0, 1), (1, 1, 0))


class VggLoss:
    """Distance of Gram matrices (Gatys et al. 2015, arXiv 1505.07376; of microstructures: Bostanabad 2020,
    doi:10.1016/j.cad.2020.102859).

    Phases become colours; pooling averages, so that the gradient reaches every pixel.

    Parameters
    ----------
    weights : Weights
        Of VGG19, by ``load_weights("vgg19")``.
    exemplars : list of torch.Tensor
        (1, P, Y, X) float32 probabilities, on the device of the slices: views of micrographs.
    periodic : bool
        Whether slices are periodic.

    Raises
    ------
    SettingsError
        More than 8 phases: there are no more colours far from each other.
    """

    def __init__(self, weights: Weights, exemplars: list[torch.Tensor], *, periodic: bool = False) -> None:
        import torch

        phases = exemplars[0].shape[1]
        if phases > len(_PALETTE):
            raise SettingsError(
                f"loss vgg19 with {phases} phases",
                expected=f"at most {len(_PALETTE)} phases, each with a colour of its own",
                remedy="use loss patches, or merge phases",
            )
        device = exemplars[0].device
        dtype = torch.bfloat16 if device.type == "cpu" and fast_bfloat16() else torch.float32
        self._layers = [
            tuple(weights.state[f"features.{place}.{part}"].to(device, dtype) for part in ("weight", "bias"))
            for place in _CONVOLUTIONS
        ]
        colours = torch.tensor(_PALETTE[:phases], dtype=torch.float32)
        self._palette = ((colours - torch.tensor(_MEAN)) / torch.tensor(_STD)).to(device)
        self._periodic = periodic
        side = min(min(view.shape[-2:]) for view in exemplars)
        self._places = [place for place, least in _COMPARED.items() if side >= least]
        with torch.no_grad():
            grams = [self._grams(view) for view in exemplars]
            self._wanted = [reduce(torch.add, layer) / len(layer) for layer in zip(*grams, strict=True)]

    def __call__(self, slices: torch.Tensor) -> torch.Tensor:
        """Loss of (N, P, A, B) slices: squared relative distance, summed over the layers."""
        from torch.utils.checkpoint import checkpoint

        if self._periodic:
            slices = wrapped(slices, 8)
        chunk = max(1, _AT_ONCE // (slices.shape[-1] * slices.shape[-2]))
        parts = slices.split(chunk)
        grams = [self._grams(parts[0])] if len(parts) == 1 else [
            checkpoint(self._grams, part, use_reentrant=False) for part in parts
        ]  # fmt: skip
        loss = slices.new_zeros(())
        for layer, wanted in enumerate(self._wanted):
            found = sum(gram[layer] * len(part) for gram, part in zip(grams, parts, strict=True)) / len(slices)
            loss = loss + (found - wanted).square().sum() / wanted.square().sum()
        return _SCALE * loss

    def _grams(self, soft: torch.Tensor) -> list[torch.Tensor]:
        import torch
        import torch.nn.functional as F

        found = []
        features = torch.einsum("npyx,pc->ncyx", soft, self._palette).to(self._layers[0][0].dtype)
        for place, (weight, bias) in zip(_CONVOLUTIONS, self._layers, strict=True):
            features = F.conv2d(features, weight, bias, padding=1).relu_()
            if place in self._places:
                flat = features.movedim(1, 0).flatten(1).float()
                found.append(flat @ flat.T / flat.shape[1])
                if place == self._places[-1]:
                    break
            if place in _POOLED:
                features = F.avg_pool2d(features, 2)
        return found
