"""The primary test as statistics.md A.8 prints it, one run of the loop at a time."""

from __future__ import annotations

from itertools import permutations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
K = 20


def slow_tml(
    models: list[tuple[Array, Array, Array]], seed: int, n_boot: int = 1000
) -> tuple[float, float, float, float]:
    """(p_spec, lag, lower, upper) for models (x, geometry, behaviour) with up to seven tasks."""
    grid = np.arange(0, 5.16, 0.1)
    tasks = len(models[0][1])
    products = np.zeros((tasks, tasks, 2 * K + 1))
    for x, geometry, behaviour in models:
        g = standardised(np.array([after_floor(np.interp(grid, x, y)) for y in geometry]))
        b = standardised(np.array([np.diff(np.interp(grid, x, a)) for a in behaviour]))
        for u in range(tasks):
            for t in range(tasks):
                for lag in range(-K, K + 1):
                    pairs = [(j, j + lag) for j in range(g.shape[1]) if 0 <= j + lag < g.shape[1]]
                    products[u, t, lag + K] += sum(g[u, i] * b[t, j] for i, j in pairs)
    statistic = [max(sum(products[order[t], t] for t in range(tasks))) for order in permutations(range(tasks))]
    p = float(np.mean(np.array(statistic) >= statistic[0] - 1e-12))
    own = np.array([products[t, t] for t in range(tasks)])
    drawn = np.random.default_rng(seed).multinomial(tasks, np.ones(tasks) / tasks, n_boot)
    lags = [refined(row @ own) for row in drawn]
    return p, refined(own.sum(0)), float(np.quantile(lags, 0.05)), float(np.quantile(lags, 0.95))


def after_floor(curve: Array) -> Array:
    differences = np.diff(curve)
    differences[: curve.argmin()] = 0
    return differences


def standardised(differences: Array) -> Array:
    padded = np.pad(differences, ((0, 0), (1, 1)), "edge")
    rows = (padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]) / 3
    rows = rows / (np.abs(rows).sum(1, keepdims=True) + 1e-9)
    rows = rows - rows.mean(0)
    return np.asarray(rows / (np.sqrt((rows**2).sum(1, keepdims=True)) + 1e-12))


def refined(profile: Array) -> float:
    at = int(profile.argmax())
    if at in (0, len(profile) - 1):
        return 0.1 * (at - K)
    left, top, right = profile[at - 1 : at + 2]
    return float(0.1 * (at - K + 0.5 * (left - right) / (left - 2 * top + right)))
