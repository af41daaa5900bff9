"""In which order do the layers fall?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from pythia_geometry.analysis.claims.evidence import BLOCKS, UNCENTRED, Evidence, Needs
from pythia_geometry.analysis.claims.ruling import Effect, Rule, Ruling, Truth, by_votes, not_enough, share_interval
from pythia_geometry.analysis.events.collapse import TRANSIENT, WHOLE
from pythia_geometry.analysis.events.layer_order import depth_order, layer_order

SHUFFLES = 500
MADE_UP_LAYERS, SMOOTH = 4, 0.9  # of the null: times of neighbouring layers correlate so


def order(evidence: Evidence) -> Ruling:
    """C3: one vote a design, a run weighs by its voting tasks. The transient; on Pythia the whole curve's fall."""
    rows = evidence.falls[evidence.falls["measure"] == UNCENTRED]
    ordered = layer_order(rows.assign(task=rows["key"]), WHOLE if evidence.is_pythia else TRANSIENT)
    able = ordered.dropna(subset=["tau"])
    if able.empty:
        return not_enough("needs a run with two blocks that collapse", ordered)
    tau = able.groupby(["model", "seed"])["tau"].agg(["median", "size"])
    design = (tau["median"] * tau["size"]).groupby("model").sum() / tau["size"].groupby("model").sum()
    cast = design[design != 0]
    if cast.empty:
        return not_enough("every design is tied", ordered)
    word, p = by_votes([value < 0 for value in cast], len(design))
    top, n = int((cast < 0).sum()), len(cast)
    told = tau.reset_index()
    counts = {str(m): f"{len(rows)} runs, {rows['size'].sum()} votes" for m, rows in told.groupby("model")}
    by_design = ", ".join(f"{m} {v:+.2f} ({counts[str(m)]})" for m, v in design.items())
    value = (
        f"{top} of {n} designs top-down, sign test p {p:.2g}; with layers shuffled p {_shuffled_p(able):.2g}, which "
        f"takes layers to be independent; τ by design: {by_design}"
    )
    effect = Effect("share of designs that run top-down", top / n, *share_interval(top, n), n, 0.2)
    return Ruling(word, value, ordered, effect)


def _shuffled_p(able: pd.DataFrame, seed: int = 0) -> float:
    """P of the mean over runs of τ if each run's layers stood in a random order, the same for all its tasks."""
    rng = np.random.default_rng(seed)
    runs = [(rows["tau"].median(), int(rows["n_layers"].max())) for _, rows in able.groupby(["model", "seed"])]
    own = float(np.mean([tau for tau, _ in runs]))
    places = {n: np.arange(n, dtype=float) for _, n in runs}
    drawn = [np.mean([depth_order(rng.permutation(places[n]), places[n]) for _, n in runs]) for _ in range(SHUFFLES)]
    return float((1 + np.sum(np.array(drawn) <= own + 1e-12)) / (1 + SHUFFLES))


def _made_up(name: str, what: str, slope: float) -> Truth:
    """Designs whose layers fall at times that follow a smooth random path over depth, plus a slope."""

    def said(n_runs: int, rng: np.random.Generator) -> str:
        votes = []
        for _ in range(n_runs):
            path = [rng.normal()]
            for _ in range(MADE_UP_LAYERS - 1):
                path.append(SMOOTH * path[-1] + np.sqrt(1 - SMOOTH**2) * rng.normal())
            place = np.arange(MADE_UP_LAYERS, dtype=float)
            tau = depth_order(np.array(path) - slope * place, place)
            votes += [tau < 0] if tau else []
        return by_votes(votes, n_runs)[0]

    return Truth(name, what, said)


RULES = {
    "order": Rule(
        Needs((UNCENTRED,), BLOCKS),
        order,
        (
            _made_up("null", "times that wander smoothly over depth, no order", 0.0),
            _made_up("the paper's effect", "the same, and each layer a standard deviation after the next", 1.0),
        ),
    )
}
