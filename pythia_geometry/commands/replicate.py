"""`pythia-geom replicate`: the Pythia side of arXiv 2602.15997 by one command that goes on where it was stopped."""

from __future__ import annotations

from typing import Annotated

import typer

from pythia_geometry.errors import EXIT_GAPS, EXIT_OK
from pythia_geometry.typed_path import typed_path


def replicate(
    sizes: Annotated[str, typer.Option("--sizes", help="Pythia sizes with commas.")] = "160m,410m,2.8b",
    steps: Annotated[str, typer.Option("--steps", "-s", help="As for a walk: all, log, numbers, ranges.")] = "all",
    benchmarks: Annotated[
        str,
        typer.Option("--benchmarks", help="lm-eval:TASK with commas, or none. [default: those of docs/replicate.md]"),
    ] = "",
    include: Annotated[str, typer.Option("--include", help="lm-eval: a folder of task definitions of your own.")] = "",
    disk: Annotated[str, typer.Option("--disk", help="Most disk space for weights, such as 20GB. [default: two]")] = "",
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, or several: cuda:all.")] = "auto",
    shard: Annotated[
        str, typer.Option("--shard", help="Walk one share of the checkpoints, such as 1/4; then once without --shard.")
    ] = "",
    executor: Annotated[str, typer.Option("--executor", help="local, or ray.")] = "local",
    out: Annotated[str, typer.Option("--out", "-o", help="Folder: a run folder a model, and results.")] = "replication",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it takes, and stop.")] = False,
) -> None:
    """Replicate a paper's Pythia side: doctor, walk, power, precursors, compare, and one table beside the lab's answer.

    The paper is arXiv 2602.15997. Type the same command again to go on after a stop.
    """
    from pythia_geometry.commands.replication.stages import Replication, run_replication

    def words(text: str) -> tuple[str, ...]:
        return tuple(filter(None, map(str.strip, text.split(","))))

    asked = Replication(words(sizes), steps, words(benchmarks), include, disk, device, executor, typed_path(out))
    raise typer.Exit(EXIT_GAPS if run_replication(asked, shard, dry_run) else EXIT_OK)
