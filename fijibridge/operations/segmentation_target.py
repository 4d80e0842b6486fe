"""Where a segmentation goes: a folder, or a volume NAME.tif or NAME.zarr with its report in NAME_report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fijibridge.core.atomic_output import check_output, note_files, put_folder
from fijibridge.core.errors import SettingsError
from fijibridge.operations.report import REPORT
from fijibridge.operations.volume_files import beside, check_target, put_volume

_TIFF, _ZARR = (".tif", ".tiff"), ".zarr"
_ROOTS = ("zarr.json", ".zgroup")  # of OME-Zarr 0.5 and 0.4


@dataclass(frozen=True)
class Target:
    """Where a segmentation goes.

    Parameters
    ----------
    out : Path
        As it was asked for.
    folder : Path
        Of the report, and of all files where no volume was asked for.
    kind : {"folder", "tif", "zarr"}
    """

    out: Path
    folder: Path
    kind: str

    def check(self, inputs: Sequence[Path | None], overwrite: bool) -> None:
        """See that everything may take its place, before the work.

        Raises
        ------
        OutputError
            Something is there, or it is an input.
        """
        advice = ", or --resume to go on with work that was stopped"
        check_output(self.folder, marker=REPORT, overwrite=overwrite, inputs=inputs, advice=advice)
        if self.kind == "tif":
            check_target(self.out, self.folder, inputs, overwrite)
        if self.kind == "zarr":
            check_output(self.out, marker=self._root(), overwrite=overwrite, inputs=inputs, advice=advice)

    def note(self, folder: Path) -> None:
        """Note in the report's folder, while it is made, the volume that will lie beside it."""
        note_files(folder, [] if self.kind == "folder" else [beside(self.out)])

    def put(self, made: Path, names: Sequence[str], overwrite: bool, inputs: Sequence[Path | None]) -> None:
        """Move the volume into its place.

        Parameters
        ----------
        made : Path
            The file, or the folder of an OME-Zarr.
        names : sequence of str
            What that folder holds.
        overwrite, inputs
            As of :meth:`check`.
        """
        if self.kind == "tif":
            put_volume(made, self.out)
        elif self.kind == "zarr":
            note_files(made, names)
            put_folder(made, self.out, marker=self._root(), overwrite=overwrite, inputs=inputs)

    def _root(self) -> str:
        return next((name for name in _ROOTS if (self.out / name).is_file()), _ROOTS[0])


def target_of(out: Path, stacks: int) -> Target:
    """What an option ``--out`` asks for.

    Parameters
    ----------
    out : Path
        NAME.tif, NAME.zarr, or a folder.
    stacks : int
        Number of images and stacks that are segmented.

    Raises
    ------
    SettingsError
        One volume for several inputs.
    """
    out = Path(out)
    kind = "tif" if out.suffix.lower() in _TIFF else "zarr" if out.suffix.lower() == _ZARR else "folder"
    if kind == "folder":
        return Target(out, out, kind)
    if stacks > 1:
        raise SettingsError(
            f"{out} for {stacks} images", expected="a folder for the results of several", remedy="give --out a folder"
        )
    return Target(out, out.with_name(f"{out.stem}_report"), kind)
