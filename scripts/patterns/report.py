"""What the tables say: the numbers of docs/attention.md, computed anew from data/reference/patterns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from pythia_geometry.analysis.claims.evidence import Evidence
from pythia_geometry.analysis.claims.heads import abruptness
from pythia_geometry.analysis.claims.pattern_runs import (
    base_arm,
    base_arms,
    of_base,
    output_units,
    read_runs,
    related_outputs,
)
from pythia_geometry.analysis.claims.rules import RULES
from pythia_geometry.analysis.claims.table import read_claims
from pythia_geometry.analysis.events.coincidence import Coincidence, coincidence
from pythia_geometry.analysis.events.paired_onsets import onset_indices
from pythia_geometry.analysis.events.survival import kaplan_meier

JUDGED = ("S2", "S3", "S4", "S5", "S6", "S7")


NOTHING = "No arm has been trained."


def report(folder: Path) -> str:
    """To be printed."""
    if read_runs(folder).empty:
        return NOTHING
    lines = [
        line
        for part in (_base_arms(folder), given(folder), moved(folder), _claims(folder), cost(folder))
        for line in part
    ]
    return "\n".join(lines)


def _base_arms(folder: Path) -> Iterator[str]:
    for name in base_arms(folder):
        yield from of_arm(name, folder)


def of_arm(name: str, folder: Path) -> Iterator[str]:
    """Emergence and coincidence on one base arm."""
    readings, _ = base_arm(name, folder)
    runs = read_runs(folder)
    mine = runs[runs["arm"] == name]
    found = kaplan_meier(mine["by"], mine["last"])
    yield f"\n## {name}, {len(mine)} seeds"
    first, last = mine["by"].min(), mine["by"].max()
    yield (
        f"runs that emerged: {mine['by'].notna().sum()} of {len(mine)}, first {first:g}, median {found.median:g}, "
        f"last {last:g}; budget {mine['last'].iloc[0]:g}"
    )
    curves = readings.rename(columns={"probability": "value"})
    steep = [abruptness(curve.sort_values("step")) for _, curve in curves.groupby(["seed", "output"])]
    yield f"share of an output's rise within a doubling of steps, median: {np.nanmedian(steep):.2f}"
    unit = curves[["seed", "output", "step", "value", "error"]].assign(metric="probability")
    onsets = onset_indices(unit, ["seed", "output"])
    spread = onsets.groupby("output")["index"].std(ddof=1)
    yield (
        f"outputs that emerged: {onsets['by'].notna().sum()} of {len(onsets)}, steps {onsets['by'].min():g} to "
        f"{onsets['by'].max():g}; scatter over seeds of one output, median {spread.median():.1f} examinations"
    )
    at, rho, p = foretold(name, folder)
    yield f"mass on the parents at step {at:g} against the step of emergence: Spearman {rho:.2f}, p = {p:.2g}, {len(mine)} seeds"
    for what, coincide in together(name, folder).items():
        yield f"{what}: {told(coincide)}"


@cache
def together(name: str, folder: Path) -> dict[str, Coincidence]:
    """S2 on a base arm: all outputs, and those without and with a route shorter than s where there are both."""
    readings, facts = base_arm(name, folder)
    found = {"all outputs": of_base(name, folder)}
    short = [i for i, n in enumerate(facts["shortest_routes"]) if n < facts["training"]["sparsity"]]
    related = related_outputs(facts["parents"], 2 if facts["training"]["size"] <= 8 else 1)
    units = output_units(readings)
    is_short = units["task"].astype(int).isin(short)
    if is_short.any() and not is_short.all():
        n = facts["training"]["size"]
        found[f"{n - len(short)} outputs without a shorter route"] = coincidence(units[~is_short], related)
        found[f"{len(short)} with one"] = coincidence(units[is_short], related)
    return found


def foretold(name: str, folder: Path) -> tuple[float, float, float]:
    """Whether runs with more mass on the parents early on emerge earlier: Spearman over seeds, at a step fixed beforehand.

    The step is the last examination in the first half of the time to the first emergence, at which no run is anywhere
    near. Returns it, the correlation, and its permutation p; all are NaN where no run emerged, and the last two where
    all emerged at once.
    """
    readings, _ = base_arm(name, folder)
    runs = read_runs(folder)
    by = runs[runs["arm"] == name].set_index("seed")["by"]
    steps = readings["step"].unique()
    if by.isna().all():
        return np.nan, np.nan, np.nan
    at = float(steps[steps <= by.min() / 2].max())
    mass = readings[readings["step"] == at].groupby("seed")["mass"].mean()
    rank = pd.DataFrame({"mass": mass, "by": by.fillna(np.inf)}).rank()
    rho = float(rank["mass"].corr(rank["by"]))
    if np.isnan(rho):
        return at, rho, np.nan
    rng = np.random.default_rng(0)
    drawn = [np.corrcoef(rng.permutation(rank["mass"]), rank["by"])[0, 1] for _ in range(1999)]
    return at, rho, float((1 + np.sum(np.abs(drawn) >= abs(rho) - 1e-12)) / 2000)


def told(found: Coincidence) -> str:
    """A coincidence in one line."""
    order = found.order
    reasons = (
        f" ({len(found.reasons)} left out: {found.reasons[0]}{', …' * (len(found.reasons) > 1)})"
        if found.reasons
        else ""
    )
    return (
        f"{found.label}{reasons}; median |Δ| {found.median_distance:.1f} examinations, {found.within_one:.0%} within one; "
        f"p other seed {found.p_other_seed:.2g}, other output {found.p_other_unit:.2g}, remainder {found.p_remainder:.2g}; "
        f"pattern first in {order.pattern_first} runs, tied {order.tied}, behaviour first {order.behaviour_first}; "
        f"n = {found.n} of {found.n_runs} runs, neither {found.neither}, pattern alone {found.pattern_only}, "
        f"behaviour alone {found.behaviour_only}"
    )


def given(folder: Path) -> Iterator[str]:
    """Fresh runs that are given a pattern from step 0, beside those that are not."""
    runs = read_runs(folder)
    if runs.empty or not (runs["given"] != "").any():
        return
    yield "\n## a pattern supplied from step 0, training the rest"
    names = runs.loc[runs["given"] != "", "arm"].str.partition("-given-")[0].unique()
    for name in names:
        for given in ("", "own", "other"):
            rows = runs[(runs["arm"] == (f"{name}-given-{given}" if given else name)) & (runs["seed"] < 4)]
            if len(rows):
                steps = ", ".join("–" if np.isnan(by) else f"{by:g}" for by in rows.sort_values("seed")["by"])
                yield f"{name}, {given or 'nothing'} given: emerged at {steps} (seeds 0 to 3)"


def moved(folder: Path) -> Iterator[str]:
    """Accuracy before the jump with the pattern of after it."""
    file = folder / "transplants.csv"
    if not file.exists():
        return
    table, runs = pd.read_csv(file, keep_default_na=False), read_runs(folder)
    yield "\n## the end's pattern put into an earlier checkpoint, at inference"
    for name, rows in table.groupby("arm"):
        by = runs[runs["arm"] == name].set_index("seed")["by"]
        before = rows[rows["step"] < 0.75 * rows["seed"].map(by).fillna(np.inf)]
        last = before[before["step"] == before.groupby("seed")["step"].transform("max")]
        means = last.groupby("given")[["accuracy", "probability"]].mean()
        said = ", ".join(
            f"{g or 'its own'}: accuracy {r.accuracy:.3f}, probability {r.probability:.3f}" for g, r in means.iterrows()
        )
        yield f"{name}, last kept checkpoint before three quarters of the way to emergence ({last['seed'].nunique()} seeds): {said}"


def _claims(folder: Path) -> Iterator[str]:
    runs = read_runs(folder)
    evidence = Evidence("lab", pd.DataFrame(), pd.DataFrame(), patterns=runs)
    yield "\n## claims"
    for claim in read_claims():
        if claim.id in JUDGED:
            found = RULES[claim.rule].judge(evidence)
            yield f"{claim.id} {found.verdict}: {found.value}"


def cost(folder: Path) -> Iterator[str]:
    """CPU time of all arms, by the machine that trained them."""
    records = [json.loads(file.read_text()) for file in folder.glob("*.json")]
    for machine, rows in pd.DataFrame(records).groupby(["device", "machine"]) if records else ():
        minutes = rows["cpu_seconds"].sum() / 60
        yield f"\n{len(rows)} arms on {machine[0]}, {minutes:.0f} CPU-minutes ({machine[1]})"
