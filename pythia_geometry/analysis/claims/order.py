"""In which order do the layers fall?"""

from __future__ import annotations

from pythia_geometry.analysis.claims.evidence import BLOCKS, UNCENTRED, Evidence, Needs
from pythia_geometry.analysis.claims.ruling import DOES_NOT, REPLICATES, UNDECIDED, Rule, Ruling, not_enough
from pythia_geometry.analysis.events.collapse import TRANSIENT, WHOLE
from pythia_geometry.analysis.events.layer_order import layer_order, sign_test, votes


def order(evidence: Evidence) -> Ruling:
    """C3: the transient where its window holds one, else the whole curve's fall."""
    rows = evidence.falls[evidence.falls["measure"] == UNCENTRED]
    voted = votes(layer_order(rows, WHOLE if evidence.is_pythia else TRANSIENT))
    n_top, n_votes, p = sign_test(voted)
    if not n_votes:
        return not_enough("no run has two blocks that collapse", voted)
    value = f"{n_top} of {n_votes} runs top-down, sign test p = {p:.2g}"
    if p <= 0.05:
        return Ruling(REPLICATES, value, voted)
    return Ruling(DOES_NOT if 2 * n_top < n_votes else UNDECIDED, f"{value}: too few runs to decide", voted)


RULES = {"order": Rule(Needs((UNCENTRED,), BLOCKS), order)}
