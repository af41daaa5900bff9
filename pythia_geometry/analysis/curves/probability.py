"""How probable the right answer is, from the answers that a walk kept item by item."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pythia_geometry.analysis.tables.reading import check_columns, plain

PROBABILITY = "probability"
CURVE = ["suite", "model", "seed", "step", "probe", "task"]


def probability(answers: pd.DataFrame) -> pd.DataFrame:
    """Mean probability of the right answer, as rows of behaviour.

    A jump of accuracy may be made by its threshold; one of the probability is not. The log-probability rises first of
    all because a model learns which words there are at all, long before it can do the task: its half-way point says
    nothing of the task.

    Range 0 … 1.

    How it misleads: of answers of several tokens it is the product over them, and stays near 0 until all are right. A
    few easy items move it alone.

    Args:
        answers: The `answers` table: one row an item, with its log_prob.

    Returns:
        One row a run, step, probe and task: metric `probability`, value, error (over items), n, reason.

    Raises:
        PythiaGeometryError: If a column is missing.
    """
    answers = plain(answers, "answers")
    check_columns(answers, ("model", "step", "task", "log_prob"), "answers")
    keys = [column for column in CURVE if column in answers]
    if "item" in answers:  # an item answered for two positions of the activations has one answer
        answers = answers.drop_duplicates([*keys, "item"])
    items = answers[keys].assign(p=np.exp(answers["log_prob"].astype(float)))
    grouped = items.groupby(keys, sort=True, dropna=False)["p"]
    found = grouped.agg(value="mean", spread="std", known="count", n="size").reset_index()
    bad = found["n"] - found["known"]
    reason = bad.map(lambda lost: f"non-finite log-probabilities in {lost} items" if lost else "")
    error = (found["spread"] / np.sqrt(found["n"])).where(bad == 0)
    columns = {"metric": PROBABILITY, "value": found["value"].where(bad == 0), "error": error, "n": found["n"]}
    return found[keys].assign(**columns, reason=reason, source="answers")
