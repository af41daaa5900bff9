"""What the user sees: the plan before, a progress bar during, the summary after."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pythia_geometry.runs.progress import damaged_line, lost_line
from pythia_geometry.screens.table import show_table

if TYPE_CHECKING:
    from pythia_geometry.runs.plan import Plan
    from pythia_geometry.runs.work import Todo

MAX_ROWS = 40
MAX_REMARKS = 3


class Bar:
    """A progress bar with checkpoint, stage, rate and time left; plain lines where nobody watches a terminal."""

    def __init__(self, console: Console, total: int) -> None:
        self.console, self.total = console, total
        self.count, self.began = 0, time.monotonic()
        self.has_lost = False
        self.bar = Progress(
            TextColumn("{task.fields[checkpoint]}", style="bold", markup=False),
            TextColumn("{task.fields[stage]}", style="dim", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task("", total=total, checkpoint="", stage="", rate="")

    def __enter__(self) -> Bar:
        self.bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.__exit__(kind, error, trace)

    def stage(self, checkpoint: str, stage: str) -> None:
        """Shows where the walk is."""
        self.bar.update(self.task, checkpoint=checkpoint, stage=stage)

    def finished(self, checkpoint: str, detail: str) -> None:
        """Counts a checkpoint; says why where it could not be used."""
        self.count += 1
        minutes = (time.monotonic() - self.began) / 60
        self.bar.update(self.task, advance=1, rate=f"{self.count / minutes:.1f}/min" if minutes else "")
        if detail:
            self.console.print(f"[yellow]skipped[/] {escape(detail)}", highlight=False)
        elif not self.console.is_terminal:
            self.console.print(f"{self.count}/{self.total} {checkpoint}", highlight=False, markup=False)

    def damaged(self, file: str, why: str) -> None:
        """Names a damaged file."""
        self._say("damaged", damaged_line(file, why))

    def lost(self, checkpoint: str, count: int) -> None:
        """Names work that is gone."""
        self.has_lost = True
        self._say("lost", lost_line(checkpoint, count))

    def _say(self, what: str, line: str) -> None:
        self.console.print(f"[yellow]{what}[/] {escape(line)}", highlight=False, soft_wrap=True)


COUNTS = ("checkpoints", "gaps", "to do", "new tasks", "prompts", "tokens")
COSTS = ("download", "activations", "forward")


def show_plan(
    console: Console,
    plan: Plan,
    todo_of: Mapping[str, Todo],
    out: Path,
    flops_per_second: float,
    dear: Sequence[str] = (),
) -> None:
    """What the walk will download, write and cost, less what the run folder already holds.

    Args:
        console: Where to.
        plan: The plan.
        todo_of: By run, what the folder lacks.
        out: The run folder.
        flops_per_second: This machine's measured rate.
        dear: Of each run, what its dear measures cost, in a sentence.
    """
    kept = plan.request.activations == "keep"
    rows = []
    for run in plan.runs:
        todo = todo_of[run.name]
        new = run.only(todo.probes)
        counts = [len(run.usable), len(run.gaps), len(todo.checkpoints), len(new.probes), new.n_rows, new.n_tokens]
        written = len(todo.checkpoints) * new.bytes_of_activations if kept else 0
        forward = len(todo.checkpoints) * new.flops / flops_per_second
        costs = [as_bytes(run.bytes_to_come(todo.checkpoints)), as_bytes(written), as_seconds(forward)]
        rows.append([run.name, *(f"{count:,}" for count in counts), *costs])
    show_table(console, ["run", *COUNTS, *COSTS], rows, left=["run"])
    if plan.request.fetch == "ranges":
        console.print(
            "--fetch ranges: only the base model is downloaded, into memory. No weights on the disk, no behaviour; the "
            "same command without it adds behaviour.",
            highlight=False, markup=False,
        )  # fmt: skip
    for line in dear:
        console.print(line, style="yellow", highlight=False, markup=False)
    multi = sum(1 for run in plan.runs for p in run.probes if p.single_token_share < 1)
    if multi:
        console.print(
            f"Targets of several tokens, in {multi} of the tasks, are scored whole.", style="dim", highlight=False
        )
    warned = dict.fromkeys(f"{p.probe.name}, {text}" for run in plan.runs for p in run.probes for text in p.warnings)
    for text in warned:
        console.print(f"Warning: {text}", style="yellow", highlight=False, markup=False)
    for run in plan.runs:
        for note in (*run.suite.notes, *run.remarks):
            console.print(f"{run.name}: {note}", style="dim", highlight=False, markup=False)
        remarkable = [c for c in run.usable if c.detail]
        for checkpoint in remarkable[:MAX_REMARKS]:
            console.print(f"{checkpoint.label}: {checkpoint.detail}", highlight=False, markup=False)
        if len(remarkable) > MAX_REMARKS:
            more = len(remarkable) - MAX_REMARKS
            console.print(f"… and {more} more, each with its detail in checkpoints.parquet", highlight=False)
    console.print(
        f"Run folder {out}. 'forward' is the time of the matrix products at this machine's measured rate of "
        f"{flops_per_second / 1e9:.0f} GFLOP/s: a lower bound.",
        style="dim", highlight=False, markup=False,
    )  # fmt: skip


def show_outcome(console: Console, summary: pd.DataFrame, pictures: Sequence[Path], out: Path) -> None:
    """The summary table, where RankMe was taken, and where everything lies."""
    if summary.empty:
        console.print("No RankMe was taken, so there is no table of it (--measures representation).", style="dim")
    else:
        _show_summary(console, summary, out)
    for picture in pictures:
        if picture.suffix == ".png":
            console.print(f"picture  {picture} (and .svg)", highlight=False, markup=False)
    console.print(f"tables   {out}/{{geometry,behaviour,checkpoints,answers}}.parquet", highlight=False, markup=False)


def _show_summary(console: Console, summary: pd.DataFrame, out: Path) -> None:
    several = len(summary[["model", "seed"]].drop_duplicates()) > 1
    sets = summary["probe"].nunique()
    columns = ["task", "start", "floor", "at step", "recovered", "halfway at step", "accuracy", "rose between"]
    rows = []
    for row in summary.head(MAX_ROWS).itertuples():
        run = [f"{row.model} seed {row.seed}"] if several else []
        task = f"{row.probe}/{row.task}" if sets > 1 else str(row.task)
        rank = [_number(row.start), _number(row.floor), _whole(row.floor_step), _number(row.recovered)]
        rose = str(row.rose) if isinstance(row.rose, str) else "–"
        rows.append([*run, task, *rank, _whole(row.recovery_step), _number(row.accuracy), rose])
    title = "RankMe after the final norm, and accuracy"
    show_table(console, ["run", *columns] if several else columns, rows, title, left=["run", "task"])
    if len(summary) > MAX_ROWS:
        console.print(f"… and {len(summary) - MAX_ROWS} more rows in {out / 'summary.csv'}")
    console.print(
        "floor: lowest running median of 3, – where RankMe never falls; recovered: highest one after it; halfway at "
        "step: the first that is halfway back up (log scale); rose: accuracy above its baseline by two standard errors "
        "for good. One seed a row; none of this tests a lead.",
        style="dim",
        highlight=False,
    )


def show_belief(console: Console, found: pd.DataFrame, out: Path) -> None:
    """Which measures have rows that should not be believed, and why."""
    doubted = found[found["why not"] != ""]
    if doubted.empty:
        return
    rows = []
    for row in doubted.head(MAX_ROWS).to_dict("records"):
        ends = [str(row[end]) for end in ("from step", "to step") if not pd.isna(row[end])]
        steps = " – ".join(dict.fromkeys(ends))
        counts = f"{row['believed']:,} of {row['rows']:,}"
        rows.append([row["measure"], counts, f"{row['rows so']:,}", steps, row["why not"]])
    headings = ["measure", "believed", "not", "steps", "why not"]
    show_table(console, headings, rows, "Which numbers may be believed", left=["measure", "why not"])
    clean = found.loc[found["why not"] == "", "measure"]
    said = f"Nothing that is checked speaks against: {', '.join(clean)}. " if len(clean) else ""
    console.print(
        f"{said}A row with a reason is used by no test. Each measure misleads in ways of its own (docs/measures.md, "
        f"docs/landscape.md). All reasons: {out / 'belief.csv'}",
        style="dim", highlight=False, markup=False,
    )  # fmt: skip


def as_bytes(n: float) -> str:
    """Such as `1.2 TB` or `340 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1000:
            return f"{n:.0f} {unit}"
        n /= 1000
    return f"{n:.1f} TB"


def as_seconds(s: float) -> str:
    """Such as `40 s`, `12 min` or `3.4 h`."""
    return f"{s:.0f} s" if s < 100 else f"{s / 60:.0f} min" if s < 6000 else f"{s / 3600:.1f} h"


def _number(value: Any) -> str:
    return "–" if pd.isna(value) else f"{value:.2f}"


def _whole(value: Any) -> str:
    return "–" if pd.isna(value) else f"{value:.0f}"
