"""Measures the loss surface and what can be decoded along lab runs: the reference tables of C5, C6 and C12.

    python scripts/landscape_reference.py lab/nano-gpt2-seed0                    # 40 steps, the coefficient at 16 of them
    python scripts/landscape_reference.py lab/nano-gpt2-seed* --jobs 15          # three runs, fifteen processes
    python scripts/landscape_reference.py lab/nano-gpt2-seed0 --steps 12 --llc-steps 6
    python scripts/landscape_reference.py --minutes 9 lab/nano-gpt2-seed0        # a slice; exits with 3 until all is done
    python scripts/landscape_reference.py --tables lab/nano-gpt2-seed*           # only writes tables of what is there

Takes folders of any lab runs that state their mixture: RankMe in both conventions, Fisher and covariance rank, noise scale,
top Hessian eigenvalue, decoding, and the local learning coefficient with its tasks' rises, on the hardest level of each task.
Work is cut into pieces: the chains or all the rest at one step of one run, in a run folder of its own under --work (not
committed), so that any number of processes work side by side. Stopped at any moment, the same command continues, with any
--jobs; nothing that is done is computed again. A smaller grid is the beginning of a larger one: steps are halved in log
step, first the ends. One table a run goes to data/reference/landscape, now and then and at the end, beside a JSON file
that names the command, commit, settings and CPU time.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from reference_tables import write_table
from slices import SliceEndedError, Spent, stop_after
from transformers import AutoConfig, AutoModelForCausalLM

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.lab.mixture import read_mixture
from pythia_geometry.lab.probes import ALGORITHMIC
from pythia_geometry.measures import LLC_SETTINGS
from pythia_geometry.runs.local import walk
from pythia_geometry.runs.plan import make_plan
from pythia_geometry.runs.request import Request
from pythia_geometry.store.run_folder import RunFolder
from pythia_geometry.suites.checkpoint import OK
from pythia_geometry.suites.named import find_suites
from pythia_geometry.suites.suite import Suite

ROOT = Path(__file__).resolve().parents[1]
EXACT, CHAINS = "exact", "chains"
PARTS = {
    EXACT: (
        *("rankme", "rankme_centred", "fisher_rank", "covariance_rank", "noise_scale", "hessian_top"),
        *("decoding", "decoding_control", "decoding_selectivity", "decoding_own"),
    ),
    CHAINS: ("llc", "llc_task_rise"),
}
SPENT = "spent"
EVERY_SECONDS = 120
METRICS = ("accuracy", "log_prob")


def halved(steps: Sequence[int], n: int) -> list[int]:
    """n of the steps, spread in log step, so that fewer are always among more: the ends, the middle, the quarters …"""
    if len(steps) < 2:
        return list(steps)
    chosen = [steps[-1], steps[0]]
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


@dataclass(frozen=True)
class Piece:
    """One part of the measures at one step of one run.

    Attributes:
        folder: The run's.
        part: A key of PARTS.
        step: Of training.
    """

    folder: str
    part: str
    step: int

    @property
    def run(self) -> str:
        """The folder's name: it tells designs and seeds apart."""
        return Path(self.folder).resolve().name

    def inside(self, work: Path) -> Path:
        """Its run folder."""
        return work / self.run / f"{self.part}-{self.step}"


def pieces(folders: Sequence[str], args: argparse.Namespace) -> list[Piece]:
    """All work, the cheap part first; then the coefficient, at the coarsest grid of every run before a finer one."""
    found = []
    for folder in folders:
        steps = halved(find_suites(folder)[0].steps(), args.steps)
        late = halved(sorted(step for step in steps if step >= args.llc_from), args.llc_steps)
        for part, wanted in ((EXACT, steps), (CHAINS, late)):
            found += [(part == CHAINS, place, Piece(folder, part, step)) for place, step in enumerate(wanted)]
    return [piece for *_, piece in sorted(found, key=lambda one: one[:2])]


def measure(piece: Piece, args: argparse.Namespace) -> tuple[Piece, str]:
    """Walks one step in the piece's own folder; returns what went wrong, if anything did."""
    torch.set_num_threads(1)
    spent = Spent(piece.inside(args.work / SPENT))
    request = Request(
        models=(piece.folder,), steps=str(piece.step), probes=tuple(hardest(find_suites(piece.folder)[0])),
        measures=PARTS[piece.part], llc=args.llc if piece.part == CHAINS else "", threads=1, device=args.device,
    )  # fmt: skip
    try:
        checkpoints = walk(make_plan(request), piece.inside(args.work)).checkpoints
    except PythiaGeometryError as error:
        return piece, str(error)
    spent.note()
    return piece, "; ".join(checkpoints.loc[checkpoints["status"] != OK, "detail"])


