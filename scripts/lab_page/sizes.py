"""C2 on the transient shelf: floor, start, and floor ÷ start of the first 60 steps, from 0.1M parameters up."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from pythia_geometry.analysis.claims.lab_reference import grows_whole, read_reference
from pythia_geometry.analysis.claims.scale_invariance import DRAWS, scaling
from pythia_geometry.analysis.events.collapse import AT_THE_EDGE, TRANSIENT, collapses

VERDICT = "at ± .10 a decade"
WIDER, DRAWN = "90 %, wider of levels and runs", "90 %, runs drawn again"
VALUES = {"floor": "floor", "start": "start", "ratio": "floor ÷ start"}


def transients(folder: Path) -> pd.DataFrame:
    """One row a run and level: start, floor, ratio, its step, the run's size and peak rate; empty where none is done.

    A floor at the window's edge still falls: it is an upper bound and marked, not dropped.
    """
    if not list(folder.glob("*.json")):
        return pd.DataFrame()
    reference = read_reference(folder)
    about = pd.DataFrame(
        [
            {"model": made["model"], "parameters": made["n_parameters"], "rate": made["training"]["peak_rate"]}
            for made in reference.made.values()
        ]
    ).drop_duplicates("model")
    found = collapses(reference.geometry[reference.geometry["layer"] == "final_norm"], ("rankme", "rankme_centred"))
    found = found[found["phase"] == TRANSIENT].merge(about, on="model")
    return found.assign(ratio=found["floor"] / found["start"], is_edge=found["label"] == AT_THE_EDGE)


def own_rate(found: pd.DataFrame) -> pd.DataFrame:
    """GPT-2 at each size's own peak rate; not the deep ones of one width, in which depth grows alone."""
    return found[found["rate"].isna() & found["model"].map(grows_whole)]


def of_neox(found: pd.DataFrame) -> pd.DataFrame:
    """NeoX at each size's own peak rate."""
    return found[found["rate"].isna() & found["model"].str.endswith("-neox")]


def one_rate(found: pd.DataFrame) -> pd.DataFrame:
    """Every size at a peak rate of 1e-3: those that have it, and the raised runs of the others."""
    own = own_rate(found)
    return pd.concat([own[_scales(own).isin(["smoke", "nano", "quad", "micro"])], found[found["rate"] == 1e-3]])


def of_several(found: pd.DataFrame) -> pd.DataFrame:
    """Sizes with two runs or more: one run says nothing of how runs differ, and stands in the table alone."""
    return found[found.groupby("parameters")["seed"].transform("nunique") > 1]


def _scales(found: pd.DataFrame) -> pd.Series:
    return found["model"].str.split("-").str[0]


def sizes_rows(found: pd.DataFrame) -> pd.DataFrame:
    """By model: the mean over runs of each run's geometric mean over levels, and the range over runs."""
    rows = []
    mine = found[found["measure"] == "rankme"]
    for (parameters, model), runs in mine.groupby(["parameters", "model"]):
        row: dict[str, object] = {"model": model, "parameters": f"{parameters:,}", "runs": runs["seed"].nunique()}
        for column, name in VALUES.items():
            by_run = runs.groupby("seed")[column].agg(lambda v: float(np.exp(np.log(v).mean())))
            row[f"{name}, mean (range over runs)"] = f"{by_run.mean():.2f} ({by_run.min():.2f}–{by_run.max():.2f})"
        row["at step, median"] = f"{runs['floor_step'].median():.0f}"
        row["still falling at step 60"] = f"{int(runs['is_edge'].sum())} of {len(runs)}"
        rows.append(row)
    return pd.DataFrame(rows)


def by_rate(found: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The runs that a slope is of, by the rate at which they were trained."""
    one = one_rate(found)
    return {
        "own rate": own_rate(found),
        "peak rate 1e-3": one,
        "peak rate 1e-3, without smoke": one[_scales(one) != "smoke"],
        "NeoX, own rate": of_neox(found),
    }


def slope_rows(parts: Mapping[str, pd.DataFrame], named: Mapping[str, str] = VALUES) -> pd.DataFrame:
    """Slope of the logarithm on log10 parameters, and two intervals; none of one size.

    The first is `scaling`'s, and the verdict is of it: the wider of levels drawn again and Student's t over runs about the
    line. The second draws the runs of each size again: with three a size a fifth too narrow, and of these very sizes.

    Args:
        parts: Rows by run and level with `parameters`, and the values that are asked about; sizes of one run are left out.
        named: Columns of values, and what to call them.
    """
    rows = []
    for what, part in ((what, of_several(part)) for what, part in parts.items()):
        for measure in ("rankme", "rankme_centred"):
            for column, name in named.items():
                values = part[part["measure"] == measure].assign(value=lambda f, c=column: f[c])
                if values["parameters"].nunique() < 2:
                    continue
                s, (low, high) = scaling(values), over_runs(values)
                rows.append(
                    {
                        "runs at": what, "RankMe": "uncentred" if measure == "rankme" else "centred", "of": name,
                        "sizes": s.n_sizes, "runs": s.n_runs, "levels": s.n_tasks, "slope a decade": s.slope,
                        WIDER: f"{s.low:+.2f} … {s.high:+.2f}", DRAWN: "–" if np.isnan(low) else f"{low:+.2f} … {high:+.2f}",
                        VERDICT: s.verdict,
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)


def over_runs(values: pd.DataFrame, seed: int = 0) -> tuple[float, float]:
    """90 % interval of the slope when the runs of each size are drawn again; NaN where a size has one run."""
    by_run = values.assign(y=np.log(values["value"])).groupby(["parameters", "seed"])["y"].mean()
    sizes = [part.to_numpy() for _, part in by_run.groupby("parameters")]
    if min(map(len, sizes)) < 2:
        return float("nan"), float("nan")
    x, rng = np.log10(by_run.index.unique("parameters").to_numpy(dtype=float)), np.random.default_rng(seed)
    drawn = np.stack([rng.choice(size, (DRAWS, len(size))).mean(axis=1) for size in sizes], axis=1)
    centred = x - x.mean()
    low, high = np.quantile(drawn @ centred / (centred @ centred), [0.05, 0.95])
    return float(low), float(high)
