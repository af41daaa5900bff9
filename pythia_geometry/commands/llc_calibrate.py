"""`pythia-geom llc-calibrate`: which settings of the local learning coefficient can be believed at one step."""

from __future__ import annotations

from typing import Annotated

import typer

from pythia_geometry.commands.options import AsJson
from pythia_geometry.errors import EXIT_GAPS, EXIT_OK

Numbers = "Numbers joined by commas."


def calibrate_llc(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="As after --model.")],
    at: Annotated[str, typer.Option("--at", help="The step, or last.")] = "last",
    steps: Annotated[str, typer.Option("--steps", help=f"Step sizes ε to try. {Numbers}")] = "1.6e-6,3.2e-6,6.4e-6",
    localisations: Annotated[str, typer.Option("--localisations", help=f"Pulls γ to try. {Numbers}")] = "100,300,1000",
    draws: Annotated[str, typer.Option("--draws", help=f"Chain lengths to try. {Numbers}")] = "1500,4400",
    llc: Annotated[str, typer.Option("--llc", help="What is not tried, as after --llc of a walk.")] = "",
    loss: Annotated[str, typer.Option("--loss", help="As in a walk: auto, text or probes.")] = "auto",
    text: Annotated[str, typer.Option("--text", help="A text file: its next-token loss is the surface.")] = "",
    as_json: AsJson = False,
    out: Annotated[
        str, typer.Option("--out", "-o", help="Folder of the table and the picture.")
    ] = "runs/llc-calibration",
) -> None:
    """Try settings of the local learning coefficient at one step: a table, a picture, and which to take."""
    from pythia_geometry.commands.llc_trials import Trials, run_trials

    lengths = tuple(map(int, _numbers(draws, whole=True)))
    trials = Trials(model, at, _numbers(steps), _numbers(localisations), lengths, llc, loss, text)
    raise typer.Exit(EXIT_OK if run_trials(trials, out, as_json) else EXIT_GAPS)


def _numbers(text: str, whole: bool = False) -> tuple[float, ...]:
    from pythia_geometry.errors import PythiaGeometryError

    try:
        found = {float(part) for part in text.split(",")}
    except ValueError as error:
        raise PythiaGeometryError(f"{text!r}: expected numbers joined by commas, such as 1e-5,1e-4") from error
    if whole and not all(map(float.is_integer, found)):
        raise PythiaGeometryError(f"--draws {text}: expected whole numbers joined by commas, such as 1500,4400")
    return tuple(sorted(found))
