"""How often the precursor test says each of its words in made-up studies: its operating characteristics.

Chunks of studies with a seed of their own are kept in `calibration.jsonl`, as those of `rates`: the same command
continues after a stop, and asking for more draws adds only the new ones.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd

from pythia_geometry.analysis.calibration.ledger import ChunkLedger, Moments
from pythia_geometry.analysis.events.rules import share_error
from pythia_geometry.analysis.precursor.finding import Finding, StudyRun, examine, judge
from pythia_geometry.analysis.precursor.task_matched_lag import LEVEL
from pythia_geometry.analysis.tables.step_curves import StepCurves
from pythia_geometry.analysis.worlds.designs import GRID_27, GRID_154, Design
from pythia_geometry.analysis.worlds.studies import STUDIES, StudyDrawn, StudyWorld, draw_study

VERSION = 1  # raise when a change moves a number
CHUNK = 25
RUNS = (1, 3, 10)
LEGS = "both legs lead"
GRIDS = {"27": Design(GRID_27), "154": Design(GRID_154)}


@dataclass(frozen=True)
class StudyCell:
    """One world with one design and number of runs."""

    grid: str
    world: StudyWorld
    design: Design
    n_runs: int
    seed: int

    @property
    def key(self) -> dict[str, Any]:
        """What determines its chunks, beside their number."""
        digest = hashlib.sha256()
        for item in fields(self.design):
            digest.update(np.asarray(getattr(self.design, item.name), dtype=float).tobytes())
        about = {"words": VERSION, "grid": self.grid, "world": self.world.name, "seed": self.seed}
        return about | {"design": digest.hexdigest()[:12], "runs": self.n_runs}


def calibrate_words(
    designs: Mapping[str, Design] | None = None,
    worlds: Sequence[StudyWorld] = tuple(STUDIES.values()),
    runs: Sequence[int] = RUNS,
    draws: int = 200,
    seed: int = 0,
    folder: str | Path | None = None,
    notify: Callable[[str], object] = str,
) -> pd.DataFrame:
    """Rate of every word of the precursor test, of both legs leading, and what else they rest on.

    How it misleads: the made-up runs are of the generator's kind, and a verdict here is asked of one measure of one
    model, without Holm's correction and without its power, so that `no lead of half a decade` and `untestable` are not
    said.

    Args:
        designs: Steps and tasks by a name for the table; eight tasks on both grids where None.
        worlds: Truths to draw from.
        runs: Numbers of runs a study.
        draws: Made-up studies a cell, rounded up to chunks of 25.
        seed: Of the draws.
        folder: Where finished chunks are kept and found again; nowhere where None.
        notify: Told what is computed before each chunk.

    Returns:
        One row a grid, world, number of runs and word: grid, world, lead, forbids, tasks, runs, word, rate, se, draws.
        LEGS is the rate at which both legs lead, whatever the word.

    Raises:
        MachineError: If the folder cannot be written.
    """
    cells = [StudyCell(g, w, d, r, seed) for g, d in (designs or GRIDS).items() for w in worlds for r in runs]
    todo = [(cell, chunk) for cell in cells for chunk in range(-(-draws // CHUNK))]
    ledger = ChunkLedger(Path(folder) if folder else None)
    totals: dict[tuple[str, str, int], Counter[str]] = {}
    for number, (cell, chunk) in enumerate(todo):
        key = cell.key | {"chunk": chunk}
        moments = ledger.find(key)
        if moments is None:
            notify(f"{number}/{len(todo)} chunks: {cell.grid}, {cell.world.name}, {cell.n_runs} runs")
            moments = _chunk(cell, chunk)
            ledger.add(key, moments)
        total = totals.setdefault((cell.grid, cell.world.name, cell.n_runs), Counter())
        for word, (said, _, count) in moments.items():
            total[word] += int(said)
            total["draws"] += count if word == LEGS else 0
    return pd.DataFrame([row for cell in cells for row in _rows(cell, totals)])


def _rows(cell: StudyCell, totals: Mapping[tuple[str, str, int], Counter[str]]) -> list[dict[str, Any]]:
    total = totals[cell.grid, cell.world.name, cell.n_runs]
    draws = total["draws"]
    about: dict[str, Any] = {"grid": cell.grid, "world": cell.world.name, "truth": cell.world.truth}
    about |= {"lead": cell.world.lead, "forbids": cell.world.forbids, "tasks": cell.design.n_tasks}
    about |= {"runs": cell.n_runs, "draws": draws}
    said = {word: n / draws for word, n in total.items() if word != "draws"}
    return [
        about | {"word": w, "rate": r, "se": float(share_error(np.array(r), np.array(draws)))}
        for w, r in sorted(said.items(), key=lambda item: (item[0] != LEGS, item[0]))
    ]


def _chunk(cell: StudyCell, chunk: int) -> Moments:
    """How often each word is said in one chunk."""
    rng = np.random.default_rng([cell.seed, crc32(f"{cell.grid} {cell.world.name}".encode()), cell.n_runs, chunk])
    said: Counter[str] = Counter({LEGS: 0})
    for _ in range(CHUNK):
        drawn = draw_study(cell.world, cell.design, cell.n_runs, rng)
        found = examine_drawn(drawn, int(rng.integers(2**31)))
        said[LEGS] += all(leg.p <= LEVEL for leg in found.legs.values())
        said[judge(found, found.p, float("nan"))[0]] += 1
    return {word: (float(n), float(n), CHUNK) for word, n in said.items()}


def examine_drawn(drawn: StudyDrawn, seed: int) -> Finding:
    """The question of `examine`, asked of a made-up study."""
    runs = [
        StudyRun(
            StepCurves(run.steps, run.geometry, "geometry"),
            StepCurves(run.steps, shuffled, "shuffled"),
            {
                "accuracy": StepCurves(run.steps, run.accuracy, "accuracy"),
                "log_prob": StepCurves(run.steps, run.log_prob, "log-probability"),
            },
        )
        for run, shuffled in zip(drawn.runs, drawn.shuffled, strict=True)
    ]
    return examine(runs, drawn.families, seed, in_short=True)
