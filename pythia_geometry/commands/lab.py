"""The commands `pythia-geom lab …`. Heavy imports happen inside commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pythia_geometry.lab.patterns.settings import PatternTraining
    from pythia_geometry.lab.settings import Training

lab = typer.Typer(
    help="Train small transformers on algorithmic tasks; every run is a suite that `--model lab/NAME` walks."
)

Scale = Annotated[str, typer.Option("--scale", help="A size, smoke to xl: lab list names them.")]
Scales = Annotated[str, typer.Option("--scale", help="Names joined by commas. [default: all]")]
Arch = Annotated[str, typer.Option("--arch", help="gpt2 or neox.")]
Seeds = Annotated[
    str,
    typer.Option("--seeds", help="Numbers of the seeds: 0, 0-2, or 1,5. With --task, a number from 1 on is how many."),
]
Steps = Annotated[int | None, typer.Option("--steps", help="Optimiser steps. [default: the scale's, see lab list]")]
Batch = Annotated[int, typer.Option("--batch", help="Problems a step.")]
Tasks = Annotated[str, typer.Option("--tasks", help="Tasks (MOD) or levels (MOD2) joined by commas. [default: all 24]")]
AllTokens = Annotated[bool, typer.Option("--all-tokens", help="Loss on the prompt's tokens too.")]
Release = Annotated[
    str, typer.Option("--release", help="together, or staggered: each level's loss opens at a random step of its own.")
]
ReleaseDecades = Annotated[
    float | None,
    typer.Option(
        "--release-decades", help="Staggered: spread the openings over so many decades. [default: 2, planted 1.3]"
    ),
]
PlantLead = Annotated[
    float | None,
    typer.Option("--plant-lead", help="Staggered: move a level's geometry this many decades before its loss opens."),
]
PlantWeight = Annotated[float, typer.Option("--plant-weight", help="How hard a planted lead pushes.")]
PlantPart = Annotated[
    float, typer.Option("--plant-part", help="Planted lead: end the push at this part of the spread rows can have.")
]
PlantOwn = Annotated[
    bool, typer.Option("--plant-own", help="Planted lead: hold token-shuffled prompts still, move own ones alone.")
]
PlantApart = Annotated[
    float,
    typer.Option("--plant-apart", help="With --plant-own: how hard own and shuffled prompts are parted from step 0."),
]
PlantBend = Annotated[
    int,
    typer.Option("--plant-bend", help="Answers of this many tokens, all of which behaviour needs right. [default: no]"),
]
Rate = Annotated[float | None, typer.Option("--rate", help="Peak learning rate. [default: the scale's]")]
PatternTask = Annotated[
    str,
    typer.Option(
        "--task", help="linear-map or automata: the patterns lab, all seeds in one process (docs/attention.md)."
    ),
]
Size = Annotated[
    int | None, typer.Option("--size", help="Patterns lab: bits or cells of a state. [default: 16, automata 8]")
]
Sparsity = Annotated[
    int | None, typer.Option("--sparsity", help="Linear map: inputs that decide an output. [default: 3]")
]
Form = Annotated[
    str | None,
    typer.Option("--form", help="Linear map: leaking (earlier outputs can be read) or masked. [default: leaking]"),
]
Heads = Annotated[int | None, typer.Option("--heads", help="Patterns lab: attention heads a block. [default: 8]")]
Width = Annotated[int | None, typer.Option("--width", help="Patterns lab: residual stream. [default: 128]")]
Layers = Annotated[int | None, typer.Option("--layers", help="Patterns lab: blocks. [default: 1, automata 4]")]
Out = Annotated[str, typer.Option("--out", "-o", help="Folder of suites.")]

ARM = {
    "architecture": "arch", "batch": "batch", "all_tokens": "all_tokens", "release": "release",
    "release_decades": "release_decades", "peak_rate": "rate",
    "plant_lead": "plant_lead", "plant_weight": "plant_weight", "plant_part": "plant_part",
    "plant_own": "plant_own", "plant_apart": "plant_apart", "plant_bend": "plant_bend",
}  # fmt: skip
"""Settings of `Training`, by the argument of a command."""
SHAPE = ("size", "sparsity", "form", "heads", "width", "layers")
"""Arguments that belong to the patterns lab."""


@lab.command("train")
def train_runs(
    scale: Scale = "nano",
    arch: Arch = "gpt2",
    seeds: Seeds = "0",
    steps: Steps = None,
    batch: Batch = 128,
    tasks: Tasks = "",
    all_tokens: AllTokens = False,
    release: Release = "together",
    release_decades: ReleaseDecades = None,
    plant_lead: PlantLead = None,
    plant_weight: PlantWeight = 1.0,
    plant_part: PlantPart = 1.0,
    plant_own: PlantOwn = False,
    plant_apart: PlantApart = 0.0,
    plant_bend: PlantBend = 0,
    rate: Rate = None,
    task: PatternTask = "",
    size: Size = None,
    sparsity: Sparsity = None,
    form: Form = None,
    heads: Heads = None,
    width: Width = None,
    layers: Layers = None,
    out: Out = "lab",
) -> None:
    """Train runs, one after the other; the same command continues what was stopped.

    With --task the seeds of a run are trained together. Several GPUs, without --task:
    `accelerate launch -m pythia_geometry.cli lab train …`.
    """
    arm, shape = _typed(locals())
    if _asks_for_patterns(task, shape, {"--scale": scale != "nano", "--tasks": bool(tasks)} | _not_usual(arm)):
        _train_patterns(_pattern_trainings(task, seeds, steps=steps, batch=batch, rate=rate, **shape), out)
        return
    trainings = _trainings(scale, seeds, steps, tasks, **arm)
    from accelerate import PartialState

    from pythia_geometry.lab.suite_folder import progress
    from pythia_geometry.lab.train import train
    from pythia_geometry.screens.console import open_console
    from pythia_geometry.screens.lab import TrainingBar

    console = open_console(quiet=not PartialState().is_main_process)
    for training in trainings:
        with TrainingBar(console, training) as bar:
            folder = train(training, out, bar)
        n_saved, n_planned = progress(folder)
        held = f"{n_saved}" if n_saved == n_planned else f"{n_saved} of {n_planned}"
        console.print(
            f"{folder}: {held} checkpoints of {training.n_parameters:,} parameters. "
            f"Walk it: pythia-geom --model {folder}",
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip


@lab.command("list")
def list_runs(out: Out = "lab") -> None:
    """List scales, tasks, and what was trained in a folder."""
    from pythia_geometry.screens.console import open_console
    from pythia_geometry.screens.lab import show_scales_and_tasks, show_suites
    from pythia_geometry.typed_path import typed_path

    console = open_console()
    show_scales_and_tasks(console)
    show_suites(console, typed_path(out))


@lab.command("plan")
def plan_runs(
    scale: Scales = "",
    arch: Arch = "gpt2",
    seeds: Seeds = "0",
    steps: Steps = None,
    batch: Batch = 128,
    tasks: Tasks = "",
    all_tokens: AllTokens = False,
    release: Release = "together",
    release_decades: ReleaseDecades = None,
    plant_lead: PlantLead = None,
    plant_weight: PlantWeight = 1.0,
    plant_part: PlantPart = 1.0,
    plant_own: PlantOwn = False,
    plant_apart: PlantApart = 0.0,
    plant_bend: PlantBend = 0,
    rate: Rate = None,
    task: PatternTask = "",
    size: Size = None,
    sparsity: Sparsity = None,
    form: Form = None,
    heads: Heads = None,
    width: Width = None,
    layers: Layers = None,
) -> None:
    """Say what runs would take in time and disk, from a few real steps of each; train nothing. Options as of train."""
    arm, shape = _typed(locals())
    from pythia_geometry.lab.estimate import seconds_per_step
    from pythia_geometry.lab.model import SCALES
    from pythia_geometry.screens.console import open_console
    from pythia_geometry.screens.lab import show_lab_plan

    if _asks_for_patterns(task, shape, {"--scale": bool(scale), "--tasks": bool(tasks)} | _not_usual(arm)):
        _plan_patterns(_pattern_trainings(task, seeds, steps=steps, batch=batch, rate=rate, **shape))
        return
    names = [name.strip() for name in scale.split(",") if name.strip()] or list(SCALES)
    trainings = [t for name in names for t in _trainings(name, seeds, steps, tasks, **arm)]
    measured = dict.fromkeys(names, 0.0)
    for training in trainings:
        measured[training.scale] = measured[training.scale] or seconds_per_step(training)
    show_lab_plan(open_console(), trainings, [measured[training.scale] for training in trainings])


def _typed(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What was typed, as settings of `Training` and as those of the patterns lab alone."""
    arm = {setting: arguments[argument] for setting, argument in ARM.items()}
    return arm, {name: arguments[name] for name in SHAPE}


