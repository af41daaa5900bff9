"""How long `power` and `precursors` take on a large table, in CPU seconds: made-up runs of many families.

python scripts/bench_precursors.py                      # 57 families, 154 steps, one run, both conventions
python scripts/bench_precursors.py --runs 3 --draws 20
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import pandas as pd

from pythia_geometry.analysis.precursor.verdict import CONVENTIONS, powers, precursors
from pythia_geometry.analysis.worlds.designs import GRID_154, Design
from pythia_geometry.analysis.worlds.made_up import Drawn, draw, world

BLOCKS, ITEMS = 12, 500


def behaviour_of(drawn: Drawn, seed: int) -> pd.DataFrame:
    """Tidy rows of both metrics."""
    frames = [
        long(values, drawn, seed).assign(metric=metric, chance=np.repeat(drawn.baseline, len(drawn.steps)), n=ITEMS)
        for metric, values in (("accuracy", drawn.accuracy), ("log_prob", drawn.log_prob))
    ]
    return pd.concat(frames, ignore_index=True)


def geometry_of(drawn: Drawn, seed: int, probe: str) -> pd.DataFrame:
    """Tidy rows of both conventions in twelve blocks."""
    rows = long(np.exp(drawn.geometry), drawn, seed)
    frames = [
        rows.assign(measure=measure, layer=f"resid_{block}", layer_index=block, probe=probe)
        for measure in CONVENTIONS
        for block in range(1, BLOCKS + 1)
    ]
    return pd.concat(frames, ignore_index=True)


def long(values: np.ndarray, drawn: Drawn, seed: int) -> pd.DataFrame:
    """One row a task and step."""
    tasks, steps = np.indices(values.shape)
    about = {"model": "made-up", "seed": seed, "probe": "p", "task": [f"t{t}" for t in tasks.ravel()]}
    return pd.DataFrame(about | {"step": drawn.steps[steps.ravel()].astype(int), "value": values.ravel()})


def timed(name: str, work: Callable[[], object]) -> None:
    """Prints what a call takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    print(f"{name}: {time.process_time() - cpu:.1f} CPU seconds, {time.perf_counter() - wall:.1f} of the clock")


def main() -> None:
    """Draws the runs and times both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", type=int, default=57)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--draws", type=int, default=100)
    args = parser.parse_args()
    rng, design = np.random.default_rng(0), Design(GRID_154, args.families)
    mid = rng.uniform(2.4, 4.8, args.families)
    fixed = Design(design.steps, args.families, midpoints=mid, gains=np.full(args.families, 0.5))
    drawn = [draw(world("LEAD 0.5"), fixed, rng) for _ in range(args.runs)]
    behaviour = pd.concat([behaviour_of(one, seed) for seed, one in enumerate(drawn)], ignore_index=True)
    geometry = pd.concat(
        [
            geometry_of(run, seed, probe)
            for seed, own in enumerate(drawn)
            for probe, run in (("p", own), ("p:shuffled", draw(world("EARLY"), fixed, rng)))
        ],
        ignore_index=True,
    )
    print(f"{args.families} families, 154 steps, {args.runs} run(s), {len(geometry):,} rows of geometry")
    timed("power", lambda: powers(behaviour, draws=args.draws))
    timed("precursors (its power included)", lambda: precursors(geometry, behaviour, draws=args.draws))


if __name__ == "__main__":
    main()
