"""The null of C3: a lab model trained for 60 steps as any other, but each answer is that of another problem of its level.

    python scripts/lab_random_labels.py quad-gpt2-seed0 oct-gpt2-seed1 …

So it learns how often each answer is said and what an answer looks like, and nothing of any task. It is walked on the prompts of
the runs. Tables go to data/reference/random_labels, beside a JSON file that names the command, commit and CPU time.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import torch
from lab_reference import MEASURES, METRICS, ON_SHELVES, ONE_EACH, ROOT, commit, machine, planned, small
from reference_tables import write_table

import pythia_geometry as pg
from pythia_geometry.lab.probes import ALGORITHMIC
from pythia_geometry.lab.settings import Training
from pythia_geometry.lab.suite_folder import FACTS_NAME
from pythia_geometry.lab.tasks import TASKS, Problem, Task
from pythia_geometry.lab.train import train
from pythia_geometry.runs.request import Request
from pythia_geometry.store.writing import replacing

NULL = "random-labels"


def forget_the_tasks() -> None:
    """From here on, in this process, every task draws prompt and answer apart."""
    TASKS.update({name: replace(task, make=Apart(task)) for name, task in TASKS.items()})


class Apart:
    """Draws a prompt of one problem and the answer of another."""

    def __init__(self, task: Task) -> None:
        self.make = task.make

    def __call__(self, rng: Random, size: int) -> Problem:
        return self.make(rng, size)[0], self.make(rng, size)[1]


def make(training: Training, args: argparse.Namespace) -> None:
    """Trains, walks and writes one run."""
    began = time.process_time()
    folder = train(training, args.work / "suites")
    name = f"{training.model}-{NULL}"
    facts = json.loads((folder / FACTS_NAME).read_text())
    with replacing(folder / FACTS_NAME) as temporary:
        temporary.write_text(json.dumps(facts | {"name": name}, indent=2) + "\n")
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
        write_table(small(table), args.out / f"{name}-seed{training.seed}.{kind}.parquet")
    record = {
        "command": f"python scripts/lab_random_labels.py {training.name}",
        "commit": commit(),
        "model": name,
        "training": asdict(training),
        "n_parameters": training.n_parameters,
        "machine": machine(),
        "cpu_seconds": round(time.process_time() - began),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with replacing(args.out / f"{name}-seed{training.seed}.json") as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n")
    print(f"{name}-seed{training.seed} written, {record['cpu_seconds']} CPU-seconds", flush=True)


def main() -> None:
    """Makes the null of each run that is named; what is written is not made again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="runs of the transient shelf, such as oct-gpt2-seed0")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / NULL)
    parser.add_argument("--out", type=Path, default=ROOT / "data" / "reference" / "random_labels")
    args = parser.parse_args()
    plan = planned()
    if unknown := [name for name in args.runs if f"transient/{name}" not in plan]:
        parser.error(f"no run {unknown[0]} of the first 60 steps: python scripts/lab_reference.py --list")
    torch.set_num_threads(1)
    forget_the_tasks()
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.runs:
        training = plan[f"transient/{name}"].training
        if not (args.out / f"{training.model}-{NULL}-seed{training.seed}.json").exists():
            make(replace(training), args)  # a new one: levels are drawn when first asked for


if __name__ == "__main__":
    main()
