"""Runs that speak to the claims as one, and what of them is read: one position, own prompts, keys that stay keys.

A claim states what it needs (`Needs`). Where the evidence lacks it the answer is `not enough evidence`, with what to
type, and no number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from pythia_geometry.analysis.curves.behaviour import tidy
from pythia_geometry.analysis.events.collapse import PLATEAU, WHOLE, WINDOWS, collapses
from pythia_geometry.analysis.events.onsets import EMERGES, onsets
from pythia_geometry.analysis.precursor.families import HARDEST, families_of
from pythia_geometry.analysis.precursor.screening import screen_tasks
from pythia_geometry.analysis.precursor.tidy_tables import Question
from pythia_geometry.analysis.precursor.verdict import Verdict, precursors
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.suites.checkpoint import run_name

UNCENTRED, CENTRED = "rankme", "rankme_centred"
FINAL_NORM, BLOCKS = "final_norm", "resid_"
SHUFFLED = ":shuffled"
LATEST_START = int(WINDOWS[PLATEAU][1])
"""Last step at which a run may begin and still be asked where it falls."""


@dataclass(frozen=True)
class Needs:
    """What a rule reads; `Evidence.lacks` says in words what is missing.

    Attributes:
        measures: Geometry measures, all of them.
        layer: A layer, or the beginning of several layers' names (`resid_`).
        metrics: Behaviour metrics, all of them.
        sizes: Models whose sizes are known and differ.
        pythia: Whether only Pythia runs speak to the claim.
    """

    measures: tuple[str, ...] = ()
    layer: str = ""
    metrics: tuple[str, ...] = ()
    sizes: int = 0
    pythia: bool = False


@dataclass(frozen=True, eq=False)
class Evidence:
    """Runs that speak to the claims as one.

    Attributes:
        name: Column of the table.
        geometry: Tidy rows.
        behaviour: Tidy rows.
        parameters: Size of each model, where known and comparable (one architecture): slopes and swaps over sizes
            read these models alone.
        is_pythia: Whether these are Pythia runs.
        tasks: Which tasks the precursor test reads, as for `choose_tasks`.
        position: Where activations were read; rows of another position are not looked at.
        patterns: Runs of the patterns lab (`pattern_runs.read_runs`).
        surfaces: Runs whose loss surface and decoding were measured, with their own behaviour, where they are kept
            apart from the rows above: another training of the same seed has other weights.
        claims: The only claims that these runs were made for; all where empty.
    """

    name: str
    geometry: pd.DataFrame
    behaviour: pd.DataFrame
    parameters: Mapping[str, int] = field(default_factory=dict)
    is_pythia: bool = False
    tasks: str = HARDEST
    position: str = "last"
    patterns: pd.DataFrame = field(default_factory=pd.DataFrame)
    surfaces: Evidence | None = None
    claims: tuple[str, ...] = ()

    @cached_property
    def read(self) -> pd.DataFrame:
        """Geometry rows of the position, of own prompts and shuffled ones."""
        rows = self.geometry
        return rows[rows["position"] == self.position] if "position" in rows else rows

    @cached_property
    def own(self) -> pd.DataFrame:
        """Geometry rows of the position and of own prompts, not of shuffled controls."""
        return _own(self.read)

    @cached_property
    def models(self) -> list[str]:
        """Models, the smallest first where sizes are known."""
        return sorted(self.geometry["model"].unique(), key=lambda m: (self.parameters.get(m, 0), m))

    def lacks(self, needs: Needs) -> str:
        """What of a rule's needs this evidence has not, and what to walk; empty where it has all."""
        if needs.pythia and not self.is_pythia:
            return "needs a Pythia run, walk --model pythia-160m"
        measures = self._measures(needs.layer) if needs.measures else ()
        if absent := [m for m in needs.measures if m not in measures]:
            where = f" of {needs.layer}{'…' if needs.layer.endswith('_') else ''}" if needs.layer else ""
            here = f" at position {self.position!r}" if "position" in self.geometry else ""
            return (
                f"needs {' and '.join(absent)}{where}{here}, walk --measures {','.join(needs.measures)} "
                f"--position {self.position}"
            )
        known = set(_own(self.behaviour).dropna(subset=["value"])["metric"].astype(str)) if len(self.behaviour) else ()
        if absent := [m for m in needs.metrics if m not in known]:
            return f"needs behaviour {' and '.join(absent)}, walk probes that have it: pythia-geom probes"
        if needs.sizes and len({self.parameters[m] for m in self.models if m in self.parameters}) < needs.sizes:
            return f"needs {needs.sizes} models of known size, walk another size and name both runs"
        return ""

    def _measures(self, layer: str) -> set[str]:
        """Measures that have a value at a layer, or at layers whose names begin so."""
        have = self.own.dropna(subset=["value"])
        return set(have.loc[have["layer"].astype(str).str.startswith(layer), "measure"].astype(str))

    @cached_property
    def falls(self) -> pd.DataFrame:
        """Collapses of every curve of own prompts, with a `key` a task: probe/task; not of runs that begin `late`.

        A curve that is one number at every step does not fall, and has no floor that says anything: NaN.
        """
        own = self.own[~_late(self.own)]
        found = collapses(own, (UNCENTRED, CENTRED))
        flat = found["floor"].eq(found["start"]) & ~(found["peak"] > found["floor"])
        return found.assign(key=_key(found), floor=found["floor"].mask(flat))

    @cached_property
    def late(self) -> str:
        """Which runs begin too late to show a fall, in words; empty where none does."""
        runs = self.own.loc[_late(self.own), ["model", "seed"]].drop_duplicates()
        names = [run_name(str(model), int(seed)) for model, seed in runs.itertuples(index=False)]
        return f"{', '.join(names)} left out: no step by {LATEST_START}, where runs fall" if names else ""

    @cached_property
    def floored(self) -> list[str]:
        """Models with a task whose floor is seen in every run, the smallest first."""
        return [model for model in self.models if any(len(rows) for rows in self.floors(model))]

    @cached_property
    def onset_steps(self) -> pd.DataFrame:
        """When accuracy came halfway, NaN where it never did: model, seed, key, onset_after, onset_by."""
        rows = _own(self.behaviour[self.behaviour["metric"] == "accuracy"])
        found = onsets(tidy(rows, self.name), rules=("F50",))
        came = {f"onset_{c}": found[c].where(found["label"] == EMERGES) for c in ("after", "by")}
        return found[["model", "seed"]].assign(key=_key(found), **came)

    @cached_property
    def precursors(self) -> tuple[tuple[Verdict, ...], str]:
        """The verdicts of `pythia-geom precursors` on all models that can be asked; and why others cannot.

        A model whose tables cannot be read as curves (three steps) takes nothing away from the others.
        """
        refused = {}
        for model, rows in self.behaviour.groupby("model", sort=True) if "model" in self.behaviour else ():
            try:
                screen_tasks(rows)
            except PythiaGeometryError as problem:
                refused[model] = str(problem)
        able = self.behaviour[~self.behaviour["model"].isin(refused)] if refused else self.behaviour
        if able.empty and refused:
            return (), "; ".join(refused.values())
        try:
            found = precursors(self.read, able, Question(position=self.position), tasks=self.tasks)
        except PythiaGeometryError as problem:
            return (), str(problem)
        return found, "; ".join(refused.values())

    def runs(self, model: str | None = None) -> int:
        """Runs, of one model or of all."""
        rows = self.geometry if model is None else self.geometry[self.geometry["model"] == model]
        return len(rows[["model", "seed"]].drop_duplicates())

    def floors(self, model: str) -> list[pd.DataFrame]:
        """A table a run of a model, the same tasks in each: task, family, predictor (the floor), after, by.

        Tasks whose floor is not known in every run are left out; an onset that never came is NaN.
        """
        mine = self.falls[(self.falls["model"] == model) & (self.falls["layer"] == FINAL_NORM)]
        mine = mine[(mine["phase"] == WHOLE) & (mine["measure"] == UNCENTRED)].dropna(subset=["floor"])
        table = mine.drop(columns="task").merge(self.onset_steps, how="inner", on=["model", "seed", "key"])
        n_runs = table["seed"].nunique()
        kept = table.groupby("key")["seed"].nunique()
        names = list(kept.index[kept == n_runs])
        family = families_of(names)
        names.sort(key=lambda task: family[task])
        columns = {"key": "task", "floor": "predictor", "onset_after": "after", "onset_by": "by"}
        return [
            rows.set_index("key")
            .loc[names]
            .reset_index()
            .rename(columns=columns)
            .assign(family=[family[name][0] for name in names])[
                ["model", "seed", "task", "family", "predictor", "after", "by"]
            ]
            for _, rows in table.groupby("seed", sort=True)
        ]

    def middle(self, model: str) -> pd.DataFrame:
        """One row a task: medians over a model's seeds; an onset that half of them never reached never came.

        The median of intervals is the interval of the middle run, the later of the two where there are two: an
        interval that a run has, not one between two runs.
        """
        runs = self.floors(model)
        table = pd.concat(runs)
        by = pd.DataFrame({task: middle_onset(rows) for task, rows in table.groupby("task", sort=False)}).T
        floor = table.groupby("task", sort=False)["predictor"].median()
        family = runs[0].set_index("task")["family"]
        return pd.DataFrame({"family": family, "predictor": floor}).join(by).reset_index()


def middle_onset(rows: pd.DataFrame) -> pd.Series:
    """The middle of several grid intervals `after`, `by`, of which some may never have come: one that a run has."""
    ordered = rows.sort_values(["by", "after"], na_position="last", ignore_index=True)
    return ordered[["after", "by"]].astype(float).iloc[len(ordered) // 2]


def _late(rows: pd.DataFrame) -> pd.Series:
    """Rows of runs whose first step with geometry lies after both windows of a floor (A20): their fall is not seen."""
    known = rows[rows["value"].notna()]
    first = known.groupby(["model", "seed"])["step"].min().rename("first").reset_index()
    begins = rows[["model", "seed"]].merge(first, how="left", on=["model", "seed"])["first"].to_numpy()
    return pd.Series(begins > LATEST_START, index=rows.index)


def _key(rows: pd.DataFrame) -> pd.Series:
    probe = rows["probe"].astype(str) if "probe" in rows else pd.Series("", index=rows.index)
    return (probe + "/").where(probe != "", "") + rows["task"].astype(str)


def _own(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[~rows["probe"].astype(str).str.endswith(SHUFFLED)] if "probe" in rows else rows
