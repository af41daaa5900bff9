"""Rates of words as they are read, on the screen and in docs/precursors.md: a world a line, a design a line."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pythia_geometry.analysis.calibration.words import LEGS, POWER_DESIGNS, REAL_CURVES
from pythia_geometry.analysis.events.rules import share_error
from pythia_geometry.analysis.precursor.finding import IN_THIS_RUN, LEADS, LEADS_HERE

SAID = (LEADS, LEADS_HERE)
NOTHING = "–"
POWERED = {"×2": ("LEAD 0.3", "OWN, .3 EARLIER"), "×3.2": ("LEAD 0.5", "OWN, .5 EARLIER")}


def grids_of(words: pd.DataFrame) -> list[str]:
    """Grids of which worlds are shown, without those that only power has."""
    return [grid for grid in dict.fromkeys(words["grid"]) if grid not in POWER_DESIGNS]


def words_summary(words: pd.DataFrame, grid: str) -> pd.DataFrame:
    """By world: per cent ± standard error of studies in which both legs lead and in which the word is said.

    Cells hold the numbers of runs in their order, with slashes.
    """
    mine = words[words["grid"] == grid]
    runs = _numbers(mine)
    most = 3 if 3 in runs else runs[-1]
    lines = []
    for world, rows in mine.groupby("world", sort=False):
        cells = [" / ".join(_cell(rows, n, kinds) for n in runs) for kinds in ((LEGS,), SAID)]
        named = {"world": world, "truth": rows["truth"].iloc[0], "both legs": cells[0], "word": cells[1]}
        told = {f"else, with {most} run{'s' * (most > 1)}": _rest(rows, most)}
        lines.append(
            named | told | {"cannot be told from a lead": rows["forbids"].iloc[0] or rows["legs_forbid"].iloc[0]}
        )
    return pd.DataFrame(lines)


def runs_of(words: pd.DataFrame, grid: str) -> str:
    """The numbers of runs of a grid's cells, such as `1 / 3 / 10`."""
    return " / ".join(map(str, _numbers(words[words["grid"] == grid])))


def _numbers(words: pd.DataFrame) -> list[int]:
    return sorted({int(n) for n in words["runs"]})


def power_summary(words: pd.DataFrame) -> pd.DataFrame:
    """By design: per cent of studies with a true lead in which both legs lead / the word is said."""
    lines: list[dict[str, object]] = []
    for grid in dict.fromkeys(words["grid"]):
        mine = words[words["grid"] == grid]
        line: dict[str, object] = {"steps": str(grid).split(",")[0], "tasks": str(mine["tasks"].max())}
        for lead, worlds in POWERED.items():
            true = mine[mine["world"].isin(worlds)]
            line |= {f"{lead}, {n} run{'s' * (n > 1)}": _pair(true, n) for n in _numbers(words)}
        if mine["world"].isin(sum(POWERED.values(), ())).any():
            lines.append(line)
    order = [REAL_CURVES, *sorted({str(line["steps"]) for line in lines} - {REAL_CURVES})]
    lines.sort(key=lambda line: (order.index(str(line["steps"])), int(str(line["tasks"]))))
    return pd.DataFrame(lines)


def excess(words: pd.DataFrame, limit: float = 0.05) -> list[str]:
    """Worlds without a lead in which legs or word pass 5 % by two standard errors, but where theory forbids it."""
    null = words[words["lead"].isna() & (words["forbids"] == "") & words["word"].isin((LEGS, *SAID))]
    null = null[(null["word"] != LEGS) | (null["legs_forbid"] == "")]
    over = null[null["rate"] - 2 * null["se"] > limit]
    named = zip(*(over[name].tolist() for name in ("grid", "world", "runs", "word", "rate")), strict=True)
    return [f"{grid}, {world}, {n} runs: {word} {100 * rate:.0f} %" for grid, world, n, word, rate in named]


def _cell(rows: pd.DataFrame, n: int, kinds: Sequence[str]) -> str:
    these = rows[rows["runs"] == n]
    if these.empty:
        return NOTHING
    rate = these.loc[these["word"].isin(kinds), "rate"].sum()
    error = float(share_error(np.array(rate), np.array(float(these["draws"].iloc[0]))))
    return f"{100 * rate:.0f} ± {100 * error:.{0 if error >= 0.01 else 1}f}"


def _rest(rows: pd.DataFrame, n: int) -> str:
    these = rows[(rows["runs"] == n) & ~rows["word"].isin((LEGS, *SAID))].sort_values("rate", ascending=False)
    words = zip(these["word"], these["rate"], strict=True)
    return ", ".join(f"{word.removesuffix(IN_THIS_RUN)} {100 * rate:.0f}" for word, rate in words if rate >= 0.01)


def _pair(rows: pd.DataFrame, n: int) -> str:
    these = rows[rows["runs"] == n]
    if these.empty:
        return NOTHING
    legs, said = (these.loc[these["word"].isin(kinds), "rate"].sum() for kinds in ((LEGS,), SAID))
    return f"{100 * legs:.0f} / {100 * said:.0f}"
