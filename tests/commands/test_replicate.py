"""`pythia-geom replicate`: what it says before it starts, and a small one from end to end, killed on the way."""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path

import pytest

from pythia_geometry import cli
from pythia_geometry.commands.replication import probes
from pythia_geometry.extraction.probes import lm_eval_tasks
from pythia_geometry.extraction.probes.benchmark_items import (
    BenchmarkFacts,
    Frozen,
    benchmark_item,
    frozen_name,
    frozen_text,
)
from pythia_geometry.extraction.probes.probes import Probe
from pythia_geometry.store.results import read_result
from pythia_geometry.store.run_folder import RunFolder
from pythia_geometry.suites.pythia import STEPS
from tests.commands.pythia_hub import faulty, listed_only, real_bytes, served, tokenizer_files
from tests.hub.checkpoints import TOKENIZER, pythia_config
from tests.hub.environment import client_environment
from tests.hub.server import LocalHub
from tests.runs.command import Command, parts

with_tokenizer = pytest.mark.skipif(not TOKENIZER.is_file(), reason="needs Pythia's tokenizer")
FEW = (0, 1, 2, 8, 64, 512, 4000, 64000, 66000, 143000)
SMALL = """
import pythia_geometry.commands.replication.probes as probes
probes.DIAGNOSTIC = ("general/scene_short", "factual/capital_rare")
"""
ONE_LAB_RUN = """
from dataclasses import replace
import pythia_geometry.commands.comparison as comparison
whole = comparison.lab_evidence()
one = {kind: rows[rows["model"] == "smoke-gpt2"] for kind, rows in vars(whole).items() if kind in ("geometry", "behaviour")}
comparison.lab_evidence = lambda: replace(whole, **one)
"""


def command(hub: LocalHub, folder: Path, *words: str, before: str = SMALL) -> Command:
    """The command with two tasks in place of the seven sets."""
    given = ["replicate", "--benchmarks", "none", "--out", str(folder / "out"), "--device", "cpu", *words]
    environment = client_environment(hub.endpoint, folder / "home")
    return Command(given, environment, before=before)


def said(one: Command) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    out, err = one.process.communicate(timeout=1200)
    assert "Traceback" not in err, err
    return one.process.returncode, out, err


def cells(out: str, first: str) -> list[list[str]]:
    """Rows of tables that begin with a word."""
    return [line.split("\t") for line in out.splitlines() if line.split("\t")[0] == first]


@with_tokenizer
def test_dry_run_of_the_real_one_knows_bytes_and_steps_and_writes_nothing(tmp_path: Path) -> None:
    tokenizer = tokenizer_files(tmp_path / "tokenizer")
    sizes = ("160m", "410m", "2.8b")
    with LocalHub([listed_only(size, tokenizer) for size in sizes]) as hub:
        code, out, _ = said(command(hub, tmp_path, "--dry-run"))
        assert not hub.requests(contains="/cdn/")
    assert code == 3  # 2.8B has steps that will be skipped
    assert "serves the weights of main (issues 205, 195): 76 of 76 served now" in out
    for size in sizes:
        wrong = frozenset().union(*faulty(size))
        usable = [step for step in STEPS if step not in wrong]
        plan, cost = cells(out, f"pythia-{size}")
        assert plan[1:3] == [str(len(usable)), str(len(wrong))]
        assert cost[1:4] == ["154", str(len(usable)), str(len(usable))]
        expected = len({max(step, 1) for step in usable}) * real_bytes(size)  # steps 0 and 1 are one file
        assert cost[4] == f"{expected / 1e9:.0f} GB"
        assert re.fullmatch(r"\d+ [kMG]B", cost[5])
    assert [row[1] for row in cells(out, "all")] == [str(3 * 154)]
    assert not (tmp_path / "out").exists()


# -- what is asked of every checkpoint ---------------------------------------------------------------------------


def frozen(name: str, context: str = "Question: a", group: str = "") -> Frozen:
    items = tuple(
        benchmark_item(name, i, [(context, " b"), (context, f" c{i}")], (0,), [(1, 1), (2, 2)]) for i in (0, 1)
    )
    facts = BenchmarkFacts(name, "multiple_choice", ("acc",), "1", 0, "0.4.13", "x", "y")
    return Frozen(f"lm-eval:{group or name}", facts, items)


def asked(home: Path, *benchmarks: str) -> tuple[list[Probe], list[str]]:
    said: list[str] = []
    return probes.replication_probes(benchmarks, "", home, said.append), said


def test_seven_sets_and_every_companion(tmp_path: Path) -> None:
    found, said = asked(tmp_path, "none")
    sets = {probe.set_name for probe in found}
    assert sets == {*probes.DIAGNOSTIC, *(f"{name}:shuffled" for name in probes.DIAGNOSTIC)}
    own = [probe.name for probe in found if not probe.is_shuffled]
    assert [probe.name for probe in found[len(own) :]] == [f"{name}:shuffled" for name in own]
    assert said == []


