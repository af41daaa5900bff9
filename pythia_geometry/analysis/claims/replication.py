"""Replication against synthetic: the effect in the lab and in a run, side by side, and whether they are the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from pythia_geometry.analysis.claims.ruling import Effect

SAME, DIFFERENT, CANNOT_TELL = "same", "different", "cannot tell"
MIN_RUNS = 3
COLUMNS = [
    "id", "effect", "synthetic", "synthetic_value", "synthetic_low", "synthetic_high", "synthetic_runs", "run",
    "run_value", "run_low", "run_high", "run_runs", "difference", "difference_low", "difference_high", "margin", "word",
]  # fmt: skip


def replication(effects: Mapping[tuple[str, str], Effect], synthetic: str, others: Sequence[str]) -> pd.DataFrame:
    """One row a claim and run that both have an effect.

    `same`: the 90 % interval of the difference lies within the claim's margin. `different`: it excludes 0.
    `cannot tell`: neither, or fewer than three runs on a side, which say nothing of how runs differ.

    How it misleads: the interval of the difference takes lab and run to be independent and each interval to be
    symmetric enough; what is the same number may have another cause.

    Args:
        effects: By (claim, evidence).
        synthetic: Name of the lab's evidence.
        others: Names of the runs.
    """
    rows = []
    for (claim, name), lab in effects.items():
        for other in others if name == synthetic else ():
            run = effects.get((claim, other), Effect())
            if np.isfinite(lab.value) and np.isfinite(run.value):
                rows.append(_row(claim, synthetic, lab, other, run))
    return pd.DataFrame(rows, columns=COLUMNS)


def _row(claim: str, synthetic: str, lab: Effect, other: str, run: Effect) -> dict[str, object]:
    gap = run.value - lab.value
    low = gap - float(np.hypot(run.value - run.low, lab.high - lab.value))
    high = gap + float(np.hypot(run.high - run.value, lab.value - lab.low))
    word = CANNOT_TELL
    if min(lab.n_runs, run.n_runs) >= MIN_RUNS:
        word = SAME if max(-low, high) <= lab.margin else DIFFERENT if low > 0 or high < 0 else CANNOT_TELL
    numbers = (lab.value, lab.low, lab.high, lab.n_runs, other, run.value, run.low, run.high, run.n_runs)
    return dict(zip(COLUMNS, (claim, lab.name, synthetic, *numbers, gap, low, high, lab.margin, word), strict=True))


ANSWER = [
    "id", "claim", "says", "effect", "synthetic", "synthetic_value", "synthetic_low", "synthetic_high",
    "synthetic_runs", "run", "run_value", "run_low", "run_high", "run_runs", "difference", "difference_low",
    "difference_high", "word",
]  # fmt: skip
NOT_BOTH = "not comparable: one side has no number"


def side_by_side(claims: pd.DataFrame, pairs: pd.DataFrame, synthetic: str, run: str) -> pd.DataFrame:
    """The answer of a replication: a row a claim, verdicts and numbers of lab and run, and their difference.

    How it misleads: the same verdict on both sides is not the same number, and the other way round; `word` is of the
    numbers.

    Args:
        claims: The table of `judge_claims`.
        pairs: Of `replication`.
        synthetic: Name of the lab's evidence.
        run: Name of the run's evidence.
    """
    sides = {name: claims[claims["evidence"] == name].set_index("id") for name in (synthetic, run)}
    lab, mine = sides[synthetic], sides[run]
    table = lab[["claim", "says", "effect"]].assign(effect=lab["effect"].where(lab["effect"] != "", mine["effect"]))
    for name, side in (("synthetic", lab), ("run", mine)):
        table[name] = side["verdict"]
        table[[f"{name}_value", f"{name}_low", f"{name}_high"]] = side[["effect_value", "effect_low", "effect_high"]]
    found = pairs[pairs["run"] == run].set_index("id")
    numbers = ["synthetic_runs", "run_runs", "difference", "difference_low", "difference_high"]
    table = table.join(found[numbers]).assign(word=found["word"].reindex(table.index).fillna(NOT_BOTH))
    return table.reset_index()[ANSWER]
