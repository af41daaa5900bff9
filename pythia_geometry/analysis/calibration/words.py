"""How often the precursor test says each of its words in made-up studies: its operating characteristics.

Chunks of studies with a seed of their own are kept in `calibration.jsonl`, as those of `rates`: the same command
continues after a stop, and asking for more draws adds only the new ones.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd

from pythia_geometry.analysis.calibration.ledger import ChunkLedger, Moments
from pythia_geometry.analysis.events.rules import share_error
from pythia_geometry.analysis.precursor.families import families_of
from pythia_geometry.analysis.precursor.finding import Finding, StudyRun, examine, judge
from pythia_geometry.analysis.precursor.screening import Screening
from pythia_geometry.analysis.precursor.task_matched_lag import LEVEL
from pythia_geometry.analysis.tables.step_curves import StepCurves
from pythia_geometry.analysis.worlds.designs import GRID_27, GRID_154, Design
from pythia_geometry.analysis.worlds.real_curves import REAL, RealRun, RealWorld, draw_real, groups_of
from pythia_geometry.analysis.worlds.studies import STUDIES, StudyDrawn, StudyWorld, draw_study

VERSION = 3  # raise when a change moves a number
CHUNK = 25
RUNS = (1, 3, 10)
LEGS = "both legs lead"
REAL_CURVES = "real curves"
COLUMNS = ["grid", "world", "truth", "lead", "forbids", "legs_forbid", "tasks", "runs", "draws", "word", "rate", "se"]
GRIDS = {"27": Design(GRID_27), "154": Design(GRID_154)}
POWER_DESIGNS = {f"{grid}, {n} tasks": Design(design.steps, n) for grid, design in GRIDS.items() for n in (6, 12, 20)}
"""Other numbers of tasks, of which only power is asked."""
ONE_RUN = "in one run the lead is true; runs together tell"
POWER_WORLDS = tuple(STUDIES[name] for name in ("LEAD 0.3", "LEAD 0.5"))


Draw = Callable[[np.random.Generator], StudyDrawn]


@dataclass(frozen=True)
class StudyCell:
    """One world with one design and number of runs.

    Attributes:
        world: What is true.
        grid: Name of the design.
        n_tasks: Tasks; of real runs the most.
        n_runs: Runs a study.
        seed: Of the draws.
        drawn_from: What determines a draw beside the world: a hash.
        draw: One study.
    """

    world: StudyWorld | RealWorld
    grid: str
    n_tasks: int
    n_runs: int
    seed: int
    drawn_from: str
    draw: Draw

    @property
    def key(self) -> dict[str, Any]:
        """What determines its chunks, beside their number."""
        about = {"words": VERSION, "grid": self.grid, "world": self.world.name, "seed": self.seed}
        return about | {"design": self.drawn_from, "runs": self.n_runs}


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
        One row a grid, world, number of runs and word: grid, world, lead, forbids, legs_forbid, tasks, runs, word,
        rate, se, draws. LEGS is the rate at which both legs lead, whatever the word.

    Raises:
        MachineError: If the folder cannot be written.
    """
    cells = [
        StudyCell(world, grid, design.n_tasks, n, seed, _digest(design), partial(draw_study, world, design, n))
        for grid, design in (designs or GRIDS).items()
        for world in worlds
        for n in runs
    ]
    return _calibrated(cells, draws, folder, notify)


def calibrate_real(
    real: Sequence[RealRun],
    worlds: Sequence[RealWorld] = REAL,
    runs: Sequence[int] = RUNS,
    draws: int = 200,
    seed: int = 0,
    folder: str | Path | None = None,
    notify: Callable[[str], object] = str,
) -> pd.DataFrame:
    """The same on real behaviour curves, with surrogates in geometry's place.

    How it misleads: where no continuous metric was measured its leg is the accuracy's own way with fresh noise. Runs
    of a study may be one run twice, whose behaviour does not differ, or sizes of one model, which differ more than
    seeds do.

    Args:
        real: Runs; those of a study share five tasks or more.
        worlds: Surrogates.
        runs: Numbers of runs a study.
        draws: As `calibrate_words`, also seed, folder and notify.
        seed: Of the draws.
        folder: Of finished chunks.
        notify: Told what is computed.

    Returns:
        As `calibrate_words`; `grid` is `real curves`.
    """
    digest = hashlib.sha256()
    for run in real:
        digest.update(" ".join((run.name, *run.tasks)).encode())
        digest.update(run.accuracy.values.tobytes() + (run.continuous.values.tobytes() if run.continuous else b""))
    cells = [
        StudyCell(world, REAL_CURVES, max(len(group[0].tasks) for group in groups), n, seed, digest.hexdigest()[:12],
                  partial(draw_real, world, groups, real))
        for n in runs
        for groups in [groups_of(real, n)]
        for world in worlds
        if groups and len(real) >= world.least_runs
    ]  # fmt: skip
    return _calibrated(cells, draws, folder, notify)


def real_runs(screening: Screening, own: Mapping[str, str] | None = None) -> list[RealRun]:
    """The runs of a screening as `calibrate_real` takes them."""
    of = families_of(screening.tasks, own)
    families = tuple(of[task][0] for task in screening.tasks)
    return [
        RealRun(run.name, run.tasks, families, run.accuracy, run.error, run.continuous, run.midpoints)
        for run in screening.runs
    ]


def _digest(design: Design) -> str:
    digest = hashlib.sha256()
    for item in fields(design):
        digest.update(np.asarray(getattr(design, item.name), dtype=float).tobytes())
    return digest.hexdigest()[:12]


def _calibrated(
    cells: Sequence[StudyCell], draws: int, folder: str | Path | None, notify: Callable[[str], object]
) -> pd.DataFrame:
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
    return pd.DataFrame([row for cell in cells for row in _rows(cell, totals)], columns=COLUMNS)


def _rows(cell: StudyCell, totals: Mapping[tuple[str, str, int], Counter[str]]) -> list[dict[str, Any]]:
    total = totals[cell.grid, cell.world.name, cell.n_runs]
    draws = total["draws"]
    about: dict[str, Any] = {"grid": cell.grid, "world": cell.world.name, "truth": cell.world.truth}
    forbids = cell.world.forbids if cell.n_runs >= cell.world.null_from else ONE_RUN
    about |= {"lead": cell.world.lead, "forbids": forbids, "legs_forbid": cell.world.legs_forbid}
    about |= {"tasks": cell.n_tasks, "runs": cell.n_runs, "draws": draws}
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
        found = examine_drawn(cell.draw(rng), int(rng.integers(2**31)))
        said[LEGS] += all(leg.p <= LEVEL for leg in found.legs.values())
        said[judge(found, found.p, float("nan"))[0]] += 1
    return {word: (float(n), float(n), CHUNK) for word, n in said.items()}


def examine_drawn(drawn: StudyDrawn, seed: int) -> Finding:
    """The question of `examine`, asked of a made-up study."""
    seen = slice(None) if drawn.seen is None else drawn.seen
    runs = [
        StudyRun(
            StepCurves(run.steps[seen], run.geometry[:, seen], "geometry"),
            StepCurves(run.steps[seen], shuffled[:, seen], "shuffled"),
            {
                "accuracy": StepCurves(run.steps, run.accuracy, "accuracy"),
                "log_prob": StepCurves(run.steps, run.log_prob, "log-probability"),
            },
        )
        for run, shuffled in zip(drawn.runs, drawn.shuffled, strict=True)
    ]
    return examine(runs, drawn.families, seed, in_short=True)
