"""What the user sees of a bisection: before, what it will take and assume; after, the intervals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.console import Console

from pythia_geometry.runs.search import ASSUMPTION, fewest
from pythia_geometry.screens.table import show_table

if TYPE_CHECKING:
    from pythia_geometry.runs.plan import Plan


def show_search(console: Console, plan: Plan) -> None:
    """How many checkpoints a bisection takes, and what it takes for granted."""
    for run in plan.runs:
        n = len(run.usable)
        console.print(
            f"{run.name}: --search bisect walks about {fewest(n)} of {n} checkpoints for one task, and more where "
            "tasks emerge at different times.",
            highlight=False, markup=False,
        )  # fmt: skip
    console.print(ASSUMPTION, style="dim", highlight=False, markup=False)


def show_onsets(console: Console, found: pd.DataFrame, out: Path) -> None:
    """The interval of every run and task, and what was assumed."""
    columns = ["run", "task", "after step", "by step", "first", "halfway", "last", "remark"]
    rows = []
    for row in found.to_dict("records"):
        levels = [_level(row[name]) for name in ("first", "half", "last")]
        name, task = f"{row['model']} seed {row['seed']}", f"{row['probe']}/{row['task']}"
        rows.append([name, task, _step(row["after"]), _step(row["by"]), *levels, str(row["reason"])])
    show_table(console, columns, rows, "Halfway by the probability of the right answer", left=["run", "task", "remark"])
    for run, few in found.groupby(["model", "seed"], sort=False):
        walked, steps = few["walked"].iloc[0], few["steps"].iloc[0]
        console.print(f"{run[0]} seed {run[1]}: {walked} of {steps} checkpoints walked", highlight=False, markup=False)
    console.print(ASSUMPTION, style="dim", highlight=False, markup=False)
    console.print(f"kept  {out}/results/: onsets-bisect.parquet; tables in {out}", highlight=False, markup=False)


def _step(value: Any) -> str:
    return "–" if pd.isna(value) else f"{int(value):,}"


def _level(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.3f}"
