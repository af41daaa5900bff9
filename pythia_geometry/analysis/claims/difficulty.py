"""Does geometry say which tasks are hard: coarsely, finely, and where their order reverses between models?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from pythia_geometry.analysis.claims.evidence import FINAL_NORM, UNCENTRED, Evidence, Needs
from pythia_geometry.analysis.claims.ranking import (
    Swaps,
    Timed,
    coarse_difficulty,
    order_matches,
    swap_test,
    timed_concordance,
)
from pythia_geometry.analysis.claims.ruling import (
    DOES_NOT,
    IN_PART,
    LEVEL,
    NOT_ENOUGH,
    NOT_SEEN,
    REPLICATES,
    SEEN,
    UNDECIDED,
    Effect,
    Rule,
    Ruling,
    Truth,
    not_enough,
)
from pythia_geometry.analysis.precursor.multiplicity import holm

LEAST = -0.57  # the weakest ρ that the paper reports
FINE = (0.35, 0.65)
MIN_SWAPS, MIN_RUNS, MIN_FAMILIES = 10, 3, 4
MOST_TIED = 0.5
MADE_UP_TASKS = 24


def coarse(evidence: Evidence) -> Ruling:
    """C7, in the model with the most runs (the largest of those)."""
    if not evidence.floored:
        return not_enough(_no_floor(evidence))
    model = _judged(evidence)
    runs = evidence.floors(model)
    found = coarse_difficulty(runs)
    rows = pd.concat(runs)
    if np.isnan(found.rho):
        return not_enough(
            f"needs four families of tasks whose floors and onsets differ, has {found.n_families} "
            f"({found.n_emerged} of {found.n} tasks emerged)",
            rows,
        )
    value = (
        f"ρ {found.rho:+.2f} ({found.low:+.2f} to {found.high:+.2f}), p {found.p:.2g}; {model}, {found.n} tasks in "
        f"{found.n_families} families, {found.n_runs} runs"
    )
    effect = Effect(f"ρ of floor and onset, {model}", found.rho, found.low, found.high, found.n_runs, 0.2)
    return Ruling(_coarse_word(found.rho, found.low, found.p, found.n_runs), value, rows, effect)


def _coarse_word(rho: float, low: float, p: float, n_runs: int) -> str:
    ranks, is_weaker = p <= LEVEL and rho < 0, low > LEAST
    if n_runs < MIN_RUNS:
        return SEEN if ranks else NOT_SEEN if is_weaker else UNDECIDED
    return (IN_PART if is_weaker else REPLICATES) if ranks else DOES_NOT if is_weaker else UNDECIDED


def fine(evidence: Evidence) -> Ruling:
    """C8, in C7's model; classes are the earlier and the later half of the tasks that emerged in every run."""
    if not evidence.floored:
        return not_enough(_no_floor(evidence))
    model = _judged(evidence)
    halves = _halves(evidence.floors(model))
    found = {name: timed_concordance(runs, higher_is_later=False) for name, runs in halves.items()}
    marked = pd.concat([rows.assign(half=name) for name, runs in halves.items() for rows in runs])
    if any(np.isnan(one.fair) for one in found.values()):
        return not_enough("needs pairs of tasks whose onsets are apart, in both halves", marked)
    if blind := [name for name, runs in halves.items() if _tied(runs) > MOST_TIED]:
        told = f"more than {MOST_TIED:.0%} of the {blind[0]} half's pairs have one floor"
        return not_enough(f"needs floors that differ: {told}, and a geometry that says nothing is no evidence", marked)
    n_runs, families = evidence.runs(model), min(int(runs[0]["family"].nunique()) for runs in halves.values())
    value = ", ".join(
        f"{name} half {c.fair:.2f} ({c.low:.2f} to {c.high:.2f}), p {c.p:.2g} (Holm {adjusted:.2g}), {c.n_pairs} pairs"
        for (name, c), adjusted in zip(found.items(), holm([c.p for c in found.values()]), strict=True)
    )
    last = found["later"]
    effect = Effect(f"concordance of the later half, {model}", last.fair, last.low, last.high, n_runs, 0.15)
    return Ruling(
        _fine_word(list(found.values()), n_runs, families), f"{value}; {model}, {n_runs} runs", marked, effect
    )


def _tied(runs: list[pd.DataFrame]) -> float:
    """Share of pairs of tasks in which the floor has no order: those would count as exact chance."""
    signs = np.concatenate([order_matches(rows, higher_is_later=False)[1] for rows in runs])
    return float((signs == 0).mean())


def _fine_word(found: list[Timed], n_runs: int, families: int) -> str:
    """Bootstraps of fewer than four families are too narrow to show that geometry says nothing."""
    differs = min(holm([one.p for one in found])) <= LEVEL
    is_blind = all(FINE[0] <= one.low and one.high <= FINE[1] for one in found) and families >= MIN_FAMILIES
    if n_runs < MIN_RUNS:
        return NOT_SEEN if differs else SEEN if is_blind else UNDECIDED
    return DOES_NOT if differs else REPLICATES if is_blind else UNDECIDED


def _halves(runs: list[pd.DataFrame]) -> dict[str, list[pd.DataFrame]]:
    """Earlier and later half of the tasks that emerged in every run, by the median over runs of when they had."""
    onset = (
        pd.concat(runs).groupby("task", sort=False)["by"].agg(lambda by: by.median() if by.notna().all() else np.nan)
    )
    order = onset.dropna().sort_values(kind="stable").index
    cut = len(order) // 2
    return {
        name: [rows[rows["task"].isin(kept)].reset_index(drop=True) for rows in runs]
        for name, kept in (("earlier", order[:cut]), ("later", order[cut:]))
    }


