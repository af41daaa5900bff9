"""How every picture looks: colours that survive colour blindness and grey, axes that say what they are, two widths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import altair as alt

PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#777777"]
"""Of Okabe and Ito (2008), without black and yellow, which fail on a dark and on a white page."""
DASHES = [[1, 0], [6, 2], [2, 2], [8, 2, 2, 2], [4, 4], [10, 3], [1, 3]]
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-left"]
MAX_LINES = len(PALETTE)
INK, FAINT = "#222222", "#bbbbbb"
STEP_TITLE = "training step, spaced by log(step + 1)"
SHORT = "datum.value < 1000 ? format(datum.value, 'd') : format(datum.value / 1000, '.4~g') + 'k'"


@dataclass(frozen=True)
class Width:
    """A printed width.

    Attributes:
        points: In PostScript points, 72 an inch.
        text: Size of all text, in points.
    """

    points: int
    text: int = 8


WIDTHS = {"column": Width(234), "page": Width(504)}
"""3.25 inches and 7 inches."""


def step_ticks(last: float) -> list[float]:
    """0, powers of ten with room before the last step, and the last step: a run's end is always labelled."""
    tens = [10.0**k for k in range(9) if 10.0**k <= last / 3]
    return [0.0, *tens, last]


def step_axis(ticks: Any, last: Any, title: str | None = STEP_TITLE) -> alt.X:
    """The true step, spaced by log(step + 1), so that step 0 has its place."""
    scale = alt.Scale(type="symlog", constant=1, domain=[0, last], nice=False)
    return alt.X("step:Q", title=title, scale=scale, axis=alt.Axis(values=ticks, labelExpr=SHORT, grid=False))


def printed(chart: Any, width: Width) -> Any:
    """The chart with text of one size, on white, for print."""
    size = width.text
    return (
        chart.properties(background="white", padding=4)
        .configure(font="Helvetica, Arial, sans-serif")
        .configure_axis(
            labelFontSize=size, titleFontSize=size, labelColor=INK, titleColor=INK, titleFontWeight="normal",
            gridColor="#eeeeee", domainColor=FAINT, tickColor=FAINT, tickSize=3, labelOverlap=True,
        )
        .configure_header(labelFontSize=size, titleFontSize=size, labelFontWeight="bold", labelPadding=2)
        .configure_legend(
            labelFontSize=size, titleFontSize=size, titleFontWeight="normal", symbolStrokeWidth=1.5, symbolSize=30,
            orient="bottom", columns=3, labelLimit=110, rowPadding=1, columnPadding=6,
        )
        .configure_view(stroke=None)
    )  # fmt: skip
