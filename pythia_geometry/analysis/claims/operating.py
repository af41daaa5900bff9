"""Beside each verdict: how often its rule says each word in a null and at the paper's own effect.

The rates ship in `data/operating.csv`; `pythia-geom calibrate` computes them, scripts/build_precursors_page.py writes
them.
"""

from __future__ import annotations

from functools import cache

import pandas as pd

from pythia_geometry.shipped import data_folder

SAME = {"pythia collapse": "collapse", "no lead": "lead"}
"""Rules that are another's on other runs."""


@cache
def shipped_rates() -> pd.DataFrame:
    """The rates that ship: rule, truth, what, runs, word, rate, se, draws."""
    return pd.read_csv(data_folder() / "operating.csv", keep_default_na=False)  # "null" is a word here


def operating(rule: str, n_runs: int) -> str:
    """What a rule says with the nearest simulated number of runs, in one line; empty where nothing was simulated."""
    rates = shipped_rates()
    rates = rates[rates["rule"] == SAME.get(rule, rule)]
    if rates.empty:
        return ""
    known = rates["runs"].unique()
    nearest = min(known, key=lambda n: (abs(n - n_runs), n))
    parts = []
    for truth, rows in rates[rates["runs"] == nearest].groupby("truth", sort=False):
        words = rows.sort_values("rate", ascending=False)
        said = [f"{w} {100 * r:.0f} %" for w, r in zip(words["word"], words["rate"], strict=True) if r >= 0.005]
        parts.append(f"{truth}: {', '.join(said)}")
    return f"with {nearest} runs: {'; '.join(parts)}"
