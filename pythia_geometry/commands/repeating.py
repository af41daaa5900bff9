"""`pythia-geom --from RUN`: the walks of another run folder, taken again in a new one."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from pythia_geometry.commands.walk_session import run_planned
from pythia_geometry.errors import DamagedError, PythiaGeometryError
from pythia_geometry.extraction.loading.device_names import AUTO_DEVICE
from pythia_geometry.json_files import read_json
from pythia_geometry.runs.manifest import agreement, installed_versions
from pythia_geometry.runs.plan import Plan, default_out, make_plan
from pythia_geometry.runs.recipe import absolute, request_of, spoken
from pythia_geometry.runs.request import Request
from pythia_geometry.screens.console import open_console
from pythia_geometry.store.inputs import IDS, NEWEST, VERSIONS
from pythia_geometry.store.manifest_file import FORMAT, MANIFEST, is_old_manifest
from pythia_geometry.store.records import read_one
from pythia_geometry.store.results import RESULTS, command_of
from pythia_geometry.store.run_folder import RunFolder
from pythia_geometry.typed_path import typed_path

MOST_BYTES = 64 * 2**20
AGAIN = "-again"
"""Ends the name of the run folder that a repeated walk writes where none is typed."""


def repeat(given: str, typed: Request, out: str, dry_run: bool) -> bool:
    """Takes every walk that a manifest records once more.

    Nothing in the manifest says where to write: that is `out`, or `runs/MODEL-again`.

    Args:
        given: A run folder or its manifest.
        typed: What was typed beside it; of this, where the walk runs and `--include` count.
        out: Run folder of the repetition.
        dry_run: Whether to stop after saying what would be done.

    Returns:
        Whether something is missing from the result.

    Raises:
        PythiaGeometryError: If it is no manifest, keeps no recipe, or what it names is not here.
    """
    console = open_console()
    manifest, home = read_manifest_of(given)
    recipes = _recipes(manifest, given)
    requests = [_here(request_of(recipe, home, typed.harness.include), typed) for recipe in recipes]
    plans = []
    # All are planned before the first is walked, so that a fault in the last leaves nothing behind.
    for number, request in enumerate(requests, start=1):
        _say(console, f"Repeats walk {number} of {len(recipes)} of {given}: {spoken(request)}")
        plans.append(make_plan(request))
        for said in _differences(manifest, plans[-1]):
            _say(console, said)
    usual = default_out(plans[0])
    folder = typed_path(out) if out else usual.with_name(usual.name + AGAIN)
    if folder.resolve() == home:
        raise PythiaGeometryError(
            f"{folder} is the run itself. Pass --out with a new folder; to continue the run, type its own command"
        )
    gaps = [run_planned(console, plan, folder, dry_run) for plan in plans]
    for name in _kept(home) if absolute(given).is_dir() else ():
        _say(console, f"No walk makes the {RESULTS}/ of {name}. Type it again: pythia-geom {name} {folder}")
    return any(gaps)


def _kept(home: Path) -> list[str]:
    """The commands that kept results in a run folder."""
    return sorted({command_of(file.stem).removeprefix("pythia-geom ") for file in (home / RESULTS).glob("*.json")})


def read_manifest_of(given: str) -> tuple[dict[str, Any], Path]:
    """A manifest that may come from anybody, and the folder in which it lies.

    Raises:
        PythiaGeometryError: If there is none, or it is not what a walk wrote.
    """
    path = absolute(given)
    if "\0" not in given and path.is_dir():
        manifest = RunFolder(path).manifest()
        if not manifest:
            raise PythiaGeometryError(f"{given} is no run folder: it has no {MANIFEST}")
        return manifest, path.resolve()
    content = read_json(path, MOST_BYTES)  # bounds, and messages that name the line
    if not isinstance(content, dict) or "format" not in content:
        raise PythiaGeometryError(f"{given} is no manifest of a run. Expected a run folder or its {MANIFEST}")
    if content["format"] != FORMAT and not is_old_manifest(content):
        raise PythiaGeometryError(f"{given} is of format {content['format']!r}; this version repeats format {FORMAT}")
    try:
        manifest = read_one(path, is_old_manifest)
    except DamagedError as error:
        raise PythiaGeometryError(
            f"{error}: what it says is not what a walk wrote. To walk something else, type its options"
        ) from error
    return manifest, path.resolve().parent


def _recipes(manifest: Mapping[str, Any], given: str) -> list[Any]:
    """The recipes of the walks, in their order.

    Raises:
        PythiaGeometryError: If one was written without.
    """
    walks = manifest.get("walks", [])
    if not isinstance(walks, list) or not walks or not all(isinstance(w, dict) and "recipe" in w for w in walks):
        names = ", ".join(sorted(map(str, manifest.get("runs", {})))[:5])
        raise PythiaGeometryError(
            f"{given} keeps no recipe: it was written by an earlier version, or made again after damage. It is of "
            f"{names or 'no run'}; type the walk's options"
        )
    return [walk["recipe"] for walk in walks]


def _here(request: Request, typed: Request) -> Request:
    """A recipe's request with what was typed of where to run."""
    device = request.device if typed.device == AUTO_DEVICE else typed.device
    return replace(request, device=device, disk=typed.disk, keep_weights=typed.keep_weights, executor=typed.executor)


