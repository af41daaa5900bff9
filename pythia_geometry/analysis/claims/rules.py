"""The statistic and the rule of each claim, on one body of evidence. `data/claims.toml` states them in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from pythia_geometry.analysis.behaviour.table import tidy
from pythia_geometry.analysis.claims.difficulty import coarse_difficulty, concordance, swap_test
from pythia_geometry.analysis.claims.scale_invariance import DEPENDS, INVARIANT, scaling
from pythia_geometry.analysis.events.collapse import COLLAPSES, TRANSIENT, WHOLE, collapses
from pythia_geometry.analysis.events.layer_order import layer_order, sign_test, votes
from pythia_geometry.analysis.events.onsets import EMERGES, onsets
from pythia_geometry.analysis.precursor.task_matched_lag import LEADS
from pythia_geometry.analysis.precursor.verdict import UNTESTABLE, Verdict, precursors
from pythia_geometry.errors import PythiaGeometryError

REPLICATES, DOES_NOT, IN_PART, UNDECIDED, NOT_TESTABLE = (
    "replicates",
    "does not replicate",
    "in part",
    "undecided",
    "not testable here",
)
UNCENTRED, CENTRED = "rankme", "rankme_centred"
UNIVERSAL = 0.9
FINE = (0.35, 0.65)
SWAPPED, MIN_SWAPS = 0.60, 10
MIN_SCALED = 3  # tasks


@dataclass(frozen=True, eq=False)
class Evidence:
    """Runs that speak to the claims as one.

    Attributes:
        name: Column of the table.
        geometry: Tidy rows with RankMe uncentred and centred, every layer.
        behaviour: Tidy rows with accuracy and log-probability.
        parameters: Size of each model, where known and comparable (one architecture): slopes and swaps over sizes
            read these models alone.
        is_pythia: Whether these are Pythia runs.
        exchangeable: Tasks for the precursor test, which permutes them: no two of one family. All where empty.
    """

    name: str
    geometry: pd.DataFrame
    behaviour: pd.DataFrame
    parameters: Mapping[str, int] = field(default_factory=dict)
    is_pythia: bool = False
    exchangeable: frozenset[str] = frozenset()

    @cached_property
    def models(self) -> list[str]:
        """Models, the smallest first where sizes are known."""
        return sorted(self.geometry["model"].unique(), key=lambda m: (self.parameters.get(m, 0), m))

    @cached_property
    def falls(self) -> pd.DataFrame:
        """Collapses of every curve of own prompts, not of shuffled controls."""
        rows = self.geometry
        if "probe" in rows:
            rows = rows[~rows["probe"].astype(str).str.endswith(":shuffled")]
        return collapses(rows, (UNCENTRED, CENTRED))

    @cached_property
    def onsets(self) -> pd.DataFrame:
        """When accuracy came halfway."""
        rows = self.behaviour[self.behaviour["metric"] == "accuracy"]
        return onsets(tidy(rows, self.name), rules=("F50",))

    @cached_property
    def precursors(self) -> dict[str, Verdict | str]:
        """The precursor test of each model, its seeds together; the reason where it cannot be run."""
        found: dict[str, Verdict | str] = {}
        for model in self.models:
            g, b = (self._tested(frame[frame["model"] == model]) for frame in (self.geometry, self.behaviour))
            try:
                found[model] = precursors(g, b)
            except PythiaGeometryError as problem:
                found[model] = str(problem)
        return found

    def _tested(self, rows: pd.DataFrame) -> pd.DataFrame:
        return rows[rows["task"].isin(self.exchangeable)] if self.exchangeable else rows

    def runs(self, model: str | None = None) -> int:
        """Runs, of one model or of all."""
        rows = self.geometry if model is None else self.geometry[self.geometry["model"] == model]
        return len(rows[["model", "seed"]].drop_duplicates())

    def floors(self, model: str) -> pd.DataFrame:
        """One row a task of a model: predictor (the floor) and the onset's interval, medians over seeds."""
        mine = self.falls[(self.falls["model"] == model) & (self.falls["layer"] == "final_norm")]
        mine = mine[(mine["phase"] == WHOLE) & (mine["measure"] == UNCENTRED)]
        keys = [key for key in ("probe", "task") if key in mine]
        when = self.onsets[self.onsets["model"] == model]
        came = when.assign(**{c: when[c].where(when["label"] == EMERGES) for c in ("after", "by")})
        half = came.groupby(keys)["by"].apply(lambda by: by.notna().mean() > 0.5)
        table = mine.groupby(keys)["floor"].median().rename("predictor").to_frame()
        table = table.join(came.groupby(keys)[["after", "by"]].median())
        table.loc[~half.reindex(table.index, fill_value=False), ["after", "by"]] = np.nan
        table["after"] = table["after"].fillna(0).where(table["by"].notna())
        table = table.dropna(subset=["predictor"]).reset_index()
        return table.assign(task=table[keys].astype(str).agg("/".join, axis=1))


