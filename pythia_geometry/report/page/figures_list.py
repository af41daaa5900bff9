"""The figures of the page that can be chosen in. A later measure adds its panel by a line in `PANELS`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pythia_geometry.measures import ATTENTION, LANDSCAPE, MEASURES, OF_WEIGHTS
from pythia_geometry.report.points import ANSWERS, CHECKPOINT
from pythia_geometry.report.style import MAX_LINES

SHUFFLED = ":shuffled"
LINES, CELLS = "lines", "cells"
_LABELS = {"run": "run", "what": "measure or metric", "site": "layer or head", "task": "task"}


@dataclass(frozen=True)
class Panel:
    """One figure.

    Attributes:
        id: Of the section that it stands in.
        title: Its heading.
        kind: `lines` or `cells`.
        by: What a line is, by fields.
        rows: Which rows it can show.
        many: Fields of which several can be chosen.
        first: Names that are chosen at first where they are there.
        spans: Whether intervals of onset are shaded.
        pairs: Whether a task is chosen together with its shuffled prompts at first.
    """

    id: str
    title: str
    kind: str
    by: tuple[str, ...]
    rows: Callable[[pd.DataFrame], pd.Series[bool]]
    many: tuple[str, ...] = ()
    first: tuple[str, ...] = ("rankme", "accuracy")
    spans: bool = False
    pairs: bool = False


def _of_layers(frame: pd.DataFrame) -> pd.Series[bool]:
    site = frame["site"]
    return (site != ANSWERS) & (site != "model") & ~site.str.contains(" head ") & (frame["task"] != CHECKPOINT)


def _of_group(*groups: str) -> Callable[[pd.DataFrame], pd.Series[bool]]:
    names = {name for name, measure in MEASURES.items() if measure.group in groups}
    return lambda frame: frame["what"].str.partition(" ")[0].isin(names)


def _ranks(frame: pd.DataFrame) -> pd.Series[bool]:
    return _of_layers(frame) & frame["what"].str.startswith("rankme")


def _walked(frame: pd.DataFrame) -> pd.Series[bool]:
    return (frame["site"] == ANSWERS) & frame["source"].isin(["walk", ""])


def _benchmarks(frame: pd.DataFrame) -> pd.Series[bool]:
    return (frame["site"] == ANSWERS) & ~frame["source"].isin(["walk", ""])


def _heads(frame: pd.DataFrame) -> pd.Series[bool]:
    return frame["site"].str.contains(" head ") & _of_group(ATTENTION)(frame)


def _paired(frame: pd.DataFrame) -> pd.Series[bool]:
    """Tasks that are there with their prompts shuffled too (`core/x` and `core:shuffled/x`), and those."""
    tasks = set(frame["task"].unique())
    shuffled = {task for task in tasks if SHUFFLED in task and task.replace(SHUFFLED, "", 1) in tasks}
    pairs = shuffled | {task.replace(SHUFFLED, "", 1) for task in shuffled}
    return frame["task"].isin(pairs) & ~frame["site"].str.contains(" head ")


def _any(frame: pd.DataFrame) -> pd.Series[bool]:
    return pd.Series(True, index=frame.index)


PANELS = (
    Panel("collapse", "RankMe by step, a line a layer", LINES, ("site",), _ranks, ("site",)),
    Panel("maps", "Layer by step", CELLS, ("site",), _of_layers),
    Panel("behaviour", "Behaviour by step, a line a task", LINES, ("model", "task"), _walked, ("task", "run")),
    Panel("together", "Geometry of one task", LINES, ("site",), _of_layers, ("site",), spans=True),
    Panel("together", "Behaviour on one task", LINES, ("what",), _walked, spans=True),
    Panel("companion", "A task and its shuffled prompts", LINES, ("task",), _paired, ("task",), pairs=True),
    Panel("heads", "Head by step", CELLS, ("site",), _heads),
    Panel("landscape", "Loss landscape", LINES, ("model",), _of_group(LANDSCAPE), ("run",)),
    Panel("weights", "Weights", LINES, ("site",), _of_group(OF_WEIGHTS), ("site",)),
    Panel("benchmarks", "Published behaviour", LINES, ("model", "task"), _benchmarks, ("task", "run")),
    Panel("anything", "Any number by step", LINES, ("model", "task", "site"), _any, ("site", "task", "run")),
)


def figure_list(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The figures for which there are rows, as the page reads them."""
    curves = frame[["run", "model", "what", "site", "depth", "task", "source"]].drop_duplicates()
    found = []
    for panel in PANELS:
        rows = curves[panel.rows(curves)]
        if rows.empty:
            continue
        by = [f for f in panel.by if rows[f].nunique() > 1] or [panel.by[-1]]
        about = {"id": panel.id, "title": panel.title, "kind": panel.kind, "by": by, "spans": panel.spans}
        found.append(about | {"choose": _choosers(panel, rows)})
    return found


def _choosers(panel: Panel, rows: pd.DataFrame) -> list[dict[str, Any]]:
    made = []
    start = next((name for name in panel.first if name in set(rows["what"])), str(rows["what"].iloc[0]))
    at_start = rows[rows["what"] == start]
    for field in ("what", "site", "task", "run"):
        if panel.kind == CELLS and field == "site":
            made.append(_chooser(field, True, _ordered(rows, field), _ordered(rows, field)) | {"options": []})
            continue
        options, many = _ordered(rows, field), field in panel.many
        likely = _ordered(at_start, field)
        value = [start] if field == "what" else _spread(likely) if many and field in panel.by else likely[:1]
        if many and field == "run":
            value = likely
        if panel.pairs and field == "task":
            value = [task for task in options if task.replace(SHUFFLED, "", 1) == options[0].replace(SHUFFLED, "", 1)]
        if field == "site" and "final_norm" in likely and field not in panel.by[:1]:
            value = ["final_norm"]
        made.append(_chooser(field, many, options, value))
    return made


def _chooser(field: str, many: bool, options: Sequence[str], value: Sequence[str]) -> dict[str, Any]:
    return {"field": field, "label": _LABELS[field], "many": many, "options": list(options), "value": list(value)}


def _ordered(rows: pd.DataFrame, field: str) -> list[str]:
    ordered = rows.sort_values("depth", kind="stable") if field == "site" else rows
    return [str(name) for name in ordered[field].unique()]


def _spread(names: Sequence[str]) -> list[str]:
    """As many as can be told apart, from the first to the last."""
    picks = np.unique(np.linspace(0, len(names) - 1, min(len(names), MAX_LINES - 1)).round().astype(int))
    return [names[i] for i in picks]
