"""Trains lab models, walks them, and writes their tables to data/reference: what the claims are compared with.

    python scripts/lab_reference.py nano-gpt2-seed0 nano-gpt2-seed1     # these, in order
    python scripts/lab_reference.py --all                               # every run on the list, in its order
    python scripts/lab_reference.py --list                              # all planned runs and their state
    python scripts/lab_reference.py --minutes 9 large-gpt2-seed0        # a slice; exits with 3 until all is done
    python scripts/lab_reference.py --behaviour NAME                    # its behaviour alone: no RankMe is computed

Stopped at any moment, the same command continues. Suites and run folders stay under --work (not committed).
Each table comes with a JSON file that names the command, commit, machine and CPU time that made it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from reference_tables import write_table
from slices import SliceEndedError, Spent, stop_after

import pythia_geometry as pg
from pythia_geometry.analysis.claims.lab_reference import DEEPER, is_planted
from pythia_geometry.analysis.precursor.tidy_tables import last_quarter
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.lab.model import scale_named
from pythia_geometry.lab.probes import ALGORITHMIC, OWN
from pythia_geometry.lab.release import BLOCK, loss_opens, released
from pythia_geometry.lab.settings import STAGGERED, Training
from pythia_geometry.lab.suite_folder import LOSSES
from pythia_geometry.lab.tasks import QUICK
from pythia_geometry.lab.train import Progress, train
from pythia_geometry.runs.request import Request
from pythia_geometry.store.writing import replacing

ROOT = Path(__file__).resolve().parents[1]
MEASURES = ("rankme", "rankme_centred", "rankme_rownorm")
ON_SHELVES = MEASURES[:2]  # all that is read of the designed runs and of the first 60 steps
BLIND = ("anisotropy",)  # a walk needs a measure; none of those that a claim is about
ONE_EACH = ("COPY2", "REV2", "SORT2", "CMP2", "PAR2", "ADD2", "MOD2", "MUL2")
SIZES = ("smoke", "nano", "quad", "micro", "small", "medium")
COSTLY = ("large", "xl")
ON_PLATEAU, MOD, PLATEAU_STEPS = ("small", "medium"), ("MOD1", "MOD2", "MOD3"), "0,302,342,388,441,500,600"
NEOX_SIZES = ("smoke", "nano", "quad", "micro", "small")
RAISED = {("small", "gpt2"), ("medium", "gpt2")}  # at the rate of the smaller ones too: the control of C2
SHUFFLED = ":shuffled"
METRICS = ("accuracy", "exact_match", "log_prob")
DROPPED = ["suite", "probe", "ceiling", "position", "precision", "reference_step"]


class FarEnoughError(BaseException):
    """Ends a training that is wanted up to a step."""


@dataclass(frozen=True)
class Planned:
    """One reference run.

    Attributes:
        training: What is trained.
        shelf: Folder below --out: "" for runs of the usual regime in full, `staggered` for the designed runs,
            `transient` for the first 60 steps of any size, `plateau` for MOD's rows at steps 300 to 600.
        levels: Task-levels that are walked; empty for those that were trained.
        has_companion: Whether their token-shuffled prompts are walked too.
        steps: Steps that are walked, as after `--steps`.
        until: Step at which training stops for good, with the learning rate of the whole run; 0 trains to its end.
    """

    training: Training
    shelf: str = ""
    levels: tuple[str, ...] = ()
    has_companion: bool = False
    steps: str = "all"
    until: int = 0

    @property
    def name(self) -> str:
        return f"{self.shelf}/{self.training.name}".lstrip("/")

    def probes(self, folder: Path) -> list[str]:
        """Names of probes, one a level; a planted bend asks for answers of its own, which lie in the suite's folder."""
        levels = self.levels or [level.name for level in self.training.levels]
        wanted = [f"{ALGORITHMIC}/{level}" for level in levels]
        if self.training.plant_bend:
            wanted = [str(folder / f"{OWN}.jsonl")]
        return [*wanted, *(f"{probe}:shuffled" for probe in wanted)] if self.has_companion else wanted


