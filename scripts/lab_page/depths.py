"""C3 on the transient shelf: which blocks fall first, in models of two to twelve blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from pythia_geometry.analysis.claims.lab_reference import read_reference
from pythia_geometry.analysis.events.collapse import COLLAPSES, TRANSIENT, collapses
from pythia_geometry.analysis.events.layer_order import layer_order, votes
from pythia_geometry.lab.model import scale_named

DRAWS, TIE = 2_000, 1e-12
MEASURES = {"rankme": "uncentred", "rankme_centred": "centred"}


def depth_rows(folder: Path) -> pd.DataFrame:
    """The order of blocks in the runs of a shelf; no rows where it is empty."""
    return order_rows(read_reference(folder).geometry) if list(folder.glob("*.json")) else pd.DataFrame()


def order_rows(geometry: pd.DataFrame) -> pd.DataFrame:
    """One row a model and convention: how many runs vote which way, and the order beside its null.

    The null: a model's blocks in an order drawn at random, the same for all tasks of a run, since they share one
    fall; how often the mean over runs is then as low.
    """
    found = collapses(geometry, tuple(MEASURES))
    found = found[found["phase"] == TRANSIENT]
    rows = []
    for (model, measure), mine in found.groupby(["model", "measure"]):
        order, blocks = layer_order(mine), mine[mine["layer"].str.startswith("resid_")]
        voted = votes(order)
        cast = voted.dropna(subset="median_tau")
        rows.append(
            {
                "model": model, "blocks": scale_named(str(model).split("-")[0]).n_layers, "RankMe": MEASURES[str(measure)],
                "runs top-down": f"{int((cast['vote'] == 'top-down').sum())} of {len(cast)} that vote",
                "levels that can vote": int(order["tau"].notna().sum()), "of them top-down": int((order["tau"] < 0).sum()),
                "τ, mean over runs (range)": told(cast["median_tau"].to_numpy(dtype=float)),
                "blocks shuffled: p": shuffled_p(mine),
                "lowest RankMe ÷ start, median of blocks": float((blocks["floor"] / blocks["start"]).median()),
                "at step, median": f"{blocks['floor_step'].median():.0f}",
            }
        )  # fmt: skip
    return pd.DataFrame(rows).sort_values(["RankMe", "blocks", "model"], ascending=[False, True, True])


def null_rows(folder: Path) -> pd.DataFrame:
    """As `depth_rows`, of networks that learnt no task; first whether they fall at all, without which there is no order."""
    if not list(folder.glob("*.json")):
        return pd.DataFrame()
    found = collapses(read_reference(folder).geometry, tuple(MEASURES))
    found = found[found["layer"].str.startswith("resid_") & (found["phase"] == TRANSIENT)]
    rows = []
    for (model, measure), mine in found.groupby(["model", "measure"]):
        falls = mine["label"].eq(COLLAPSES).groupby([mine["seed"], mine["task"]]).any()
        rows.append(
            {
                "model": model, "RankMe": MEASURES[str(measure)], "levels × runs in which a block falls": f"{int(falls.sum())} of {len(falls)}",
            }
        )  # fmt: skip
    return pd.DataFrame(rows).merge(depth_rows(folder), on=["model", "RankMe"])


def told(values: np.ndarray) -> str:
    return f"{values.mean():+.2f} ({values.min():+.2f} … {values.max():+.2f})" if len(values) else "–"


def shuffled_p(mine: pd.DataFrame) -> float:
    """Share of shuffled orders whose mean of runs' median τ is as low as what was seen; NaN where no run can vote."""
    rng = np.random.default_rng(0)
    blocks = mine[mine["layer"].str.startswith("resid_") & (mine["label"] == COLLAPSES)]
    runs = [halfway_steps(run) for _, run in blocks.groupby("seed")]
    taus = [median_tau(run, np.arange(run.shape[1])) for run in runs]
    runs = [run for run, tau in zip(runs, taus, strict=True) if np.isfinite(tau)]
    if not runs:
        return float("nan")
    drawn = [np.mean([median_tau(run, rng.permutation(run.shape[1])) for run in runs]) for _ in range(DRAWS)]
    return float((1 + np.sum(np.array(drawn) <= np.nanmean(taus) + TIE)) / (1 + DRAWS))


def halfway_steps(run: pd.DataFrame) -> np.ndarray:
    """When each block's fall is half done [levels that can vote × blocks], NaN for a block that does not fall."""
    steps = run.pivot_table(index="task", columns="layer_index", values="halfway").to_numpy(dtype=float)
    return steps[np.isfinite(steps).sum(axis=1) > 1]


def median_tau(halfway: np.ndarray, places: np.ndarray) -> float:
    """Median over levels of Kendall's τ_b between the blocks' places and their halfway steps; NaN where all tie."""
    i, j = np.triu_indices(halfway.shape[1], 1)
    gap = np.nan_to_num(np.sign(halfway[:, j] - halfway[:, i])) * np.sign(places[j] - places[i])
    told = np.isfinite(halfway[:, i] + halfway[:, j])
    untied = told & (gap != 0)
    with np.errstate(invalid="ignore"):
        tau = gap.sum(axis=1) / np.sqrt(untied.sum(axis=1) * told.sum(axis=1))
    return float(np.nanmedian(tau)) if np.isfinite(tau).any() else float("nan")
