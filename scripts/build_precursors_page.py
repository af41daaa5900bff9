"""Writes docs/precursors.md: what the precursor test says, and how often every test calls a lead where the truth is known.

    python scripts/build_precursors_page.py                  # everything; finished chunks are kept in runs/calibration
    python scripts/build_precursors_page.py --words-alone    # the words of verdicts anew; tables of single tests stay
    python scripts/build_precursors_page.py --curves DIR     # EleutherAI's published evaluations are in DIR already

Also writes data/operating.csv, the rates that stand beside each verdict. The numbers are those of `pythia-geom calibrate
--draws 100` and, on real curves, of `pythia-geom calibrate DIR`; single tests have more draws.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pythia_geometry.analysis.calibration.operating import calibrate_rules, of_lead
from pythia_geometry.analysis.calibration.rates import ACCURACY_LEG, BOTH, LAG, PRIMARY, SECONDARY, calibrate
from pythia_geometry.analysis.calibration.summaries import excess, power_summary, runs_of, words_summary
from pythia_geometry.analysis.calibration.words import (
    LEGS,
    POWER_DESIGNS,
    POWER_WORLDS,
    REAL_CURVES,
    calibrate_real,
    calibrate_words,
    real_runs,
)
from pythia_geometry.analysis.lm_eval.published import fetch_published
from pythia_geometry.analysis.precursor.screening import screen_models
from pythia_geometry.analysis.precursor.tidy_tables import read_tables
from pythia_geometry.analysis.precursor.usual_tests import CCF_CHANGES, ONSET
from pythia_geometry.analysis.worlds.designs import GRID_154, Design
from pythia_geometry.analysis.worlds.made_up import WORLDS, world
from pythia_geometry.analysis.worlds.studies import STUDIES

PAGE, KEPT, RATES = Path("docs/precursors.md"), Path("runs/calibration"), Path("data/operating.csv")
DRAWS, MORE_DRAWS, SEED = 400, 200, 0
NULLS = tuple(name for name, w in WORLDS.items() if not (w.lead or 0) > 0)
OTHER_DESIGNS = {
    "5 tasks": Design(GRID_154, 5),
    "12 tasks": Design(GRID_154, 12),
    "24 tasks in 8 families": Design(GRID_154, 24, levels=3),
}
OTHER_WORLDS = tuple(world(name) for name in ("SYNC", "EARLY", "UNREL", "LEAD 0.3", "LEAD 0.5"))
FAMILY_GRID = "24 tasks in 8 families"
FAMILIES = {FAMILY_GRID: Design(GRID_154, 24, levels=3)}
SINGLES = "## What the tables of single tests say\n"

INTRODUCTION = """# Does geometry come first?

Made by `python scripts/build_precursors_page.py`; every number below is printed by it.

Any two curves that both rise while a model trains will seem to lead or lag each other: onset orders and the sign of a
cross-correlation lag call most pairs of an early global event a lead, whoever's the geometry is (below).
`pythia-geom precursors RUN` therefore asks a narrower question: does the geometry *of this task* move, in its own range,
before the behaviour *of this task*, more than the geometry of other tasks does, in run after run?

| you want | type |
|---|---|
| to know whether your tasks could show a lead at all | `pythia-geom power RUN` (reads behaviour only) |
| the verdicts, and the usual rates beside controls and placebos | `pythia-geom precursors RUN` |
| the same as rows, for a program | `pythia-geom precursors RUN --json` |
| all levels of a task in place of the hardest | `--tasks all`, or names: `--tasks COPY1,REV2` |
| the tables of this page, or the same for your own steps and tasks | `pythia-geom calibrate`, `pythia-geom calibrate RUN` |

`RUN` is one or more run folders, or CSV or Parquet files of geometry and behaviour with the columns of the README. Seeds of
one model are judged together, models apart. Walk with the control: `--probes core,core:shuffled`. What is found is kept in
`results/` of the run folder with its settings and the hashes of its inputs.

