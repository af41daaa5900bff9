"""The commands `pythia-geom lab …`. Heavy imports happen inside commands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pythia_geometry.lab.settings import Training

lab = typer.Typer(
    help="Train small transformers on algorithmic tasks; every run is a suite that `--model lab/NAME` walks."
)

Scale = Annotated[str, typer.Option("--scale", help="A size, smoke to xl: lab list names them.")]
Scales = Annotated[str, typer.Option("--scale", help="Names joined by commas. [default: all]")]
Arch = Annotated[str, typer.Option("--arch", help="gpt2 or neox.")]
Seeds = Annotated[str, typer.Option("--seeds", help="Numbers of the seeds: 0, 0-2, or 1,5.")]
Steps = Annotated[int, typer.Option("--steps", help="Optimiser steps. [default: the scale's, see lab list]")]
Batch = Annotated[int, typer.Option("--batch", help="Problems a step.")]
Tasks = Annotated[str, typer.Option("--tasks", help="Tasks (MOD) or levels (MOD2) joined by commas. [default: all 24]")]
AllTokens = Annotated[bool, typer.Option("--all-tokens", help="Loss on the prompt's tokens too.")]
Release = Annotated[
    str, typer.Option("--release", help="together, or staggered: each level's loss opens at a random step of its own.")
]
PlantLead = Annotated[
    float | None,
    typer.Option("--plant-lead", help="Staggered: move a level's geometry this many decades before its loss opens."),
]
PlantWeight = Annotated[float, typer.Option("--plant-weight", help="How hard a planted lead pushes.")]
PlantBend = Annotated[
    int,
    typer.Option("--plant-bend", help="Answers of this many tokens, all of which behaviour needs right. [default: no]"),
]
Rate = Annotated[float | None, typer.Option("--rate", help="Peak learning rate. [default: the scale's]")]
Out = Annotated[str, typer.Option("--out", "-o", help="Folder of suites.")]


@lab.command("train")
def train_runs(
    scale: Scale = "nano",
    arch: Arch = "gpt2",
    seeds: Seeds = "0",
    steps: Steps = 0,
    batch: Batch = 128,
    tasks: Tasks = "",
    all_tokens: AllTokens = False,
    release: Release = "together",
    plant_lead: PlantLead = None,
    plant_weight: PlantWeight = 1.0,
    plant_bend: PlantBend = 0,
    rate: Rate = None,
    out: Out = "lab",
) -> None:
    """Train runs, one after the other; the same command continues what was stopped.

    Several GPUs: `accelerate launch -m pythia_geometry.cli lab train …`.
    """
    arm = {"architecture": arch, "batch": batch, "all_tokens": all_tokens, "release": release}
    arm |= {"plant_lead": plant_lead, "plant_weight": plant_weight, "plant_bend": plant_bend, "peak_rate": rate}
    trainings = _trainings(scale, seeds, steps, tasks, **arm)
    from accelerate import PartialState

    from pythia_geometry.lab.settings import checkpoint_steps
    from pythia_geometry.lab.train import train
    from pythia_geometry.screens.console import open_console
    from pythia_geometry.screens.lab import TrainingBar

    console = open_console(quiet=not PartialState().is_main_process)
    for training in trainings:
        with TrainingBar(console, training) as bar:
            folder = train(training, out, bar)
        n_saved = len(checkpoint_steps(training.steps))
        console.print(
            f"{folder}: {n_saved} checkpoints of {training.n_parameters:,} parameters. "
            f"Walk it: pythia-geom --model {folder}",
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip


@lab.command("list")
def list_runs(out: Out = "lab") -> None:
    """List scales, tasks, and what was trained in a folder."""
    from pythia_geometry.screens.console import open_console
    from pythia_geometry.screens.lab import show_scales_and_tasks, show_suites

    console = open_console()
    show_scales_and_tasks(console)
    show_suites(console, Path(out).expanduser())


@lab.command("plan")
def plan_runs(
    scale: Scales = "",
    arch: Arch = "gpt2",
    seeds: Seeds = "0",
    steps: Steps = 0,
    batch: Batch = 128,
    tasks: Tasks = "",
    all_tokens: AllTokens = False,
) -> None:
    """Say what runs would take in time and disk, from a few real steps of each; train nothing."""
    from pythia_geometry.lab.estimate import seconds_per_step
    from pythia_geometry.lab.model import SCALES
    from pythia_geometry.screens.console import open_console
    from pythia_geometry.screens.lab import show_lab_plan

    arm = {"architecture": arch, "batch": batch, "all_tokens": all_tokens}
    names = [name.strip() for name in scale.split(",") if name.strip()] or list(SCALES)
    trainings = [t for name in names for t in _trainings(name, seeds, steps, tasks, **arm)]
    measured = dict.fromkeys(names, 0.0)
    for training in trainings:
        measured[training.scale] = measured[training.scale] or seconds_per_step(training)
    show_lab_plan(open_console(), trainings, [measured[training.scale] for training in trainings])


def _trainings(scale: str, seeds: str, steps: int, tasks: str, **arm: Any) -> list[Training]:
    """One a seed; `arm` holds settings that go to `Training` as they were typed."""
    from pythia_geometry.errors import PythiaGeometryError
    from pythia_geometry.lab.model import scale_named
    from pythia_geometry.lab.settings import Training
    from pythia_geometry.suites.named import parse_seeds

    chosen = parse_seeds(seeds)
    if isinstance(chosen, str):
        raise PythiaGeometryError(f"--seeds {seeds}: there is no end of seeds to train. Expected 0, 0-2, or 1,5")
    named = tuple(name.strip() for name in tasks.split(",") if name.strip())
    wanted = steps or scale_named(scale).steps
    return [Training(scale, seed=seed, steps=wanted, tasks=named, **arm) for seed in chosen]
