"""How far and in which direction the weights moved between checkpoints.

Arguments map names to arrays of the same shapes; one tensor at a time is read in float64, so a checkpoint may be a
memory map. Nothing is sampled: an error of 0 means exact up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pythia_geometry.geometry.cloud import Estimate, unknown

Tensors = Mapping[str, ArrayLike]
_AT_ONCE = 1 << 17


def update_measures(before: Tensors, now: Tensors, after: Tensors | None = None) -> Mapping[str, Estimate]:
    """Size of the move to `now`, and its cosine with the next one where there is a third checkpoint.

    * `update_size`: ‖w − w′‖. Range 0 or more; the unit is that of a weight.
    * `update_relative`: ‖w − w′‖ / ‖w′‖. Range 0 or more; no unit.
    * `update_cosine`: cosine of w − w′ and w″ − w. Range −1 … 1; no unit. A random walk gives 0, a straight way 1.

    How it misleads: all three depend on how far the checkpoints are apart and on the learning rate: compare
    equal spacings. Noise of the optimiser makes a cosine near 0 of a way that is straight on the whole, and the cosine
    of moves that share a checkpoint is pulled down by that checkpoint's own noise. Weights that a normed layer
    makes free of scale move without effect.

    Args:
        before: The earlier checkpoint.
        now: The later one.
        after: The one after that.

    Raises:
        ValueError: If names or shapes differ.

    Example:
        >>> found = update_measures({"w": [3.0, 4.0]}, {"w": [3.0, 3.0]}, {"w": [3.0, 1.0]})
        >>> found["update_size"].value, found["update_relative"].value, found["update_cosine"].value
        (1.0, 0.2, 1.0)
    """
    sums = np.zeros(4)  # ‖move‖², ‖before‖², move · next, ‖next‖²
    count = 0
    for old, new, later in _together(before, now, after):
        move = new - old
        sums[:2] += move @ move, old @ old
        if later is not None:
            following = later - new
            sums[2:] += move @ following, following @ following
        count += len(old)
    moved, start, shared, following_moved = sums
    if not np.isfinite(sums).all():
        return {name: unknown(count, float("inf"), "non-finite weights") for name in _names(after)}
    size = float(np.sqrt(moved))
    inf = float("inf")
    found = {"update_size": Estimate(size, 0.0, inf, count)}
    found["update_relative"] = (
        Estimate(float(size / np.sqrt(start)), 0.0, inf, count)
        if start
        else unknown(count, inf, "all weights are zero")
    )
    if after is not None:
        product = moved * following_moved
        found["update_cosine"] = (
            Estimate(float(np.clip(shared / np.sqrt(product), -1, 1)), 0.0, 1.0, count)
            if product
            else unknown(count, 1.0, "two of the checkpoints have the same weights")
        )
    return found


def _names(after: Tensors | None) -> list[str]:
    return ["update_size", "update_relative", *(["update_cosine"] if after is not None else [])]


def _together(
    before: Tensors, now: Tensors, after: Tensors | None
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64] | None]]:
    """The same stretch of a tensor of all checkpoints, flat, short enough for a processor's cache."""
    for tensors in (now, *(() if after is None else (after,))):
        if set(tensors) != set(before):
            raise ValueError(f"checkpoints differ in {sorted(set(tensors) ^ set(before))[0]}")
    for name in before:
        shapes = {np.shape(t[name]) for t in (before, now, after) if t is not None}
        if len(shapes) != 1:
            raise ValueError(f"{name} has several shapes: {sorted(shapes)}")
        arrays = [np.asarray(t[name]).ravel() for t in (before, now, after) if t is not None]
        for start in range(0, len(arrays[0]), _AT_ONCE):
            # By way of float32, which holds every narrower number: NumPy widens float16 to it faster.
            parts = [a[start : start + _AT_ONCE] for a in arrays]
            wide = [(p if p.dtype == np.float64 else p.astype(np.float32)).astype(np.float64) for p in parts]
            yield wide[0], wide[1], wide[2] if len(wide) == 3 else None
