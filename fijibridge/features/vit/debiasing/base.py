"""Debiasing: what each method of removing the positional bias changes between image and tokens.

A method is a file with a :class:`Debiasing` and a line in `DEBIASING`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from fijibridge.core.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

_HERE = "fijibridge.features.vit.debiasing"
DEBIASING: Registry[Debiasing] = Registry(
    "debiasing",
    {
        "template": ("what tiles have in common is subtracted", f"{_HERE}.template:TEMPLATE"),
        "none": ("the bias stays", f"{_HERE}.none:NONE"),
        "mean": (
            "the ViT never learns where a patch is, at some cost in accuracy",
            f"{_HERE}.mean_embedding:MEAN",
        ),
        "flips": ("mean over the four flips of each tile (4 passes)", f"{_HERE}.averaging:FLIPS"),
        "rolls": ("mean over two shifted tilings (2 passes)", f"{_HERE}.averaging:ROLLS"),
        "alibi": ("as mean, and attention falls with distance", f"{_HERE}.distance_attention:ALIBI"),
        "distilled": (
            "as template, and directions that encode the position are projected out",
            f"{_HERE}.distilled:DISTILLED",
        ),
        "template+flips": ("both (4 passes)", f"{_HERE}.template:TEMPLATE_FLIPS"),
    },
)


class TileRunner(Protocol):
    """What a method may ask the encoder.

    Attributes
    ----------
    weights_sha256 : str
        Of the encoder's weights.
    blocks : tuple of int
        Whose tokens are made, the first being 1.
    patch : int
        Side of a patch in pixels.
    side : int
        Patches a side of a tile, about.
    """

    weights_sha256: str
    blocks: tuple[int, ...]
    patch: int
    side: int

    def run(self, shape: tuple[int, int]) -> Callable[[np.ndarray], np.ndarray]:
        """For tiles of ``shape`` patches: grey tile, float32 (Y, X) in [0, 1] -> its tokens, float32 (h, w, C)."""


class Debiasing:
    """One method; the base class leaves the bias as it is.

    Attributes
    ----------
    tile, largest_tile : int
        Side of a tile where none is given, and the largest, px. Position embeddings segment best in small tiles with
        the whole embedding each: mean IoU of the tuning images 0.742, and 0.703 where a tile's embedding is cut out of
        one that spans the image. Averaged ones need no tile of their own, and large tiles are nearer to the whole
        image: cosine to it 0.994 at 784 px, 0.992 at 518 (1024 x 1024 pixels, see CONTEXT in encoder.py).
    overlap : float
        Least share of a tile that neighbours have in common. Half a tile lets nearly every patch be seen by four:
        with a quarter the ViT costs a third less and, where the bias is kept, the mean IoU of the tuning images is
        0.003 to 0.013 lower. Where the positional pattern is subtracted, a quarter serves (0.805 and 0.810).
    most_overlap : int
        In patches, however large the tile.
    network_variant : str
        Networks prepared alike (:meth:`prepare`) are shared by the methods of one variant.
    context : bool
        A tile attends to a sample of the patches outside it, too.
    flips : int
        Tokens are the mean over so many flips of a tile: 4, or 2: as it is and turned by 180 degrees; 1: as it is.
    tilings : int
        Tokens are the mean over so many tilings, shifted against each other.
    accurate : bool
        It segments tuning images as ``"template"`` does or better, with labels of one third of an image within 0.01
        (``benchmarks/debiasing.py``).
    uses_mean : bool
        :meth:`finish` works around the mean of the tokens.
    """

    tile: int = 280
    largest_tile: int = 4096
    overlap: float = 0.25
    most_overlap: int = 4096
    network_variant: str = ""
    context: bool = False
    flips: int = 1
    tilings: int = 1
    accurate: bool = True
    uses_mean: bool = False

    @property
    def passes(self) -> int:
        """How often the ViT sees the image."""
        return self.tilings * self.flips

    def overlap_of(self, tile: int) -> int:
        """Least number of patches that neighbouring tiles of about ``tile`` patches share."""
        return min(int(tile * self.overlap), self.most_overlap)

    def prepare(self, network: Any, encoder: str) -> None:
        """Change a network, freshly loaded, in place.

        Parameters
        ----------
        network : timm's VisionTransformer
        encoder : str
            Its name, for messages.

        Raises
        ------
        SettingsError
            An encoder that cannot be changed so.
        """

    def attention_bias(self, shape: tuple[int, int], heads: int, prefix: int) -> np.ndarray | None:
        """What is added to the attention's logits, float32 (1, heads, n, n) for n tokens of a tile; None: nothing.

        Parameters
        ----------
        shape : (int, int)
            Rows and columns of patches of a tile.
        heads : int
        prefix : int
            Tokens before those of the patches.
        """
        return None

    def strengths(self, tiles: TileRunner, shape: tuple[int, int], mean: np.ndarray) -> np.ndarray | None:
        """What the tiles themselves tell of the pattern in them, float32 (blocks, n, C / blocks); None: nothing.

        It is linear in ``mean``, so that the strengths of several images' tiles are the mean of theirs.

        Parameters
        ----------
        tiles : TileRunner
        shape : (int, int)
            Rows and columns of patches of a tile.
        mean : ndarray, float32, shape (h, w, C)
            Of the tokens at each place, over the tiles.
        """
        return None

    def tile_pattern(
        self, tiles: TileRunner, shape: tuple[int, int], strengths: np.ndarray | None, count: int
    ) -> np.ndarray | None:
        """What is subtracted from the tokens of every tile, float32 (h, w, C); None: nothing.

        Parameters
        ----------
        tiles : TileRunner
        shape : (int, int)
            Rows and columns of patches of a tile.
        strengths : ndarray or None
            Of :meth:`strengths`, of the image's own tiles or of more.
        count : int
            How many tiles they are of.
        """
        return None

    def finish(self, tiles: TileRunner, tokens: np.ndarray, mean: np.ndarray | None = None) -> None:
        """Change the tokens of the whole image, float32 (gy, gx, C), in place.

        Parameters
        ----------
        tiles : TileRunner
        tokens : ndarray
        mean : ndarray, float32, shape (C,), optional
            Around which it works; that of these tokens.
        """
