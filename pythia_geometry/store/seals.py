"""A checksum inside every Parquet file, by which it is known whole: one file, one rename, nothing beside it.

    PAR1 | row groups | mark and sha256 of all other bytes (40 bytes) | footer | length of the footer | PAR1

Parquet finds its footer from the end and the row groups by their place, so every reader passes the 40 bytes by.
"""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from typing import IO

from pythia_geometry.errors import DamagedError

MARK = b"pgsha256"
SIZE = len(MARK) + 32
_TAIL = struct.Struct("<I4s")  # length of the footer, and Parquet's own mark
_BLOCK = 1 << 20
_known: dict[tuple[str, int, int, int], str] = {}
"""Digests found in this process, by path, size, time of change and inode: a file that is read often is hashed once."""


def seal(file: Path) -> str:
    """Puts the checksum into a Parquet file that was just written, and returns it as 64 hex digits."""
    with file.open("r+b") as stream:
        footer_at, footer = _footer(stream, file)
        digest = _hashed(stream, footer_at, footer)
        stream.seek(footer_at)
        stream.write(MARK + digest + footer)
    return digest.hex()


def verify(file: Path) -> str:
    """The checksum of a Parquet file, found again; empty where it never had one (format 1).

    Raises:
        DamagedError: If the file is gone, unreadable, or not what was written.
    """
    try:
        state = file.stat()
        key = (str(file), state.st_size, state.st_mtime_ns, state.st_ino)
        if key not in _known:
            with file.open("rb") as stream:
                _known[key] = _verified(stream, file)
        return _known[key]
    except OSError as error:
        why = "is gone" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise DamagedError(f"{file.name} {why}") from error


def _verified(stream: IO[bytes], file: Path) -> str:
    footer_at, footer = _footer(stream, file)
    stream.seek(max(0, footer_at - SIZE))
    mark, digest = stream.read(len(MARK)), stream.read(SIZE - len(MARK))
    if digest == _hashed(stream, footer_at - SIZE, footer):
        return digest.hex()
    if mark == MARK:
        raise DamagedError(f"{file.name} does not hold what was written (its sha256 differs)")
    return ""


def _footer(stream: IO[bytes], file: Path) -> tuple[int, bytes]:
    """Where the footer begins, and all bytes from there."""
    size = stream.seek(0, 2)
    if size == 0:
        raise DamagedError(f"{file.name} is empty")
    if size >= 2 * _TAIL.size:
        stream.seek(size - _TAIL.size)
        length, magic = _TAIL.unpack(stream.read(_TAIL.size))
        footer_at = size - _TAIL.size - length
        if magic == b"PAR1" and footer_at > 0:
            stream.seek(footer_at)
            return footer_at, stream.read()
    raise DamagedError(f"{file.name} is no whole Parquet file")


def _hashed(stream: IO[bytes], stop: int, footer: bytes) -> bytes:
    """sha256 of the bytes before `stop` and of the footer."""
    digest = hashlib.sha256()
    stream.seek(0)
    left = max(0, stop)
    while left and (block := stream.read(min(_BLOCK, left))):
        digest.update(block)
        left -= len(block)
    digest.update(footer)
    return digest.digest()
