"""What a reader needs to repeat a walk: versions, settings, hashes."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.probes.probes import SHUFFLED, Probe
from pythia_geometry.measures import MEASURES
from pythia_geometry.runs.plan import Plan, RunPlan
from pythia_geometry.runs.recipe import recipe_of
from pythia_geometry.runs.request import LOCAL
from pythia_geometry.store.inputs import CONFIGS, IDS, NEWEST, READING, REPLACED, VERSIONS
from pythia_geometry.suites.checkpoint import Checkpoint

_PACKAGES = ("torch", "transformers", "huggingface-hub", "safetensors", "tokenizers", "numpy", "pyarrow", "pandas")


def installed_versions() -> dict[str, str]:
    """Of this package and of those that decide last digits."""
    return {"pythia_geometry": version("pythia-geometry"), **{name: version(name) for name in _PACKAGES}}


def updated_manifest(old: Mapping[str, Any], plan: Plan, replaced: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The folder's manifest with this plan's runs, probes and weight files added.

    Raises:
        PythiaGeometryError: If the folder holds other models only.
    """
    names = {run.suite.model for run in plan.runs}
    held = {facts["model"] for facts in old.get("runs", {}).values()}
    if held and not held & names:
        raise PythiaGeometryError(
            f"This run folder holds {', '.join(sorted(held))}, not {', '.join(sorted(names))}. Pass another --out"
        )
    _check_sources(old, plan)
    request, installed = plan.request, installed_versions()
    walk = {
        "pythia_geometry": installed["pythia_geometry"],
        "python": platform.python_version(),
        "machine": platform.machine(),
        "versions": {name: installed[name] for name in _PACKAGES},
        "recipe": recipe_of(plan),
        "settings": {
            "dtype": request.dtype,
            "device": ",".join(request.devices) if request.executor == LOCAL else request.device,
            "executor": request.executor,
            "fetch": request.fetch,
            "attention": ",".join(sorted({run.shape.kernel for run in plan.runs})),
            "position": request.position,
            "batch": request.batch,
            "duplicates": request.duplicates,
            "format": request.weight_format,
            **({"contexts": request.contexts} if any(e.probe.facts for run in plan.runs for e in run.probes) else {}),
            "measures": [measure.name for measure in request.chosen],
            "shuffle_seed": f"sha256 of the item's id ({SHUFFLED})",
        },
    }
    walks = [*old.get("walks", []), *([walk] if walk not in old.get("walks", []) else [])]
    return {
        **{name: facts for name, facts in walk.items() if name != "recipe"},
        "walks": walks,
        "runs": {**old.get("runs", {}), **{run.name: _run_facts(run) for run in plan.runs}},
        "probes": {**old.get("probes", {}), **_probe_facts(plan)},
        "weights": {**old.get("weights", {}), **_weight_facts(plan)},
        NEWEST: _newest(old.get(NEWEST, {}), plan, replaced or {}),
    }


MOST = 3
"""Steps of one kind that are said one by one."""


def changed_inputs(old: Mapping[str, Any], plan: Plan) -> list[str]:
    """What this walk reads otherwise than the walks that the folder knows: one sentence each, for the user."""
    replaced = [f"{label}: {why}. Its rows stay, with that reason." for label, why in replaced_since(old, plan).items()]
    return [
        *_changed_probes(old, plan),
        *(said for run in plan.runs for said in _changed_of_run(old, run)),
        *(replaced[:MOST] + ([f"… and {len(replaced) - MOST} more steps"] if len(replaced) > MOST else [])),
    ]


def _changed_probes(old: Mapping[str, Any], plan: Plan) -> list[str]:
    held = old.get("probes", {})
    planned = {e.probe.name: e.probe for run in plan.runs for e in run.probes}
    changed = [
        probe for name, probe in planned.items() if held.get(name, {}).get("sha256", probe.sha256) != probe.sha256
    ]
    return [
        f"{probe.name} is not the probe that this run folder was walked with{_what_of_it(held[probe.name], probe)}: "
        f"where it is walked now, its rows replace the old ones. {_TO_KEEP_ITEMS if probe.facts else _TO_KEEP}"
        for probe in changed
    ]


