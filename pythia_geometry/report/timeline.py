"""The picture of a diagnosis: every step's verdict, and what its embedding shows."""

from __future__ import annotations

from typing import Any

import altair as alt

from pythia_geometry.report.figures import _sparse_axis, _styled
from pythia_geometry.report.style import INK
from pythia_geometry.suites.checkpoint import MISSING, SUSPECT, WRONG
from pythia_geometry.suites.doctor.continuity import DETOUR_ALARM, LINEAGE_ALARM, Continuity
from pythia_geometry.suites.doctor.verdicts import EXPECTED, TRUST, VERDICTS, Diagnosis, verdict_of

COLOURS = {TRUST: "#0072B2", EXPECTED: "#a6d2ee", SUSPECT: "#E69F00", WRONG: "#7a1f00", MISSING: "#dddddd"}
MARKS = {SUSPECT: "?", WRONG: "×", MISSING: "–"}
"""Beside the colour of a step that cannot be trusted, for a reader or a printer without colours."""
_WIDTH = 860


def timeline(diagnosis: Diagnosis) -> Any:
    """One column a step; a row for the verdict, and one for each weight format by the listing alone.

    With `--deep`, two panels below: the detour of each step (alarm above the line) and its correlation with
    step 0 (alarm where the first is below the line; no line where descent could not be tested).

    Args:
        diagnosis: From `doctor.diagnose`.

    Returns:
        A chart that `drawing.save` or a notebook renders.
    """
    steps = [s.step for s in diagnosis.steps]
    panels = [_strips(diagnosis, steps)]
    if diagnosis.inside:
        panels += _inside(diagnosis.inside.continuity, steps)
    counts = {v: sum(s.verdict == v for s in diagnosis.steps) for v in VERDICTS}
    subtitle = ", ".join(f"{n} {verdict}" for verdict, n in counts.items() if n) + "; one column a step"
    subtitle += "; dashed: alarm (a detour above, a first step's correlation below)" if diagnosis.inside else ""
    chart = alt.vconcat(*panels, spacing=16).resolve_scale(color="independent")
    return _styled(chart, f"Which steps can be trusted — {diagnosis.run}", subtitle)


def _strips(diagnosis: Diagnosis, steps: list[int]) -> Any:
    rows = [{"step": s.step, "row": "verdict", "verdict": s.verdict} for s in diagnosis.steps]
    forms = list(dict.fromkeys(form for s in diagnosis.steps for form in s.branch.weights))
    for s in diagnosis.steps:
        held = s.branch.weights
        rows += [
            {"step": s.step, "row": form, "verdict": verdict_of(held[form]) if form in held else MISSING}
            for form in forms
        ]
    used = [verdict for verdict in VERDICTS if any(row["verdict"] == verdict for row in rows)]
    color = alt.Color(
        "verdict:N", title=None, scale=alt.Scale(domain=used, range=[COLOURS[v] for v in used]), sort=used
    )
    names = ["verdict", *forms]
    rows = [{**row, "mark": MARKS.get(str(row["verdict"]), "")} for row in rows]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=_steps_axis(steps, None if diagnosis.inside and diagnosis.inside.continuity.detour else "training step"),
        y=alt.Y("row:N", sort=names, title=None),
    )
    cells = base.mark_rect(stroke="white", strokeWidth=0.4).encode(
        color=color, tooltip=["step:O", "row:N", "verdict:N"]
    )
    ink = alt.condition(f"datum.verdict === '{WRONG}'", alt.value("white"), alt.value(INK))
    marks = base.mark_text(fontSize=9).encode(text="mark:N", color=ink)
    return alt.layer(cells, marks).properties(width=_WIDTH, height=34 * len(names))


def _inside(tests: Continuity, steps: list[int]) -> list[Any]:
    detours = [{"step": s, "value": v} for s, v in tests.detour.items()]
    starts = [{"step": s, "value": v} for s, v in tests.from_start.items()]
    lineage_alarm = None if tests.broken_lineage is None else LINEAGE_ALARM  # none where the test was not made
    both = [(detours, "detour", DETOUR_ALARM), (starts, "correlation with step 0", lineage_alarm)]
    shown = [(rows, title, alarm) for rows, title, alarm in both if rows]
    panels = []
    for i, (rows, title, alarm) in enumerate(shown):
        x = _steps_axis(steps, "training step" if i == len(shown) - 1 else None)
        y = alt.Y("value:Q", title=title, scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=4, format="~g"))
        dots = alt.Chart(alt.Data(values=rows)).mark_circle(size=26, color="#3b6fb6", opacity=1)
        layers = [dots.encode(x=x, y=y)]
        if alarm is not None:
            rule = alt.Chart(alt.Data(values=[{"value": alarm}])).mark_rule(color=INK, strokeDash=[4, 3])
            layers.append(rule.encode(y="value:Q"))
        panels.append(alt.layer(*layers).properties(width=_WIDTH, height=110))
    return panels


def _steps_axis(steps: list[int], title: str | None) -> Any:
    return alt.X("step:O", sort=steps, scale=alt.Scale(domain=steps), title=title, axis=_sparse_axis(steps))
