"""The command `pythia-geom`. Heavy imports happen inside commands: `--help` answers at once."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from pythia_geometry.cli_lab import lab
from pythia_geometry.errors import EXIT_GAPS, EXIT_INTERRUPTED, EXIT_OK, PythiaGeometryError
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

Model = Annotated[
    list[str] | None,
    typer.Option("--model", "-m", help="pythia-SIZE, organisation/name, a folder, or offline. May be repeated."),
]
Seeds = Annotated[str, typer.Option("--seeds", help="Seeds of a Pythia size, such as 1-9 (0: the original run).")]
Steps = Annotated[
    str, typer.Option("--steps", "-s", help="all, log, last, numbers, a-b, a-b:stride, joined by commas.")
]
Probes = Annotated[
    list[str] | None,
    typer.Option("--probes", "-p", help="core, all, a set, set/task, name:shuffled, or a file. [default: the suite's]"),
]
Measures = Annotated[str, typer.Option("--measures", help="Names joined by commas. [default: all]")]
Out = Annotated[str, typer.Option("--out", "-o", help="Run folder, continued if it exists. [default: runs/MODEL]")]
Position = Annotated[str, typer.Option("--position", help="Where activations are read: last prompt token, or mean.")]
Dtype = Annotated[str, typer.Option("--dtype", help="Forward precision: float32, bfloat16 or float16.")]
Device = Annotated[
    str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, or several: cuda:0,cuda:1 or cuda:all.")
]
Threads = Annotated[int, typer.Option("--threads", help="CPU threads of a forward pass; 0 chooses.")]
Batch = Annotated[int, typer.Option("--batch", help="Sequences a forward pass.")]
Duplicates = Annotated[
    str, typer.Option("--duplicates", help="Steps that hold another step's weights: refuse or keep.")
]
Format = Annotated[
    str, typer.Option("--format", help="Weight files: safetensors, bin, or auto (bin where only it can be trusted).")
]
Activations = Annotated[str, typer.Option("--activations", help="Pooled activations: keep or none.")]
Disk = Annotated[
    str, typer.Option("--disk", help="Most disk space for downloaded weights, such as 20GB. [default: two checkpoints]")
]
ShardOption = Annotated[
    str, typer.Option("--shard", help="Walk one share of the checkpoints, such as 1/4; then once without --shard.")
]
Executor = Annotated[str, typer.Option("--executor", help="local, or ray: forward passes on a Ray cluster.")]
Fetch = Annotated[
    str, typer.Option("--fetch", help="files, or ranges: geometry only, less to download, nothing on the disk.")
]
Offline = Annotated[bool, typer.Option("--offline", help="Ask no network: walk what the Hub cache holds.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be downloaded, written and computed; stop.")]
Version = Annotated[bool, typer.Option("--version", help="Print the version.")]

app.add_typer(lab, name="lab")


@app.callback(invoke_without_command=True)
def walk(
    context: typer.Context,
    model: Model = None,
    seeds: Seeds = "",
    steps: Steps = "all",
    probes: Probes = None,
    measures: Measures = "",
    out: Out = "",
    position: Position = "last",
    dtype: Dtype = "float32",
    device: Device = "auto",
    threads: Threads = 0,
    batch: Batch = 128,
    duplicates: Duplicates = "refuse",
    weight_format: Format = "auto",
    activations: Activations = "keep",
    disk: Disk = "",
    shard: ShardOption = "",
    executor: Executor = "local",
    fetch: Fetch = "files",
    offline: Offline = False,
    dry_run: DryRun = False,
    version: Version = False,
) -> None:
    """Walks the chosen checkpoints (see the app's own help)."""
    if version:
        from importlib.metadata import version as installed

        typer.echo(installed("pythia-geometry"))
        raise typer.Exit(EXIT_OK)
    if context.invoked_subcommand is not None:
        return
    if offline:  # the Hub client and its relatives read this when they are imported: not yet
        os.environ["HF_HUB_OFFLINE"] = "1"
    from pythia_geometry.runs.request import Request
    from pythia_geometry.session import run_session, run_shard
    from pythia_geometry.suites.named import OFFLINE, parse_seeds

    request = Request(
        models=tuple(model or (OFFLINE,)),
        seeds=tuple(parse_seeds(seeds)) if seeds else (),
        steps=steps,
        probes=tuple(name for given in probes or () for name in given.split(",")),
        measures=tuple(name.strip() for name in measures.split(",") if name.strip()),
        position=position,
        dtype=dtype,
        device=device,
        threads=threads,
        batch=batch,
        duplicates=duplicates,
        weight_format=weight_format,
        activations=activations,
        disk=disk,
        executor=executor,
        fetch=fetch,
    )
    has_gaps = run_shard(request, out, shard, dry_run) if shard else run_session(request, out, dry_run)
    raise typer.Exit(EXIT_GAPS if has_gaps else EXIT_OK)


@app.command("steps")
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


@app.command("doctor")
def doctor(
    model: Annotated[str, typer.Argument(help="A model, as after --model.")],
    deep: Annotated[bool, typer.Option("--deep", help="Also read half a megabyte of every step's embedding.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    out: Annotated[str, typer.Option("--out", "-o", help="Folder of the picture. [default: doctor/MODEL]")] = "",
) -> None:
    """Say which steps of a model can be trusted, before a weight is downloaded.

    Lists every branch with its commit and the sha256 of its weight files, and draws a timeline. Exit code 0: every
    step can be trusted; 3: some are missing, wrong or suspect.
    """
    from pythia_geometry.diagnosis import run_diagnosis

    raise typer.Exit(EXIT_OK if run_diagnosis(model, deep, as_json, out) else EXIT_GAPS)


@app.command("probes")
def list_probes(name: Annotated[str, typer.Argument(help="A selection, as after --probes.")] = "all") -> None:
    """List probe sets and their tasks, or show three items of each task of one set."""
    from pythia_geometry.extraction.probes import ALGORITHMIC, ALL, CORE, load_probes

    detailed = name not in (ALL, CORE)
    for probe in load_probes((name, ALGORITHMIC) if name == ALL else (name,)):
        typer.echo(
            f"{probe.name:36s} {len(probe.items):4d} rows  chance {probe.chance:.2f}  majority {probe.majority:.2f}"
        )
        for item in probe.items[:3] if detailed else ():
            rest = f"  not {', '.join(map(repr, item.distractors))}" if item.distractors else ""
            typer.echo(f"    {item.prompt!r} → {item.target!r}{rest}")


Runs = Annotated[
    list[str], typer.Argument(metavar="RUN…", help="Run folders, or CSV or Parquet files of geometry and behaviour.")
]
Continuous = Annotated[
    str, typer.Option("--continuous", help="Behaviour metric of the second leg: log_prob or margin.")
]
Draws = Annotated[int, typer.Option("--draws", min=1, help="Made-up geometries a lead.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of draws, permutations and bootstraps.")]


@app.command("power")
def show_power(runs: Runs, continuous: Continuous = "log_prob", draws: Draws = 100, seed: Seed = 0) -> None:
    """Say whether these tasks could show a precursor at all. Reads behaviour only."""
    from pythia_geometry.analysis.power import power
    from pythia_geometry.analysis.tidy_tables import Question, read_tables
    from pythia_geometry.screens import precursors as screen
    from pythia_geometry.screens.console import open_console

    _, behaviour = read_tables(runs)
    found = power(behaviour, Question(continuous=continuous), draws, seed)
    screen.show_power(open_console(), found, continuous)


@app.command("precursors")
def judge_precursors(
    runs: Runs,
    measure: Annotated[str, typer.Option("--measure", help="Geometry; its logarithm is used.")] = "rankme_centred",
    position: Position = "last",
    continuous: Continuous = "log_prob",
    draws: Draws = 100,
    seed: Seed = 0,
) -> None:
    """Test whether geometry leads behaviour, task by task, all runs together."""
    from pythia_geometry.analysis.precursor_rates import families, precursor_rates, task_ranks
    from pythia_geometry.analysis.precursors import layer_scan, precursors
    from pythia_geometry.analysis.tidy_tables import Question, read_tables
    from pythia_geometry.screens import precursors as screen
    from pythia_geometry.screens.console import open_console

    geometry, behaviour = read_tables(runs)
    question, console = Question(measure, position, continuous), open_console()
    verdict = precursors(geometry, behaviour, question, draws, seed)
    screen.show_power(console, verdict.power, continuous)
    screen.show_verdict(console, verdict)
    if verdict.legs:
        tested = verdict.power.screening.runs
        found = families(geometry, tested, question)
        screen.show_rates(console, precursor_rates(found, seed), task_ranks(found))
        screen.show_layers(console, layer_scan(geometry, tested, question, seed))


@app.command("calibrate")
def calibrate_tests(
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN…]", help="Use the steps and tasks of these.")
    ] = None,
    draws: Annotated[int, typer.Option("--draws", min=1, help="Made-up runs a world, in fifties.")] = 200,
    seed: Seed = 0,
    out: Annotated[str, typer.Option("--out", "-o", help="Folder of finished chunks, continued.")] = "runs/calibration",
) -> None:
    """Print how often each test calls a lead in made-up worlds where the truth is known."""
    from pythia_geometry.analysis.calibration import calibrate, run_designs
    from pythia_geometry.analysis.screening import screen_tasks
    from pythia_geometry.analysis.tidy_tables import read_tables
    from pythia_geometry.screens import precursors as screen
    from pythia_geometry.screens.console import open_console

    designs = run_designs(screen_tasks(read_tables(runs)[1])) if runs else None
    console = open_console()
    with console.status("") as status:
        table = calibrate(designs, draws=draws, seed=seed, folder=out, notify=status.update)
    screen.show_calibration(console, table)


@app.command("compare")
def compare_claims(
    runs: Annotated[list[str] | None, typer.Argument(metavar="[RUN…]", help="Run folders.")] = None,
    reference: Annotated[str, typer.Option("--reference", help="lab: the results that ship. none: without.")] = "lab",
    out: Annotated[str, typer.Option("--out", "-o", help="Folder of the table and its rows.")] = "runs/claims",
) -> None:
    """Judge the paper's claims C1 to C12: what the paper says, what the lab says, what each run says."""
    from pythia_geometry.comparison import compare

    compare(runs or [], reference, out)


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
