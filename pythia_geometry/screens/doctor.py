"""What `pythia-geom doctor` prints: one line a step, then what it comes to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pythia_geometry.suites.checkpoint import MISSING, SUSPECT, WRONG, Checkpoint
from pythia_geometry.suites.doctor.verdicts import EXPECTED, TRUST, VERDICTS, Diagnosis, Published

_STYLES = {TRUST: "green", EXPECTED: "green", SUSPECT: "yellow", WRONG: "red", MISSING: "dim"}
_SHOWN_SHARDS = 3


def show_diagnosis(console: Console, diagnosis: Diagnosis, pictures: Sequence[Path]) -> None:
    """The verdict on every step, the counts, the published faults, and where the picture lies."""
    forms = list(dict.fromkeys(form for s in diagnosis.steps for form in s.branch.weights))
    console.print(f"{diagnosis.run}: {len(diagnosis.steps)} steps of {diagnosis.origin}", highlight=False, markup=False)
    table = Table(box=None, pad_edge=False)
    table.add_column("step", justify="right")
    for column in ("verdict", "commit", *forms):
        table.add_column(column, no_wrap=True)
    table.add_column("why", overflow="fold")
    for s in diagnosis.steps:
        hashes = [_hashes(s.branch.weights.get(form)) for form in forms]
        verdict = f"[{_STYLES[s.verdict]}]{s.verdict}[/]"
        table.add_row(str(s.step), verdict, (s.branch.blank.commit or "–")[:8], *hashes, escape("; ".join(s.reasons)))
    if diagnosis.main:
        held = [_hashes(diagnosis.main.weights.get(form)) for form in forms]
        table.add_row("main", "", (diagnosis.main.blank.commit or "–")[:8], *held, "")
    console.print(table)
    show_conclusion(console, diagnosis, pictures)


def show_conclusion(console: Console, diagnosis: Diagnosis, pictures: Sequence[Path] = ()) -> None:
    """What the verdicts come to, without a line for every step."""
    for line in _conclusion(diagnosis):
        console.print(line, highlight=False, markup=False)
    for picture in pictures:
        if picture.suffix == ".png":
            console.print(f"picture  {picture} (and .svg)", highlight=False, markup=False)


def _hashes(checkpoint: Checkpoint | None) -> str:
    """The first eight digits of each file's sha256."""
    if checkpoint is None:
        return "–"
    if not checkpoint.files:
        return checkpoint.status
    shown = [f.sha256[:8] or "unknown" for f in checkpoint.files[:_SHOWN_SHARDS]]
    more = len(checkpoint.files) - len(shown)
    return " ".join(shown) + (f" +{more}" if more else "")


def _conclusion(diagnosis: Diagnosis) -> list[str]:
    lines = []
    for verdict in VERDICTS:
        steps = [s.step for s in diagnosis.steps if s.verdict == verdict]
        if steps:
            lines.append(f"{verdict:18s} {len(steps):4d}  {_ranges(steps, [s.step for s in diagnosis.steps])}")
    lines += [f"published: {_published(p)}" for p in diagnosis.published]
    lines += list(diagnosis.notes)
    if diagnosis.others:
        shown = ", ".join(diagnosis.others[:5]) + (" …" if len(diagnosis.others) > 5 else "")
        lines.append(f"branches, tags or folders that are no step of this run: {shown}")
    if diagnosis.inside:
        lines += [f"not tested: {why}" for why in diagnosis.inside.continuity.untested]
    else:
        lines.append(f"By {diagnosis.by} alone; --deep reads half a megabyte of each step and compares neighbours.")
    return lines


def _published(found: Published) -> str:
    fault = found.fault
    if not fault.steps:
        return f"{fault.what} ({fault.source})"
    told = [(found.seen, "served now"), (found.gone, "not served any more"), (found.untold, "not to be told here")]
    return f"{fault.what} ({fault.source}): " + ", ".join(
        f"{len(steps)} of {len(fault.steps)} {what}" for steps, what in told if steps
    )


def _ranges(steps: Sequence[int], all_steps: Sequence[int]) -> str:
    """`0, 2-512, 1000`: a range joins steps that follow one another in the run."""
    place = {step: i for i, step in enumerate(all_steps)}
    groups: list[list[int]] = []
    for step in steps:
        if groups and place[step] == place[groups[-1][-1]] + 1:
            groups[-1].append(step)
        else:
            groups.append([step])
    return ", ".join(str(g[0]) if len(g) == 1 else f"{g[0]}-{g[-1]}" for g in groups)
