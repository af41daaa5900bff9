"""Layer order: known orders, one vote a run, and how wrong the usual p is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pythia_geometry.analysis.events.layer_order import depth_order, layer_order, permutation_p, sign_test, votes
from pythia_geometry.errors import PythiaGeometryError

DEPTH = np.arange(1.0, 5.0)


def rows(model: str, halfways: dict[str, list[float]], label: str = "collapses", seed: int = 0) -> pd.DataFrame:
    made = [
        (model, seed, task, f"resid_{i + 1}", i + 1, "rankme", "transient", label, half)
        for task, times in halfways.items()
        for i, half in enumerate(times)
    ]
    extra = [
        (model, seed, t, layer, 9, "rankme", "transient", label, 0.0)
        for t in halfways
        for layer in ("embed", "final_norm")
    ]
    columns = ["model", "seed", "task", "layer", "layer_index", "measure", "phase", "label", "halfway"]
    return pd.DataFrame(made + extra, columns=columns)


def test_tau_of_known_orders() -> None:
    assert depth_order(np.array([9, 8, 7, 6.0]), DEPTH) == -1
    assert depth_order(np.array([6, 7, 8, 9.0]), DEPTH) == 1
    assert np.isnan(depth_order(np.array([6.0]), np.array([1.0])))
    assert permutation_p(np.array([9, 8, 7, 6.0]), DEPTH) == pytest.approx(1 / 24)
    assert permutation_p(np.array([6, 7, 8, 9.0]), DEPTH) == 1


def test_blocks_alone_are_read_and_tasks_give_one_vote() -> None:
    down, up = [10.0, 9, 8, 7], [7.0, 8, 9, 10]
    table = pd.concat(
        [
            rows("a", {"x": down, "y": down, "z": up}),
            rows("b", {"x": up, "y": up}),
            rows("c", {"x": down}, "does not collapse"),
        ]
    )
    order = layer_order(table)
    assert order.set_index(["model", "task"])["tau"].to_dict() == pytest.approx(
        {("a", "x"): -1, ("a", "y"): -1, ("a", "z"): 1, ("b", "x"): 1, ("b", "y"): 1, ("c", "x"): np.nan}, nan_ok=True
    )
    assert order.loc[order["model"] == "a", "first"].tolist() == ["resid_4", "resid_4", "resid_1"]
    voted = votes(order).set_index("model")
    assert voted["vote"].to_dict() == {"a": "top-down", "b": "bottom-up", "c": "untestable"}
    assert voted.loc["a", ["n_tasks", "n_top_down"]].tolist() == [3, 2]
    assert sign_test(votes(order)) == (1, 2, pytest.approx(0.75))


def test_five_runs_cannot_give_less_than_1_in_32() -> None:
    table = pd.concat([rows("a", {"x": [3.0, 2, 1]}, seed=seed) for seed in range(5)])
    assert sign_test(votes(layer_order(table))) == (5, 5, pytest.approx(1 / 32))
    nobody = votes(layer_order(rows("a", {"x": [1.0]})))
    assert sign_test(nobody)[:2] == (0, 0) and np.isnan(sign_test(nobody)[2])


def test_the_permutation_p_is_anti_conservative_as_its_page_says() -> None:
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(300):
        walk = np.cumsum(rng.standard_normal(6))  # neighbouring layers move together
        wrong += permutation_p(walk, np.arange(6.0)) <= 0.05
    assert wrong / 300 > 0.15


def test_one_measure_at_a_time() -> None:
    both = pd.concat([rows("a", {"x": [2.0, 1]}), rows("a", {"x": [2.0, 1]}).assign(measure="rankme_centred")])
    with pytest.raises(PythiaGeometryError, match="one measure"):
        layer_order(both)
