"""Probe rows of the patterns lab: one task an output, its parents marked as the target."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pythia_geometry.lab.patterns.settings import Task
from pythia_geometry.lab.probes import ROWS, Row

PROBE_SEED = 104_729


def probe_rows(task: Task) -> Iterator[Row]:
    """128 rows of every output: the prompt ends at the token that predicts it, and the marks are its parents.

    Inputs are held-out ones where the task holds any out.
    """
    rng = np.random.default_rng([PROBE_SEED, task.size])
    inputs, right = task.draw(rng, ROWS, held_out=True)
    right, parents = right[:, -task.size :], task.parents[-task.size :]
    for output, last in enumerate(task.queries):
        name = f"OUT{output:02d}"
        marked = [[2 * key, 2 * key + 1] for key in np.flatnonzero(parents[output]).tolist()]
        for index, (tokens, answer) in enumerate(zip(inputs, right[:, output].tolist(), strict=True)):
            words = [task.vocabulary[token] for token in tokens[: last + 1]]
            yield {
                "id": f"lab/{name}/{index:03d}",
                "task": name,
                "prompt": " ".join(words),
                "target": task.vocabulary[answer],
                "distractors": [word for word in task.answers if word != task.vocabulary[answer]],
                "source": f"lab/{task.name}",
                "marks": {"target": marked},
            }


def write_rows(task: Task, path: Path) -> None:
    """A probe file of these rows."""
    path.write_text("".join(json.dumps(row) + "\n" for row in probe_rows(task)))
