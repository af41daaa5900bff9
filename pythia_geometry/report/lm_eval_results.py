"""A walk's benchmarks in the files that lm-eval writes: one results file and one file of samples a task, for each step.

People's own plots, and `read_results` here, read them as they read the harness's.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.store.manifest_file import PROBES
from pythia_geometry.store.run_folder import RunFolder
from pythia_geometry.store.tables import Tables
from pythia_geometry.store.writing import disk_errors, replacing
from pythia_geometry.suites.checkpoint import run_name

TIME = "1970-01-01T00-00-00.000000"
"""Part of every name: the harness has the time of its run there, and one walk exported twice is the same files."""

HARNESS = ("acc", "acc_norm", "acc_bytes", "exact_match", "perplexity")
OURS = ":shuffled"

Facts = Mapping[str, Any]
Json = dict[str, Any]


def export_lm_eval(run: RunFolder, tables: Tables, out: Path) -> list[Path]:
    """Writes the results of every step at which a task of lm-eval was walked.

    Args:
        run: The run folder.
        tables: Its tables.
        out: The folder to fill: `<model>/step<N>/results_….json`, and `samples_<task>_….jsonl` beside it.

    Raises:
        PythiaGeometryError: If no task of lm-eval was walked into it.
    """
    tasks = benchmarks_of(run)
    rows = tables.behaviour[_keys(tables.behaviour).isin(list(tasks))]
    if rows.empty:
        raise PythiaGeometryError(
            f"{run.path} holds no task of lm-eval. Walk one (--probes lm-eval:arc_easy), or export its tables: --to csv"
        )
    items = {key: list(_frozen_items(run, facts)) for key, facts in tasks.items()}
    written: list[Path] = []
    for (model, seed, step), of_step in rows.groupby(["model", "seed", "step"], sort=True):
        folder = out / run_name(str(model), int(str(seed))) / f"step{step}"
        content = _results(of_step, tasks)
        written.append(_write(folder / f"results_{TIME}.json", json.dumps(content, indent=2, allow_nan=True)))
        answers = tables.answers
        here = answers[(answers["model"] == model) & (answers["seed"] == seed) & (answers["step"] == step)]
        for key, of_task in here.groupby(_keys(here), sort=True):
            if key in tasks:
                facts = tasks[str(key)]
                lines = "".join(json.dumps(one) + "\n" for one in _samples(of_task, items[str(key)], facts))
                written.append(_write(folder / f"samples_{facts['task']}_{TIME}.jsonl", lines))
    return written


def benchmarks_of(run: RunFolder) -> dict[str, Facts]:
    """By probe (`lm-eval:blimp/blimp_adjunct_island`), what the manifest says of the tasks of lm-eval in a run folder.

    Companions are left out: their prompts are not the harness's.
    """
    probes = run.manifest().get("probes", {})
    return {name: facts["lm_eval"] for name, facts in probes.items() if "lm_eval" in facts and not name.endswith(OURS)}


def _keys(rows: pd.DataFrame) -> pd.Series:
    return rows["probe"].astype(str) + "/" + rows["task"].astype(str)


def _frozen_items(run: RunFolder, facts: Facts) -> Iterator[Json]:
    """The items of a task in the run folder's frozen files; none where they were taken away."""
    for file in sorted((run.path / PROBES).glob("*.jsonl")):
        header, *lines = file.read_text(encoding="utf-8").splitlines()
        if json.loads(header)["lm_eval_task"]["facts"] == facts:
            yield from map(json.loads, lines)
            return


def _results(rows: pd.DataFrame, tasks: Mapping[str, Facts]) -> Json:
    first = rows.iloc[0]
    results: dict[str, Json] = {}
    about: dict[str, Facts] = {}
    counts: dict[str, Json] = {}
    for key, of_task in rows.groupby(_keys(rows), sort=True):
        facts = tasks[str(key)]
        name = facts["task"]
        if about.setdefault(name, facts) != facts:
            raise PythiaGeometryError(
                f"{name} was walked in two forms (shots, limit or definition), and one file of lm-eval holds one. Walk "
                "them into run folders of their own"
            )
        known = of_task[of_task["metric"].isin(HARNESS) & (of_task["reason"] == "")]
        results[name] = {"alias": name}
        for row in known.to_dict(orient="records"):
            results[name][f"{row['metric']},none"] = row["value"]
            results[name][f"{row['metric']}_stderr,none"] = row["error"]
        n = int(of_task["n"].max())
        counts[name] = {"original": n, "effective": n}
    revision, model = f"step{first['step']}", run_name(str(first["model"]), int(first["seed"]))
    home = f"EleutherAI/{model}" if first["suite"] == "pythia" else f"{model}/{revision}"
    arguments = {"pretrained": home, "revision": revision, "dtype": str(first["precision"])}
    return {
        "results": results,
        "group_subtasks": {name: [] for name in results},
        "configs": {
            name: {"task": name, "output_type": f["kind"], "num_fewshot": f["shots"]} for name, f in about.items()
        },
        "versions": {name: _number(facts["version"]) for name, facts in about.items()},
        "n-shot": {name: facts["shots"] for name, facts in about.items()},
        "n-samples": counts,
        "config": {"model": "hf", "model_args": arguments, "batch_size": None, "written_by": "pythia-geometry"},
        "model_name": home,
        "lm_eval_version": next(iter(about.values()))["harness"],
    }


def _number(version: str) -> float | str:
    try:
        return float(version)
    except ValueError:
        return version


def _samples(answers: pd.DataFrame, items: list[Json], facts: Facts) -> Iterator[Json]:
    by_number = answers.set_index("item").to_dict("index")
    for number, item in enumerate(items):
        if number not in by_number:
            continue
        row = by_number[number]
        scores = _in_order(item, json.loads(row["choices"]))
        greedy = ["None"] * len(scores)  # of the first right choice alone it is known
        greedy[item["gold"][0]] = str(bool(row["exact"])) if math.isfinite(row["exact"]) else "None"
        responses = [[str(score), is_greedy] for score, is_greedy in zip(scores, greedy, strict=True)]
        yield {
            "doc_id": item["doc_id"],
            "doc_hash": hashlib.sha256(json.dumps(item["choices"]).encode()).hexdigest(),
            "target": str(item["gold"][0]) if len(scores) > 1 else item["choices"][0][1],
            "arguments": {f"gen_args_{k}": {"arg_0": c, "arg_1": t} for k, (c, t) in enumerate(item["choices"])},
            "resps": [[one] for one in responses],
            "filtered_resps": responses,
            "filter": "none",
            "metrics": [name for name in facts["metrics"] if name in HARNESS],
            "acc": row["choice"] if len(scores) > 1 else row["exact"],
        }


def _in_order(item: Json, scores: list[float]) -> list[float]:
    """From the first right choice first to the harness's order."""
    first, *others = scores
    at = item["gold"][0]
    return [*others[:at], first, *others[at:]]


def _write(file: Path, text: str) -> Path:
    with disk_errors(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return file
