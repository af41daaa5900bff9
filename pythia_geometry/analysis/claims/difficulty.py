"""Does geometry say which tasks are hard: coarsely, finely, and where their order reverses between models?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from pythia_geometry.analysis.claims.evidence import FINAL_NORM, UNCENTRED, Evidence, Needs
from pythia_geometry.analysis.claims.ranking import coarse_difficulty, concordance, swap_test
from pythia_geometry.analysis.claims.ruling import DOES_NOT, REPLICATES, Rule, Ruling, not_enough

FINE = (0.35, 0.65)
SWAPPED, MIN_SWAPS = 0.60, 10


def coarse(evidence: Evidence) -> Ruling:
    """C7, in the model with the most runs (the largest of those)."""
    model = _judged(evidence)
    tasks = evidence.floors(model)
    found = coarse_difficulty(tasks)
    if np.isnan(found.rho):
        return not_enough(f"{found.n} tasks, {found.n_emerged} emerged: no ranks to compare", tasks)
    value = f"ρ {found.rho:+.2f} ({found.low:+.2f} … {found.high:+.2f}), p = {found.p:.2g}; {model}, {found.n} tasks, "
    good = found.p <= 0.05 and found.rho < 0
    return Ruling(REPLICATES if good else DOES_NOT, value + f"{evidence.runs(model)} runs", tasks)


def fine(evidence: Evidence) -> Ruling:
    """C8, in the same model as C7; classes are the earlier and the later half of the tasks that emerged."""
    model = _judged(evidence)
    tasks = evidence.floors(model)
    emerged = tasks.dropna(subset=["by"]).sort_values("by")
    cut = len(emerged) // 2
    classes = {"earlier": emerged.iloc[:cut], "later": emerged.iloc[cut:]}
    found = {name: concordance(rows, higher_is_later=False) for name, rows in classes.items()}
    if min(c.total for c in found.values()) == 0:
        return not_enough("no pairs of tasks whose onsets are apart", tasks)
    value = ", ".join(f"{c.fair:.2f} {name} half ({c.total} pairs)" for name, c in found.items())
    blind = all(FINE[0] <= c.fair <= FINE[1] for c in found.values())
    marked = pd.concat([rows.assign(half=name) for name, rows in classes.items()])
    return Ruling(REPLICATES if blind else DOES_NOT, f"{value}; {model}, {evidence.runs(model)} runs", marked)


def swaps(evidence: Evidence) -> Ruling:
    """C9, between the smallest and the largest model of the evidence."""
    sized = [model for model in evidence.models if model in evidence.parameters]
    small, large = sized[0], sized[-1]
    of_small, of_large = evidence.floors(small), evidence.floors(large)
    found = swap_test(of_small, of_large, higher_is_later=False)
    rows = pd.concat([of_small.assign(model=small), of_large.assign(model=large)])
    value = f"right in both {found.both:.2f}, mean {found.mean:.2f} over {found.n} pairs; {small} and {large}"
    if found.n < MIN_SWAPS:
        return not_enough(value if found.n else f"no pair of tasks reverses between {small} and {large}", rows)
    return Ruling(REPLICATES if found.mean <= SWAPPED else DOES_NOT, value, rows)


def _judged(evidence: Evidence) -> str:
    return max(evidence.models, key=lambda m: (evidence.runs(m), evidence.parameters.get(m, 0)))


_TASKS = Needs((UNCENTRED,), FINAL_NORM, ("accuracy",))
RULES = {
    "coarse": Rule(_TASKS, coarse),
    "fine": Rule(_TASKS, fine),
    "swaps": Rule(Needs((UNCENTRED,), FINAL_NORM, ("accuracy",), sizes=2), swaps),
}
