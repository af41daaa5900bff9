"""The methods paragraph says what the manifest says, and cites what was used; CITATION.cff cites both papers."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pythia_geometry.measures import MEASURES
from pythia_geometry.report.methods import methods
from pythia_geometry.shipped import data_folder
from pythia_geometry.store.results import Result

STEPS = pd.DataFrame({"step": [0, 512, 1000, 2000], "status": ["ok", "ok", "ok", "duplicate"]})


def manifest(**changes: Any) -> dict[str, Any]:
    settings = {"dtype": "bfloat16", "attention": "eager", "device": "cuda:0", "batch": 32, "position": "mean"}
    walk = {
        "pythia_geometry": "0.1.0",
        "python": "3.12.1",
        "versions": {"torch": "2.13.0"},
        "settings": {**settings, "fetch": "files", "measures": ["rankme", "twonn"]},
    }
    run = {"suite": "pythia", "model": "pythia-160m", "seed": 3, "n_layers": 12, "notes": ["trained in float16"]}
    probes = {"syntax/agreement_1": {"rows": 64}, "syntax/agreement_1:shuffled": {"rows": 48}}
    return {"walks": [walk], "runs": {"pythia-160m-seed3": run}, "probes": probes} | changes


def test_it_says_models_steps_settings_prompts_measures_and_versions() -> None:
    said, *references = methods(manifest(), STEPS, {})
    assert "We read 3 checkpoints, steps 0 to 1,000, of pythia-160m-seed3 [3, 4]" in said
    assert "1 further checkpoints were not used (1 duplicate)" in said
    for words in ("trained in float16", "in bfloat16", "eager attention kernel", "cuda:0", "32 prompts at a time"):
        assert words in said
    assert "as the mean over prompt tokens" in said
    assert "2 tasks of 48 to 64 prompts (syntax/agreement_1 and syntax/agreement_1:shuffled)" in said
    assert "all tokens of a prompt but the last are permuted" in said
    assert "rankme [5, 6] and twonn [7]" in said
    assert "pythia-geometry 0.1.0, Python 3.12.1, torch 2.13.0" in said
    assert [r.split("]")[0] for r in references] == [f"[{n}" for n in range(1, 8)]
    for paper in ("arXiv:2602.15997", "arXiv:2606.25010", "arXiv:2304.01373", "arXiv:2503.09543", "arXiv:2210.02885"):
        assert any(paper in reference for reference in references)


def test_only_what_was_used_is_cited() -> None:
    one_seed = manifest(runs={"offline": {"suite": "local", "seed": 0, "n_layers": 4}})
    one_seed["walks"][0]["settings"]["measures"] = ["anisotropy"]
    _, *references = methods(one_seed, STEPS, {})
    assert len(references) == 3
    assert not any("Pythia" in reference for reference in references)


def test_kept_results_add_their_test_and_its_settings() -> None:
    kept = {"precursors": Result("precursors", pd.DataFrame(), {"measure": "", "draws": 100, "tasks": "hardest"})}
    said = methods(manifest(), STEPS, kept)[0]
    assert "task-matched lag" in said
    assert "(draws 100, tasks hardest)" in said
    assert "task-matched lag" not in methods(manifest(), STEPS, {})[0]


def test_settings_that_differ_between_walks_are_all_said() -> None:
    twice = manifest()
    other = {**twice["walks"][0], "versions": {"torch": "2.14.0"}}
    other["settings"] = {**other["settings"], "position": "last", "measures": ["weight_norm"], "fetch": "ranges"}
    twice["walks"].append(other)
    said = methods(twice, STEPS, {})[0]
    assert "as the mean over prompt tokens and at the last prompt token" in said
    assert "weight_norm" in said
    assert "geometry without behaviour" in said
    assert "torch 2.14.0" in said
    assert "earlier ones ran with other versions" in said


@pytest.mark.parametrize("given", [{}, {"walks": []}, {"walks": 3}, {"walks": [3]}])
def test_a_manifest_that_knows_nothing_says_so(given: dict[str, Any]) -> None:
    assert "keeps no versions and settings" in methods(given, STEPS, {})[0]


@pytest.mark.parametrize("part", ["runs", "probes"])
@pytest.mark.parametrize("value", [None, 3, [1], {"x": 3}])
def test_spoilt_parts_never_break_it(part: str, value: Any) -> None:
    assert methods(manifest(**{part: value}), STEPS.head(0), {})[0]


def test_every_measure_that_is_cited_exists() -> None:
    held = tomllib.loads((data_folder() / "references.toml").read_text(encoding="utf-8"))["reference"]
    topics = {topic for one in held for topic in one["for"] if ":" not in topic}
    assert topics - set(MEASURES) == {"always", "seeds", "lm-eval", "precursors"}
    assert len({one["cite"] for one in held}) == len(held)


def test_the_citation_file_names_both_papers_and_this_version() -> None:
    root = Path(__file__).parents[2]
    said = (root / "CITATION.cff").read_text(encoding="utf-8")
    version = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    for words in ("cff-version: 1.2.0", f"version: {version}", "arXiv:2602.15997", "arXiv:2606.25010"):
        assert words in said