@dataclass(frozen=True, eq=False)
class Ruling:
    """What one body of evidence says of one claim.

    Attributes:
        verdict: replicates, does not replicate, in part, undecided, not testable here.
        value: The statistic in words, with its interval and n.
        rows: The rows it was computed from.
    """

    verdict: str
    value: str
    rows: pd.DataFrame


Rule = Callable[[Evidence], Ruling]


def _cannot(why: str, rows: pd.DataFrame | None = None) -> Ruling:
    return Ruling(NOT_TESTABLE, why, pd.DataFrame() if rows is None else rows)


def collapse_rule(evidence: Evidence) -> Ruling:
    """C1 and C10."""
    rows = evidence.falls
    rows = rows[(rows["layer"] == "final_norm") & (rows["phase"] == WHOLE)]
    if rows.empty:
        return _cannot("no rows of layer final_norm")
    shares, parts = {}, []
    for measure, name in ((UNCENTRED, "uncentred"), (CENTRED, "centred")):
        fell = rows.loc[rows["measure"] == measure, "label"] == COLLAPSES
        shares[measure] = float(fell.mean()) if len(fell) else 0.0
        parts.append(f"{int(fell.sum())}/{len(fell)} {name}")
    both = [share >= UNIVERSAL for share in shares.values()]
    verdict = REPLICATES if all(both) else IN_PART if both[0] else DOES_NOT
    return Ruling(verdict, f"{', '.join(parts)} of task × run; {evidence.runs()} runs", rows)


def scale_rule(evidence: Evidence) -> Ruling:
    """C2."""
    rows = evidence.falls
    rows = rows[(rows["layer"] == "final_norm") & (rows["phase"] == WHOLE) & (rows["measure"] == UNCENTRED)]
    sizes = rows["model"].map(evidence.parameters)
    if sizes.nunique() < 2:
        return _cannot("one size, or sizes unknown")
    rows = rows.assign(parameters=sizes, value=rows["floor"]).dropna(subset=["parameters", "value"])
    found = scaling(rows)
    if found.n_tasks < MIN_SCALED:
        return _cannot(f"{found.n_tasks} tasks in all sizes", rows)
    verdict = {INVARIANT: REPLICATES, DEPENDS: DOES_NOT}.get(found.verdict, UNDECIDED)
    value = f"slope {found.slope:+.2f} a decade ({found.low:+.2f} … {found.high:+.2f}); {found.n_sizes} sizes, "
    return Ruling(verdict, value + f"{found.n_tasks} tasks, {found.n_runs} runs", rows)


def order_rule(evidence: Evidence) -> Ruling:
    """C3: the transient where its window holds one, else the whole curve's fall."""
    rows = evidence.falls[evidence.falls["measure"] == UNCENTRED]
    voted = votes(layer_order(rows, WHOLE if evidence.is_pythia else TRANSIENT))
    n_top, n_votes, p = sign_test(voted)
    if not n_votes:
        return _cannot("no run has two blocks that collapse", voted)
    value = f"{n_top} of {n_votes} runs top-down, sign test p = {p:.2g}"
    if p <= 0.05:
        return Ruling(REPLICATES, value, voted)
    return Ruling(DOES_NOT if 2 * n_top < n_votes else UNDECIDED, f"{value}: too few runs to decide", voted)


