"""Labelled samples read from ARFF: what TWS's "Save data" and Weka write. Needs no Java.

Own code, for neither of the common readers reads what Weka writes at the size of a laboratory's collected data:
`scipy.io.arff` knows no sparse rows and no escapes in names, and takes longer; liac-arff makes Python objects of all
values of a file. Here a chunk of rows at a time becomes numbers in C; rows of an unusual form are taken apart by the
rules of Weka's tokenizer.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from fijibridge.core.errors import ImageNotFoundError, LabelsError
from fijibridge.core.names import LONGEST_FEATURE, MOST, check_names, listed, shown
from fijibridge.core.progress import bar
from fijibridge.forest.arff import LabelledSamples, quoted

_CHUNK = 4 * 2**20  # bytes that are read at a time
_LONGEST_LINE = 64 * 2**20
_PLAIN = b"0123456789+-.eE,?"  # of a row's numbers that are read in C
_NUMERIC = ("numeric", "real", "integer")
_UNESCAPED = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
# A value, a quoted one, a brace or a comment, after blanks and commas, which Weka takes for the same.
_TOKEN = re.compile(
    r"""[\x00-\x20,]*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([{}])|(%.*)|([^\x00-\x20,'"{}%]+)|$)""", re.DOTALL
)
_LINE_END = re.compile(r"\r\n|\n|\r")
_ESCAPED = re.compile(r"\\([0-3]?[0-7]{1,2}|.)", re.DOTALL)
_REMEDY = "save the data again with TWS's \"Save data\", or in Weka's Explorer"


@dataclass
class _Header:
    """What stands above the rows."""

    relation: str = ""
    names: list[str] = field(default_factory=list)
    types: list[list[str] | str] = field(default_factory=list)  # a nominal one's values, or a word
    encoding: str = "utf-8"
    target: int = -1

    @property
    def class_names(self) -> list[str]:
        return list(self.types[self.target])


def read_arff(path: str | os.PathLike[str], *, dtype: Any = np.float32) -> LabelledSamples:
    """Read labelled samples: what TWS's "Save data" and Weka write, of numeric features and a nominal class.

    The class is the last nominal attribute that is called class, else the last attribute, as TWS has it. Names may be
    quoted; there may be comments, blank lines, missing values (``?``) and sparse rows (``{0 1.5, 7 pore}``).

    Parameters
    ----------
    path : path
        Read as a stream: no more is held than the samples.
    dtype : float32 or float64
        Of the features.

    Returns
    -------
    LabelledSamples
        NaN where a feature is missing.

    Raises
    ------
    ImageNotFoundError
        No such file.
    LabelsError
        No ARFF, or a damaged one; features that are not numeric, a class that is missing or not among the names, rows
        with weights, no rows.
    """
    path = Path(path)
    if not path.is_file():
        found = f"{path} is a folder" if path.is_dir() else f"no file {path}"
        raise ImageNotFoundError(found, expected="an .arff file", remedy="check the path and its spelling")
    size = path.stat().st_size
    with path.open("rb") as file:
        header, line, rest = _read_header(file, path)
        rows = _Rows(header, path, np.dtype(dtype), size)
        with bar(f"reading {path.name}", max(1, size)) as progress:
            for chunk in _chunks(file, rest, path):
                line = rows.add(chunk, line)
                progress.update(len(chunk))
    X, y = rows.result()
    if not len(y):
        raise LabelsError(f"{path} has no samples: nothing stands after @data", expected="a row a sample",
                          remedy="save the data after pixels were labelled")  # fmt: skip
    names = [name for k, name in enumerate(header.names) if k != header.target]
    return LabelledSamples(X, y, tuple(names), tuple(header.class_names), header.relation)


def _bad(path: Path, line: int, found: str, expected: str = "ARFF as Weka and TWS write it") -> LabelsError:
    where = f"{path}, line {line}" if line else str(path)
    return LabelsError(f"{where}: {found}", expected=expected, remedy=_REMEDY)


def _chunks(file: BinaryIO, rest: bytes, path: Path) -> Iterator[bytes]:
    """Whole lines, some MiB at a time."""
    while data := file.read(_CHUNK):
        rest += data
        end = max(rest.rfind(b"\n"), rest.rfind(b"\r")) + 1
        if not end and len(rest) > _LONGEST_LINE:
            raise _bad(path, 0, f"a line of more than {_LONGEST_LINE // 2**20} MiB", "a row a line")
        if end:
            yield rest[:end]
            rest = rest[end:]
    if rest:
        yield rest


def _read_header(file: BinaryIO, path: Path) -> tuple[_Header, int, bytes]:
    """The header, the number of its lines, and what was read of the rows."""
    header, number = _Header(), 0
    data = file.read(_CHUNK)
    if not data.strip():
        raise _bad(path, 0, "the file is empty")
    first = data.lstrip(b"\xef\xbb\xbf")
    if b"\0" in first[:4096] or not re.match(rb"\s*(%|@relation)", first, re.IGNORECASE):
        raise _bad(
            path, 0, f"it begins with {shown(first[:20].decode('latin-1'))}", "ARFF, which begins with @relation"
        )
    while not (end := re.search(rb"^[ \t]*@data[ \t]*(?:%[^\r\n]*)?(\r\n|\n|\r|\Z)", first, re.I | re.M)):
        more = file.read(_CHUNK)
        if not more or len(first) > _LONGEST_LINE:
            raise _bad(path, 0, "no line @data", "the attributes, then @data, then a row a sample")
        first += more
    text = first[: end.start()]
    try:
        lines = _LINE_END.split(text.decode("utf-8"))
    except UnicodeDecodeError:  # TWS 3 wrote in the system's own letters
        header.encoding = "latin-1"
        lines = _LINE_END.split(text.decode("latin-1"))
    for number, line in enumerate(lines, start=1):
        _read_declaration(header, line, path, number)
    _check_header(header, path)
    return header, number, first[end.end() :]


def _read_declaration(header: _Header, line: str, path: Path, number: int) -> None:
    tokens = _tokens(line, path, number)
    if not tokens:
        return
    word = tokens[0][0].lower()
    if word == "@relation":
        header.relation = tokens[1][0] if len(tokens) > 1 else ""
    elif word == "@attribute":
        if len(header.names) >= MOST:
            raise _bad(path, number, f"more than {MOST} attributes", "the features of pixels")
        if len(tokens) < 3:
            raise _bad(path, number, f"{shown(line.strip())}", "@attribute NAME numeric, or @attribute class {a,b}")
        header.names.append(tokens[1][0])
        header.types.append(_type_of(tokens[2:], path, number))
    else:
        raise _bad(path, number, f"{shown(line.strip())} above @data", "lines with @attribute")


def _type_of(tokens: list[tuple[str, bool]], path: Path, number: int) -> list[str] | str:
    if tokens[0] != ("{", False):
        return tokens[0][0].lower()
    if ("}", False) not in tokens:
        raise _bad(path, number, "a list of names without its end", "{a,b} in one line")
    return [text for text, _ in tokens[1 : tokens.index(("}", False))]]


def _check_header(header: _Header, path: Path) -> None:
    nominal = [k for k, kind in enumerate(header.types) if isinstance(kind, list)]
    called = [k for k in nominal if header.names[k].lower() == "class"]
    header.target = called[-1] if called else len(header.names) - 1
    if not header.names or header.target not in nominal:
        last = f"the last attribute, {shown(header.names[-1])}, is no list of classes" if header.names else "none"
        raise _bad(path, 0, f"attributes: {len(header.names)}; {last}", "a nominal attribute class: {pore,particle}")
    others = [k for k in range(len(header.names)) if k != header.target and header.types[k] not in _NUMERIC]
    if others:
        kind = header.types[others[0]]
        kind = "nominal" if isinstance(kind, list) else kind
        raise _bad(path, 0, f"the feature {shown(header.names[others[0]])} is {kind}", "features that are numbers")
    features = [name for k, name in enumerate(header.names) if k != header.target]
    if len(set(features)) < len(features):
        twice = sorted({name for name in features if features.count(name) > 1})
        raise _bad(path, 0, f"features of the same name: {listed(twice)}", "a name for each feature")
    if not features:
        raise _bad(path, 0, "no feature but the class", "features that are numbers")
    check_names(features, "feature", where=path, longest=LONGEST_FEATURE)
    check_names(header.class_names, where=path)
    if len(set(header.class_names)) < len(header.class_names):
        raise _bad(path, 0, f"classes {listed(header.class_names)}", "different names")


def _tokens(line: str, path: Path, number: int) -> list[tuple[str, bool]]:
    """What Weka's tokenizer makes of a line: texts, and whether each was quoted."""
    found, place = [], 0
    while place < len(line):
        match = _TOKEN.match(line, place)
        if match is None:
            raise _bad(path, number, "a quote without its end")
        place = match.end()
        single, double, brace, comment, plain = match.groups()
        if comment is not None:
            break
        if single is not None or double is not None:
            text = single if single is not None else double
            found.append((_ESCAPED.sub(_unescaped, text) if "\\" in text else text, True))
        elif brace or plain:
            found.append((brace or plain, False))
    return found


def _unescaped(match: re.Match[str]) -> str:
    sign = match[1]
    return chr(int(sign, 8)) if sign[0] in "01234567" else _UNESCAPED.get(sign, sign)


class _Rows:
    """Rows as arrays that grow."""

    def __init__(self, header: _Header, path: Path, dtype: np.dtype, size: int) -> None:
        self.header, self.path, self.size = header, path, size
        self.n_features, self.count, self.read = len(header.names) - 1, 0, 0
        self.X = np.empty((0, self.n_features), dtype)
        self.y = np.empty(0, np.int64)
        self.classes = {name: k for k, name in enumerate(header.class_names)}
        written = {quoted(name).encode(header.encoding, "replace"): k for name, k in self.classes.items()}
        written |= {name.encode(header.encoding, "replace"): k for name, k in self.classes.items()}
        plain = header.target == self.n_features and not any(b"," in text for text in written)
        self.written = written if plain else {}

    def add(self, chunk: bytes, line: int) -> int:
        """Add whole lines, of which the first has the number after `line`; the last one's number."""
        lines = re.split(rb"\r\n|\n|\r", chunk) if b"\r" in chunk else chunk.split(b"\n")
        if chunk.endswith((b"\n", b"\r")):
            lines.pop()
        self.read += len(chunk)
        found = self._fast(lines)
        if found is None:
            found = self._slow(lines, line)
        X, y = found
        self._reserve(self.count + len(y))
        with np.errstate(over="ignore"):  # beyond float32: infinite
            self.X[self.count : self.count + len(y)] = X
        self.y[self.count : self.count + len(y)] = y
        self.count += len(y)
        return line + len(lines)

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """Features and classes."""
        self._resize(self.count)
        return self.X, self.y

    def _reserve(self, count: int) -> None:
        if count > len(self.y):
            self._resize(max(count, int(1.02 * count * self.size / max(1, self.read))))

    def _resize(self, count: int) -> None:
        self.X.resize((count, self.n_features), refcheck=False)
        self.y.resize(count, refcheck=False)

    def _fast(self, lines: list[bytes]) -> tuple[np.ndarray, np.ndarray] | None:
        """Plain rows, class last; None where a row is of another form."""
        parts = [line.rpartition(b",") for line in lines if line]
        labels = [self.written.get(tail, -1) for _, _, tail in parts]
        heads = [head for head, _, _ in parts]
        commas = self.n_features - 1
        if not parts or min(labels) < 0 or any(head.count(b",") != commas for head in heads):
            return None
        text = b",".join(heads)
        if text.translate(None, _PLAIN) or b",," in text or text.startswith(b",") or text.endswith(b","):
            return None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", DeprecationWarning)
                values = np.fromstring(text.replace(b"?", b"nan").decode("ascii"), np.float64, sep=",")
        except (ValueError, DeprecationWarning):
            return None
        if len(values) != len(parts) * self.n_features:
            return None
        return values.reshape(len(parts), self.n_features), np.array(labels, np.int64)

    def _slow(self, lines: list[bytes], line: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows of any form, each taken apart by the tokenizer's rules."""
        rows, labels = [], []
        for number, raw in enumerate(lines, start=line + 1):
            tokens = _tokens(raw.decode(self.header.encoding, "replace"), self.path, number)
            if not tokens:
                continue
            values, label = self._row(tokens, number)
            rows.append(values)
            labels.append(label)
        return np.array(rows, np.float64).reshape(len(rows), self.n_features), np.array(labels, np.int64)

    def _row(self, tokens: list[tuple[str, bool]], number: int) -> tuple[list[float], int]:
        total, target = self.n_features + 1, self.header.target
        texts: list[tuple[str, bool]] = [("0", False)] * total
        if tokens[0] == ("{", False):
            end = tokens.index(("}", False)) if ("}", False) in tokens else -1
            inside, rest = tokens[1:end], tokens[end + 1 :]
            if end < 0 or len(inside) % 2:
                raise _bad(self.path, number, "a sparse row that is not complete", "{INDEX VALUE, INDEX VALUE}")
            texts[target] = (self.header.class_names[0], True)
            last = -1
            for (place, _), value in zip(inside[::2], inside[1::2], strict=True):
                if not (place.isascii() and place.isdigit() and last < int(place) < total):
                    found = f"the index {shown(place)} in a sparse row"
                    raise _bad(self.path, number, found, f"indices from 0 to {total - 1} in ascending order")
                last = int(place)
                texts[last] = value
        else:
            texts, rest = tokens[:total], tokens[total:]
        if len(texts) != total:
            raise _bad(self.path, number, f"{len(texts)} values", f"{total}: {self.n_features} features and the class")
        if rest and (rest[0], rest[-1], len(rest)) != (("{", False), ("}", False), 3):
            raise _bad(self.path, number, f"more than {total} values", "as many values as attributes")
        if rest and self._number(rest[1], number) != 1:
            raise _bad(self.path, number, f"a sample of weight {rest[1][0]}", "samples that all count alike")
        label = self.classes.get(texts[target][0])
        if texts[target] == ("?", False) or label is None:
            found = "the class is missing (?)" if label is None and texts[target][0] == "?" else "the class "
            found = found if found.endswith(")") else f"{found}{shown(texts[target][0])} is not among those declared"
            raise _bad(self.path, number, found, f"one of {listed(self.header.class_names)}")
        return [self._number(value, number) for k, value in enumerate(texts) if k != target], label

    def _number(self, token: tuple[str, bool], number: int) -> float:
        text, was_quoted = token
        if text == "?" and not was_quoted:
            return float("nan")
        try:
            if "_" in text or not text.isascii():
                raise ValueError
            return float(text)
        except ValueError:
            raise _bad(self.path, number, f"{shown(text)} where a number should stand", "numbers, or ?") from None
