"""`--search bisect`: an onset from few downloads, the walk's own rows, and plain words about what it assumes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.runs.plan import Plan, plan_suite
from pythia_geometry.runs.request import Request
from pythia_geometry.runs.search import Point, bisect, bracket, fewest
from pythia_geometry.store.run_folder import RunFolder
from pythia_geometry.suites.hub.suite import HubSuite
from pythia_geometry.suites.pythia import parse_name
from tests.hub.repository import Repository
from tests.hub.server import LocalHub
from tests.planted_suite import planted_repository, said_twice
from tests.suites_on_disk import write_probes, write_words

NAME = "EleutherAI/pythia-14m"
STEPS = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000, 2000, 3000, 4000, 5000, 6000)
LEARNT_AT = 512


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repository]:
    folder = tmp_path_factory.mktemp("planted")
    write_words(folder / "tokenizer.json")
    write_probes(folder / "again.jsonl", said_twice(12))
    yield planted_repository(folder / "steps", NAME, STEPS, LEARNT_AT, 0, folder / "tokenizer.json", 64)
    shutil.rmtree(folder)


@pytest.fixture
def hub(repository: Repository) -> Iterator[LocalHub]:
    with LocalHub([repository]) as hub:
        yield hub


def plan(hub: LocalHub, folder: Path, **changes: str) -> Plan:
    probes = write_probes(folder / "again.jsonl", said_twice(12))
    steps = ",".join(map(str, STEPS))
    asked = Request(probes=(str(probes),), measures=("rankme",), steps=steps, device="cpu", threads=1, **changes)
    return plan_suite(HubSuite(NAME, parse_name(NAME), hub.endpoint), asked)


def weights(hub: LocalHub) -> list[str]:
    return [label.split("/")[0] for label in hub.downloaded_files() if label.endswith(".safetensors")]


def test_the_onset_is_found_from_six_of_seventeen_checkpoints(hub: LocalHub, tmp_path: Path) -> None:
    tables, found = bisect(plan(hub, tmp_path), tmp_path / "run")
    (row,) = found.to_dict("records")
    assert (row["after"], row["by"], row["reason"]) == (256, LEARNT_AT, "")
    assert row["first"] < 0.1 and row["last"] > 0.9
    downloaded = weights(hub)
    assert len(downloaded) == len(set(downloaded)) == row["walked"] <= fewest(len(STEPS)) == 6
    assert row["steps"] == len(STEPS)
    assert set(tables.behaviour["step"]) == {int(name.removeprefix("step")) for name in downloaded}
    bisect(plan(hub, tmp_path), tmp_path / "run")
    assert weights(hub) == downloaded  # a second search reads the run folder alone


def test_rows_are_those_of_a_walk_and_the_walk_goes_on_from_them(hub: LocalHub, tmp_path: Path) -> None:
    from pythia_geometry.runs.local import walk

    _, found = bisect(plan(hub, tmp_path), tmp_path / "run")
    after = len(weights(hub))
    whole = walk(plan(hub, tmp_path), tmp_path / "run")
    assert len(weights(hub)) == len(STEPS)  # none twice
    assert after == found["walked"].iloc[0]
    straight = walk(plan(hub, tmp_path), tmp_path / "straight")
    pd.testing.assert_frame_equal(whole.geometry, straight.geometry, check_exact=True)
    pd.testing.assert_frame_equal(whole.behaviour, straight.behaviour, check_exact=True)


def test_a_missing_middle_is_gone_around(repository: Repository, tmp_path: Path) -> None:
    held = dict(repository.branches)
    for step in (64, 128, 256, 1000):
        del repository.branches[f"step{step}"]
    try:
        with LocalHub([repository]) as hub:
            _, found = bisect(plan(hub, tmp_path), tmp_path / "run")
    finally:
        repository.branches.update(held)
    assert found[["after", "by"]].values.tolist() == [[32, LEARNT_AT]]
    assert RunFolder(tmp_path / "run").tables().checkpoints["status"].eq("ok").all()


def points(*values: float, error: float = 0.01) -> list[Point]:
    return [Point(2**i, value, error) for i, value in enumerate(values)]


def test_what_speaks_against_one_rise_is_said() -> None:
    assert bracket(points(0.1, 0.1, 0.9, 0.9)) == (2, 4, 0.5, "")
    found = bracket(points(0.1, 0.8, 0.2, 0.9))
    assert (found.after, found.by) == (4, 8)
    assert found.reason == "halfway at step 2 too, and below again later: not one rise"


def test_no_rise_is_no_onset_and_one_point_is_not_known() -> None:
    flat = bracket(points(0.5, 0.9, 0.51))
    assert (flat.after, flat.by) == (None, None)
    assert "not above the first by two errors" in flat.reason
    assert "not above" in bracket(points(0.9, 0.1)).reason
    assert np.isnan(bracket(points(0.5)).half)
    assert bracket(points()).reason == "known at 0 steps; an onset needs 2"


def test_without_answers_there_is_nothing_to_search_by(hub: LocalHub, tmp_path: Path) -> None:
    with pytest.raises(PythiaGeometryError, match="--fetch ranges leaves them out"):
        bisect(plan(hub, tmp_path, fetch="ranges"), tmp_path / "run")


def test_the_fewest_checkpoints_are_both_ends_and_the_middles() -> None:
    assert [fewest(n) for n in (1, 2, 3, 4, 17, 154)] == [1, 2, 3, 4, 6, 10]
