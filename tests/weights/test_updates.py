"""Planted moves between checkpoints."""

from __future__ import annotations

import numpy as np
import pytest

from pythia_geometry.weights.updates import update_measures

RNG = np.random.default_rng(0)


def _checkpoint(dtype: type = np.float32) -> dict[str, np.ndarray]:
    return {"a": RNG.normal(size=(400, 500)).astype(dtype), "b": RNG.normal(size=7).astype(dtype)}


def test_size_and_direction_are_those_of_all_weights_as_one_vector() -> None:
    before, now, after = (_checkpoint() for _ in range(3))
    found = update_measures(before, now, after)
    flat = [np.concatenate([c["a"].ravel(), c["b"]]).astype(np.float64) for c in (before, now, after)]
    move, following = flat[1] - flat[0], flat[2] - flat[1]
    assert found["update_size"].value == pytest.approx(np.linalg.norm(move), rel=1e-12)
    assert found["update_relative"].value == pytest.approx(np.linalg.norm(move) / np.linalg.norm(flat[0]), rel=1e-12)
    cosine = move @ following / np.linalg.norm(move) / np.linalg.norm(following)
    assert found["update_cosine"].value == pytest.approx(cosine, rel=1e-12)
    assert found["update_size"].n == 200_007


def test_a_straight_way_and_its_way_back() -> None:
    before = _checkpoint(np.float16)
    now = {name: (w + np.float16(1)).astype(np.float16) for name, w in before.items()}
    back = update_measures(before, now, before)
    assert back["update_cosine"].value == pytest.approx(-1)
    straight = update_measures({"w": [0.0, 0.0]}, {"w": [1.0, 2.0]}, {"w": [2.0, 4.0]})
    assert straight["update_cosine"].value == pytest.approx(1)
    assert "all weights are zero" in straight["update_relative"].reason


def test_what_has_no_direction_or_does_not_fit() -> None:
    w = _checkpoint()
    still = update_measures(w, w, _checkpoint())
    assert still["update_size"].value == 0 and "same weights" in still["update_cosine"].reason
    assert "update_cosine" not in update_measures(w, w)
    broken = update_measures({"w": [1.0]}, {"w": [np.nan]})
    assert "non-finite" in broken["update_size"].reason
    with pytest.raises(ValueError, match="differ in b"):
        update_measures(w, {"a": w["a"]})
    with pytest.raises(ValueError, match="several shapes"):
        update_measures({"w": [1.0]}, {"w": [1.0, 2.0]})
