"""Head scores as their definitions read: loops over queries and keys of one head's pattern."""

from __future__ import annotations

import math
from collections.abc import Sequence

Pattern = Sequence[Sequence[float]]


def previous_token(p: Pattern, ids: Sequence[int]) -> float:
    return _mean([p[q][q - 1] for q in range(1, len(ids))])


def duplicate_token(p: Pattern, ids: Sequence[int]) -> float:
    found = []
    for q in range(len(ids)):
        keys = [k for k in range(q) if ids[k] == ids[q]]
        if keys:
            found.append(sum(p[q][k] for k in keys))
    return _mean(found)


def induction(p: Pattern, ids: Sequence[int]) -> float:
    found = []
    for q in range(len(ids)):
        keys = [k for k in range(1, q + 1) if k - 1 < q and ids[k - 1] == ids[q]]
        if keys:
            found.append(sum(p[q][k] for k in keys))
    return _mean(found)


def sink(p: Pattern, ids: Sequence[int]) -> float:
    return _mean([p[q][0] for q in range(1, len(ids))])


def entropy(p: Pattern, ids: Sequence[int]) -> float:
    return _mean([_entropy(p[q]) for q in range(1, len(ids))])


def entropy_share(p: Pattern, ids: Sequence[int]) -> float:
    return _mean([_entropy(p[q]) / math.log(q + 1) for q in range(1, len(ids))])


def _entropy(row: Sequence[float]) -> float:
    return -sum(x * math.log(x) for x in row if x > 0)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
