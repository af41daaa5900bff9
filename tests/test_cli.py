"""The command: what a user may mistype, each with its message and exit code, and never a traceback."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
import torch
from rich.console import Console

from pythia_geometry import cli
from pythia_geometry.commands import walk_session as session
from pythia_geometry.runs.plan import make_plan
from pythia_geometry.runs.work import Todo
from pythia_geometry.screens.table import show_table
from pythia_geometry.screens.walk import Bar, show_plan
from pythia_geometry.store.run_folder import RunFolder
from pythia_geometry.suites.pythia import STEPS as PYTHIA_STEPS
from tests.hub.environment import client_environment
from tests.suites_on_disk import SuiteOnDisk, assert_same, rows, tiny_suite, write_probes

STEPS = (0, 2, 4, 8)


class Said(NamedTuple):
    """What the command printed, and its exit code."""

    code: int
    out: str
    err: str


Command = Callable[..., Said]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs `pythia-geom` in this process."""

    def run(*words: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["pythia-geom", *words])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return Said(int(stopped.value.code or 0), out, err)

    return run


def in_a_process(words: list[str], environment: dict[str, str], before: str = "") -> Said:
    """Runs `pythia-geom` in a new Python."""
    code = f"{before}\nimport sys\nfrom pythia_geometry.cli import main\nsys.argv = {['pythia-geom', *words]!r}\nmain()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return Said(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def suite(tmp_path: Path) -> SuiteOnDisk:
    return tiny_suite(tmp_path, STEPS)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`runs/` lands in the test's own folder."""
    monkeypatch.chdir(tmp_path)


def flat(text: str) -> str:
    """Without the line breaks of a narrow terminal."""
    return " ".join(text.split())


# -- what works ------------------------------------------------------------------------------------------


def test_walk_ends_with_summary_pictures_and_tables(command: Command, suite: SuiteOnDisk, tmp_path: Path) -> None:
    said = command(*suite.arguments(tmp_path / "run"))
    assert said.code == 0
    assert said.err == ""
    for expected in ("near", "far", "RankMe after the final norm", "4/4 tiny@step4", "tiny-curves.png", ".parquet"):
        assert expected in said.out
    names = {p.name for p in (tmp_path / "run").iterdir()}
    tables = {f"{name}.parquet" for name in ("geometry", "behaviour", "answers", "checkpoints")}
    assert names - {".lock"} == tables | {
        "manifest.json",
        "manifest.json.copy",
        "summary.csv",
        "belief.csv",
        "figures",
        "report.html",
        "written.json",
        "written.json.copy",
        "parts",
        "checkpoints",
        "activations",
    }


def test_offline_suite_is_the_default(command: Command, tmp_path: Path) -> None:
    said = command("--steps", "0,last", "--probes", "algorithmic/MOD1", "--measures", "rankme")
    assert said.code == 0
    assert (tmp_path / "runs" / "offline" / "geometry.parquet").exists()


def test_options_reach_the_walk(command: Command, suite: SuiteOnDisk, tmp_path: Path) -> None:
    out = tmp_path / "run"
    options = ["--steps", "0,4-8:4", "--position", "mean", "--dtype", "bfloat16", "--batch", "3"]
    options += ["--measures", "rankme, cka_last", "--activations", "none", "--duplicates", "keep"]
    assert command(*suite.arguments(out, *options)).code == 0
    geometry = pd.read_parquet(out / "geometry.parquet")
    assert set(geometry["step"]) == {0, 4, 8}
    assert set(geometry["position"]) == {"mean"}
    assert set(geometry["measure"]) == {"rankme", "cka_last"}
    assert set(geometry["precision"]) == {"bfloat16", "bfloat16, cached float16"}
    assert not (out / "activations").exists()
    settings = json.loads((out / "manifest.json").read_text())["settings"]
    assert (settings["batch"], settings["duplicates"]) == (3, "keep")


def test_two_models_and_several_probes_in_one_command(command: Command, suite: SuiteOnDisk, tmp_path: Path) -> None:
    other = tiny_suite(tmp_path, (0, 2), name="other", seed=500)
    more = write_probes(tmp_path / "more.jsonl", rows("new", 4))
    words = ["--model", str(suite.folder), "-m", str(other.folder), "-p", f"{suite.probes},{more}:shuffled"]
    said = command(*words, "--steps", "0,2", "--measures", "rankme", "--device", "cpu")
    assert said.code == 0
    geometry = pd.read_parquet(tmp_path / "runs" / "tiny+other" / "geometry.parquet")
    assert set(geometry["model"]) == {"tiny", "other"}
    assert set(geometry["probe"]) == {"words", "more:shuffled"}
    assert "tiny seed 0" in said.out


