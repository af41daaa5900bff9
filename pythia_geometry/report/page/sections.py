"""The sections of the page: what stands in each besides its figures, which is rows of tables and of kept results."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pythia_geometry.report import charts
from pythia_geometry.report.methods import methods
from pythia_geometry.report.page.html_parts import command, folded, paragraph, result_table, table, text
from pythia_geometry.report.page.inputs import Source
from pythia_geometry.report.style import WIDTHS
from pythia_geometry.suites.checkpoint import OK, run_name

_CLAIMS = ("id", "claim", "source", "says", "evidence", "verdict", "value", "statistic", "decides")
_FLOORS = "RankMe after the final norm: first step and floor"
_LAG = "Task-matched lag with its 90 % interval"


@dataclass(frozen=True)
class Section:
    """One section: its id, its title, and HTML that stands before its figures."""

    id: str
    title: str
    content: str


def sections(sources: Sequence[Source], drawn: Set[str]) -> list[Section]:
    """The sections in order.

    Args:
        sources: What was read.
        drawn: Ids of sections that have a figure.
    """
    made = [Section("front", "What was run", _front(sources)), Section("trust", "What can be trusted", _trust(sources))]
    made.append(Section("found", "What was found", _found(sources)))
    made += [Section(name, title, _kept(sources, name, again)) for name, title, again in _RESULTS]
    made += [Section(name, title, paragraph(words, "note")) for name, title, words in _FIGURES if name in drawn]
    absent = [f"{title}: {how}" for name, title, how in _ABSENT if name not in drawn]
    made.append(Section("floors", "Floors", _floors(sources)))
    made.append(Section("methods", "Methods, to paste into a paper", _methods(sources)))
    made.append(Section("next", "What to type next", _next(sources, absent)))
    return made


_RESULTS = (
    ("claims", "The published claims", "compare"),
    ("precursors", "Does geometry move first?", "precursors"),
    ("power", "Could these tasks show it?", "power"),
    ("calibrate", "How often the tests are wrong", "calibrate"),
)
_FIGURES = (
    ("collapse", "Collapse",
        "RankMe counts the directions that a cloud of activations fills; uncentred, centred and row-normalised answer "
        "different questions. It cannot exceed the number of prompts."),
    ("maps", "Layers", "One column a step, the embedding below. Colours span the values shown."),
    ("behaviour", "Behaviour", "Bands are one standard error over prompts; dotted lines are chance."),
    ("together", "Geometry and behaviour of one task",
        "Shaded: the interval of steps in which accuracy left its baseline for good, as summary.csv says. Two "
        "events in order do not show that one foretells the other."),
    ("heads", "Heads", "One row a head."),
    ("landscape", "Loss landscape", "Hollow points carry a reason: read it before believing them."),
    ("weights", "Weights", "Of the tensors themselves; no prompt is involved."),
    ("benchmarks", "Published behaviour", "Behaviour that came from elsewhere, with its source in the name."),
    ("anything", "Anything by step", "Any measure at any layer or head, for any task and run."),
)  # fmt: skip
_ABSENT = (
    ("behaviour", "Behaviour", "walk without --fetch ranges"),
    ("heads", "Heads", "walk with --measures attention"),
    ("landscape", "Loss landscape", "walk with --measures landscape"),
)


def fixed_charts(sources: Sequence[Source]) -> list[dict[str, Any]]:
    """Charts without choosers, of results and of summary.csv: section, title, specification."""
    made = []
    legs = _frames(sources, "precursors-legs")
    if len(legs):
        made.append({"id": "precursors", "title": _LAG, "spec": charts.lag(legs, WIDTHS["page"]).to_dict()})
    summary = _summaries(sources)
    if len(summary) and summary["floor"].notna().any():
        made.append({"id": "floors", "title": _FLOORS, "spec": charts.floors(summary, WIDTHS["page"]).to_dict()})
    return made


def shaded(sources: Sequence[Source]) -> list[dict[str, Any]]:
    """Intervals in which accuracy rose, from summary.csv."""
    found = []
    for source in sources:
        for row in _summary(source).itertuples():
            ends = str(row.rose).split(" – ")
            if len(ends) == 2 and all(end.isdigit() for end in ends):
                run = source.label + run_name(str(row.model), int(str(row.seed)))
                about = {"run": run, "task": f"{row.probe}/{row.task}"}
                found.append(about | {"from": int(ends[0]), "to": int(ends[1]), "label": "accuracy rose"})
    return found


def _front(sources: Sequence[Source]) -> str:
    rows = []
    for source in sources:
        for (model, seed), steps in source.tables.checkpoints.groupby(["model", "seed"], sort=False):
            geometry = source.tables.geometry
            mine = geometry[(geometry["model"] == model) & (geometry["seed"] == seed)]
            row = {"run": source.label + run_name(str(model), int(str(seed))), "suite": steps["suite"].iloc[0]}
            row |= {"checkpoints": len(steps), "first step": int(steps["step"].min())}
            row |= {"last step": int(steps["step"].max()), "tokens at last step": steps["tokens"].max()}
            row |= {"tasks": len(mine[["probe", "task"]].drop_duplicates())}
            row |= {name: ", ".join(mine[name].dropna().unique()) for name in ("measure", "precision")}
            rows.append(row | {"folder": source.path.name})
    return table(pd.DataFrame(rows), "runs")


def _trust(sources: Sequence[Source]) -> str:
    parts = []
    for source in sources:
        steps = source.tables.checkpoints
        bad = steps[steps["status"] != OK]
        counts = ", ".join(f"{n} {status}" for status, n in steps["status"].value_counts().items())
        parts.append(paragraph(f"{source.path.name}: {len(steps)} checkpoints: {counts}."))
        if len(bad):
            parts.append(table(bad[["model", "seed", "step", "status", "detail"]], "checkpoints that are not ok"))
        for frame, name in ((source.tables.geometry, "geometry"), (source.tables.behaviour, "behaviour")):
            missing = int(frame["value"].isna().sum())
            warned = int((frame["value"].notna() & (frame["reason"].fillna("") != "")).sum())
            said = f"{missing:,} could not be computed and {warned:,} carry a warning, each with its reason."
            parts.append(paragraph(f"{name}: {len(frame):,} rows; {said}"))
        parts += [paragraph(why, "note") for why in source.refused]
    return "".join(parts) + _kept(sources, "doctor", "doctor")


def _found(sources: Sequence[Source]) -> str:
    """Three sentences: claims, precursors, power; each says what is missing."""
    said = []
    verdicts = _frames(sources, "precursors")
    for row in verdicts.to_dict("records"):
        said.append(f"{row['model']}, {row['measure']}: {row['verdict']}. {row['reasons']}.")
    claims = _frames(sources, "claims")
    for evidence, rows in claims.groupby("evidence", sort=False) if len(claims) else []:
        counts = ", ".join(f"{n} {word}" for word, n in rows["verdict"].value_counts().items())
        said.append(f"Of the published claims, {evidence} says: {counts}.")
    asked = (("whether geometry leads behaviour", verdicts), ("the published claims", claims))
    lacking = [what for what, frame in asked if frame.empty]
    if lacking:
        said.append(f"Not tested yet: {' and '.join(lacking)}. What the curves show until then is description.")
    return "".join(map(paragraph, said))


def _kept(sources: Sequence[Source], name: str, again: str) -> str:
    held = [(s, r) for s in sources for n, r in s.results.items() if n == name or n.startswith(f"{name}-")]
    if not held:
        where = "MODEL --out " + str(sources[0].path) if again == "doctor" else " ".join(str(s.path) for s in sources)
        keep = f" --out {sources[0].path}" if again in ("compare", "calibrate") else ""
        return f"<p>Not computed for these runs. Type: {command(f'pythia-geom {again} {where}{keep}')}</p>"
    parts = []
    for source, result in held:
        shown = result_table(result, source.path.name, _CLAIMS if name == "claims" else ())
        parts.append(shown if result.name == name else folded(result.name, shown))
    return "".join(parts)


def _floors(sources: Sequence[Source]) -> str:
    summary = _summaries(sources)
    if summary.empty:
        return paragraph("There is no summary.csv: the walk's command writes it when it ends. Type it again.")
    return folded("summary.csv", table(summary, "summary"))


def _methods(sources: Sequence[Source]) -> str:
    said = [
        (s.path.name, "".join(map(paragraph, methods(s.manifest, s.tables.checkpoints, s.results)))) for s in sources
    ]
    return said[0][1] if len(said) == 1 else "".join(folded(name, content) for name, content in said)


def _next(sources: Sequence[Source], absent: Sequence[str]) -> str:
    runs = " ".join(str(s.path) for s in sources)
    typed = (
        (f"pythia-geom precursors {runs}", "tests whether geometry leads behaviour, task by task"),
        (f"pythia-geom compare {runs} --out {sources[0].path}", "judges the published claims"),
        (f"pythia-geom plot {runs} --what curves -o figure.pdf", "draws a figure for a paper"),
        (f"pythia-geom report {runs}", "writes this page anew, with what was found since"),
    )
    items = "".join(f"<li>{command(words)} {text(what)}</li>" for words, what in typed)
    return f"<ul>{items}</ul>" + "".join(paragraph(f"Not on this page. {what}", "note") for what in absent)


def _frames(sources: Sequence[Source], name: str) -> pd.DataFrame:
    found = [s.results[name].frame for s in sources if name in s.results]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def _summaries(sources: Sequence[Source]) -> pd.DataFrame:
    return pd.concat([_summary(source) for source in sources], ignore_index=True)


def _summary(source: Source) -> pd.DataFrame:
    file = source.path / "summary.csv"
    if not file.is_file():
        return pd.DataFrame(columns=["model", "seed", "probe", "task", "start", "floor", "floor_step", "rose"])
    words = {"model": str, "probe": str, "task": str, "rose": str}
    numbers = ("start", "floor", "floor_step", "recovered", "recovery_step", "accuracy")
    return pd.read_csv(file, dtype=words, keep_default_na=False, na_values=dict.fromkeys(numbers, ""))
