"""`pythia-geom --model …`: the walk's options. Heavy imports happen inside: `--help` answers at once."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from pythia_geometry.commands.options import Pattern, Position, Stage
from pythia_geometry.errors import EXIT_GAPS, EXIT_OK

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


def walk(
    context: typer.Context,
    model: Model = None,
    seeds: Seeds = "",
    steps: Steps = "all",
    stage: Stage = "",
    pattern: Pattern = "",
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
    from pythia_geometry.commands.walk_session import run_session, run_shard
    from pythia_geometry.runs.request import Request
    from pythia_geometry.suites.named import OFFLINE, parse_seeds

    request = Request(
        models=tuple(model or (OFFLINE,)),
        seeds=tuple(parse_seeds(seeds)) if seeds else (),
        steps=steps,
        stage=stage,
        pattern=pattern,
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
