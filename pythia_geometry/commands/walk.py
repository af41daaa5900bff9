"""`pythia-geom --model …`: the walk's options. Heavy imports happen inside: `--help` answers at once."""

from __future__ import annotations

import os
from functools import partial
from typing import Annotated

import typer

from pythia_geometry.commands.options import PATTERN_HELP, STAGE_HELP
from pythia_geometry.errors import EXIT_GAPS, EXIT_OK, PythiaGeometryError

WALK, MEASURE, RUNS, KEPT = (
    partial(typer.Option, rich_help_panel=group)
    for group in ("What to walk", "What to measure", "Where it runs", "What is kept")
)
"""Options by group, as `--help` shows them."""

Model = Annotated[
    list[str] | None,
    WALK("--model", "-m", help="pythia-SIZE, organisation/name, a folder, offline or language. Repeatable."),
]
From = Annotated[
    str, WALK("--from", help="Repeat the walks of a run folder, or of its manifest.json alone, in a new run folder.")
]
Seeds = Annotated[str, WALK("--seeds", help="Seeds of a model: 3, 1-9, 0,3,5 or all (0: the original run).")]
Steps = Annotated[str, WALK("--steps", "-s", help="all, log, last, numbers, a-b, a-b:stride, joined by commas.")]
Stage = Annotated[str, WALK("--stage", help=STAGE_HELP)]
Pattern = Annotated[str, WALK("--pattern", help=PATTERN_HELP)]
Duplicates = Annotated[str, WALK("--duplicates", help="Steps that hold another step's weights: refuse or keep.")]
Format = Annotated[
    str, WALK("--format", help="Weight files: safetensors, bin, or auto (bin where only it can be trusted).")
]
Offline = Annotated[bool, WALK("--offline", help="Ask no network: walk what the Hub cache holds.")]
DryRun = Annotated[bool, WALK("--dry-run", help="Say what would be downloaded, written and computed; stop.")]

Probes = Annotated[
    list[str] | None,
    MEASURE(
        "--probes",
        "-p",
        help="core, all, a set, set/task, name:shuffled, a file, text, lm-eval:TASK. [default: the suite's]",
    ),
]
Fewshot = Annotated[
    int,
    MEASURE("--fewshot", help="lm-eval: examples before each question. [default: the task's own]", show_default=False),
]
Limit = Annotated[int, MEASURE("--limit", help="lm-eval: at most so many items a task; 0 for all.")]
Include = Annotated[str, MEASURE("--include", help="lm-eval: a folder of task definitions of your own.")]
Contexts = Annotated[str, MEASURE("--contexts", help="lm-eval: a context runs once for all its choices, or anew.")]
Measures = Annotated[
    str,
    MEASURE(
        "--measures",
        help="Names or groups: representation (default), attention, causal, read-out, landscape, weights, all.",
    ),
]
Loss = Annotated[
    str, MEASURE("--loss", help="Of which loss a surface is: auto (the suite's mixture, or --text), or probes.")
]
Text = Annotated[
    str, MEASURE("--text", help="A text file or dataset: surface of its next-token loss, --probes text, n-grams.")
]
Llc = Annotated[str, MEASURE("--llc", help="Settings of the LLC: step=1e-5,n_beta=100,localisation=100 …")]
At = Annotated[str, MEASURE("--at", help="Steps at which dear measures are taken, as after --steps.")]
Search = Annotated[
    str, WALK("--search", help="bisect: find when each task emerges from few checkpoints; assumes one rise.")
]
Position = Annotated[str, MEASURE("--position", help="Where activations are read: last prompt token, or mean.")]
Dtype = Annotated[str, MEASURE("--dtype", help="Forward precision: float32, bfloat16 or float16.")]

Device = Annotated[str, RUNS("--device", help="auto, cpu, cuda, cuda:1, or several: cuda:0,cuda:1 or cuda:all.")]
Threads = Annotated[int, RUNS("--threads", help="CPU threads of a forward pass; 0 chooses.")]
Batch = Annotated[int, RUNS("--batch", help="Sequences a forward pass.")]
ShardOption = Annotated[
    str, RUNS("--shard", help="Walk one share of the checkpoints, such as 1/4; then once without --shard.")
]
Executor = Annotated[str, RUNS("--executor", help="local, or ray: forward passes on a Ray cluster.")]
Fetch = Annotated[str, RUNS("--fetch", help="files, or ranges: geometry only, less to download, nothing on the disk.")]

