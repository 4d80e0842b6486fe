"""A trained network that segments micrographs of one or more detectors, and what it makes of an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fijibridge.core.errors import ImageError, LabelsError, ModelFileError, SettingsError
from fijibridge.network.augmentation import SMALLEST, Normalisation
from fijibridge.network.images import check_detectors

if TYPE_CHECKING:
    import torch

    from fijibridge.network.unet import Architecture, DetectorNetwork

TILE = 768
OVERLAP = 192
_APART = 1.5  # factor of the pixel size beyond that of the training at which a user is warned
_FLIPS = ((), (2,), (3,), (2, 3))


@dataclass(frozen=True, eq=False)
class Network:
    """A network and what it was trained for.

    Parameters
    ----------
    architecture : Architecture
        Sizes.
    state : dict of str to torch.Tensor
        Weights.
    class_names : tuple of str
        In the order of its probabilities.
    detectors : tuple of str
        What it can see; each may be missing from an image, not all.
    normalisation : Normalisation
        Of grey values.
    temperature : float
        Logits are divided by it: calibrated probabilities.
    pixel_sizes : (float, float) or None
        Smallest and largest pixel it was trained on, in micrometres.
    spacings : (float, float) or None
        Smallest and largest distance of slices it was trained on, in micrometres; None where it sees single slices.
    training : dict
        Data, settings and accuracy of its training.
    """

    architecture: Architecture
    state: dict[str, torch.Tensor] = field(repr=False)
    class_names: tuple[str, ...]
    detectors: tuple[str, ...]
    normalisation: Normalisation = field(default_factory=Normalisation)
    temperature: float = 1.0
    pixel_sizes: tuple[float, float] | None = None
    spacings: tuple[float, float] | None = None
    training: dict[str, Any] = field(default_factory=dict, repr=False)
    _modules: dict[str, DetectorNetwork] = field(default_factory=dict, init=False, repr=False)

    @property
    def slices(self) -> int:
        """Slices of a stack that it sees to segment the middle one."""
        return self.architecture.slices

    def module(self, device: str = "cpu") -> DetectorNetwork:
        """The network on a device, for prediction."""
        import torch

        from fijibridge.network.unet import DetectorNetwork

        if device not in self._modules:
            with torch.random.fork_rng(devices=[]):  # a user's random numbers stay as they are
                module = DetectorNetwork(self.architecture)
            module.load_state_dict(self.state)
            self._modules[device] = module.to(device).to(memory_format=torch.channels_last).eval()
        return self._modules[device]

    def check(self, *, class_names: Sequence[str] | None = None, detectors: Sequence[str] | None = None) -> None:
        """See that it is a network of these classes for these detectors.

        Parameters
        ----------
        class_names : sequence of str, optional
            In any order.
        detectors : sequence of str, optional
            Of the images that it is to segment; the network may know more.

        Raises
        ------
        LabelsError, ImageError
            Of others.
        """
        if class_names is not None and set(class_names) != set(self.class_names):
            raise LabelsError(
                f"a network of the phases {', '.join(self.class_names)}",
                expected=f"one of {', '.join(class_names)}",
                remedy="choose another network, or train one with those phases",
            )
        if detectors is not None:
            check_detectors(dict.fromkeys(detectors, True), self.detectors, "the image")

    def pixel_size_warning(self, pixel_size: float | None) -> str | None:
        """A warning where an image's pixels differ by more than a factor 1.5 from those of the training; else None.

        Parameters
        ----------
        pixel_size : float or None
            Of the image, in micrometres; None where it is not known.
        """
        known = _unlike(pixel_size, self.pixel_sizes)
        return known and (
            f"pixels of {pixel_size:g} \u00b5m, and a network trained on {known} \u00b5m: it may mistake one structure "
            "for another; rescale the image, or train a network on such pixels"
        )

    def spacing_warning(self, spacing: float | None, *, alone: bool = False) -> str | None:
        """A warning where a network of several slices is given slices of another distance, or single images; else None.

        Parameters
        ----------
        spacing : float or None
            Of the stack's slices, in micrometres; None where it is not known.
        alone : bool
            A single image.
        """
        if self.slices == 1:
            return None
        if alone:
            return (
                f"a single image, and a network of {self.slices} slices: it is segmented without its neighbours, "
                "which is less accurate"
            )
        known = _unlike(spacing, self.spacings)
        return known and (
            f"slices {spacing:g} \u00b5m apart, and a network trained on {known} \u00b5m: it may mistake what lies "
            "behind a pore; take every n-th slice, or train a network on such stacks"
        )

    def predict(
        self,
        images: Mapping[str, np.ndarray | None],
        *,
        flips: bool = False,
        tile: int = TILE,
        overlap: int = OVERLAP,
        pixel_size: float | None = None,
        rescale: bool = False,
        device: str = "auto",
        threads: int = 0,
    ) -> np.ndarray:
        """Class probabilities of one image.

        Parameters
        ----------
        images : mapping of str to np.ndarray
            Detector -> (Y, X), any real dtype, all of one size and registered. Detectors may be missing (or None). For
            a network of S slices (S, Y, X), of which the middle one is segmented; an (Y, X) stands for all of them.
        flips : bool
            Average over the image and its mirror images: better by little, four times the time.
        tile, overlap : int
            Sides of tiles in px, and what neighbours share; their results are blended smoothly. An image no larger
            than a tile is seen at once.
        pixel_size : float, optional
            In micrometres; only for ``rescale``.
        rescale : bool
            Bring the image to the pixel size of the training first, and the probabilities back.
        device : str
            "auto", "cpu", "cuda", ...
        threads : int
            Of the CPU; 0: as torch is set.

        Returns
        -------
        np.ndarray
            (K, Y, X) float32, summing to 1 over the classes.

        Raises
        ------
        ImageError
            No or unknown detectors, different sizes, less than 32 px, an image with no contrast.
        SettingsError
            Tiles that overlap by half or more, a device that is not there, ``rescale`` without pixel sizes.
        """
        from fijibridge.core.devices import torch_device, torch_threads

        grey, present = self.normalised(images)
        shape = grey.shape[1:]
        stride = self.architecture.stride
        if not 0 <= overlap < tile / 2 or tile < max(stride, SMALLEST):
            raise SettingsError(
                f"tiles of {tile} px that overlap by {overlap} px",
                expected=f"tiles of at least {max(stride, SMALLEST)} px and an overlap below half of that",
                remedy=f"for example {TILE} and {OVERLAP} px",
            )
        if rescale:
            grey = _resampled(grey, self._rescaled(shape, pixel_size))
        device = torch_device(device)
        with torch_threads(threads):
            found = self._tiled(grey, present, tile, overlap, flips, device)
        if found.shape[1:] != shape:
            found = np.maximum(_resampled(found, shape), 0)
            found /= found.sum(0)
        if not np.isfinite(found).all():
            raise ModelFileError(
                "the network gives probabilities that are no numbers",
                expected="weights as a training wrote them",
                remedy="give another network, or train again",
            )
        return found

    def normalised(self, images: Mapping[str, np.ndarray | None]) -> tuple[np.ndarray, np.ndarray]:
        """What the network is given: (D * S, Y, X) float32 grey values, 0 for a missing detector, (D,) what is there.

        All slices of a detector are normalised by the percentiles of the middle one.

        Raises
        ------
        ImageError
            As of `predict`.
        """
        there = check_detectors(images, self.detectors, "the image")
        planes = {name: np.asarray(images[name]) for name in there}
        shapes = {name: plane.shape for name, plane in planes.items()}
        first = shapes[there[0]]
        if len(set(shapes.values())) != 1:
            sizes = ", ".join(f"{name} {' x '.join(map(str, shape))} px" for name, shape in shapes.items())
            raise ImageError(
                f"images of different sizes: {sizes}",
                expected="registered images of one size",
                remedy="register and crop them first, in Fiji with Plugins > Registration",
            )
        stacked = len(first) == 3 and first[0] == self.slices > 1
        if not (stacked or len(first) == 2) or min(first[-2:]) < SMALLEST:
            together = f", or ({self.slices}, Y, X)," if self.slices > 1 else ""
            raise ImageError(
                f"an image of shape {first}",
                expected=f"(Y, X){together} of at least {SMALLEST} px a side",
                remedy=f"give a grey image, {'with its neighbours' if together else 'one slice at a time'}",
            )
        grey = np.zeros((len(self.detectors), self.slices, *first[-2:]), np.float32)
        present = np.zeros(len(self.detectors), np.float32)
        for name, plane in planes.items():
            number = self.detectors.index(name)
            middle = plane[self.slices // 2] if stacked else plane
            grey[number] = self.normalisation(plane, self.normalisation.range_of(middle, name))
            present[number] = 1
        return grey.reshape(-1, *first[-2:]), present

    def _rescaled(self, shape: tuple[int, ...], pixel_size: float | None) -> tuple[int, ...]:
        """Size of an image with the pixels of the training."""
        if self.pixel_sizes is None or pixel_size is None or not pixel_size > 0:
            raise SettingsError(
                "rescale, and no pixel size of the " + ("image" if self.pixel_sizes else "network"),
                expected="both pixel sizes",
                remedy="give the image's pixel size" if self.pixel_sizes else "leave rescale out",
            )
        low, high = self.pixel_sizes
        factor = pixel_size / float(np.clip(pixel_size, low, high))
        return tuple(max(SMALLEST, round(size * factor)) for size in shape)

    def _tiled(
        self, grey: np.ndarray, present: np.ndarray, tile: int, overlap: int, flips: bool, device: str
    ) -> np.ndarray:
        import torch

        from fijibridge.features.vit.tiles import spans

        stride, shape = self.architecture.stride, grey.shape[1:]
        edges = [-size % stride for size in shape]
        grey = np.pad(grey, ((0, 0), (0, edges[0]), (0, edges[1])), mode="symmetric")
        wide = grey.shape[1:]
        pieces = []
        for size in wide:  # in strides, so that every tile is a multiple of them
            whole = size <= tile
            parts = spans(size // stride, max(1, tile // stride), -(-overlap // stride))
            pieces.append([slice(0, size)] if whole else [slice(s.start * stride, s.stop * stride) for s in parts])
        total = np.zeros((len(self.class_names), *wide), np.float32)
        weights = np.zeros(wide, np.float32)
        module = self.module(device)
        there = torch.from_numpy(present)[None].to(device)
        with torch.inference_mode():
            for rows in pieces[0]:
                for columns in pieces[1]:
                    weight = _hann(rows, wide[0], overlap)[:, None] * _hann(columns, wide[1], overlap)
                    given = torch.from_numpy(np.ascontiguousarray(grey[:, rows, columns]))[None].to(device)
                    mean: Any = 0
                    for axes in _FLIPS if flips else _FLIPS[:1]:
                        seen = given.flip(axes).contiguous(memory_format=torch.channels_last)
                        mean = mean + torch.softmax(module(seen, there) / self.temperature, 1).flip(axes)
                    total[:, rows, columns] += mean[0].cpu().numpy() * weight
                    weights[rows, columns] += weight
        total /= weights * np.float32(len(_FLIPS) if flips else 1)
        return np.ascontiguousarray(total[:, : shape[0], : shape[1]])


def _unlike(size: float | None, known: tuple[float, float] | None) -> str | None:
    """Sizes of a training in words, where another one differs by more than a factor 1.5 from them; else None."""
    if known is None or size is None or known[0] / _APART <= size <= known[1] * _APART:
        return None
    return f"{known[0]:g}" if known[0] == known[1] else f"{known[0]:g} to {known[1]:g}"


def _hann(span: slice, length: int, overlap: int) -> np.ndarray:
    """Weights of a tile along one axis: 1, and over the overlap with a neighbour a raised cosine between two quarters.

    The outermost quarter counts nothing: there a tile sees too little around a pixel.
    """
    weight = np.ones(span.stop - span.start, np.float32)
    share = np.clip(2 * (np.arange(overlap) + 0.5) / max(1, overlap) - 0.5, 0, 1)
    rise = np.sin(np.pi / 2 * share).astype(np.float32) ** 2
    if span.start > 0:
        weight[:overlap] = rise
    if span.stop < length:
        weight[weight.size - overlap :] *= rise[::-1]
    return weight


def _resampled(planes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(C, Y, X) at another size; smoothed before where it becomes smaller."""
    import torch
    import torch.nn.functional as F

    given = torch.from_numpy(np.ascontiguousarray(planes))[None]
    return F.interpolate(given, shape, mode="bilinear", antialias=True, align_corners=False)[0].numpy()