_TO_KEEP = "To keep both, give the file or its task another name."
_TO_KEEP_ITEMS = (
    "To go on with the old items, name their file in the run folder (--probes RUN/probes/TASK.K-shot.….jsonl); to keep "
    "both, pass another --out."
)
_OF_BENCHMARKS = {
    "harness": "lm-eval",
    "version": "the task's version",
    "config_sha256": "the task's definition",
    "data_sha256": "the dataset's documents",
}


def _what_of_it(held: Mapping[str, Any], probe: Probe) -> str:
    """What of a task of lm-eval is another; nothing where that is not known."""
    before = held.get("lm_eval", {})
    now = asdict(probe.facts) if probe.facts else {}
    found = [said for fact, said in _OF_BENCHMARKS.items() if before and before[fact] != now.get(fact)]
    return f" (changed: {', '.join(found)})" if found else ""


def _changed_of_run(old: Mapping[str, Any], run: RunPlan) -> Iterator[str]:
    newest = old.get(NEWEST, {})
    ids = newest.get(IDS, {}).get(run.name, {})
    texts = {name: facts["sha256"] for name, facts in old.get("probes", {}).items()}
    same_text = [e for e in run.probes if texts.get(e.probe.name) == e.probe.sha256]
    moved = [e.probe.name for e in same_text if ids.get(e.probe.name, e.sha256[:16]) != e.sha256[:16]]
    if moved:
        yield (
            f"{run.name}: the tokenizer gives other token ids than before in {len(moved)} of {len(run.probes)} tasks "
            f"({moved[0]} …): they are computed again at the chosen steps, and rows of other steps get a reason."
        )
    reading = newest.get(READING, {}).get(run.name)
    if reading is not None and reading != run.inputs_of(run.probes[0])[READING]:
        yield f"{run.name}: the code or the attention kernel that reads activations has changed: all is computed again."
    configs = newest.get(CONFIGS, {}).get(run.name, {})
    others = [c.step for c in run.usable if configs.get(str(c.step), run.config_of(c)) != run.config_of(c)]
    if others:
        yield (f"{run.name}: config.json says other numbers than before at {_steps(others)}: computed again there.")
    weights = {label: facts["files"] for label, facts in old.get("weights", {}).items()}
    replaced = [c.step for c in run.usable if weights.get(c.label, _files(c)) != _files(c)]
    if replaced:
        yield f"{run.name}: other weights than before at {_steps(replaced)}: computed again there."


def _steps(steps: Sequence[int]) -> str:
    named = ", ".join(map(str, steps[:5])) + (" …" if len(steps) > 5 else "")
    return f"{len(steps)} step{'s' * (len(steps) > 1)} ({named})"


def _newest(held: Mapping[str, Any], plan: Plan, replaced: Mapping[str, str]) -> dict[str, Any]:
    """What the walk reads with; of runs and probes that it does not touch, what was held."""
    ids, readings, configs = dict(held.get(IDS, {})), dict(held.get(READING, {})), dict(held.get(CONFIGS, {}))
    for run in plan.runs:
        ids[run.name] = {**ids.get(run.name, {}), **{e.probe.name: e.sha256[:16] for e in run.probes}}
        readings[run.name] = run.inputs_of(run.probes[0])[READING]
        configs[run.name] = {**configs.get(run.name, {}), **{str(c.step): run.config_of(c) for c in run.usable}}
    versions = {name: str(measure.version) for name, measure in MEASURES.items()}
    walked = {c.label for run in plan.runs for c in run.usable}
    known = {label: why for label, why in held.get(REPLACED, {}).items() if label not in walked}
    return {IDS: ids, READING: readings, CONFIGS: configs, VERSIONS: versions, REPLACED: {**known, **replaced}}


def replaced_since(old: Mapping[str, Any], plan: Plan) -> dict[str, str]:
    """Steps that the folder holds, that this walk does not choose, and whose weights the suite serves no more; and why.

    On the Hub the commits are compared first, which costs nothing; two of the steps are asked for, and all only where
    one of those differs.
    """
    return {label: why for run in plan.runs for label, why in _replaced(old.get("weights", {}), run).items()}