@pytest.mark.parametrize("extra", [[], ["--steps", "0"]])
def test_dry_run_says_what_it_would_do_and_writes_nothing(
    command: Command, suite: SuiteOnDisk, tmp_path: Path, extra: list[str]
) -> None:
    before = sorted(tmp_path.rglob("*"))
    said = command(*suite.arguments(tmp_path / "run", "--dry-run", *extra))
    assert said.code == 0
    assert "Run folder" in said.out
    assert "tiny" in said.out
    assert sorted(tmp_path.rglob("*")) == before


def test_dry_run_of_a_finished_walk_has_nothing_to_do(command: Command, suite: SuiteOnDisk, tmp_path: Path) -> None:
    assert command(*suite.arguments(tmp_path / "run", "--steps", "0-4")).code == 0
    line = next(x for x in command(*suite.arguments(tmp_path / "run", "--dry-run")).out.splitlines() if "tiny" in x)
    assert line.split()[1:4] == ["4", "0", "1"]  # checkpoints, gaps, to do


def test_dry_run_names_the_gaps(command: Command, suite: SuiteOnDisk, tmp_path: Path) -> None:
    suite.weights(2).unlink()
    said = command(*suite.arguments(tmp_path / "run", "--dry-run"))
    assert said.code == 3
    assert "would skip:" in said.out
    assert not (tmp_path / "run").exists()


def test_help_lists_the_options_and_exit_codes(command: Command) -> None:
    said = command("--help")
    assert said.code == 0
    for expected in ("--model", "--activations", "--dry-run", "Exit codes"):
        assert expected in re.sub(r"\x1b\[[0-9;]*m", "", said.out)


def test_version_is_printed(command: Command) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", command("--version").out)


@pytest.mark.parametrize("name", ["pythia-160m", "160m", "EleutherAI/pythia-160m"])
def test_steps_of_pythia_are_listed_without_a_network(command: Command, name: str) -> None:
    said = command("steps", name)
    assert said.code == 0
    assert "154 steps" in said.out
    listed = [int(word) for word in said.out.splitlines()[1].split(", ")]
    assert listed == list(PYTHIA_STEPS)


def test_steps_of_a_folder_and_of_the_offline_suite_are_listed(command: Command, suite: SuiteOnDisk) -> None:
    assert "0, 2, 4, 8" in command("steps", str(suite.folder)).out
    assert "0, 1, 2, 4, 6" in command("steps", "offline").out


def test_the_language_suite_that_ships_is_walked_on_its_own_probes(command: Command, tmp_path: Path) -> None:
    assert "411, 4000" in command("steps", "language").out
    planned = command("--model", "language", "--measures", "rankme", "--dry-run")
    assert re.search(r"language\s+2\s+0\s+2\s+25\s", planned.out)  # checkpoints, gaps, to do, tasks of its four sets
    asked = ("--probes", "ioi/ioi_short", "--measures", "rankme", "--steps", "4000", "--threads", "1")
    assert command("--model", "language", *asked).code == 0
    assert set(pd.read_parquet(tmp_path / "runs" / "language" / "geometry.parquet")["task"]) == {"ioi_short"}


def test_steps_shows_published_faults(command: Command) -> None:
    assert "issue 205" in command("steps", "pythia-2.8b").out


def test_probes_are_listed_with_their_chance(command: Command) -> None:
    said = command("probes")
    assert said.code == 0
    listed = [line.split() for line in said.out.splitlines()]
    assert {"syntax/agreement_0", "algorithmic/MOD1"} <= {words[0] for words in listed}
    assert all(words[1:3] == ["128", "rows"] for words in listed)


def test_one_probe_set_is_shown_with_three_items_a_task(command: Command) -> None:
    said = command("probes", "algorithmic/CMP1")
    assert len(said.out.splitlines()) == 4
    assert "chance 0.33" in said.out
    assert "not " in said.out


