"""A walk that is killed and typed again ends with the tables of one that was not."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from random import Random

import pandas as pd
import pytest

from pythia_geometry.runs.local import walk
from pythia_geometry.runs.plan import make_plan
from pythia_geometry.store.run_folder import RunFolder
from pythia_geometry.store.tables import KEYS, Tables
from tests.runs.children import Stopped, counted, start, stop
from tests.suites_on_disk import SuiteOnDisk, assert_same, tiny_suite

FEW_STEPS = (0, 3, 9)
N_WRITES = 1 + 5 * len(FEW_STEPS) + 4  # manifest; activations, part, row, comparisons, row of each; tables
NEVER = 10**9


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> SuiteOnDisk:
    return tiny_suite(tmp_path_factory.mktemp("suite"))


@pytest.fixture(scope="module")
def undisturbed(suite: SuiteOnDisk, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return suite.walk(tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> SuiteOnDisk:
    return tiny_suite(tmp_path_factory.mktemp("few"), FEW_STEPS)


@pytest.fixture(scope="module")
def few_undisturbed(few: SuiteOnDisk, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return few.walk(tmp_path_factory.mktemp("few_undisturbed"))


def assert_nothing_twice_or_lost(out: Path, expected: Tables) -> None:
    """What `read` gives, and the Parquet files themselves."""
    found = RunFolder(out).tables()
    for name, keys in KEYS.items():
        assert not getattr(found, name).duplicated(keys).any()
    assert_same(found, expected)
    for name in (*KEYS, "checkpoints"):
        on_disk = pd.read_parquet(out / f"{name}.parquet").astype(getattr(expected, name).dtypes)
        pd.testing.assert_frame_equal(on_disk, getattr(expected, name), check_exact=True, obj=name)
    assert not list(out.rglob(".tmp-*"))


def walk_under_fire(
    suite: SuiteOnDisk, expected: Tables, folder: Path, kills: int, activations: str = "keep"
) -> list[float]:
    """Walks into one folder after another until `kills` walks died; returns when each died."""
    rng = Random(f"kills {kills} {activations}")
    request = suite.request(activations=activations)
    longest, died, runs = 0.0, [], 0
    while len(died) < kills:
        out, done = folder / str(runs), False
        runs += 1
        while not done:
            child, told = start(request, out)
            with told:
                assert told.recv() == "begins"
                began = time.monotonic()
                delay = rng.uniform(0, longest) if longest and len(died) < kills else 60.0
                if told.poll(delay):
                    assert told.recv() == "done", "the walk ended by itself with an error"
                    longest, done = longest or time.monotonic() - began, True
                else:
                    child.kill()
                    died.append(time.monotonic() - began)
                child.join()
            assert child.exitcode == (0 if done else -signal.SIGKILL)
        assert_nothing_twice_or_lost(out, expected)
        assert len(list(out.glob("activations/*"))) == (len(expected.checkpoints) if activations == "keep" else 0)
    return died


def test_walk_killed_five_times_gives_the_tables_of_an_undisturbed_one(
    suite: SuiteOnDisk, undisturbed: Tables, tmp_path: Path
) -> None:
    assert len(walk_under_fire(suite, undisturbed, tmp_path, kills=5)) == 5


@pytest.mark.slow
@pytest.mark.parametrize("activations", ["keep", "none"])
def test_walk_killed_twenty_times_gives_the_tables_of_an_undisturbed_one(
    suite: SuiteOnDisk, undisturbed: Tables, tmp_path: Path, activations: str
) -> None:
    assert len(walk_under_fire(suite, undisturbed, tmp_path, kills=20, activations=activations)) == 20


def test_undisturbed_walk_has_the_writes_that_are_counted_here(few: SuiteOnDisk, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch, counted(patch, NEVER, stop) as seen:
        few.walk(tmp_path / "run")
    assert len(seen) == N_WRITES


@pytest.mark.parametrize("number", range(1, N_WRITES + 1))
def test_walk_killed_just_before_each_write_continues_to_the_same_tables(
    few: SuiteOnDisk, few_undisturbed: Tables, tmp_path: Path, number: int
) -> None:
    out = tmp_path / "run"
    child, told = start(few.request(), out, kill_at=number)
    child.join()
    told.close()
    assert child.exitcode == -signal.SIGKILL
    few.walk(out)
    assert_nothing_twice_or_lost(out, few_undisturbed)


@pytest.mark.parametrize("activations", ["keep", "none"])
def test_walk_stopped_again_and_again_at_a_later_write_ends_with_the_same_tables(
    few: SuiteOnDisk, few_undisturbed: Tables, tmp_path: Path, activations: str
) -> None:
    out, plan = tmp_path / "run", make_plan(few.request(activations=activations))
    for number in range(2, 60):
        with pytest.MonkeyPatch.context() as patch, counted(patch, number, stop):
            try:
                walk(plan, out)
                break
            except Stopped:
                continue
    assert 6 < number < 59
    assert_nothing_twice_or_lost(out, few_undisturbed)


def test_tables_can_be_read_while_a_walk_is_half_done(
    few: SuiteOnDisk, few_undisturbed: Tables, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch, counted(patch, 8, stop), pytest.raises(Stopped):
        few.walk(out)
    half = RunFolder(out).tables()
    assert 0 < len(half.answers) < len(few_undisturbed.answers)
    whole = few_undisturbed.answers.merge(half.answers, how="inner", on=list(half.answers))
    assert len(whole) == len(half.answers)