def _differences(manifest: Mapping[str, Any], plan: Plan) -> Iterator[str]:
    """What is not as it was when the manifest was written: one sentence each.

    Raises:
        PythiaGeometryError: If a probe is another than the one of that name then: its rows would tell of another text.
    """
    weights = {label: facts for label, facts in _part(manifest, "weights").items() if isinstance(facts, Mapping)}
    probes, newest = _part(manifest, "probes"), _part(manifest, NEWEST)
    for run in plan.runs:
        for encoded in run.probes:
            then = _part(probes, encoded.probe.name).get("sha256")
            if then != encoded.probe.sha256:
                raise PythiaGeometryError(
                    f"The probe {encoded.probe.name} is not the one that the manifest records: its text has changed "
                    "since. Put the old one back, or walk the new one with --probes"
                )
        ids = _part(_part(newest, IDS), run.name)
        if moved := [e.probe.name for e in run.probes if ids.get(e.probe.name, e.sha256[:16]) != e.sha256[:16]]:
            yield f"{run.name}: the tokenizer gives other token ids than then in {len(moved)} tasks ({moved[0]} …)."
        came = [c.step for c in run.usable if c.label not in weights]
        went = [c.step for c in run.checkpoints if c.label in weights and not c.files]
        for steps, how in ((came, "was not served then, and is now"), (went, "was served then, and is not now")):
            if steps:
                yield f"{run.name}: step {', '.join(map(str, steps[:5]))}{' …' if len(steps) > 5 else ''} {how}."
        renewed = [step for step, is_same in agreement(weights, run).items() if not is_same]
        if renewed:
            named = ", ".join(map(str, renewed[:5])) + (" …" if len(renewed) > 5 else "")
            yield f"{run.name}: other weights than then at {len(renewed)} steps ({named}): numbers there will differ."
    measures = _part(newest, VERSIONS)
    chosen = plan.request.chosen
    changed = [m.name for m in chosen if measures.get(m.name, str(m.version)) != str(m.version)]
    if changed:
        yield f"Defined otherwise in this version: {', '.join(changed)}."
    now = {"python": platform.python_version(), "machine": platform.machine(), **installed_versions()}
    then = {**manifest, **_part(manifest, "versions")}
    other = {name: str(then.get(name, here))[:40] for name, here in now.items()}
    differing = [f"{name} {other[name]!r}, here {now[name]}" for name in now if other[name] != now[name]]
    if differing:
        yield f"Last digits may differ, for other versions compute here: {', '.join(differing)}."


def _part(of: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A part of a manifest; empty where it is not what a walk writes there."""
    part = of.get(name)
    return part if isinstance(part, Mapping) else {}


def _say(console: Console, text: str) -> None:
    console.print(text, style="yellow" if not text.startswith("Repeats") else None, highlight=False, markup=False)
