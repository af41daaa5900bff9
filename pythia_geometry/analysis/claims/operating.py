"""Beside each verdict: how often its rule says each word in a null and at the paper's own effect.

The rates ship in `data/operating.csv`; `pythia-geom calibrate` computes them, scripts/build_precursors_page.py writes
them.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    truths = rates[rates["runs"] == nearest].groupby("truth", sort=False)
    return f"with {nearest} runs: {in_words({str(truth): rows.set_index('word')['rate'] for truth, rows in truths})}"


def in_words(rates: Mapping[str, pd.Series]) -> str:
    """By truth, how often each word is said [word → rate], the most frequent first."""
    parts = []
    for truth, words in rates.items():
        said = [f"{w} {100 * r:.0f} %" for w, r in words.sort_values(ascending=False).items() if r >= 0.005]
        parts.append(f"{truth}: {', '.join(said)}")
    return "; ".join(parts)