def lead_rule(evidence: Evidence) -> Ruling:
    """C4, and C11 turned round."""
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
    tested = [label for label in labels if label != UNTESTABLE]
    found = [label == LEADS for label in tested]
    verdict = NOT_TESTABLE if not tested else REPLICATES if all(found) else IN_PART if any(found) else DOES_NOT
    reasons = [f"{m}: {v.reasons[0]}" for m, v in evidence.precursors.items() if isinstance(v, Verdict)]
    why = f" — {reasons[0]}" if verdict == NOT_TESTABLE and reasons else ""
    return Ruling(verdict, " | ".join(said) + why, pd.concat(rows) if rows else pd.DataFrame())


def pythia_collapse_rule(evidence: Evidence) -> Ruling:
    """C10."""
    return collapse_rule(evidence) if evidence.is_pythia else _cannot("not a Pythia run")


def no_lead_rule(evidence: Evidence) -> Ruling:
    """C11."""
    if not evidence.is_pythia:
        return _cannot("not a Pythia run")
    found = lead_rule(evidence)
    turned = {REPLICATES: DOES_NOT, DOES_NOT: REPLICATES}.get(found.verdict, found.verdict)
    return Ruling(turned, found.value, found.rows)


def coarse_rule(evidence: Evidence) -> Ruling:
    """C7, in the model with the most runs (the largest of those)."""
    model = max(evidence.models, key=lambda m: (evidence.runs(m), evidence.parameters.get(m, 0)))
    tasks = evidence.floors(model)
    found = coarse_difficulty(tasks)
    if np.isnan(found.rho):
        return _cannot(f"{found.n} tasks, {found.n_emerged} emerged: no ranks to compare", tasks)
    value = f"ρ {found.rho:+.2f} ({found.low:+.2f} … {found.high:+.2f}), p = {found.p:.2g}; {model}, {found.n} tasks, "
    good = found.p <= 0.05 and found.rho < 0
    return Ruling(REPLICATES if good else DOES_NOT, value + f"{evidence.runs(model)} runs", tasks)


def fine_rule(evidence: Evidence) -> Ruling:
    """C8, in the same model as C7; classes are the earlier and the later half of the tasks that emerged."""
    model = max(evidence.models, key=lambda m: (evidence.runs(m), evidence.parameters.get(m, 0)))
    tasks = evidence.floors(model)
    emerged = tasks.dropna(subset=["by"]).sort_values("by")
    cut = len(emerged) // 2
    classes = {"earlier": emerged.iloc[:cut], "later": emerged.iloc[cut:]}
    found = {name: concordance(rows, higher_is_later=False) for name, rows in classes.items()}
    if min(c.total for c in found.values()) == 0:
        return _cannot("no pairs of tasks whose onsets are apart", tasks)
    value = ", ".join(f"{c.fair:.2f} {name} half ({c.total} pairs)" for name, c in found.items())
    blind = all(FINE[0] <= c.fair <= FINE[1] for c in found.values())
    marked = pd.concat([rows.assign(half=name) for name, rows in classes.items()])
    return Ruling(REPLICATES if blind else DOES_NOT, f"{value}; {model}, {evidence.runs(model)} runs", marked)


def swap_rule(evidence: Evidence) -> Ruling:
    """C9, between the smallest and the largest model of the evidence."""
    sized = [model for model in evidence.models if model in evidence.parameters]
    if len(sized) < 2:
        return _cannot("one model, or sizes unknown")
    small, large = sized[0], sized[-1]
    of_small, of_large = evidence.floors(small), evidence.floors(large)
    found = swap_test(of_small, of_large, higher_is_later=False)
    rows = pd.concat([of_small.assign(model=small), of_large.assign(model=large)])
    value = f"right in both {found.both:.2f}, mean {found.mean:.2f} over {found.n} pairs; {small} and {large}"
    if found.n < MIN_SWAPS:
        return _cannot(value if found.n else f"no pair of tasks reverses between {small} and {large}", rows)
    return Ruling(REPLICATES if found.mean <= SWAPPED else DOES_NOT, value, rows)


RULES: dict[str, Rule] = {
    "C1": collapse_rule,
    "C2": scale_rule,
    "C3": order_rule,
    "C4": lead_rule,
    "C7": coarse_rule,
    "C8": fine_rule,
    "C9": swap_rule,
    "C10": pythia_collapse_rule,
    "C11": no_lead_rule,
}
"""By claim; the others have no measure in the project yet."""
