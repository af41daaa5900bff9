"""`--from`: a run's manifest repeats it, wherever it comes from; what it cannot repeat is said; a bad one changes nothing."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pythia_geometry as pg
from pythia_geometry import cli
from pythia_geometry.store.records import read_one, write_record
from tests.suites_on_disk import SuiteOnDisk, assert_same, rows, tiny_suite, write_probes, write_step

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs `pythia-geom` in this process; gives its exit code and all that it said, in one line."""

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["pythia-geom", *words])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return int(stopped.value.code or 0), " ".join((out + err).split())

    return run


@pytest.fixture
def suite(tmp_path: Path) -> SuiteOnDisk:
    return tiny_suite(tmp_path, (0, 2, 4))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")


@pytest.fixture
def run(suite: SuiteOnDisk, tmp_path: Path) -> Path:
    """Two walks: two steps of two tasks by the mean, then a third task at all steps with measures of weights."""
    out = tmp_path / "run"
    suite.walk(out, steps="log", position="mean", batch=3, measures=("rankme", "cka_last"), activations="none")
    other = write_probes(tmp_path / "other.jsonl", rows("third", 6))
    suite.walk(out, probes=(f"{other}:shuffled",), measures=("twonn", "weight_norm"))
    return out


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds a suite, its probes and a run of one step: walked once, copied by each test."""
    folder = tmp_path_factory.mktemp("walked")
    tiny_suite(folder, (0, 2)).walk(folder / "run", steps="0", measures=("rankme",))
    return folder


@pytest.fixture
def small(walked: Path, tmp_path: Path) -> Path:
    """A run whose manifest may be spoilt."""
    shutil.copytree(walked / "run", tmp_path / "small")
    return tmp_path / "small"


def edit(manifest: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes a manifest as one would who computes its checksum too."""
    content = read_one(manifest, lambda _: False)
    change(content)
    write_record(manifest, content)


def test_a_repeated_run_has_the_same_tables(run: Path, tmp_path: Path, command: Command) -> None:
    code, said = command("--from", str(run), "--out", str(tmp_path / "again"))
    assert code == 0, said
    assert "Repeats walk 1 of 2" in said
    assert "Repeats walk 2 of 2" in said
    assert "--position mean" in said
    assert_same(pg.read(tmp_path / "again"), pg.read(run))
    first, second = (json.loads((folder / "manifest.json").read_text()) for folder in (run, tmp_path / "again"))
    for part in ("probes", "weights", "newest", "runs", "walks"):
        assert first[part] == second[part]


def test_a_manifest_alone_repeats_with_what_lies_beside_it(run: Path, tmp_path: Path, command: Command) -> None:
    colleague = tmp_path / "colleague"
    colleague.mkdir()
    shutil.copy(run / "manifest.json", colleague / "sent.json")
    for name in ("tiny", "words.jsonl", "other.jsonl"):
        shutil.move(tmp_path / name, colleague / name)
    code, said = command("--from", str(colleague / "sent.json"))
    assert code == 0, said
    assert_same(pg.read("runs/tiny-again"), pg.read(run))


def test_what_is_gone_is_named_with_where_to_put_it(run: Path, tmp_path: Path, command: Command) -> None:
    (tmp_path / "words.jsonl").unlink()
    code, said = command("--from", str(run))
    assert code == 2
    assert f"The walk read {tmp_path / 'words.jsonl'}, which is not here" in said
    assert str(run / "words.jsonl") in said
    assert not Path("runs").exists()


def test_another_probe_of_that_name_is_refused(run: Path, tmp_path: Path, command: Command) -> None:
    write_probes(tmp_path / "words.jsonl", rows("near", 8, seed=1) + rows("far", 8))
    code, said = command("--from", str(run), "--out", str(tmp_path / "again"))
    assert code == 2
    assert "words/near is not the one that the manifest records" in said
    assert not (tmp_path / "again").exists()


