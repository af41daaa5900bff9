"""Sizes as the user types them, and whether the largest checkpoint fits."""

from __future__ import annotations

import re

from pythia_geometry.errors import PythiaGeometryError

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kMGT]i?)B?|B)", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def parse_size(text: str) -> int:
    """Reads `20GB`, `500 MB`, `1.5T` (powers of 1000) or `8GiB` (powers of 1024) as bytes.

    Raises:
        PythiaGeometryError: If it is no size above 0.
    """
    match = _SIZE.fullmatch(text.strip())
    unit = (match[2] or "").lower() if match else ""
    size = int(float(match[1]) * (1024 if unit.endswith("i") else 1000) ** _POWERS[unit[:1]]) if match else 0
    if size == 0:
        raise PythiaGeometryError(f"--disk does not understand {text!r}. Expected a size such as 20GB or 500MB")
    return size


def too_little(budget: int, label: str, needed: int, shares: int = 1) -> PythiaGeometryError:
    """What to say where one checkpoint alone is larger than the budget, or than each of its equal shares."""
    to_each = f" to each of {shares} devices" if shares > 1 else ""
    return PythiaGeometryError(
        f"--disk allows {budget / 1e6:,.1f} MB of downloads{to_each}, and {label} alone has {needed / 1e6:,.1f} MB. "
        f"Type --disk {shares * -(-needed // 10**6)}MB or more; twice that lets the next one download meanwhile"
    )
