"""`pythia-geom doctor`: which steps can be trusted."""

from __future__ import annotations

from typing import Annotated

import typer

from pythia_geometry.commands.options import Pattern, Stage
from pythia_geometry.errors import EXIT_GAPS, EXIT_OK


def doctor(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL…", help="Models, as after --model; several are compared too.")
    ],
    stage: Stage = "",
    pattern: Pattern = "",
    deep: Annotated[bool, typer.Option("--deep", help="Also read half a megabyte of every step's embedding.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    out: Annotated[
        str, typer.Option("--out", "-o", help="Folder of the picture and the table. [default: doctor/MODEL]")
    ] = "",
) -> None:
    """Say which steps of a model can be trusted, before a weight is downloaded.

    Lists every branch with its commit and the sha256 of its weight files, and draws a timeline. Exit code 0: every
    step can be trusted; 3: some are missing, wrong or suspect.
    """
    from pythia_geometry.commands.diagnosis import run_diagnosis
    from pythia_geometry.suites.steps.numbering import Naming

    naming = Naming(stage, pattern)
    raise typer.Exit(EXIT_OK if run_diagnosis(models, naming, deep, as_json, out) else EXIT_GAPS)
