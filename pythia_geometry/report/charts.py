"""Charts for papers: a frame in, an Altair chart out.

`frame` is what `points.points` gives, already narrowed to what shall be seen; `drawing.save` or a notebook renders the
chart. The page draws by the same marks, from `marks.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from pythia_geometry.measures import LOG
from pythia_geometry.report.line_ends import ROOM, end_names, line_ends
from pythia_geometry.report.marks import LEGEND, cells, lines, strip, value_scale
from pythia_geometry.report.points import scale_of, unit_of
from pythia_geometry.report.style import (
    INK,
    MAX_LINES,
    PALETTE,
    SHAPES,
    WIDTHS,
    Width,
    printed,
    step_axis,
    step_ticks,
)  # fmt: skip

COLUMN = WIDTHS["column"]


def curves(frame: pd.DataFrame, width: Width = COLUMN, by: str = "task") -> Any:
    """A panel for each measure or metric, a line for each task (or `by`), of one run or of several."""
    shown = first_lines(frame, by)
    names = list(dict.fromkeys(shown[by]))
    panels = [
        _panel(shown[(shown["what"] == what) & (shown["site"] == site)], by, names, _title(what, site), width)
        for what, site in dict.fromkeys(zip(shown["what"], shown["site"], strict=True))
    ]
    return printed(alt.vconcat(*panels, spacing=8), width)


def seeds(frame: pd.DataFrame, width: Width = COLUMN) -> Any:
    """As `curves`, a colour for each model, its seeds as thin lines within a band from the least to the greatest."""
    several = frame["task"].nunique() > 1
    names = [f"{m}, {t}" if several else m for m, t in zip(frame["model"], frame["task"], strict=True)]
    return curves(frame.assign(name=names), width, "name")


def layers(frame: pd.DataFrame, width: Width = COLUMN) -> Any:
    """Layer by step, a panel for each measure, run and task; colour over the range of the panel's own data."""
    return _maps(frame, width)


def heads(frame: pd.DataFrame, width: Width = COLUMN) -> Any:
    """Head by step, a panel for each measure, run and task; below it, step for step, what of the task has one number.

    Args:
        frame: Points of heads; and of sites that are no head (the sum over heads, accuracy, RankMe), drawn as strips.
        width: As printed: on a page panels stand two by two.
    """
    is_head = frame["site"].str.contains(" head ")
    per_row = 1 if width.points < WIDTHS["page"].points else 2
    inside = width.points // per_row - 90
    panels = []
    for (what, run, task), part in frame[is_head].sort_values(["depth", "step"]).groupby(["what", "run", "task"]):
        rest = frame[~is_head & (frame["run"] == run) & (frame["task"] == task) & ~_is_sum_of_another(frame, str(what))]
        steps = sorted(part["step"].unique())
        beside = [
            strip(records(rows, ["step", "value"]), _strip_title(str(name), str(site)), steps).properties(
                width=inside, height=26
            )
            for (name, site), rows in rest.dropna(subset=["value"]).groupby(["what", "site"], sort=False)
        ]
        title = alt.TitleParams(f"{task}, {run}", fontSize=width.text, anchor="start")
        map_of_heads = _map(part, str(what)).properties(
            width=inside, height=max(60, min(9 * part["site"].nunique(), 300))
        )
        panels.append(alt.vconcat(map_of_heads, *beside, spacing=3, title=title).resolve_scale(color="independent"))
    return printed(alt.concat(*panels, columns=per_row, spacing=10).resolve_scale(color="independent"), width)


def _is_sum_of_another(frame: pd.DataFrame, what: str) -> pd.Series:
    """Rows of the model's sum of another measure of heads than this one."""
    return (frame["site"] == "model") & (frame["what"] != what)


def _strip_title(what: str, site: str) -> list[str]:
    return [what, {"model": "all heads", "answers": ""}.get(site, site.replace("_", " "))]


def floors(summary: pd.DataFrame, width: Width = COLUMN) -> Any:
    """Where RankMe starts and how deep it falls: a row for each run and task, start hollow, floor filled.

    Args:
        summary: From `analysis.events.summary.summarise`.
        width: As printed.
    """
    rows = summary.dropna(subset=["floor"])
    several = rows[["model", "seed"]].drop_duplicates().shape[0] > 1
    name = [f"{r.model} {r.seed}, {r.task}" if several else str(r.task) for r in rows.itertuples()]
    base = alt.Chart(records(rows.assign(name=name), ["name", "start", "floor", "floor_step"]))
    x = alt.X(
        "floor:Q", title="RankMe, log axis: ○ first step, ● floor", scale=alt.Scale(type="log", nice=False, padding=8)
    )
    y = alt.Y("name:N", title=None, sort=None)
    chart = alt.layer(
        base.mark_rule(color=INK).encode(x=x, x2="start:Q", y=y),
        base.mark_point(filled=True, color=PALETTE[0], size=25, opacity=1).encode(x=x, y=y),
        base.mark_point(filled=False, color=PALETTE[1], size=25, opacity=1).encode(x="start:Q", y=y),
    ).properties(width=width.points - 95, height=max(20, 10 * len(set(name))))
    return printed(chart, width)