def test_benchmarks_come_from_their_frozen_items_and_the_harness_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lm_eval_tasks, "build_tasks", lambda *given: pytest.fail("the harness was asked"))
    kept = [frozen("arc_easy"), frozen("pair_a", "", "pairs"), frozen("pair_b", "Say", "pairs")]
    for one in kept:
        (tmp_path / frozen_name(one)).write_text(frozen_text(one))
    found, said = asked(tmp_path, "lm-eval:arc_easy", "lm-eval:pairs")
    names = [probe.name for probe in found if probe.facts]
    assert names == [
        "lm-eval:arc_easy/arc_easy", "lm-eval:pairs/pair_a", "lm-eval:pairs/pair_b",
        "lm-eval:arc_easy/arc_easy:shuffled", "lm-eval:pairs/pair_b:shuffled",
    ]  # fmt: skip
    assert said == ["No shuffled companion, since contexts are empty: lm-eval:pairs/pair_a"]
    probes.freeze(found, tmp_path / "again")
    assert sorted(p.name for p in (tmp_path / "again").iterdir()) == sorted(map(frozen_name, kept))


def test_without_the_harness_it_says_what_to_type_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "is_installed", lambda: False)
    found, said = asked(tmp_path)
    assert not [probe for probe in found if probe.facts]
    assert len(said) == 1 and "pip install 'pythia-geometry[lm-eval]'" in said[0]
    one = frozen("sciq")  # frozen on another machine
    (tmp_path / frozen_name(one)).write_text(frozen_text(one))
    found, said = asked(tmp_path)
    assert {probe.set_name for probe in found if probe.facts} == {"lm-eval:sciq", "lm-eval:sciq:shuffled"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sizes", "3b"], "There is no Pythia of size '3b'"),
        (["--sizes", "gpt2"], "--sizes 'gpt2' is no size of Pythia"),
        (["--sizes", ","], "--sizes names no size"),
        (["--shard", "5/4"], "shards are counted from 1 to 4"),
        (["--shard", "1/4", "--executor", "ray"], "each divide the walk"),
        (["--disk", "much"], "--disk"),
        (["--executor", "slurm"], "--executor 'slurm' is not one of"),
    ],
)
def test_mistakes_are_one_message_before_anything_is_asked(
    words: list[str], message: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["pythia-geom", "replicate", *words])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    out, err = capfd.readouterr()
    assert stopped.value.code == 2 and message in err and err.count("\n") == 1 and out == ""


# -- from end to end ---------------------------------------------------------------------------------------------


@with_tokenizer
@pytest.mark.slow
def test_killed_and_continued_gives_what_one_walk_gives(tmp_path: Path) -> None:
    tokenizer = tokenizer_files(tmp_path / "tokenizer")
    config = pythia_config("tiny", vocab_size=50304, initializer_range=0.3)
    steps = ",".join(map(str, FEW))
    with LocalHub([served(size, tmp_path, config, tokenizer, FEW) for size in ("160m", "2.8b")]) as hub:
        words = ("--sizes", "160m,2.8b", "--steps", steps)
        with command(hub, tmp_path, *words) as first:
            first.wait_until(lambda: parts(tmp_path / "out") >= 3, within=600)
            first.signal(signal.SIGKILL)
        code, out, _ = said(command(hub, tmp_path, *words, before=SMALL + ONE_LAB_RUN))
        fetched = hub.downloaded_files()
    assert code == 3
    home = tmp_path / "out"
    walked = {size: RunFolder(home / f"pythia-{size}").tables() for size in ("160m", "2.8b")}
    assert list(walked["160m"].checkpoints["status"]) == ["ok"] * len(FEW)
    good = walked["2.8b"].checkpoints.set_index("step")["status"]
    assert [step for step in FEW if good[step] == "ok"] == [66000]
    assert len(walked["160m"].geometry["task"].unique()) == 2
    companions = walked["160m"].geometry["probe"].str.endswith(":shuffled")
    assert 0 < companions.sum() < len(companions)
    weights = [file for file in fetched if file.endswith(".safetensors")]
    assert len(weights) <= len(FEW) + 1 + 1  # of the stopped walk at most one is fetched again
    answer = read_result(home, "replicate").frame
    assert list(answer["id"])[:2] == ["C1", "C2"] and set(answer["synthetic"]) != {"not enough evidence"}
    assert answer.set_index("id").at["C11", "run"] == "not enough evidence"  # random weights learn nothing
    for name in ("power", "precursors", "claims"):
        assert len(read_result(home, name).frame)
    assert "Synthetic and Pythia side by side" in out
    assert (home / "report.html").read_text().count("pythia-160m") > 3
    assert read_result(home / "doctor" / "pythia-2.8b", "doctor").frame["verdict"].eq("trust").sum() == 1
