"""The same tiny checkpoints as a local suite, which is the truth, and on a Hub."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from pythia_geometry.runs.plan import Plan, plan_suite
from pythia_geometry.store.tables import Tables
from pythia_geometry.suites.hub.suite import HubSuite
from pythia_geometry.suites.pythia import parse_name
from tests.hub.repository import Repository
from tests.hub.server import LocalHub
from tests.suites_on_disk import SuiteOnDisk, tiny_suite

NAME = "EleutherAI/pythia-14m"
WEIGHTS = "model.safetensors"
FEW = (0, 1, 2, 4, 8, 16, 32, 64, 128, 143000)


@dataclass
class Served:
    """The same checkpoints as a local suite, the truth, and on a Hub."""

    truth: SuiteOnDisk
    repository: Repository
    steps: Sequence[int]
    known: dict[frozenset[int], Tables] = field(default_factory=dict)

    def expected(self, gaps: Iterable[int] = ()) -> Tables:
        """What a walk over the local suite without these steps gives."""
        without = frozenset(gaps)
        if without not in self.known:
            steps = ",".join(str(step) for step in self.steps if step not in without)
            out = self.truth.folder.parent / f"truth-{len(self.known)}"
            self.known[without] = self.truth.walk(out, steps=steps)
        return self.known[without]

    def plan(self, hub: LocalHub, **changes: Any) -> Plan:
        suite = HubSuite(NAME, parse_name(NAME), hub.endpoint)
        steps = ",".join(map(str, self.steps))
        return plan_suite(suite, self.truth.request(**{"steps": steps, **changes}))

    def size(self, step: int) -> int:
        return self.truth.weights(step).stat().st_size


def served(folder: Path, steps: Sequence[int]) -> Served:
    """Steps 0 and 1 hold the same weights, as in Pythia."""
    return on_a_hub(tiny_suite(folder, steps, "pythia-14m"), steps)


def on_a_hub(truth: SuiteOnDisk, steps: Sequence[int]) -> Served:
    """A local suite's files as a Pythia repository; step 1 gets the weights of step 0."""
    (truth.folder / "suite.json").write_text('{"suite": "pythia", "name": "pythia-14m"}')
    truth.weights(1).write_bytes(truth.weights(0).read_bytes())
    repository = Repository(NAME)
    tokenizer = truth.folder / "tokenizer.json"
    for step in steps:
        files = {path.name: path for path in truth.weights(step).parent.iterdir()}
        repository.commit(f"step{step}", {**files, "tokenizer.json": tokenizer})
    repository.commit("main", {**files, "tokenizer.json": tokenizer})
    return Served(truth, repository, steps)


def assert_true(found: Tables, expected: Tables) -> None:
    """Equal to the last bit, and so is what the `checkpoints` table says of the weights."""
    for name in ("geometry", "behaviour", "answers"):
        pd.testing.assert_frame_equal(getattr(found, name), getattr(expected, name), check_exact=True, obj=name)
    ok = found.checkpoints[found.checkpoints["status"] == "ok"]
    assert ok["step"].to_list() == expected.checkpoints["step"].to_list()
    assert ok["weight_sha256"].to_list() == expected.checkpoints["weight_sha256"].to_list()
