"""The command `pythia-geom`: puts the commands together."""

from __future__ import annotations

import sys

import typer

from pythia_geometry.commands.against import compare_against
from pythia_geometry.commands.calibrate import calibrate_tests
from pythia_geometry.commands.check import check_run
from pythia_geometry.commands.compare import compare_claims
from pythia_geometry.commands.doctor import doctor
from pythia_geometry.commands.export import export_run
from pythia_geometry.commands.lab import lab
from pythia_geometry.commands.llc_calibrate import calibrate_llc
from pythia_geometry.commands.plot import plot
from pythia_geometry.commands.power import show_power
from pythia_geometry.commands.precursors import judge_precursors
from pythia_geometry.commands.probes import list_probes
from pythia_geometry.commands.replicate import replicate
from pythia_geometry.commands.report import write_report
from pythia_geometry.commands.steps import list_steps
from pythia_geometry.commands.walk import walk
from pythia_geometry.errors import EXIT_INTERRUPTED, PythiaGeometryError
from pythia_geometry.stopping import exit_code, stop_on_sigterm

STOPPED = "\nStopped. What was finished is kept: type the same command to continue."

app = typer.Typer(
    add_completion=False,
    no_args_is_help=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="""Walk the training checkpoints of a model: geometry of every layer and behaviour on every probe.

Without arguments it walks the small trained suite that ships, offline, in about a minute and a half.

Examples: `pythia-geom` · `pythia-geom --model pythia-160m --steps log` ·
`pythia-geom --model ./my-suite --probes my-probes.jsonl --steps 0,1000-10000:1000,last`

Exit codes: 0 done, 2 something to mend in what was typed, 3 done with gaps, 4 network or disk,
130 Ctrl-C, 143 SIGTERM.""",
)

app.callback(invoke_without_command=True)(walk)
app.add_typer(lab, name="lab")
app.command("steps")(list_steps)
app.command("doctor")(doctor)
app.command("check")(check_run)
app.command("probes")(list_probes)
app.command("power")(show_power)
app.command("precursors")(judge_precursors)
app.command("calibrate")(calibrate_tests)
app.command("llc-calibrate")(calibrate_llc)
app.command("compare")(compare_claims)
app.command("replicate")(replicate)
app.command("export")(export_run)
app.command("against")(compare_against)
app.command("report")(write_report)
app.command("plot")(plot)


def main() -> None:
    """Entry point: user errors become one message and an exit code."""
    stop_on_sigterm()
    try:
        app()
    except PythiaGeometryError as error:
        typer.echo(f"pythia-geom: {error}", err=True)
        sys.exit(error.exit_code)
    except SystemExit as stop:  # typer has already turned Ctrl-C into this
        if stop.code == EXIT_INTERRUPTED:
            typer.echo(STOPPED, err=True)
            sys.exit(exit_code())
        raise
    except KeyboardInterrupt:
        typer.echo(STOPPED, err=True)
        sys.exit(exit_code())


if __name__ == "__main__":
    main()
