"""The one reader of JSON that others wrote: bounded, and with one message for each thing that can be wrong with it.

Python's own reader takes numbers that become infinite, halves of characters and lists nested a thousand deep, and what
they break is broken far from the file.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from pythia_geometry.errors import PythiaGeometryError

MAX_BYTES = 256 * 2**20
MAX_DEPTH = 50
MAX_DIGITS = 400

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""How a file begins that Git LFS left in place of the real one."""

_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_HALF = re.compile(r"\\u[dD][89a-fA-F]")


class JsonError(PythiaGeometryError):
    """A text that is not the JSON it ought to be."""


def read_json(path: Path, at_most: int = MAX_BYTES, allow_nan: bool = False) -> Any:
    """The one JSON value that a file holds.

    Args:
        path: The file.
        at_most: Most bytes that are read.
        allow_nan: Whether `NaN` and `Infinity`, which are no JSON and which Python writes, are taken.

    Raises:
        JsonError: If it cannot be read or is not sound; the message names file and line.
    """
    return parse_json(read_text(path, at_most), str(path), allow_nan)


def parse_json(content: str | bytes, where: str, allow_nan: bool = False) -> Any:
    """The one JSON value of a text.

    Args:
        content: The text.
        where: Its place, for messages: a file or an address.
        allow_nan: Whether `NaN` and `Infinity` are taken.

    Raises:
        JsonError: If it is not sound.
    """
    text = decoded(content, where) if isinstance(content, bytes) else content.removeprefix("\ufeff")
    return _Text(text, where, 1, allow_nan).value()


def json_rows(path: Path, at_most: int = MAX_BYTES, allow_nan: bool = False) -> Iterator[tuple[str, Any]]:
    """The values of a file of JSON lines, or of a file that holds one list; each with its place.

    Args:
        path: The file.
        at_most: Most bytes that are read.
        allow_nan: Whether `NaN` and `Infinity` are taken.

    Raises:
        JsonError: If it cannot be read or is not sound; the message names file and line.
    """
    text = read_text(path, at_most)
    if text.lstrip().startswith("["):
        values = parse_json(text, str(path), allow_nan)
        yield from ((f"{path}, row {number}", value) for number, value in enumerate(values, start=1))
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield f"{path}, line {number}", _Text(line, str(path), number, allow_nan).value()


def read_text(path: Path, at_most: int = MAX_BYTES) -> str:
    """A file's text, without the byte-order mark that Windows puts before it.

    Raises:
        JsonError: If it cannot be read, is too long, or is not UTF-8.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(at_most + 1)
    except (OSError, ValueError) as error:  # a NUL byte in the name is a ValueError
        raise JsonError(f"{path} could not be read: {getattr(error, 'strerror', None) or error}") from error
    if len(content) > at_most:
        raise JsonError(f"{path} is longer than {at_most / 1e6:,.0f} MB, which is no file of this kind")
    return decoded(content, str(path))


def decoded(content: bytes, where: str) -> str:
    """UTF-8 text, without a byte-order mark.

    Raises:
        JsonError: If it is something else.
    """
    if content.startswith(LFS_POINTER):
        raise JsonError(f"{where} is a pointer of Git LFS and not the file itself. Fetch it: git lfs pull")
    if content.startswith(_UTF16):
        raise JsonError(f"{where} is not UTF-8 text but UTF-16. Save it again as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise JsonError(f"{where} is not UTF-8 text: {error.reason} at byte {error.start}") from error


class _Text:
    """One JSON text, with its place and the number of its first line there."""

    def __init__(self, text: str, where: str, first_line: int, allow_nan: bool) -> None:
        self.text = text
        self.where = where
        self.first_line = first_line
        self.allow_nan = allow_nan

    def value(self) -> Any:
        """Reads it."""
        decoder = json.JSONDecoder(
            parse_int=self._integer, parse_float=self._number, parse_constant=None if self.allow_nan else self._constant
        )
        try:
            value = decoder.decode(self.text)
        except json.JSONDecodeError as error:
            self._refuse(error.pos, f"not valid JSON ({error.msg} at column {error.colno})")
        except RecursionError:
            self._refuse(0, f"nested more than {MAX_DEPTH} deep")
        if _depth(value) > MAX_DEPTH:
            self._refuse(0, f"nested more than {MAX_DEPTH} deep")
        if (half := _HALF.search(self.text)) and not _is_text(value):
            self._refuse(half.start(), "half of a surrogate pair, which is no character")
        return value

    def _integer(self, literal: str) -> int:
        if len(literal) > MAX_DIGITS:
            self._refuse(self.text.find(literal), f"a number of {len(literal)} digits")
        return int(literal)

    def _number(self, literal: str) -> float:
        if len(literal) > MAX_DIGITS:
            self._refuse(self.text.find(literal), f"a number of {len(literal)} digits")
        number = float(literal)
        if not math.isfinite(number):
            self._refuse(self.text.find(literal), f"{literal} is larger than any number that can be held")
        return number

    def _constant(self, name: str) -> float:
        self._refuse(self.text.find(name), f"{name} is no number that JSON knows")

    def _refuse(self, position: int, wrong: str) -> NoReturn:
        line = self.first_line + self.text.count("\n", 0, max(position, 0))
        raise JsonError(f"{self.where}, line {line}: {wrong}")


def _depth(value: Any) -> int:
    """How deep lists and objects lie in each other; counted without recursion."""
    depth, level = 0, [value]
    while level := [v for v in level if isinstance(v, (dict, list))]:
        depth += 1
        level = [inner for v in level for inner in (v.values() if isinstance(v, dict) else v)]
    return depth


def _is_text(value: Any) -> bool:
    """Whether all its texts are Unicode: escapes can spell halves of a character."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
