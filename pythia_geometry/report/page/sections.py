"""The sections of the page: what stands in each besides its figures, which is rows of tables and of kept results."""

from __future__ import annotations

import shlex
from collections.abc import Sequence, Set
from dataclasses import dataclass

from pythia_geometry.report.methods import methods
from pythia_geometry.report.page.claims import claims_table
from pythia_geometry.report.page.front import costs, in_short, trusted, what_was_run
from pythia_geometry.report.page.html_parts import command, folded, paragraph, result_table, table, text
from pythia_geometry.report.page.inputs import Source, frames, summaries

_VERDICT = (
    "model", "measure", "verdict", "reasons", "lag", "lower", "upper", "p_holm", "power", "bend", "own_strength",
    "companion_p", "kept", "n_tasks", "n_families", "n_runs",
)  # fmt: skip


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
    made = [Section("front", "In short", in_short(sources)), Section("run", "What was run", what_was_run(sources))]
    made.append(Section("trust", "What can be trusted", trusted(sources) + _kept(sources, "doctor", "doctor")))
    made.append(Section("claims", "The published claims", _claims(sources)))
    made += [Section(name, title, paragraph(words, "note")) for name, title, words in _FIGURES if name in drawn]
    made.append(Section("floors", "Floors", _floors(sources)))
    made += [Section(name, title, _kept(sources, name, name)) for name, title in _RESULTS]
    made.append(Section("costs", "Costs", costs(sources)))
    made.append(Section("methods", "Methods, to paste into a paper", _methods(sources)))
    absent = [f"{title}: {how}" for name, title, how in _ABSENT if name not in drawn]
    made.append(Section("next", "What to type next", _next(sources, absent)))
    return made


_RESULTS = (
    ("precursors", "Does geometry move first?"),
    ("power", "Could these tasks show it?"),
    ("calibrate", "How often the tests are wrong"),
)
_FIGURES = (
    ("collapse", "Collapse",
        "RankMe counts the directions that a cloud of activations fills; uncentred, centred and row-normalised answer "
        "different questions. It cannot exceed the number of prompts. Several runs of one model are thin lines in a "
        "band from the least to the greatest."),
    ("maps", "Layers", "One column a step, the embedding below. Colours span the values shown."),
    ("order", "Layer order", "From the rows on which claim C3 was judged."),
    ("behaviour", "Behaviour", "Bands are one standard error over prompts; dotted lines are chance."),
    ("together", "Geometry and behaviour of one task",
        "Shaded: the interval of steps in which accuracy left its baseline for good, as summary.csv says. Two "
        "events in order do not show that one foretells the other."),
    ("companion", "A task and its shuffled prompts",
        "The same tokens in another order: what moves here as well is not the task's own."),
    ("heads", "Heads", "One row a head, one column a step."),
    ("landscape", "Loss landscape", "Hollow points carry a reason: read it before believing them."),
    ("weights", "Weights", "Of the tensors themselves; no prompt is involved."),
    ("benchmarks", "Benchmarks", "Behaviour that came from elsewhere has its source in the name."),
    ("anything", "Anything by step", "Any measure at any layer or head, for any task and run."),
)  # fmt: skip
_ABSENT = (
    ("behaviour", "Behaviour", "walk without --fetch ranges"),
    ("heads", "Heads", "walk with --measures attention"),
    ("landscape", "Loss landscape", "walk with --measures landscape"),
    ("companion", "A task beside its shuffled prompts", "walk with --probes core,core:shuffled"),
    ("benchmarks", "Benchmarks", "walk with --probes lm-eval:TASK, then pythia-geom against RUN"),
)


def _claims(sources: Sequence[Source]) -> str:
    """The table of claims; each cell opens its rows, its rule and how often that rule is wrong."""
    claims = frames(sources, "claims")
    if claims.empty:
        return _kept(sources, "claims", "compare")
    about = "Open a cell for the value, the rule, how often that rule errs, and the rows behind the verdict."
    held = [(s, s.results["claims-replication"]) for s in sources if "claims-replication" in s.results]
    also = "".join(
        folded("Do the runs say what the lab says?", result_table(r, s.path.resolve().name)) for s, r in held
    )
    return (
        paragraph(about, "note")
        + f'<div class="claims">{claims_table(claims, frames(sources, "claims-rows"))}</div>'
        + also
    )


def _kept(sources: Sequence[Source], name: str, again: str) -> str:
    held = [(s, r) for s in sources for n, r in s.results.items() if n == name or n.startswith(f"{name}-")]
    if not held:
        where = f"MODEL --out {_typed(sources[:1])}" if again == "doctor" else _typed(sources)
        keep = f" --out {_typed(sources[:1])}" if again in ("compare", "calibrate") else ""
        return f"<p>Not computed for these runs. Type: {command(f'pythia-geom {again} {where}{keep}')}</p>"
    parts = []
    for source, result in sorted(held, key=lambda one: one[1].name != name):  # the command's own table first
        shown = result_table(result, source.path.resolve().name, _VERDICT if result.name == "precursors" else ())
        parts.append(shown if result.name == name != "doctor" else folded(result.name, shown))
    return "".join(parts)


def _floors(sources: Sequence[Source]) -> str:
    summary = summaries(sources)
    if summary.empty:
        return paragraph("No summary.csv can be read: the walk's command writes it when it ends. Type it again.")
    return folded("summary.csv", table(summary, "summary"))


def _methods(sources: Sequence[Source]) -> str:
    said = [
        (s.path.name, "".join(map(paragraph, methods(s.manifest, s.tables.checkpoints, s.results)))) for s in sources
    ]
    return said[0][1] if len(said) == 1 else "".join(folded(name, content) for name, content in said)


def _next(sources: Sequence[Source], absent: Sequence[str]) -> str:
    runs = _typed(sources)
    typed = (
        (f"pythia-geom precursors {runs}", "tests whether geometry leads behaviour, task by task"),
        (f"pythia-geom compare {runs} --out {_typed(sources[:1])}", "judges the published claims"),
        (f"pythia-geom plot {runs} --what curves -o figure.pdf", "draws a figure for a paper"),
        (f"pythia-geom report {runs}", "writes this page anew, with what was found since"),
    )
    items = "".join(f"<li>{command(words)} {text(what)}</li>" for words, what in typed)
    return f"<ul>{items}</ul>" + "".join(paragraph(f"Not on this page. {what}", "note") for what in absent)


def _typed(sources: Sequence[Source]) -> str:
    """Folders as a shell takes them."""
    return " ".join(shlex.quote(str(source.path)) for source in sources)