def measure_all(todo: Sequence[Piece], args: argparse.Namespace) -> list[str]:
    """Measures the pieces, --jobs at a time, and writes the tables; returns what went wrong."""
    faults, due = [], time.monotonic() + EVERY_SECONDS
    with ExitStack() as stack:
        stack.callback(write_all, args)
        ways = map
        if args.jobs > 1:  # a pool that is left in any way ends its processes
            ways = stack.enter_context(multiprocessing.get_context("spawn").Pool(args.jobs)).imap_unordered
        for number, (piece, fault) in enumerate(ways(partial(measure, args=args), todo), start=1):
            name = f"{piece.run} {piece.part} at step {piece.step}"
            faults += [f"{name}: {fault}"] if fault else []
            if time.monotonic() > due:
                write_all(args)
                due = time.monotonic() + EVERY_SECONDS
            print(f"{number}/{len(todo)} {name} {fault}".rstrip(), flush=True)
    return faults


def write_all(args: argparse.Namespace) -> None:
    """The tables of all runs."""
    for folder in args.runs:
        write(folder, args)


def write(folder: str, args: argparse.Namespace) -> None:
    """The run's tables as they are now, and what made them."""
    name = Piece(folder, "", 0).run
    there = sorted((args.work / name).glob("*/manifest.json"))
    tables = [RunFolder(one.parent).tables() for one in there]
    if not tables:
        return
    geometry = joined([one.geometry for one in tables], "measure", [m for part in PARTS.values() for m in part])
    behaviour = joined([one.behaviour for one in tables], "metric", METRICS)
    args.out.mkdir(parents=True, exist_ok=True)
    for kind, table in (("geometry", geometry), ("behaviour", behaviour)):
        narrow = {c: "float32" for c in ("value", "error", "ceiling", "chance", "majority") if c in table}
        write_table(table.astype(narrow), args.out / f"{name}.{kind}.parquet")
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=ROOT, check=False)
    spent = [float(one.read_text()) for one in (args.work / SPENT / name).glob("*")]
    llc = f" --llc {args.llc}" if args.llc else ""
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(find_suites(folder)[0].config_file()))
    record = {
        "command": f"python scripts/landscape_reference.py {folder} --steps {args.steps} --llc-steps {args.llc_steps} "
        f"--llc-from {args.llc_from}{llc}",
        "commit": commit.stdout.strip() or "unknown",
        "n_parameters": model.num_parameters(),
        "llc": {**LLC_SETTINGS, "changed": args.llc},
        "steps": {str(m): sorted(map(int, rows["step"].unique())) for m, rows in geometry.groupby("measure")},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "cpu_seconds": round(sum(spent)),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    (args.out / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n")


def joined(tables: Sequence[pd.DataFrame], kind: str, wanted: Sequence[str]) -> pd.DataFrame:
    """One table of all pieces, in the order of steps; every piece's walk says the same of behaviour, which stays once."""
    table = pd.concat([one[one[kind].isin(wanted)] for one in tables if len(one)], ignore_index=True)
    keys = [c for c in table if c not in ("value", "error")]
    return table.drop_duplicates(keys).sort_values("step", kind="stable", ignore_index=True)


def main() -> None:
    """Measures the named runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="folders of lab runs")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--llc-steps", type=int, default=16)
    parser.add_argument("--llc-from", type=int, default=100, help="the coefficient's first step: before, it is descent")
    parser.add_argument("--llc", default="", help="as after --llc of a walk")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "landscape")
    parser.add_argument("--out", type=Path, default=ROOT / "data" / "reference" / "landscape")
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    parser.add_argument("--tables", action="store_true", help="measure nothing; write tables of what is there")
    parser.add_argument("--minutes", type=float, default=0, help="stop after this long")
    args = parser.parse_args()
    if args.minutes:
        stop_after(args.minutes)
    if args.tables:
        write_all(args)
        return
    try:
        faults = measure_all(pieces(args.runs, args), args)
    except SliceEndedError:
        print("Time is up; the same command goes on from here")
        sys.exit(3)
    if faults:
        sys.exit("\n".join(faults))
    print("All is done:", ", ".join(args.runs))


if __name__ == "__main__":
    main()
