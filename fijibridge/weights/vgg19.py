"""VGG19's convolutions as far as conv4_1: their layout, and the offline weights in torchvision's convention."""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from fijibridge.core.errors import WeightsError

if TYPE_CHECKING:
    import numpy as np
    import torch

VGG19 = "vgg19"

# what torchvision's and timm's weights take: red, green, blue in 0..1, minus the mean, over the deviation
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

# channels of each convolution, with pooling between the rows; deeper layers than conv4_1 are not used here, and the
# classifier alone takes 500 MB
_STAGES = ((64, 64), (128, 128), (256, 256, 256, 256), (512,))


def vgg19_convolutions() -> torch.nn.Module:
    """VGG19 as far as conv4_1 under timm's names (``features.0.weight`` ...), without weights.

    It is on torch's meta device and takes no memory; ``load_state_dict(state, assign=True)`` fills it.
    """
    from torch import nn

    layers: list[nn.Module] = []
    channels = 3
    for stage in _STAGES:
        if layers:
            layers.append(nn.MaxPool2d(2))
        for width in stage:
            layers += [nn.Conv2d(channels, width, kernel_size=3, padding=1, device="meta"), nn.ReLU()]
            channels = width
    return nn.Sequential(OrderedDict(features=nn.Sequential(*layers))).eval()


def vgg19_from_pickle(blob: bytes) -> dict[str, torch.Tensor]:
    """timm's state dict of :func:`vgg19_convolutions` out of ``vgg19_normalized.pkl``.

    That file's network takes blue, green, red in 0..255 minus a mean. Its weights are rescaled channel by channel, so
    that each channel's mean activation is near 1; to a network of convolutions, ReLU and pooling that changes nothing
    but the scale of the channels. The first convolution is put into torchvision's convention here; the others hold in
    both.

    Parameters
    ----------
    blob : bytes
        The file, its checksum checked.

    Raises
    ------
    WeightsError
        The file asks for anything but numpy's arrays.
    """
    import numpy as np
    import torch

    content = _arrays_only(blob)
    weight, bias, *deeper = content["param values"]  # weight and bias by turns, as in a state dict
    values = [*first_for_torchvision(weight, bias, content["mean value"]), *deeper]
    names = vgg19_convolutions().state_dict()
    # not strict: the file goes on to conv5_4
    return {
        name: torch.from_numpy(np.array(value, dtype=np.float32, order="C"))
        for name, value in zip(names, values, strict=False)
    }


def first_for_torchvision(weight: np.ndarray, bias: np.ndarray, mean_bgr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn a first convolution on blue, green, red in 0..255 minus a mean into one on torchvision's input.

    It gives the same, except where it meets the image's border: the zeros beyond it stand for the mean colour, and the
    two means differ by up to half a grey value of 255.

    Parameters
    ----------
    weight : np.ndarray
        (out, 3, height, width), channels blue, green, red.
    bias : np.ndarray
        (out,)
    mean_bgr : np.ndarray
        (3,) of blue, green, red in 0..255.

    Returns
    -------
    weight, bias : np.ndarray
        float64, channels red, green, blue.
    """
    import numpy as np

    weight = weight[:, ::-1].astype(np.float64)
    # with z torchvision's input, the other network's is 255 std z + offset
    scale = 255 * np.array(STD)
    offset = 255 * np.array(MEAN) - mean_bgr[::-1]
    return weight * scale[:, None, None], bias + weight.sum(axis=(2, 3)) @ offset


def _arrays_only(blob: bytes) -> Any:
    """Unpickle containers, text, numbers and numpy's arrays; nothing else can be named, so nothing else can run."""
    import numpy as np

    # taken from an array: importing it under numpy 1's name warns in numpy 2
    reconstruct = np.empty(0).__reduce__()[0]
    allowed = {
        ("numpy.core.multiarray", "_reconstruct"): reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): reconstruct,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    class ArraysOnly(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            if (module, name) not in allowed:
                raise pickle.UnpicklingError(f"it asks for {module}.{name}")
            return allowed[module, name]

    try:
        return ArraysOnly(io.BytesIO(blob)).load()
    except Exception as error:  # a damaged pickle raises anything: EOFError, KeyError, IndexError ...
        raise WeightsError(
            f"the pickled weights of {VGG19} cannot be read: {error}",
            expected="numpy arrays in lists and dicts, and nothing else",
            remedy="do not use this file; give a checkpoint of torchvision's or timm's in place of it",
        ) from error
