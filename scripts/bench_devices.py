"""The same walk on the CPU and on a GPU: seconds a checkpoint, memory of the GPU, and how far the numbers are apart.

    python scripts/bench_devices.py                              # 14m and 160m shapes on both
    python scripts/bench_devices.py --shapes 2.8b --devices cuda # what does not fit the CPU's patience
    python scripts/bench_devices.py --dtype bfloat16

Weights are random (bench_walk.py): times, bytes and differences mean something, RankMe does not. Every walk is a process of its
own, so that one's memory is not the next one's; seconds are of the clock, the median over checkpoints after the first, with
all measures of representations and heads.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import torch
from walk_bench.suite import SHAPES, Size, write_suite

import pythia_geometry as pg
from pythia_geometry.runs.progress import Silent
from pythia_geometry.runs.request import Request

MEASURES = ("representation", "attention")


class Watch(Silent):
    """Notes when each checkpoint is done."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def finished(self, checkpoint: str, detail: str) -> None:
        """Notes the time."""
        self.ends.append(time.perf_counter())


def walk(suite: str, out: str, device: str, dtype: str) -> dict[str, float]:
    """Walks one suite and says what it took; the tables lie in `out`."""
    watch = Watch()
    request = Request(measures=MEASURES, activations="none", device=device, dtype=dtype)
    pg.measure(pg.local(suite), pg.probes(f"{suite}/probes.jsonl"), out=out, request=request, progress=watch)
    peak = torch.cuda.max_memory_allocated() / 1e9 if device.startswith("cuda") else float("nan")
    return {"seconds": median(b - a for a, b in pairwise(watch.ends)), "peak_gb": peak}


def in_own_process(*job: str) -> dict[str, float]:
    """What `walk` returned there."""
    root = Path(__file__).resolve().parents[1]
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, __file__, "--job", json.dumps(job)]
    environment = {**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise SystemExit(f"{job} failed:\n{done.stdout}{done.stderr}")
    found: dict[str, float] = json.loads(lines[-1].removeprefix("RESULT "))
    return found


def apart(one: Path, other: Path) -> str:
    """By table and measure, the largest difference of the two runs' values, relative to the measure's largest value."""
    said = []
    for table, of in (("geometry", "measure"), ("heads", "measure"), ("behaviour", "metric")):
        files = [folder / f"{table}.parquet" for folder in (one, other)]
        if not all(file.exists() for file in files):
            continue
        a, b = (pd.read_parquet(file).reset_index(drop=True) for file in files)
        for name, rows in a.groupby(of):
            x, y = rows["value"].to_numpy(), b.loc[rows.index, "value"].to_numpy()
            if not (b.loc[rows.index, of] == name).all() or (np.isnan(x) != np.isnan(y)).any():
                raise SystemExit(f"{table}, {name}: the two devices have other rows")
            largest = np.nanmax(np.abs(x), initial=0.0) or 1.0
            said.append(f"{name} {np.nanmax(np.abs(x - y), initial=0.0) / largest:.0e}")
    return ", ".join(said)


def compare(shape: str, args: argparse.Namespace, work: Path) -> None:
    """Walks one shape on every device, prints a row each, and how far the numbers of the others are from the first."""
    suite = work / shape
    write_suite(suite, Size(shape, args.steps, args.items))
    runs = {device: work / f"{shape}-{device.replace(':', '')}" for device in args.devices}
    for device, out in runs.items():
        took = in_own_process(str(suite), str(out), device, args.dtype)
        print(f"| {shape} | {device} | {args.dtype} | {took['seconds']:.2f} | {took['peak_gb']:.2f} |", flush=True)
    first, *others = runs
    for device in others:
        print(f"{shape}, {device} beside {first}: {apart(runs[first], runs[device])}", flush=True)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", default=["14m", "160m"], choices=tuple(SHAPES))
    parser.add_argument("--devices", nargs="+", default=["cpu", "cuda"])
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--items", type=int, default=128, help="prompts a task; there are three tasks")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        print("RESULT " + json.dumps(walk(*json.loads(args.job))))
        return
    print("| shape | device | precision | s a checkpoint | GPU memory, GB |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for shape in args.shapes:
            compare(shape, args, Path(folder))


if __name__ == "__main__":
    main()
