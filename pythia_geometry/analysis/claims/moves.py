"""When a measure moves beside behaviour: one statistic for every measure, from which C5, C6 and C12 are decided.

Rules and lines: docs/decisions/0014-landscape-claims.md, written before any result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student

from pythia_geometry.analysis.precursor.families import choose_tasks, own_families
from pythia_geometry.analysis.precursor.screening import MIN_TASKS, screen_tasks
from pythia_geometry.analysis.precursor.tidy_tables import Question, by_run
from pythia_geometry.analysis.tables.reading import unmarked
from pythia_geometry.errors import PythiaGeometryError

Array = NDArray[np.float64]

FEWEST_STEPS = 8
ERRORS = 3.0
SHARE = 0.5
LEVEL = 0.95  # of a 90 % interval's upper end
MIN_RUNS = 3
TEXT, PROBES = "text", "probes"
LOSSES = ("mixture", TEXT, PROBES)


@dataclass(frozen=True)
class Lag:
    """By how many decades of steps a measure moves before behaviour; above 0 it leads.

    Attributes:
        measure: The measure.
        value: Mean over runs of the mean over families.
        low: 5 % bound, the wider of over runs and over families.
        high: 95 % bound.
        leads: Share of tasks and runs in which the measure moves first.
        n_runs: Runs.
        n_families: Families of tasks.
        rows: One row a run and task: model, seed, task, family, moved, rose (both log10 of the step), lag.
    """

    measure: str
    value: float
    low: float
    high: float
    leads: float
    n_runs: int
    n_families: int
    rows: pd.DataFrame

    @property
    def words(self) -> str:
        """The numbers in one line."""
        return (
            f"{self.measure} {self.value:+.2f} ({self.low:+.2f} to {self.high:+.2f}) decades, first in "
            f"{self.leads:.0%} of {len(self.rows)}; {self.n_runs} runs, {self.n_families} families"
        )


@dataclass(frozen=True)
class Curve:
    """Which rows of a geometry table are one measure's curves.

    Attributes:
        measure: As in the table.
        layer: The layer; any where empty.
        minus_start: Whether the value of step 0 is taken away first.
        of_surface: Whether it is of a loss: of several losses and settings one is read.
        is_share: Whether it is an accuracy, which moves on its own scale and not on that of logarithms.
    """

    measure: str
    layer: str = ""
    minus_start: bool = False
    of_surface: bool = False
    is_share: bool = False

    @property
    def name(self) -> str:
        """As said to a reader."""
        return f"{self.measure} minus step 0" if self.minus_start else self.measure


def moved_at(steps: Array, values: Array, errors: Array, is_share: bool = False) -> float:
    """log10 of the step at which a curve moves; NaN where it does not.

    x is ln of the value where all are above 0, else the value, as of an accuracy; its move is the largest |x − x₀|, x₀
    the first. It moves at the middle of the grid interval that ends with the first step from which |x − x₀| stays at
    half of its move or more until that move.

    How it misleads: a curve that falls and then rises further moves when it rises; the place within the grid interval
    is not seen; and a coarse grid makes all measures synchronous.

    Args:
        steps: Rising, 1 or more [n].
        values: Finite [n].
        errors: Standard errors [n]; those that are not known do not count.
        is_share: Whether the values are accuracies.

    Example:
        >>> float(moved_at(np.array([1.0, 10.0, 100.0, 1000.0]), np.array([1.0, 1.0, 5.0, 6.0]), np.zeros(4)))
        1.5
    """
    positive = bool((values > 0).all()) and not is_share
    x = np.log(values) if positive else values
    wide = np.nan_to_num(errors / values if positive else errors)
    away = np.abs(x - x[0])
    top = int(away.argmax())
    if top == 0 or away[top] <= ERRORS * float(np.hypot(wide[top], wide[0])):
        return float("nan")
    below = np.flatnonzero(away[:top] < SHARE * away[top])
    last = int(below[-1]) if len(below) else 0
    return float(np.log10(steps[last]) + np.log10(steps[last + 1])) / 2


def lags(geometry: pd.DataFrame, behaviour: pd.DataFrame, curve: Curve, tasks: str = "hardest") -> Lag | str:
    """The lag of one measure behind the behaviour of the hardest emerged task of each family; or why there is none.

    Args:
        geometry: Tidy rows.
        behaviour: Tidy rows.
        curve: Which rows.
        tasks: As for `choose_tasks`.
    """
    rows = _rows(geometry, curve)
    if rows.empty:
        return f"needs {curve.measure}: walk --measures {curve.measure}"
    if not (unmarked(rows) & rows["value"].notna()).any():
        return f"every row of {curve.measure} has a reason: {rows['reason'].iloc[-1]}"
    found: list[pd.DataFrame] = []
    for model in rows["model"].unique():
        mine = behaviour[behaviour["model"] == model]
        try:
            chosen = choose_tasks(screen_tasks(mine, Question()), tasks, own_families(mine))
        except PythiaGeometryError:
            continue
        own = by_run(rows[rows["model"] == model])
        for run in chosen.runs:
            if run.name in own:
                rose = dict(zip(run.tasks, run.midpoints, strict=True))
                found.append(_of_run(own[run.name], rose, dict(zip(run.tasks, chosen.families, strict=True)), curve))
    table = pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=["lag", "family"])
    table = table.dropna(subset=["lag"])
    n = table["family"].nunique()
    if n < MIN_TASKS:
        return (
            f"{curve.name} moves, by {FEWEST_STEPS} steps without a reason or more, beside {n} families of tasks that "
            f"emerged; needs {MIN_TASKS}"
        )
    return _summed(curve.name, table)


def _summed(name: str, table: pd.DataFrame) -> Lag:
    by_family = table.groupby(["model", "seed", "family"])["lag"].mean()
    over_runs = by_family.groupby(["model", "seed"]).mean().to_numpy(dtype=float)
    over_families = by_family.groupby("family").mean().to_numpy(dtype=float)
    value = float(over_runs.mean())
    halves = [half_width(over_families), *([half_width(over_runs)] if len(over_runs) >= MIN_RUNS else [])]
    half = max(halves)
    leads = float((table["lag"] > 0).mean())
    return Lag(name, value, value - half, value + half, leads, len(over_runs), len(over_families), table)


def half_width(values: Array) -> float:
    """Half of the 90 % interval of a mean by Student's t."""
    return float(student.ppf(LEVEL, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))