Out = Annotated[str, KEPT("--out", "-o", help="Run folder, continued if it exists. [default: runs/MODEL]")]
Activations = Annotated[str, KEPT("--activations", help="Pooled activations: keep or none.")]
KeepWeights = Annotated[
    bool, KEPT("--keep-weights", help="Keep downloaded weights in the Hub cache for the next walk.")
]
Disk = Annotated[
    str, KEPT("--disk", help="Most disk space for downloaded weights, such as 20GB. [default: two checkpoints]")
]
Version = Annotated[bool, typer.Option("--version", help="Print the version.")]


def walk(
    context: typer.Context,
    model: Model = None,
    seeds: Seeds = "",
    steps: Steps = "all",
    stage: Stage = "",
    pattern: Pattern = "",
    search: Search = "",
    probes: Probes = None,
    fewshot: Fewshot = -1,
    limit: Limit = 0,
    include: Include = "",
    contexts: Contexts = "once",
    measures: Measures = "",
    loss: Loss = "auto",
    text: Text = "",
    llc: Llc = "",
    at: At = "",
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
    keep_weights: KeepWeights = False,
    shard: ShardOption = "",
    executor: Executor = "local",
    fetch: Fetch = "files",
    offline: Offline = False,
    dry_run: DryRun = False,
    version: Version = False,
    repeated: From = "",
) -> None:
    """Walks the chosen checkpoints (see the app's own help)."""
    if version:
        from importlib.metadata import version as installed

        typer.echo(installed("pythia-geometry"))
        raise typer.Exit(EXIT_OK)
    if context.invoked_subcommand is not None:
        return
    if repeated:
        _refuse_beside_from(context)
    if offline:  # the Hub client and its relatives read this when they are imported: not yet
        os.environ["HF_HUB_OFFLINE"] = "1"
    from pythia_geometry.commands.walk_session import run_search, run_session, run_shard
    from pythia_geometry.extraction.probes.benchmark_items import HarnessOptions
    from pythia_geometry.runs.request import Request
    from pythia_geometry.suites.named import OFFLINE

    request = Request(
        models=tuple(model or (OFFLINE,)),
        seeds=_seeds(seeds),
        steps=steps,
        stage=stage,
        pattern=pattern,
        probes=tuple(name for given in probes or () for name in given.split(",")),
        measures=tuple(name.strip() for name in measures.split(",") if name.strip()),
        loss=loss,
        text=text,
        llc=llc,
        at=at,
        position=position,
        dtype=dtype,
        device=device,
        threads=threads,
        batch=batch,
        duplicates=duplicates,
        weight_format=weight_format,
        activations=activations,
        disk=disk,
        keep_weights=keep_weights,
        executor=executor,
        fetch=fetch,
        harness=HarnessOptions(None if fewshot == -1 else fewshot, limit, include),
        contexts=contexts,
    )
    if repeated:
        from pythia_geometry.commands.repeating import repeat

        has_gaps = repeat(repeated, request, out, dry_run)
    elif search:
        has_gaps = run_search(request, out, search, shard, dry_run)
    else:
        has_gaps = run_shard(request, out, shard, dry_run) if shard else run_session(request, out, dry_run)
    raise typer.Exit(EXIT_GAPS if has_gaps else EXIT_OK)


BESIDE_FROM = {"repeated", "out", "device", "executor", "disk", "keep_weights", "include", "offline", "dry_run"}
"""What may be typed beside `--from`: where to run and to write. All else is the manifest's."""


def _refuse_beside_from(context: typer.Context) -> None:
    source = context.get_parameter_source
    typed = [p for p in context.command.params if p.name and getattr(source(p.name), "name", "") == "COMMANDLINE"]
    for option in typed:
        if option.name not in BESIDE_FROM:
            raise PythiaGeometryError(
                f"--from repeats a walk as its manifest says, and {option.opts[0]} says something else. Leave out one "
                "of them"
            )


def _seeds(text: str) -> tuple[int, ...] | str:
    from pythia_geometry.suites.named import parse_seeds

    found = parse_seeds(text) if text else ()
    return found if isinstance(found, str) else tuple(found)
