"""A user's own task: registered, trained by name, walked with its own probes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.probes.probes import load_probes
from pythia_geometry.lab.settings import Training
from pythia_geometry.lab.tasks import TASKS, Problem, Task, default_levels, levels_named, register, vocabulary
from pythia_geometry.lab.train import train
from pythia_geometry.runs.local import walk
from pythia_geometry.runs.plan import make_plan
from pythia_geometry.runs.request import Request
from pythia_geometry.suites.local import LocalSuite

PAGE = Path(__file__).resolve().parents[2] / "docs" / "lab.md"


@pytest.fixture(autouse=True)
def forget_registered() -> Iterator[None]:
    known = dict(TASKS)
    yield
    TASKS.clear()
    TASKS.update(known)


def double(rng: Random, n_digits: int) -> Problem:
    number = rng.randrange(10**n_digits)
    return ["DBL", *f"{number:0{n_digits}d}", "="], list(f"{2 * number:0{n_digits + 1}d}")


DOUBLE = Task("DBL", (1, 2, 4), "digits", double, lambda n: int(10**n))


def test_a_registered_task_is_trained_and_walked(tmp_path: Path) -> None:
    before = vocabulary()
    register(DOUBLE)
    assert vocabulary() == (*before, "DBL")  # tokens of suites that exist keep their ids
    folder = train(Training("smoke", tasks=("DBL", "MOD1"), steps=2), tmp_path)
    assert LocalSuite(folder).default_probes == ("algorithmic/MOD1", str(folder / "lab.jsonl"))
    tables = walk(make_plan(Request(models=(str(folder),))), tmp_path / "run")
    assert set(tables.behaviour["task"]) == {"DBL1", "DBL2", "DBL3", "MOD1"}


def test_levels_that_may_never_be_learnt_are_trained_by_name_alone(tmp_path: Path) -> None:
    assert len(default_levels()) == 24
    assert [level.size for level in levels_named(("PAR",))] == [3, 4, 6]
    assert [level.size for level in levels_named(("PAR", "PAR5", "PAR1"))] == [3, 4, 6, 10]
    folder = train(Training("smoke", tasks=("PAR5",), steps=1), tmp_path)
    (probe,) = load_probes(LocalSuite(folder).default_probes)
    assert probe.name == "lab/PAR5"
    assert {len(item.prompt.split()) for item in probe.items} == {12}
    assert probe.majority == probe.chance == 0.5


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (Task("MOD", (1,), "digits", double, lambda n: 10), "name of its own"),
        (Task("my task", (1,), "digits", double, lambda n: 10), "name of its own"),
        (Task("TWO", (1,), "digits", double, lambda n: 10), "uses 'DBL'"),
        (Task("DBL", (1,), "digits", lambda r, n: (["DBL", "7"], ["1"]), lambda n: 10), "run from 'DBL' to '='"),
        (Task("DBL", (20,), "digits", double, lambda n: 10), "at most 32"),
        (
            Task("DBL", (3,), "x", lambda r, n: (["DBL", *"1" * r.randint(1, n), "="], ["1"]), lambda n: 3),
            "must have one length",
        ),
    ],
)
def test_a_task_that_cannot_be_read_is_refused(task: Task, message: str) -> None:
    with pytest.raises(PythiaGeometryError, match=re.escape(message)):
        register(task)
    assert task.name not in TASKS or task.name == "MOD"


def test_a_full_vocabulary_says_so() -> None:
    for letter in "ABCDEFG":
        register(Task(letter, (1,), "x", lambda r, n, name=letter: ([name, "="], ["1"]), lambda n: 1))  # type: ignore[misc]
    with pytest.raises(PythiaGeometryError, match="vocabulary of 32 tokens is full"):
        register(Task("H", (1,), "x", lambda r, n: (["H", "="], ["1"]), lambda n: 1))


def test_the_page_registers_a_task_in_ten_lines() -> None:
    page = PAGE.read_text()
    (code,) = re.findall(r"```python\n(.*?register\(.*?)```", page, re.S)
    statements = code.split("train(")[0]
    assert len([line for line in statements.splitlines() if line.strip()]) <= 10
    exec(compile(statements, "docs/lab.md", "exec"), {})
    assert "DBL" in TASKS
