"""The null of C3: networks that move as a lab run does, with all that it learnt turned away at random, walked as the run was.

    python scripts/lab_rotated.py build/lab/suites/transient/oct-gpt2-seed0 …

What each tensor had moved by at a checkpoint, D, becomes L D R, with rotations L and R of rows and columns drawn once for each
tensor and kept for all its steps. So it moves as far, as smoothly and with the same singular values (a few strong ones, as
gradients have); only where to was not learnt. Tables go to data/reference/rotated, beside a JSON file that names the command,
commit and CPU time.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import time
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch
from lab_reference import MEASURES, METRICS, ON_SHELVES, ONE_EACH, machine, small
from reference_tables import write_table
from safetensors.torch import load_file, save_file

import pythia_geometry as pg
from pythia_geometry.lab.probes import ALGORITHMIC
from pythia_geometry.runs.request import Request

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS, FACTS = "model.safetensors", "suite.json"
OF_TRAINING = ("training.json", "losses.csv", ".lock", "state*")  # what it moved by is not what it was trained on


def rotated(suite: Path, work: Path) -> Path:
    """A suite beside the given one, of the same steps, whose moves are turned away."""
    facts = json.loads((suite / FACTS).read_text())
    name = f"{facts['name']}-rotated"
    out = work / f"{name}-seed{facts['seed']}"
    first = load_file(suite / "step0" / WEIGHTS)
    turns = {tensor: rotations(f"{name}/{facts['seed']}/{tensor}", value.shape) for tensor, value in first.items()}
    shutil.copytree(suite, out, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*OF_TRAINING))
    for folder in sorted(suite.glob("step*")):
        here = load_file(folder / WEIGHTS)
        changed = {t: away(first[t], here[t], turns[t]) for t in here}
        save_file(changed, out / folder.name / WEIGHTS, {"format": "pt"})
    (out / FACTS).write_text(json.dumps(facts | {"name": name}))
    return out


def rotations(key: str, shape: Sequence[int]) -> list[torch.Tensor]:
    """One for each axis of a tensor, orthogonal, the same for a key."""
    generator = torch.Generator().manual_seed(zlib.crc32(key.encode()))
    return [torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))[0] for n in shape]


def away(first: torch.Tensor, here: torch.Tensor, turns: Sequence[torch.Tensor]) -> torch.Tensor:
    """From `first` as far as `here` is, with each axis of the move rotated; what does not move, or is no number (a mask), stays."""
    move = here.double() - first.double()
    if not move.norm() > 0:
        return here
    for axis, turn in enumerate(turns):
        move = torch.tensordot(move, turn, dims=([axis], [0])).movedim(-1, axis)
    return (first.double() + move).to(first.dtype)


def make(suite: Path, args: argparse.Namespace) -> None:
    """Moves, walks and writes one run."""
    began = time.process_time()
    folder = rotated(suite, args.work / "suites")
    name, seed = re.fullmatch(r"(.+)-seed(\d+)", folder.name).groups()
    result = pg.measure(
        pg.local(folder),
        pg.probes(*(f"{ALGORITHMIC}/{level}" for level in ONE_EACH)),
        out=args.work / "runs" / folder.name,
        request=Request(measures=MEASURES, activations="none", threads=1),
    )
    tables = {
        "behaviour": result.behaviour[result.behaviour["metric"].isin(METRICS)],
        "geometry": result.geometry[result.geometry["measure"].isin(ON_SHELVES)],
    }
    for kind, table in tables.items():
        write_table(small(table), args.out / f"{folder.name}.{kind}.parquet")
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=ROOT, check=False)
    record = {
        "command": f"python scripts/lab_rotated.py {suite.name}",
        "commit": commit.stdout.strip() or "unknown",
        "model": name,
        "training": {"seed": int(seed), "of": suite.name},
        "n_parameters": sum(value.numel() for value in load_file(folder / "step0" / WEIGHTS).values()),
        "machine": machine(),
        "cpu_seconds": round(time.process_time() - began),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    (args.out / f"{folder.name}.json").write_text(json.dumps(record, indent=2) + "\n")
    print(f"{folder.name} written, {record['cpu_seconds']} CPU-seconds", flush=True)


def main() -> None:
    """Makes the null of each suite that is named; what is written is not made again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="+", type=Path, help="folders of lab runs")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "rotated")
    parser.add_argument("--out", type=Path, default=ROOT / "data" / "reference" / "rotated")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    for suite in args.suites:
        of = json.loads((suite / FACTS).read_text())
        if not (args.out / f"{of['name']}-rotated-seed{of['seed']}.json").exists():
            make(suite, args)


if __name__ == "__main__":
    main()
