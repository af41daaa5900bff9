"""Trains the arms of the patterns lab and writes their tables to data/reference/patterns: what S2 to S7 are judged on.

    python scripts/patterns_reference.py --list                  # all arms, in their order, and their state
    python scripts/patterns_reference.py --all                   # every arm
    python scripts/patterns_reference.py --minutes 9 --all       # a slice; exits with 3 until all is done
    python scripts/patterns_reference.py ARM [ARM …]             # these
    python scripts/patterns_reference.py --transplants           # from arms that kept checkpoints: patterns moved at inference
    python scripts/patterns_reference.py --report                # what the tables say; the numbers of docs/attention.md
    python scripts/patterns_reference.py --bench                 # time of eight stacked seeds beside one

Stopped at any moment, the same command continues. Several may run at once where none names another's arm: each arm has
files of its own, and a folder that one process holds is refused to others. `--device` is a GPU where there is one. What is being trained stays under --work (not committed); an arm
that is given a pattern, and --transplants, need what the base arms of its size kept there. Design and rules:
docs/decisions/0015-patterns-lab.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))  # the parts beside this file
from lab_reference import accelerator
from patterns.bench import bench
from patterns.report import report
from patterns.transplants import Given, donor_of, keep_params, transplants
from patterns.work import held
from slices import SliceEndedError, Spent, stop_after

from pythia_geometry.analysis.claims.pattern_runs import emergence
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.loading.device_names import find_devices
from pythia_geometry.lab.patterns.member import Member
from pythia_geometry.lab.patterns.settings import AUTOMATA, MIXER, PatternTraining
from pythia_geometry.lab.patterns.training import READINGS, Schedule, train
from pythia_geometry.lab.suite_folder import is_finished
from pythia_geometry.store.writing import replacing

ROOT = Path(__file__).resolve().parents[1]
FORMS = ("leaking", "masked")
CURVES = ("base",)  # kinds of arms whose curves ship; of the others the runs' onsets alone


@dataclass(frozen=True)
class Arm:
    """Runs that differ in their seeds alone.

    Attributes:
        training: Their settings; the seed is not read.
        kind: `base` or the sweep that it was made for.
        n_seeds: How many, from 0 on.
        examine_every: Steps between examinations.
        kept: Steps at which parameters are kept, for transplants.
        given: Whose pattern is supplied in training: its own end's, another seed's, or none.
    """

    training: PatternTraining
    kind: str
    n_seeds: int = 4
    examine_every: int = 8
    kept: tuple[int, ...] = ()
    given: Given = Given.NONE

    @property
    def name(self) -> str:
        return self.training.model + (f"-given-{self.given}" if self.given else "")


def planned() -> dict[str, Arm]:
    """Every arm, the small case first."""
    small = PatternTraining(size=8, sparsity=3, steps=800)
    middle, large = replace(small, size=12, steps=6_000), replace(small, size=16, steps=10_000)
    huge = replace(small, size=32, steps=1_000)  # longer is for a GPU
    arms = [*_base(small, 4, range(0, 801, 16)), *_sparsities(small, (1, 2, 4, 6, 8)), *_heads(small)]
    arms += [*_biases(small), *_mixers(small, (3, 4, 6)), *_given(small)]
    arms += [*_base(middle, 25), *_base(replace(middle, sparsity=2), 25, n_seeds=8), *_sizes(small)]
    arms += [*_widths(small), *_base(large, 25)]
    arms += [*_automata(), *_sparsities(middle, (1, 4, 6, 8, 12)), *_heads(middle), *_widths(middle)]
    arms += [*_biases(middle), *_mixers(middle, (3, 4, 6))]
    arms += [Arm(one, "larger", examine_every=25) for one in _each_form(huge)]
    return {arm.name: arm for arm in arms}


def _each_form(training: PatternTraining) -> list[PatternTraining]:
    return [replace(training, form=form) for form in FORMS]


def _base(training: PatternTraining, every: int, kept: range = range(0), n_seeds: int = 8) -> list[Arm]:
    return [Arm(one, "base", n_seeds, every, tuple(kept)) for one in _each_form(training)]


def _sparsities(training: PatternTraining, sparsities: tuple[int, ...]) -> list[Arm]:
    arms = [replace(training, sparsity=s) for s in sparsities]
    return [Arm(one, "sparsity", examine_every=_every(one)) for arm in arms for one in _each_form(arm)]


def _sizes(training: PatternTraining) -> list[Arm]:
    arms = [replace(training, size=size, steps=6_000) for size in (4, 6, 8, 10)]
    return [Arm(one, "size", examine_every=8) for arm in arms[:2] + arms[3:] for one in _each_form(arm)]


def _heads(training: PatternTraining) -> list[Arm]:
    arms = [replace(training, heads=heads) for heads in (1, 2, 4, 16)]
    return [Arm(one, "heads", examine_every=_every(one)) for arm in arms for one in _each_form(arm)]


def _widths(training: PatternTraining) -> list[Arm]:
    arms = [replace(training, head_width=width) for width in (2, 4, 8, 32)]
    return [Arm(one, "head width", examine_every=_every(one)) for arm in arms for one in _each_form(arm)]


def _biases(training: PatternTraining) -> list[Arm]:
    arms = [replace(training, bias=c, rate=rate) for rate in (1e-3, 3e-3) for c in (0.0, 1.0, 3.0, 10.0)][1:]
    return [Arm(one, "bias", examine_every=_every(one)) for arm in arms for one in _each_form(arm)]


def _mixers(training: PatternTraining, sparsities: tuple[int, ...]) -> list[Arm]:
    arms = [replace(training, network=MIXER, form="masked", sparsity=s) for s in sparsities]
    return [Arm(one, "mixer", examine_every=_every(one)) for one in arms]


def _given(training: PatternTraining) -> list[Arm]:
    return [Arm(one, "given", given=given) for one in _each_form(training) for given in (Given.OWN, Given.OTHER)]


def _automata() -> list[Arm]:
    arms = [PatternTraining(AUTOMATA, size=size, steps=6_000, batch=32) for size in (4, 6, 8)]
    return [Arm(one, "automata", examine_every=50) for one in arms]


def _every(training: PatternTraining) -> int:
    return 8 if training.size <= 8 else 25


def make(arm: Arm, args: argparse.Namespace) -> None:
    """Trains one arm and adds it to the tables."""
    folder, device = args.work / arm.name, find_devices(args.device)[0]
    folders = {seed: folder / f"seed{seed}" for seed in range(arm.n_seeds)}
    settings = asdict(arm.training) | {"examine_every": arm.examine_every, "kept": arm.kept}
    is_trained = all(map(is_finished, folders.values()))
    with held(folder, settings, provenance(device), is_trained) as made_on:
        seconds = _train(arm, args, folders, device)
    tables = [pd.read_csv(path / READINGS).assign(seed=seed) for seed, path in folders.items()]
    write(arm, pd.concat(tables, ignore_index=True), facts(arm) | made_on | _cost(seconds), args.out)
    print(f"{arm.name} written, {seconds / 60:.1f} CPU-minutes", flush=True)


def _train(arm: Arm, args: argparse.Namespace, folders: dict[int, Path], device: str) -> float:
    """Trains what is not finished; CPU seconds of the arm over all slices."""
    spent, began = Spent(args.work / arm.name / "spent.txt"), time.monotonic()
    trainings = [replace(arm.training, seed=seed) for seed in folders]
    for one in folders.values():
        one.mkdir(parents=True, exist_ok=True)
    donor = donor_of(arm.training, arm.given, args.work, arm.n_seeds, device) if arm.given else None

    def watch(step: int, members: Sequence[Member]) -> None:
        if step % 50 == 0:
            spent.note()
            print(f"{arm.name} step {step}, {len(members)} seeds, {time.monotonic() - began:.0f} s", flush=True)

    schedule = Schedule(arm.examine_every, frozenset(arm.kept), stops_when_solved=True)
    train(trainings, folders, schedule, keep_params, watch, donor, device)
    return spent.note()


def write(arm: Arm, readings: pd.DataFrame, made: dict[str, object], out: Path) -> None:
    """Its curves, where they ship; then its record, in one rename: what made it, and when each run emerged."""
    out.mkdir(parents=True, exist_ok=True)
    if arm.kind in CURVES:
        floats = ["probability", "error", "accuracy", "mass", "mass_error", "top_mass"]
        small = readings.round(dict.fromkeys(floats, 4)).astype(
            {**dict.fromkeys(floats, "float32"), "step": "int32", "output": "int16", "seed": "int16"}
        )
        small.to_parquet(out / f"{arm.name}.parquet", compression="zstd", index=False)
    found = emergence(readings, arm.training.steps)
    runs = [{k: None if v != v else int(v) for k, v in run.items()} for run in found.to_dict("records")]
    text = json.dumps(made | {"runs": runs}, indent=2)
    # A row a line: lists of numbers are not spread over lines of their own.
    text = re.sub(r"[\[{]\n[^\[\]{}]*[\]}]", lambda found: re.sub(r"\s+", " ", found[0]), text)
    with replacing(out / f"{arm.name}.json") as temporary:
        temporary.write_text(text + "\n")


def facts(arm: Arm) -> dict[str, object]:
    """What an arm is."""
    return {
        "kind": arm.kind,
        "given": str(arm.given),
        "command": f"python scripts/patterns_reference.py {arm.name}",
        "training": asdict(arm.training),
        "layers": arm.training.shape.n_layers,
        "head_width": arm.training.shape.head_width,
        "seeds": arm.n_seeds,
        "n_parameters": arm.training.n_parameters,
        "parents": [row.nonzero()[0].tolist() for row in arm.training.problem.parents[-arm.training.size :]],
        **_routes(arm.training),
    }


def provenance(device: str) -> dict[str, str]:
    """What trains it now."""
    return {
        "commit": _commit(),
        "device": device,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {accelerator()}, Python {platform.python_version()}, "
        f"torch {torch.__version__}",
    }


def _cost(cpu_seconds: float) -> dict[str, object]:
    return {
        "cpu_seconds": round(cpu_seconds),
        "cpu_minutes": round(cpu_seconds / 60, 1),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _commit() -> str:
    found = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=ROOT, check=False)
    return found.stdout.strip() or "unknown"


def _routes(training: PatternTraining) -> dict[str, list[int]]:
    return {} if training.task == AUTOMATA else {"shortest_routes": training.problem.shortest_routes()}


def main() -> None:
    """Makes the named arms."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("arms", nargs="*")
    for flag, what in (
        ("list", "arms and their state"),
        ("all", "every arm"),
        ("transplants", "move patterns"),
        ("report", "say what the tables say"),
        ("bench", "time eight seeds beside one"),
    ):
        parser.add_argument(f"--{flag}", action="store_true", help=what)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "patterns")
    parser.add_argument("--out", type=Path, default=ROOT / "data" / "reference" / "patterns")
    parser.add_argument("--minutes", type=float, default=0, help="stop after this long")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    args = parser.parse_args()
    plan = planned()
    if unknown := [name for name in args.arms if name not in plan]:
        sys.exit(f"No planned arm {unknown[0]}. Planned: {', '.join(plan)}")
    if args.report:
        print(report(args.out))
        return
    if args.bench:
        print(bench(find_devices(args.device)[0]))
        return
    if args.transplants:
        transplants(args.work, args.out, {arm.training: arm.n_seeds for arm in plan.values() if arm.kept})
        return
    wanted = list(plan) if args.all else args.arms
    if args.list or not wanted:
        for name, arm in plan.items():
            state = "done" if is_done(name, args.out) else "to do"
            print(f"{name:45s} {arm.kind:10s} {arm.n_seeds} seeds, at most {arm.training.steps:,} steps, {state}")
        return
    if args.minutes:
        stop_after(args.minutes)
    try:
        for name in wanted:
            if not is_done(name, args.out):
                make(plan[name], args)
    except PythiaGeometryError as error:
        sys.exit(str(error))
    except SliceEndedError:
        print("Time is up; the same command goes on from here")
        sys.exit(3)
    print("All is done:", ", ".join(wanted))


def is_done(name: str, out: Path) -> bool:
    """Whether its tables are written."""
    return (out / f"{name}.json").exists()


if __name__ == "__main__":
    main()
