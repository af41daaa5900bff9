"""Writes docs/precursors.md: the precursor test, and how often every test calls a lead where the truth is known.

    python scripts/build_precursors_page.py

A few CPU-minutes; finished chunks are kept in runs/calibration, so a stopped run goes on where it was. The numbers
are those of `pythia-geom calibrate --draws 400`, `pythia-geom power` and `pythia-geom precursors`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pythia_geometry.analysis.calibration.rates import ACCURACY_LEG, BOTH, LAG, PRIMARY, SECONDARY, calibrate
from pythia_geometry.analysis.precursor.rates import PLACEBOS, families, precursor_rates, task_ranks
from pythia_geometry.analysis.precursor.tidy_tables import read_tables
from pythia_geometry.analysis.precursor.usual_tests import CCF_CHANGES, ONSET
from pythia_geometry.analysis.precursor.verdict import adjusted, precursors
from pythia_geometry.analysis.worlds.designs import GRID_154, Design
from pythia_geometry.analysis.worlds.made_up import WORLDS, world

PAGE, KEPT = Path("docs/precursors.md"), Path("runs/calibration")
REFERENCE = Path("data/reference")
DRAWS, MORE_DRAWS, LEVEL_DRAWS, SEED = 400, 200, 50, 0
NULLS = tuple(name for name, w in WORLDS.items() if not (w.lead or 0) > 0)
OTHER_DESIGNS = {
    "5 tasks": Design(GRID_154, 5),
    "12 tasks": Design(GRID_154, 12),
    "24 tasks in 8 families": Design(GRID_154, 24, levels=3),
}
OTHER_WORLDS = tuple(world(name) for name in ("SYNC", "EARLY", "UNREL", "LEAD 0.3", "LEAD 0.5"))

INTRODUCTION = """# Does geometry come first?

Made by `python scripts/build_precursors_page.py`; every number below is printed by it.

Any two curves that both rise while a model trains will seem to lead or lag each other: onset orders and the sign of a
cross-correlation lag call most pairs of an early global event a lead, whoever's the geometry is (below).
`pythia-geom precursors RUN` therefore asks a narrower question: does the geometry *of this task* move before the behaviour *of this task*, more than the geometry of other tasks
does?

| you want | type |
|---|---|
| to know whether your tasks could show a lead at all | `pythia-geom power RUN` (reads behaviour only) |
| the verdict, and the usual rates beside controls and placebos | `pythia-geom precursors RUN` |
| the tables of this page | `pythia-geom calibrate --draws 400` |
| the same for your own steps and tasks | `pythia-geom calibrate RUN` |

`RUN` is one or more run folders, or CSV or Parquet files of geometry and behaviour with the columns of the README; several
runs (models, seeds) are tested together. Walk with the control: `--probes core,core:shuffled`.

## The test

**Task-matched lag (TML).** Geometry is declared beforehand: the mean of ln RankMe (centred) over the last quarter of the
blocks, `resid_l` with l > 3/4 L. Tasks are those whose accuracy emerged in every run: halfway between baseline and top for
good before the last step, and three standard errors between them. Geometry from its floor on and behaviour become profiles
of when they change, on an even grid of .1 decade in log10(step); the mean over tasks is taken away, so that what all tasks
share counts for nothing. Then

- *specificity*: do own pairs match better, at the best common lag, than under permutations of tasks (all up to 7 tasks,
  2,000 beyond; one permutation for all runs)? p ≤ .05;
- *lag*: is the best common lag over .10 decade (×1.26 in steps), by the lower 5 % bound over bootstraps of tasks?

Both must hold, on accuracy **and** on log-probability (a metric that needs several right tokens rises later than what it
measures; only a continuous metric shows it), and not on the **token-shuffled** prompts of the same tasks.

| verdict | when |
|---|---|
| `precursor` | both legs, companion measured and without a lead, power enough |
| `coupled, not leading` | own pairs match best on both metrics, but the lag is not over .10 decade on both |
| `lagging` | the same, and the upper bound is below −.10 decade on both |
| `no task-specific coupling` | permuted pairs match as well on one metric; or the shuffled prompts lead too |
| `untestable` | fewer than five tasks emerged; power at a lead of .5 decade under .5; or a claim without its second metric or its companion |

