"""What a replication costs, and its answer beside the lab's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from rich.console import Console

from pythia_geometry.runs.cost import GPU, GPU_THREADS, NETWORK, Cost
from pythia_geometry.screens.table import show_table
from pythia_geometry.screens.walk import as_bytes, as_seconds

COLUMNS = ("run", "steps asked", "served right", "to do", "download", "disk at one time", "hours here", "on one GPU")


def show_costs(console: Console, costs: Sequence[Cost], flops_per_second: float, device: str) -> None:
    """One row a run and their sum: steps, bytes, disk and hours."""
    here = 1 if device == "cpu" else GPU_THREADS
    times = [(cost.seconds(flops_per_second, here), cost.seconds(GPU, GPU_THREADS)) for cost in costs]
    rows = [
        [
            c.run,
            *(f"{n:,}" for n in (c.asked, c.usable, c.todo)),
            as_bytes(c.download),
            as_bytes(c.disk),
            *map(as_seconds, t),
        ]
        for c, t in zip(costs, times, strict=True)
    ]
    counts = (sum(getattr(c, name) for c in costs) for name in ("asked", "usable", "todo"))
    total = [as_bytes(sum(c.download for c in costs)), as_bytes(max(c.disk for c in costs))]
    total += [as_seconds(sum(one)) for one in zip(*times, strict=True)]
    show_table(console, COLUMNS, [*rows, ["all", *(f"{n:,}" for n in counts), *total]], "What it takes", left=("run",))
    console.print(
        f"Hours are lower bounds: the longer of the download at {NETWORK / 1e6:.0f} MB/s and of matrix products with "
        f"measures. Here: {flops_per_second / 1e9:.0f} GFLOP/s, measured, on {device}. One GPU: {GPU / 1e12:.0f} "
        "TFLOP/s, half of an A100's best in float32; arithmetic, not measured. One model is walked "
        "after the other, so that the disk holds one model's weights. Tables come on top.",
        style="dim", highlight=False, markup=False,
    )  # fmt: skip


def show_answer(console: Console, table: pd.DataFrame) -> None:
    """One row a claim: the paper, the lab, Pythia, and whether the last two are the same."""
    rows = [
        [
            f"{row['id']} {row['claim']}",
            row["synthetic"],
            _effect(row, "synthetic"),
            row["run"],
            _effect(row, "run"),
            row["word"],
        ]
        for row in table.to_dict("records")
    ]
    columns = ("claim", "lab says", "lab's number (90 %)", "Pythia says", "Pythia's number (90 %)", "the two are")
    show_table(console, columns, rows, "Synthetic and Pythia side by side", left=columns)


def _effect(row: Any, side: str) -> str:
    value, low, high = (row[f"{side}_{part}"] for part in ("value", "low", "high"))
    if pd.isna(value):
        return "–"
    runs = "" if pd.isna(row[f"{side}_runs"]) else f", {row[f'{side}_runs']:.0f} runs"
    return f"{value:+.2f} ({low:+.2f} to {high:+.2f}){runs}"
