"""What a reader needs to repeat a walk: versions, settings, hashes."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.probes import SHUFFLED
from pythia_geometry.runs.plan import Plan, RunPlan
from pythia_geometry.runs.request import LOCAL

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
            "position": request.position,
            "batch": request.batch,
            "duplicates": request.duplicates,
            "format": request.weight_format,
            "measures": [measure.name for measure in request.chosen],
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
    """One name, one origin: two folders of one name would otherwise become one curve."""
    origins = {name: facts["origin"] for name, facts in old.get("runs", {}).items()}
    for run in plan.runs:
        held = origins.setdefault(run.name, run.suite.origin)
        if held != run.suite.origin:
            raise PythiaGeometryError(
                f"Two runs are called {run.name}: {held} and {run.suite.origin}. Give one another name in its "
                "suite.json, or walk it into another --out"
            )


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