def test_a_fault_of_the_last_walk_is_found_before_the_first_begins(run: Path, tmp_path: Path, command: Command) -> None:
    write_probes(tmp_path / "other.jsonl", rows("third", 6, seed=1))
    code, said = command("--from", str(run), "--out", str(tmp_path / "again"))
    assert code == 2
    assert "other/third:shuffled is not the one" in said
    assert not (tmp_path / "again").exists()


def test_other_weights_versions_and_steps_are_said(
    run: Path, suite: SuiteOnDisk, tmp_path: Path, command: Command
) -> None:
    write_step(suite.folder, 2, seed=9)
    write_step(suite.folder, 8, seed=10)  # a later step, which `log` and `all` would take too
    edit(run / "manifest.json", lambda m: m["weights"].pop("tiny@step4"))
    edit(run / "manifest.json", lambda m: m["versions"].update(torch="1.0"))
    edit(run / "manifest.json", lambda m: m["newest"]["versions"].update(rankme="1"))
    (run / "results").mkdir()
    (run / "results" / "precursors-legs.json").write_text("{}")
    code, said = command("--from", str(run), "--out", str(tmp_path / "again"))
    assert code == 0, said
    assert "tiny: other weights than then at 1 steps (2)" in said
    assert "tiny: step 4 was not served then, and is now." in said
    assert "torch '1.0', here" in said
    assert "Defined otherwise in this version: rankme." in said
    assert f"pythia-geom precursors {tmp_path / 'again'}" in said
    assert set(pg.read(tmp_path / "again").checkpoints["step"]) == {0, 2, 4}


def test_a_dry_run_writes_nothing(run: Path, command: Command) -> None:
    code, said = command("--from", str(run), "--dry-run")
    assert (code, Path("runs").exists()) == (0, False)
    assert "Repeats walk 2 of 2" in said


def test_the_run_itself_is_not_repeated_into_itself(run: Path, command: Command) -> None:
    code, said = command("--from", str(run), "--out", f"{run}/../run")
    assert code == 2
    assert "is the run itself. Pass --out" in said


@pytest.mark.parametrize("option", [["--steps", "0"], ["--model", "offline"], ["--shard", "1/2"], ["--batch", "128"]])
def test_an_option_that_says_something_else_is_refused(run: Path, option: list[str], command: Command) -> None:
    code, said = command("--from", str(run), *option)
    assert code == 2
    assert f"{option[0]} says something else" in said


def test_python_walks_repeat_too(suite: SuiteOnDisk, tmp_path: Path, command: Command) -> None:
    pg.measure(pg.local(suite.folder), suite.probes, steps=[0, 4], out="first", progress=False)
    code, said = command("--from", "first", "--out", "second")
    assert code == 0, said
    assert_same(pg.read("second"), pg.read("first"))


@pytest.mark.slow
def test_probes_made_in_python_cannot_be_found_again_and_that_is_said(suite: SuiteOnDisk, command: Command) -> None:
    pg.measure(suite.folder, pg.probes(str(suite.probes)), steps=0, out="first", progress=False)
    code, said = command("--from", "first", "--out", "second")
    assert code != 0
    assert "words/near" in said