def _trainings(scale: str, seeds: str, steps: int | None, tasks: str, **arm: Any) -> list[Training]:
    """One a seed; `arm` holds settings that go to `Training` as they were typed."""
    from pythia_geometry.errors import PythiaGeometryError
    from pythia_geometry.lab.model import scale_named
    from pythia_geometry.lab.settings import Training
    from pythia_geometry.suites.named import parse_seeds

    chosen = parse_seeds(seeds)
    if isinstance(chosen, str):
        raise PythiaGeometryError(f"--seeds {seeds}: there is no end of seeds to train. Expected 0, 0-2, or 1,5")
    named = tuple(dict.fromkeys(name.strip() for name in tasks.split(",") if name.strip()))
    if tasks and not named:
        raise PythiaGeometryError(f"--tasks {tasks!r} names none. Leave it out for all (pythia-geom lab list)")
    wanted = scale_named(scale).steps if steps is None else steps
    return [Training(scale, seed=seed, steps=wanted, tasks=named, **arm) for seed in chosen]


def _not_usual(arm: Mapping[str, Any]) -> dict[str, bool]:
    """By option that the patterns lab lacks, whether it was typed."""
    from pythia_geometry.lab.settings import Training

    options = {"architecture": "--arch"}
    return {
        options.get(name, f"--{name.replace('_', '-')}"): value != getattr(Training, name)
        for name, value in arm.items()
        if name not in ("batch", "peak_rate")
    }


