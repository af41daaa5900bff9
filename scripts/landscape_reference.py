"""Measures the loss surface and what can be decoded along a lab run: the reference tables of C5, C6 and C12.

    python scripts/landscape_reference.py lab/nano-gpt2-seed0                    # 40 steps, the coefficient at 16 of them
    python scripts/landscape_reference.py lab/nano-gpt2-seed0 --steps 12 --llc-steps 6
    python scripts/landscape_reference.py --minutes 9 lab/nano-gpt2-seed0        # a slice; exits with 3 until all is done

Takes the folder of any lab run that states its mixture: RankMe in both conventions, Fisher and covariance rank, noise scale,
top Hessian eigenvalue, decoding, and the local learning coefficient with its tasks' rises, on the hardest level of each task.
Stopped at any moment, the same command continues; nothing that is done is computed again. A smaller grid is the beginning of a
larger one: steps are halved in log step, first the ends. Run folders stay under --work (not committed); tables go to
data/reference/landscape, beside a JSON file that names the command, commit, settings and CPU time.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch
from slices import SliceEndedError, Spent, stop_after

from pythia_geometry.lab.mixture import read_mixture
from pythia_geometry.lab.probes import ALGORITHMIC
from pythia_geometry.measures import LLC_SETTINGS
from pythia_geometry.runs.local import walk
from pythia_geometry.runs.plan import make_plan
from pythia_geometry.runs.request import Request
from pythia_geometry.store.run_folder import RunFolder
from pythia_geometry.suites.checkpoint import run_name
from pythia_geometry.suites.named import find_suites
from pythia_geometry.suites.suite import Suite

ROOT = Path(__file__).resolve().parents[1]
EVERY = ("rankme", "rankme_centred")
DEAR = ("fisher_rank", "covariance_rank", "noise_scale", "hessian_top")
READ_OUT = ("decoding", "decoding_control", "decoding_selectivity", "decoding_own")
CHAINS = ("llc", "llc_task_rise")
METRICS = ("accuracy", "log_prob")


def halved(steps: Sequence[int], n: int) -> list[int]:
    """n of the steps, spread in log step, so that fewer are always among more: the ends, the middle, the quarters …"""
    chosen = [steps[0], steps[-1]]
    while len(chosen) < min(n, len(steps)):
        known = [math.log(step + 1) for step in chosen]
        rest = [step for step in steps if step not in chosen]
        chosen.append(max(rest, key=lambda step: min(abs(math.log(step + 1) - one) for one in known)))
    return chosen[:n]


def hardest(suite: Suite) -> list[str]:
    """Probes of the hardest level of each task in the suite's mixture."""
    mixture = read_mixture(suite.mixture)
    if mixture is None:
        sys.exit(f"{suite.address} states no mixture: it is no lab run")
    last = {level.task.name: level.name for level in mixture.levels}
    return [f"{ALGORITHMIC}/{name}" for name in last.values()]


def measure_run(folder: str, args: argparse.Namespace) -> None:
    """Walks one run in the order of cost, and writes what is there after each part."""
    suite = find_suites(folder)[0]
    name = run_name(suite.model, suite.seed)
    out = args.work / name
    steps = halved(suite.steps(), args.steps)
    spent = Spent(args.work / "spent" / f"{name}.txt")
    for measures, some in (
        (DEAR, steps[: args.llc_steps]), (READ_OUT, steps[: args.llc_steps]), (DEAR, steps), (READ_OUT, steps),
        *((CHAINS, [step]) for step in sorted(steps[: args.llc_steps], reverse=True)),
    ):  # fmt: skip
        request = Request(
            models=(folder,), steps=",".join(map(str, sorted(steps))), at=",".join(map(str, sorted(some))),
            probes=tuple(hardest(suite)), measures=(*EVERY, *measures), llc=args.llc, threads=1, device=args.device,
        )  # fmt: skip
        walk(make_plan(request), out)
        write(name, folder, out, args, spent.note())
        print(f"{name}: {', '.join(measures)} at {len(some)} steps, {spent.note():.0f} CPU s so far", flush=True)


def write(name: str, folder: str, out: Path, args: argparse.Namespace, seconds: float) -> None:
    """The tables as they are now, and what made them."""
    tables = RunFolder(out).tables()
    geometry = tables.geometry[tables.geometry["measure"].isin([*EVERY, *DEAR, *READ_OUT, *CHAINS])]
    behaviour = tables.behaviour[tables.behaviour["metric"].isin(METRICS)]
    args.out.mkdir(parents=True, exist_ok=True)
    for kind, table in (("geometry", geometry), ("behaviour", behaviour)):
        narrow = {c: "float32" for c in ("value", "error", "ceiling", "chance", "majority") if c in table}
        table.astype(narrow).to_parquet(args.out / f"{name}.{kind}.parquet", compression="zstd", index=False)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=ROOT, check=False)
    taken = geometry[geometry["measure"].isin([*DEAR, *CHAINS, "decoding"])]
    record = {
        "command": f"python scripts/landscape_reference.py {folder} --steps {args.steps} --llc-steps {args.llc_steps}",
        "commit": commit.stdout.strip() or "unknown",
        "llc": {**LLC_SETTINGS, "changed": args.llc},
        "steps": {str(m): sorted(map(int, rows["step"].unique())) for m, rows in taken.groupby("measure")},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "cpu_seconds": round(seconds),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    (args.out / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n")


def main() -> None:
    """Measures the named runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="folders of lab runs")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--llc-steps", type=int, default=16)
    parser.add_argument("--llc", default="", help="as after --llc of a walk")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "landscape")
    parser.add_argument("--out", type=Path, default=ROOT / "data" / "reference" / "landscape")
    parser.add_argument("--minutes", type=float, default=0, help="stop after this long")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.minutes:
        stop_after(args.minutes)
    try:
        for folder in args.runs:
            measure_run(folder, args)
    except SliceEndedError:
        print("Time is up; the same command goes on from here")
        sys.exit(3)
    print("All is done:", ", ".join(args.runs))


if __name__ == "__main__":
    main()