def test_a_text_must_be_the_same(suite: SuiteOnDisk, tmp_path: Path, command: Command) -> None:
    text = tmp_path / "corpus.txt"
    text.write_text("w1 w2 w3 w4 " * 80)
    suite.walk(tmp_path / "run", steps="0", measures=("gradient_cosine",), text=str(text), at="0")
    assert command("--from", str(tmp_path / "run"), "--out", "again")[0] == 0
    assert_same(pg.read("again"), pg.read(tmp_path / "run"))
    text.write_text("w4 w2 w3 w1 " * 80)
    code, said = command("--from", str(tmp_path / "run"), "--out", "third")
    assert (code, "is not the one of the walk" in said) == (2, True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not valid JSON"),
        ("[1]", "is no manifest of a run"),
        ("[" * 5000, "nested more than 50 deep"),
        ('{"format": 9}', "is of format 9"),
        ('{"format": "x"}', "is of format 'x'"),
        ('{"format": 2}', "is not what a walk wrote"),
        ('{"format": 1}', "keeps no recipe"),
        ('{"format": 2, "walks": [{"recipe": {}}], "sha256": "0"}', "is not what a walk wrote"),
        ("\ud83d".encode("utf-16", "surrogatepass"), "not UTF-8"),
    ],
)
def test_what_is_no_manifest_is_said(content: str | bytes, message: str, command: Command) -> None:
    Path("m.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    code, said = command("--from", "m.json")
    assert (code, message in said) == (2, True), said


@pytest.mark.parametrize("given", ["nowhere", "nowhere/manifest.json", "\x00", "~nobody-of-this-name/x", "."])
def test_a_place_without_a_manifest_is_said(given: str, command: Command) -> None:
    code, said = command("--from", given)
    assert code == 2
    assert "manifest" in said or "could not be read" in said


HOSTILE = [
    ("models", ["../../etc"], "neither a name nor an absolute path"),
    ("models", ["a/../../b"], "neither a name nor an absolute path"),
    ("models", ["~/x"], "neither a name nor an absolute path"),
    ("models", ["/no/such/.."], "which is not here"),
    ("models", ["/" + "x" * 5000], "which is not here"),
    ("models", ["sub"], "here a file or folder is called so"),
    ("models", ["x\x1b[2J"], "must be a list of names"),
    ("models", "offline", "must be a list of names"),
    ("models", [["offline"]], "must be a list of names"),
    ("probes", ["./words.jsonl"], "neither a name nor an absolute path"),
    ("probes", ["/etc/passwd"], "probe files end in"),
    ("probes", [None], "must be a list of names"),
    ("seeds", [-1], "--seeds does not understand"),
    ("seeds", [True], "must be a list of numbers"),
    ("seeds", {"a": 1}, "must be a list of numbers"),
    ("steps", 5, "must be a text"),
    ("steps", "0\n1", "must be a text"),
    ("steps", "9", "is not a checkpoint of"),
    ("batch", -1, "--batch must be at least 1"),
    ("batch", True, "must be a number"),
    ("measures", ["no such"], "no such"),
    ("position", "../x", "--position"),
    ("device", "tpu:7", "--device"),
    ("out", "/tmp/elsewhere", "no setting that this version knows"),
    ("disk", "1GB", "no setting that this version knows"),
    ("executor", "ray", "no setting that this version knows"),
    ("harness", {"include": "/tmp"}, "They can run code"),
    ("harness", {"include": 3}, "no such settings"),
    ("harness", {"output": "x"}, "no such settings"),
    ("harness", 3, "no such settings"),
    ("text", "/no/such.txt", "which is not here"),
]


@pytest.mark.parametrize(("name", "value", "message"), HOSTILE)
def test_a_hostile_recipe_is_refused_and_nothing_is_written(
    name: str, value: Any, message: str, small: Path, tmp_path: Path, command: Command
) -> None:
    Path("sub").mkdir()
    edit(small / "manifest.json", lambda m: m["walks"][0]["recipe"].update({name: value}))
    before = sorted(p for p in tmp_path.rglob("*"))
    code, said = command("--from", str(small / "manifest.json"))
    assert (code, message in said) == (2, True), said
    assert sorted(p for p in tmp_path.rglob("*")) == before


@pytest.mark.parametrize("walks", [None, [], 3, [3], [{}], [{"recipe": 3}], [{"recipe": []}]])
def test_walks_without_recipes_are_refused(walks: Any, small: Path, command: Command) -> None:
    edit(small / "manifest.json", lambda m: m.update(walks=walks))
    code, said = command("--from", str(small))
    assert code == 2
    assert "recipe" in said
    assert not Path("runs").exists()


@pytest.mark.parametrize("part", ["probes", "weights", "newest", "versions", "machine", "runs"])
@pytest.mark.parametrize("value", [3, [], {"tiny": 3, "words/near": 3}])
def test_other_parts_of_a_manifest_may_hold_anything(part: str, value: Any, small: Path, command: Command) -> None:
    edit(small / "manifest.json", lambda m: m.update({part: value}))
    code, _ = command("--from", str(small / "manifest.json"), "--dry-run")
    assert code in (0, 2)
