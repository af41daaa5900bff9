"""S1 and S2: capabilities appear abruptly and scatter over seeds, and each jump comes with an attention pattern.

Source: Baherwani et al. 2026 (arXiv 2606.25010); the numbers of an independent reproduction stand beside them in
docs/heads.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from pythia_geometry.analysis.claims.evidence import Evidence, Needs
from pythia_geometry.analysis.claims.pattern_runs import base_arms_in_both_forms, of_base
from pythia_geometry.analysis.claims.ruling import (
    DOES_NOT,
    IN_PART,
    REPLICATES,
    UNDECIDED,
    Effect,
    Rule,
    Ruling,
    Truth,
    not_enough,
)
from pythia_geometry.analysis.curves.probability import PROBABILITY
from pythia_geometry.analysis.events.coincidence import COINCIDES, Coincidence, coincidence
from pythia_geometry.analysis.events.coincidence import NOT_TESTABLE as NO_TEST
from pythia_geometry.analysis.events.paired_onsets import UNIT, onset_indices, paired_onsets
from pythia_geometry.analysis.events.survival import kaplan_meier, log_rank
from pythia_geometry.analysis.precursor.multiplicity import benjamini_hochberg
from pythia_geometry.analysis.tables.reading import unmarked
from pythia_geometry.analysis.tables.step_curves import running_median
from pythia_geometry.analysis.worlds.designs import GRID_154
from pythia_geometry.analysis.worlds.onset_worlds import ONSET_WORLDS, OnsetWorld, draw_units

LEVEL = 0.05
MIN_SEEDS = 3
ABRUPT = 0.5  # share of the rise within a doubling of the steps
MIN_SCATTER = 2.0  # checkpoints
CLOSE = 0.5  # share of units within one checkpoint
HEAD_TABLES = Needs(measures=("target_mass",), layer="model", metrics=(PROBABILITY,))
POWERFUL = 8  # seeds at which a planted coincidence is found nine times in ten (docs/heads.md)


def scatter(evidence: Evidence) -> Ruling:
    """S1: abrupt, scattered over seeds, larger models earlier; three parts, each by its own number."""
    return _of_units(emergence_units(evidence.behaviour), evidence.parameters)


def _of_units(units: pd.DataFrame, parameters: Mapping[str, int]) -> Ruling:
    came = units.dropna(subset=["by"])
    cells = came.groupby(["model", "probe", "task"])["index"]
    scatter = cells.std(ddof=1)[cells.size() >= MIN_SEEDS]
    if scatter.empty:
        most = int(cells.size().max()) if len(came) else 0
        why = f"a capability emerged in {most} seeds of a model at most; needs {MIN_SEEDS}, walk --seeds all"
        return not_enough(why, units)
    trend = _trend(units, parameters)
    parts = {
        "abrupt": bool(came["abrupt"].median() >= ABRUPT),
        "scattered": bool(scatter.median() >= MIN_SCATTER),
        "larger earlier": None if trend is None else bool(trend[1] <= LEVEL and trend[0] > 0),
    }
    value = (
        f"median share of the rise within a doubling of steps {came['abrupt'].median():.2f}; "
        f"median scatter {scatter.median():.1f} checkpoints over {len(scatter)} model × capability; "
        f"{_trend_words(trend)}; {len(came)} of {len(units)} units emerged"
    )
    held = [part for part in parts.values() if part]
    word = REPLICATES if len(held) == len(parts) else IN_PART if held else DOES_NOT
    return Ruling(word, value, units, Effect(n_runs=int(cells.size().max())))


def emergence_units(behaviour: pd.DataFrame) -> pd.DataFrame:
    """When each capability emerged in each run: its probability if the table has it, else its accuracy (rule F50).

    Returns:
        One row a run and task: model, seed, probe, task, after, by (NaN: not before the last step), last, index (of
        `by` among the steps), abrupt (largest share of the rise within a doubling of the steps).
    """
    metric = PROBABILITY if (behaviour["metric"] == PROBABILITY).any() else "accuracy"
    rows = behaviour[(behaviour["metric"] == metric) & unmarked(behaviour)]
    rows = rows[~rows["probe"].astype(str).str.endswith(":shuffled")]
    abrupt = [[*unit, abruptness(curve.sort_values("step"))] for unit, curve in rows.groupby(UNIT, sort=True)]
    return onset_indices(rows, UNIT).merge(pd.DataFrame(abrupt, columns=[*UNIT, "abrupt"]), on=UNIT)


def abruptness(curve: pd.DataFrame) -> float:
    """Largest share of a curve's rise that is made within a doubling of the steps."""
    step, value = curve["step"].to_numpy(dtype=float), running_median(curve["value"].to_numpy(dtype=float))
    rise = value.max() - value[0]
    until = np.searchsorted(step, 2 * np.maximum(step, 1), side="right") - 1
    return float((value[until] - value).max() / rise) if rise > 0 else float("nan")


