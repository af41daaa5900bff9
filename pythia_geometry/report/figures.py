"""The two pictures of a walk: where in depth and time RankMe falls, and how behaviour moves beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from pythia_geometry.report.style import DASHES, INK, PALETTE, SHAPES, STEP_TITLE, step_axis, step_ticks

FAINT = "#d9d9d9"
FONT = "Helvetica, Arial, sans-serif"
ROUND = [1, 2, 5, 10, 20, 50, 100, 200, 500]
SHORT_STEP = "datum.value < 1000 ? format(datum.value, 'd') : format(datum.value / 1000, '~g') + 'k'"
METRICS = {"accuracy": "accuracy", "log_prob": "log-prob. of target (nats)"}

CONVENTIONS = {"rankme": "uncentred", "rankme_centred": "centred", "rankme_rownorm": "rows of length 1"}

Pairs = Sequence[tuple[str, str]]


def heat_map(geometry: pd.DataFrame, run: str, tasks: Pairs, measure: str = "rankme") -> Any:
    """Layer × step, one panel a task, colour the measure on a log scale.

    Args:
        geometry: Rows of one run.
        run: Its name, for the title.
        tasks: (probe, task) of each panel.
        measure: A measure whose values are positive.

    Returns:
        A chart that `save` or a notebook renders.
    """
    rows = geometry[(geometry["measure"] == measure)].dropna(subset=["value"])
    among = f"{len(tasks)} of {len(set(zip(rows['probe'], rows['task'], strict=True)))} tasks"
    rows = rows[_among(rows, tasks)]
    rows = rows.assign(panel=_panel(rows, tasks))
    steps = sorted(rows["step"].unique())
    low, top = (float(rows["value"].min()), float(rows["value"].max())) if len(rows) else (1.0, 2.0)
    top = max(top, 1.05 * low)
    layers = list(rows.sort_values("layer_index", ascending=False)["layer"].unique())
    cells = alt.Chart(_records(rows, ["step", "layer", "panel", "value", "error", "ceiling", "n"])).mark_rect()
    panels = cells.encode(
        x=alt.X("step:O", sort=steps, title="training step", axis=_sparse_axis(steps)),
        y=alt.Y("layer:N", sort=layers, title=None),
        color=alt.Color(
            "value:Q",
            scale=alt.Scale(type="log", scheme="viridis", domain=[low, top], nice=False),
            title="RankMe" if measure in CONVENTIONS else measure,
            legend=alt.Legend(
                gradientLength=180, format="~g", values=[v for v in ROUND if low <= v <= top] or [low, top]
            ),
        ),
        tooltip=["step:O", "layer:N", "value:Q", "error:Q", "ceiling:Q", "n:Q"],
    ).properties(
        width=alt.Step(max(2, round(275 / max(1, len(steps))))),
        height=26 * len(layers) if len(layers) <= 8 else 230,
    )
    subtitle = (
        f"{_position(rows)}, {CONVENTIONS.get(measure, measure)}; {_span(rows['n'])} prompts a task; range 1 to "
        f"{_span(rows['ceiling'])}; {among} in the order in which they rose, those that did not at the end; "
        "one column a step"
    )
    return _styled(
        panels.facet(facet=alt.Facet("panel:N", sort=_names(tasks), title=None), columns=min(3, max(1, len(tasks)))),
        f"{'RankMe' if measure in CONVENTIONS else measure} by layer and step — {run}",
        subtitle,
    )


def curves(geometry: pd.DataFrame, behaviour: pd.DataFrame, run: str, tasks: Pairs) -> Any:
    """RankMe after the final norm, accuracy and log-probability by step, one line a task.

    Bands are one standard error over prompts.

    Args:
        geometry: Rows of one run.
        behaviour: Rows of the same run.
        run: Its name, for the title.
        tasks: (probe, task) of each line.
    """
    final = geometry[(geometry["layer"] == "final_norm") & _among(geometry, tasks)]
    spoken = behaviour[_among(behaviour, tasks)]
    last_step = max(_last_step(final), _last_step(spoken))
    is_mute = not spoken.empty and spoken["value"].isna().all()  # read without the output head
    shown = [
        (final[final["measure"] == "rankme"], "RankMe", True),
        (final[final["measure"] == "rankme_centred"], "RankMe, centred", True),
        *((spoken[spoken["metric"] == metric], title, False) for metric, title in METRICS.items() if not is_mute),
    ]
    panels = [
        _panel_lines(rows, tasks, title, log, (STEP_TITLE if i == len(shown) - 1 else None, last_step))
        for i, (rows, title, log) in enumerate(shown)
    ]
    subtitle = f"{_position(final)}, after the final norm; {_share(geometry, tasks)}; bands: one standard error over "
    subtitle += "prompts; dotted: chance; n = 1 seed"
    title = "Geometry (no behaviour was read)" if is_mute else "Geometry and behaviour"
    return _styled(alt.vconcat(*panels, spacing=14), f"{title} — {run}", subtitle)


def _panel_lines(rows: pd.DataFrame, tasks: Pairs, title: str, log: bool, steps: tuple[str | None, int]) -> Any:
    rows = rows.dropna(subset=["value"])
    rows = rows.assign(name=_panel(rows, tasks))
    rows = rows.assign(low=rows["value"] - rows["error"], high=rows["value"] + rows["error"])
    if log:
        rows = rows.assign(low=rows["low"].clip(lower=1.0))
    scale = alt.Scale(type="log", nice=False) if log else alt.Scale(zero=False)
    if rows.empty:
        scale = alt.Scale(domain=[1, 10])  # a scale without data has no size
    color, dash, shape = (
        channel(
            "name:N", title=None, sort=None, legend=alt.Legend(symbolOpacity=1, symbolStrokeWidth=2),
            scale=alt.Scale(domain=_names(tasks) or ["no task"], range=list(look)),
        )
        for channel, look in ((alt.Color, PALETTE), (alt.StrokeDash, DASHES), (alt.Shape, SHAPES))
    )  # fmt: skip
    x = step_axis(step_ticks(steps[1]), steps[1], steps[0])
    rows = rows if "chance" in rows else rows.assign(chance=np.nan)
    base = alt.Chart(_records(rows, ["step", "name", "value", "low", "high", "chance"]))
    band = base.mark_area(opacity=0.18).encode(
        x=x, y=alt.Y("low:Q", title=title, scale=scale), y2="high:Q", color=color
    )
    line = base.mark_line(strokeWidth=1.8).encode(
        x=x,
        y=alt.Y("value:Q", title=title, scale=scale, axis=alt.Axis(tickCount=5, format="~g")),
        color=color,
        strokeDash=dash,
        tooltip=["name:N", "step:Q", "value:Q"],
    )
    dots = base.mark_point(size=14, opacity=1, filled=True)
    layers = [band, line, dots.encode(x=x, y=alt.Y("value:Q", scale=scale), color=color, shape=shape)]
    if rows["chance"].notna().any():
        chance = base.mark_line(strokeWidth=0.8, strokeDash=[1, 2], interpolate="step-after")
        layers.insert(1, chance.encode(x=x, y=alt.Y("chance:Q", title=title, scale=scale), color=color))
    return alt.layer(*layers).properties(width=680, height=150)


def _styled(chart: Any, title: str, subtitle: str) -> Any:
    return (
        chart.properties(
            title=alt.TitleParams(
                title, subtitle=subtitle, anchor="start", fontSize=17, subtitleFontSize=12, subtitleColor="#666666",
                offset=14,
            ),
            padding=18,
            background="white",
        )
        .configure(font=FONT)
        .configure_axis(
            labelColor=INK, titleColor=INK, gridColor="#eeeeee", domainColor=FAINT, tickColor=FAINT,
            titleFontWeight="normal", labelFontSize=11, titleFontSize=12,
        )
        .configure_header(labelFontSize=12, labelFontWeight="bold", labelColor=INK, labelAnchor="start")
        .configure_legend(labelFontSize=12, titleFontWeight="normal")
        .configure_view(stroke=None)
    )  # fmt: skip


def _share(geometry: pd.DataFrame, tasks: Pairs) -> str:
    held = len(geometry[["probe", "task"]].drop_duplicates())
    return f"{len(set(tasks))} of {held} tasks"


def _among(frame: pd.DataFrame, tasks: Pairs) -> pd.Series[bool]:
    wanted = set(tasks)
    among = [pair in wanted for pair in zip(frame["probe"], frame["task"], strict=True)]
    return pd.Series(among, frame.index, dtype=bool)


def _names(tasks: Pairs) -> list[str]:
    """Task names; with the probe set before them where several sets are shown."""
    several = len({probe for probe, _ in tasks}) > 1
    return [f"{probe}/{task}" if several else task for probe, task in tasks]


def _panel(rows: pd.DataFrame, tasks: Pairs) -> list[str]:
    names = dict(zip(tasks, _names(tasks), strict=True))
    return [names[pair] for pair in zip(rows["probe"], rows["task"], strict=True)]


def _span(values: pd.Series[Any]) -> str:
    """The least and the largest where they differ; what is not known is said."""
    known = values.dropna()
    ends = sorted({f"{known.min():.0f}", f"{known.max():.0f}"}, key=float) if len(known) else ["?"]
    return "–".join(ends)


def _position(rows: pd.DataFrame) -> str:
    positions = set(rows["position"])
    return "mean over prompt tokens" if positions == {"mean"} else "last prompt token"


def _last_step(rows: pd.DataFrame) -> int:
    return max(int(rows["step"].max()), 1) if len(rows) else 1


def _sparse_axis(steps: Sequence[int]) -> alt.Axis:
    """About eight labels, spread over the columns."""
    picks = np.unique(np.linspace(0, len(steps) - 1, min(8, len(steps))).round().astype(int))
    return alt.Axis(values=[int(steps[i]) for i in picks], labelAngle=0, labelExpr=SHORT_STEP, ticks=False)


def _records(frame: pd.DataFrame, columns: list[str]) -> alt.Data:
    """Plain records: Altair's own pandas path refuses pandas' string type."""
    tidy = frame[columns].astype(object).where(frame[columns].notna(), None)
    return alt.Data(values=tidy.to_dict(orient="records"))
