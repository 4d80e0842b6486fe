"""``Ext`` functions for macros in this process: ``run("fijibridge"); Ext.segment(image, labels, out, options);``.

No jar is needed: a command listener in Python waits for the command ``fijibridge`` and registers a macro extension in
Python, as ImageJ takes one only while a macro runs.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fijibridge.core.ending import at_end
from fijibridge.core.errors import BridgeError, ImageError, SettingsError
from fijibridge.frontends.arguments import is_one_line, one_line, parameters_of, parse_options
from fijibridge.frontends.dispatch import DONE, ERROR, perform
from fijibridge.frontends.imagej.install import filled_in
from fijibridge.frontends.imagej.macro_generator import library_text, placed
from fijibridge.images.reading import ORIGINAL
from fijibridge.operations import CATALOGUE

if TYPE_CHECKING:
    from fijibridge.jvm import Gateway

log = logging.getLogger(__name__)

COMMAND = "fijibridge"
_registered: Extension | None = None


class Extension:
    """The macro functions of this process.

    Parameters
    ----------
    gateway : Gateway
        The JVM.

    Attributes
    ----------
    failure : str
        The text of the error that ended a macro, until somebody took it.
    """

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.failure = ""
        self.exchange = Path(tempfile.mkdtemp(prefix="fijibridge-"))
        (self.exchange / "exchange").mkdir()
        at_end(lambda: shutil.rmtree(self.exchange, ignore_errors=True))
        self.proxies: tuple[Any, ...] = ()
        self._count = 0
        self._given: set[str] = set()  # names of the calls that a macro began, each a folder of the exchange

    # --- what ImageJ calls -------------------------------------------------------------------------------------------

    def descriptors(self, handler: Any) -> list[Any]:
        """ImageJ's descriptions of the functions."""
        Descriptor = self.gateway.jclass("ij.macro.ExtensionDescriptor")
        text, optional = int(handler.ARG_STRING), int(handler.ARG_STRING) | int(handler.ARG_OPTIONAL)
        made = []
        for name in CATALOGUE:
            places, _ = placed(name)
            made.append(Descriptor(name, [text] * len(places) + [optional], handler))
        made.append(Descriptor("call", [text] * 4, handler))
        made.append(Descriptor("begin", [text], handler))
        made.append(Descriptor("release", [text], handler))
        made.append(Descriptor("fail", [text], handler))
        return made

    def handle(self, name: str, given: list[str]) -> str:
        """Call a function for a macro, which ends if that fails.

        Parameters
        ----------
        name : str
            Of an operation, or ``begin``, ``call``, ``release`` or ``fail``, which the macro library uses.
        given : list of str
            Its arguments.

        Returns
        -------
        str
            The answer.
        """
        if name == "begin":
            return self._begin()
        if name == "call":
            operation, key, values, options = given
            return self._perform(operation, json.loads(values), options, self._place(name, key))
        if name == "release":
            shutil.rmtree(self._place(name, given[0]), ignore_errors=True)
            self._given.remove(given[0])
            return ""
        if name == "fail":
            return self._end(given[0])
        places, _ = placed(name)
        return self._direct(
            name, dict(zip(places, given, strict=False)), given[len(places)] if len(given) > len(places) else ""
        )

    # --- the functions -----------------------------------------------------------------------------------------------

    def _begin(self) -> str:
        """A new call's name; its folder is there."""
        self._count += 1
        key = f"call-{self._count}"
        (self.exchange / "exchange" / key).mkdir()
        self._given.add(key)
        return key

    def _place(self, function: str, key: str) -> Path:
        """The folder of a call, of those alone that `_begin` gave and nobody released: a path never gets here."""
        if key not in self._given:
            raise SettingsError(
                f"Ext.{function}: {key[:200]!r} is no call that is under way",
                expected="what Ext.begin() returned, once",
                remedy="leave it to fbSegment and the like in the library, which begin and release their calls",
            )
        return self.exchange / "exchange" / key

    def _direct(self, name: str, values: dict[str, str], options: str) -> str:
        """``Ext.segment(...)``: open images in, result images opened."""
        call = self._begin()
        place = self._place(name, call)
        quiet = False
        try:
            words = parse_options(options)
            quiet, show = words.pop("on_error", "") == "return", "show" in words
            words.pop("show", None)
            parameters = parameters_of(name)
            for key, value in values.items():
                if parameters[key][1].role in ("image", "labels"):
                    values[key] = self._file_of(value, place)
            answer = self._perform(name, {**values, **words}, "", place)
            if not answer.startswith(DONE):
                return answer if quiet else self._end(answer.removeprefix(f"{ERROR}\n"))
            lines = answer.split("\n")[1:]
            for line in lines:
                if line.startswith("show=") and (show or "out=" in lines):
                    self._open(*line.removeprefix("show=").split("\t"))
            for line in lines:
                if line.startswith("warnings="):
                    self.gateway.jclass("ij.IJ").log(f"FijiBridge: {line.removeprefix('warnings=')}")
            return "\n".join(line for line in lines if not line.startswith("show="))
        except BridgeError as error:
            return f"{ERROR}\n{error}" if quiet else self._end(str(error))
        finally:
            shutil.rmtree(place, ignore_errors=True)
            self._given.discard(call)

    def _perform(self, name: str, values: dict[str, Any], options: str, place: Path) -> str:
        IJ = self.gateway.jclass("ij.IJ")

        def watch(part: float, text: str) -> None:
            IJ.showProgress(part)
            IJ.showStatus(f"fijibridge: {text}")

        place.mkdir(exist_ok=True)
        return perform(name, values, options, place=place, watch=watch)

    def _end(self, text: str) -> str:
        """Stop the macro; `fijibridge.frontends.imagej.session` reports the text with the line's number."""
        import jpype

        self.failure = text
        if not bool(self.gateway.jclass("java.awt.GraphicsEnvironment").isHeadless()):
            self.gateway.jclass("ij.IJ").showMessage("fijibridge", text)
        raise jpype.JClass("java.lang.RuntimeException")(self.gateway.jclass("ij.Macro").MACRO_CANCELED)

    def _file_of(self, value: str, place: Path) -> str:
        """A file as it is; an open image, or with an empty text the current one, as a TIFF."""
        Windows = self.gateway.jclass("ij.WindowManager")
        if value and (not is_one_line(value) or Path(value).exists() or Windows.getImage(value) is None):
            return value
        image = Windows.getImage(value) if value else Windows.getCurrentImage()
        if image is None:
            raise ImageError(
                "no image is open", expected="an open image, or a file's path", remedy="open the image first"
            )
        # shares the pixels, so that title and file of the user's image stay as they are
        copy = self.gateway.jclass("ij.ImagePlus")(image.getTitle(), image.getStack())
        copy.copyScale(image)
        copy.setDimensions(image.getNChannels(), image.getNSlices(), image.getNFrames())
        title = re.sub(r'[<>:"/\\|?*]', "_", one_line(str(image.getTitle())))
        path = place / f"{Path(title).stem or 'image'}.tif"
        self.gateway.jclass("ij.IJ").saveAsTiff(copy, str(path))
        info = image.getOriginalFileInfo()
        original = str(info.getFilePath() or "") if info is not None else ""
        if original and Path(original).is_file():  # whose tags say what ImageJ does not keep
            Path(f"{path}{ORIGINAL}").write_text(original, encoding="utf-8")
        return str(path)

    def _open(self, path: str, title: str) -> None:
        IJ = self.gateway.jclass("ij.IJ")
        if path.endswith(".csv"):
            self.gateway.jclass("ij.measure.ResultsTable").open(path).show(title)
            return
        image = IJ.openImage(path)
        image.setTitle(title)
        image.show()