# -- what was mistyped: exit code 2 ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "nonsense"], "Unknown model 'nonsense'. Expected offline, language, a folder"),
        (["--model", "pythia-160"], "Did you mean pythia-160m?"),
        (["--model", "pythia-7b"], "There is no Pythia of size '7b'. Sizes: 14m, 31m"),
        (["--model", "./no/such"], "Unknown model './no/such'"),
        (
            ["--steps", "3"],
            "Step 3 is not a checkpoint of offline. Nearest: 2, 4. All 55: pythia-geom steps offline",
        ),
        (["--steps", "99999"], "Step 99999 is not a checkpoint of offline. Nearest: 16000. All 55"),
        (["--steps", "16001-20000"], "selects none of the 55 checkpoints of offline (they run from 0 to 16000)"),
        (["--steps", "0-10:0"], "the stride must be at least 1"),
        (["--steps", "first"], "--steps does not understand 'first'"),
        (["--steps", ""], "--steps does not understand ''"),
        (["--probes", "syntx"], "Unknown probe 'syntx'. Did you mean syntax?"),
        (["--probes", "syntax/nothing"], "Probe set 'syntax' has no task 'nothing'"),
        (["--probes", ""], "--probes has an empty name"),
        (["--probes", "no-such.jsonl"], "There is no probe file no-such.jsonl"),
        (["--probes", "core"], "core (the default) and all are for language models"),
        (["--probes", "syntax/agreement_0"], "take --probes algorithmic"),
        (["--measures", "rankmee"], "--measures 'rankmee' is not one of: rankme"),
        (["--batch", "0"], "--batch must be at least 1"),
        (["--threads", "-2"], "--threads 0"),
        (["--device", "gpu"], "--device 'gpu' is not one of: auto, cpu, cuda"),
        (["--dtype", "int8"], "--dtype 'int8' is not one of: float32"),
        (["--position", "first"], "--position 'first' is not one of: last, mean"),
        (["--duplicates", "x"], "--duplicates 'x' is not one of: refuse, keep"),
        (["--activations", "x"], "--activations 'x' is not one of: keep, none"),
        (["--seeds", "one"], "--seeds does not understand 'one'. Expected 3, 1-9, 0,3,5 or all"),
        (["--seeds", "5-2"], "--seeds does not understand '5-2'"),
        (["--seeds", "1"], "--seeds needs a Pythia size, or steps whose names tell seeds apart"),
        (["--model", "pythia-160m", "--seeds", "12"], "pythia-160m has seeds 1-9"),
        (["--model", "pythia-1b", "--seeds", "1"], "was trained with one seed"),
        (["steps", "nonsense"], "Unknown model 'nonsense'"),
        (["probes", "nonsense"], "Unknown probe 'nonsense'"),
    ],
    ids=" ".join,
)
def test_mistake_gets_one_message_and_exit_code_2(command: Command, words: list[str], message: str) -> None:
    said = command(*words)
    assert said.code == 2
    assert said.err.startswith("pythia-geom: ")
    assert message in flat(said.err)
    assert not Path("runs").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_missing_gpu_is_said(command: Command) -> None:
    said = command("--device", "cuda")
    assert (said.code, "no CUDA GPU. Pass --device cpu" in said.err) == (2, True)


@pytest.mark.parametrize("words", [["--bathc", "3"], ["--batch", "three"], ["walk"], ["steps"]], ids=" ".join)
def test_unknown_words_of_the_command_line_get_exit_code_2(command: Command, words: list[str]) -> None:
    assert command(*words).code == 2


def test_command_that_a_message_names_works(command: Command, suite: SuiteOnDisk, tmp_path: Path) -> None:
    said = command(*suite.arguments(tmp_path / "run", "--steps", "5"))
    assert said.code == 2
    assert "Step 5 is not a checkpoint of tiny. Nearest: 4, 8. All 4:" in said.err
    named = said.err.strip().split("pythia-geom ")[-1].split()
    assert command(*named).code == 0


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (['{"prompt": "w1 w2", "target": "w3"}', "{'prompt': 'w1'}"], ", line 2: not valid JSON"),
        (['{"prompt": "w1", "target": "w3"}', "", "", '{"prompt": "w1"}'], ", line 4: 'target' must be a text"),
        (['["w1"]'], ", row 1: expected an object"),
        (['{"prompt": "w1", "target": "w2", "distractors": "w3"}'], ", line 1: distractors must be"),
        (['{"prompt": "w1", "target": "w2", "distractors": ["w2"]}'], ", line 1: the target 'w2' is also"),
        (['{"prompt": "w1 w2", "target": "w3"}'], "has 1 row. Geometry needs at least 2 rows"),
        ([""], "holds no rows"),
        (['{"prompt": "hello", "target": "w3"}'] * 2, "does not know 'hello'"),
    ],
)
def test_malformed_probe_file_is_named_with_its_line(
    command: Command, suite: SuiteOnDisk, tmp_path: Path, lines: list[str], message: str
) -> None:
    suite.probes.write_text("\n".join(lines) + "\n")
    said = command(*suite.arguments(tmp_path / "run"))
    assert said.code == 2
    assert message in flat(said.err)
    assert not (tmp_path / "run").exists()


