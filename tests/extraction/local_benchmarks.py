"""Real task definitions of lm-eval over local JSON, made-up documents, and the harness's own answer to them."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

WORDS = [
    "river",
    "stone",
    "light",
    "bread",
    "winter",
    "teacher",
    "garden",
    "machine",
    "silver",
    "window",
    "answer",
    "morning",
    "music",
    "paper",
    "forest",
    "engine",
    "doctor",
    "letter",
    "market",
    "island",
    "bridge",
    "coffee",
    "shadow",
    "summer",
]
N = 12

TASKS = {
    "arc_easy": "arc/arc_easy.yaml",
    "sciq": "sciq/sciq.yaml",
    "piqa": "piqa/piqa.yaml",
    "lambada_openai": "lambada/lambada_openai.yaml",
    "blimp_adjunct_island": "blimp/adjunct_island.yaml",
    "winogrande": "winogrande/default.yaml",
    "openbookqa": "openbookqa/openbookqa.yaml",
    "truthfulqa_mc1": "truthfulqa/truthfulqa_mc1.yaml",
    "truthfulqa_mc2": "truthfulqa/truthfulqa_mc2.yaml",
}
"""By task, its own file in the harness."""

_SPLITS = {"blimp_adjunct_island": ("train",), "truthfulqa_mc1": ("validation",), "truthfulqa_mc2": ("validation",)}


def write_tasks(folder: Path, n: int = N) -> Path:
    """A folder for `--include`: every task's real definition, its dataset replaced by local JSON."""
    import lm_eval

    home = Path(lm_eval.__file__).parent / "tasks"
    folder.mkdir(parents=True, exist_ok=True)
    for task, file in TASKS.items():
        data: dict[str, str] = {}
        for split in _SPLITS.get(task, ("train", "validation", "test")):
            path = folder / f"{task}.{split}.jsonl"
            rng = Random(f"{task} {split}")
            path.write_text("".join(json.dumps(_document(task, i, rng)) + "\n" for i in range(n)))
            data[split] = str(path)
        settings = {"include": str(home / file), "task": task, "dataset_path": "json", "dataset_name": None}
        settings["dataset_kwargs"] = {"data_files": data}
        (folder / f"{task}.yaml").write_text(json.dumps(settings))  # JSON is YAML
    return folder


def _document(task: str, index: int, rng: Random) -> dict[str, Any]:
    def words(low: int, high: int) -> str:
        return " ".join(rng.choices(WORDS, k=rng.randint(low, high)))

    four = [words(1, 4) for _ in range(4)]
    if task == "arc_easy":
        if index == 0:
            four[1] = four[0]  # two equal choices
        return {
            "question": words(4, 9) + "?",
            "choices": {"text": four, "label": list("ABCD")},
            "answerKey": rng.choice("ABCD"),
        }
    if task == "sciq":
        names = ("distractor1", "distractor2", "distractor3", "correct_answer")
        return {
            "support": words(0, 9) if index else "",
            "question": words(4, 6) + "?",
            **dict(zip(names, four, strict=True)),
        }
    if task == "piqa":
        return {"goal": words(3, 6), "sol1": words(3, 9), "sol2": words(3, 9) + " é", "label": rng.randrange(2)}
    if task == "lambada_openai":
        return {"text": words(8, 14)}
    if task.startswith("blimp"):
        return {"sentence_good": words(4, 8) + ".", "sentence_bad": words(4, 8) + "."}
    if task == "winogrande":
        return {
            "sentence": f"{words(2, 4)} _ {words(2, 4)}",
            "option1": words(1, 2),
            "option2": words(1, 3),
            "answer": rng.choice("12"),
        }
    if task == "openbookqa":
        return {
            "question_stem": words(3, 7),
            "choices": {"text": four, "label": list("ABCD")},
            "answerKey": rng.choice("ABCD"),
        }
    right, wrong = [words(2, 5), words(2, 5)], [words(2, 5) for _ in range(3)]
    one = {"choices": [right[0], *wrong], "labels": [1, 0, 0, 0]}
    return {
        "question": words(3, 6) + "?",
        "mc1_targets": one,
        "mc2_targets": {"choices": right + wrong, "labels": [1, 1, 0, 0, 0]},
    }


def harness_answers(model: Any, tokenizer: Any, tasks: list[str], include: Path, fewshot: int | None = None) -> Any:
    """What `lm_eval` itself makes of the tasks, with every sample."""
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    lm = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=4)
    manager = TaskManager(include_path=str(include), include_defaults=False)
    return simple_evaluate(lm, tasks=tasks, num_fewshot=fewshot, task_manager=manager, bootstrap_iters=300)
