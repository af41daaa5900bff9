"""Charts of what commands found and kept: verdicts by step, lags, placebos, layer order, scales, benchmarks.

As in `charts.py`: a frame in, which is a kept result, and an Altair chart out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from pythia_geometry.report.charts import COLUMN, records
from pythia_geometry.report.style import INK, PALETTE, SHAPES, SHORT, Width, printed

PLACEBOS = ("one global curve", "another task, same run", "another task, another run", "same task, another run")
"""Columns of `precursors-rates` in which a behaviour stands where geometry should be."""


def trust(steps: pd.DataFrame, width: Width = COLUMN) -> Any:
    """The doctor's verdict of each step: a row for each run and verdict, so that place says it and not colour alone.

    Args:
        steps: The result `doctor`, or rows of run, step and verdict.
        width: As printed.
    """
    several = steps["run"].nunique() > 1
    lanes = [f"{r.run}: {r.verdict}" if several else str(r.verdict) for r in steps.itertuples()]
    base = alt.Chart(records(steps.assign(lane=lanes), ["run", "step", "verdict", "lane"]))
    ticks = base.mark_tick(thickness=2, size=14).encode(
        x=_log_step("step", "training step, spaced by log(step + 1)"),
        y=alt.Y("lane:N", title=None, sort=None),
        color=_coded(alt.Color, "verdict", list(dict.fromkeys(steps["verdict"])), PALETTE, None),
        tooltip=["run:N", "step:Q", "verdict:N"],
    )
    return printed(ticks.properties(width=width.points - 60, height=18 * len(set(lanes))), width)


def lag(legs: pd.DataFrame, width: Width = COLUMN, least: float = 0.0) -> Any:
    """The task-matched lag of each leg with its 90 % interval; right of the dashed line geometry moves first.

    Args:
        legs: The result `precursors-legs`.
        width: As printed.
        least: The smallest lag that counts, in decades of steps; a dotted line.
    """
    name = [f"{r.model}, {r.measure}, {r.metric}" for r in legs.itertuples()]
    base = alt.Chart(records(legs.assign(name=name), ["name", "lag", "lower", "upper", "p_specific", "says"]))
    y = alt.Y("name:N", title=None, sort=None, axis=alt.Axis(labelLimit=width.points // 2))
    x = alt.X("lag:Q", title="lag in decades of steps; over 0: geometry first")
    rule = alt.Chart(alt.Data(values=[{"at": 0.0}])).mark_rule(strokeDash=[4, 3], color=INK).encode(x="at:Q")
    line = alt.Chart(alt.Data(values=[{"at": least}])).mark_rule(strokeDash=[1, 2], color=INK).encode(x="at:Q")
    said = ["name:N", "lag:Q", "lower:Q", "upper:Q", "p_specific:Q", "says:N"]
    drawn = alt.layer(
        rule, line,
        base.mark_rule(color=PALETTE[0], strokeWidth=1.5).encode(x="lower:Q", x2="upper:Q", y=y),
        base.mark_point(filled=True, size=30, color=PALETTE[0], opacity=1).encode(x=x, y=y, tooltip=said),
    )  # fmt: skip
    return printed(drawn.properties(width=width.points // 2 - 10, height=16 * len(set(name))), width)


def placebos(rates: pd.DataFrame, width: Width = COLUMN) -> Any:
    """How often each usual rule calls a lead: for a task's own geometry, for another's, and for no geometry at all.

    Args:
        rates: The result `precursors-rates`.
        width: As printed.
    """
    kinds = {"own": "own geometry", "controls": "other tasks' geometry"}
    kinds |= {name: f"placebo: {name}" for name in PLACEBOS if name in rates and rates[name].notna().any()}
    long = rates.melt(["model", "measure", "rule"], list(kinds), "kind", "share").dropna(subset=["share"])
    long["kind"] = long["kind"].map(kinds)
    several = rates[["model", "measure"]].drop_duplicates().shape[0] > 1
    long["name"] = [f"{r.rule} ({r.model}, {r.measure})" if several else str(r.rule) for r in long.itertuples()]
    names = list(kinds.values())
    dots = alt.Chart(records(long, ["name", "kind", "share"])).mark_point(size=35, opacity=1, strokeWidth=1.5)
    drawn = dots.encode(
        x=alt.X("share:Q", title="share of pairs called a lead", scale=alt.Scale(domain=[0, 1])),
        y=alt.Y("name:N", title=None, sort=None, axis=alt.Axis(labelLimit=width.points // 2)),
        color=_coded(alt.Color, "kind", names, PALETTE),
        shape=_coded(alt.Shape, "kind", names, SHAPES),
        tooltip=["name:N", "kind:N", "share:Q"],
    )
    return printed(drawn.properties(width=width.points // 2 - 10, height=16 * long["name"].nunique()), width)


def votes(order: pd.DataFrame, width: Width = COLUMN) -> Any:
    """Kendall's τ between a block's place and when half of its fall is done: a dot a task, a row a run.

    Args:
        order: What claim C3 was judged on: model, seed, task, tau.
        width: As printed.
    """
    rows = order.dropna(subset=["tau"])
    names = _runs(rows)
    base = alt.Chart(records(rows.assign(name=names), ["name", "task", "tau", "p", "first"]))
    y = alt.Y("name:N", title=None, sort=None)
    x = alt.X("tau:Q", title="τ; over 0: input side first, under 0: output side first", scale=alt.Scale(domain=[-1, 1]))
    rule = alt.Chart(alt.Data(values=[{"at": 0.0}])).mark_rule(strokeDash=[4, 3], color=INK).encode(x="at:Q")
    dots = base.mark_point(size=25, opacity=0.6, color=PALETTE[0]).encode(
        x=x, y=y, tooltip=["name:N", "task:N", "tau:Q", "p:Q"]
    )
    middle = base.mark_tick(color=INK, thickness=2, size=14).encode(x="mean(tau):Q", y=y)
    drawn = alt.layer(rule, dots, middle)
    return printed(drawn.properties(width=width.points - 95, height=16 * len(set(names))), width)


def scales(floors: pd.DataFrame, width: Width = COLUMN) -> Any:
    """Floor, and floor ÷ start, by parameters: a dot a task and run, a tick at the mean of each size.

    Args:
        floors: What claim C2 was judged on: model, seed, task, start, floor, parameters. Their ratio is taken here.
        width: As printed.
    """
    rows = floors.dropna(subset=["floor", "parameters"])
    rows = rows.assign(name=_runs(rows), ratio=rows["floor"] / rows["start"])
    data = records(rows, ["name", "task", "parameters", "floor", "start", "ratio"])
    panels = [_by_size(data, "floor", "floor of RankMe", width), _by_size(data, "ratio", "floor ÷ start", width)]
    return printed(alt.vconcat(*panels, spacing=8), width)


def against(frame: pd.DataFrame, width: Width = COLUMN) -> Any:
    """Benchmarks here against what was published of the same step; on the dashed line both are equal.

    Args:
        frame: The result `against`.
        width: As printed.
    """
    rows = frame.dropna(subset=["value", "value_there"])
    rows = rows[rows["metric"].str.contains("acc")] if rows["metric"].str.contains("acc").any() else rows
    words = list(dict.fromkeys(rows["verdict"]))
    ends = [float(rows[["value", "value_there"]].min().min()), float(rows[["value", "value_there"]].max().max())]
    equal = alt.Chart(alt.Data(values=[{"x": end, "y": end} for end in ends]))
    zero = alt.Scale(zero=False)
    dots = alt.Chart(records(rows, ["model", "step", "task", "metric", "value", "value_there", "verdict"]))
    drawn = alt.layer(
        equal.mark_line(strokeDash=[4, 3], color=INK, strokeWidth=1).encode(x="x:Q", y="y:Q"),
        dots.mark_point(size=30, opacity=1).encode(
            x=alt.X("value_there:Q", title="published", scale=zero), y=alt.Y("value:Q", title="here", scale=zero),
            color=_coded(alt.Color, "verdict", words, PALETTE), shape=_coded(alt.Shape, "verdict", words, SHAPES),
            tooltip=["model:N", "step:Q", "task:N", "metric:N", "value:Q", "value_there:Q", "verdict:N"],
        ),
    )  # fmt: skip
    return printed(drawn.properties(width=width.points - 48, height=round(width.points * 0.5)), width)


def _by_size(data: alt.Data, field: str, title: str, width: Width) -> Any:
    size = alt.X(
        "parameters:Q",
        title="parameters, log axis",
        scale=alt.Scale(type="log", nice=False, padding=12),
        axis=alt.Axis(format="~s", tickCount=6),
    )
    base = alt.Chart(data)
    dots = base.mark_point(size=14, opacity=0.5, color=PALETTE[0]).encode(
        x=size,
        y=alt.Y(f"{field}:Q", title=title, scale=alt.Scale(type="log", nice=False), axis=alt.Axis(tickCount=4)),
        tooltip=["name:N", "task:N", "parameters:Q", "start:Q", "floor:Q", "ratio:Q"],
    )
    middle = base.mark_tick(color=INK, thickness=2, size=16, orient="horizontal").encode(
        x=size, y=alt.Y(f"mean({field}):Q", title=title)
    )
    return alt.layer(dots, middle).properties(width=width.points - 48, height=round(width.points * 0.3))


def _runs(rows: pd.DataFrame) -> list[str]:
    return [f"{r.model} seed {r.seed}" if hasattr(r, "seed") else str(r.model) for r in rows.itertuples()]


def _log_step(field: str, title: str) -> alt.X:
    scale = alt.Scale(type="symlog", constant=1, nice=False)
    values = [0, 1, 10, 100, 1_000, 10_000, 100_000]
    return alt.X(f"{field}:Q", title=title, scale=scale, axis=alt.Axis(values=values, labelExpr=SHORT, grid=False))


def _coded(channel: Any, field: str, names: Sequence[str], look: Sequence[Any], legend: Any = alt.Undefined) -> Any:
    return channel(f"{field}:N", title=None, scale=alt.Scale(domain=list(names), range=list(look)), legend=legend)
