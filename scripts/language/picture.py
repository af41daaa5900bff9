"""One picture: loss beside unigrams and bigrams, the share copied, and the heads, one line a seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd

from language.judging import BEGINS, FORMS, Tables, judged
from pythia_geometry.report.figures import SHORT_STEP, _styled
from pythia_geometry.report.style import PALETTE

TICKS = [0, 10, 100, 1_000, 10_000]
WIDE, HIGH = 620, 130


def picture(tables: Tables, file: Path) -> None:
    """Draws it."""
    last = int(tables.progress["step"].max())
    text = {name: float(str(tables.text[name])) for name in ("unigram", "bigram")}
    heads = (
        tables.heads[tables.heads["measure"] == "induction"].groupby(["seed", "step", "layer", "head"])["value"].mean()
    )
    best = heads.groupby(["seed", "step"]).max().reset_index()
    loss = tables.progress[["seed", "step", "held_out"]].rename(columns={"held_out": "value"})
    copied = tables.progress[["seed", "step", "copied"]].rename(columns={"copied": "value"})
    panels = [
        _panel(loss, "held-out loss, nats", last, text, False),
        _panel(copied, "copied", last, {"begins": BEGINS, "forms": FORMS}, False),
        _panel(best, "best head's induction", last, {}, True),
    ]
    seeds = judged(tables).seeds
    formed = seeds["forms"].dropna()
    when = ", ".join(f"{step:,.0f}" for step in formed)
    title = f"induction forms in {len(formed)} of {len(seeds)} seeds" + (f", at step {when}" if when else "")
    chart = _styled(
        alt.vconcat(*panels, spacing=6),
        f"A small language suite: {title}",
        f"{len(seeds)} seed{'s' * (len(seeds) != 1)}, one line each; GPT-NeoX of 1.3M parameters on the King James Bible, 2,048 tokens a step; copied: "
        "random tokens said twice; best head: of 16, mean over the probe sets",
    )
    chart.save(str(file))
    print(file)


def _panel(rows: pd.DataFrame, title: str, last: int, lines: dict[str, float], is_bottom: bool) -> Any:
    scale = alt.Scale(type="symlog", constant=8, domain=[0, last], nice=False)
    axis = alt.Axis(values=TICKS, labelExpr=SHORT_STEP, labels=is_bottom, grid=False)
    x = alt.X("step:Q", scale=scale, title="step" if is_bottom else None, axis=axis)
    y = alt.Y("value:Q", title=title, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5, minExtent=34))
    color = alt.Color("seed:N", scale=alt.Scale(range=PALETTE), title="seed")
    layers = [alt.Chart(rows).mark_line(strokeWidth=1.6).encode(x=x, y=y, color=color)]
    if lines:
        marks = pd.DataFrame({"value": list(lines.values()), "said": list(lines), "step": last})
        rule = alt.Chart(marks).mark_rule(strokeDash=[4, 3], color="#777").encode(y="value:Q")
        words = alt.Chart(marks).mark_text(align="right", dy=-6, color="#555", fontSize=11)
        layers += [rule, words.encode(x=alt.X("step:Q", scale=scale), y="value:Q", text="said:N")]
    return alt.layer(*layers).properties(width=WIDE, height=HIGH)
