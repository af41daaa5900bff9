"""How many threads measure is a matter of speed and of nothing else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import current_thread
from time import sleep
from typing import Any

import pytest

from pythia_geometry.runs import local
from pythia_geometry.runs.one_run import measuring
from pythia_geometry.runs.one_run.measuring import measuring_threads
from pythia_geometry.runs.rows import measure_layers
from tests.suites_on_disk import assert_same, tiny_suite


@pytest.mark.parametrize(("cores", "expected"), [(1, 1), (2, 1), (4, 3), (64, 8)])
def test_most_cores_measure_beside_a_gpu_and_one_thread_beside_the_cpu(
    monkeypatch: pytest.MonkeyPatch, cores: int, expected: int
) -> None:
    monkeypatch.setattr(measuring.os, "sched_getaffinity", lambda _: set(range(cores)))
    assert measuring_threads("cuda:1")._max_workers == expected
    assert measuring_threads("cpu")._max_workers == 1


def test_tables_are_those_of_one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite, names = tiny_suite(tmp_path), set()

    def watched(*given: Any) -> Any:
        names.add(current_thread().name)
        sleep(0.2)  # longer than a forward pass here, so that the next probe finds this thread at work
        return measure_layers(*given)

    alone = suite.walk(tmp_path / "one")
    monkeypatch.setattr(local, "measuring_threads", lambda _: ThreadPoolExecutor(4))
    monkeypatch.setattr(measuring, "measure_layers", watched)
    assert_same(suite.walk(tmp_path / "four"), alone)
    assert len(names) > 1
