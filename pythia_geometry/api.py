"""The same as the command, from Python: pandas data frames out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from pythia_geometry.analysis.events.summary import summarise
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.probes.probes import Probe, load_probes
from pythia_geometry.runs.local import walk
from pythia_geometry.runs.plan import default_out, plan_suite
from pythia_geometry.runs.progress import Progress
from pythia_geometry.runs.request import Request
from pythia_geometry.screens.walk import Bar
from pythia_geometry.store.run_folder import RunFolder
from pythia_geometry.store.tables import Tables
from pythia_geometry.suites.named import OFFLINE, find_suites
from pythia_geometry.suites.steps.numbering import Naming
from pythia_geometry.suites.suite import Suite

SAID_ELSEWHERE = {
    "steps": "measure(steps=…)",
    **dict.fromkeys(
        ("models", "seeds", "stage", "pattern"), "the suite, such as pg.pythia(…), pg.hub(…) or pg.local(…)"
    ),
}
"""Settings of a request that would be ignored here, and where they are said."""


def pythia(name: str, seed: int = 0) -> Suite:
    """A Pythia training run on the Hub.

    Args:
        name: `160m`, `pythia-1b`, `pythia-410m-deduped`, `pythia-160m-weight-seed1` …
        seed: 1 to 9 for the sizes that have seeds.

    Raises:
        PythiaGeometryError: If there is no such model.
    """
    from pythia_geometry.suites.pythia import SIZES, parse_name

    if parse_name(name) is None:
        raise PythiaGeometryError(f"{name!r} is no Pythia model. Sizes: {', '.join(SIZES)}; others: hub(…)")
    return find_suites(name, (seed,) if seed else ())[0]


def hub(repository: str, seed: int | None = None, stage: str = "", pattern: str = "") -> Suite:
    """Any Hub repository whose branches or tags name steps (`step1000`, `stage1-step1000-tokens5B`, `ckpt_356`).

    Args:
        repository: `organisation/name`.
        seed: The run, where the names of its steps tell seeds apart.
        stage: Stage of training, as after `--stage`.
        pattern: How names are read, as after `--pattern`.
    """
    return find_suites(repository, () if seed is None else (seed,), Naming(stage, pattern))[0]


def local(folder: str | Path, stage: str = "", pattern: str = "") -> Suite:
    """A folder of checkpoints in the Hub's file layout: `step<N>/`, `checkpoint-<N>/` …; see `hub`."""
    from pythia_geometry.suites.local import LocalSuite

    return LocalSuite(folder, Naming(stage, pattern))


def offline() -> Suite:
    """The small trained suite that ships."""
    return find_suites(OFFLINE)[0]


def probes(*names: str) -> list[Probe]:
    """Probes by name (`core`, `all`, `syntax`, `syntax/agreement_2:shuffled`) or from a file."""
    return load_probes(names)


def measure(
    suite: Suite | str | Path,
    probes: Sequence[Probe] | Sequence[str] | str | Path = (),
    steps: str | int | Iterable[int] = "all",
    out: str | Path | None = None,
    request: Request | None = None,
    progress: bool | Progress = True,
) -> Tables:
    """Walks a suite: geometry of every layer and behaviour, from the same forward passes.

    Args:
        suite: From `pythia`, `local`, `hub` or `offline`; or what `--model` takes: a name or a folder.
        probes: From `probes`; or names, or a file, as after `--probes`. The suite's own default where empty.
        steps: Selection as after `--steps`; a step, or several.
        out: Run folder, continued if it exists; `runs/<model>` where None.
        request: Everything else, such as `pg.Request(position="mean", dtype="bfloat16")`.
        progress: Whether to say on standard error where the walk is; or whom to tell.

    Returns:
        The run folder's tables `geometry`, `behaviour`, `checkpoints` and `answers` as data frames. Summary
        file and pictures are the command's.

    Raises:
        PythiaGeometryError: If there is no such model, step or probe, an argument is of a wrong type, or the request
            names what the other arguments say.
    """
    for setting, place in SAID_ELSEWHERE.items():
        if request and getattr(request, setting) != getattr(Request(), setting):
            raise PythiaGeometryError(f"measure() does not read {setting!r} of a request: give it to {place}")
    at_hand, names = _probes(probes)
    asked = replace(request or Request(), steps=_steps(steps))
    plan = plan_suite(_suite(suite), replace(asked, probes=names) if names else asked, at_hand)
    if not isinstance(progress, bool):
        return walk(plan, out or default_out(plan), progress)
    with Bar(Console(stderr=True, quiet=not progress), sum(len(run.checkpoints) for run in plan.runs)) as bar:
        return walk(plan, out or default_out(plan), bar)


