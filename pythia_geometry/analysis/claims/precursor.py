"""Does geometry lead behaviour, task by task?"""

from __future__ import annotations

import pandas as pd

from pythia_geometry.analysis.claims.evidence import BLOCKS, CENTRED, Evidence, Needs
from pythia_geometry.analysis.claims.ruling import DOES_NOT, IN_PART, REPLICATES, Rule, Ruling, not_enough
from pythia_geometry.analysis.precursor.task_matched_lag import LEADS
from pythia_geometry.analysis.precursor.verdict import UNTESTABLE, Verdict


def lead(evidence: Evidence) -> Ruling:
    """C4."""
    said, rows = [], []
    for model, verdict in evidence.precursors.items():
        if isinstance(verdict, str):
            said.append(f"{model}: {UNTESTABLE} ({verdict})")
            continue
        legs = [
            f"{name} lag {leg.lag:+.2f} (≥ {leg.lower:+.2f}), p {leg.p_specific:.3f}"
            for name, leg in verdict.legs.items()
        ]
        n = f"{evidence.runs(model)} runs, {len(verdict.power.screening.tasks)} tasks"
        said.append(f"{model}: {'; '.join([verdict.label, *legs, n])}")
        rows.append(verdict.power.screening.table.assign(model=model))
    labels = [UNTESTABLE if isinstance(v, str) else v.label for v in evidence.precursors.values()]
    found = [label == LEADS for label in labels if label != UNTESTABLE]
    traced = pd.concat(rows) if rows else pd.DataFrame()
    if not found:
        reasons = [f"{m}: {v.reasons[0]}" for m, v in evidence.precursors.items() if isinstance(v, Verdict)]
        return not_enough(" | ".join(said) + (f" — {reasons[0]}" if reasons else ""), traced)
    return Ruling(REPLICATES if all(found) else IN_PART if any(found) else DOES_NOT, " | ".join(said), traced)


def no_lead(evidence: Evidence) -> Ruling:
    """C11."""
    found = lead(evidence)
    turned = {REPLICATES: DOES_NOT, DOES_NOT: REPLICATES}.get(found.verdict, found.verdict)
    return Ruling(turned, found.value, found.rows)


RULES = {
    "lead": Rule(Needs((CENTRED,), BLOCKS, ("accuracy",)), lead),
    "no lead": Rule(Needs((CENTRED,), BLOCKS, ("accuracy",), pythia=True), no_lead),
}
