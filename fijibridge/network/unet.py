"""The segmenting network itself: a U-Net with a channel a detector and slice; any detector may be missing."""

from __future__ import annotations

import difflib
import logging
import warnings
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from torch import nn

from fijibridge.core.errors import SettingsError
from fijibridge.core.params import Param
from fijibridge.network.settings import PLAIN, NetworkSettings

log = logging.getLogger(__name__)

_WIDEST = 160  # channels: beyond that the weights grow and the accuracy hardly does


@dataclass(frozen=True)
class Architecture:
    """What a network is made of.

    Parameters
    ----------
    encoder : str
        ``"plain"``, or an encoder's name of segmentation-models-pytorch.
    detectors, classes : int
        Channels in and out.
    width : int
        Channels at the finest resolution.
    levels, stem : int
        Of the plain U-Net: resolutions, and pixels a side that are taken as one.
    slices : int
        Of a stack, seen together: the one that is segmented in their middle. The first convolution alone sees more
        channels, so that a step costs hardly more.
    """

    encoder: str
    detectors: Annotated[int, Param("", low=1, high=64)]
    classes: Annotated[int, Param("", low=1, high=255)]
    width: Annotated[int, Param("", low=1, high=256)] = 32
    levels: Annotated[int, Param("", low=1, high=8)] = 6
    stem: Literal[1, 2, 4] = 2
    slices: Literal[1, 3, 5] = 1

    @property
    def channels(self) -> int:
        """Given to the first convolution: each detector's slices, and a plane that says whether it is there."""
        return self.detectors * (self.slices + 1)

    @property
    def stride(self) -> int:
        """The sides of an input are multiples of it."""
        return self.stem << (self.levels - 1) if self.encoder == PLAIN else 32


class DetectorNetwork(nn.Module):
    """(N, D * S, Y, X) normalised grey values and (N, D) what is there -> (N, K, Y, X) logits.

    The S slices of a detector follow one another in the order of the stack.

    A constant plane for each detector (1 or 0) beside the grey values shows which detectors are there; the grey values
    of a missing one are 0, whatever is given.

    Parameters
    ----------
    architecture : Architecture
        Sizes.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        if architecture.encoder == PLAIN:
            self.body: nn.Module = PlainUNet(architecture)
        else:
            self.body = _smp_unet(architecture)

    def forward(self, grey: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """Logits.

        Parameters
        ----------
        grey : torch.Tensor
            (N, D * S, Y, X), normalised; Y and X are multiples of the stride.
        present : torch.Tensor
            (N, D): 1 for a detector that is there, 0 for one that is not.

        Returns
        -------
        torch.Tensor
            (N, K, Y, X).
        """
        planes = present[:, :, None, None]
        flags = planes.expand(-1, -1, *grey.shape[2:])
        slices = self.architecture.slices
        seen = grey * (planes if slices == 1 else planes.repeat_interleave(slices, dim=1))
        return self.body(torch.cat([seen, flags], dim=1))


class PlainUNet(nn.Module):
    """A U-Net (Ronneberger et al. 2015, arXiv 1505.04597) with batch normalisation, of few channels.

    With a stem of 2 it takes squares of 2 x 2 pixels as channels of one, and gives as many back: no pixel is lost, and
    a step costs about a quarter.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.stem = architecture.stem
        area = self.stem**2
        widths = [
            min(architecture.width << level, max(_WIDEST, architecture.width)) for level in range(architecture.levels)
        ]
        given = [architecture.channels * area, *widths[:-1]]
        self.down = nn.ModuleList(_block(before, after) for before, after in zip(given, widths, strict=True))
        self.up = nn.ModuleList(_block(coarse + fine, fine) for fine, coarse in reversed(list(pairwise(widths))))
        self.last = nn.Conv2d(widths[0], architecture.classes * area, 1)

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        """Logits, (N, K, Y, X)."""
        features = F.pixel_unshuffle(planes, self.stem) if self.stem > 1 else planes
        skipped = []
        for level, block in enumerate(self.down):
            features = block(F.max_pool2d(features, 2) if level else features)
            skipped.append(features)
        for block, fine in zip(self.up, reversed(skipped[:-1]), strict=True):
            features = block(torch.cat([F.interpolate(features, scale_factor=2.0, mode="nearest"), fine], dim=1))
        logits = self.last(features)
        return F.pixel_shuffle(logits, self.stem) if self.stem > 1 else logits