def _asks_for_patterns(task: str, shape: Mapping[str, object], others: Mapping[str, object]) -> bool:
    """Whether the patterns lab is meant.

    Raises:
        PythiaGeometryError: If options of both labs were typed.
    """
    from pythia_geometry.errors import PythiaGeometryError

    if not task:
        if typed := [name for name, value in shape.items() if value is not None]:
            raise PythiaGeometryError(f"--{typed[0]} belongs to the patterns lab: add --task linear-map or automata")
        return False
    if typed := [option for option, value in others.items() if value]:
        raise PythiaGeometryError(f"--task {task} has no {typed[0]}: leave it out (pythia-geom lab train --help)")
    return True


def _pattern_trainings(task: str, seeds: str, **typed: Any) -> list[PatternTraining]:
    """One a seed; what was not typed has its default."""
    from pythia_geometry.errors import PythiaGeometryError
    from pythia_geometry.lab.patterns.settings import AUTOMATA, LINEAR_MAP, PatternTraining
    from pythia_geometry.suites.named import parse_seeds

    chosen = parse_seeds(seeds)
    if isinstance(chosen, str):
        raise PythiaGeometryError(f"--seeds {seeds}: expected how many (8), or their numbers (0-7, or 1,5)")
    if seeds.strip().isdecimal() and chosen != [0]:
        chosen = list(range(*chosen))
    given = {name: value for name, value in typed.items() if value is not None}
    if task == AUTOMATA:
        given.setdefault("size", 8)
    if task == AUTOMATA and (extra := [name for name in ("sparsity", "form") if name in given]):
        raise PythiaGeometryError(f"--{extra[0]} belongs to --task {LINEAR_MAP}")
    return [PatternTraining(task, seed=seed, **given) for seed in chosen]


def _train_patterns(trainings: list[PatternTraining], out: str) -> None:
    from pythia_geometry.lab.patterns.suite import train_suites
    from pythia_geometry.lab.settings import checkpoint_steps
    from pythia_geometry.screens.console import open_console
    from pythia_geometry.screens.lab import PatternLines

    console = open_console()
    first = trainings[0]
    for folder in train_suites(trainings, out, PatternLines(console, first)):
        console.print(
            f"{folder}: {len(checkpoint_steps(first.steps))} checkpoints of {first.n_parameters:,} parameters. "
            f"Walk it: pythia-geom --measures attention --model {folder}",
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip


def _plan_patterns(trainings: list[PatternTraining]) -> None:
    from pythia_geometry.lab.patterns.estimate import seconds_per_step
    from pythia_geometry.screens.console import open_console
    from pythia_geometry.screens.lab import show_lab_plan
    from pythia_geometry.screens.walk import as_seconds

    per_step, console = seconds_per_step(trainings), open_console()
    show_lab_plan(console, trainings, [per_step / len(trainings)] * len(trainings))
    if len(trainings) > 1:
        whole = as_seconds(per_step * trainings[0].steps)
        console.print(
            f"They are trained together: each has its share of the time, and all end after {whole}.", style="dim"
        )
