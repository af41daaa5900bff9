"""Charts of the page without choosers, of kept results and of summary.csv; a later result adds its chart by a line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from pythia_geometry.analysis.precursor.task_matched_lag import DELTA
from pythia_geometry.report import charts, result_charts
from pythia_geometry.report.page.inputs import Source, frames, summaries, summary_of
from pythia_geometry.report.style import WIDTHS, Width
from pythia_geometry.suites.checkpoint import run_name

Draw = Callable[[pd.DataFrame, Width], Any]


def fixed_charts(sources: Sequence[Source]) -> list[dict[str, Any]]:
    """Section, title and specification of each chart that has rows."""
    rows = frames(sources, "claims-rows")
    summary = summaries(sources)
    made: list[tuple[str, str, pd.DataFrame, Draw]] = [
        ("trust", "What the doctor says of each step", _verdicts(sources), result_charts.trust),
        ("precursors", "Task-matched lag with its 90 % interval: right of the dashed line geometry moves first, "
            "right of the dotted line by more than the smallest lag that counts",
            frames(sources, "precursors-legs"), _lag),
        ("precursors", "How often the usual rules call a lead; a placebo holds no geometry of the task",
            frames(sources, "precursors-rates"), result_charts.placebos),
        ("order", "Layer order: a dot a task, the bar at their mean",
            _of_claim(rows, "C3", "tau"), result_charts.votes),
        ("floors", "RankMe after the final norm: first step ○ and floor ●",
            summary[summary["floor"].notna()], charts.floors),
        ("floors", "Floor, and floor ÷ start, over scales", _of_claim(rows, "C2", "parameters"), result_charts.scales),
        ("benchmarks", "Benchmarks here against what was published", frames(sources, "against"), result_charts.against),
    ]  # fmt: skip
    return [
        {"id": section, "title": title, "spec": draw(frame, WIDTHS["page"]).to_dict()}
        for section, title, frame, draw in made
        if len(frame)
    ]


def shaded(sources: Sequence[Source]) -> list[dict[str, Any]]:
    """Intervals in which accuracy rose, from summary.csv."""
    found = []
    for source in sources:
        for row in summary_of(source).itertuples():
            ends = str(row.rose).split(" – ")
            if len(ends) == 2 and all(end.isdigit() for end in ends):
                run = source.label + run_name(str(row.model), int(str(row.seed)))
                about = {"run": run, "task": f"{row.probe}/{row.task}"}
                found.append(about | {"from": int(ends[0]), "to": int(ends[1]), "label": "accuracy rose"})
    return found


def _lag(legs: pd.DataFrame, width: Width) -> Any:
    return result_charts.lag(legs, width, DELTA)


def _verdicts(sources: Sequence[Source]) -> pd.DataFrame:
    """The doctor's verdicts; where it was not asked, what the walk itself says of each checkpoint."""
    said = frames(sources, "doctor")
    if len(said):
        return said
    rows = pd.concat([s.tables.checkpoints for s in sources], ignore_index=True)
    runs = [run_name(str(model), int(seed)) for model, seed in zip(rows["model"], rows["seed"], strict=True)]
    return pd.DataFrame({"run": runs, "step": rows["step"], "verdict": rows["status"]})


def _of_claim(rows: pd.DataFrame, claim: str, column: str) -> pd.DataFrame:
    if rows.empty or column not in rows:
        return pd.DataFrame()
    of_claim = rows[rows["claim"] == claim]
    return of_claim.assign(**{column: pd.to_numeric(of_claim[column], errors="coerce")}).dropna(subset=[column])
