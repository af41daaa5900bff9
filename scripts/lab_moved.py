"""The null of C3: networks that move as far as a lab run does and learn nothing, walked as the run was.

    python scripts/lab_moved.py build/lab/suites/transient/oct-gpt2-seed0 …

Every tensor of every checkpoint becomes its value at step 0 plus noise, as long as the run's own move of that tensor until
then and in one direction throughout. So the path is smooth and each tensor has moved as far as in training; only where to was
not learnt. Tables go to data/reference/moved, beside a JSON file that names the command, commit and CPU time.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import time
import zlib
from datetime import UTC, datetime
from pathlib import Path

import torch
from lab_reference import MEASURES, METRICS, ON_SHELVES, ONE_EACH, small
from reference_tables import write_table
from safetensors.torch import load_file, save_file

import pythia_geometry as pg
from pythia_geometry.lab.probes import ALGORITHMIC
from pythia_geometry.runs.request import Request

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS, FACTS = "model.safetensors", "suite.json"
OF_TRAINING = ("training.json", "losses.csv", ".lock", "state*")  # what it moved by is not what it was trained on


def moved(suite: Path, work: Path) -> Path:
    """A suite beside the given one, of the same steps, whose weights moved at random."""
    facts = json.loads((suite / FACTS).read_text())
    name = f"{facts['name']}-moved"
    out = work / f"{name}-seed{facts['seed']}"
    first = load_file(suite / "step0" / WEIGHTS)
    directions = {tensor: direction(tensor, value, facts["seed"]) for tensor, value in first.items()}
    shutil.copytree(suite, out, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*OF_TRAINING))
    for folder in sorted(suite.glob("step*")):
        here = load_file(folder / WEIGHTS)
        changed = {t: away(first[t], here[t], directions[t]) for t in here}
        save_file(changed, out / folder.name / WEIGHTS, {"format": "pt"})
    (out / FACTS).write_text(json.dumps(facts | {"name": name}))
    return out


def direction(tensor: str, value: torch.Tensor, seed: int) -> torch.Tensor:
    """Of length 1, the same for a name and seed."""
    drawn = torch.randn(value.shape, generator=torch.Generator().manual_seed(zlib.crc32(f"{seed}/{tensor}".encode())))
    return drawn / drawn.norm()


def away(first: torch.Tensor, here: torch.Tensor, towards: torch.Tensor) -> torch.Tensor:
    """From `first` as far as `here` is, another way; what does not move, or is no number (a mask), stays."""
    length = (here.float() - first.float()).norm()
    if not length > 0:
        return here
    return (first.float() + length * towards).to(first.dtype)


def make(suite: Path, args: argparse.Namespace) -> None:
    """Moves, walks and writes one run."""
    began = time.process_time()
    folder = moved(suite, args.work / "suites")
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
        "command": f"python scripts/lab_moved.py {suite.name}",
        "commit": commit.stdout.strip() or "unknown",
        "model": name,
        "training": {"seed": int(seed), "of": suite.name},
        "n_parameters": sum(value.numel() for value in load_file(folder / "step0" / WEIGHTS).values()),
        "cpu_seconds": round(time.process_time() - began),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    (args.out / f"{folder.name}.json").write_text(json.dumps(record, indent=2) + "\n")
    print(f"{folder.name} written, {record['cpu_seconds']} CPU-seconds", flush=True)


def main() -> None:
    """Makes the null of each suite that is named; what is written is not made again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="+", type=Path, help="folders of lab runs")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "moved")
    parser.add_argument("--out", type=Path, default=ROOT / "data" / "reference" / "moved")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    for suite in args.suites:
        of = json.loads((suite / FACTS).read_text())
        if not (args.out / f"{of['name']}-moved-seed{of['seed']}.json").exists():
            make(suite, args)


if __name__ == "__main__":
    main()