def _suite(given: Suite | str | Path) -> Suite:
    if isinstance(given, str | Path):
        return find_suites(str(given))[0]
    if not hasattr(given, "find"):
        raise PythiaGeometryError(f"measure() needs a suite, a name or a folder, such as pg.offline(); got {given!r}")
    return given


def _probes(given: Sequence[Probe] | Sequence[str] | str | Path) -> tuple[list[Probe], tuple[str, ...]]:
    """Probes at hand, and names; where only names are given they stay names, so that the manifest can keep them."""
    named = [given] if isinstance(given, str | Path | Probe) else list(given)
    if not all(isinstance(one, str | Path | Probe) for one in named):
        raise PythiaGeometryError(f"measure() needs probes or their names; got {given!r}. Such as pg.probes('core')")
    names = tuple(str(one) for one in named if not isinstance(one, Probe))
    at_hand = [one for one in named if isinstance(one, Probe)]
    return ([*at_hand, *load_probes(names)], ()) if at_hand and names else (at_hand, names)


def _steps(given: str | int | Iterable[int]) -> str:
    if isinstance(given, str):
        return given
    steps = list(given) if isinstance(given, Iterable) else [given]
    if not steps or not all(isinstance(step, int | np.integer) for step in steps):
        raise PythiaGeometryError(f"steps must be a selection such as 'log', a step, or several; got {given!r}")
    return ",".join(str(int(step)) for step in steps)


def power(*runs: str | Path, **settings: Any) -> pd.DataFrame:
    """Whether the tasks of these runs could show a precursor: rates by lead. Settings as the options of `power`."""
    from pythia_geometry.commands.answers import power_tables

    return power_tables(runs, **settings)["power"]


def precursors(*runs: str | Path, **settings: Any) -> pd.DataFrame:
    """Whether geometry leads behaviour, task by task: the verdict. Settings as the options of `precursors`."""
    from pythia_geometry.commands.answers import precursor_tables

    return precursor_tables(runs, **settings)["precursors"]


def calibrate(*runs: str | Path, **settings: Any) -> pd.DataFrame:
    """How often each test calls a lead in made-up worlds, on Pythia's grids or on the steps and tasks of these runs."""
    from pythia_geometry.commands.answers import calibration_tables

    return calibration_tables(runs, **settings)["calibrate"]


def compare(*runs: str | Path, **settings: Any) -> pd.DataFrame:
    """What the lab and these runs say of the published claims, one row a claim and body of evidence."""
    from pythia_geometry.commands.comparison import compare_tables

    return compare_tables(runs, **settings)[0]["claims"]


def doctor(suite: Suite, deep: bool = False) -> pd.DataFrame:
    """Which steps of a suite can be trusted, a row a step."""
    from pythia_geometry.commands.diagnosis import step_table
    from pythia_geometry.suites.doctor.verdicts import diagnose

    return step_table(diagnose(suite, deep))


def read(folder: str | Path) -> Tables:
    """The tables of a run folder, finished or not.

    Raises:
        PythiaGeometryError: If it is no run folder.
    """
    run = RunFolder(folder)
    if not run.manifest():
        raise PythiaGeometryError(f"{folder} is no run folder: it has no manifest.json")
    return run.tables()


def summary(tables: Tables) -> pd.DataFrame:
    """Floor, recovery and rise, one row a run and task: the table at the end of a walk."""
    return summarise(tables.geometry, tables.behaviour, tables.checkpoints)
