"""The marks that papers and the page share: lines by step, and a map of sites by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from pythia_geometry.measures import LOG
from pythia_geometry.report.style import DASHES, FAINT, INK, PALETTE, SHAPES, SHORT, step_axis

LEGEND = alt.Legend(symbolOpacity=1)
"""Equal for colour, dash and shape, so that Vega shows the three as one legend."""


def lines(
    data: Any, y: tuple[str, str], steps: tuple[Any, Any], names: Sequence[str] | None = None, several: bool = True
) -> Any:
    """One line a name: its points (hollow where a reason warns), one standard error, chance; a run each where several.

    Args:
        data: Rows of run, name, step, value, low, high, n, chance, reason; or named data that is put in later.
        y: Title and type (`log` or `linear`) of the value's axis.
        steps: Ticks of the step axis and the last step.
        names: Order of names; that of the data where None.
        several: Whether a name may have several runs: then thin lines, and a band from the least to the greatest.
    """
    base, x = alt.Chart(data), step_axis(*steps)
    scale = value_scale(y[1], nice=False)
    axis = alt.Axis(tickCount=5, format="~g")
    up = alt.Y("value:Q", title=y[0], scale=scale, axis=axis)
    look = {"color": _scaled(alt.Color, PALETTE, names), "strokeDash": _scaled(alt.StrokeDash, DASHES, names)}
    thin = 0.8 if several else 1.5
    chance = (
        base.mark_line(strokeWidth=0.8, opacity=0.8, strokeDash=[1, 2], interpolate="step-after")
        .encode(x=x, y=alt.Y("chance:Q", title=y[0], scale=scale), color=look["color"], detail="run:N")
        .properties(name="chance")
    )
    if several:
        band = base.mark_area(opacity=0.15).encode(
            x=x, y=alt.Y("min(value):Q", title=y[0], scale=scale), y2="max(value):Q", color=look["color"]
        )
    else:
        band = (
            base.mark_area(opacity=0.15)
            .encode(x=x, y=alt.Y("low:Q", title=y[0], scale=scale), y2="high:Q", color=look["color"], detail="run:N")
            .properties(name="error")
        )
    drawn = base.mark_line(strokeWidth=thin).encode(x=x, y=up, detail="run:N", **look)
    shape = _scaled(alt.Shape, SHAPES, names)
    tooltip = ["name:N", "run:N", "step:Q", "value:Q", "low:Q", "high:Q", "n:Q", "chance:Q", "reason:N"]
    hollow = alt.condition("datum.reason", alt.value(0), alt.value(1))
    edge = _scaled(alt.Stroke, PALETTE, names)
    dots = base.mark_point(size=9, strokeWidth=0.8, filled=True).encode(
        x=x, y=up, color=look["color"], stroke=edge, fillOpacity=hollow, shape=shape, detail="run:N", tooltip=tooltip
    )
    return alt.layer(band, chance, drawn, dots)


def cells(data: Any, colour: tuple[str, str]) -> Any:
    """Sites by step, one column a step; the colour spans the data. A crossed-out cell carries a reason.

    Args:
        data: Rows of step, site, depth, value, error, n, reason; or named data.
        colour: Title and type (`log` or `linear`) of the colour's scale.
    """
    base = alt.Chart(data)
    x = alt.X("step:O", title="training step, one column a step", axis=_sparse())
    y = alt.Y(
        "site:N", title=None, sort=alt.EncodingSortField("depth", order="descending"), axis=alt.Axis(labelOverlap=True)
    )
    scale = value_scale(colour[1], scheme="viridis", nice=False)
    legend = alt.Legend(format="~g", orient="bottom", gradientLength=150, tickCount=4, gradientThickness=8)
    return base.mark_rect().encode(
        x=x, y=y, color=alt.Color("value:Q", title=colour[0], scale=scale, legend=legend),
        tooltip=["site:N", "step:O", "value:Q", "error:Q", "n:Q", "reason:N"],
    )  # fmt: skip


def value_scale(kind: str, **look: Any) -> alt.Scale:
    """Of the data's range. Vega warns where a logarithmic scale is told not to begin at zero."""
    return alt.Scale(type=kind, **look) if kind == LOG else alt.Scale(type=kind, zero=False, **look)  # type: ignore[arg-type]


def strip(data: Any, title: Sequence[str], steps: Sequence[int]) -> Any:
    """One thin line below a map, one column a step as there.

    Args:
        data: Rows of step and value.
        title: Lines of its name, beside it.
        steps: Those of the map.
    """
    x = alt.X("step:O", title=None, axis=None, scale=alt.Scale(domain=list(steps)))
    axis = alt.Axis(tickCount=2, format=".3~g", titleAngle=0, titleAlign="right", titleX=-26)
    y = alt.Y("value:Q", title=list(title), axis=axis, scale=alt.Scale(zero=False))
    return alt.Chart(data).mark_line(color=INK, strokeWidth=1.2, point={"size": 6, "color": INK}).encode(x=x, y=y)


def cursor() -> Any:
    """The step under the pointer, in every chart of the page."""
    return alt.Chart(alt.NamedData("cursor")).mark_rule(color=FAINT, strokeWidth=1).encode(x="step:Q")


def spans() -> Any:
    """Intervals of steps in which something happened, shaded."""
    x = alt.X("from:Q")
    marks = alt.Chart(alt.NamedData("spans"))
    return marks.mark_rect(opacity=0.12, color=INK).encode(x=x, x2="to:Q", tooltip=["label:N", "from:Q", "to:Q"])


def _scaled(channel: Any, values: Sequence[Any], names: Sequence[str] | None) -> Any:
    scale = alt.Scale(domain=list(names) if names else alt.Undefined, range=list(values))
    return channel("name:N", title=None, sort=None, scale=scale, legend=LEGEND)


def _sparse() -> alt.Axis:
    return alt.Axis(labelAngle=0, labelExpr=SHORT, labelOverlap="greedy", ticks=False)
