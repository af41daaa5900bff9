"""What the user sees of the lab: what there is, what a run needs, and a training while it goes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table

from pythia_geometry.lab.model import SCALES, count_parameters
from pythia_geometry.lab.patterns.settings import TASKS as PATTERN_TASKS
from pythia_geometry.lab.settings import Training, checkpoint_steps
from pythia_geometry.lab.suite_folder import SETTINGS, is_finished, progress
from pythia_geometry.lab.tasks import SETS, TASKS
from pythia_geometry.lab.train import Progress
from pythia_geometry.screens.walk import as_bytes, as_seconds

if TYPE_CHECKING:
    from pythia_geometry.lab.patterns.member import Member
    from pythia_geometry.lab.patterns.settings import PatternTraining

MEMORY = 0.98  # a step's weight in the running accuracies falls to a third in 50 steps
RIGHT = 0.9  # accuracy of an output that counts as solved
LINES = 20  # progress lines of a run where nobody watches a terminal


class TrainingBar:
    """Steps, loss, time left, and how many problems of each task-level are solved; plain lines without a terminal."""

    def __init__(self, console: Console, training: Training) -> None:
        self.console, self.training = console, training
        self.bars = Bars(
            TextColumn("{task.description}", style="bold", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.3f}"),
            TimeRemainingColumn(),
            auto_refresh=False,
        )
        self.task = self.bars.add_task(training.name, total=training.steps, loss=float("nan"))
        self.asked, self.solved = [0.0] * len(training.levels), [0.0] * len(training.levels)
        self.began, self.first = time.monotonic(), 0
        self.live = Live(console=console, get_renderable=self._picture, refresh_per_second=4, transient=True)

    def __enter__(self) -> TrainingBar:
        if self.console.is_terminal:
            self.live.__enter__()
        return self

    def __exit__(self, *of_error: object) -> None:
        if self.console.is_terminal:
            self.live.__exit__(None, None, None)

    def __call__(self, made: Progress) -> None:
        """Takes in one step."""
        for i in range(len(self.asked)):
            self.asked[i] = MEMORY * self.asked[i] + made.asked[i]
            self.solved[i] = MEMORY * self.solved[i] + made.solved[i]
        self.first = self.first or made.step - 1
        self.bars.update(self.task, completed=made.step, loss=made.loss)
        every = max(1, self.training.steps // LINES)
        if not self.console.is_terminal and (made.step % every == 0 or made.step == self.training.steps):
            rate = (time.monotonic() - self.began) / max(1, made.step - self.first)
            left = as_seconds(rate * (self.training.steps - made.step))
            self.console.print(
                f"{self.training.name} step {made.step}/{self.training.steps}, loss {made.loss:.3f}, {left} left; "
                + ", ".join(f"{task} {' '.join(shares)}" for task, shares in self.shares().items()),
                highlight=False, markup=False, soft_wrap=True,
            )  # fmt: skip

    def shares(self) -> dict[str, list[str]]:
        """By task, the running share of its levels' problems that were solved."""
        found: dict[str, list[str]] = {}
        for level, asked, solved in zip(self.training.levels, self.asked, self.solved, strict=True):
            found.setdefault(level.task.name, []).append(f"{solved / asked:.2f}" if asked else "–")
        return found

    def _picture(self) -> Group:
        shares = self.shares()
        table = Table(box=None, pad_edge=False, header_style="dim")
        for task in shares:
            table.add_column(task, justify="right")
        for i in range(max(map(len, shares.values()))):
            table.add_row(*(levels[i] if i < len(levels) else "" for levels in shares.values()))
        return Group(self.bars, table)


class PatternLines:
    """A line now and then while seeds of the patterns lab are trained together: loss, and outputs that are solved."""

    def __init__(self, console: Console, training: PatternTraining) -> None:
        self.console, self.training = console, training
        self.every, self.began, self.first = max(1, training.steps // LINES), time.monotonic(), -1

    def __call__(self, step: int, members: Sequence[Member]) -> None:
        """Takes in one step of some members."""
        self.first = step - 1 if self.first < 0 else self.first
        if step % self.every and step != self.training.steps:
            return
        rate = (time.monotonic() - self.began) / (step - self.first)
        told = ", ".join(f"{m.seed}: {m.losses[-1]:.3f} {_solved(m)}" for m in members)
        self.console.print(
            f"{self.training.model} step {step}/{self.training.steps}, "
            f"{as_seconds(rate * (self.training.steps - step))} left; seed: loss, outputs solved {told}",
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip


def _solved(member: Member) -> str:
    """Outputs that were right in nine tenths of inputs when they were last examined, of all."""
    last = [one for one in member.readings if one.step == member.readings[-1].step]
    return f"{sum(one.accuracy >= RIGHT for one in last)}/{len(last)}"


def show_lab_plan(console: Console, trainings: Sequence[Training | PatternTraining], seconds: Sequence[float]) -> None:
    """Time and disk of every run."""
    table = _table("run", "parameters", "steps", "checkpoints", "disk", "s/step", "time")
    for training, per_step in zip(trainings, seconds, strict=True):
        table.add_row(
            training.name, f"{training.n_parameters:,}", f"{training.steps:,}",
            f"{len(checkpoint_steps(training.steps))}", as_bytes(training.bytes_on_disk), f"{per_step:.3f}",
            as_seconds(per_step * training.steps),
        )  # fmt: skip
    console.print(table)
    console.print("s/step is from a few real steps on this machine; saving comes on top.", style="dim")


def show_scales_and_tasks(console: Console) -> None:
    """What can be trained."""
    scales = _table("scale", "blocks", "width", "heads", "parameters", "peak rate", "steps")
    for name, scale in SCALES.items():
        numbers = (scale.n_layers, scale.width, scale.n_heads, count_parameters(scale))
        scales.add_row(name, *(f"{n:,}" for n in numbers), f"{scale.peak_rate:g}", f"{scale.steps:,}")
    tasks = _table("task", "level 1, 2, 3", "only by name", justify="left")
    for task in TASKS.values():
        sizes = [str(size) for size in task.sizes]
        rest = ", ".join(f"{task.name}{i + 1}: {sizes[i]}" for i in range(task.n_default, len(sizes)))
        tasks.add_row(task.name, f"{', '.join(sizes[: task.n_default])} {task.unit}", rest)
    console.print(scales)
    console.print("The same parameters as gpt2 and as neox, which needs about twice the steps.\n", style="dim")
    console.print(tasks)
    known = f"--task {', '.join(PATTERN_TASKS)}: solved by a known attention pattern (docs/attention.md)"
    console.print(known, style="dim", highlight=False)
    for name, parts in SETS.items():
        console.print(f"--tasks {name}: {', '.join(parts)}", style="dim", highlight=False)


def show_suites(console: Console, out: Path) -> None:
    """What was trained in a folder."""
    found = sorted(record.parent for record in out.glob(f"*/{SETTINGS}"))
    if not found:
        console.print(f"\nNo lab runs in {out}/", highlight=False, markup=False)
        return
    table = _table(f"in {out}/", "checkpoints", "state", justify="left")
    for folder in found:
        there, wanted = progress(folder)
        table.add_row(folder.name, f"{there} of {wanted}", "done" if is_finished(folder) else "train again to continue")
    console.print()
    console.print(table)


def _table(first: str, *columns: str, justify: str = "right") -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="left" if justify == "left" else "right")
    return table
