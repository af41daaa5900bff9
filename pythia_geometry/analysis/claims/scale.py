"""Does the floor depend on the size of the model?"""

from __future__ import annotations

from pythia_geometry.analysis.claims.evidence import FINAL_NORM, UNCENTRED, Evidence, Needs
from pythia_geometry.analysis.claims.ruling import DOES_NOT, REPLICATES, UNDECIDED, Rule, Ruling, not_enough
from pythia_geometry.analysis.claims.scale_invariance import DEPENDS, INVARIANT, scaling
from pythia_geometry.analysis.events.collapse import WHOLE

MIN_SCALED = 3  # tasks


def scale(evidence: Evidence) -> Ruling:
    """C2."""
    rows = evidence.falls
    rows = rows[(rows["layer"] == FINAL_NORM) & (rows["phase"] == WHOLE) & (rows["measure"] == UNCENTRED)]
    sizes = rows["model"].map(evidence.parameters)
    rows = rows.assign(parameters=sizes, value=rows["floor"]).dropna(subset=["parameters", "value"])
    found = scaling(rows)
    if found.n_tasks < MIN_SCALED:
        return not_enough(f"{found.n_tasks} tasks in all sizes", rows)
    verdict = {INVARIANT: REPLICATES, DEPENDS: DOES_NOT}.get(found.verdict, UNDECIDED)
    value = f"slope {found.slope:+.2f} a decade ({found.low:+.2f} … {found.high:+.2f}); {found.n_sizes} sizes, "
    return Ruling(verdict, value + f"{found.n_tasks} tasks, {found.n_runs} runs", rows)


RULES = {"scale": Rule(Needs((UNCENTRED,), FINAL_NORM, sizes=2), scale)}