def order(collapses: pd.DataFrame, width: Width = COLUMN) -> Any:
    """When half of each layer's fall is done: a dot a task and run, layers from the input (bottom) to the output.

    Args:
        collapses: From `analysis.events.collapse.collapses`, one measure and phase; layers that collapse.
        width: As printed.
    """
    rows = collapses.sort_values("layer_index", ascending=False)
    base = alt.Chart(records(rows, ["layer", "halfway", "task", "model"]))
    y = alt.Y("layer:N", sort=list(dict.fromkeys(rows["layer"])), title=None)
    x = alt.X("halfway:Q", title="step at which half of the fall is done", scale=alt.Scale(zero=False))
    dots = base.mark_point(size=18, opacity=0.6, filled=True).encode(
        x=x,
        y=y,
        color=_by("model", list(dict.fromkeys(rows["model"]))),
        shape=_shape(list(dict.fromkeys(rows["model"]))),
    )
    middle = base.mark_tick(color=INK, thickness=2, size=14).encode(x="median(halfway):Q", y=y)
    return printed(alt.layer(dots, middle).properties(width=width.points - 70, height=alt.Step(18)), width)


def first_lines(frame: pd.DataFrame, by: str = "task") -> pd.DataFrame:
    """The rows of the first lines, as many as can be told apart."""
    return frame[frame[by].isin(list(dict.fromkeys(frame[by]))[:MAX_LINES])]


def records(frame: pd.DataFrame, columns: Sequence[str]) -> alt.Data:
    """Plain records: Altair's own pandas path refuses pandas' string type."""
    tidy = frame[list(columns)].astype(object).where(frame[list(columns)].notna(), None)
    return alt.Data(values=tidy.to_dict(orient="records"))


def _panel(rows: pd.DataFrame, by: str, names: Sequence[str], title: str, width: Width) -> Any:
    log = bool(len(rows)) and scale_of(str(rows["what"].iloc[0])) == LOG
    rows = rows[rows["value"].notna()]
    rows = rows.assign(name=rows[by], low=rows["value"] - rows["error"], high=rows["value"] + rows["error"])
    if log and len(rows):
        rows = rows[rows["value"] > 0]
        rows = rows.assign(low=rows["low"].clip(lower=float(rows["value"].min()) / 2))
    last = float(rows["step"].max()) if len(rows) else 1.0
    data = records(rows, ["run", "name", "step", "value", "low", "high", "n", "chance", "reason"])
    several = rows.groupby("name")["run"].nunique().max() > 1 if len(rows) else False
    kind, steps, height = LOG if log else "linear", (step_ticks(last), last), round(width.points * 0.36)
    chart = lines(data, (title, kind), steps, names, bool(several))
    if len(rows) and not several:  # seeds end at several places: theirs is the legend
        y = alt.Y("value:Q", title=title, scale=value_scale(kind, nice=False))
        color = alt.Color("name:N", title=None, sort=None, legend=LEGEND, scale=alt.Scale(domain=names, range=PALETTE))
        chart = alt.layer(chart, end_names(line_ends(rows, height, log), step_axis(*steps), y, color))
    return chart.properties(width=width.points - 48 - ROOM, height=height)


def _maps(frame: pd.DataFrame, width: Width) -> Any:
    rows = frame.sort_values(["depth", "step"], kind="stable")
    panels = []
    for (what, run, task), part in rows.groupby(["what", "run", "task"], sort=False):
        sites = part["site"].nunique()
        panels.append(
            _map(part, str(what)).properties(
                width=width.points - 75, height=max(60, min(9 * sites, 300)),
                title=alt.TitleParams(f"{task}, {run}", fontSize=width.text, anchor="start"),
            )
        )  # fmt: skip
    return printed(alt.vconcat(*panels, spacing=8).resolve_scale(color="independent"), width)


def _map(part: pd.DataFrame, what: str) -> Any:
    data = records(part.dropna(subset=["value"]), ["step", "site", "depth", "value", "error", "n", "reason"])
    return cells(data, (unit_of(what), scale_of(what)))


def _title(what: str, site: str) -> str:
    return unit_of(what) if site == "answers" else f"{unit_of(what)}, {site}"


def _by(field: str, names: Sequence[str]) -> alt.Color:
    return alt.Color(f"{field}:N", title=None, scale=alt.Scale(domain=list(names), range=PALETTE))


def _shape(names: Sequence[str]) -> alt.Shape:
    return alt.Shape("model:N", title=None, scale=alt.Scale(domain=list(names), range=SHAPES))
