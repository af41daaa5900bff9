"""What stands beside a figure: what it shows, n, conventions, what is left out, and where the numbers come from."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from pythia_geometry.measures import MEASURES
from pythia_geometry.report.style import MAX_LINES

SHOWS = {
    "curves": "Measures and behaviour by training step, one line a {by}; bands are one standard error over prompts, "
    "dotted lines chance. Hollow points carry a reason in the table.",
    "seeds": "By training step; thin lines are seeds, the band runs from the least to the greatest of them.",
    "layers": "Layer by training step, one column a step; each panel's colours span its own values.",
    "heads": "Attention head by training step, one column a step; each panel's colours span its own values. Below it, "
    "at the same steps: the sum over all heads where there is one, accuracy, and RankMe after the final norm.",
    "floors": "RankMe after the final norm at the first step (hollow) and at the floor of its running median of 3 "
    "(filled). Rows without a collapse are left out.",
    "order": "Step at which half of each layer's fall is done (interpolated in log step); the bar is the median. "
    "Tasks of one run repeat one event: n counts runs.",
    "lag": "Task-matched lag with its 90 % interval; right of the dashed line the geometry of a task moves first, "
    "right of the dotted line by more than the smallest lag that counts. Precedence is not a cause.",
}
_RANKS = ("rankme", "rankme_centred", "rankme_rownorm")


def caption(kind: str, rows: pd.DataFrame, source: Sequence[str], left_out: str = "", by: str = "task") -> str:
    """The caption of a figure.

    Args:
        kind: As after `--what`.
        rows: What is shown.
        source: Run folders.
        left_out: What was not drawn, as a sentence; empty for nothing.
        by: What a line is.
    """
    parts = [SHOWS[kind].format(by=by), _counts(rows), _convention(rows), left_out, _where(source)]
    return " ".join(part for part in parts if part)


def left_out(frame: pd.DataFrame, by: str) -> str:
    """Which lines are not drawn, and how to see them."""
    names = list(dict.fromkeys(frame[by]))
    if len(names) <= MAX_LINES:
        return ""
    return (
        f"{len(names) - MAX_LINES} of {len(names)} are not drawn, since more than {MAX_LINES} lines cannot be told "
        f"apart: {', '.join(names[MAX_LINES:])}."
    )


def _counts(rows: pd.DataFrame) -> str:
    found = [f"{rows[['model', 'seed']].drop_duplicates().shape[0]} run(s)"] if {"model", "seed"} <= set(rows) else []
    if "task" in rows:
        found.append(f"{rows['task'].nunique()} task(s)")
    if "step" in rows:
        found.append(f"{rows['step'].nunique()} step(s)")
    if "n" in rows and rows["n"].notna().any():
        low, high = int(rows["n"].min()), int(rows["n"].max())
        found.append(f"{low} prompts" if low == high else f"{low} to {high} prompts")
    missing = int(rows["value"].isna().sum()) if "value" in rows else 0
    said = f"n: {', '.join(found)}." if found else ""
    return said + (
        f" {missing} values could not be computed and are not drawn (reasons in the table)." if missing else ""
    )


def _convention(rows: pd.DataFrame) -> str:
    names = {str(w).split(" ")[0] for w in rows["what"]} if "what" in rows else set()
    said = [f"{name}: {MEASURES[name].unit}" for name in sorted(names) if name in MEASURES]
    position = "last prompt token unless a name says otherwise" if said else ""
    rank = "RankMe of the uncentred cloud unless its name says centred or rownorm" if names & set(_RANKS) else ""
    return "; ".join(part for part in (", ".join(said), position, rank) if part) + ("." if said else "")


def _where(source: Sequence[str]) -> str:
    return f"Source: geometry.parquet, behaviour.parquet or results/ of {', '.join(source)}."
