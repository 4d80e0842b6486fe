"""Ways of removing a ViT's positional bias, by name: the one table that recipe, tiles, encoder and `bias` read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Way:
    """What a way asks of the tiles, of the encoder and of its tokens.

    Parameters
    ----------
    help : str
        For users, a few words.
    tile, largest_tile : int
        Side of a tile where none is given, and the largest, px. Position embeddings segment best in small tiles with
        the whole embedding each: mean IoU of the tuning images 0.742, and 0.703 where a tile's embedding is cut out of
        one that spans the image. Averaged ones need no tile of their own, and large tiles are nearer to the whole
        image: cosine to it 0.994 at 784 px, 0.992 at 518 (1024 x 1024 pixels, see CONTEXT in vit.py).
    overlap : float
        Share of a tile that neighbours have in common at least. Half a tile lets nearly every patch be seen by four:
        with a quarter the ViT costs a third less and, where the bias is kept, the mean IoU of the tuning images is
        0.003 to 0.013 lower. Where the positional pattern is taken away, a quarter serves (0.805 and 0.810).
    most_overlap : int
        In patches, however large the tile.
    mean_embedding : bool
        The position embedding is replaced by its mean over the grid.
    context : bool
        A tile sees a sample of the patches outside it, too.
    slope : float
        How fast attention falls with distance, see :func:`fijibridge.features.position.distance_bias`; 0: not at all.
    template : bool
        What the tiles have in common at each place is taken away.
    projection : bool
        The directions in which tokens of noise tell the place are taken away (:mod:`.erasure`).
    flips : int
        Tokens are the mean over so many flips of a tile: 4, or 2: as it is and turned by 180 degrees; 1: as it is.
    tilings : int
        Tokens are the mean over so many tilings, shifted against each other.
    accurate : bool
        It segments tuning images as ``"template"`` does or better, with labels of one third of an image within 0.01
        (``benchmarks/position.py``).
    """

    help: str
    tile: int = 280
    largest_tile: int = 4096
    overlap: float = 0.25
    most_overlap: int = 4096
    mean_embedding: bool = False
    context: bool = False
    slope: float = 0.0
    template: bool = False
    projection: bool = False
    flips: int = 1
    tilings: int = 1
    accurate: bool = True

    @property
    def passes(self) -> int:
        """How often the ViT sees the image."""
        return self.tilings * self.flips


WAYS: dict[str, Way] = {
    "template": Way("what tiles have in common is taken away", template=True),
    "keep": Way("it stays", overlap=0.5, accurate=False),
    "mean": Way(
        "the ViT never learns where a patch is, at some cost in accuracy",
        tile=784,
        overlap=0.5,
        most_overlap=8,
        mean_embedding=True,
        context=True,
        accurate=False,
    ),
    "flips": Way("mean over the four flips of each tile (4 passes)", flips=4),
    "rolls": Way("mean over two shifted tilings (2 passes)", tilings=2, accurate=False),
    # attention's logits are numbers for each pair of patches and head: 240 MB at 784 px
    "alibi": Way(
        "as mean, and attention falls with distance",
        largest_tile=784,
        mean_embedding=True,
        slope=4.0,
        accurate=False,
    ),
    "distilled": Way(
        "as template, and directions that tell the place are taken away",
        template=True,
        projection=True,
        accurate=False,
    ),
    "template+flips": Way("both (4 passes)", template=True, flips=4),
}
