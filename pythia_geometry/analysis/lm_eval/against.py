"""A walk's benchmarks beside what somebody else scored: the same task, step, seed and shots, or a row that differs.

A check of weights, tokenizer and format: both sides asked the same questions of what should be the same weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pythia_geometry.analysis.tables.reading import unmarked
from pythia_geometry.errors import PythiaGeometryError

AGREES, DIFFERS, OWN_ONLY = "agrees", "differs", "not compared"
PROBE_PATTERN = r"lm-eval-v(?P<version>.*)/(?P<shots>\w+)-shot$"
_ITEM = ["model", "seed", "step", "task", "shots", "item"]
NATS = 0.1
"""How far apart the median item's log-probabilities may be."""

ERRORS = 2.0
"""How many combined standard errors apart two numbers differ."""

KEYS = ["model", "seed", "step", "task", "shots", "metric"]
SHARES = ("accuracy", "accuracy_norm")
COMPARED = (*SHARES, "log_prob")


def against(behaviour: pd.DataFrame, tasks: Mapping[str, Mapping[str, Any]], theirs: pd.DataFrame) -> pd.DataFrame:
    """Every number of a task of lm-eval in a walk that another table has too.

    Args:
        behaviour: The walk's table.
        tasks: By probe (`lm-eval:arc_easy/arc_easy`), what the manifest says of it: `shots`, `version`.
        theirs: Behaviour from `read_results` or `read_published`, whose `probe` says version and shots.

    Returns:
        A row a number: both values, errors and counts, `z`, and a verdict: `agrees`, `differs` where |z| > 2, or `not
        compared` with a reason. z is the difference by its error as if the items were other ones: of the same items
        that is an upper bound, so that what differs, differs. Of two shares p over n items the error is
        √(p̄(1 − p̄)(1/n + 1/n')) with p̄ that of both together (a dozen items that are all wrong have an error of 0 by
        themselves); of other numbers √(error² + error²).

    Raises:
        PythiaGeometryError: If no task, step and number of shots is in both.

    How it misleads: one number in twenty would differ by chance if the items were others. Two versions of a task can
    ask in another form; both stand in the row.
    """
    ours = _ours(behaviour, tasks)
    other = _theirs(theirs)
    both = ours.merge(other, on=KEYS, how="inner", suffixes=("", "_there"))
    if both.empty:
        raise PythiaGeometryError(nothing_in_both(ours, other))
    used = unmarked(both) & (both["reason_there"].fillna("") == "")
    spread = _pooled(both).fillna((both["error"] ** 2 + both["error_there"] ** 2) ** 0.5)
    difference: pd.Series = both["value"] - both["value_there"]
    without_error = pd.Series(np.where(difference == 0, 0.0, np.sign(difference) * np.inf), index=both.index)
    z: pd.Series = (difference / spread).where(spread > 0, without_error).where(used & spread.notna())
    reason = both["reason"].where(both["reason"] != "", both["reason_there"].fillna(""))
    reason = reason.mask((reason == "") & z.isna(), "one of them has no standard error")
    verdict = np.where(z.isna(), OWN_ONLY, np.where(z.abs() > ERRORS, DIFFERS, AGREES))
    found = both.assign(difference=difference.where(used), z=z, verdict=verdict, reason=reason)
    sides = [name + side for name in ("value", "error", "n") for side in ("", "_there")]
    columns = [*KEYS, *sides, "difference", "z", "verdict", "reason", "version", "version_there", "source_there"]
    return found[columns].sort_values(KEYS, ignore_index=True)


def _pooled(both: pd.DataFrame) -> pd.Series:
    """Error of the difference of two shares, if both were one; NaN of other numbers, or where n is not known."""
    n, m = both["n"], both["n_there"]
    p = (both["value"] * n + both["value_there"] * m) / (n + m)
    return ((p * (1 - p) * (1 / n + 1 / m)) ** 0.5).where(both["metric"].isin(SHARES))


def not_there(behaviour: pd.DataFrame, tasks: Mapping[str, Mapping[str, Any]], found: pd.DataFrame) -> list[str]:
    """Tasks of a walk of which the other side has no number, with their shots: nothing was compared."""
    ours = {(row.task, row.shots) for row in _ours(behaviour, tasks).itertuples()}
    return [
        f"{task} {shots}-shot" for task, shots in sorted(ours - set(zip(found["task"], found["shots"], strict=True)))
    ]


