"""The pictures of docs/lab.md, from the reference tables."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd
from scipy.stats import gmean

from lab_page.designed import Arm
from pythia_geometry.analysis.events.collapse import COLLAPSES, PLATEAU, TRANSIENT, WINDOWS
from pythia_geometry.analysis.precursor.event_study import GEOMETRY
from pythia_geometry.report.figures import SHORT_STEP, _styled
from pythia_geometry.report.style import PALETTE

TICKS = [0, 10, 100, 1_000, 10_000, 100_000]
SHOWN = ["MOD1", "MOD2", "MOD3", "COPY3", "ADD3", "MUL3", "CMP3", "PAR3"]
NAMES = {"rankme": "RankMe", "rankme_centred": "RankMe, centred", "exact_match": "exact match", "log_prob": "log-prob."}
LOG = ("rankme", "rankme_centred")
OF_RELEASE = {GEOMETRY: "RankMe, centred", "log_prob": "log-probability", "accuracy": "accuracy"}


def seeds_picture(geometry: pd.DataFrame, behaviour: pd.DataFrame, model: str) -> Any:
    """RankMe at the final norm above behaviour, one column a task-level, one line a seed, both windows shaded."""
    final = geometry[(geometry["layer"] == "final_norm") & geometry["measure"].isin(LOG)]
    rows = pd.concat([final.rename(columns={"measure": "what"}), behaviour.rename(columns={"metric": "what"})])
    rows = rows[(rows["model"] == model) & rows["task"].isin(SHOWN)]
    last = int(rows["step"].max())
    panels = [
        alt.hconcat(
            *(_cell(rows[(rows["what"] == what) & (rows["task"] == task)], what, task, last) for task in SHOWN),
            spacing=8,
        )
        for what in NAMES
    ]
    n = rows["seed"].nunique()
    return _styled(
        alt.vconcat(*panels, spacing=6),
        f"Geometry and behaviour by step — {model}, {n} seeds",
        "one line a seed; 128 prompts a task-level, last prompt token, after the final norm; shaded: the windows of the "
        "transient (steps 0–60) and of the plateau (100–1,000)",
    )


def _cell(rows: pd.DataFrame, what: str, task: str, last: int) -> Any:
    top, bottom = what == next(iter(NAMES)), what == list(NAMES)[-1]
    scale = alt.Scale(type="symlog", constant=8, domain=[0, last], nice=False)
    x = alt.X(
        "step:Q", scale=scale, title="step" if bottom else None,
        axis=alt.Axis(values=TICKS, labelExpr=SHORT_STEP, labels=bottom, grid=False),
    )  # fmt: skip
    y = alt.Y(
        "value:Q", title=NAMES[what] if task == SHOWN[0] else None, axis=alt.Axis(tickCount=4, format="~g", minExtent=34, maxExtent=34),
        scale=alt.Scale(type="log", domain=[1, 40], nice=False) if what in LOG else alt.Scale(zero=False),
    )  # fmt: skip
    line = alt.Chart(rows[["step", "value", "seed"]]).mark_line(strokeWidth=1.4, opacity=0.9)
    line = line.encode(x=x, y=y, color=alt.Color("seed:N", scale=alt.Scale(range=PALETTE), title="seed"))
    windows = pd.DataFrame([{"from": a, "to": b} for a, b in WINDOWS.values()])
    shade = alt.Chart(windows).mark_rect(color="#e9e4d4", opacity=0.55)
    shade = shade.encode(x=alt.X("from:Q", scale=scale, title=None), x2="to:Q")
    return alt.layer(shade, line).properties(width=118, height=92, title=task if top else "")


def floors_picture(found: pd.DataFrame) -> Any:
    """Floors of every task-level, one point a run: transient left, plateau right."""
    rows = found[(found["layer"] == "final_norm") & (found["measure"] == "rankme") & (found["label"] == COLLAPSES)]
    models = list(rows.sort_values("parameters")["model"].unique())
    color = alt.Color("model:N", sort=models, scale=alt.Scale(domain=models, range=PALETTE), title=None)
    shape = alt.Shape("model:N", sort=models, scale=alt.Scale(domain=models), title=None)
    panels = []
    for phase in (TRANSIENT, PLATEAU):
        mine = rows[rows["phase"] == phase][["task", "floor", "model", "seed"]]
        chart = alt.Chart(mine).mark_point(size=46, filled=True, opacity=0.75)
        panels.append(
            chart.encode(
                x=alt.X("task:N", title=None, sort=sorted(rows["task"].unique()), axis=alt.Axis(labelAngle=-60)),
                y=alt.Y(
                    "floor:Q",
                    scale=alt.Scale(type="log", nice=False),
                    title="RankMe at the floor",
                    axis=alt.Axis(values=[1, 1.5, 2, 3, 4, 5, 7, 10, 15, 20], format="~g"),
                ),
                xOffset=alt.XOffset("model:N", sort=models),
                color=color,
                shape=shape,
            ).properties(width=900, height=190, title=f"{phase}, steps {WINDOWS[phase][0]:.0f}–{WINDOWS[phase][1]:.0f}")
        )
    return _styled(
        alt.vconcat(*panels, spacing=14),
        "Floors by task-level and model",
        "one point a run that collapses there; after the final norm, uncentred",
    )


def order_picture(found: pd.DataFrame) -> Any:
    """When half of the transient's fall is done, by layer: one line a task-level, one panel a run."""
    rows = found[(found["measure"] == "rankme") & (found["phase"] == TRANSIENT) & (found["label"] == COLLAPSES)]
    rows = rows[rows["layer"].str.startswith("resid_")]
    deepest = rows.groupby("model")["layer_index"].max()
    rows = rows[rows["model"].isin(deepest[deepest > 2].index)]
    rows = rows.assign(run=rows["model"] + " seed " + rows["seed"].astype(str))
    chart = alt.Chart(rows[["run", "task", "layer", "halfway"]]).mark_line(
        strokeWidth=1, opacity=0.5, point={"size": 12}
    )
    panels = chart.encode(
        x=alt.X("layer:N", title=None, axis=alt.Axis(labelAngle=0)),
        y=alt.Y("halfway:Q", scale=alt.Scale(zero=False), title="half of the fall done at step"),
        detail="task:N",
        color=alt.value(PALETTE[0]),
    ).properties(width=210, height=190)
    return _styled(
        panels.facet(facet=alt.Facet("run:N", title=None), columns=4),
        "Which block collapses first",
        "one line a task-level (only blocks that collapse); the output side is right; one run is one observation",
    )


