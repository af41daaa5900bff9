"""Runs that speak to the claims as one, and what of them is read: one position, own prompts, keys that stay keys.

A claim states what it needs (`Needs`). Where the evidence lacks it the answer is `not enough evidence`, with what to
type, and no number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from pythia_geometry.analysis.behaviour.table import tidy
from pythia_geometry.analysis.events.collapse import WHOLE, collapses
from pythia_geometry.analysis.events.emergence import EMERGES
from pythia_geometry.analysis.events.onsets import onsets
from pythia_geometry.analysis.precursor.verdict import Verdict, precursors
from pythia_geometry.errors import PythiaGeometryError

UNCENTRED, CENTRED = "rankme", "rankme_centred"
FINAL_NORM, BLOCKS = "final_norm", "resid_"
SHUFFLED = ":shuffled"


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
        exchangeable: Tasks for the precursor test, which permutes them: no two of one family. All where empty.
        position: Where activations were read; rows of another position are not looked at.
    """

    name: str
    geometry: pd.DataFrame
    behaviour: pd.DataFrame
    parameters: Mapping[str, int] = field(default_factory=dict)
    is_pythia: bool = False
    exchangeable: frozenset[str] = frozenset()
    position: str = "last"

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
        have = self.own.dropna(subset=["value"])
        have = have[have["layer"].astype(str).str.startswith(needs.layer)]
        measures = set(have["measure"].astype(str))
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

    @cached_property
    def falls(self) -> pd.DataFrame:
        """Collapses of every curve of own prompts."""
        return collapses(self.own, (UNCENTRED, CENTRED))

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
            g, b = (self._tested(frame[frame["model"] == model]) for frame in (self.read, self.behaviour))
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
        mine = self.falls[(self.falls["model"] == model) & (self.falls["layer"] == FINAL_NORM)]
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


def _own(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[~rows["probe"].astype(str).str.endswith(SHUFFLED)] if "probe" in rows else rows
