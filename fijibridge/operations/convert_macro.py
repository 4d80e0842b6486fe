"""A macro that calls TWS, made into one that calls fijibridge."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fijibridge.core.atomic_output import output_file, output_folder
from fijibridge.core.errors import ImageNotFoundError, OutputError, SettingsError
from fijibridge.core.options import Overwrite
from fijibridge.core.params import Param, check
from fijibridge.operations.report import REPORT, write_report

_MACROS = (".ijm", ".txt")
_LARGEST = 4 * 2**20  # bytes of a macro


def convert_macro(
    macro_file: Annotated[
        Path,
        Param("a macro of ImageJ (.ijm) that calls TWS", positional=True, role="file", level="basic", group="Input"),
    ],
    *,
    out: Annotated[
        Path,
        Param(
            "the macro that calls fijibridge, NEW.ijm; or a folder for it and its report",
            role="out",
            level="basic",
            group="Output",
        ),
    ],
    overwrite: Overwrite = False,
) -> dict[str, Any]:
    """Rewrite a macro that calls TWS so that it calls fijibridge.

    Each call of trainableSegmentation.Weka_Segmentation that TWS's macro recorder writes becomes that of a function of
    the macro library with the same arguments; no window of TWS is opened. Lines that need TWS and cannot be rewritten
    stay as they are, and are named.

    Writes the new macro.

    Returns
    -------
    dict
        The report; ``not_converted`` holds the lines that still need TWS.

    Raises
    ------
    BridgeError
        For every input that cannot serve; nothing is left half written.
    """
    from fijibridge.tws.macro_conversion import convert

    check(convert_macro, locals())
    macro, out = Path(macro_file), Path(out)
    if not macro.is_file():
        raise ImageNotFoundError(f"no macro {macro}", expected="an .ijm file", remedy="check the path")
    data = macro.read_bytes() if macro.stat().st_size <= _LARGEST else b"\0"
    if b"\0" in data:
        raise SettingsError(f"{macro} is no macro", expected="text in ImageJ's macro language", remedy="check the path")
    single = out.suffix.lower() in _MACROS
    if single and (out.is_dir() or out.absolute() == macro.absolute() or (out.exists() and not overwrite)):
        found = f"{out} is the macro itself" if out.absolute() == macro.absolute() else f"{out} is there already"
        raise OutputError(found, expected="a new file, such as NEW.ijm", remedy="choose another name, or --overwrite")
    try:
        encoding = "utf-8"
        text = data.decode(encoding)
    except UnicodeDecodeError:
        encoding = "latin-1"  # as ImageJ reads it
        text = data.decode(encoding)
    done = convert(text)
    if not done.converted:
        raise SettingsError(
            f"{macro} has no call of TWS that can be converted",
            expected='lines with call("trainableSegmentation.Weka_Segmentation....")',
            remedy="record the macro with Plugins > Macros > Record... while TWS is used",
        )
    converted = done.text.encode(encoding)
    report = {
        "operation": "convert_macro",
        "out": str(out),
        "macro": str(macro),
        "converted": done.converted,
        "not_converted": [{"line": line, "text": code, "why": why} for line, code, why in done.left],
        "outputs": [] if single else [f"{macro.stem}.ijm"],
    }
    if single:
        with output_file(out) as part:
            part.write_bytes(converted)
        return report
    with output_folder(out, marker=REPORT, overwrite=overwrite, inputs=(macro,)) as folder:
        (folder / f"{macro.stem}.ijm").write_bytes(converted)
        write_report(folder, report)
    return report


def summary(report: dict[str, Any]) -> list[str]:
    """Lines for a person."""
    lines = [f"{report['converted']} calls of TWS converted"]
    return lines + [
        f"line {one['line']} still needs TWS ({one['why']}): {one['text']}" for one in report["not_converted"]
    ]