def register(gateway: Gateway) -> Extension:
    """Make the ``Ext`` functions and the macro library known to this process's ImageJ, once."""
    global _registered
    if _registered is not None:
        return _registered
    import jpype

    extension = Extension(gateway)

    @jpype.JImplements("ij.macro.MacroExtension")
    class Handler:
        @jpype.JOverride
        def handleExtension(self, name: Any, given: Any) -> str:
            try:
                return extension.handle(str(name), ["" if item is None else str(item) for item in given or ()])
            except jpype.JException:
                raise
            except BridgeError as error:
                return extension._end(str(error))
            except Exception as error:  # Java would show a trace and not the text
                log.exception("Ext.%s", name)
                return extension._end(f"Ext.{name} failed: {type(error).__name__}: {error}")

        @jpype.JOverride
        def getExtensionFunctions(self) -> Any:
            return extension.descriptors(gateway.jclass("ij.macro.MacroExtension") @ self)

    @jpype.JImplements("ij.CommandListener")
    class Listener:
        @jpype.JOverride
        def commandExecuting(self, command: Any) -> Any:
            if str(command) != COMMAND:
                return command
            gateway.jclass("ij.macro.Functions").registerExtensions(handler)
            return None

    handler, listener = Handler(), Listener()
    gateway.jclass("ij.Executer").addCommandListener(listener)
    Interpreter = gateway.jclass("ij.macro.Interpreter")
    library = filled_in(library_text(), hosted=extension.exchange)
    own = Interpreter.getAdditionalFunctions()
    Interpreter.setAdditionalFunctions(f"{own}\n{library}" if own is not None else library)
    extension.proxies = (handler, listener)  # Java holds them weakly for Python's part
    _registered = extension
    return extension
