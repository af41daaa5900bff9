"""Does RankMe fall to a floor in every task?"""

from __future__ import annotations

from pythia_geometry.analysis.claims.evidence import CENTRED, FINAL_NORM, UNCENTRED, Evidence, Needs
from pythia_geometry.analysis.claims.ruling import DOES_NOT, IN_PART, REPLICATES, Rule, Ruling
from pythia_geometry.analysis.events.collapse import COLLAPSES, WHOLE

UNIVERSAL = 0.9
BOTH = (UNCENTRED, CENTRED)


def collapse(evidence: Evidence) -> Ruling:
    """C1 and C10."""
    rows = evidence.falls
    rows = rows[(rows["layer"] == FINAL_NORM) & (rows["phase"] == WHOLE)]
    shares, parts = {}, []
    for measure, name in ((UNCENTRED, "uncentred"), (CENTRED, "centred")):
        fell = rows.loc[rows["measure"] == measure, "label"] == COLLAPSES
        shares[measure] = float(fell.mean())
        parts.append(f"{int(fell.sum())}/{len(fell)} {name}")
    both = [share >= UNIVERSAL for share in shares.values()]
    verdict = REPLICATES if all(both) else IN_PART if both[0] else DOES_NOT
    return Ruling(verdict, f"{', '.join(parts)} of task × run; {evidence.runs()} runs", rows)


RULES = {
    "collapse": Rule(Needs(BOTH, FINAL_NORM), collapse),
    "pythia collapse": Rule(Needs(BOTH, FINAL_NORM, pythia=True), collapse),
}
