"""A diagnosis from the command line: list, judge, show, draw."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from pythia_geometry.errors import MachineError, PythiaGeometryError
from pythia_geometry.report.drawing import save
from pythia_geometry.report.timeline import timeline
from pythia_geometry.screens.console import open_console
from pythia_geometry.screens.doctor import show_diagnosis
from pythia_geometry.store.results import Result, keep_result
from pythia_geometry.store.writing import disk_errors
from pythia_geometry.suites.checkpoint import Checkpoint
from pythia_geometry.suites.doctor.continuity import Continuity
from pythia_geometry.suites.doctor.verdicts import Diagnosis, diagnose_all
from pythia_geometry.suites.named import find_suites
from pythia_geometry.suites.steps.numbering import Naming
from pythia_geometry.typed_path import typed_path


def run_diagnosis(models: Sequence[str], naming: Naming, deep: bool, as_json: bool, out: str) -> bool:
    """Examines models beside each other, prints what was found, keeps tables of steps and writes a timeline of each.

    Args:
        models: Each as after `--model`.
        naming: How the names of steps are read.
        deep: Whether to look at the embeddings.
        as_json: Whether to print JSON in place of the table.
        out: Folder of the picture, with a folder for each of several models; `doctor/<model>` where empty.

    Returns:
        Whether every step can be trusted.

    Raises:
        PythiaGeometryError: If a model does not exist or the folder cannot be used.
    """
    console = open_console()
    suites = [suite for model in models for suite in find_suites(model, (), naming)]
    with Console(stderr=True).status(f"{models[0]}: listing") as status:
        found = diagnose_all(suites, deep, status.update)
        pictures = [keep_diagnosis(diagnosis, _folder(diagnosis, out, len(found) > 1), deep) for diagnosis in found]
    if as_json:
        print_json(found, pictures)
    else:
        for diagnosis, drawn in zip(found, pictures, strict=True):
            show_diagnosis(console, diagnosis, drawn)
    return all(diagnosis.is_sound for diagnosis in found)


def keep_diagnosis(diagnosis: Diagnosis, folder: Path, deep: bool = False) -> list[Path]:
    """Writes the timeline and the table of steps into a folder; returns the pictures."""
    pictures = _draw(diagnosis, folder)
    keep_result(folder, Result("doctor", step_table(diagnosis), {"model": diagnosis.run, "deep": deep}))
    return pictures


def _folder(diagnosis: Diagnosis, out: str, is_one_of_several: bool) -> Path:
    folder = typed_path(out) if out else Path("doctor")
    return folder / diagnosis.run if is_one_of_several or not out else folder


def step_table(diagnosis: Diagnosis) -> pd.DataFrame:
    """One row a step: step, verdict, reasons, branch, commit, the sha256 of its weight files; deep numbers if any."""
    rows = [
        {
            **{name: value for name, value in step.items() if name not in ("weights", "reasons")},
            "reasons": "; ".join(step["reasons"]),
            "sha256": "; ".join(
                f"{form} {held['status']}: {' '.join(f['sha256'] for f in held['files'])}"
                for form, held in step["weights"].items()
            ),
        }
        for step in as_json(diagnosis)["steps"]
    ]
    return pd.DataFrame(rows).assign(run=diagnosis.run, origin=diagnosis.origin)


def _draw(diagnosis: Diagnosis, folder: Path) -> list[Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise PythiaGeometryError(f"--out {folder} is a file; expected a folder for the picture") from error
    pictures: list[Path] = []
    try:
        drawn = save(timeline(diagnosis))
    except MachineError as error:  # the verdicts are what was asked for
        Console(stderr=True).print(str(error), highlight=False, markup=False)
        return pictures
    with disk_errors(folder):
        for ending, content in drawn.items():
            pictures.append(folder / f"timeline.{ending}")
            pictures[-1].write_bytes(content)
    return pictures


def print_json(found: Sequence[Diagnosis], pictures: Sequence[Sequence[Path]]) -> None:
    """The whole diagnosis on standard output: every branch, commit, file and sha256, every verdict and why."""
    import typer

    told = [as_json(d) | {"pictures": [str(p) for p in drawn]} for d, drawn in zip(found, pictures, strict=True)]
    typer.echo(json.dumps(told if len(told) > 1 else told[0], indent=1))


def as_json(diagnosis: Diagnosis) -> dict[str, Any]:
    """The diagnosis as plain values; steps in order."""
    inside = diagnosis.inside
    tests = inside.continuity if inside else None
    steps = [
        {
            "step": s.step,
            "verdict": s.verdict,
            "reasons": list(s.reasons),
            "branch": s.branch.blank.revision,
            "commit": s.branch.blank.commit,
            "weights": _weights(s.branch.weights.items()),
            **({name: _finite(held.get(s.step)) for name, held in _numbers(tests).items()} if tests else {}),
        }
        for s in diagnosis.steps
    ]
    return {
        "run": diagnosis.run,
        "origin": diagnosis.origin,
        "sound": diagnosis.is_sound,
        "steps": steps,
        "main": {"commit": diagnosis.main.blank.commit, "weights": _weights(diagnosis.main.weights.items())}
        if diagnosis.main
        else None,
        "other_branches": list(diagnosis.others),
        "notes": list(diagnosis.notes),
        "published": [
            {"what": p.fault.what, "source": p.fault.source, "seen": p.seen, "gone": p.gone, "untold": p.untold}
            for p in diagnosis.published
        ],
        "deep": {"untested": list(tests.untested), "broken_lineage": tests.broken_lineage} if tests else None,
    }


def _numbers(tests: Continuity) -> dict[str, Mapping[int, float]]:
    return {"detour": tests.detour, "relative_speed": tests.speed, "correlation_with_step_0": tests.from_start}


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value


def _weights(weights: Any) -> dict[str, Any]:
    def files(checkpoint: Checkpoint) -> list[dict[str, Any]]:
        return [{"name": f.name, "bytes": f.size, "sha256": f.sha256} for f in checkpoint.files]

    return {form: {"status": c.status, "files": files(c)} for form, c in weights}
