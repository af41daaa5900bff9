"""The real command, stopped by a signal in the middle: nobody lives on, and the same words continue."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.runs.command import STOPPED, Command, parts
from tests.runs.many.test_shards import assert_same_files
from tests.suites_on_disk import SuiteOnDisk, tiny_suite


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> SuiteOnDisk:
    return tiny_suite(tmp_path_factory.mktemp("suite"), tuple(range(0, 80, 2)))


def test_sigterm_is_like_ctrl_c(suite: SuiteOnDisk, alone: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with Command(suite.arguments(out)) as command:
        command.wait_until(lambda: parts(out))
        assert command.signal(signal.SIGTERM) == (143, STOPPED)
    assert 0 < parts(out) < parts(alone)
    suite.walk(out)
    assert_same_files(out, alone)


def test_output_that_nobody_reads_any_more_stops_the_walk_with_a_word(suite: SuiteOnDisk, tmp_path: Path) -> None:
    with Command(suite.arguments(tmp_path / "run")) as command:
        assert command.process.stdout is not None
        command.process.stdout.close()  # as `| head` does
        command.process.stdout = None
        code, said = command.end()
    assert code == 141
    assert said == "pythia-geom: Stopped, since nobody reads the output any more. What a walk has finished is kept\n"


def test_no_process_of_a_device_outlives_ctrl_c_or_a_kill(suite: SuiteOnDisk, alone: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = suite.arguments(out, "--device", "cpu,cpu")
    with Command(words) as command:
        command.wait_until(lambda: parts(out))
        assert len(command.alive()) == 3
        assert command.signal(signal.SIGINT, everybody=True) == (130, STOPPED)
    command.assert_nobody_lives()
    before = parts(out)
    with Command(words) as command:
        command.wait_until(lambda: parts(out) > before)
        assert command.signal(signal.SIGKILL) == (-signal.SIGKILL, "")
    command.assert_nobody_lives()
    assert parts(out) < parts(alone)
    suite.walk(out)
    assert_same_files(out, alone)


@pytest.mark.slow
def test_sigterm_to_every_process_as_slurm_sends_it_is_heard_by_the_one_that_was_typed(
    suite: SuiteOnDisk, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with Command(suite.arguments(out, "--device", "cpu,cpu")) as command:
        command.wait_until(lambda: parts(out))
        for child in set(command.alive()) - {command.process.pid}:
            os.kill(child, signal.SIGTERM)
        time.sleep(0.1)
        assert command.signal(signal.SIGTERM) == (143, STOPPED)
    command.assert_nobody_lives()