def against_items(answers: pd.DataFrame, tasks: Mapping[str, Mapping[str, Any]], items: pd.DataFrame) -> pd.DataFrame:
    """The same item by item, where the other side kept its items: far sharper than two means with their errors.

    Args:
        answers: The walk's table.
        tasks: As of `against`.
        items: Items from `read_items`.

    Returns:
        A row a task and step, in the columns of `against`: `metric` is `items`, `value` and `value_there` the mean
        log-probabilities of the right choice (NaN where their file does not tell it), `difference` the median over
        items of the mean |difference| over choices, in nats. It differs above 0.1: weights in half precision move less.
        Choices are compared in order of size, so a choice's place and which is right decide nothing here.
    """
    name = answers["probe"].astype(str) + "/" + answers["task"].astype(str)
    ours = answers[name.isin(list(tasks))]
    facts = {what: [str(tasks[of][what]) for of in name[ours.index]] for what in ("shots", "version")}
    said = items["probe"].astype(str).str.extract(PROBE_PATTERN)
    keys = [*_ITEM, "log_prob", "choices"]
    there = _texts(items.assign(shots=said["shots"], version_there=said["version"]))[[*keys, "version_there"]]
    both = _texts(ours.assign(**facts))[[*keys, "version"]].merge(there, on=_ITEM, suffixes=("", "_there"))
    rows = []
    for key, of_task in both.groupby([k for k in _ITEM if k != "item"], sort=True):
        pairs = zip(of_task["choices"], of_task["choices_there"], strict=True)
        apart = pd.Series([_apart(str(here), str(there)) for here, there in pairs])
        known = bool(apart.notna().all())
        rows.append(
            {
                **dict(zip([k for k in _ITEM if k != "item"], key, strict=True)),
                "metric": "items",
                "value": of_task["log_prob"].mean(),
                "value_there": of_task["log_prob_there"].mean(),
                "n": float(len(of_task)),
                "n_there": float(len(of_task)),
                "difference": apart.median() if known else np.nan,
                "verdict": OWN_ONLY if not known else DIFFERS if apart.median() > NATS else AGREES,
                "reason": "" if known else "an item of one of them lacks a choice's log-probability",
                "version": of_task["version"].iloc[0],
                "version_there": of_task["version_there"].iloc[0],
            }
        )
    return pd.DataFrame(rows)


def _apart(here: str, there: str) -> float:
    """Mean |difference| of two items' log-probabilities in order of size, in nats; NaN where they are not as many."""
    a, b = (np.sort(np.array(json.loads(text), dtype=float)) for text in (here, there))
    return float(np.abs(a - b).mean()) if len(a) == len(b) > 0 else np.nan


def _texts(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.astype(dict.fromkeys(("model", "task", "shots"), object))


def _ours(behaviour: pd.DataFrame, tasks: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    name = behaviour["probe"].astype(str) + "/" + behaviour["task"].astype(str)
    rows = behaviour[name.isin(list(tasks)) & behaviour["metric"].isin(COMPARED)]
    name = name[rows.index]
    facts = {
        "shots": name.map(lambda n: str(tasks[n]["shots"])),
        "version": name.map(lambda n: str(tasks[n]["version"])),
    }
    return _plain(rows.assign(**facts))[[*KEYS, "value", "error", "n", "reason", "version"]]


def _theirs(frame: pd.DataFrame) -> pd.DataFrame:
    said = frame["probe"].astype(str).str.extract(PROBE_PATTERN)
    rows = frame.assign(version=said["version"], shots=said["shots"]).dropna(subset=["shots"])
    rows = rows[rows["metric"].isin(COMPARED)]
    return _plain(rows)[[*KEYS, "value", "error", "n", "reason", "version", "source"]].rename(
        columns={"source": "source_there"}
    )


def _plain(rows: pd.DataFrame) -> pd.DataFrame:
    texts = {name: rows[name].astype(object) for name in ("model", "task", "shots", "metric", "reason", "version")}
    numbers = {name: rows[name].astype("int64") for name in ("seed", "step")}
    return rows.assign(**texts, **numbers, **{name: rows[name].astype(float) for name in ("value", "error", "n")})


def nothing_in_both(ours: pd.DataFrame, other: pd.DataFrame) -> str:
    """What to say where two tables have no task of lm-eval in common; both with a column `shots`."""
    return (
        "Nothing is in both: no task of lm-eval of this run stands there at the same model, step and shots. Here: "
        f"{_said(ours)}. There: {_said(other)}"
    )


def _said(rows: pd.DataFrame) -> str:
    if rows.empty:
        return "none"
    of_both = rows.drop_duplicates(["model", "task", "shots"]).head(3)
    steps = sorted(rows["step"].unique())
    named = ", ".join(
        f"{m} {t} {s}-shot" for m, t, s in zip(of_both["model"], of_both["task"], of_both["shots"], strict=True)
    )
    return f"{named} … at {len(steps)} steps ({steps[0]} to {steps[-1]})"