def test_folder_without_steps_is_named(command: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    said = command("--model", str(tmp_path / "empty"))
    assert said.code == 2
    assert "holds no step folders. Expected step0/" in flat(said.err)


@pytest.mark.parametrize("name", ["tokenizer.json", "*/config.json"])
def test_suite_without_tokenizer_or_config_is_named(
    command: Command, suite: SuiteOnDisk, tmp_path: Path, name: str
) -> None:
    for file in suite.folder.glob(name):
        file.unlink()
    said = command(*suite.arguments(tmp_path / "run"))
    assert said.code == 2
    assert Path(name).name in said.err


@pytest.mark.parametrize("name", ["tokenizer.json", "step8/config.json"])
def test_damaged_tokenizer_or_config_is_named(command: Command, suite: SuiteOnDisk, tmp_path: Path, name: str) -> None:
    (suite.folder / name).write_text("{")
    said = command(*suite.arguments(tmp_path / "run"))
    assert said.code == 2
    assert Path(name).name in said.err


def test_folder_of_something_else_is_refused_as_run_folder(
    command: Command, suite: SuiteOnDisk, tmp_path: Path
) -> None:
    said = command(*suite.arguments(suite.folder))
    assert said.code == 2
    assert "is no run folder" in said.err
    (tmp_path / "file").write_text("")
    said = command(*suite.arguments(tmp_path / "file"))
    assert (said.code, "is a file" in said.err) == (2, True)


# -- what has gaps: exit code 3 --------------------------------------------------------------------------


def test_truncated_weights_are_skipped_and_filled_in_later(
    command: Command, suite: SuiteOnDisk, tmp_path: Path
) -> None:
    whole = suite.weights(2).read_bytes()
    suite.weights(2).write_bytes(whole[: len(whole) // 2])
    said = command(*suite.arguments(tmp_path / "run"))
    assert said.code == 3
    assert "skipped" in said.out
    assert "model.safetensors is truncated or corrupt" in flat(said.out)
    assert "1 checkpoint is missing" in said.out
    suite.weights(2).write_bytes(whole)
    assert command(*suite.arguments(tmp_path / "run")).code == 0
    assert_same(RunFolder(tmp_path / "run").tables(), suite.walk(tmp_path / "fresh"))


def test_weights_that_would_run_code_are_skipped_and_do_not_run(
    command: Command, suite: SuiteOnDisk, tmp_path: Path
) -> None:
    sentinel = tmp_path / "sentinel"
    suite.weights(2).unlink()
    # A pickle that calls os.system: the protocol's own opcodes, so that no class of this file is needed.
    pickled = f"cos\nsystem\n(S'touch {sentinel}'\ntR.".encode()
    (suite.folder / "step2" / "pytorch_model.bin").write_bytes(pickled)
    said = command(*suite.arguments(tmp_path / "run"))
    assert said.code == 3
    assert "skipped" in said.out
    assert not sentinel.exists()


def test_duplicate_weights_are_skipped_with_the_way_out(command: Command, suite: SuiteOnDisk, tmp_path: Path) -> None:
    shutil.copy(suite.weights(8), suite.weights(4))
    said = command(*suite.arguments(tmp_path / "run"))
    assert said.code == 3
    assert "tiny@step4 holds the same weights as step8 (sha256 " in flat(said.out)
    assert "its curve would be flat." in flat(said.out)
    assert command(*suite.arguments(tmp_path / "run", "--duplicates", "keep")).code == 0


# -- what the machine refuses: exit code 4 ---------------------------------------------------------------


def test_no_network_and_nothing_cached_is_exit_code_4(tmp_path: Path) -> None:
    environment = client_environment("http://127.0.0.1:9", tmp_path / "home")
    said = in_a_process(["--model", "pythia-14m", "--steps", "0"], environment)
    assert said.code == 4
    assert said.err.startswith("pythia-geom: The Hub cannot be reached and no branch of EleutherAI/pythia-14m is in")
    assert not (tmp_path / "runs").exists()


def mount(folder: Path, options: str) -> None:
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.decode().strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A place for a file system of its own, which is taken away at the end."""
    if os.getuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a file system")
    yield tmp_path / "disk"
    subprocess.run(["umount", "--lazy", tmp_path / "disk"], capture_output=True, check=False)


def test_full_disk_stops_the_walk_and_more_space_continues_it(
    command: Command, suite: SuiteOnDisk, tmp_path: Path, disk: Path
) -> None:
    mount(disk, "size=200k")
    said = command(*suite.arguments(disk / "run"))
    assert said.code == 4
    assert "No space left on device. What was finished is kept; free some space" in flat(said.err)
    kept = RunFolder(disk / "run").done()
    assert kept
    subprocess.run(["mount", "-o", "remount,size=50m", disk], check=True)
    assert command(*suite.arguments(disk / "run")).code == 0
    assert_same(RunFolder(disk / "run").tables(), suite.walk(tmp_path / "fresh"))


def test_disk_that_is_full_from_the_start_is_said(command: Command, suite: SuiteOnDisk, disk: Path) -> None:
    mount(disk, "size=4k")
    said = command(*suite.arguments(disk / "run"))
    assert said.code == 4
    assert "No space left on device" in said.err


def test_read_only_disk_is_said(command: Command, suite: SuiteOnDisk, disk: Path) -> None:
    mount(disk, "ro")
    said = command(*suite.arguments(disk / "run"))
    assert said.code == 4
    assert "Read-only file system" in said.err


def test_file_that_may_not_grow_is_said_and_continued(suite: SuiteOnDisk, tmp_path: Path) -> None:
    environment = client_environment("http://127.0.0.1:9", tmp_path / "home")
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))"
    said = in_a_process(suite.arguments(tmp_path / "run"), environment, before=limit)
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 6000
    assert said.code == 4
    assert "File too large" in said.err
    assert_same(suite.walk(tmp_path / "run"), suite.walk(tmp_path / "fresh"))


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="no /proc")
def test_place_that_cannot_be_written_is_said(command: Command, suite: SuiteOnDisk) -> None:
    said = command(*suite.arguments(Path("/proc/no/such/run")))
    assert said.code == 4
    assert said.err.startswith("pythia-geom: Cannot write to /proc/no/such/run: ")


def test_second_walk_at_once_is_said(command: Command, suite: SuiteOnDisk, tmp_path: Path) -> None:
    suite.walk(tmp_path / "run")
    with RunFolder(tmp_path / "run").writing():
        said = command(*suite.arguments(tmp_path / "run"))
    assert said.code == 4
    assert "Another walk is writing to" in said.err


def test_interrupt_is_said_and_continued(
    command: Command, suite: SuiteOnDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(session, "write_outcome", interrupted)
        said = command(*suite.arguments(tmp_path / "run"))
    assert said.code == 130
    assert "type the same command to continue" in said.err
    assert command(*suite.arguments(tmp_path / "run")).code == 0


# -- the screen ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["list[int]", "a[/b]", "[red]", "ünïcode → ✓"])
def test_task_name_is_shown_as_it_is(command: Command, suite: SuiteOnDisk, tmp_path: Path, task: str) -> None:
    write_probes(suite.probes, rows(task, 5))
    said = command(*suite.arguments(tmp_path / "run"))
    assert said.code == 0
    assert re.search(rf"^(words/)?{re.escape(task)}\t", said.out, re.MULTILINE)


def test_names_are_shown_as_they_are_on_a_terminal() -> None:
    screen = StringIO()
    console = Console(force_terminal=True, width=100, file=screen)
    with Bar(console, 2) as bar:
        bar.stage("m@step0", "words/a[/b]")
        bar.finished("m@step0", "")
        bar.stage("m@step1", "words/list[int]")
        bar.finished("m@step1", "step1 at /data/[/x] is broken")
    assert "list[int]" in screen.getvalue()
    assert "/data/[/x] is broken" in screen.getvalue()


def test_plan_shows_sizes_and_tasks_of_several_tokens(suite: SuiteOnDisk, tmp_path: Path) -> None:
    given = rows("long", 4)
    for row in given:
        row["target"] = "w58 w59"
    write_probes(suite.probes, given)
    screen = StringIO()
    plan = make_plan(suite.request())
    todo = {r.name: Todo(tuple(r.usable), frozenset(e.probe.name for e in r.probes)) for r in plan.runs}
    show_plan(Console(width=140, file=screen), plan, todo, tmp_path / "run", 2e9)
    said = flat(screen.getvalue())
    assert "Targets of several tokens, in 1 of the tasks, are scored whole" in said
    assert re.search(r"tiny 4 0 4 1 4 \d+ 0 B 2 kB 0 s", said)
    assert "2 GFLOP/s" in said


def test_a_table_in_a_pipe_is_separated_by_tabs_whatever_stands_in_it() -> None:
    written = StringIO()
    show_table(Console(file=written, width=40), ["a", "b"], [["x[red]y" * 20, "1"], ["one  two\nthree", "2"]], "title")
    assert written.getvalue() == f"title\na\tb\n{'x[red]y' * 20}\t1\none two three\t2\n"