def _block(given: int, made: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before in (given, made):
        layers += [nn.Conv2d(before, made, 3, padding=1, bias=False), nn.BatchNorm2d(made), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _smp() -> Any:
    try:
        import segmentation_models_pytorch as smp
    except ImportError as error:
        raise SettingsError(
            f"an encoder by name needs segmentation-models-pytorch, which cannot be loaded ({error})",
            expected="the package, or encoder plain",
            remedy="pip install segmentation-models-pytorch, or use encoder plain",
        ) from error
    return smp


def _check_encoder(name: str) -> None:
    """SettingsError, with the nearest names, for an encoder that does not exist."""
    if name == PLAIN:
        return
    known = [known for known in _smp().encoders.get_encoder_names() if not known.startswith("timm-")]
    if name.startswith("tu-"):
        import timm

        if timm.is_model(name[3:].split(".")[0]):
            return
        known = [f"tu-{known}" for known in timm.list_models()]
    elif name in known:
        return
    near = difflib.get_close_matches(name, [PLAIN, *known], n=4, cutoff=0.4)
    raise SettingsError(
        f"no encoder {name!r}",
        expected="plain, an encoder of segmentation-models-pytorch, or tu- and a model of timm",
        remedy=f"near are: {', '.join(near)}" if near else "for example plain, resnet18 or efficientnet-b0",
    )


def _smp_unet(architecture: Architecture, weights: str | None = None) -> nn.Module:
    _check_encoder(architecture.encoder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the library about its own names
        try:
            return _smp().Unet(
                architecture.encoder,
                encoder_weights=weights,
                in_channels=architecture.channels,
                classes=architecture.classes,
                decoder_channels=[architecture.width * factor for factor in (8, 4, 3, 2, 1)],
            )
        except (AttributeError, AssertionError, IndexError, ValueError, NotImplementedError) as error:
            if weights:
                raise
            raise SettingsError(
                f"encoder {architecture.encoder!r} makes no U-Net ({type(error).__name__}: {error})",
                expected="an encoder with features at 5 resolutions",
                remedy="choose another, for example resnet18",
            ) from error


def new_network(settings: NetworkSettings, detectors: int, classes: int) -> tuple[DetectorNetwork, str]:
    """A network at the start of training, by the settings' seed; ImageNet weights where wanted and in reach.

    Parameters
    ----------
    settings : NetworkSettings
        Sizes, encoder, seed.
    detectors, classes : int
        Channels in and out.

    Returns
    -------
    tuple of DetectorNetwork and str
        The network, and in words where its weights come from.

    Raises
    ------
    SettingsError
        No such encoder, or weights that are wanted and not to be had.
    """
    architecture = Architecture(
        settings.encoder, detectors, classes, settings.width, settings.levels, settings.stem, settings.slices
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = DetectorNetwork(architecture)
    if settings.encoder == PLAIN or settings.pretrained == "no":
        return network, "random"
    # a state dict of the pretrained network, so that the decoder's random start is that of the seed
    try:
        weights: Any = True if settings.encoder.startswith("tu-") else "imagenet"
        pretrained = _smp_unet(architecture, weights).encoder.state_dict()  # type: ignore[union-attr]
    except Exception as error:  # hub libraries have no common class of errors
        if settings.pretrained == "yes":
            raise SettingsError(
                f"ImageNet weights of {settings.encoder} cannot be had ({type(error).__name__})",
                expected="a model hub in reach, or weights in its cache",
                remedy="use pretrained auto or no, to start at random",
            ) from error
        log.warning("no ImageNet weights of %s in reach (%s): a random start", settings.encoder, type(error).__name__)
        return network, "random"
    network.body.encoder.load_state_dict(pretrained)  # type: ignore[union-attr]
    log.info("%s starts from ImageNet weights", settings.encoder)
    return network, "ImageNet"
