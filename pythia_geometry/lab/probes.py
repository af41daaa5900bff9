"""Probe rows of a task-level: what a walk asks a lab model.

Inputs are held-out ones where the space has 5,000 or more; smaller spaces have nothing to hold out. Closed answers
come in equal shares. Where fewer distinct inputs exist than rows are needed, rows repeat evenly.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from random import Random

from pythia_geometry.lab.tasks import Problem, TaskLevel

ROWS = 128  # assumption A15
DRAWS = 20_000
ALGORITHMIC, OWN = "algorithmic", "lab"
"""Names of the probe set that ships and of the one that a suite carries for levels beyond it."""

READ_OFF = {"COPY": 1, "REV": -2}
"""Where in the prompt the answer's first token stands, of the tasks that say it again."""

Row = dict[str, object]


def probe_rows(level: TaskLevel, set_name: str = ALGORITHMIC) -> Iterator[Row]:
    """The 128 rows of one task-level in the probe schema; the same in every call."""
    rng = Random(f"{ALGORITHMIC}/{level.name}")
    for index, (prompt, answer) in enumerate(islice(_balanced(level, rng), ROWS)):
        row: Row = {
            "id": f"{set_name}/{level.name}/{index:03d}",
            "task": level.name,
            "prompt": " ".join(prompt),
            "target": " ".join(answer),
            "distractors": [" ".join(level.said([a])) for a in level.task.answers if a != answer[0]],
            "difficulty": level.size,
            "source": f"lab/{level.task.name} {level.size} {level.task.unit}",
        }
        if (place := READ_OFF.get(level.task.name)) is not None:
            start = len(" ".join(prompt[:place])) + 1
            row["marks"] = {"target": [[start, start + len(prompt[place])]]}
        yield row


def write_rows(levels: Sequence[TaskLevel], path: Path) -> None:
    """A probe file of these levels."""
    path.write_text("".join(json.dumps(row) + "\n" for level in levels for row in probe_rows(level, OWN)))


def _balanced(level: TaskLevel, rng: Random) -> Iterator[Problem]:
    """Endless problems, closed answers in turn; a pool that is used up starts again."""
    endless = [cycle(pool) for pool in _pools(level, rng).values()]
    for pool in cycle(endless):
        yield next(pool)


def _pools(level: TaskLevel, rng: Random) -> dict[str, list[Problem]]:
    """Distinct problems by answer where answers are closed, else in one pool; at most ROWS in each."""
    found: dict[str, dict[str, Problem]] = {}
    for prompt, answer in islice(level.problems(rng, held_out=True), DRAWS):
        pool = found.setdefault(answer[0] if level.task.answers else "", {})
        if len(pool) < ROWS:
            pool.setdefault(" ".join(prompt), (prompt, answer))
    return {answer: list(pool.values()) for answer, pool in sorted(found.items())}
