"""How the commands that find something end: keep the tables, then show the same rows, or print them as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pythia_geometry.store.results import Result, hash_inputs, keep_result

Tables = Mapping[str, pd.DataFrame]


def deliver(
    tables: Tables,
    settings: Mapping[str, Any],
    inputs: Sequence[str | Path],
    folder: Path,
    show: Callable[[Tables], None] | None,
) -> None:
    """Keeps tables as results of a folder, and shows them.

    Args:
        tables: By name; the first is the command's own.
        settings: What was asked.
        inputs: Files and run folders that were read.
        folder: Where `results/` lies.
        show: Prints the tables for a reader; JSON on standard output where None.

    Raises:
        MachineError: If the folder cannot be written.
    """
    hashes = hash_inputs(inputs)
    results = [Result(name, frame, settings, hashes) for name, frame in tables.items()]
    files = [keep_result(folder, result) for result in results]
    if show is None:
        print_json(results)
        return
    from pythia_geometry.screens.console import open_console

    show(tables)
    open_console().print(
        f"kept  {files[0].parent}/: {', '.join(file.name for file in files)}", style="dim", highlight=False
    )


def print_json(results: Sequence[Result]) -> None:
    """Results as one JSON object on standard output: settings, inputs, version, and the rows of every table."""
    import typer

    first = results[0]
    about = {"settings": dict(first.settings), "inputs": dict(first.inputs), "version": first.version}
    typer.echo(json.dumps(about | {"tables": {result.name: result.rows() for result in results}}, indent=1))
