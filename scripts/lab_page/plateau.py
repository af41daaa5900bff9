"""C2 on MOD's plateau, the paper's "about 2.0 at every size": RankMe of its levels over steps 300–620."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from lab_page import sizes
from lab_page.numbers import RUN, parameters
from pythia_geometry.analysis.claims.lab_reference import Reference, grows_whole, read_reference

WINDOW = (300, 620)  # the prototype's; steps 302 to 600 of the lab's checkpoints
CONVENTIONS = {"rankme": "uncentred", "rankme_centred": "centred"}
# The lowest was added once the means had been seen: from 3M parameters up MOD1 is being learnt within the window.
VALUES = {"mean": "mean", "lowest": "lowest", "start": "start", "ratio": "mean ÷ start"}


def plateaus(usual: Reference, shelf: Path) -> pd.DataFrame:
    """One row a run, level and convention: geometric mean and lowest value over the window, start, and mean ÷ start.

    Args:
        usual: Whole runs.
        shelf: Folder of the runs that were trained to step 600 for this; they are of other models or seeds.
    """
    found = [usual, *([read_reference(shelf)] if list(shelf.glob("*.json")) else [])]
    rows = pd.concat([part.geometry for part in found])
    rows = rows[
        (rows["layer"] == "final_norm") & rows["task"].str.startswith("MOD") & rows["measure"].isin(CONVENTIONS)
    ]
    by, inside = [*RUN, "measure", "task"], rows["step"].between(*WINDOW)
    of_window = rows[inside].groupby(by)["value"]
    means = of_window.agg(lambda v: float(np.exp(np.log(v).mean())))
    starts = rows[rows["step"] == 0].groupby(by)["value"].first()
    made = pd.DataFrame({"mean": means, "lowest": of_window.min(), "start": starts}).reset_index()
    return made.assign(ratio=made["mean"] / made["start"], parameters=made["model"].map(parameters))


def run_rows(found: pd.DataFrame) -> pd.DataFrame:
    """One row a run: the mean of each level in both conventions."""
    wide = found.pivot_table(index=["parameters", *RUN], columns=["measure", "task"], values="mean")
    rows = []
    for (size, model, seed), row in wide.iterrows():
        cells = {
            f"{task}, {name}": row[measure, task] for measure, name in CONVENTIONS.items() for task in wide["rankme"]
        }
        rows.append({"model": model, "parameters": f"{size:,}", "seed": seed} | cells)
    return pd.DataFrame(rows)


def slope_rows(found: pd.DataFrame) -> pd.DataFrame:
    """Slopes of GPT-2's values over its sizes, as those of the transient."""
    return sizes.slope_rows({"own rate": found[found["model"].map(grows_whole)]}, VALUES)
