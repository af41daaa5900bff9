"""Does geometry lead behaviour, task by task? The verdicts are those of `pythia-geom precursors`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pythia_geometry.analysis.claims.evidence import BLOCKS, CENTRED, UNCENTRED, Evidence, Needs
from pythia_geometry.analysis.claims.ruling import (
    DOES_NOT,
    IN_PART,
    NOT_SEEN,
    REPLICATES,
    SEEN,
    UNDECIDED,
    Effect,
    Rule,
    Ruling,
    not_enough,
)
from pythia_geometry.analysis.precursor.answer import verdict_table
from pythia_geometry.analysis.precursor.finding import (
    COUPLED,
    IN_THIS_RUN,
    LAGS,
    LEADS,
    LEADS_HERE,
    NO_LEAD,
    UNTESTABLE,
)
from pythia_geometry.analysis.precursor.verdict import Verdict

REFUTED = (COUPLED, LAGS, NO_LEAD)
SAME_LAG = 0.2  # decades


def lead(evidence: Evidence) -> Ruling:
    """C4: in the paper's convention, every testable model; both conventions are shown and corrected for."""
    verdicts, problem = evidence.precursors
    if not verdicts:
        return not_enough(problem)
    rows = verdict_table(verdicts)
    said = " | ".join(f"{v.model}, {v.measure}: {v.label} ({_figures(v)})" for v in verdicts)
    said += f" | left out: {problem}" if problem else ""
    tested = [v for v in verdicts if v.measure == UNCENTRED and v.label != UNTESTABLE]
    if not tested:
        return not_enough(
            f"no model could show a lead (power at half a decade under .5, or fewer than five families): {said}", rows
        )
    return Ruling(_word([v.label for v in tested]), said, rows, _effect(tested))


def no_lead(evidence: Evidence) -> Ruling:
    """C11: C4 turned round."""
    found = lead(evidence)
    turned = {REPLICATES: DOES_NOT, IN_PART: DOES_NOT, DOES_NOT: REPLICATES, SEEN: NOT_SEEN, NOT_SEEN: SEEN}
    return Ruling(turned.get(found.verdict, found.verdict), found.value, found.rows, found.effect)


def _word(labels: Sequence[str]) -> str:
    found = [label == LEADS for label in labels]
    if any(found):
        return REPLICATES if all(found) else IN_PART
    if all(label in REFUTED for label in labels):
        return DOES_NOT
    if len(labels) == 1 and labels[0].endswith(IN_THIS_RUN):
        if labels[0] == LEADS_HERE:
            return SEEN
        return NOT_SEEN if labels[0].removesuffix(IN_THIS_RUN) in REFUTED else UNDECIDED
    return UNDECIDED


def _figures(verdict: Verdict) -> str:
    found, chosen = verdict.finding, verdict.power.chosen
    n = f"{len(chosen.runs)} runs, {chosen.n_families} families, power {verdict.power.decisive:.2f}"
    if found is None:
        return n
    legs = [
        f"{name} lag {leg.lag:+.2f} ({leg.lower:+.2f} to {leg.upper:+.2f}), p {leg.p_specific:.3f}"
        for name, leg in found.legs.items()
    ]
    bend = "" if np.isnan(found.bend) else f", ended by a bend of {found.bend:g}"
    companion = (
        f", companion p {found.companion.p:.3f}, keeps {found.companion.kept:.2f}"
        if found.companion
        else ", no companion"
    )
    return f"{'; '.join(legs)}; p Holm {verdict.p_adjusted:.3f}{bend}{companion}; {n}"


def _effect(tested: Sequence[Verdict]) -> Effect:
    """Lag of the continuous leg in the model with the most runs."""
    verdict = max(tested, key=lambda v: len(v.power.chosen.runs))
    assert verdict.finding is not None
    leg = verdict.finding.decisive
    low = leg.lower if np.isnan(leg.runs_lower) else min(leg.lower, leg.runs_lower)
    high = leg.upper if np.isnan(leg.runs_lower) else max(leg.upper, 2 * float(np.mean(leg.run_lags)) - leg.runs_lower)
    return Effect(
        f"lag in decades, {UNCENTRED}, {verdict.model}", leg.lag, low, high, len(verdict.power.chosen.runs), SAME_LAG
    )


_NEEDS = ((CENTRED, UNCENTRED), BLOCKS, ("accuracy",))
RULES = {"lead": Rule(Needs(*_NEEDS), lead), "no lead": Rule(Needs(*_NEEDS, pythia=True), no_lead)}
"""Their rates are those of `calibrate-words`."""
