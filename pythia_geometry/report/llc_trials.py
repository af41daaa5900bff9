"""The picture of `llc-calibrate`: the coefficient over the pull, for every step size and chain length."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from pythia_geometry.report.style import PALETTE, SHAPES, WIDTHS, printed


def trials_chart(trials: pd.DataFrame, title: str) -> Any:
    """λ̂ with its error over γ/nβ; filled where nothing speaks against it. Where it falls smoothly there is no plateau.

    Args:
        trials: Columns step, localisation_over_n_beta, draws, llc, error, sound.
        title: The run and its step.
    """
    kept = trials[trials["llc"].notna()]
    frame = kept.assign(
        low=kept["llc"] - kept["error"],
        high=kept["llc"] + kept["error"],
        ε=[f"{step:g}" for step in kept["step"]],
        draws=kept["draws"].astype(str),
        read=["sound" if sound else "has a reason" for sound in kept["sound"]],
    )
    base = alt.Chart(frame).encode(
        x=alt.X("localisation_over_n_beta:Q", title="γ/nβ", scale=alt.Scale(type="log", nice=False, padding=20)),
        color=alt.Color("ε:N", title="step size ε", scale=alt.Scale(range=PALETTE)),
    )
    bars = base.mark_rule().encode(
        y=alt.Y("low:Q", title="local learning coefficient", scale=alt.Scale(zero=False)), y2="high:Q"
    )
    points = base.mark_point(size=45).encode(
        y="llc:Q",
        shape=alt.Shape("draws:N", title="draws of a chain", scale=alt.Scale(range=SHAPES)),
        fill=alt.condition(alt.datum.sound, alt.Color("ε:N", legend=None), alt.value("white")),
        opacity=alt.Opacity(
            "read:N", title="filled if", scale=alt.Scale(domain=["sound", "has a reason"], range=[1, 0.6])
        ),
    )
    return printed((bars + points).properties(title=title, width=360, height=220), WIDTHS["page"])
