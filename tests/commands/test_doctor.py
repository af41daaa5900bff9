"""`pythia-geom doctor` as it is typed: what it prints, writes and returns, and what it says to a mistake."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from pythia_geometry import cli
from pythia_geometry.shipped import data_folder
from pythia_geometry.store.results import read_result
from pythia_geometry.suites.pythia import STEPS, parse_name
from tests.hub.environment import client_environment
from tests.hub.server import LocalHub
from tests.suites.histories import history, repository_of, safetensors

NAME = "EleutherAI/pythia-2.8b"
PNG = b"\x89PNG"


class Said(NamedTuple):
    """What the command printed, and its exit code."""

    code: int
    out: str
    err: str


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of some steps of the suite that ships, in the current folder."""
    monkeypatch.chdir(tmp_path)
    for step in (0, 2, 40, 200, 1050, 3120, 7740, 16000):
        shutil.copytree(data_folder() / "suites" / "offline" / f"step{step}", tmp_path / "mine" / f"step{step}")
    return tmp_path / "mine"


def doctor(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> Said:
    """Runs the command in this process."""
    monkeypatch.setattr(sys, "argv", ["pythia-geom", "doctor", *words])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return Said(int(stopped.value.code or 0), *capfd.readouterr())


def in_a_process(endpoint: str, folder: Path, *words: str) -> Said:
    """Runs the command in a new Python that knows only this Hub."""
    code = f"import sys\nfrom pythia_geometry.cli import main\nsys.argv = {['pythia-geom', 'doctor', *words]!r}\nmain()"
    environment = client_environment(endpoint, folder / "home")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False, cwd=folder
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Said(done.returncode, done.stdout, done.stderr)


# -- local suites --------------------------------------------------------------------------------------------


def test_sound_suite_exits_0_and_says_where_the_picture_is(
    suite: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = doctor(capfd, monkeypatch, "mine")
    assert said.code == 0
    assert "picture  doctor/mine/timeline.png (and .svg)" in said.out
    assert "trust                 8  0-16000" in said.out
    assert "--deep reads half a megabyte of each step" in said.out
    folder = suite.parent / "doctor" / "mine"
    assert (folder / "timeline.png").read_bytes().startswith(PNG)
    assert "Which steps can be trusted" in (folder / "timeline.svg").read_text()
    assert sorted(p.name for p in folder.iterdir()) == ["results", "timeline.png", "timeline.svg"]
    steps = read_result(folder, "doctor").frame
    assert list(steps["step"]) == [0, 2, 40, 200, 1050, 3120, 7740, 16000] and set(steps["verdict"]) == {"trust"}
    assert steps["sha256"].str.contains("safetensors ok: [0-9a-f]{64}").all()


def test_copied_step_exits_3_and_is_one_line_with_its_reason(
    suite: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(suite / "step1050" / "model.safetensors", suite / "step40" / "model.safetensors")
    said = doctor(capfd, monkeypatch, "mine", "--out", "pictures")
    assert said.code == 3
    for step, other in ((40, 1050), (1050, 40)):  # nothing tells which of the two is the wrong one
        (line,) = [line for line in said.out.splitlines() if line.split()[:2] == [str(step), "suspect"]]
        assert f"holds the same weights as step{other}" in line
    assert "pictures/timeline.png" in said.out
    assert not (suite.parent / "doctor").exists()


def test_several_models_are_compared_with_each_other(
    suite: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(suite, suite.parent / "yours")
    for name in ("model.safetensors", "config.json"):
        shutil.copy(suite / "step2" / name, suite.parent / "yours" / "step0" / name)
    said = doctor(capfd, monkeypatch, "mine", "yours", "--json", "--out", "pictures")
    assert said.code == 3
    mine, yours = json.loads(said.out)
    assert (mine["run"], yours["run"]) == ("mine", "yours")
    assert {s["verdict"] for s in mine["steps"] if s["step"] > 0} == {"suspect"}
    assert any("yours@step2" in reason for reason in mine["steps"][1]["reasons"])
    assert {p.parent.name for p in (suite.parent / "pictures").rglob("*.png")} == {"mine", "yours"}


def test_little_address_space_costs_the_picture_and_nothing_else(suite: Path) -> None:
    code = "import sys\nfrom pythia_geometry.cli import main\nsys.argv = ['pythia-geom', 'doctor', 'mine']\nmain()"
    done = subprocess.run(
        ["sh", "-c", 'ulimit -v 10000000 && exec "$0" -c "$1"', sys.executable, code],
        capture_output=True, text=True, check=False, cwd=suite.parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "trust                 8  0-16000" in done.stdout
    assert "By the sha256 of the files alone" in done.stdout
    assert "ulimit -v unlimited" in " ".join(done.stderr.split())


def test_deep_finds_swapped_steps(
    suite: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = suite / "step40", suite / "step7740"
    a.rename(suite / "aside")
    b.rename(a)
    (suite / "aside").rename(b)
    assert doctor(capfd, monkeypatch, "mine").code == 0
    said = doctor(capfd, monkeypatch, "mine", "--deep")
    assert said.code == 3
    assert "suspect" in said.out
    assert "times as far from the neighbouring steps" in " ".join(said.out.split())


def test_json_is_the_only_thing_on_standard_output_and_holds_every_hash(
    suite: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import hashlib

    said = doctor(capfd, monkeypatch, str(suite), "--json", "--deep")
    found = json.loads(said.out)
    assert (said.code, found["sound"], found["run"]) == (0, True, "mine")
    assert [s["verdict"] for s in found["steps"]] == ["trust"] * 8
    (file,) = found["steps"][2]["weights"]["safetensors"]["files"]
    content = (suite / "step40" / "model.safetensors").read_bytes()
    assert file == {
        "name": "model.safetensors", "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(),
    }  # fmt: skip
    assert found["steps"][0]["detour"] is None
    assert 0 < found["steps"][2]["detour"] < 1
    assert found["pictures"] == ["doctor/mine/timeline.png", "doctor/mine/timeline.svg"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["nosuch"], "Unknown model 'nosuch'"),
        (["pythia-3b"], "There is no Pythia of size '3b'"),
        (["pythia-160m-seed99"], "does not exist"),
        ([".."], "holds no step folders. Expected step0/, step100/, …"),
        (["mine", "--out", "mine/step0/config.json"], "is a file; expected a folder for the picture"),
    ],
)
def test_mistakes_exit_2_with_one_message(
    suite: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    expected: str,
) -> None:
    (suite.parent / "elsewhere").mkdir()
    monkeypatch.chdir(suite.parent / "elsewhere" if words == [".."] else suite.parent)
    if words == [".."]:
        shutil.rmtree(suite)
    said = doctor(capfd, monkeypatch, *words)
    assert said.code == 2
    assert said.err.startswith("pythia-geom: ")
    assert expected in said.err
    assert said.out == ""


# -- the Hub ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hub() -> Iterator[LocalHub]:
    """The arrangement of EleutherAI/pythia issue 205."""
    run = parse_name("pythia-2.8b")
    assert run is not None
    as_main, second = (set(fault.steps) for fault in run.faults)
    embeddings = history((*STEPS, 144000))
    files = {s: safetensors(embeddings[143000 if s in as_main else 144000 if s in second else s]) for s in STEPS}
    repository = repository_of(files, NAME, main=None)
    repository.commit("main", files[0])
    with LocalHub([repository]) as served:
        yield served


def test_issue_205_on_the_command_line_downloads_no_weights(hub: LocalHub, tmp_path: Path) -> None:
    said = in_a_process(hub.endpoint, tmp_path, "pythia-2.8b")
    assert said.code == 3
    assert "serves the weights of main (issues 205, 195): 76 of 76 served now" in said.out
    assert "shares one second final-era file (issue 205): 10 of 10 served now" in said.out
    run = parse_name("pythia-2.8b")
    assert run is not None
    faulty = {step for fault in run.faults for step in fault.steps}
    lines = {line.split()[0]: line.split()[1] for line in said.out.splitlines() if len(line.split()) > 1}
    assert {
        int(step) for step, verdict in lines.items() if verdict in ("wrong", "suspect") and step.isdigit()
    } == faulty
    assert {lines[str(step)] for step in set(STEPS) - faulty} == {"trust"}
    assert hub.downloaded_files() == []
    assert not [r for r in hub.requests() if "safetensors" in r.label]
    assert (tmp_path / "doctor" / "pythia-2.8b" / "timeline.png").read_bytes().startswith(PNG)


def test_no_network_and_nothing_cached_exits_4(tmp_path: Path) -> None:
    said = in_a_process("http://127.0.0.1:9", tmp_path, "pythia-160m")
    assert said.code == 4
    assert "The Hub cannot be reached and no branch of EleutherAI/pythia-160m is in the Hub cache" in said.err
    assert not (tmp_path / "doctor").exists()


def test_repository_that_does_not_exist_exits_2(hub: LocalHub, tmp_path: Path) -> None:
    said = in_a_process(hub.endpoint, tmp_path, "nobody/nothing")
    assert said.code == 2
    assert "The Hub has no repository 'nobody/nothing'" in said.err
