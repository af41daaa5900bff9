"""The header of a safetensors file: which tensors it holds, and at which bytes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

HEADER = 2**16
"""Bytes asked for first: the headers of Pythia's files have 10 to 21 kB. A longer one takes a second question."""

_MAX_HEADER = 2**27
_METADATA = "__metadata__"
_BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 8),
}

ReadBytes = Callable[[int, int], bytes]
"""Bytes `start` to `stop` of the file; fewer where it ends before."""


class Place(NamedTuple):
    """One tensor of a file: dtype as the header names it, shape, and its bytes counted from the file's first."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


def read_header(name: str, read: ReadBytes, size: int | None = None) -> tuple[Any, int]:
    """The header as it stands, unchecked, and where the tensors' bytes begin.

    Args:
        name: The file, for messages.
        read: Reads part of it.
        size: Bytes of the file, where known: no more is asked for.

    Raises:
        ValueError: If it does not begin like a safetensors file.
    """
    beginning = read(0, HEADER if size is None else min(HEADER, size))
    length = int.from_bytes(beginning[:8], "little")
    if not 2 <= length <= (_MAX_HEADER if size is None else min(_MAX_HEADER, size - 8)):
        raise ValueError(f"{name} is no safetensors file")
    header = beginning[8 : 8 + length]
    if len(header) < length:
        header += read(8 + len(header), 8 + length)
    try:
        return json.loads(header), 8 + length
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the header of {name} cannot be read: {error}") from error


def places(name: str, size: int, read: ReadBytes) -> dict[str, Place]:
    """Where every tensor of a file lies.

    As in the library, the tensors must fill the file: no gap, no overlap, no byte left over, and each as long as its
    dtype and shape say. So a wrong digit in the header is found, though no hash of the header is known.

    Args:
        name: The file, for messages.
        size: Bytes of the file.
        read: Reads part of it.

    Raises:
        ValueError: If the header is not sound.
    """
    header, at = read_header(name, read, size)
    if not isinstance(header, dict):
        raise ValueError(f"the header of {name} is no table of tensors")
    header.pop(_METADATA, None)
    found = {str(tensor): _place(name, tensor, entry, at) for tensor, entry in header.items()}
    for tensor, place in sorted(found.items(), key=lambda item: item[1].start):
        if place.start != at:
            raise ValueError(f"{name}: {tensor} begins at byte {place.start}, where the one before it ends at {at}")
        at = place.stop
    if at != size:
        raise ValueError(f"the tensors of {name} end at byte {at}, the file at {size}")
    return found


def _place(name: str, tensor: str, entry: Any, first: int) -> Place:
    try:
        dtype, shape, (start, stop) = str(entry["dtype"]), tuple(entry["shape"]), entry["data_offsets"]
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{name}: the header says of {tensor} no dtype, shape and offsets") from error
    numbers = (*shape, start, stop)
    if dtype not in _BYTES or not all(type(n) is int and n >= 0 for n in numbers):
        raise ValueError(f"{name}: {tensor} is {dtype} of shape {list(shape)} at {start} to {stop}")
    if stop - start != _BYTES[dtype] * math.prod(shape):
        raise ValueError(f"{name}: {tensor} is {dtype} of shape {list(shape)}, and has {stop - start} bytes")
    return Place(dtype, shape, first + start, first + stop)


def span_of(found: Mapping[str, Place]) -> tuple[int, int]:
    """The shortest span of a file that covers some of its tensors; empty where there are none."""
    return min((p.start for p in found.values()), default=0), max((p.stop for p in found.values()), default=0)
