"""timm's convolutional networks by name, and the offline weights of the default one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fijibridge.core.errors import SettingsError, WeightsError
from fijibridge.weights.vgg19 import MEAN, STD, VGG19, vgg19_convolutions

if TYPE_CHECKING:
    import torch

DEFAULT_NETWORK = "tf_efficientnet_lite0"  # Google's EfficientNet-Lite0 (Tan and Le 2019), Apache-2.0


def create_convolutional(network: str) -> Any:
    """A convolutional network of timm's, or VGG19 as far as conv4_1, with no weights loaded.

    Parameters
    ----------
    network : str
        timm's model name.

    Returns
    -------
    torch.nn.Module
        For evaluation; VGG19 is on torch's meta device, see :func:`fijibridge.weights.vgg19.vgg19_convolutions`.

    Raises
    ------
    SettingsError
        If timm knows no such model.
    """
    if network == VGG19:
        return vgg19_convolutions()
    import timm

    if not timm.is_model(network.split(".")[0]):
        raise SettingsError(
            f"network {network!r} is not known to timm {timm.__version__}",
            expected=f"a convolutional network of timm, such as {DEFAULT_NETWORK}, or {VGG19}",
            remedy="check the name, or update timm",
        )
    return timm.create_model(network, pretrained=False, num_classes=0).eval()


def input_scaling(network: str, model: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of red, green and blue in 0..1 that a network's weights were trained with.

    Parameters
    ----------
    network : str
    model : torch.nn.Module
        By :func:`create_convolutional`.
    """
    if network == VGG19:
        return MEAN, STD
    return tuple(model.pretrained_cfg["mean"]), tuple(model.pretrained_cfg["std"])


def lite0_from_torch(blob: bytes) -> dict[str, torch.Tensor]:
    """timm's state dict of EfficientNet-Lite0 out of ``efficientnet-lite0-57934424.pth``.

    That file has the layers of timm's network, in its order, under the names of efficientnet_pytorch.

    Parameters
    ----------
    blob : bytes
        The file, its checksum checked; tensors alone are read from it.

    Raises
    ------
    WeightsError
        A file that is damaged, or of another network.
    """
    import io

    import torch

    wanted = create_convolutional(DEFAULT_NETWORK).state_dict()
    try:
        state = torch.load(io.BytesIO(blob), map_location="cpu", weights_only=True)
        given = [tensor for name, tensor in state.items() if not name.startswith("_fc.")]
        pairs = list(zip(wanted.items(), given, strict=True))
    except Exception as error:  # torch.load has no error of its own
        raise _other_network(str(error)) from error
    if any(tensor.shape != own.shape for (_, own), tensor in pairs):
        raise _other_network("its tensors have other shapes")
    return {name: tensor for (name, _), tensor in pairs}


def _other_network(why: str) -> WeightsError:
    return WeightsError(
        f"the offline weights of {DEFAULT_NETWORK} cannot be read: {why}",
        expected="the tensors of EfficientNet-Lite0, in efficientnet_pytorch's order",
        remedy="do not use this file; let timm's hub give the weights",
    )
