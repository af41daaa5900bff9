"""How often each test says "geometry leads" in worlds where the truth is known, on a given grid of steps.

Work is done in chunks of 50 made-up runs with a seed of their own; finished chunks are lines of `calibration.jsonl`, so
that the same command continues after a stop and asking for more runs adds only the new ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd

from pythia_geometry.analysis.calibration.ledger import ChunkLedger, Moments
from pythia_geometry.analysis.events.rules import baselines, share_error
from pythia_geometry.analysis.precursor.screening import MIN_TASKS, BehaviourRun, Screening
from pythia_geometry.analysis.precursor.task_matched_lag import LEADS, MatchedRun, task_matched_lag
from pythia_geometry.analysis.precursor.usual_tests import (
    USUAL,
    ccf_calls,
    ccf_scores,
    closeness_scores,
    granger_calls,
    onset_calls,
    own_rank_p,
)
from pythia_geometry.analysis.tables.step_curves import Array, StepCurves
from pythia_geometry.analysis.worlds.designs import GRID_27, GRID_154, Design
from pythia_geometry.analysis.worlds.made_up import WORLDS, Drawn, World, draw
from pythia_geometry.errors import PythiaGeometryError

VERSION = 1  # raise when a change moves a number
CHUNK = 50
PAIRS_ROUND = 8  # made-up runs for one round of the rank tests, which need forty tasks
RANKED = 40
LEVEL = 0.05

SPECIFIC = "p_spec ≤ .05 alone"
ACCURACY_LEG, LOG_PROB_LEG = "TML, accuracy leg", "TML, log-probability leg"
BOTH = "TML, both legs"
LAG = "lag of the accuracy leg, decades"
RANK_CCF, RANK_ONSET = "own vs 39 controls, CCF score", "own vs 39 controls, onset closeness"
PRIMARY = (SPECIFIC, ACCURACY_LEG, LOG_PROB_LEG, BOTH)
SECONDARY = (*USUAL, RANK_CCF, RANK_ONSET)
GRIDS = {"27": Design(GRID_27), "154": Design(GRID_154)}

Scores = dict[str, float]


@dataclass(frozen=True)
class Cell:
    """One world on one grid."""

    grid: str
    world: World
    design: Design
    seed: int
    with_usual: bool

    @property
    def key(self) -> dict[str, Any]:
        """What determines its chunks, beside their number."""
        digest = hashlib.sha256()
        for item in fields(self.design):
            digest.update(np.asarray(getattr(self.design, item.name), dtype=float).tobytes())
        about = {"version": VERSION, "grid": self.grid, "world": self.world.name, "seed": self.seed}
        return about | {"design": digest.hexdigest()[:12]} | ({} if self.with_usual else {"tests": "primary"})


def calibrate(
    designs: Mapping[str, Design] | None = None,
    worlds: Sequence[World] = tuple(WORLDS.values()),
    draws: int = 200,
    seed: int = 0,
    folder: str | Path | None = None,
    with_usual: bool = True,
    notify: Callable[[str], object] = str,
) -> pd.DataFrame:
    """False-positive rate and power of every test.

    Args:
        designs: Steps and tasks, by a name for the table; the published 27-step and Pythia's own grid with eight
            tasks where None. `run_designs` makes them from one's own behaviour.
        worlds: Truths to draw from.
        draws: Made-up runs a world and grid, rounded up to fifties.
        seed: Of the draws.
        folder: Where finished chunks are kept and found again; nowhere where None.
        with_usual: Whether the usual tests and the ranks are run beside the primary test.
        notify: Told what is computed before each chunk.

    Returns:
        One row a grid, world and test: grid, world, test, rate, se (over runs: pairs of one run are not independent),
        runs. The test LAG is no rate but the mean lag.

    Raises:
        PythiaGeometryError: If there is nothing to draw.
        MachineError: If the folder cannot be written.
    """
    if draws < 1:
        raise PythiaGeometryError(f"--draws {draws}: expected at least 1 made-up run")
    cells = [Cell(name, w, d, seed, with_usual) for name, d in (designs or GRIDS).items() for w in worlds]
    todo = [(cell, chunk) for cell in cells for chunk in range(-(-draws // CHUNK))]
    ledger = ChunkLedger(Path(folder) if folder else None)
    found = []
    for number, (cell, chunk) in enumerate(todo):
        key = cell.key | {"chunk": chunk}
        moments = ledger.find(key)
        if moments is None:
            notify(f"{number}/{len(todo)} chunks: {cell.grid}, {cell.world.name}")
            moments = _chunk(cell, chunk)
            ledger.add(key, moments)
        found += [(cell.grid, cell.world.name, test, *moment) for test, moment in moments.items()]
    return _table(found)


def run_designs(screenings: Sequence[Screening]) -> dict[str, Design]:
    """Steps and tasks of one's own runs, model by model: midpoints, baselines, rises and items as measured.

    Raises:
        PythiaGeometryError: If fewer than five tasks emerged in every model.
    """
    most = max((len(screening.tasks) for screening in screenings), default=0)
    if most < MIN_TASKS:
        raise PythiaGeometryError(
            f"Column 'task': {most} tasks emerged in every run. Expected at least {MIN_TASKS}; "
            "calibrate without a run uses Pythia's grids"
        )
    return {run.name: _design(run) for one in screenings if len(one.tasks) >= MIN_TASKS for run in one.runs}


def _design(run: BehaviourRun) -> Design:
    accuracy = run.accuracy.values
    with np.errstate(divide="ignore", invalid="ignore"):
        items = accuracy * (1 - accuracy) / run.error**2
    inner = np.where((accuracy > 0) & (accuracy < 1), items, np.nan)
    return Design(
        steps=run.accuracy.steps,
        n_tasks=len(run.tasks),
        midpoints=run.midpoints,
        baselines=run.baseline,
        gains=accuracy.max(axis=1) - run.baseline,
        items=np.nanmedian(inner, axis=1),
    )


def _chunk(cell: Cell, chunk: int) -> Moments:
    """Sum, sum of squares and count of every test over one chunk."""
    rng = np.random.default_rng([cell.seed, crc32(f"{cell.grid} {cell.world.name}".encode()), chunk])
    scores: dict[str, list[float]] = {}
    for number in range(CHUNK):
        drawn = draw(cell.world, cell.design, rng)
        found = call_primary(drawn, int(rng.integers(2**31)))
        if cell.with_usual:
            found |= call_usual(drawn)
        if cell.with_usual and number % PAIRS_ROUND == 0:
            found |= call_ranks(draw(cell.world, _enlarged(cell.design), rng))
        for test, score in found.items():
            scores.setdefault(test, []).append(score)
    return {test: (float(np.sum(s)), float(np.square(s).sum()), len(s)) for test, s in scores.items()}


def call_primary(drawn: Drawn, seed: int) -> Scores:
    """The primary test on one made-up run: 1 or 0 for what it calls, and its lag."""
    geometry, accuracy, log_prob = _curves(drawn)
    first, second = (task_matched_lag([MatchedRun(geometry, b)], seed) for b in (accuracy, log_prob))
    leads = first.label == LEADS, second.label == LEADS
    return {
        SPECIFIC: float(first.is_coupled),
        ACCURACY_LEG: float(leads[0]),
        LOG_PROB_LEG: float(leads[1]),
        BOTH: float(all(leads)),
        LAG: first.lag,
    }


def call_usual(drawn: Drawn) -> Scores:
    """Share of one made-up run's tasks that each usual test calls."""
    geometry, accuracy, _ = _curves(drawn)
    baseline = baselines(drawn.steps, drawn.accuracy, drawn.baseline)
    calls = onset_calls(geometry, accuracy, drawn.error, baseline)
    calls |= ccf_calls(geometry, accuracy) | granger_calls(geometry, accuracy)
    return {test: float(np.diag(calls[test]).mean()) for test in USUAL}