def _rows(geometry: pd.DataFrame, curve: Curve) -> pd.DataFrame:
    rows = geometry[geometry["measure"] == curve.measure]
    if curve.layer:
        rows = rows[rows["layer"] == curve.layer]
    if curve.of_surface and len(rows) and "probe" in rows:
        known = rows[rows["probe"].isin(LOSSES)]
        loss = next((one for one in LOSSES if (known["probe"] == one).any()), "")
        rows = known[known["probe"] == loss]
        if loss == TEXT and rows["task"].nunique() > 1:  # two texts are two surfaces
            rows = rows[rows["task"] == rows["task"].value_counts().index[0]]
        if "settings" in rows and len(rows):
            rows = rows[rows["settings"] == rows["settings"].value_counts().index[0]]
    return rows


def _of_run(rows: pd.DataFrame, rose: Mapping[str, float], family: Mapping[str, str], curve: Curve) -> pd.DataFrame:
    """One row a task of a run."""
    first, named = rows.iloc[0], rows["task"].astype(str)
    is_whole = curve.of_surface and named.nunique() == 1 and str(first.get("probe", "")) != PROBES
    is_whole = is_whole and not named.isin({*rose, *(key.rpartition("/")[2] for key in rose)}).any()
    found = []
    for key in rose:
        own = named.isin((key, key.rpartition("/")[2])) if curve.of_surface else rows["key"] == key
        moved = _latest(rows if is_whole else rows[own], curve)  # of the whole mixture one curve for all tasks
        found.append(
            {"model": first["model"], "seed": first["seed"], "task": key, "family": family[key], "moved": moved}
            | {"rose": rose[key], "lag": rose[key] - moved}
        )
    return pd.DataFrame(found)


def _latest(rows: pd.DataFrame, curve: Curve) -> float:
    """When the curve moves; of several answer positions the latest that moves."""
    if rows.empty:
        return float("nan")
    places: Sequence[pd.DataFrame] = [rows]
    if "position" in rows:
        places = [part for _, part in rows.groupby("position", dropna=False)]
    times = [_when(part, curve) for part in places]
    return float(np.nanmax(times)) if not np.isnan(times).all() else float("nan")


def _when(rows: pd.DataFrame, curve: Curve) -> float:
    rows = rows[unmarked(rows) & rows["value"].notna()].sort_values("step")
    if curve.minus_start:
        start = rows.loc[rows["step"] == 0, "value"]
        if start.empty:
            return float("nan")
        rows = rows.assign(value=rows["value"] - float(start.iloc[0]))
    rows = rows[rows["step"] >= 1]
    if len(rows) < FEWEST_STEPS:
        return float("nan")
    steps, values, errors = (rows[c].to_numpy(dtype=float) for c in ("step", "value", "error"))
    return moved_at(steps, values, errors, curve.is_share)
