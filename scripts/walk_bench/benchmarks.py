"""Real task definitions of lm-eval over made-up documents of the real ones' lengths."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

Words = Callable[[int, int], str]

FILES = {
    "arc_easy": "arc/arc_easy.yaml",
    "sciq": "sciq/sciq.yaml",
    "hellaswag": "hellaswag/hellaswag.yaml",
    "mmlu_abstract_algebra": "mmlu/default/mmlu_abstract_algebra.yaml",
}
"""Four choices each: short answers, a long passage, long endings, letters with examples that all items share."""

SPLITS = {"mmlu_abstract_algebra": ("dev", "test")}
TEXT = (
    "the of and to in is that for it as was with on by are this from at which or have an they each other many plant "
    "water energy light heat force animal cell body surface process temperature increase change different produce "
    "between during through food carbon oxygen rock earth wind river muscle blood particle motion speed distance"
)


def write_tasks(folder: Path, n: int) -> None:
    """A folder for `--include`: each task's own definition, its dataset replaced by local JSON of n documents."""
    import lm_eval

    home = Path(lm_eval.__file__).parent / "tasks"
    folder.mkdir(parents=True)
    for task, file in FILES.items():
        data: dict[str, str] = {}
        for split in SPLITS.get(task, ("train", "validation", "test")):
            rng, path = Random(f"{task} {split}"), folder / f"{task}.{split}.jsonl"
            rows = [_document(task, rng) for _ in range(n if split in ("test", "validation") else 16)]
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
            data[split] = str(path)
        settings = {"include": str(home / file), "task": task, "dataset_path": "json", "dataset_name": None}
        (folder / f"{task}.yaml").write_text(json.dumps(settings | {"dataset_kwargs": {"data_files": data}}))


def _document(task: str, rng: Random) -> dict[str, Any]:
    def words(low: int, high: int) -> str:
        return " ".join(rng.choices(TEXT.split(), k=rng.randint(low, high)))

    def four(low: int, high: int) -> list[str]:
        return [words(low, high) for _ in range(4)]

    if task == "arc_easy":
        choices = {"text": four(1, 8), "label": list("ABCD")}
        return {"question": words(10, 30) + "?", "choices": choices, "answerKey": rng.choice("ABCD")}
    if task == "sciq":
        names = ("distractor1", "distractor2", "distractor3", "correct_answer")
        return {"support": words(50, 110) + ".", "question": words(9, 18) + "?"} | dict(
            zip(names, four(1, 3), strict=True)
        )
    if task == "hellaswag":
        about = {"activity_label": words(1, 3), "ctx_a": words(10, 40) + ".", "ctx_b": words(2, 5)}
        return about | {"endings": four(10, 35), "label": str(rng.randrange(4))}
    return {"question": words(15, 40) + "?", "choices": four(2, 8), "answer": rng.randrange(4)}