def _trend(units: pd.DataFrame, parameters: Mapping[str, int]) -> tuple[float, float] | None:
    """Log-rank trend over sizes within capabilities, whole runs permuted: statistic and p; None with one size."""
    sizes = units["model"].map(parameters).astype(float)
    known = units[sizes.notna()]
    if sizes.nunique() < 2:
        return None
    strata = (known["probe"].astype(str) + "/" + known["task"].astype(str)).tolist()
    runs = (known["model"].astype(str) + "/" + known["seed"].astype(str)).tolist()
    found = log_rank(known["by"], known["last"], np.log10(sizes[sizes.notna()]), strata, runs=runs)
    return (found.statistic, found.p) if np.isfinite(found.p) else None


def _trend_words(trend: tuple[float, float] | None) -> str:
    if trend is None:
        return "order of sizes unknown (one size)"
    return f"larger models {'earlier' if trend[0] > 0 else 'later'}, log-rank trend p = {trend[1]:.2g}"


def survival_table(behaviour: pd.DataFrame) -> pd.DataFrame:
    """Kaplan–Meier by model and capability: model, probe, task, n, n_censored, median (step; NaN where not reached)."""
    rows = []
    for cell, runs in emergence_units(behaviour).groupby(["model", "probe", "task"], sort=True):
        found = kaplan_meier(runs["by"], runs["last"])
        rows.append([*cell, found.n, found.n_censored, found.median])
    return pd.DataFrame(rows, columns=["model", "probe", "task", "n", "n_censored", "median"])


def together(evidence: Evidence) -> Ruling:
    """S2: the jump coincides with the learning of a task-relevant pattern, summed over all heads."""
    if len(evidence.patterns):
        return _in_both_forms(Path(evidence.patterns["folder"].iloc[0]))
    if lack := evidence.lacks(HEAD_TABLES):
        return not_enough(lack)
    units = paired_onsets(evidence.own, evidence.behaviour, PROBABILITY)
    found = coincidence(units)
    rows = _by_cell(units)
    if found.label == NO_TEST:
        return not_enough(f"{found.reasons[0]}; {_counts(found)}", rows)
    first = found.order
    voted = first.pattern_first + first.behaviour_first
    sign = f"sign test p = {first.p:.2g}" if voted else "no run has an order"
    value = (
        f"median |Δ| {found.median_distance:.1f} checkpoints, {found.within_one:.0%} within one, p = {found.p:.2g}; "
        f"pattern first in {first.pattern_first} runs, tied in {first.tied}, behaviour first in {first.behaviour_first}"
        f" ({sign}); {_counts(found)}"
    )
    return Ruling(_word(found), value, rows, Effect(n_runs=found.n_runs))


def _in_both_forms(folder: Path) -> Ruling:
    """S2 on the patterns lab (decision 0015): at the largest size whose base arms are there in both forms."""
    arms = base_arms_in_both_forms(folder)
    if not arms:
        return not_enough("needs base arms of both forms: scripts/patterns_reference.py --all")
    found = {form: of_base(arm, folder) for form, arm in arms.items()}
    words = {_word(one) for one in found.values()}
    told = "; ".join(
        f"{arms[form]}: {one.label}, median |Δ| {one.median_distance:.1f} examinations, "
        f"{one.within_one:.0%} within one, p = {one.p:.2g}; {_counts(one)}"
        for form, one in found.items()
    )
    verdict = words.pop() if len(words) == 1 else IN_PART if words & {REPLICATES, IN_PART} else UNDECIDED
    # Each form is tested by itself, and both must hold: n is what the weaker test had.
    return Ruling(verdict, told, effect=Effect(n_runs=min(one.n_runs for one in found.values())))


