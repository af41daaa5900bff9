"""Slopes that were put in come out; what cannot be told is not told."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pythia_geometry.analysis.claims.scale import _on_sizes
from pythia_geometry.analysis.claims.scale_invariance import scaling
from pythia_geometry.errors import PythiaGeometryError

SIZES = (1e5, 4e5, 3.2e6)


def made(slope: float, noise: float, n_tasks: int = 10, sizes: tuple[float, ...] = SIZES) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    rows = [
        (size, f"m{size:g}", seed, f"t{t}", np.exp(0.3 * t + slope * np.log10(size) + noise * rng.standard_normal()))
        for size in sizes
        for seed in range(2)
        for t in range(n_tasks)
    ]
    return pd.DataFrame(rows, columns=["parameters", "model", "seed", "task", "value"])


@pytest.mark.parametrize(
    ("slope", "noise", "verdict"), [(0.0, 0.05, "invariant"), (0.5, 0.05, "depends on size"), (0.1, 0.3, "undecided")]
)
def test_known_slopes(slope: float, noise: float, verdict: str) -> None:
    found = scaling(made(slope, noise))
    assert found.verdict == verdict
    assert found.low <= found.slope <= found.high
    assert found.slope == pytest.approx(slope, abs=4 * noise / np.sqrt(20))
    assert (found.n_sizes, found.n_tasks, found.n_runs) == (3, 10, 6)


def test_the_task_share_is_one_where_size_does_nothing() -> None:
    assert scaling(made(0.0, 0.0)).task_share == pytest.approx(1)
    assert scaling(made(2.0, 0.0)).task_share < 0.6


def test_one_size_or_two_tasks_are_untestable() -> None:
    assert scaling(made(0.0, 0.1, sizes=(1e5,))).verdict == "untestable"
    assert scaling(made(0.0, 0.1, n_tasks=2)).verdict == "untestable"


def test_a_task_that_a_size_lacks_is_left_out() -> None:
    rows = made(0.0, 0.05)
    rows = rows[~((rows["task"] == "t3") & (rows["parameters"] == SIZES[0]))]
    assert scaling(rows).n_tasks == 9


def test_a_run_that_lacks_a_task_counts_with_the_others() -> None:
    """Runs of a size far apart, each without another task: the interval over runs is as wide as of whole runs."""
    rng = np.random.default_rng(2)
    rows = made(0.0, 0.02)
    of_run = {run: rng.normal(0, 0.3) for run, _ in rows.groupby(["model", "seed"])}
    rows["value"] *= np.exp([of_run[run] for run in zip(rows["model"], rows["seed"], strict=True)])
    lacks = {run: f"t{i}" for i, run in enumerate(of_run)}
    holed = rows[[lacks[m, s] != t for m, s, t in zip(rows["model"], rows["seed"], rows["task"], strict=True)]]
    whole, found = scaling(rows), scaling(holed)
    assert whole.n_runs == found.n_runs == 6
    assert found.high - found.low == pytest.approx(whole.high - whole.low, rel=0.15)
    assert found.verdict == whole.verdict == "undecided"


def test_bad_tables_are_named() -> None:
    with pytest.raises(PythiaGeometryError, match=r"m100000, seed 0, t0 has two or more"):
        scaling(pd.concat([made(0, 0.1), made(0, 0.1)[:1]]))
    with pytest.raises(PythiaGeometryError, match="'seed' is missing"):
        scaling(made(0, 0.1).drop(columns="seed"))
    with pytest.raises(PythiaGeometryError, match="positive"):
        scaling(made(0, 0.1).assign(value=0.0))


def test_rates_are_of_the_sizes_at_hand() -> None:
    """Two sizes .6 decade apart can hardly show a flat slope; three decades can."""
    near, wide = _on_sizes(np.repeat([5.0, 5.6], 5)), _on_sizes(np.repeat([5.0, 6.0, 7.0, 8.0], 10))
    assert near.startswith("on these 10 runs' sizes: null: ")
    assert "replicates" not in near.partition("the paper's effect: ")[2].split(",")[0]
    assert wide.partition("the paper's effect: ")[2].startswith("replicates")
