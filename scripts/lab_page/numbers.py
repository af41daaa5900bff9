"""From the reference tables to the rows of docs/lab.md. No text here."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pythia_geometry.analysis.claims.lab_reference import Reference
from pythia_geometry.analysis.claims.scale_invariance import Scaling, scaling
from pythia_geometry.analysis.events.collapse import COLLAPSES, PLATEAU, TRANSIENT, collapses
from pythia_geometry.analysis.events.layer_order import layer_order, votes
from pythia_geometry.analysis.events.onsets import EMERGES, onsets
from pythia_geometry.lab.model import SCALES, count_parameters

MEASURES = ("rankme", "rankme_centred", "rankme_rownorm")
FORMAT_KNOWN = 60  # steps: by then every run writes digits where digits belong (assumption A21)
RUN, LEVEL = ["model", "seed"], ["model", "seed", "task"]


def falls(reference: Reference) -> pd.DataFrame:
    """Both collapses of every curve, with the run's parameters."""
    found = collapses(reference.geometry, MEASURES)
    return found.assign(parameters=[parameters(model) for model in found["model"]])


def parameters(model: str) -> int:
    return count_parameters(SCALES[model.split("-")[0]])


def at_final_norm(found: pd.DataFrame, measure: str = "rankme", phase: str | None = None) -> pd.DataFrame:
    rows = found[(found["layer"] == "final_norm") & (found["measure"] == measure)]
    return rows if phase is None else rows[rows["phase"] == phase]


def emergence(reference: Reference) -> pd.DataFrame:
    """One row a run, task-level and clock: exact match and log-probability, at 10 and 50 % of their own rise."""
    plain = onsets(reference.behaviour, ("exact_match",), ("F10", "F50"))
    plain = plain[[*LEVEL, "metric", "rule", "label", "after", "by", "top"]]
    log_prob = reference.behaviour[reference.behaviour["metric"] == "log_prob"]
    log_prob = log_prob[log_prob["step"] >= FORMAT_KNOWN]
    # Counted from the step at which the format is known, so that the first of its steps are its baseline.
    start = log_prob.groupby(LEVEL)["step"].min()
    counted = log_prob.assign(step=log_prob["step"] - log_prob.groupby(LEVEL)["step"].transform("min"))
    found = onsets(counted, rules=("F10", "F50"))
    starts = start.reindex(pd.MultiIndex.from_frame(found[LEVEL])).to_numpy()
    found = found.assign(after=found["after"] + starts, by=found["by"] + starts)
    return pd.concat([plain, found[plain.columns]], ignore_index=True)


def levels_table(found: pd.DataFrame, emerged: pd.DataFrame, model: str) -> pd.DataFrame:
    """By task-level of one model, over its seeds: emergence, floors, recoveries, as texts."""
    rows = []
    for task in sorted(found["task"].unique()):
        row = {"level": task}
        for clock, name in (("exact_match", "exact match"), ("log_prob", "log-prob")):
            mine = emerged[(emerged["model"] == model) & (emerged["task"] == task) & (emerged["metric"] == clock)]
            half = mine[mine["rule"] == "F50"]
            yes = half[half["label"] == EMERGES]
            if clock == "exact_match":
                row["emerges"] = f"{len(yes)}/{len(half)}"
            row[f"{name} halfway by"] = spread(yes["by"])
        for phase in (TRANSIENT, PLATEAU):
            mine = at_final_norm(found, phase=phase)
            mine = mine[(mine["model"] == model) & (mine["task"] == task)]
            there = mine[mine["label"] == COLLAPSES]
            row[f"{phase}"] = f"{len(there)}/{len(mine)}"
            row[f"{phase} floor"] = spread(there["floor"], 1)
            row[f"{phase} floor step"] = spread(there["floor_step"])
            row[f"{phase} half back by"] = spread(there.loc[there["recovers"], "half_by"])
        rows.append(row)
    return pd.DataFrame(rows)


def universality(found: pd.DataFrame) -> pd.DataFrame:
    """C1: how many task-level curves at the final norm collapse and come back, by model and convention."""
    rows = []
    for (model, measure), mine in found[found["layer"] == "final_norm"].groupby(["model", "measure"], sort=False):
        row = {"model": model, "seeds": mine["seed"].nunique(), "measure": measure}
        for phase in (TRANSIENT, PLATEAU):
            one = mine[mine["phase"] == phase]
            there = one[one["label"] == COLLAPSES]
            row[f"{phase}"] = f"{len(there)}/{len(one)}"
            row[f"{phase} recovered"] = f"{int(there['recovers'].sum())}/{len(there)}"
            row[f"{phase} depth"] = f"{np.exp(-there['depth'].median()):.2f}" if len(there) else "–"
        rows.append(row)
    order = {model: i for i, model in enumerate(sorted(found["model"].unique(), key=parameters))}
    return pd.DataFrame(rows).sort_values(["model", "measure"], key=lambda c: c.map(order) if c.name == "model" else c)


