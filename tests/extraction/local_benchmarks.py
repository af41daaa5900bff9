"""Real task definitions of lm-eval over local JSON, made-up documents, and the harness's own answer to them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from random import Random
from typing import Any

# The harness's bootstrap forks this process; a fork of one that holds threads of torch and Arrow may never come back.
os.environ["DISABLE_MULTIPROC"] = "1"

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

LONG_TASKS = {
    "mmlu_abstract_algebra": "mmlu/default/mmlu_abstract_algebra.yaml",
    "leaderboard_bbh_logical_deduction_three_objects": "leaderboard/bbh_mc/logical_deduction_three_objects.yaml",
    "hellaswag": "hellaswag/hellaswag.yaml",
    "boolq": "super_glue/boolq/default.yaml",
    "copa": "super_glue/copa/default.yaml",
    "logiqa": "logiqa/logiqa.yaml",
    "several_right": "",
}
"""The same; the last is no task of the harness: it has several right choices an item, as few of its own have."""

_SEVERAL = {
    "output_type": "multiple_choice",
    "test_split": "test",
    "doc_to_text": "{{question}}",
    "doc_to_choice": "{{options}}",
    "doc_to_target": "{{right}}",
    "metric_list": [{"metric": name} for name in ("acc", "acc_norm")],
    "metadata": {"version": 2.0},
}
_SPLITS = {
    "blimp_adjunct_island": ("train",),
    "truthfulqa_mc1": ("validation",),
    "truthfulqa_mc2": ("validation",),
    "mmlu_abstract_algebra": ("dev", "test"),
    "leaderboard_bbh_logical_deduction_three_objects": ("test",),
    "several_right": ("test",),
}


def write_tasks(folder: Path, n: int = N) -> Path:
    """A folder for `--include`: every task's real definition, its dataset replaced by local JSON."""
    import lm_eval

    home = Path(lm_eval.__file__).parent / "tasks"
    folder.mkdir(parents=True, exist_ok=True)
    for task, file in (TASKS | LONG_TASKS).items():
        data: dict[str, str] = {}
        for split in _SPLITS.get(task, ("train", "validation", "test")):
            path = folder / f"{task}.{split}.jsonl"
            rng = Random(f"{task} {split}")
            path.write_text("".join(json.dumps(document(task, i, rng)) + "\n" for i in range(n)))
            data[split] = str(path)
        own: dict[str, Any] = {"include": str(home / file)} if file else _SEVERAL
        settings = {**own, "task": task, "dataset_path": "json", "dataset_name": None}
        settings["dataset_kwargs"] = {"data_files": data}
        (folder / f"{task}.yaml").write_text(json.dumps(settings))  # JSON is YAML
    return folder


def document(task: str, index: int, rng: Random) -> dict[str, Any]:
    """A made-up document in the form of a task's dataset."""

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
    if task in _LONG:
        return _LONG[task](words, four, rng)
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


_LONG: dict[str, Any] = {
    "mmlu_abstract_algebra": lambda words, four, rng: {
        "question": words(8, 20) + "?",
        "choices": four,
        "answer": rng.randrange(4),
    },
    "leaderboard_bbh_logical_deduction_three_objects": lambda words, four, rng: {
        "input": words(10, 20) + ". Options: (A) {} (B) {} (C) {}".format(*four[:3]),
        "target": rng.choice(["(A)", "(B)", "(C)"]),
    },
    "hellaswag": lambda words, four, rng: {
        "ctx_a": words(4, 9) + ".",
        "ctx_b": words(1, 3),
        "activity_label": words(1, 2),
        "endings": [f"{one} [step] é" for one in four],
        "label": str(rng.randrange(4)),
    },
    "boolq": lambda words, four, rng: {
        "passage": words(10, 30),
        "question": words(3, 6),
        "label": rng.randrange(2),
    },
    "copa": lambda words, four, rng: {
        "premise": words(3, 6) + ".",
        "choice1": "The " + words(2, 4) + ".",
        "choice2": "A " + words(2, 4) + ".",
        "question": rng.choice(["cause", "effect"]),
        "label": rng.randrange(2),
    },
    "logiqa": lambda words, four, rng: {
        "context": words(8, 20) + ".",
        "question": words(4, 8) + "?",
        "options": four,
        "label": rng.choice("abcd"),
    },
    "several_right": lambda words, four, rng: {
        "question": words(4, 8) + "?",
        "options": [" " + one for one in four],
        "right": sorted(rng.sample(range(4), rng.randint(1, 3))),
    },
}


def harness_answers(model: Any, tokenizer: Any, tasks: list[str], include: Path, fewshot: int | None = None) -> Any:
    """What `lm_eval` itself makes of the tasks, with every sample."""
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    lm = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=4)
    manager = TaskManager(include_path=str(include), include_defaults=False)
    return simple_evaluate(lm, tasks=tasks, num_fewshot=fewshot, task_manager=manager, bootstrap_iters=300)