Several measures or models: Holm on the p of specificity (`analysis.precursors.adjusted`). Layers: one p a layer, from
the largest statistic over layers under the same permutations (Westfall–Young). Labels of single tasks: Benjamini–Hochberg
at q = .10 on the rank of each task's own geometry among all others.

What it cannot do: permutation takes prompt sets to be exchangeable. If hard tasks also have longer prompts and length
delays geometry, it fires; that is what the companion is for. Levels of one task (COPY1, COPY2, COPY3) are not
exchangeable with other tasks either: p of specificity is then too small (table below), so test one level of each. The lag is shrunk towards 0, so quote it as a lower bound. A
precursor is not a cause.
"""

WORLD_NOTES = """
## The worlds

A run of a world has eight tasks; behaviour, noise and geometry are drawn by `analysis/worlds.py` from the ranges in
`analysis/designs.py`, where those that the notes left open are marked. A true lead exists in LEAD alone.

| world | truth |
|---|---|
"""

# statistics.md A.7, TML at δ = .10 on accuracy, 27 / 154 steps: what these tables should show if all is as in the notes.
NOTES = {
    "SYNC": (0.00, 0.00), "EARLY": (0.02, 0.04), "SHARE": (0.02, 0.01), "UNREL": (0.00, 0.01), "MONO": (0.00, 0.00),
    "RW": (0.00, 0.00), "MIX 0.3": (0.00, 0.00), "MIX 0.5": (0.00, 0.00), "MIX 0.7": (0.00, 0.00),
    "LEAD 0.1": (0.00, 0.02), "LEAD 0.2": (0.07, 0.21), "LEAD 0.3": (0.38, 0.55), "LEAD 0.5": (0.87, 0.96),
    "LEAD 1": (0.96, 0.96),
}  # fmt: skip
NOTES_ERROR = 0.014

PRIMARY_NOTES = """
## The primary test

Per cent of {draws} made-up runs (27 published evaluation steps / Pythia's 154 checkpoints) ± one standard error (two
successes and failures added, so never 0); seed {seed}. `p_spec` alone is not a claim of a lead. The lag is the mean estimate.

"""

USUAL_NOTES = """
## The usual tests

Per cent of the same runs' pairs that each calls "geometry leads" (27 / 154 steps), standard errors over runs at most {se:.1f}
points. In all worlds but LEAD with a positive number every call is false. Ranks: share of forty tasks whose own geometry
is in the first twentieth of forty, {rounds} rounds; a tie counts against it.

"""

OTHER_NOTES = """
## Other numbers of tasks, and families

154 steps, per cent of {draws} made-up runs in which p_spec ≤ .05 / both legs call a lead; standard error at most {se:.1f} points.
In families of three (COPY1, COPY2, COPY3), levels share their timing up to .1 decade; permutations treat them as
separate tasks.

