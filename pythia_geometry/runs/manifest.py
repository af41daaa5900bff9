"""What a reader needs to repeat a walk: versions, settings, hashes."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.models import ATTENTION_KERNEL
from pythia_geometry.extraction.probes import SHUFFLED
from pythia_geometry.runs.plan import Plan, RunPlan
from pythia_geometry.runs.request import LOCAL
from pythia_geometry.suites.checkpoint import Checkpoint

_PACKAGES = ("torch", "transformers", "huggingface-hub", "safetensors", "tokenizers", "numpy", "pyarrow", "pandas")


def updated_manifest(old: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
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
    request = plan.request
    walk = {
        "pythia_geometry": version("pythia-geometry"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "versions": {name: version(name) for name in _PACKAGES},
        "settings": {
            "dtype": request.dtype,
            "device": ",".join(request.devices) if request.executor == LOCAL else request.device,
            "executor": request.executor,
            "fetch": request.fetch,
            "attention": ATTENTION_KERNEL,
            "position": request.position,
            "batch": request.batch,
            "duplicates": request.duplicates,
            "format": request.weight_format,
            "measures": [*request.chosen_measures, *request.chosen_comparisons],
            "shuffle_seed": f"sha256 of the item's id ({SHUFFLED})",
        },
    }
    walks = [*old.get("walks", []), *([walk] if walk not in old.get("walks", []) else [])]
    return {
        **walk,
        "walks": walks,
        "runs": {**old.get("runs", {}), **{run.name: _run_facts(run) for run in plan.runs}},
        "probes": {**old.get("probes", {}), **_probe_facts(plan)},
        "weights": {**old.get("weights", {}), **_weight_facts(plan)},
    }


def changed_probes(old: Mapping[str, Any], plan: Plan) -> list[str]:
    """Names of probes that the folder knows with other rows."""
    held = old.get("probes", {})
    planned = {e.probe.name: e.probe.sha256 for run in plan.runs for e in run.probes}
    return [name for name, sha256 in planned.items() if held.get(name, {}).get("sha256", sha256) != sha256]


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
        }
        for run in plan.runs
        for encoded in run.probes
    }


def _weight_facts(plan: Plan) -> dict[str, Any]:
    return {
        c.label: {
            "commit": c.commit,
            "files": {f.name: f.sha256 for f in c.files},
            **({"detail": c.detail} if c.detail else {}),
        }
        for run in plan.runs
        for c in run.checkpoints
        if c.files
    }
