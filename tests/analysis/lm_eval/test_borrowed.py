"""Behaviour of a walk with the curves of others in it."""

from __future__ import annotations

import pandas as pd
import pytest

from pythia_geometry.analysis.curves.behaviour import tidy
from pythia_geometry.analysis.lm_eval.borrowed import borrow
from pythia_geometry.errors import PythiaGeometryError

TASKS = {"lm-eval:arc_easy/arc_easy": {"shots": 0}, "lm-eval:sciq@5-shot/sciq": {"shots": 5}}


def rows(probe: str, task: str, metric: str = "accuracy", value: float = 0.3, **more: object) -> pd.DataFrame:
    about = {"model": "pythia-160m", "seed": 0, "probe": probe, "task": task, "metric": metric, "error": 0.01}
    return pd.DataFrame({**about, "step": [1, 8, 64], "value": value, "n": 100, "chance": 0.25, **more})


def walked() -> pd.DataFrame:
    parts = [
        rows("lm-eval:arc_easy", "arc_easy"),
        rows("lm-eval:arc_easy:shuffled", "arc_easy"),
        rows("lm-eval:arc_easy", "arc_easy", "log_prob", -9.0, chance=float("nan")),
        rows("lm-eval:sciq@5-shot", "sciq"),
        rows("core", "arc_easy"),
    ]
    return tidy(pd.concat(parts), "walk")


def test_only_the_same_curve_is_replaced() -> None:
    theirs = tidy(
        pd.concat([rows("lm-eval-v0/0-shot", "arc_easy", value=0.5), rows("lm-eval-v0/0-shot", "sciq", value=0.6)]),
        "published",
    )
    theirs["step"] = theirs["step"] + 1
    found = borrow(walked(), TASKS, theirs)
    assert list(found.columns) == list(walked().columns) and (found.dtypes == walked().dtypes).all()
    new = found[found["source"] == "published"]
    assert set(new["probe"]) == {"lm-eval:arc_easy"} and set(new["value"]) == {0.5} and list(new["step"]) == [2, 9, 65]
    assert set(new["chance"]) == {0.25}
    kept = found[found["source"] != "published"]
    assert len(kept) == len(walked()) - 3
    assert len(kept[(kept["probe"] == "lm-eval:arc_easy") & (kept["metric"] == "accuracy")]) == 0
    assert set(found.loc[found["task"] == "sciq", "value"]) == {0.3}, "other shots are another curve"


def test_where_nothing_is_in_both_it_is_said() -> None:
    theirs = tidy(rows("lm-eval-v0/5-shot", "arc_easy"), "published")
    with pytest.raises(PythiaGeometryError, match="Nothing is in both.*Here: .*arc_easy 0-shot.*There: .*5-shot"):
        borrow(walked(), TASKS, theirs)
    with pytest.raises(PythiaGeometryError, match="Here: none"):
        borrow(walked(), {}, theirs)