The test, its words and what each needs: [Definitions, Tests](definitions.md#tests). Why each line lies where it does:
[decision 0012](decisions/0012-verdicts.md). In short: `precursor` needs three runs, both metrics, both legs' lag over .10
decade, a token-shuffled companion that keeps less than a tenth, a bend of 3 or more, and Holm over conventions and models.
Papers judged: Billa 2026, arXiv 2602.15997, v1 to v4; Baherwani et al. 2026, arXiv 2606.25010.
"""

WORDS_NOTES = """
## How often each word is said

Per cent of made-up studies of eight tasks on Pythia's 154 steps, with {runs} runs; {draws}. A study is one measure of
one model, so Holm and `no lead of half a decade` (which needs the power of one's own tasks) are not in it. *Both legs*: both
metrics lead at 5 %, before companion, bend and number of runs. *Word*: `precursor`, with one run `leads, in this run`.
Standard errors are half of Wilson's interval, so that none is 0. Where the last column is filled no test of timing can
tell the truth from a lead, or the legs alone cannot, or one run cannot: the bend is printed, or the word is `undecided`. A
measure that ends at a ceiling is of that kind, and no power of its own range shows it: where a table has a column
`ceiling` and geometry comes to nine tenths of it the word is `earlier in its own range`.

"""

REAL_NOTES = """
## On real curves

Behaviour is not made up here: the accuracy curves of EleutherAI's published evaluations of five Pythia models (the tasks that
emerged, at most {n} a model), with surrogates in geometry's place; {runs} runs, {draws}. Few models share five tasks, so that runs of a
study may be one model twice: the same behaviour, geometry drawn anew. Only LAMBADA has a continuous metric there; the second
leg of all is the way that accuracy has come, with fresh noise. `pythia-geom calibrate RUN` does the same with the curves of
your own runs.

"""

POWER_NOTES = """
## Power

Per cent of studies with a true lead of ×2 (.3 decade) or ×3.2 (.5) in which both legs lead / the
word is said; {draws}. A lead of ×2 is nearly always `earlier in its own range`: a square would explain it.

"""
WORLD_NOTES = """
## The worlds

A run of a world has eight tasks; behaviour, noise and geometry are drawn by `analysis/worlds.py` from the ranges in
`analysis/designs.py`, where those that the notes left open are marked. A true lead exists in LEAD alone.

| world | truth |
|---|---|
"""

# Accuracy leg on 27 / 154 steps, worked out before any code was written (250 to 400 draws): what the tables should show.
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


def of_frame(frame: pd.DataFrame) -> str:
    """A Markdown table of a summary."""
    return markdown(list(frame.columns), [[str(cell) for cell in row] for row in frame.itertuples(index=False)])


def drawn(words: pd.DataFrame) -> str:
    """How many studies a cell rests on."""
    fewest, most = words["draws"].min(), words["draws"].max()
    return f"{most} studies a cell" if fewest == most else f"{fewest} to {most} studies a cell"


def words_sections(words: pd.DataFrame) -> list[str]:
    """The tables of words, of power, and on real curves where there are some."""
    main, families = (words[words["grid"] == grid] for grid in ("154", *FAMILIES))
    legs = families[families["word"] == LEGS].to_dict("records")
    told = " / ".join(f"{100 * row['rate']:.0f} ± {100 * row['se']:.1f}" for row in legs)
    over = excess(words)
    real = words[words["grid"] == REAL_CURVES]
    return [
        WORDS_NOTES.format(draws=drawn(main), runs=runs_of(words, "154")) + of_frame(words_summary(words, "154")),
        f"\nTwenty-four tasks in eight families of three, permuted whole, geometry unrelated: both legs lead in {told} %"
        f" of studies with {' / '.join(str(row['runs']) for row in legs)} runs ({drawn(families)}).\n",
        f"\nThe same on the 27 published steps ({runs_of(words, '27')} runs):\n\n"
        + of_frame(words_summary(words, "27")),
        REAL_NOTES.format(draws=drawn(real), runs=runs_of(words, REAL_CURVES), n=real["tasks"].max())
        + of_frame(words_summary(words, REAL_CURVES)),
        f"\nOver 5 % by two standard errors where no lead exists and theory does not forbid it: {'; '.join(over) or 'none'}.\n",
        POWER_NOTES.format(draws=drawn(words[words["world"].isin(("LEAD 0.3", "LEAD 0.5"))]))
        + of_frame(power_summary(words[words["grid"] != FAMILY_GRID])),
    ]


def singles() -> list[str]:
    """Tables of single tests: the legs, and the tests that are usually run."""
    table = calibrate(draws=DRAWS, seed=SEED, folder=KEPT, notify=print)
    others = calibrate(OTHER_DESIGNS, OTHER_WORLDS, MORE_DRAWS, SEED, KEPT, with_usual=False, notify=print)
    usual = table[table["test"].isin(SECONDARY[:-2])]
    ranks = table[table["test"].isin(SECONDARY[-2:])]
    return [
        SINGLES,
        findings(table),
        WORLD_NOTES + "\n".join(f"| {w.name} | {w.truth} |" for w in WORLDS.values()),
        PRIMARY_NOTES.format(draws=table["runs"].max(), seed=SEED) + primary_table(table),
        USUAL_NOTES.format(se=100 * np.max([usual["se"].max(), ranks["se"].max()]), rounds=ranks["runs"].max())
        + usual_table(table),
        OTHER_NOTES.format(draws=others["runs"].max(), se=100 * others[others["test"].isin(PRIMARY)]["se"].max())
        + other_table(others),
    ]


def main() -> None:
    """Writes the page and the rates that ship."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--words-alone", action="store_true", help="leave the tables of single tests as the page has them"
    )
    parser.add_argument("--draws", type=int, default=100, help="made-up studies a cell")
    parser.add_argument("--curves", default="", help="folder of the published evaluations; downloaded where empty")
    args = parser.parse_args()
    began = time.process_time()
    how = {"draws": args.draws, "seed": SEED, "folder": KEPT, "notify": print}
    curves = args.curves or fetch_published("runs/published-evaluations")
    screenings = screen_models(read_tables([curves])[1])
    words = pd.concat(
        [
            calibrate_words(**how),
            calibrate_words(POWER_DESIGNS, POWER_WORLDS, **how),
            calibrate_real([run for one in screenings for run in real_runs(one)], **how),
            calibrate_words(FAMILIES, (STUDIES["UNREL"],), (1, 3), **how),
        ],
        ignore_index=True,
    )
    rules = calibrate_rules(args.draws, SEED, KEPT, print)
    pd.concat([rules, of_lead(words)], ignore_index=True).round({"rate": 4, "se": 4}).to_csv(RATES, index=False)
    held = [SINGLES + PAGE.read_text().partition(SINGLES)[2].rstrip("\n")] if args.words_alone else singles()
    PAGE.write_text("\n".join([INTRODUCTION, *words_sections(words), *held]) + "\n")
    print(f"{PAGE}: {time.process_time() - began:.0f} CPU seconds in this call")


if __name__ == "__main__":
    main()
