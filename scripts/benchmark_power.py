"""Which benchmarks could show a precursor on Pythia, by size: from the published evaluations alone.

    python scripts/benchmark_power.py FOLDER         FOLDER: evals/pythia-v1 of a clone of EleutherAI/pythia

Prints the tables of docs/benchmarks.md. A benchmark could show something where its accuracy rises (top three errors above
its baseline, halfway before the last step) and where some of the 154 checkpoints lie in the half decade before it is
halfway: a lead of half a decade must be seen there. Power is that of `pythia-geom power`, on the published 27 steps and on
curves drawn through them at all 154, with the jitter that was measured between published checkpoints.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd

from pythia_geometry.analysis.events.onsets import EMERGES, onsets
from pythia_geometry.analysis.lm_eval.published import read_published
from pythia_geometry.analysis.precursor.families import families_of
from pythia_geometry.analysis.precursor.power import DECISIVE, power
from pythia_geometry.analysis.tables.reading import unmarked
from pythia_geometry.analysis.worlds.designs import GRID_154
from pythia_geometry.suites.pythia import parse_name

SIZES = ("pythia-160m", "pythia-410m", "pythia-1b", "pythia-1.4b", "pythia-2.8b")
WINDOW = 10**-DECISIVE
DRAWS, SEED = 100, 0
JITTER, OF_TEXT = 0.47, {"lambada_openai": 1.12}
"""Of the binomial error, how much neighbouring checkpoints differ: they answer the same items (docs/emergence.md)."""
CURVE = ["model", "probe", "task"]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--shots", type=int, default=0)
    options = parser.parse_args()
    rows = read_published(options.folder)
    rows = rows[unmarked(rows) & (rows["metric"] == "accuracy") & (rows["probe"] == f"lm-eval-v0/{options.shots}-shot")]
    print(_rises(rows))
    print()
    print(_powers(rows))


def _rises(rows: pd.DataFrame) -> str:
    """By task and size: between which steps accuracy came halfway, and how many checkpoints lie before."""
    found = onsets(rows, rules=("F50",))
    lines = [f"| benchmark | n | {' | '.join(size.removeprefix('pythia-') for size in SIZES)} |", "|" + "---|" * 7]
    group = {
        key: name
        for key, (name, _) in families_of(
            sorted({f"{p}/{t}" for p, t in zip(found["probe"], found["task"], strict=True)})
        ).items()
    }
    names = found["probe"] + "/" + found["task"]
    found = found.assign(group=names.map(group).where(names.map(group) != names, found["task"]))
    for name, members in found.groupby("group", sort=True):
        n = rows[rows["task"].isin(members["task"])].groupby("task")["n"].max()
        several = members["task"].nunique() > 2
        for task, own in [(name, members)] if several else list(members.groupby("task")):
            size = f"{members['task'].nunique()} tasks" if several else f"{n[task]:,.0f}"
            cells = [_cell(own[own["model"] == model], several) for model in SIZES]
            lines.append(f"| {str(task).removeprefix('lm-eval/')} | {size} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(found: pd.DataFrame, several: bool) -> str:
    came = found[found["label"] == EMERGES]
    if several:
        return f"{len(came)} of {len(found)} rise"
    if came.empty:
        return "–"
    after, by = float(came["after"].iloc[0]), float(came["by"].iloc[0])
    model = str(found["model"].iloc[0])
    before = _before(GRID_154, by)
    served = _served(model)
    right = "" if len(served) == len(GRID_154) else f"; {_before(served, by)} served right"
    return f"{after:.0f}–{by:.0f} ({before}{right})"


def _before(grid: np.ndarray, by: float) -> int:
    """Checkpoints in the half decade that ends where the curve was halfway."""
    return int(((grid > by * WINDOW) & (grid <= by)).sum())


def _served(model: str) -> np.ndarray:
    """The grid without steps that the Hub serves wrong by public report."""
    run = parse_name(model)
    assert run is not None
    wrong = {step for fault in run.faults if fault.in_listing for step in fault.steps}
    return GRID_154[~np.isin(GRID_154, list(wrong))]


def _powers(rows: pd.DataFrame) -> str:
    """By size: families that rise, and the power of the whole test."""
    lines = [
        "| size | steps | families that rise | called a lead where there is none | at half a decade |",
        "|" + "---|" * 5,
    ]
    for model in SIZES:
        mine = rows[rows["model"] == model]
        grids = {"27 published": mine, "154": _drawn_through(mine, GRID_154)}
        if len(served := _served(model)) < len(GRID_154):
            grids[f"{len(served)} served right"] = _drawn_through(mine, served)
        for name, table in grids.items():
            found = power(table, draws=DRAWS, seed=SEED)
            rates = found.rates.set_index("lead")["accuracy"] if len(found.rates) else None
            said = [found.reason, "–"] if rates is None else [f"{rates[lead]:.2f}" for lead in (0.0, DECISIVE)]
            lines.append(
                f"| {model.removeprefix('pythia-')} | {name} | {found.chosen.n_families} | {' | '.join(said)} |"
            )
    return "\n".join(lines)


def _drawn_through(rows: pd.DataFrame, grid: np.ndarray) -> pd.DataFrame:
    """Each curve at other steps: a straight line in log step between published points, and jitter."""
    rng = np.random.default_rng(SEED)
    drawn = []
    for (*_, task), curve in rows[rows["step"] >= 1].groupby(CURVE, sort=True):
        curve = curve.sort_values("step")
        at = np.log10(curve["step"].to_numpy(dtype=float))
        value, error = (np.interp(np.log10(grid), at, curve[c].to_numpy(dtype=float)) for c in ("value", "error"))
        noisy = np.clip(value + OF_TEXT.get(task, JITTER) * error * rng.normal(size=len(grid)), 0, 1)
        first = curve.iloc[[0] * len(grid)].assign(step=grid.astype(int), value=noisy, error=error)
        drawn.append(first)
    return pd.concat(drawn, ignore_index=True)


if __name__ == "__main__":
    main()
