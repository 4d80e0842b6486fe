"""What ``fijibridge.start`` gives a script: the running ImageJ or Fiji, and TWS sessions in it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fijibridge.jvm import Gateway
    from fijibridge.tws import TrainableSegmentation


@dataclass(frozen=True)
class Fiji:
    """A running ImageJ: the embedded default, or the user's own Fiji.

    Parameters
    ----------
    gateway : Gateway
        The JVM.
    """

    gateway: Gateway

    @property
    def ij(self) -> Any:
        """pyimagej's gateway where a Fiji was asked for, else None."""
        return self.gateway.ij

    def trainable_segmentation(
        self, image: Any, features: Any, labels: Any = None, **settings: Any
    ) -> TrainableSegmentation:
        """A Trainable Weka Segmentation session on features made in Python; needs a Fiji.

        Parameters
        ----------
        image, features, labels, **settings
            As for `fijibridge.tws.TrainableSegmentation`, with the same errors.

        Returns
        -------
        TrainableSegmentation
            Not trained yet: ``session.train().predict()``.
        """
        from fijibridge.tws import TrainableSegmentation

        return TrainableSegmentation(image, features, labels, **settings)


def start(*, heap: str | None = None, fiji: str | os.PathLike[str] | None = None, gui: bool = False) -> Fiji:
    """Start the embedded ImageJ with Weka, or a Fiji of your own; or return the one that runs.

    Parameters
    ----------
    heap, fiji, gui
        As for `fijibridge.jvm.start`, with the same errors.

    Returns
    -------
    Fiji
    """
    from fijibridge.jvm import start as start_jvm

    return Fiji(start_jvm(heap=heap, fiji=fiji, gui=gui))
