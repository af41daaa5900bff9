"""Groups and tags of the real harness become their tasks; what cannot be walked is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.probes.benchmark_items import HarnessOptions
from pythia_geometry.extraction.probes.probes import load_probes
from tests.extraction.local_benchmarks import write_tasks

pytest.importorskip("lm_eval", reason="lm-eval is not installed: pip install 'pythia-geometry[lm-eval]'")
pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # the harness's own
    pytest.mark.slow,  # reads the harness's own index of 14,000 tasks
]


@pytest.fixture(scope="module")
def include(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Local documents for the subjects of MMLU's STEM and for both parts of ARC; a group of one's own."""
    import lm_eval

    home = Path(lm_eval.__file__).parent / "tasks"
    folder = write_tasks(tmp_path_factory.mktemp("tasks"))
    parts = {file.stem: file for file in (home / "mmlu" / "default").glob("mmlu_*.yaml") if "stem" in file.read_text()}
    parts["arc_challenge"] = home / "arc" / "arc_challenge.yaml"
    for task, file in parts.items():
        kind, splits = (
            ("arc_easy", ("train", "validation", "test"))
            if task.startswith("arc")
            else (
                "mmlu_abstract_algebra",
                ("dev", "test"),
            )
        )
        data = {split: str(folder / f"{kind}.{split}.jsonl") for split in splits}
        settings = {"include": str(file), "task": task, "dataset_path": "json", "dataset_name": None}
        (folder / f"{task}.yaml").write_text(json.dumps(settings | {"dataset_kwargs": {"data_files": data}}))
    (folder / "mine.yaml").write_text(json.dumps({"group": "mine", "task": ["sciq", "piqa"]}))
    return folder


@pytest.mark.parametrize(
    ("name", "n", "some"),
    [
        ("mmlu_stem", 19, {"mmlu_abstract_algebra", "mmlu_astronomy", "mmlu_machine_learning"}),  # a group of a tag
        ("ai2_arc", 2, {"arc_easy", "arc_challenge"}),  # a tag
        ("mine", 2, {"sciq", "piqa"}),
    ],
)
def test_a_group_or_tag_is_its_tasks(include: Path, name: str, n: int, some: set[str]) -> None:
    options = HarnessOptions(include=str(include), limit=3)
    probes = load_probes([f"lm-eval:{name}"], options)
    assert len(probes) == n and some <= {probe.task for probe in probes}
    assert {probe.set_name for probe in probes} == {f"lm-eval:{name}"}
    assert all(probe.facts and len(probe.items) == 3 for probe in probes)
    controls = load_probes([f"lm-eval:{name}:shuffled"], options)
    assert [probe.name for probe in controls] == [f"{probe.name}:shuffled" for probe in probes]


def test_a_group_with_a_task_that_generates_names_it(include: Path, tmp_path: Path) -> None:
    for file in include.glob("*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    made = {"task": "writes", "output_type": "generate_until", "dataset_path": "json", "test_split": "test"}
    made |= {"doc_to_text": "{{question}}", "doc_to_target": "x", "metric_list": [{"metric": "exact_match"}]}
    made |= {"dataset_kwargs": {"data_files": {"test": str(include / "several_right.test.jsonl")}}}
    (tmp_path / "writes.yaml").write_text(json.dumps(made))
    (tmp_path / "both.yaml").write_text(json.dumps({"group": "both", "task": ["sciq", "writes"]}))
    with pytest.raises(PythiaGeometryError, match="task writes generates text"):
        load_probes(["lm-eval:both"], HarnessOptions(include=str(tmp_path)))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("arc_eazy", "Did you mean lm-eval:arc_easy"),
        ("gsm8k", "generates text"),
        ("wikitext", "loglikelihood_rolling"),
    ],
)
def test_what_cannot_be_walked_is_refused_by_name(include: Path, name: str, said: str) -> None:
    with pytest.raises(PythiaGeometryError, match=said):
        load_probes([f"lm-eval:{name}"], HarnessOptions(include=str(include)))