def swaps(evidence: Evidence) -> Ruling:
    """C9, between the smallest and the largest model of the evidence, on medians over their seeds."""
    sized = [model for model in evidence.floored if model in evidence.parameters]
    if len({evidence.parameters[model] for model in sized}) < 2:
        return not_enough(f"needs two sizes with floors, has {len(sized)}; {_no_floor(evidence)}")
    small, large = sized[0], sized[-1]
    of_small, of_large = evidence.middle(small), evidence.middle(large)
    found = swap_test(of_small, of_large, higher_is_later=False)
    rows = pd.concat([of_small.assign(model=small), of_large.assign(model=large)])
    seeds = f"{small} ({evidence.runs(small)} runs) and {large} ({evidence.runs(large)} runs)"
    if found.responsive < MIN_SWAPS:
        return not_enough(
            f"needs {MIN_SWAPS} pairs of tasks that reverse between {seeds} and whose geometry reverses too, has "
            f"{found.responsive} of {found.n}: a geometry that ignores size says nothing here",
            rows,
        )
    value = (
        f"geometry follows in {found.follows:.2f} ({found.low:.2f} to {found.high:.2f}), p {found.p:.2g}, of "
        f"{found.responsive} pairs in which it reverses, of {found.n} that behaviour reverses; right in both "
        f"{found.both:.2f} of all; {seeds}"
    )
    effect = Effect(
        "share of reversing pairs that geometry follows", found.follows, found.low, found.high, evidence.runs(), 0.15
    )
    word = _swap_word(found)
    if min(evidence.runs(small), evidence.runs(large)) < MIN_RUNS and word != UNDECIDED:
        return Ruling(UNDECIDED, f"{value}; fewer than {MIN_RUNS} runs of a size: would read {word!r}", rows, effect)
    return Ruling(word, value, rows, effect)


def _swap_word(found: Swaps) -> str:
    if found.p <= LEVEL and found.follows > 0.5:
        return DOES_NOT
    return REPLICATES if found.high < FINE[1] else UNDECIDED


def _judged(evidence: Evidence) -> str:
    return max(evidence.floored, key=lambda m: (evidence.runs(m), evidence.parameters.get(m, 0)))


def _no_floor(evidence: Evidence) -> str:
    return evidence.late or "no task has a floor that is seen in every run of a model; walk more steps, from step 0 on"


def _drawn(rho: float, n_runs: int, rng: np.random.Generator) -> list[pd.DataFrame]:
    """Floors and onsets of 24 tasks in eight families, whose Gaussian ranks correlate so; runs share most of both."""
    family = np.repeat(np.arange(MADE_UP_TASKS // 3), 3)
    shared = 0.8 * rng.normal(size=(2, MADE_UP_TASKS // 3))[:, family] + 0.6 * rng.normal(size=(2, MADE_UP_TASKS))
    runs = []
    for _ in range(n_runs):
        x, noise = shared + 0.3 * rng.normal(size=shared.shape)
        by = 1000 * np.exp(rho * x + np.sqrt(1 - rho**2) * noise)
        about = {"task": [f"t{k}" for k in range(MADE_UP_TASKS)], "family": [f"f{k}" for k in family]}
        runs.append(pd.DataFrame(about | {"predictor": x, "after": by * 0.9, "by": by}))
    return runs


def _coarse_truth(name: str, rho: float) -> Truth:
    def said(n_runs: int, rng: np.random.Generator) -> str:
        found = coarse_difficulty(_drawn(rho, n_runs, rng), int(rng.integers(2**31)))
        return _coarse_word(found.rho, found.low, found.p, n_runs)

    return Truth(name, f"ρ {rho:g} over 24 tasks in eight families", said)


def _fine_truth(name: str, rho: float) -> Truth:
    def said(n_runs: int, rng: np.random.Generator) -> str:
        halves = _halves(_drawn(rho, n_runs, rng))
        return _fine_word(
            [timed_concordance(runs, False, int(rng.integers(2**31))) for runs in halves.values()],
            n_runs,
            min(runs[0]["family"].nunique() for runs in halves.values()),
        )

    return Truth(name, f"ρ {rho:g} over 24 tasks in eight families", said)


def _swap_truth(name: str, rho: float) -> Truth:
    """Two sizes whose tasks stand in unrelated orders, so that half of all pairs reverse."""

    def said(n_runs: int, rng: np.random.Generator) -> str:
        sizes = [pd.concat(_drawn(rho, n_runs, rng)) for _ in range(2)]
        small, large = (t.groupby(["task", "family"], sort=False, as_index=False).median() for t in sizes)
        found = swap_test(small, large, False, int(rng.integers(2**31)))
        if found.responsive < MIN_SWAPS:
            return NOT_ENOUGH
        return UNDECIDED if n_runs < MIN_RUNS else _swap_word(found)

    return Truth(name, f"ρ {rho:g} within each of two sizes, 24 tasks in eight families", said)


_TASKS = Needs((UNCENTRED,), FINAL_NORM, ("accuracy",))
RULES = {
    "coarse": Rule(_TASKS, coarse, (_coarse_truth("null", 0.0), _coarse_truth("the paper's effect", -0.7))),
    "fine": Rule(_TASKS, fine, (_fine_truth("the paper's effect", 0.0), _fine_truth("geometry times tasks", -0.9))),
    "swaps": Rule(
        Needs((UNCENTRED,), FINAL_NORM, ("accuracy",), sizes=2),
        swaps,
        (_swap_truth("the paper's effect", 0.0), _swap_truth("geometry times tasks", -0.9)),
    ),
}
