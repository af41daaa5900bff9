"""One run under two seeds would count twice."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pythia_geometry.errors import PythiaGeometryError


def refuse_copies(runs: Iterable[tuple[str, np.ndarray]], what: str) -> None:
    """Refuses runs of which two hold the same.

    Args:
        runs: The name of each and its numbers, in one order for all; one without any number is nobody's copy.
        what: What is compared, in the message.

    Raises:
        PythiaGeometryError: Naming both.
    """
    seen: dict[bytes, str] = {}
    for name, numbers in runs:
        key = numbers.tobytes()
        if key in seen and np.isfinite(numbers).any():
            raise PythiaGeometryError(
                f"{seen[key]} and {name} hold the same {what} at every step: one run under two seeds. Leave one out"
            )
        seen[key] = name
