"""Every checkpoint in one task, those of the same weights in the same, and no machine's disk promised twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import hf_hub_download

from pythia_geometry.errors import MachineError, PythiaGeometryError
from pythia_geometry.runs.ledger import Ledger
from pythia_geometry.runs.many.cluster_shares import (
    LARGEST_TASK,
    MANY,
    divided,
    room,
    task_size,
    tasks_at_once,
    work_of,
)
from pythia_geometry.runs.many.cluster_task import Work
from pythia_geometry.runs.plan import Plan, make_plan
from pythia_geometry.runs.progress import Silent
from pythia_geometry.runs.request import RAY
from pythia_geometry.store.run_folder import RunFolder
from pythia_geometry.suites.checkpoint import Checkpoint, WeightFile
from tests.hub.server import LocalHub
from tests.runs.served import NAME, WEIGHTS, served
from tests.suites.conftest import hub_cache, serve  # noqa: F401 - fixtures
from tests.suites_on_disk import SuiteOnDisk


def work(*weights: str) -> list[Work]:
    """One checkpoint a letter; the same letter is the same weights, a dot unknown ones."""
    files = [(WeightFile("model.safetensors", 100, "" if letter == "." else letter * 64),) for letter in weights]
    blank = Checkpoint("suite", "model", 0, 0, None, "source", "main")
    return [(replace(blank, step=step, files=of), ["probe"]) for step, of in enumerate(files)]


def steps(tasks: list[list[Work]]) -> list[list[int]]:
    return [[checkpoint.step for checkpoint, _ in task] for task in tasks]


@pytest.mark.parametrize(
    ("weights", "size", "expected"),
    [
        ("abcde", 2, [[0, 1], [2, 3], [4]]),
        ("abcab", 1, [[0, 3], [1, 4], [2]]),
        ("aaaa", 2, [[0, 1, 2, 3]]),
        ("....", 3, [[0, 1, 2], [3]]),
        ("", 1, []),
    ],
)
def test_tasks(weights: str, size: int, expected: list[list[int]]) -> None:
    assert steps(divided(work(*weights), size)) == expected


@pytest.mark.parametrize(
    ("n_weights", "at_once", "expected"),
    [
        (20, [1, 1], 5),  # two tasks for each of two
        (21, [1, 1], 6),
        (3, [4, 4], 1),
        (154, [1], LARGEST_TASK),
    ],
)
def test_size_of_a_task(n_weights: int, at_once: list[int], expected: int) -> None:
    letters = [chr(200 + i) for i in range(n_weights)]
    assert task_size([work(*letters)], at_once) == expected
    assert task_size([work(*letters, *letters)], at_once) == expected, "the same weights are one piece of work"


@pytest.mark.parametrize(
    ("needs", "expected"),
    [
        ({"num_cpus": 1, "num_gpus": 0}, [16, 2]),
        ({"num_cpus": 3, "num_gpus": 0}, [5, 0]),
        ({"num_cpus": 1, "num_gpus": 1}, [4, 0]),
    ],
)
def test_tasks_that_a_machine_has_room_for(needs: dict[str, int], expected: list[int]) -> None:
    assert tasks_at_once(needs, [{"CPU": 16.0, "GPU": 4.0, "memory": 1e9}, {"CPU": 2.0}]) == expected


def test_cluster_of_which_no_machine_has_room_for_a_task_is_said() -> None:
    with pytest.raises(MachineError, match="No machine of the Ray cluster has 64 CPUs and 1 GPU for a task"):
        tasks_at_once({"num_cpus": 64, "num_gpus": 1}, [{"CPU": 16.0, "GPU": 4.0}, {"CPU": 64.0}])


def plan_with(plan: Plan, disk: str, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """The plan as if its largest checkpoint took 100 bytes of disk."""
    monkeypatch.setattr(type(plan.runs[0].suite), "most_to_download", lambda self, c: 100 - c.step)
    return replace(plan, request=replace(plan.request, disk=disk))


@pytest.mark.parametrize(
    ("disk", "at_once", "places", "budget"),
    [
        ("250B", [1, 4], 2, 125),
        ("1000B", [1, 4], 4, 250),  # no more places than tasks at once on the machine that has most
        ("100B", [8], 1, 100),
    ],
)
def test_disk_is_shared_by_the_tasks_of_a_machine(
    suite: SuiteOnDisk,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    disk: str,
    at_once: list[int],
    places: int,
    budget: int,
) -> None:
    plan, folder = make_plan(suite.request()), RunFolder(tmp_path / "run")
    todo = work_of(Ledger(plan.runs[0], plan.request, folder, Silent()))
    found = room(plan_with(plan, disk, monkeypatch), [[], todo], folder, at_once)
    assert (found.places, found.budget) == (places, budget)
    assert found.places * found.budget <= int(disk[:-1])
    assert room(plan, [todo], RunFolder(tmp_path / "other"), at_once).walk != found.walk


def test_places_are_bounded_by_a_given_disk_alone(
    suite: SuiteOnDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, folder = make_plan(suite.request()), RunFolder(tmp_path)
    todo = work_of(Ledger(plan.runs[0], plan.request, folder, Silent()))
    assert room(plan, [todo], folder, [2]).places == MANY
    local = replace(plan, request=replace(plan.request, disk="1B"))  # nothing is downloaded
    assert room(local, [todo], folder, [2]).places == MANY
    assert room(plan_with(plan, "", monkeypatch), [todo], folder, [2]).places == MANY


def test_cache_of_this_machine_makes_no_room_on_the_others(
    serve: Callable[..., LocalHub],  # noqa: F811
    tmp_path: Path,
    hub_cache: Path,  # noqa: F811
) -> None:
    steps = (0, 1, 2, 4)
    one = served(tmp_path / "served", steps)
    hub, size = serve(one.repository), one.size(0)
    for step in steps:
        hf_hub_download(NAME, WEIGHTS, revision=f"step{step}", endpoint=hub.endpoint)
    plan = one.plan(hub, executor=RAY, disk=f"{2 * size}B")
    assert plan.runs[0].bytes_to_come(plan.runs[0].usable) == 0
    folder = RunFolder(tmp_path / "run")
    found = room(plan, [work_of(Ledger(plan.runs[0], plan.request, folder, Silent()))], folder, [16])
    assert (found.places, found.budget) == (2, size)
    with pytest.raises(PythiaGeometryError, match="--disk allows .* alone has"):
        one.plan(hub, executor=RAY, disk=f"{size - 1}B")
