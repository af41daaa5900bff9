"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Runs = Annotated[
    list[str], typer.Argument(metavar="RUN…", help="Run folders, or CSV or Parquet files of geometry and behaviour.")
]
Continuous = Annotated[
    str, typer.Option("--continuous", help="Behaviour metric of the second leg: log_prob or margin.")
]
Draws = Annotated[int, typer.Option("--draws", min=1, help="Made-up geometries a lead.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of draws, permutations and bootstraps.")]

Position = Annotated[str, typer.Option("--position", help="Where activations are read: last prompt token, or mean.")]

STAGE_HELP = "Stage of training, where each begins again, such as stage2. [default: the first]"
PATTERN_HELP = r"How branches, tags or folders name steps, such as `run-(?P<step>\d+)`."
Stage = Annotated[str, typer.Option("--stage", help=STAGE_HELP)]
Pattern = Annotated[str, typer.Option("--pattern", help=PATTERN_HELP)]
AsJson = Annotated[bool, typer.Option("--json", help="Print the tables as JSON.")]
Out = Annotated[
    str, typer.Option("--out", "-o", help="Folder that keeps the tables, in results/. [default: the first run folder]")
]
Tasks = Annotated[
    str, typer.Option("--tasks", help="Tasks to test: hardest (one of each family), all, or names with commas.")
]
Behaviour = Annotated[
    str,
    typer.Option(
        "--behaviour",
        metavar="published|FILE",
        help="Curves of lm-eval's tasks as others scored them, not the walk: published, a results file, a folder.",
    ),
]
