"""Where pre-trained weights came from."""

from __future__ import annotations

from dataclasses import dataclass

from fijibridge.core.errors import WeightsError


@dataclass(frozen=True)
class Provenance:
    """Where pre-trained weights came from.

    Parameters
    ----------
    sha256 : str
        Of the weights; empty where they are not loaded yet, or where there are none.
    source, licence : str
        In words. They take no part in comparisons.
    """

    sha256: str = ""
    source: str = ""
    licence: str = ""

    def check_is(self, wanted: str, network: str) -> None:
        """See that the weights are those that a recipe asks for.

        Parameters
        ----------
        wanted : str
            SHA-256; empty: any serve.
        network : str
            timm's name of what they are of.

        Raises
        ------
        WeightsError
            They are others.
        """
        if wanted and wanted != self.sha256:
            raise WeightsError(
                f"weights of {network} with SHA-256 {self.sha256} ({self.source})",
                expected=f"SHA-256 {wanted}, as the recipe says",
                remedy="give the weights that the recipe was made with (--weights FILE, of a ViT); where others may "
                "serve, take sha256 out of it",
            )