"""


def percent(rate: float) -> str:
    """Whole per cent, a decimal where it is small."""
    return f"{100 * rate:.1f}" if rate < 0.1 else f"{100 * rate:.0f}"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def pivots(table: pd.DataFrame, value: str) -> dict[str, pd.DataFrame]:
    """World × test by grid."""
    groups = table.groupby("grid", sort=False)
    return {str(grid): rows.pivot(index="world", columns="test", values=value) for grid, rows in groups}


def primary_table(table: pd.DataFrame) -> str:
    """Rates of the primary test, both grids."""
    rate, error = pivots(table, "rate"), pivots(table, "se")
    rows = []
    for name in WORLDS:
        cells = []
        for test in PRIMARY:
            both = [f"{percent(rate[g].at[name, test])} ± {100 * error[g].at[name, test]:.1f}" for g in ("27", "154")]
            cells.append(" / ".join(both))
        lags = " / ".join(f"{rate[g].at[name, LAG]:+.2f}" for g in ("27", "154"))
        expected = " / ".join(f"{100 * r:.0f}" for r in NOTES[name]) if name in NOTES else "–"
        rows.append([name, *cells, lags, expected])
    return markdown(["world", *PRIMARY, "lag, decades", "accuracy leg in the notes"], rows)


def usual_table(table: pd.DataFrame) -> str:
    """Rates of the usual tests, both grids: tests down, worlds across."""
    rate = pivots(table, "rate")
    rows = [
        [
            test.replace("|", "\\|"),
            *(f"{100 * rate['27'].at[w, test]:.0f}/{100 * rate['154'].at[w, test]:.0f}" for w in WORLDS),
        ]
        for test in SECONDARY
    ]
    return markdown(["test", *WORLDS], rows)


def other_table(table: pd.DataFrame) -> str:
    """Specificity and both legs for other designs."""
    rate = pivots(table, "rate")
    names = [w.name for w in OTHER_WORLDS]
    rows = [
        [design, *(f"{percent(rate[design].at[w, PRIMARY[0]])} / {percent(rate[design].at[w, BOTH])}" for w in names)]
        for design in OTHER_DESIGNS
    ]
    return markdown(["tasks", *names], rows)


def findings(table: pd.DataFrame) -> str:
    """What the tables say, by the numbers in them."""
    rows = []
    for grid, rate in pivots(table, "rate").items():
        error = pivots(table, "se")[grid]
        worst = max(NULLS, key=lambda w: rate.at[w, BOTH])
        over = [w for w in NULLS if rate.at[w, BOTH] - 2 * error.at[w, BOTH] > 0.05]
        accuracy = [w for w in NULLS if rate.at[w, PRIMARY[1]] - 2 * error.at[w, PRIMARY[1]] > 0.05]
        rows.append(
            f"- {grid} steps: both legs call a lead in at most {percent(rate.at[worst, BOTH])} % of null runs ({worst}); over "
            f"5 % by two standard errors: {', '.join(over) or 'none'} (accuracy alone: {', '.join(accuracy) or 'none'}). "
            f"A true lead of .5 decade is found in {percent(rate.at['LEAD 0.5', BOTH])} %, of .3 in "
            f"{percent(rate.at['LEAD 0.3', BOTH])} %, of 1 in {percent(rate.at['LEAD 1', BOTH])} %."
        )
    for test in (ONSET, CCF_CHANGES):
        found = table[(table["test"] == test) & table["world"].isin(NULLS)]["rate"]
        name = test.replace("|", "\\|")
        rows.append(f"- {name}: {percent(found.min())} to {percent(found.max())} % of pairs where no lead exists.")
    return "\n".join([*rows, f"- {differences(table)}", ""])


def differences(table: pd.DataFrame) -> str:
    """Where the accuracy leg is not what the notes found."""
    rate, error = pivots(table, "rate"), pivots(table, "se")
    found = []
    for name, expected in NOTES.items():
        for grid, there in zip(("27", "154"), expected, strict=True):
            here = rate[grid].at[name, ACCURACY_LEG]
            if abs(here - there) > 2 * np.hypot(error[grid].at[name, ACCURACY_LEG], NOTES_ERROR):
                found.append(f"{name} on {grid} steps {percent(here)} % (notes {100 * there:.0f} %)")
    return f"Accuracy leg, off the notes' rate by more than two standard errors: {'; '.join(found) or 'nowhere'}."


def reference_section() -> str:
    """Power and verdict on the lab's reference runs that ship."""
    names = sorted(REFERENCE.glob("nano-gpt2-*.behaviour.parquet"))
    geometry, behaviour = read_tables([*names, *REFERENCE.glob("nano-gpt2-*.geometry.parquet")])
    verdict = precursors(geometry, behaviour, seed=SEED)
    found = verdict.power
    runs = found.screening.runs
    of = families(geometry, runs)
    rates = precursor_rates(of, SEED)
    power_rows = [
        [f"{r.lead:g}", f"{r.accuracy:.2f}", f"{r.continuous:.2f}", f"{r.both:.2f}"] for r in found.rates.itertuples()
    ]
    leg_rows = [
        [m, f"{leg.p_specific:.4f}", f"{leg.lag:+.2f}", f"{leg.lower:+.2f} … {leg.upper:+.2f}", leg.label]
        for m, leg in verdict.legs.items()
    ]
    shown = [name for name in PLACEBOS if rates[name].notna().any()]
    rate_rows = [
        [
            r["rule"].replace("|", "\\|"),
            *(f"{100 * r[c]:.0f}" for c in ("own", "controls")),
            f"{100 * r['excess']:+.0f}",
            f"{r['p']:.3f}",
            *(f"{100 * r[c]:.0f}" for c in shown),
        ]
        for r in rates.to_dict("records")
    ]
    return "\n".join(
        [
            "## The reference runs of the lab\n",
            f"`pythia-geom precursors data/reference/nano-gpt2-*.parquet`: {', '.join(run.name for run in runs)}, together; "
            f"{len(found.screening.tasks)} tasks that emerged in all of them, in families of three levels (see the table "
            "above: p of specificity is then too small, so read it with that in mind). They were walked without shuffled "
            "controls.\n",
            f"Power, {found.draws} made-up geometries a row, standard error at most {found.rates['se'].max():.2f}:\n",
            markdown(["geometry leads both by, decades", "accuracy leg", "log_prob leg", "both"], power_rows),
            markdown(["leg", "p specific", "lag, decades", "90 % interval", "says"], leg_rows),
            f"Verdict: **{verdict.label}** ({'; '.join(verdict.reasons)}).\n",
            "One level of each task at a time, so that the tasks are separate; p is shown with Holm's correction over the three "
            "levels, the verdict is by each level's own:\n",
            level_table(geometry, behaviour),
            f"Rates as they are usually quoted, per cent of {rates['n_own'].iloc[0]} pairs, with controls and placebos; timing "
            "only:\n",
            markdown(["rule", "own", "controls", "excess", "p", *(f"placebo: {n}" for n in shown)], rate_rows),
            f"Tasks whose own geometry outranks its controls at q = .10: "
            f"{', '.join(task_ranks(of).query('p_bh <= 0.1')['task']) or 'none'}.\n",
        ]
    )


