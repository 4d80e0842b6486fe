"""Means over several views, in which a patch stands elsewhere."""

from __future__ import annotations

from fijibridge.features.vit.debiasing.base import Debiasing


class Flips(Debiasing):
    """The mean over the four flips of each tile."""

    flips = 4


class Rolls(Debiasing):
    """The mean over two tilings, shifted against each other."""

    tilings = 2
    accurate = False


FLIPS, ROLLS = Flips(), Rolls()
