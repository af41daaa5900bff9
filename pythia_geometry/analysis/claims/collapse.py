"""Does RankMe fall to a floor in every task, come back, and do so before behaviour?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from pythia_geometry.analysis.claims.evidence import CENTRED, FINAL_NORM, UNCENTRED, Evidence, Needs
from pythia_geometry.analysis.claims.ruling import (
    IN_PART,
    REPLICATES,
    UNDECIDED,
    Effect,
    Rule,
    Ruling,
    Truth,
    by_votes,
    not_enough,
    share_interval,
)
from pythia_geometry.analysis.events.collapse import COLLAPSES, WHOLE, find_collapses
from pythia_geometry.analysis.worlds.designs import GRID_154, Design
from pythia_geometry.analysis.worlds.made_up import WORLDS, draw

YES, NO = 0.9, 0.5  # shares of a run's tasks from which on it votes for the pattern, up to which against
BOTH = (UNCENTRED, CENTRED)
RUN = ["model", "seed"]
MADE_UP_TASKS, MADE_UP_MIDDLES = 24, (3.0, 4.8)  # log10 steps; the collapse lies at 1.8


def collapse(evidence: Evidence) -> Ruling:
    """C1 and C10: fall, recovery, and both before behaviour is halfway; one vote a run and convention."""
    rows = evidence.falls
    rows = rows[(rows["layer"] == FINAL_NORM) & (rows["phase"] == WHOLE)]
    rows = rows.merge(evidence.onset_steps, how="left", on=[*RUN, "key"])
    rows = rows.assign(shows=_shows(rows))
    words, parts, votes = {}, [], {}
    for measure, name in ((UNCENTRED, "uncentred"), (CENTRED, "centred")):
        mine = rows[rows["measure"] == measure]
        votes[measure] = _votes(mine)
        if not votes[measure]:
            unclear = f"no run of {measure} whose vote is clear: between half and nine tenths of its tasks"
            return not_enough(evidence.late if mine.empty and evidence.late else unclear, rows)
        words[measure], p = by_votes(votes[measure], len(mine[RUN].drop_duplicates()))
        fell, back = (mine["label"] == COLLAPSES), mine["recovers"].astype(bool)
        n = len(votes[measure])
        parts.append(
            f"{name}: {int(fell.sum())} fall, {int((fell & back).sum())} recover, {int(mine['shows'].sum())} in order, "
            f"of {len(mine)} tasks × runs; {sum(votes[measure])} of {n} runs for it, sign test p {p:.2g}"
        )
    left_out = f"; {evidence.late}" if evidence.late else ""
    yes, n = sum(votes[UNCENTRED]), len(votes[UNCENTRED])
    effect = Effect("share of runs that show it, uncentred", yes / n, *share_interval(yes, n), n, 0.2)
    return Ruling(
        _both(words[UNCENTRED], words[CENTRED]), f"{'; '.join(parts)}; {evidence.runs()} runs{left_out}", rows, effect
    )


def _shows(rows: pd.DataFrame) -> pd.Series:
    """Falls, recovers, and both before behaviour is halfway, where behaviour comes at all."""
    in_order = rows["half_by"] <= rows["onset_by"].fillna(np.inf)
    return (rows["label"] == COLLAPSES) & rows["recovers"].astype(bool) & in_order


def _votes(rows: pd.DataFrame) -> list[bool]:
    """One vote a run; none where the share lies between the two lines."""
    shares = rows.groupby(RUN)["shows"].mean()
    return [share >= YES for share in shares if share >= YES or share <= NO]


def _both(uncentred: str, centred: str) -> str:
    """Refuting needs both conventions, as confirming does."""
    if uncentred == centred:
        return uncentred
    return IN_PART if REPLICATES in (uncentred, centred) else UNDECIDED


def _made_up(name: str) -> Truth:
    """The same vote on made-up runs: geometry that collapses and recovers ahead, or a walk that does nothing.

    Behaviour comes a decade after the collapse or later: a task that is learnt while all collapse shows no floor, and
    what the claim says is not true of it.
    """

    def said(n_runs: int, rng: np.random.Generator) -> str:
        votes = []
        for _ in range(n_runs):
            middles = rng.uniform(*MADE_UP_MIDDLES, MADE_UP_TASKS)
            drawn = draw(WORLDS[name], Design(GRID_154, MADE_UP_TASKS, midpoints=middles), rng)
            falls = [find_collapses(drawn.steps, np.exp(g), 0.03 * np.exp(g))[2] for g in drawn.geometry]
            onset = drawn.steps[np.searchsorted(drawn.steps, 10**drawn.midpoints).clip(max=len(drawn.steps) - 1)]
            shows = np.mean(
                [f.label == COLLAPSES and f.recovers and f.half_by <= o for f, o in zip(falls, onset, strict=True)]
            )
            votes += [shows >= YES] if shows >= YES or shows <= NO else []
        return by_votes(votes, n_runs)[0]

    what = "random walks" if name == "RW" else "collapse, then recovery half a decade before behaviour"
    return Truth("null" if name == "RW" else "the paper's effect", f"{what}, {MADE_UP_TASKS} tasks", said)


_TRUTHS = (_made_up("RW"), _made_up("LEAD 0.5"))
RULES = {
    "collapse": Rule(Needs(BOTH, FINAL_NORM, ("accuracy",)), collapse, _TRUTHS),
    "pythia collapse": Rule(Needs(BOTH, FINAL_NORM, ("accuracy",), pythia=True), collapse, _TRUTHS),
}
