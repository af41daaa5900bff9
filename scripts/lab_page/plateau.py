"""C2 on MOD's plateau, the paper's "about 2.0 at every size": RankMe of its levels over steps 300–620."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from lab_page import sizes
from lab_page.numbers import RUN, parameters
from pythia_geometry.analysis.claims.lab_reference import Reference, grows_whole, read_reference

WINDOW = (300, 620)  # the prototype's; steps 302 to 600 of the lab's checkpoints
END = 600
CONVENTIONS = {"rankme": "uncentred", "rankme_centred": "centred"}
# The lowest was added once the means had been seen: from 3M parameters up MOD1 is being learnt within the window.
VALUES = {"mean": "mean", "lowest": "lowest", "start": "start", "ratio": "mean ÷ start"}


def plateaus(usual: Reference, shelf: Path) -> pd.DataFrame:
    """One row a run, level and convention: geometric mean and lowest value over the window, start, and mean ÷ start.

    Beside them the exact match at the window's end: where a level is learnt by then the mean holds its recovery too.

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
    told = pd.concat([part.behaviour for part in found])
    told = told[(told["metric"] == "exact_match") & (told["step"] == END)].set_index([*RUN, "task"])["value"]
    made = made.join(told.rename("learnt"), on=[*RUN, "task"])
    return made.assign(ratio=made["mean"] / made["start"], parameters=made["model"].map(parameters))


def run_rows(found: pd.DataFrame) -> pd.DataFrame:
    """One row a run: the mean of each level in both conventions, and how much of it is learnt by then."""
    rows = []
    for (size, model, seed), mine in found.groupby(["parameters", *RUN]):
        row: dict[str, object] = {"model": model, "parameters": f"{size:,}", "seed": seed}
        for measure, name in CONVENTIONS.items():
            means = mine[mine["measure"] == measure].set_index("task")["mean"]
            row |= {f"{task}, {name}": value for task, value in means.items()}
        learnt = mine.drop_duplicates("task").set_index("task")["learnt"]
        rows.append(row | {f"{task}, exact match at step {END}": value for task, value in learnt.items()})
    return pd.DataFrame(rows)


def slope_rows(found: pd.DataFrame) -> pd.DataFrame:
    """Slopes of GPT-2's values over its sizes, as those of the transient."""
    return sizes.slope_rows({"own rate": found[found["model"].map(grows_whole)]}, VALUES)