def _replaced(held: Mapping[str, Any], run: RunPlan) -> dict[str, str]:
    chosen = {checkpoint.step for checkpoint in run.checkpoints}
    recorded = {
        step: held[label]
        for step in run.suite.steps()
        if step not in chosen and (label := f"{run.name}@step{step}") in held
    }
    moved = [
        step for step, facts in recorded.items() if (run.suite.commit_of(step) or "") != (facts.get("commit") or "?")
    ]
    sample = [*moved[:1], *moved[1:][-1:]]
    if not sample or all(_agreement(held, run.suite.find(sample)).values()):
        return {}
    found = _agreement(held, run.suite.find(moved))
    why = "the suite has changed: it serves other weights of this step since it was walked. Walk this step again"
    return {f"{run.name}@step{step}": why for step, is_same in found.items() if not is_same}


def _check_sources(old: Mapping[str, Any], plan: Plan) -> None:
    """One name, one run: two runs of one name would otherwise become one curve.

    A run is known by its origin; one on this disk also by its weights, since folders are moved.
    """
    planned: dict[str, str] = {}
    for run in plan.runs:
        here = run.suite.origin
        facts = old.get("runs", {}).get(run.name, {"origin": here})
        if (there := planned.setdefault(run.name, here)) != here:
            raise _two_runs(run.name, there, here, "")
        there = facts.get("origin", "")  # unknown where the manifest was made again
        if there == here:
            continue
        if there and not (Path(there).is_absolute() and Path(here).is_absolute()):
            raise _two_runs(run.name, there, here, "")
        agree = agreement(old.get("weights", {}), run)
        if there and False in agree.values():
            steps = ", ".join(str(step) for step, is_same in agree.items() if not is_same)
            raise _two_runs(run.name, there, here, f", with other weights at step {steps}")
        if not any(agree.values()) and (there or agree):
            known = "with other weights" if agree else "and they share no step by which they could be known as one"
            raise _two_runs(run.name, there or "what this run folder holds", here, f", {known}")


def _two_runs(name: str, there: str, here: str, why: str) -> PythiaGeometryError:
    return PythiaGeometryError(
        f"Two runs are called {name}: {there} and {here}{why}. Give one another name in its suite.json, or walk it "
        "into another --out"
    )


def agreement(held: Mapping[str, Any], run: RunPlan) -> dict[int, bool]:
    """By step, whether a run has the weights that a manifest records; of the chosen steps, or else of two others."""
    found = _agreement(held, run.checkpoints)
    if not found:
        recorded = [step for step in run.suite.steps() if f"{run.name}@step{step}" in held]
        found = _agreement(held, run.suite.find([*recorded[:1], *recorded[1:][-1:]]) if recorded else ())
    return found


def _agreement(held: Mapping[str, Any], checkpoints: Sequence[Checkpoint]) -> dict[int, bool]:
    found = {}
    for checkpoint in checkpoints:
        facts = held.get(checkpoint.label, {})
        if facts.get("sha256"):  # of a manifest that was made again
            pairs = [(facts["sha256"], checkpoint.weight_sha256)]
        else:
            pairs = [(facts.get("files", {}).get(f.name), f.sha256) for f in checkpoint.files]
        known = [(there, here) for there, here in pairs if there and here]
        if known:
            found[checkpoint.step] = all(there == here for there, here in known)
    return found


def _run_facts(run: RunPlan) -> dict[str, Any]:
    return {
        "suite": run.suite.suite,
        "model": run.suite.model,
        "seed": run.suite.seed,
        "origin": run.suite.origin,
        "notes": list(run.suite.notes),
        "n_layers": run.shape.n_layers,
        "width": run.shape.width,
    }


def _probe_facts(plan: Plan) -> dict[str, Any]:
    return {
        encoded.probe.name: {
            "sha256": encoded.probe.sha256,
            "rows": len(encoded.items),
            "chance": encoded.probe.chance,
            "majority": encoded.probe.majority,
            "single_token_share": encoded.single_token_share,
            **({"lm_eval": asdict(encoded.probe.facts)} if encoded.probe.facts else {}),
            "clusters": encoded.probe.n_clusters,
        }
        for run in plan.runs
        for encoded in run.probes
    }


def _files(checkpoint: Checkpoint) -> dict[str, str]:
    return {file.name: file.sha256 for file in checkpoint.files}


def _weight_facts(plan: Plan) -> dict[str, Any]:
    return {
        c.label: {
            "commit": c.commit,
            "files": _files(c),
            **({"detail": c.detail} if c.detail else {}),
        }
        for run in plan.runs
        for c in run.checkpoints
        if c.files
    }
