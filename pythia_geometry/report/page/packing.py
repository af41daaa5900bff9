"""Numbers packed into a page: columns, rounded by a stated rule, compressed, as base64 text.

A number is held as an integer times a power of ten, so that the page shows exactly the rounded number: `decode.js`
divides or multiplies once, which is correctly rounded.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pythia_geometry.report.points import SERIES

MANY = 500_000
"""Rows from which a page holds 4 in place of 5 significant digits."""
ERROR_DIGITS = 2
MISSING = 127
"""The power of ten of a number that is not there."""
_KINDS: tuple[tuple[str, type[np.integer[Any]]], ...] = (("u1", np.uint8), ("u2", np.uint16), ("i4", np.int32))

Packed = dict[str, Any]


def pack(points: pd.DataFrame) -> Packed:
    """A frame of `points.points` as the page reads it.

    Returns:
        `digits`: significant digits of values. `names`: for each field of `SERIES` and for reason, its texts. `series`:
        by field the code of each curve, its depth, its first row and its count. `rows`: step, value, error, n, ceiling,
        chance and reason of each row, in the order of the curves.
    """
    ordered = points.sort_values(["run", "what", "task", "depth", "site", "step"], kind="stable", ignore_index=True)
    digits = 4 if len(ordered) > MANY else 5
    codes, names = {}, {}
    for field in [*SERIES, "reason", "model"]:
        codes[field], texts = pd.factorize(ordered[field].fillna(""))
        names[field] = [str(text) for text in texts]
    keys = np.stack([codes[field] for field in SERIES])
    starts = np.flatnonzero(np.r_[True, (np.diff(keys) != 0).any(axis=0)]) if len(ordered) else np.zeros(0, int)
    counts = np.diff(np.r_[starts, len(ordered)])
    of_series = {field: pack_integers(codes[field][starts]) for field in [*SERIES, "model"]}
    of_series |= {"start": pack_integers(starts), "count": pack_integers(counts)}
    of_series["depth"] = pack_decimals(ordered["depth"].to_numpy(float)[starts], 7)
    rows = {
        "step": pack_integers(ordered["step"].to_numpy()),
        "n": pack_integers(ordered["n"].fillna(0).to_numpy()),
        "reason": pack_integers(codes["reason"]),
        "value": pack_decimals(ordered["value"].to_numpy(float), digits),
        "error": pack_decimals(ordered["error"].to_numpy(float), ERROR_DIGITS),
        "ceiling": pack_decimals(ordered["ceiling"].to_numpy(float), digits),
        "chance": pack_decimals(ordered["chance"].to_numpy(float), digits),
    }
    return {"digits": digits, "names": names, "series": of_series, "rows": rows}


def pack_integers(values: NDArray[Any] | Sequence[int]) -> Packed:
    """Integers of 32 bits as the smallest kind that holds them, byte planes apart, compressed."""
    whole = np.asarray(values, dtype=np.int64)
    low, high = (int(whole.min()), int(whole.max())) if whole.size else (0, 0)
    for kind, dtype in _KINDS:
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            planes = (
                whole.astype(np.dtype(dtype).newbyteorder("<")).view(np.uint8).reshape(-1, np.dtype(dtype).itemsize)
            )
            return {
                "kind": kind,
                "count": int(whole.size),
                "data": pack_bytes(np.ascontiguousarray(planes.T).tobytes()),
            }
    raise OverflowError(f"{low} to {high} does not fit in 32 bits")


def pack_bytes(raw: bytes) -> str:
    """Bytes compressed, as base64 text. Digits of noise repeat nothing: their frequencies alone make less of them."""
    packed = []
    for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY):
        press = zlib.compressobj(6, strategy=strategy)
        packed.append(press.compress(raw) + press.flush())
    return base64.b64encode(min(packed, key=len)).decode()


def pack_decimals(values: NDArray[np.float64], digits: int) -> Packed:
    """Numbers rounded to significant digits: integers and powers of ten."""
    whole, tens = decimals(values, digits)
    return {"whole": pack_integers(whole), "tens": pack_integers(tens + 128)}


def decimals(values: NDArray[np.float64], digits: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """`whole` and `tens` with `whole` · 10^`tens` nearest to each number among those of so many digits."""
    is_number = np.isfinite(values) & (np.abs(values) > 1e-90) & (np.abs(values) < 1e90)
    safe = np.where(is_number, values, 1.0)
    tens = np.floor(np.log10(np.abs(safe))).astype(np.int64) - digits + 1
    up, down = np.power(10.0, np.maximum(tens, 0)), np.power(10.0, np.maximum(-tens, 0))
    exact = safe * down / up
    whole = np.rint(exact).astype(np.int64)
    for at in np.flatnonzero(np.abs(exact - np.floor(exact) - 0.5) < 1e-6):  # a product's own rounding decides no tie
        whole[at] = round(float(f"{safe[at]:.{digits - 1}e}") * down[at] / up[at])
    is_zero = np.isfinite(values) & (np.abs(values) <= 1e-90)
    return np.where(is_number, whole, 0), np.where(is_number, tens, np.where(is_zero, 0, MISSING))


def unpack_integers(packed: Packed) -> NDArray[np.int64]:
    """What the page decodes, in Python."""
    dtype = np.dtype(dict(_KINDS)[packed["kind"]]).newbyteorder("<")
    planes = np.frombuffer(zlib.decompress(base64.b64decode(packed["data"])), np.uint8)
    by_row = np.ascontiguousarray(planes.reshape(dtype.itemsize, packed["count"]).T)
    return by_row.view(dtype).ravel().astype(np.int64)


def unpack_decimals(packed: Packed) -> NDArray[np.float64]:
    """What the page decodes, in Python: NaN where there is no number."""
    whole, tens = unpack_integers(packed["whole"]), unpack_integers(packed["tens"]) - 128
    value = np.where(tens < 0, whole / 10.0 ** np.maximum(-tens, 0), whole * 10.0 ** np.clip(tens, 0, 90))
    return np.where(tens == MISSING, np.nan, value)