def sizes_picture(found: pd.DataFrame) -> Any:
    """Start, floor and floor ÷ start of the transient by size: one faint line a level, one point a run."""
    rows = found[found["measure"] == "rankme"].melt(
        ["parameters", "seed", "task"], ["start", "floor", "ratio"], "what", "value"
    )
    titles = {"start": "RankMe at step 0", "floor": "floor of the transient", "ratio": "floor ÷ start"}
    x = alt.X("parameters:Q", scale=alt.Scale(type="log"), title="parameters", axis=alt.Axis(format="~s", tickCount=4))
    panels = []
    for what, title in titles.items():
        mine = rows[rows["what"] == what]
        y = alt.Y("value:Q", title=None, scale=alt.Scale(type="log", nice=False))
        of_level = mine.groupby(["parameters", "task"], as_index=False)["value"].agg(gmean)
        lines = (
            alt.Chart(of_level)
            .mark_line(strokeWidth=1, opacity=0.35, color=PALETTE[0])
            .encode(x=x, y=y, detail="task:N")
        )
        of_run = mine.groupby(["parameters", "seed"], as_index=False)["value"].agg(gmean)
        points = alt.Chart(of_run).mark_point(filled=True, size=40, color=PALETTE[1]).encode(x=x, y=y)
        panels.append(alt.layer(lines, points).properties(width=240, height=200, title=title))
    return _styled(
        alt.hconcat(*panels, spacing=18),
        "The transient by size of model",
        "first 60 steps, after the final norm, uncentred; a line a task-level, a point a run (geometric means)",
    )


def release_picture(arms: list[Arm]) -> Any:
    """A panel a design: how geometry and behaviour go from a level's release on, levels not yet released taken off."""
    panels = [_after_release(arm) for arm in arms if arm.is_released]
    lines = [alt.hconcat(*panels[start : start + 4], spacing=14) for start in range(0, len(panels), 4)]
    return _styled(
        alt.vconcat(*lines, spacing=10),
        "What moves first after a level's release",
        "median of the effect, as a share of its own way, of the levels × runs in which all three rise; "
        "dashed: the loss opens (without a line: at the release)",
    )


def _after_release(arm: Arm) -> Any:
    path = arm.study.path
    path = path[(path["decades"] >= 0) & (path["count"] >= path["count"].max() / 4)].assign(
        curve=path["curve"].map(OF_RELEASE), times=10 ** path["decades"]
    )
    colour = alt.Color("curve:N", title=None, scale=alt.Scale(domain=list(OF_RELEASE.values()), range=PALETTE[:3]))
    x = alt.X(
        "times:Q", title="step ÷ step of release", scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(values=[1, 3, 10, 30, 100], grid=False),
    )  # fmt: skip
    y = alt.Y("median:Q", title="share of the way", scale=alt.Scale(domain=[-0.25, 1.05], clamp=True))
    chart = alt.Chart(path).mark_line(strokeWidth=1.8).encode(x=x, y=y, color=colour)
    scale, design, *more = arm.name.split(", ")
    n = f"{path['count'].max():.0f} of {arm.done_at_opening.size} levels × runs, {len(arm.made)} runs"
    lead = max(arm.made[0]["training"].get("plant_lead") or 0.0, 0.0)
    if lead:
        opens = alt.Chart(pd.DataFrame({"times": [10**lead]})).mark_rule(strokeDash=[4, 3], color="#777")
        chart = alt.layer(chart, opens.encode(x="times:Q"))
    return chart.properties(width=190, height=130, title=[f"{scale}, {design}", *more, n])