def planned() -> dict[str, Planned]:
    """Every reference run, in the order in which --all makes them (docs/decisions/0013-lab-design.md)."""
    smoke = Training("smoke", steps=6_000, tasks=(QUICK,))
    nano = replace(smoke, scale="nano", steps=10_000)
    runs = [*_usual(), *_released(smoke), *_transients(), *_plateaus()]
    runs += [*_block(smoke), *_released(nano), *_block(nano), *_large()]
    return {run.name: run for run in runs}


def _usual() -> list[Planned]:
    """The usual regime, nano GPT-2 with token-shuffled prompts; NeoX learns at half GPT-2's pace: more steps."""
    with_companion = [Planned(Training("nano", "gpt2", seed, 12_000), has_companion=True) for seed in range(3)]
    runs = [Training("nano", "neox", seed, 16_000) for seed in range(3)]
    runs += [Training("quad", "gpt2", seed, 6_000) for seed in range(3)]
    runs += [Training("micro", "gpt2", 0, 4_000), Training("smoke", "gpt2", 0, 12_000)]
    return [*with_companion, *map(Planned, runs)]


def _released(training: Training) -> list[Planned]:
    """Randomised release: nothing planted; geometry half a decade early, at once, half a decade late; behaviour bent."""
    arm = replace(training, release=STAGGERED)
    planted = [
        ({"plant_lead": 0.5}, BLOCK),
        ({"plant_lead": 0.0}, 3),
        ({"plant_lead": -0.5}, 3),
        ({"plant_bend": 8}, 3),
        ({"plant_lead": 0.0, "plant_bend": 8}, BLOCK),  # decision 0013, "A second bend"
    ]
    harder = replace(arm, steps=arm.steps * 4 // 3, plant_lead=0.5, plant_weight=4.0)  # decision 0013, "A second plant"
    own = replace(arm, steps=arm.steps * 10 // 3, plant_lead=0.5, plant_own=True)  # "A third plant"
    arms = [run for plant, n in planted for run in _block(replace(arm, **plant))[:n]]
    later = replace(own, release_decades=1.0)  # "A fourth plant"
    ended = replace(own, plant_weight=2.0, plant_part=0.3)  # "A fifth plant"
    apart = replace(ended, plant_apart=0.3)  # "A sixth plant"
    fresh = [*_block(later, first=BLOCK), *_block(ended, first=2 * BLOCK)]
    fresh += [run for block in (3, 4) for run in _block(apart, first=block * BLOCK)]
    fresh += _block(replace(apart, plant_lead=0.0), first=3 * BLOCK)  # its control
    return [*_block(arm), *arms, *_block(harder), *_block(own), *fresh]


def _block(training: Training, first: int = 0) -> list[Planned]:
    """Five seeds of one design."""
    seeds = range(first, first + BLOCK)
    return [Planned(replace(training, seed=seed), "staggered", has_companion=True) for seed in seeds]


def _transients() -> list[Planned]:
    """The first 60 steps of each size at its own rate, and of the two that have a lower one at the others' too."""
    sizes = [*((scale, "gpt2") for scale in (*SIZES, *DEEPER)), *((scale, "neox") for scale in NEOX_SIZES)]
    own = [Training(scale, architecture, seed, steps=60) for scale, architecture in sizes for seed in range(3)]
    raised = [replace(run, peak_rate=1e-3) for run in own if (run.scale, run.architecture) in RAISED]
    return [Planned(run, "transient", ONE_EACH) for run in [*own, *raised]]


def _plateaus() -> list[Planned]:
    """MOD's plateau where no whole run shows it: at the rates of whole runs, three seeds a size with those."""
    runs = [replace(run.training, seed=seed) for run in _usual() if _is_alone(run.training) for seed in (1, 2)]
    runs += [Training(scale, "gpt2", seed, scale_named(scale).steps) for scale in ON_PLATEAU for seed in range(3)]
    return [Planned(run, "plateau", MOD, steps=PLATEAU_STEPS, until=600) for run in runs]


def _is_alone(training: Training) -> bool:
    """Whether the usual runs have one seed of its model."""
    return [run.training.model for run in _usual()].count(training.model) == 1


def _large() -> list[Planned]:
    """As far as time allows; a GPU (scripts/lab_gpu) makes them in minutes."""
    runs = [Training(scale, seed=seed, steps=60) for scale in COSTLY for seed in range(3)]
    whole = [Training(scale, "gpt2", 0, scale_named(scale).steps) for scale in ("small", "medium", *COSTLY)]
    return [*(Planned(run, "transient", ONE_EACH) for run in runs), *map(Planned, whole)]


def make(run: Planned, args: argparse.Namespace) -> None:
    """Trains, walks and writes one run; with --behaviour its behaviour alone."""
    training = run.training
    spent = Spent(args.work / "spent" / f"{run.name}.txt")
    began = time.time()

    def watch(made: Progress) -> None:
        if made.step % 250 == 0 or training.steps < 250:
            spent.note()
            print(f"{run.name} step {made.step} loss {made.loss:.3f} {time.time() - began:.0f} s", flush=True)
        if run.until and made.step > run.until:  # its checkpoint is written
            raise FarEnoughError

    suites = args.work / "suites" / run.shelf
    folder = suites / training.name
    if not (run.until and (folder / f"step{run.until}").is_dir()):
        with suppress(FarEnoughError):
            folder = train(training, suites, watch)
    result = pg.measure(
        pg.local(folder),
        pg.probes(*run.probes(folder)),
        steps=run.steps,
        out=args.work / "runs" / run.name,
        request=Request(measures=BLIND if args.behaviour else MEASURES, activations="none", threads=args.threads),
    )
    tables = {"behaviour": result.behaviour[result.behaviour["metric"].isin(METRICS)]}
    if not args.behaviour:
        kept = ON_SHELVES if run.shelf else MEASURES
        rows = result.geometry[result.geometry["measure"].isin(kept)]
        # Of a planted run nothing but the test is asked, and it reads the last blocks.
        tables["geometry"] = last_quarter(rows) if is_planted(asdict(training)) else rows
    for kind, table in tables.items():
        file = args.out / f"{run.name}.{kind}.parquet"
        if kind == "behaviour" and training.release == STAGGERED:
            table = table.assign(family=table["task"])  # released by itself, exchangeable by itself
        if kind == "behaviour" and file.exists():
            check_same(small(table), file)  # written by --behaviour: power rests on it, decision 0013 has its hash
        else:
            write_table(small(table), file)
    seconds = spent.note()
    if not args.behaviour:
        with replacing(args.out / f"{run.name}.json") as temporary:
            temporary.write_text(json.dumps(provenance(run, folder, seconds), indent=2) + "\n")
    print(f"{run.name} written", flush=True)


def check_same(table: pd.DataFrame, file: Path) -> None:
    """Stops where behaviour that was written before is of other weights than this walk: another machine, another --work."""
    keys = ["seed", "step", "task", "metric"]
    held, mine = (t.set_index(keys)["value"].sort_index() for t in (pd.read_parquet(file), table))
    if not (held.index.equals(mine.index) and np.allclose(held, mine, atol=1e-4, equal_nan=True)):
        sys.exit(
            f"{file} holds behaviour of other weights than this run's. Move it away to have both tables of this run; its "
            "power then has to be computed again"
        )


def small(table: pd.DataFrame) -> pd.DataFrame:
    """The columns that vary, numbers in float32 (seven digits); a shuffled companion keeps its ending in `task`."""
    ending = table["probe"].str.extract(f"({SHUFFLED})$")[0].fillna("")
    kept = table.assign(task=table["task"] + ending).drop(columns=[c for c in DROPPED if c in table])
    return kept.astype({c: "float32" for c in ("value", "error", "chance", "majority") if c in kept})


def provenance(run: Planned, folder: Path, cpu_seconds: float) -> dict[str, object]:
    """What made the tables."""
    training = run.training
    return {
        "command": f"python scripts/lab_reference.py {run.name}",
        "commit": commit(),
        "training": asdict(training),
        "model": training.model,
        "n_parameters": training.n_parameters,
        **({"released": released(training), "loss_opens": loss_opens(training)} if run.shelf == "staggered" else {}),
        **loss_of(folder),
        "machine": machine(),
        "cpu_seconds": round(cpu_seconds),
        "cpu_minutes": round(cpu_seconds / 60, 1),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def loss_of(folder: Path) -> dict[str, float]:
    """Of the last hundred steps; nothing of a run that was not trained to its end."""
    file = folder / LOSSES
    return {"loss": round(float(pd.read_csv(file)["loss"].tail(100).mean()), 4)} if file.exists() else {}


def commit() -> str:
    """The commit of this checkout."""
    said = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=ROOT, check=False)
    return said.stdout.strip() or "unknown"


def machine() -> str:
    """What a record says of the machine."""
    return f"{platform.machine()}, {os.cpu_count()} cores, {accelerator()}, Python {platform.python_version()}"


def accelerator() -> str:
    """The GPU's name, or that there was none."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"


def main() -> None:
    """Makes the named runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*")
    parser.add_argument("--list", action="store_true", help="planned runs and their state")
    parser.add_argument("--all", action="store_true", help="every planned run")
    parser.add_argument("--behaviour", action="store_true", help="write behaviour alone; compute no RankMe")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "lab")
    parser.add_argument("--out", type=Path, default=ROOT / "data" / "reference")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--minutes", type=float, default=0, help="stop after this long")
    args = parser.parse_args()
    plan = planned()
    if unknown := [name for name in args.runs if name not in plan]:
        sys.exit(f"No planned run {unknown[0]}. Planned: {', '.join(plan)}")
    wanted = list(plan) if args.all else args.runs
    if args.list or not wanted:
        show(plan, args)
        return
    if args.threads < 1 or not 0 <= args.minutes < 1e6:
        sys.exit("--threads: 1 or more. --minutes: above 0, or 0 for no end")
    torch.set_num_threads(args.threads)
    if args.minutes:
        stop_after(args.minutes)
    try:
        for name in wanted:
            if not is_done(name, args):
                make(plan[name], args)
    except SliceEndedError:
        print("Time is up; the same command goes on from here")
        sys.exit(3)
    except PythiaGeometryError as error:  # such as another process that trains the same run
        sys.exit(str(error))
    print("All is done:", ", ".join(wanted))


def show(plan: dict[str, Planned], args: argparse.Namespace) -> None:
    """Every planned run, whether it is done, and the CPU time that it took."""
    minutes = []
    for name in plan:
        record = args.out / f"{name}.json"
        made = (json.loads(record.read_text()).get("cpu_seconds") or 0) / 60 if record.exists() else 0
        minutes += [made] if made else []
        took = f"{made:.1f} CPU-minutes" if made else "CPU time not recorded" if record.exists() else ""
        print(f"{name:<58} {'done' if is_done(name, args) else 'to do':<6} {took}".rstrip())
    print(f"{sum(minutes) / 60:.1f} CPU-hours in the {len(minutes)} runs that recorded them")


def is_done(name: str, args: argparse.Namespace) -> bool:
    """Whether its tables and record are written, or behaviour alone where only that is asked for."""
    endings = (".behaviour.parquet",) if args.behaviour else (".behaviour.parquet", ".geometry.parquet", ".json")
    return all((args.out / f"{name}{ending}").exists() for ending in endings)


if __name__ == "__main__":
    main()