def _word(found: Coincidence) -> str:
    if found.label == NO_TEST:
        return UNDECIDED
    if found.label == COINCIDES:
        return REPLICATES if found.within_one >= CLOSE else IN_PART
    return DOES_NOT if found.n_runs >= POWERFUL else UNDECIDED


def _counts(found: Coincidence) -> str:
    return (
        f"{found.n} units of {found.n_runs} runs tested, {found.neither} with neither onset, {found.pattern_only} with "
        f"the pattern alone, {found.behaviour_only} with the behaviour alone"
    )


def _by_cell(units: pd.DataFrame) -> pd.DataFrame:
    """The test of each model and capability by itself, with p adjusted over all of them."""
    names = ["label", "median_distance", "within_one", "p_other_seed", "n"]
    found = {cell: coincidence(runs) for cell, runs in units.groupby("cell", sort=True)}
    rows = [[cell, *(getattr(one, name) for name in names), "; ".join(one.reasons)] for cell, one in found.items()]
    table = pd.DataFrame(rows, columns=["cell", *names, "reason"]).assign(p_adjusted=np.nan)
    known = table["p_other_seed"].notna()
    table.loc[known, "p_adjusted"] = benjamini_hochberg(table.loc[known, "p_other_seed"])
    return table


def _made_up_together(world: OnsetWorld, name: str) -> Truth:
    """Four capabilities of so many seeds, on Pythia's own grid."""

    def said(n_runs: int, rng: np.random.Generator) -> str:
        units = draw_units(world, n_runs, CELLS, GRID_154, rng)
        return _word(coincidence(units, draws=199, seed=int(rng.integers(2**31))))

    return Truth(name, world.name, said)


def _made_up_scatter(name: str, what: str, faster: float) -> Truth:
    """Three sizes of so many seeds, four capabilities, abrupt and scattered; the larger earlier by some decades."""
    sizes = {"small": 10**7, "middle": 10**8, "large": 10**9}

    def said(n_runs: int, rng: np.random.Generator) -> str:
        at = rng.uniform(3.2, 4.6, CELLS)
        speeds = RUN_SPREAD * rng.normal(size=(len(sizes), n_runs))
        units = [
            [
                model,
                seed,
                "p",
                str(cell),
                10 ** (at[cell] - faster * place + speeds[place, seed] + SPREAD * rng.normal()),
            ]
            for place, model in enumerate(sizes)
            for seed in range(n_runs)
            for cell in range(CELLS)
        ]
        table = pd.DataFrame(units, columns=[*UNIT, "by"]).assign(last=GRID_154[-1], abrupt=0.8)
        index = np.searchsorted(GRID_154, table["by"]).astype(float)
        seen = index < len(GRID_154)
        by = np.where(seen, GRID_154[np.minimum(index, len(GRID_154) - 1).astype(int)], np.nan)
        return _of_units(table.assign(by=by, index=np.where(seen, index, np.nan)), sizes).verdict

    return Truth(name, what, said)


WORLDS = {world.name: world for world in ONSET_WORLDS}
CELLS = 4  # capabilities of a made-up suite
RUN_SPREAD = 0.15  # decades by which a run is early or late in everything
SPREAD = 0.2  # decades: the forty seeds of the reproduction emerge between steps 625 and 3,825
RULES = {
    "scatter": Rule(
        Needs(metrics=("accuracy",)),
        scatter,
        (
            _made_up_scatter(
                "null", "abrupt onsets that scatter over seeds, runs of a speed of their own; size says nothing", 0.0
            ),
            _made_up_scatter("the paper's effect", "the same, and each size .15 decades before the next smaller", 0.15),
        ),
    ),
    "together": Rule(
        Needs(),  # the patterns lab has tables of its own; of others `together` asks for HEAD_TABLES
        together,
        (
            _made_up_together(WORLDS["independent around a common trend"], "null"),
            _made_up_together(WORLDS["coincident"], "the paper's effect"),
        ),
    ),
}
