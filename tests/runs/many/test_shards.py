"""A walk divided among processes ends with the tables of one process, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from pythia_geometry import cli
from pythia_geometry.errors import EXIT_GAPS, MachineError, PythiaGeometryError
from pythia_geometry.runs.many.shards import Shard, parse_shard, walk_shard
from pythia_geometry.runs.plan import make_plan
from pythia_geometry.store.run_folder import RunFolder
from pythia_geometry.store.tables import Tables
from tests.runs.children import Stopped, counted, forkserver, stop
from tests.suites_on_disk import TASKS, SuiteOnDisk, assert_same, rows, tiny_suite, write_probes

TABLES = ("geometry", "behaviour", "answers", "checkpoints")


def assert_same_files(out: Path, expected: Path) -> None:
    for name in TABLES:
        assert (out / f"{name}.parquet").read_bytes() == (expected / f"{name}.parquet").read_bytes(), name


def shards(suite: SuiteOnDisk, out: Path, count: int, **changes: object) -> None:
    plan = make_plan(suite.request(**changes))
    for index in range(1, count + 1):
        walk_shard(plan, Shard(index, count), out)


def in_a_process(suite: SuiteOnDisk, index: int, count: int, out: Path) -> None:
    walk_shard(make_plan(suite.request()), Shard(index, count), out)


def test_three_processes_at_once_give_the_files_of_one(suite: SuiteOnDisk, alone: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    children = [forkserver().Process(target=in_a_process, args=(suite, i, 3, out)) for i in (1, 2, 3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0
    assert sorted(p.name for p in (out / "shards").iterdir()) == ["1-of-3", "2-of-3", "3-of-3"]
    suite.walk(out)
    assert_same_files(out, alone)
    assert not any(shard.done() for shard in RunFolder(out).shards())


@pytest.mark.parametrize("activations", ["keep", "none"])
def test_last_command_runs_no_probe_again(
    suite: SuiteOnDisk, alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, activations: str
) -> None:
    out = tmp_path / "run"
    shards(suite, out, 2, activations=activations)
    monkeypatch.setattr("pythia_geometry.runs.one_run.measuring.capture", stop)
    suite.walk(out, activations=activations)
    assert_same_files(out, alone)
    assert len(list(out.glob("activations/*"))) == (7 if activations == "keep" else 0)
    assert not (out / "passing").exists()


def test_shares_are_disjoint_whole_and_the_same_whatever_is_done(suite: SuiteOnDisk, tmp_path: Path) -> None:
    plan = make_plan(suite.request())
    steps = [[c.step for c in Shard(i, 3).of(plan).runs[0].checkpoints] for i in (1, 2, 3)]
    assert steps == [[0, 4, 32], [1, 8], [2, 16]]
    walk_shard(plan, Shard(1, 3), tmp_path / "run")
    assert Shard(1, 3).of(make_plan(suite.request())).runs[0].checkpoints == Shard(1, 3).of(plan).runs[0].checkpoints


def test_more_shards_than_checkpoints(suite: SuiteOnDisk, alone: Path, tmp_path: Path) -> None:
    shards(suite, tmp_path / "run", 9)
    suite.walk(tmp_path / "run")
    assert_same_files(tmp_path / "run", alone)


def test_missing_shard_is_walked_by_the_last_command(suite: SuiteOnDisk, alone: Path, tmp_path: Path) -> None:
    walk_shard(make_plan(suite.request()), Shard(2, 3), tmp_path / "run")
    suite.walk(tmp_path / "run")
    assert_same_files(tmp_path / "run", alone)


def test_shards_add_a_probe_to_a_finished_walk(suite: SuiteOnDisk, tmp_path: Path) -> None:
    more = str(write_probes(tmp_path / "more.jsonl", rows(TASKS[0], 8, seed=5)))
    both = (str(suite.probes), more)
    suite.walk(tmp_path / "alone")
    suite.walk(tmp_path / "alone", probes=both)
    out = tmp_path / "run"
    suite.walk(out)
    shards(suite, out, 2, probes=both)
    added = [part for shard in RunFolder(out).shards() for part in shard._parts()]
    assert len(added) == 7
    suite.walk(out, probes=both)
    assert_same_files(out, tmp_path / "alone")


def test_shard_and_gathering_stopped_before_every_write_lose_and_double_nothing(tmp_path: Path) -> None:
    suite = tiny_suite(tmp_path, (0, 3, 9))
    expected: Tables = suite.walk(tmp_path / "alone")
    out, plan, times = tmp_path / "run", make_plan(suite.request()), 0
    work = [lambda: walk_shard(plan, Shard(1, 2), out), lambda: walk_shard(plan, Shard(2, 2), out)]
    for number, act in enumerate([*work, lambda: suite.walk(out)]):
        for at in range(1, 60):
            with pytest.MonkeyPatch.context() as patch, counted(patch, at, stop):
                try:
                    act()
                    break
                except Stopped:
                    times += 1
        assert at < 59, number
    assert times > 12
    assert_same(RunFolder(out).tables(), expected)
    assert_same_files(out, tmp_path / "alone")
    assert not list(out.rglob(".tmp-*"))


def test_running_shard_is_waited_for_and_nothing_is_moved(suite: SuiteOnDisk, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shards(suite, out, 2)
    before = sorted((out / "shards").rglob("*"))
    unfinished = RunFolder(out).shard("2-of-2").path / "parts" / ".tmp-half"
    unfinished.mkdir()
    with RunFolder(out).shard("1-of-2").writing():
        with pytest.raises(MachineError, match="Another walk is writing to .*1-of-2"):
            suite.walk(out)
        with pytest.raises(MachineError, match="Another walk is writing to .*1-of-2"):
            walk_shard(make_plan(suite.request()), Shard(1, 2), out)
    assert set(before) <= set((out / "shards").rglob("*"))


def test_walk_leaves_the_unfinished_files_of_a_running_shard(suite: SuiteOnDisk, tmp_path: Path) -> None:
    half = RunFolder(tmp_path / "run").shard("1-of-2").path / "parts" / ".tmp-half"
    half.mkdir(parents=True)
    with RunFolder(tmp_path / "run").writing():
        assert half.is_dir()


def test_manifest_names_the_machines_of_the_shards(suite: SuiteOnDisk, tmp_path: Path) -> None:
    shards(suite, tmp_path / "run", 2, batch=3)
    suite.walk(tmp_path / "run")
    walks = RunFolder(tmp_path / "run").manifest()["walks"]
    assert [walk["settings"]["batch"] for walk in walks] == [3, 128]


def test_broken_checkpoint_is_told_by_its_shard_and_a_row_in_the_end(tmp_path: Path) -> None:
    suite = tiny_suite(tmp_path, (0, 3, 9))
    suite.weights(3).write_bytes(b"no weights")
    plan = make_plan(suite.request())
    tried = [walk_shard(plan, Shard(i, 2), tmp_path / "run") for i in (1, 2)]
    assert [{label: error and error.status for label, error in found.items()} for found in tried] == [
        {"tiny@step0": None, "tiny@step9": None},
        {"tiny@step3": "corrupt"},
    ]
    assert_same(suite.walk(tmp_path / "run"), suite.walk(tmp_path / "alone"))


@pytest.mark.parametrize("text", ["x", "1", "1/", "/2", "-1/2", "1/2/3", "1.5/2", "0/2", "3/2", "1/0"])
def test_shard_that_is_none(text: str) -> None:
    with pytest.raises(PythiaGeometryError, match=r"--shard .*(Expected i/n|Type --shard 1/)"):
        parse_shard(text)


def test_command(
    suite: SuiteOnDisk, alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(*more: str) -> int:
        monkeypatch.setattr("sys.argv", ["pythia-geom", *suite.arguments(tmp_path / "run", *more)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        return int(stopped.value.code or 0)

    assert command("--shard", "1/2", "--dry-run") == 0
    assert not (tmp_path / "run").exists()
    assert command("--shard", "1/2") == 0
    assert "without --shard" in " ".join(capsys.readouterr().out.split())
    assert command("--shard", "2/2") == 0
    assert command("--shard", "3/2") == 2
    assert "--shard 3/2: shards are counted from 1 to 2. Type --shard 1/2" in capsys.readouterr().err
    assert command("--shard", "1/2", "--executor", "ray") == 2
    assert command() in (0, EXIT_GAPS)
    assert_same_files(tmp_path / "run", alone)