def call_ranks(drawn: Drawn) -> Scores:
    """Share of forty tasks whose own geometry ranks in the first twentieth among the forty."""
    geometry, accuracy, _ = _curves(drawn)
    baseline = baselines(drawn.steps, drawn.accuracy, drawn.baseline)
    scores = {
        RANK_CCF: ccf_scores(geometry, accuracy),
        RANK_ONSET: closeness_scores(geometry, accuracy, baseline),
    }
    return {test: _ranked_first(score) for test, score in scores.items()}


def _ranked_first(score: Array) -> float:
    own = np.diag(score)
    controls = np.stack([np.delete(score[:, t], t) for t in range(len(score))], axis=1)  # [39, task]
    return float(((own_rank_p(own, controls) <= LEVEL + 1e-9) & np.isfinite(own)).mean())


def _enlarged(design: Design) -> Design:
    """The same design with forty tasks; measured ones are repeated."""
    many = replace(design, n_tasks=RANKED, midpoints=_repeat(design.midpoints), baselines=_repeat(design.baselines))
    return replace(many, gains=_repeat(design.gains), items=_repeat(design.items))


def _repeat(values: Array | None) -> Array | None:
    return None if values is None else np.resize(values, RANKED)


def _curves(drawn: Drawn) -> tuple[StepCurves, StepCurves, StepCurves]:
    return (
        StepCurves(drawn.steps, drawn.geometry, "geometry"),
        StepCurves(drawn.steps, drawn.accuracy, "accuracy"),
        StepCurves(drawn.steps, drawn.log_prob, "log-probability"),
    )


def _table(found: Sequence[tuple[str, str, str, float, float, int]]) -> pd.DataFrame:
    frame = pd.DataFrame(found, columns=["grid", "world", "test", "sum", "squares", "runs"])
    total = frame.groupby(["grid", "world", "test"], sort=False).sum().reset_index()
    mean = total["sum"] / total["runs"]
    spread = np.sqrt(np.clip(total["squares"] / total["runs"] - mean**2, 0, None) / total["runs"])
    yes_or_no = share_error(mean.clip(0, 1).to_numpy(), total["runs"].to_numpy())  # never 0
    error = np.where(total["test"].isin(PRIMARY), yes_or_no, spread)
    return total.assign(rate=mean, se=error)[["grid", "world", "test", "rate", "se", "runs"]]
