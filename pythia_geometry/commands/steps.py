"""`pythia-geom steps`: the steps of a model and their published faults."""

from __future__ import annotations

from typing import Annotated

import typer


def list_steps(model: Annotated[str, typer.Argument(help="A model, as after --model.")]) -> None:
    """List the training steps of a model, with the published faults of its checkpoints."""
    from pythia_geometry.suites.named import find_suites
    from pythia_geometry.suites.pythia import parse_name

    run = parse_name(model)
    found = [run.step_of(label) for label in run.labels] if run else find_suites(model)[0].steps()
    typer.echo(f"{run.name if run else model}: {len(found)} steps")
    typer.echo(", ".join(map(str, found)))
    for note in run.notes[:1] if run else find_suites(model)[0].notes:
        typer.echo(f"  {note}")
    for fault in run.faults if run else ():
        steps = f" at {len(fault.steps)} steps: {', '.join(map(str, fault.steps))}" if fault.steps else ""
        typer.echo(f"  {fault.what} ({fault.source}){steps}")
