"""`pythia-geom probes`: the probe sets, or three items of each task of one, with what is probably wrong there."""

from __future__ import annotations

from typing import Annotated

import typer


def list_probes(name: Annotated[str, typer.Argument(help="A selection, as after --probes.")] = "all") -> None:
    """List probe sets and their tasks, or three items of each task of one set or file, with its probable mistakes."""
    from pythia_geometry.extraction.probes.probes import ALGORITHMIC, ALL, CORE, load_probes

    detailed = name not in (ALL, CORE)
    for probe in load_probes((name, ALGORITHMIC) if name == ALL else (name,)):
        typer.echo(
            f"{probe.name:36s} {len(probe.items):4d} rows  chance {probe.chance:.2f}  majority {probe.majority:.2f}"
        )
        for item in probe.items[:3] if detailed else ():
            rest = f"  not {', '.join(map(repr, item.distractors))}" if item.distractors else ""
            typer.echo(f"    {item.prompt!r} → {item.target!r}{rest}")
        for warning in probe.warnings:
            typer.echo(f"    Warning: {warning.text}")
