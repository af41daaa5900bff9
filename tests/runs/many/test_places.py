"""Places on a machine's disk: so many at a time, and nothing left by whoever was killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from threading import Event, Thread, Timer

import pytest

from pythia_geometry.errors import MachineError
from pythia_geometry.runs.many import places
from pythia_geometry.runs.many.places import place, sweep


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path / f"pythia-geometry-{os.getuid()}"


def leave(home: Path) -> Path:
    """What a killed process leaves: a folder with weights that nobody holds."""
    left = home / "other-0" / "downloads"
    left.mkdir(parents=True)
    (left / "weights").write_bytes(b"12345")
    return left


def holder(home: Path) -> subprocess.Popen[bytes]:
    """A process that holds a place, with a file in it."""
    code = (
        "import tempfile, time\n"
        f"tempfile.tempdir = {str(home.parent)!r}\n"
        "from pythia_geometry.runs.many.places import place\n"
        "with place('walk', 1) as here:\n    (here / 'weights').touch()\n    time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 30
    while not (home / "walk-0" / "weights").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return child


def test_each_holder_has_a_folder_of_its_own_which_goes_with_it(home: Path) -> None:
    with place("walk", 2) as first, place("walk", 2) as second:
        assert {first, second} == {home / "walk-0", home / "walk-1"}
        (first / "file").touch()
    assert list(home.iterdir()) == []
    assert home.stat().st_mode & 0o777 == 0o700


def test_who_comes_too_many_waits_until_one_is_free(home: Path) -> None:
    got = Event()

    def wait() -> None:
        with place("walk", 1):
            got.set()

    with place("walk", 1):
        thread = Thread(target=wait)
        thread.start()
        assert not got.wait(0.5)
    assert got.wait(10)
    thread.join()
    assert list(home.iterdir()) == []


def test_places_of_another_walk_are_no_hindrance() -> None:
    with place("walk", 1), place("another", 1) as mine:
        assert mine.name == "another-0"


def test_what_a_killed_process_left_is_removed_by_the_next_and_what_is_held_is_not(home: Path) -> None:
    with place("walk", 1) as held:
        leave(home)
        with place("walk", 2):
            assert sorted(p.name for p in home.iterdir()) == ["walk-0", "walk-1"]
        assert held.is_dir()


def test_process_that_is_killed_gives_its_place_back(home: Path) -> None:
    child = holder(home)
    child.kill()
    child.wait()
    with place("walk", 1) as mine:
        assert list(mine.iterdir()) == []


def test_folder_that_goes_while_it_is_being_made_is_another_place_to_try(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pathlib's `mkdir` fails where the folder was there and then was not."""
    real, failed = Path.mkdir, []

    def gone(self: Path, *given: object, **named: object) -> None:
        if self.name == "walk-0" and not failed:
            failed.append(self)
            raise FileExistsError
        real(self, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "mkdir", gone)
    with place("walk", 2) as mine:
        assert failed
        assert mine == home / "walk-1"


def test_sweep_removes_the_walks_own_that_nobody_holds(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "PATIENCE", 0.2)
    leave(home)
    (home / "walk-3").mkdir()
    with place("walk", 1) as held:
        leave(home)
        (home / "walk-3").mkdir(exist_ok=True)
        sweep("walk")
        assert sorted(p.name for p in home.iterdir()) == ["other-0", "walk-0"]
        assert held.is_dir()


def test_sweep_waits_for_a_process_that_is_about_to_die(home: Path) -> None:
    child = holder(home)
    Timer(0.3, child.kill).start()
    sweep("walk")
    child.wait()
    assert list(home.iterdir()) == []


def test_folder_that_somebody_else_has_prepared_is_refused(home: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    home.symlink_to(tmp_path / "precious")
    with pytest.raises(MachineError, match="belongs to somebody else. Point TMPDIR"):
        with place("walk", 1):
            pass
