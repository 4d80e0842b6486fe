"""Java's object serialization stream, written without Java (protocol version 2 of its specification).

Only what the files of this package need: objects, arrays, strings, and references to what was written before. Whoever
uses it writes an object's fields in Java's order: superclass first, in each class primitive fields by name, then
objects by name.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

_NULL, _REFERENCE, _CLASS, _OBJECT, _STRING, _ARRAY = b"\x70", b"\x71", b"\x72", b"\x73", b"\x74", b"\x75"
_BLOCK, _END_OF_BLOCK, _LONG_STRING = b"\x77", b"\x78", b"\x7c"
_FIRST_HANDLE = 0x7E0000
_SERIALIZABLE, _WRITE_METHOD = 2, 1


@dataclass(frozen=True)
class JavaClass:
    """What a stream says of a serializable class.

    Parameters
    ----------
    name : str
        Binary name, for instance ``java.util.ArrayList`` or ``[D``.
    uid : int
        Its serialVersionUID.
    fields : tuple of (str, str)
        Name and type descriptor (``I``, ``[D``, ``Ljava/lang/String;``) of the fields that it declares itself, in
        Java's order.
    parent : JavaClass, optional
        Nearest serializable superclass.
    writes : bool
        Whether it has a method ``writeObject`` of its own, whose data end with `JavaStream.end_block`.
    """

    name: str
    uid: int
    fields: tuple[tuple[str, str], ...] = ()
    parent: JavaClass | None = None
    writes: bool = False


class JavaStream:
    """Writes what ``java.io.ObjectOutputStream`` writes.

    Parameters
    ----------
    file : binary file
        Open for writing; the stream's header is written at once.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._handles = 0
        self._known: dict[JavaClass | str, int] = {}
        file.write(b"\xac\xed\x00\x05")

    def put(self, layout: str, *values: object) -> None:
        """Write primitive values: `layout` as for `struct.pack`, without the byte order."""
        self._file.write(struct.pack(">" + layout, *values))

    def raw(self, data: bytes | memoryview) -> None:
        """Write bytes made elsewhere, which must define nothing that is referred to later."""
        self._file.write(data)

    def null(self) -> None:
        """Write the null reference."""
        self._file.write(_NULL)

    def string(self, text: str) -> int:
        """Write a new string and return its handle."""
        data = modified_utf8(text)
        if len(data) < 2**16:
            self._file.write(_STRING + struct.pack(">H", len(data)) + data)
        else:
            self._file.write(_LONG_STRING + struct.pack(">Q", len(data)) + data)
        return self._new_handle()

    def refer(self, handle: int) -> None:
        """Write a reference to what got `handle`."""
        self._file.write(reference(handle))

    def begin(self, kind: JavaClass) -> int:
        """Begin an object, whose fields the caller writes, and return its handle."""
        self._file.write(_OBJECT)
        self._describe(kind)
        return self._new_handle()

    def begin_array(self, kind: JavaClass, length: int) -> int:
        """Begin an array, whose elements the caller writes.

        Parameters
        ----------
        kind : JavaClass
            Class of the array, such as ``[D``.
        length : int
            Number of elements.

        Returns
        -------
        int
            Its handle.
        """
        self._file.write(_ARRAY)
        self._describe(kind)
        handle = self._new_handle()
        self.put("i", length)
        return handle

    def block(self, layout: str, *values: object) -> None:
        """Write primitive values of a ``writeObject`` method: at most 255 bytes."""
        data = struct.pack(">" + layout, *values)
        self._file.write(_BLOCK + struct.pack("B", len(data)) + data)

    def end_block(self) -> None:
        """End the data of a ``writeObject`` method."""
        self._file.write(_END_OF_BLOCK)

    def handle_of(self, kind: JavaClass) -> int | None:
        """Handle of a class's description; None as long as the stream has none."""
        return self._known.get(kind)

    def _new_handle(self) -> int:
        self._handles += 1
        return self._handles - 1

    def _describe(self, kind: JavaClass | None) -> None:
        if kind is None:
            self.null()
        elif kind in self._known:
            self.refer(self._known[kind])
        else:
            self._file.write(_CLASS + _short_string(kind.name) + struct.pack(">q", kind.uid))
            self._known[kind] = self._new_handle()
            self.put("BH", _SERIALIZABLE + _WRITE_METHOD * kind.writes, len(kind.fields))
            for name, descriptor in kind.fields:
                self._file.write(descriptor[0].encode() + _short_string(name))
                if descriptor[0] in "[L":
                    self._type_string(descriptor)
            self._file.write(_END_OF_BLOCK)  # of annotations, which there are none
            self._describe(kind.parent)

    def _type_string(self, descriptor: str) -> None:
        if descriptor in self._known:
            self.refer(self._known[descriptor])
        else:
            self._known[descriptor] = self.string(descriptor)


def reference(handle: int) -> bytes:
    """The bytes of a reference to what got `handle`."""
    return _REFERENCE + struct.pack(">I", _FIRST_HANDLE + handle)


def modified_utf8(text: str) -> bytes:
    """Java's own UTF-8: characters beyond the BMP as two surrogates of three bytes each, NUL as two bytes."""
    if text.isascii() and "\0" not in text:
        return text.encode("ascii")
    units = "".join(map(chr, _utf16(text)))
    return units.encode("utf-8", "surrogatepass").replace(b"\0", b"\xc0\x80")


def string_hash(text: str) -> int:
    """``String.hashCode()`` as an unsigned number of 32 bits."""
    value = 0
    for unit in _utf16(text):
        value = (31 * value + unit) & 0xFFFFFFFF
    return value


def _utf16(text: str) -> tuple[int, ...]:
    data = text.encode("utf-16-be", "surrogatepass")
    return struct.unpack(f">{len(data) // 2}H", data)


def _short_string(text: str) -> bytes:
    data = modified_utf8(text)
    return struct.pack(">H", len(data)) + data
