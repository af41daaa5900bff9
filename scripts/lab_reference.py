"""Trains lab models, walks them, and writes their tables to data/reference: what the claims are compared with.

    python scripts/lab_reference.py nano-gpt2-seed0 nano-gpt2-seed1     # these, in order
    python scripts/lab_reference.py --list                              # all planned runs and their state
    python scripts/lab_reference.py --minutes 9 large-gpt2-seed0        # a slice; exits with 3 until all is done

Stopped at any moment, the same command continues. Suites and run folders stay under --work (not committed).
Each table comes with a JSON file that names the command, commit, machine and CPU time that made it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import torch

import pythia_geometry as pg
from pythia_geometry.lab.model import scale_named
from pythia_geometry.lab.settings import Training
from pythia_geometry.lab.train import Progress, train
from pythia_geometry.runs.request import Request

ROOT = Path(__file__).resolve().parents[1]
MEASURES = ("rankme", "rankme_centred", "rankme_rownorm")
METRICS = ("accuracy", "exact_match", "log_prob")
DROPPED = ["suite", "probe", "ceiling", "n", "position", "precision", "reference_step"]


def planned() -> dict[str, Training]:
    """Every reference run, each about an hour on one core or less; NeoX learns at half GPT-2's pace: more steps."""
    runs = [Training("nano", "gpt2", seed, 12_000) for seed in range(3)]
    runs += [Training("nano", "neox", seed, 16_000) for seed in range(3)]
    runs += [Training("quad", "gpt2", seed, 6_000) for seed in range(3)]
    runs += [Training("micro", "gpt2", 0, 4_000), Training("smoke", "gpt2", 0, 12_000)]
    # These want a GPU (scripts/lab_gpu); `pythia-geom lab plan` says what they would take here.
    runs += [Training(scale, "gpt2", 0, scale_named(scale).steps) for scale in ("small", "medium", "large", "xl")]
    return {run.name: run for run in runs}


class Spent:
    """CPU seconds of one run over all the calls it took, in a small file; the time since the last note is lost."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.before = float(file.read_text()) if file.exists() else 0.0
        self.clock = time.process_time()

    def note(self) -> float:
        """Writes and returns the seconds up to now."""
        seconds = self.before + time.process_time() - self.clock
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(f"{seconds:.1f}\n")
        return seconds


def make(training: Training, work: Path, out: Path, threads: int) -> None:
    """Trains, walks and writes one run."""
    spent = Spent(work / "spent" / f"{training.name}.txt")
    began = time.time()

    def watch(made: Progress) -> None:
        if made.step % 250 == 0:
            spent.note()
            print(f"{training.name} step {made.step} loss {made.loss:.3f} {time.time() - began:.0f} s", flush=True)

    folder = train(training, work / "suites", watch)
    result = pg.measure(
        pg.local(folder),
        pg.probes("algorithmic"),
        out=work / "runs" / training.name,
        request=Request(measures=MEASURES, activations="none", threads=threads),
    )
    out.mkdir(parents=True, exist_ok=True)
    behaviour = result.behaviour[result.behaviour["metric"].isin(METRICS)]
    for name, table in (("geometry", result.geometry), ("behaviour", behaviour)):
        small(table).to_parquet(out / f"{training.name}.{name}.parquet", compression="zstd", index=False)
    (out / f"{training.name}.json").write_text(json.dumps(provenance(training, spent.note()), indent=2) + "\n")
    print(f"{training.name} written", flush=True)


def small(table: pd.DataFrame) -> pd.DataFrame:
    """The columns that vary, numbers in float32 (seven digits)."""
    kept = table.drop(columns=[c for c in DROPPED if c in table])
    return kept.astype({c: "float32" for c in ("value", "error", "chance", "majority") if c in kept})


def provenance(training: Training, cpu_seconds: float) -> dict[str, object]:
    """What made the tables."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=ROOT, check=False)
    return {
        "command": f"python scripts/lab_reference.py {training.name}",
        "commit": commit.stdout.strip() or "unknown",
        "training": {k: getattr(training, k) for k in ("scale", "architecture", "seed", "steps", "batch")},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {accelerator()}, Python {platform.python_version()}",
        "cpu_seconds": round(cpu_seconds),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def accelerator() -> str:
    """The GPU's name, or that there was none."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"


class SliceEndedError(BaseException):
    """The slice is over."""


def stop_after(minutes: float) -> None:
    """Raises SliceEndedError in the middle of whatever is going on: all of it continues from what is on disk."""

    def stop(*_: object) -> None:
        raise SliceEndedError

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 60 * minutes)


def main() -> None:
    """Makes the named runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "lab")
    parser.add_argument("--out", type=Path, default=ROOT / "data" / "reference")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--minutes", type=float, default=0, help="stop after this long")
    args = parser.parse_args()
    plan = planned()
    if unknown := [name for name in args.runs if name not in plan]:
        sys.exit(f"No planned run {unknown[0]}. Planned: {', '.join(plan)}")
    if args.list or not args.runs:
        for name in plan:
            print(name, "done" if (args.out / f"{name}.json").exists() else "to do")
        return
    torch.set_num_threads(args.threads)
    if args.minutes:
        stop_after(args.minutes)
    try:
        for name in args.runs:
            if not (args.out / f"{name}.json").exists():
                make(plan[name], args.work, args.out, args.threads)
    except SliceEndedError:
        print("Time is up; the same command goes on from here")
        sys.exit(3)
    print("All is done:", ", ".join(args.runs))


if __name__ == "__main__":
    main()
