"""Does the floor depend on the size of the model?"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pythia_geometry.analysis.claims.evidence import FINAL_NORM, UNCENTRED, Evidence, Needs
from pythia_geometry.analysis.claims.operating import in_words
from pythia_geometry.analysis.claims.ruling import (
    DOES_NOT,
    REPLICATES,
    UNDECIDED,
    Effect,
    Rule,
    Ruling,
    Truth,
    not_enough,
)
from pythia_geometry.analysis.claims.scale_invariance import DEPENDS, INVARIANT, MARGIN, over_runs, scaling
from pythia_geometry.analysis.events.collapse import WHOLE

MIN_SCALED = 3  # tasks
MIN_RUNS = 4
SLOPES = {"null": 0.5, "the paper's effect": 0.0}  # ln units a decade
DRAWS = 400
RUN_SPREAD = 0.15  # ln units between runs of one size in the made-up truths


def scale(evidence: Evidence) -> Ruling:
    """C2: the wider interval of over runs and over tasks."""
    rows = evidence.falls
    rows = rows[(rows["layer"] == FINAL_NORM) & (rows["phase"] == WHOLE) & (rows["measure"] == UNCENTRED)]
    sizes = rows["model"].map(evidence.parameters)
    rows = rows.assign(parameters=sizes, value=rows["floor"], task=rows["key"]).dropna(subset=["parameters", "value"])
    found = scaling(rows)
    if found.n_tasks < MIN_SCALED:
        return not_enough(f"needs {MIN_SCALED} tasks in all sizes, has {found.n_tasks}", rows)
    if found.n_runs < MIN_RUNS:
        return not_enough(f"needs {MIN_RUNS} runs, has {found.n_runs}: walk another seed", rows)
    verdict = {INVARIANT: REPLICATES, DEPENDS: DOES_NOT}.get(found.verdict, UNDECIDED)
    value = (
        f"slope {found.slope:+.2f} a decade of parameters ({found.low:+.2f} to {found.high:+.2f}, the wider of over "
        f"runs and tasks); {found.n_sizes} sizes, {found.n_tasks} tasks, {found.n_runs} runs"
    )
    effect = Effect("slope of ln floor a decade", found.slope, found.low, found.high, found.n_runs, MARGIN)
    log_sizes = np.log10(rows.drop_duplicates(["model", "seed"])["parameters"].to_numpy(dtype=float))
    return Ruling(verdict, value, rows, effect, _on_sizes(log_sizes))


def _word(x: NDArray[np.float64], slope: float, rng: np.random.Generator) -> str:
    """What is said of one draw of runs at these log10 sizes [R]."""
    low, high = over_runs(x, slope * x + rng.normal(0, RUN_SPREAD, len(x)))
    return REPLICATES if max(-low, high) < MARGIN else DOES_NOT if low > MARGIN or high < -MARGIN else UNDECIDED


def _on_sizes(x: NDArray[np.float64]) -> str:
    """How often each word is said at the log10 sizes of these runs [R]: two near sizes can hardly show a flat slope."""
    rng = np.random.default_rng(0)
    rates = {
        truth: pd.Series([_word(x, slope, rng) for _ in range(DRAWS)]).value_counts(normalize=True)
        for truth, slope in SLOPES.items()
    }
    return f"on these {len(x)} runs' sizes: {in_words(rates)}"


def _made_up(name: str, slope: float) -> Truth:
    def said(n_runs: int, rng: np.random.Generator) -> str:
        if n_runs < MIN_RUNS:
            return UNDECIDED
        return _word(np.resize(np.linspace(5, 7, 4), n_runs), slope, rng)

    return Truth(name, f"slope {slope:g} a decade over four sizes, runs of a size differ by {RUN_SPREAD:g}", said)


RULES = {
    "scale": Rule(
        Needs((UNCENTRED,), FINAL_NORM, sizes=2), scale, tuple(_made_up(name, slope) for name, slope in SLOPES.items())
    )
}
