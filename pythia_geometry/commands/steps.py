"""`pythia-geom steps`: the steps of a model, what was left out, and its published faults."""

from __future__ import annotations

from typing import Annotated

import typer

from pythia_geometry.commands.options import Pattern, Stage


def list_steps(
    model: Annotated[str, typer.Argument(help="A model, as after --model.")], stage: Stage = "", pattern: Pattern = ""
) -> None:
    """List the training steps of a model, with the published faults of its checkpoints."""
    from pythia_geometry.suites.named import find_suites
    from pythia_geometry.suites.pythia import parse_name
    from pythia_geometry.suites.steps.numbering import Naming

    run = parse_name(model)  # its schedule is known: nobody need be asked
    (suite,) = find_suites(model, (), Naming(stage, pattern))
    found = sorted(suite.schedule) if run else suite.steps()
    typer.echo(f"{run.name if run else model}: {len(found)} steps")
    typer.echo(", ".join(map(str, found)))
    if not run and (called := suite.step_name(found[-1])) != f"step{found[-1]}":
        typer.echo(f"  the last of them is called {called}")
    for note in (note for note in suite.notes if note not in {fault.told for fault in suite.faults}):
        typer.echo(f"  {note}")
    for fault in suite.faults:
        steps = f" at {len(fault.steps)} steps: {', '.join(map(str, fault.steps))}" if fault.steps else ""
        typer.echo(f"  {fault.what} ({fault.source}){steps}")
