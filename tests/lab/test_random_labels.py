"""The null of C3: answers that have nothing to do with their prompts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from random import Random
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from pythia_geometry.lab.settings import Training
from pythia_geometry.lab.tasks import TASKS
from pythia_geometry.shipped import data_folder

SHELF = data_folder() / "reference" / "random_labels"
RECORDS = sorted(SHELF.glob("*.json"))


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    known = dict(TASKS)
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2] / "scripts"))
    yield import_module("lab_random_labels")
    TASKS.clear()
    TASKS.update(known)


def test_answers_are_as_frequent_as_before_and_tell_nothing_of_their_prompts(script: ModuleType) -> None:
    training = Training("smoke", tasks=("CMP1",))
    true = [next(training.levels[0].problems(Random(i), held_out=False)) for i in range(3_000)]
    script.forget_the_tasks()
    drawn = [next(replace(training).levels[0].problems(Random(i), held_out=False)) for i in range(3_000)]
    said, before = (Counter(answer[0] for _, answer in rows) for rows in (drawn, true))
    assert all(abs(said[token] - n) < 4 * np.sqrt(n) for token, n in before.items()) and set(said) == set(before)
    same = np.mean([answer == own for (_, answer), (_, own) in zip(drawn, true, strict=True)])
    assert same == pytest.approx(sum((n / 3_000) ** 2 for n in before.values()), abs=0.04)


def test_nulls_ship() -> None:
    assert len(RECORDS) >= 12


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_a_null_begins_where_its_run_begins_and_learns_no_task(record: Path) -> None:
    made = json.loads(record.read_text())
    of = record.stem.replace("-random-labels", "")
    assert made["training"]["steps"] == 60 and made["n_parameters"] > 0 and made["cpu_seconds"] > 0
    keys = ["step", "task", "layer", "measure"]
    places = ((SHELF, record.stem), (SHELF.parent / "transient", of))
    null, run = (
        pd.read_parquet(folder / f"{name}.geometry.parquet").set_index(keys)["value"] for folder, name in places
    )
    assert sorted(null.index) == sorted(run.index)
    assert null.loc[0].dropna().to_numpy() == pytest.approx(run.loc[0].dropna().to_numpy(), rel=1e-4)
    assert not np.allclose(null.loc[60].dropna(), run.loc[60].dropna(), rtol=1e-2)  # other answers, other weights
    assert made["training"]["scale"] == record.stem.split("-")[0]
