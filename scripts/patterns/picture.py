"""One picture of every sweep: a point a run where it emerged, a triangle where it did not within its budget."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd

from pythia_geometry.analysis.claims.pattern_runs import FORMS
from pythia_geometry.analysis.claims.patterns import BASE, median_of
from pythia_geometry.report.figures import _styled
from pythia_geometry.report.style import PALETTE

WIDE, HIGH, SIZES = 360, 105, (8, 12)
ASIDE = (-0.12, 0.12)  # of the forms, from an arm's place
EMERGED, CENSORED = "emerged", "not within its budget"


def picture(runs: pd.DataFrame, file: Path) -> None:
    """Draws it."""
    by_size = _sweep(runs, "size")
    sweeps = [
        (_sweep(runs, "sparsity"), "sparsity", "parents s"),
        (_at_one_width(_sweep(runs, "heads", "head_width")), "heads", "heads at D = 128"),
        (_sweep(runs, "head_width"), "head_width", "width of 8 heads"),
        (_networks(_sweep(runs, "network", "sparsity")), "arm_is", "parents s and network"),
        (_biases(_sweep(runs, "bias", "rate")), "arm_is", "bias c, at rate"),
    ]
    rows = [
        alt.hconcat(*(_panel(rows[rows["size"] == size], x, f"{title} (S = {size})", WIDE) for size in SIZES))
        for rows, x, title in sweeps
    ]
    drawn = pd.concat([by_size, *(rows[rows["size"].isin(SIZES)] for rows, _, _ in sweeps)])
    n_runs = len(drawn.drop_duplicates(["arm", "seed"]))
    chart = _styled(
        alt.vconcat(_panel(by_size, "size", "bits S, at s = 3", 2 * WIDE + 60), *rows, spacing=8).resolve_scale(
            color="shared", shape="shared"
        ),
        "When a one-block network finds a sparse linear map",
        f"Steps to emergence (accuracy .9 for good) of {n_runs} runs; a point a run, a line the Kaplan–Meier median",
    )
    chart.save(str(file))
    print(file)


def _sweep(runs: pd.DataFrame, *varied: str) -> pd.DataFrame:
    """Runs of the base arm but for what varies, and size and form."""
    for name, value in BASE.items():
        if name not in {*varied, "size", "form"}:
            runs = runs[runs[name] == value]
    return runs


def _at_one_width(runs: pd.DataFrame) -> pd.DataFrame:
    return runs[runs["heads"] * runs["head_width"] == BASE["width"]]


def _networks(runs: pd.DataFrame) -> pd.DataFrame:
    """The sparsities at which there is a mixer, in the form that it was trained on."""
    mixers = runs[runs["network"] == "mixer"]
    runs = runs[runs["sparsity"].isin(mixers["sparsity"]) & runs["form"].isin(mixers["form"])]
    short = runs["network"].map({"transformer": "attention", "mixer": "mixer"})
    return runs.assign(arm_is=runs["sparsity"].astype(str) + "|" + short).sort_values(["sparsity", "network"])


def _biases(runs: pd.DataFrame) -> pd.DataFrame:
    named = [f"{bias:g}|at {rate:g}" for rate, bias in zip(runs["rate"], runs["bias"], strict=True)]
    return runs.assign(arm_is=named).sort_values(["rate", "bias"])


def _panel(runs: pd.DataFrame, x: str, title: str, width: int) -> Any:
    points = runs.assign(
        step=runs["by"].fillna(runs["last"]), ended=runs["by"].notna().map({True: EMERGED, False: CENSORED})
    )
    arms: list[Any] = list(dict.fromkeys(points.sort_values(x)[x] if x != "arm_is" else points[x]))
    points["place"] = points[x].map(arms.index) + points["form"].map(dict(zip(FORMS, ASIDE, strict=True)))
    medians = pd.DataFrame(
        [
            {"place": place, "form": form, "step": median_of(mine)}
            for (place, form), mine in points.groupby(["place", "form"])
        ]
    ).dropna()
    labels = f"split({json.dumps([str(arm) for arm in arms])}[datum.value], '|')"
    axis = alt.Axis(values=list(range(len(arms))), labelExpr=labels, grid=False)
    place = alt.X(
        "place:Q", title=title, axis=axis, scale=alt.Scale(domain=[-0.5, len(arms) - 0.5], nice=False, zero=False)
    )
    y = alt.Y(
        "step:Q",
        title="step",
        scale=alt.Scale(type="log", domain=[8, 12_000]),
        axis=alt.Axis(values=[10, 100, 1_000, 10_000]),
    )
    color = alt.Color("form:N", scale=alt.Scale(domain=list(FORMS), range=PALETTE[:2]), title="form")
    shape = alt.Shape(
        "ended:N", scale=alt.Scale(domain=[EMERGED, CENSORED], range=["circle", "triangle-up"]), title="run"
    )
    runs_drawn = alt.Chart(points).mark_point(size=26, strokeWidth=1.2).encode(x=place, y=y, color=color, shape=shape)
    lines = alt.Chart(medians).mark_point(shape="stroke", size=300, strokeWidth=2).encode(x=place, y=y, color=color)
    return alt.layer(runs_drawn, lines).properties(width=width, height=HIGH)