def floor_scaling(found: pd.DataFrame, architecture: str) -> list[tuple[str, str, Scaling]]:
    """C2: slope over sizes of floors and of the starting value, by convention."""
    rows = []
    for measure in ("rankme", "rankme_centred"):
        mine = at_final_norm(found, measure)
        mine = mine[mine["model"].str.contains(architecture)]
        for name, phase, column in (
            ("transient floor", TRANSIENT, "floor"),
            ("plateau floor", PLATEAU, "floor"),
            ("starting value (control)", TRANSIENT, "start"),
        ):
            values = mine[(mine["phase"] == phase) & (mine["label"] == COLLAPSES)]
            values = values.assign(value=values[column]).dropna(subset=["value"])
            rows.append((measure, name, scaling(values)))
    return rows


def order_votes(found: pd.DataFrame) -> dict[tuple[str, str], tuple[pd.DataFrame, pd.DataFrame]]:
    """C3: the order of blocks and the votes, by phase and convention."""
    made = {}
    for phase in (TRANSIENT, PLATEAU):
        for measure in ("rankme", "rankme_centred"):
            order = layer_order(found[found["measure"] == measure], phase)
            made[phase, measure] = (order, votes(order))
    return made


def leads(found: pd.DataFrame, emerged: pd.DataFrame, measure: str = "rankme") -> pd.DataFrame:
    """C4 by onset order: does RankMe's recovery come before behaviour, at matched fractions?

    Both are intervals of the grid: geometry leads where its interval ends before behaviour's begins, lags where
    behaviour's ends before its own begins, and is tied otherwise. Recovery is from the plateau where the level has
    one, else from the transient. Beside it, the same with the geometry of the other task-levels.

    Returns:
        One row a model, clock, fraction: own and other counts and shares.
    """
    rows = []
    final = at_final_norm(found, measure)
    for model, of_model in final.groupby("model"):
        for clock in ("exact_match", "log_prob"):
            for rule, stage in (("F10", "rise"), ("F50", "half")):
                told = {"own": [], "other": [], "early": [], "late": [], "by": [], "never": 0, "failed": 0}
                for seed, mine in of_model.groupby("seed"):
                    when = emerged[(emerged["model"] == model) & (emerged["seed"] == seed)]
                    when = when[(when["metric"] == clock) & (when["rule"] == rule)].set_index("task")
                    back, middle = recovery(mine, stage), when["by"].median()
                    for task, b in when.iterrows():
                        if b["label"] != EMERGES:
                            told["failed"] += 1
                            told["never"] += task in back.index
                            continue
                        for other, g in back.iterrows():
                            told["own" if other == task else "other"].append(order_of(g, b))
                            if other == task:
                                told["late" if b["by"] > middle else "early"].append(order_of(g, b))
                                told["by"].append(np.log10(b["by"] / g["by"]))
                rows.append(
                    {"model": model, "seeds": of_model["seed"].nunique(), "clock": clock, "rule": rule}
                    | {f"own {w}": told["own"].count(w) for w in ("leads", "tied", "lags")}
                    | {"own n": len(told["own"]), "own share": share(told["own"]), "other share": share(told["other"])}
                    | {"early share": share(told["early"]), "late share": share(told["late"])}
                    | {"median decades": float(np.median(told["by"])) if told["by"] else np.nan}
                    | {"not emerged": told["failed"], "of them recovered": told["never"]}
                )
    return pd.DataFrame(rows)


def recovery(rows: pd.DataFrame, stage: str) -> pd.DataFrame:
    """By task, the interval of the recovery of one run: from the plateau, else from the transient."""
    there = rows[(rows["label"] == COLLAPSES) & rows["recovers"]]
    chosen = there.sort_values("phase").drop_duplicates("task")  # plateau sorts before transient
    return chosen.rename(columns={f"{stage}_after": "after", f"{stage}_by": "by"}).set_index("task")[["after", "by"]]


def order_of(geometry: pd.Series, behaviour: pd.Series) -> str:
    if geometry["by"] <= behaviour["after"]:
        return "leads"
    return "lags" if behaviour["by"] <= geometry["after"] else "tied"


def share(told: list[str]) -> float:
    return told.count("leads") / len(told) if told else float("nan")


def spread(values: pd.Series, digits: int = 0) -> str:
    """Median, with the range where there are several."""
    values = values.dropna()
    if values.empty:
        return "–"
    text = f"{values.median():,.{digits}f}"
    return text if len(values) == 1 else f"{text} ({values.min():,.{digits}f}–{values.max():,.{digits}f})"
