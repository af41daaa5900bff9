"""A tiny local suite and a probe file: what most tests of a walk run on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from pythia_geometry.runs.local import walk
from pythia_geometry.runs.plan import make_plan
from pythia_geometry.runs.request import Request
from pythia_geometry.store.tables import Tables
from tests.hub.checkpoints import pythia_config, write_checkpoint

WORDS = tuple(f"w{i}" for i in range(60))
STEPS = (0, 1, 2, 4, 8, 16, 32)
LAYERS = ("embed", "resid_1", "resid_2", "final_norm")
TASKS = ("near", "far")


@dataclass(frozen=True)
class SuiteOnDisk:
    """A suite's folder and its probe file."""

    folder: Path
    probes: Path

    def request(self, **changes: Any) -> Request:
        """A request for this suite and its probes, on the CPU."""
        given: dict[str, Any] = {
            "models": (str(self.folder),),
            "probes": (str(self.probes),),
            "device": "cpu",
            "threads": 1,
        }
        return Request(**(given | changes))

    def walk(self, out: Path, **changes: Any) -> Tables:
        """Plans and walks."""
        return walk(make_plan(self.request(**changes)), out)

    def arguments(self, out: Path, *more: str) -> list[str]:
        """The same as words of the command line."""
        model = ["--model", str(self.folder), "--probes", str(self.probes)]
        return [*model, "--out", str(out), "--device", "cpu", "--threads", "1", *more]

    def weights(self, step: int) -> Path:
        """The weight file of a step."""
        return self.folder / f"step{step}" / "model.safetensors"


def tiny_suite(folder: Path, steps: Sequence[int] = STEPS, name: str = "tiny", seed: int = 100) -> SuiteOnDisk:
    """Random weights, one seed a step from `seed` on, two layers of width 16; a probe file with two tasks of 8 rows."""
    suite = folder / name
    for step in steps:
        write_step(suite, step, seed=seed + step)
    write_words(suite / "tokenizer.json")
    probes = folder / "words.jsonl"
    write_probes(probes, rows(TASKS[0], 8) + rows(TASKS[1], 8))
    return SuiteOnDisk(suite, probes)


def write_step(suite: Path, step: int, seed: int, **changes: Any) -> None:
    """Writes (again) the checkpoint of one step."""
    write_checkpoint(suite / f"step{step}", pythia_config("tiny", initializer_range=0.3), seed=seed, **changes)


def write_words(path: Path) -> None:
    """A tokenizer of 60 words."""
    tokenizer = Tokenizer(WordLevel({w: i for i, w in enumerate(("[UNK]", *WORDS))}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.save(str(path))


def rows(task: str, n: int, distractors: int = 2, seed: int = 0) -> list[dict[str, Any]]:
    """Rows of one task: prompts of 3 to 6 words, one target, some distractors."""
    rng = Random(f"{task} {seed}")
    found = []
    for index in range(n):
        target, *others = rng.sample(WORDS, 1 + distractors)
        prompt = " ".join(rng.choices(WORDS, k=rng.randint(3, 6)))
        row = {"id": f"{task}/{index}", "task": task, "prompt": prompt, "target": target, "distractors": others}
        found.append(row)
    return found


def write_probes(path: Path, given: Sequence[dict[str, Any]]) -> Path:
    """A JSONL file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in given))
    return path


def assert_same(found: Tables, expected: Tables) -> None:
    """All four tables are equal, to the last bit and in order."""
    for name in ("geometry", "behaviour", "answers", "checkpoints"):
        pd.testing.assert_frame_equal(getattr(found, name), getattr(expected, name), check_exact=True, obj=name)