def level_table(geometry: pd.DataFrame, behaviour: pd.DataFrame) -> str:
    """The verdict on COPY1, REV1 … alone, then on the second and the third levels."""
    found = {
        level: precursors(
            *(f[f["task"].str.endswith(level)] for f in (geometry, behaviour)), seed=SEED, draws=LEVEL_DRAWS
        )
        for level in "123"
    }
    holm = {
        metric: adjusted({level: v.legs[metric].p_specific for level, v in found.items()}) for metric in found["1"].legs
    }
    rows = [
        [
            f"{level} ({len(v.power.screening.tasks)} tasks)",
            f"{v.power.decisive:.2f}",
            *(f"{holm[m][level]:.3f}; {x.lag:+.2f} ({x.lower:+.2f} … {x.upper:+.2f})" for m, x in v.legs.items()),
            v.label,
        ]
        for level, v in found.items()
    ]
    legs = [f"{metric}: p; lag (90 % interval)" for metric in holm]
    return markdown(["level", f"power at .5 ({LEVEL_DRAWS} draws)", *legs, "verdict"], rows)


def main() -> None:
    """Writes the page."""
    began = time.process_time()
    table = calibrate(draws=DRAWS, seed=SEED, folder=KEPT, notify=print)
    others = calibrate(OTHER_DESIGNS, OTHER_WORLDS, MORE_DRAWS, SEED, KEPT, with_usual=False, notify=print)
    usual = table[table["test"].isin(SECONDARY[:-2])]
    ranks = table[table["test"].isin(SECONDARY[-2:])]
    sections = [
        INTRODUCTION,
        "## What the tables say\n",
        findings(table),
        WORLD_NOTES + "\n".join(f"| {w.name} | {w.truth} |" for w in WORLDS.values()),
        PRIMARY_NOTES.format(draws=table["runs"].max(), seed=SEED) + primary_table(table),
        USUAL_NOTES.format(se=100 * np.max([usual["se"].max(), ranks["se"].max()]), rounds=ranks["runs"].max())
        + usual_table(table),
        OTHER_NOTES.format(draws=others["runs"].max(), se=100 * others[others["test"].isin(PRIMARY)]["se"].max())
        + other_table(others),
        reference_section(),
    ]
    PAGE.write_text("\n".join(sections))
    print(f"{PAGE}: {time.process_time() - began:.0f} CPU seconds in this call")


if __name__ == "__main__":
    main()
