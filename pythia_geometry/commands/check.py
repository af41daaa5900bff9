"""`pythia-geom check`: whether a run folder is whole."""

from __future__ import annotations

from typing import Annotated

import typer

from pythia_geometry.errors import EXIT_GAPS, EXIT_OK


def check_run(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say whether a run folder is whole, and what the next walk would compute again.

    Verifies every file against its checksum, and changes nothing. Exit code 0: whole; 3: something is damaged or gone,
    and the walk's own command mends it.
    """
    import json
    from dataclasses import asdict

    from pythia_geometry.screens.check import show_health
    from pythia_geometry.screens.console import open_console
    from pythia_geometry.store.checking import check

    health = check(run)
    if as_json:
        typer.echo(json.dumps({**asdict(health), "is_whole": health.is_whole}, indent=1))
    else:
        show_health(open_console(), health)
    raise typer.Exit(EXIT_OK if health.is_whole else EXIT_GAPS)
