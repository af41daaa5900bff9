"""The thread that fetches ahead: in order, within the budget, and gone when the walk is."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import pytest

from pythia_geometry.errors import CheckpointError, PythiaGeometryError
from pythia_geometry.runs.fetching.ahead import Wanted
from pythia_geometry.runs.fetching.files import AHEAD, Fetcher
from pythia_geometry.suites.checkpoint import NEVER, Checkpoint, Stopped, WeightFile

SIZE = 100
SECONDS = 20.0  # no test waits so long unless it fails


def checkpoint(step: int, weights: str = "") -> Checkpoint:
    sha256 = (weights or f"{step:02d}") * 32
    files = (WeightFile("model.safetensors", SIZE, sha256),)
    return Checkpoint("suite", "model", 0, step, None, "source", f"step{step}", files=files)


@dataclass
class Shelf:
    """A suite whose downloads a test starts, holds back and counts."""

    folder: Path
    fetched: list[int] = field(default_factory=list)
    most_on_disk: int = 0
    gates: dict[int, Event] = field(default_factory=dict)
    errors: dict[int, Exception] = field(default_factory=dict)
    at_home: dict[int, Path] = field(default_factory=dict)
    started: dict[int, Event] = field(default_factory=dict)

    def bytes_to_download(self, checkpoint: Checkpoint) -> int:
        return 0 if checkpoint.step in self.at_home else checkpoint.size

    def fetch(self, checkpoint: Checkpoint, folder: Path, stop: Event = NEVER) -> Path:
        self.fetched.append(checkpoint.step)
        self.starts(checkpoint.step).set()
        if checkpoint.step in self.at_home:
            return self.at_home[checkpoint.step]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.safetensors.part").write_bytes(b"x" * (SIZE // 2))
        gate = self.gates.get(checkpoint.step)
        while gate is not None and not gate.wait(0.01):
            if stop.is_set():
                raise Stopped
        if checkpoint.step in self.errors:
            raise self.errors[checkpoint.step]
        (folder / "model.safetensors.part").write_bytes(b"x" * SIZE)
        (folder / "model.safetensors.part").rename(folder / "model.safetensors")
        self.most_on_disk = max(self.most_on_disk, on_disk(self.folder))
        return folder

    def starts(self, step: int) -> Event:
        return self.started.setdefault(step, Event())

    def wait_for(self, step: int) -> None:
        assert self.starts(step).wait(SECONDS), f"step {step} was not fetched; fetched were {self.fetched}"


def on_disk(folder: Path) -> int:
    """Bytes below a folder, of which files may vanish meanwhile."""
    found = 0
    for place, _, names in os.walk(folder):  # passes over folders that vanish
        for name in names:
            with suppress(FileNotFoundError):
                found += (Path(place) / name).stat().st_size
    return found


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "downloads")


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "fetch"]


Make = Callable[..., Fetcher]


@pytest.fixture
def make(shelf: Shelf) -> Make:
    def fetcher(checkpoints: Sequence[Checkpoint], budget: int = 2 * SIZE) -> Fetcher:
        return Fetcher([Wanted(shelf, c) for c in checkpoints], shelf.folder, budget)  # type: ignore[arg-type]

    return fetcher


def get(fetcher: Fetcher, shelf: Shelf, wanted: Checkpoint) -> Path:
    """Asks for a checkpoint and reads it."""
    folder = fetcher.get(shelf, wanted)  # type: ignore[arg-type]
    assert (folder / "model.safetensors").is_file()
    fetcher.loaded()
    return folder


def test_next_comes_while_the_current_one_is_used(make: Make, shelf: Shelf) -> None:
    steps = [checkpoint(step) for step in (1, 2, 3)]
    with make(steps) as fetcher:
        get(fetcher, shelf, steps[0])
        shelf.wait_for(2)  # nobody asked for it
        get(fetcher, shelf, steps[1])
        shelf.wait_for(3)
        get(fetcher, shelf, steps[2])
    assert shelf.fetched == [1, 2, 3]


@pytest.mark.parametrize("budget", [SIZE, SIZE + 1, 2 * SIZE, 3 * SIZE, 5 * SIZE + 50, 100 * SIZE])
def test_budget_is_never_exceeded_and_nothing_is_fetched_twice(make: Make, shelf: Shelf, budget: int) -> None:
    steps = [checkpoint(step) for step in range(20)]
    with make(steps, budget) as fetcher:
        for one in steps:
            get(fetcher, shelf, one)
            assert on_disk(shelf.folder) <= budget
    assert shelf.fetched == list(range(20))
    assert shelf.most_on_disk <= budget
    assert not shelf.folder.exists()


def test_look_ahead_is_as_long_as_the_budget(make: Make, shelf: Shelf) -> None:
    steps = [checkpoint(step) for step in range(20)]
    shelf.gates[3] = Event()
    with make(steps, 4 * SIZE) as fetcher:
        get(fetcher, shelf, steps[0])
        shelf.wait_for(3)
        shelf.gates[3].set()
        get(fetcher, shelf, steps[1])
        shelf.wait_for(4)
        assert shelf.fetched == [0, 1, 2, 3, 4]


def test_look_ahead_ends_also_where_files_take_no_room(make: Make, shelf: Shelf, tmp_path: Path) -> None:
    steps = [checkpoint(step) for step in range(20)]
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "model.safetensors").write_bytes(b"x" * SIZE)
    shelf.at_home = dict.fromkeys(range(20), tmp_path / "cache")
    with make(steps, 0) as fetcher:
        assert get(fetcher, shelf, steps[0]) == tmp_path / "cache"
        shelf.wait_for(AHEAD)
    assert shelf.fetched == list(range(AHEAD + 1))
    assert (tmp_path / "cache" / "model.safetensors").is_file()


def test_one_file_of_budget_fetches_the_next_once_the_current_one_is_read(make: Make, shelf: Shelf) -> None:
    steps = [checkpoint(1), checkpoint(2)]
    with make(steps, SIZE) as fetcher:
        folder = fetcher.get(shelf, steps[0])  # type: ignore[arg-type]
        assert (folder / "model.safetensors").is_file()
        assert shelf.fetched == [1]
        fetcher.loaded()
        shelf.wait_for(2)
        get(fetcher, shelf, steps[1])
    assert shelf.most_on_disk <= SIZE


def test_files_stay_until_the_next_is_asked_for_where_there_is_room(make: Make, shelf: Shelf) -> None:
    steps = [checkpoint(step) for step in (1, 2, 3)]
    with make(steps) as fetcher:
        first = get(fetcher, shelf, steps[0])
        shelf.wait_for(2)
        assert (first / "model.safetensors").is_file()
        get(fetcher, shelf, steps[1])
        assert not first.exists()


def test_same_weights_are_fetched_once_also_if_the_second_comes_later(make: Make, shelf: Shelf) -> None:
    steps = [checkpoint(0, "aa"), checkpoint(1, "aa"), checkpoint(2), checkpoint(3), checkpoint(4, "aa")]
    with make(steps, 3 * SIZE) as fetcher:
        folders = [get(fetcher, shelf, one) for one in steps]
    assert folders[0] == folders[1] == folders[4]
    assert shelf.fetched == [0, 2, 3]
    shelf.fetched.clear()
    with make(steps, SIZE) as fetcher:
        for one in steps:
            get(fetcher, shelf, one)
    assert shelf.fetched == [0, 2, 3, 4]


def test_fault_is_raised_where_it_belongs_and_not_looked_beyond(make: Make, shelf: Shelf) -> None:
    steps = [checkpoint(step) for step in (1, 2, 3, 4)]
    shelf.errors[2] = CheckpointError("step 2 is corrupt", "corrupt")
    with make(steps, 10 * SIZE) as fetcher:
        get(fetcher, shelf, steps[0])
        shelf.wait_for(2)
        until(lambda: len(fetcher._ready) == 2)
        assert shelf.fetched == [1, 2]
        with pytest.raises(CheckpointError, match="step 2 is corrupt"):
            get(fetcher, shelf, steps[1])
        get(fetcher, shelf, steps[2])
        get(fetcher, shelf, steps[3])
    assert shelf.fetched == [1, 2, 3, 4]


def test_after_a_fault_the_same_weights_are_tried_from_the_other_step(make: Make, shelf: Shelf) -> None:
    steps = [checkpoint(0, "aa"), checkpoint(1, "aa")]
    shelf.errors[0] = CheckpointError("not now", "failed")
    with make(steps) as fetcher:
        with pytest.raises(CheckpointError):
            get(fetcher, shelf, steps[0])
        get(fetcher, shelf, steps[1])


def test_failed_download_leaves_nothing_on_the_disk(make: Make, shelf: Shelf) -> None:
    steps = [checkpoint(1), checkpoint(2)]
    shelf.errors[1] = OSError(errno.ENOSPC, "No space left on device")
    shelf.gates[2] = Event()
    with make(steps) as fetcher:
        with pytest.raises(OSError, match="No space left"):
            get(fetcher, shelf, steps[0])
        assert [path.name for path in shelf.folder.rglob("*.safetensors*") if "01" in str(path.parent.name)] == []
        shelf.gates[2].set()


def test_walk_may_ask_in_another_order(make: Make, shelf: Shelf) -> None:
    steps = [checkpoint(step) for step in (9, 1, 2, 3)]
    unforeseen = checkpoint(50)
    with make(steps, 2 * SIZE) as fetcher:
        get(fetcher, shelf, steps[0])
        shelf.wait_for(1)
        get(fetcher, shelf, steps[3])
        get(fetcher, shelf, unforeseen)
        get(fetcher, shelf, steps[1])
        get(fetcher, shelf, steps[2])
    assert shelf.most_on_disk <= 2 * SIZE


def test_larger_than_the_budget_is_said_and_not_fetched(make: Make, shelf: Shelf) -> None:
    with make([checkpoint(1)], SIZE - 1) as fetcher:
        with pytest.raises(PythiaGeometryError, match=r"--disk allows .* model@step1 alone has"):
            get(fetcher, shelf, checkpoint(1))
    assert shelf.fetched == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_stopped_walk_ends_the_thread_and_keeps_what_came(make: Make, shelf: Shelf, error: type[BaseException]) -> None:
    steps = [checkpoint(step) for step in (1, 2, 3)]
    shelf.gates[2] = Event()
    with pytest.raises(error), make(steps) as fetcher:
        get(fetcher, shelf, steps[0])
        shelf.wait_for(2)
        raise error
    assert on_disk(shelf.folder) == SIZE + SIZE // 2
    assert len(list(shelf.folder.iterdir())) == 2
    shelf.gates.clear()
    with make(steps) as fetcher:
        for one in steps:
            get(fetcher, shelf, one)
    assert shelf.most_on_disk <= 2 * SIZE


def test_leftovers_that_nobody_wants_are_removed_and_others_only_if_they_fit(make: Make, shelf: Shelf) -> None:
    steps = [checkpoint(step) for step in (1, 2, 3)]
    for name in ("pythia-14m@step9", *(c.weights for c in steps)):
        (shelf.folder / name).mkdir(parents=True)
        (shelf.folder / name / "model.safetensors.part").write_bytes(b"x")
    shelf.gates[1] = Event()
    with make(steps) as fetcher:
        left = {path.name for path in shelf.folder.iterdir()}
        shelf.gates[1].set()
        get(fetcher, shelf, steps[0])
    assert left == {c.weights for c in steps[:2]}


def test_fault_of_the_thread_itself_reaches_the_walk(make: Make, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Fetcher, "_next", broken)
    with pytest.raises(ZeroDivisionError), make([checkpoint(1)]) as fetcher:
        get(fetcher, shelf, checkpoint(1))


def test_only_what_a_walk_made_is_removed(make: Make, shelf: Shelf, tmp_path: Path) -> None:
    """Whatever else lies there, or is led to from there, is somebody's."""
    elsewhere = tmp_path / "elsewhere"
    for folder in (elsewhere, shelf.folder / "photos", shelf.folder / ("a" * 64) / "sub", shelf.folder / "model@step7"):
        folder.mkdir(parents=True)
        (folder / "mine.txt").write_text("mine")
    (shelf.folder / "notes.txt").write_text("mine")
    (shelf.folder / ("b" * 64)).symlink_to(elsewhere)
    with make([checkpoint(1)]) as fetcher:
        get(fetcher, shelf, checkpoint(1))
    left = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
    assert left == [
        f"downloads/{'a' * 64}/sub/mine.txt", "downloads/notes.txt", "downloads/photos/mine.txt", "elsewhere/mine.txt",
    ]  # fmt: skip
    assert not (shelf.folder / "model@step7").exists()  # a folder of a walk, as its name says


@pytest.mark.parametrize("name", ["..", "../parts", "/etc", "a/b", "a@b/../..", ".", "A" * 64])
def test_weights_whose_name_is_no_folders_are_refused(
    make: Make, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "mine.txt").write_text("mine")
    monkeypatch.setattr(Checkpoint, "weights", name)
    with make([checkpoint(1)]) as fetcher, pytest.raises(CheckpointError, match="has weights called") as caught:
        get(fetcher, shelf, checkpoint(1))
    assert caught.value.status == "corrupt"
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["mine.txt"]


def test_nothing_wanted_fetches_nothing_and_empties_the_folder(make: Make, shelf: Shelf) -> None:
    (shelf.folder / "pythia-14m@step9").mkdir(parents=True)
    with make([], 0):
        pass
    assert not shelf.folder.exists()
    assert shelf.fetched == []
