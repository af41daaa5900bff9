"""The commands `pythia-geom lab …`: a run from its plan to its walk, and what may be mistyped."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
from rich.console import Console

from pythia_geometry import cli
from pythia_geometry.lab.settings import Training, checkpoint_steps
from pythia_geometry.lab.train import Progress, train
from pythia_geometry.screens.lab import TrainingBar


class Said(NamedTuple):
    code: int
    out: str
    err: str


Command = Callable[..., Said]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """Runs `pythia-geom` in this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["pythia-geom", *words])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return Said(int(stopped.value.code or 0), out, err)

    return run


def test_a_run_is_planned_trained_listed_and_walked_by_its_name(command: Command) -> None:
    plan = command("lab", "plan", "--scale", "smoke", "--steps", "30")
    assert plan.code == 0 and "smoke-gpt2-seed0" in plan.out and "104,192" in plan.out
    assert f" {len(checkpoint_steps(30))} " in plan.out
    assert not Path("lab").exists()
    made = command("lab", "train", "--scale", "smoke", "--steps", "30", "--seeds", "0-1", "--tasks", "MOD1,COPY1")
    assert made.code == 0
    assert "smoke-gpt2-MOD1-COPY1-seed0 step 30/30, loss" in made.out
    assert "; MOD " in made.out and "COPY " in made.out
    assert made.out.count("Walk it: pythia-geom --model lab/smoke-gpt2-MOD1-COPY1-seed") == 2
    listed = command("lab", "list")
    assert "404,992" in listed.out and "PAR5: 10" in listed.out
    assert "smoke-gpt2-MOD1-COPY1-seed1" in listed.out and "26 of 26" in listed.out and "done" in listed.out
    walked = command(
        "--model", "lab/smoke-gpt2-MOD1-COPY1", "--seeds", "0-1", "--steps", "0,30", "--measures", "rankme"
    )
    assert walked.code == 0
    assert "smoke-gpt2-MOD1-COPY1 seed 1" in walked.out


def test_a_finished_run_is_left_alone_and_a_stopped_one_continued(command: Command) -> None:
    class Stopped(Exception):
        pass

    def stop(progress: Progress) -> None:
        if progress.step == 12:
            raise Stopped

    with pytest.raises(Stopped):
        train(Training("smoke", steps=20), "lab", stop)
    assert "train again to continue" in command("lab", "list").out
    words = ("lab", "train", "--scale", "smoke", "--steps", "20")
    assert "step 20/20" in command(*words).out
    again = command(*words)
    assert again.code == 0 and "step" not in again.out and "21 checkpoints" in again.out
    shutil.rmtree("lab/smoke-gpt2-seed0/step1")
    assert "20 of 21 checkpoints" in command(*words).out  # as `lab list` says


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["train", "--scale", "tiny"], 2, "There is no scale 'tiny'. Scales: smoke, nano"),
        (["plan", "--scale", "nano,tiny"], 2, "There is no scale 'tiny'"),
        (["train", "--arch", "llama"], 2, "There is no architecture 'llama'. Architectures: gpt2, neox"),
        (["train", "--tasks", "DIV"], 2, "There is no task-level 'DIV'. Tasks: COPY"),
        (["train", "--tasks", "MOD4"], 2, "There is no task-level 'MOD4'"),
        (["train", "--seeds", "two"], 2, "--seeds does not understand 'two'"),
        (["train", "--seeds", "all"], 2, "there is no end of seeds"),
        (["train", "--steps", "-5"], 2, "--steps -5: expected 1 to 10,000,000"),
        (["train", "--steps", "0"], 2, "--steps 0: expected 1 to"),
        (["train", "--steps", "99999999999"], 2, "--steps 99,999,999,999: expected 1 to"),
        (["train", "--batch", "2"], 2, "--batch 2: expected 4 to"),
        (["train", "--rate", "nan"], 2, "--rate nan: a learning rate must be above 0 and at most 1"),
        (["train", "--rate", "1e300"], 2, "--rate 1e+300: a learning rate"),
        (["train", "--tasks", ","], 2, "--tasks ',' names none"),
        (["train", "--out", "~nobody-here/x"], 2, "there is no such user"),
        (["list", "--out", "~nobody-here/x"], 2, "there is no such user"),
        (["train", "--steps", "90", "--release", "staggered"], 2, "24 levels need 1,182 steps or more"),
        (["plan", "--steps", "90", "--release", "staggered"], 2, "24 levels need 1,182 steps or more"),
        (["plan", "--plant-own"], 2, "add --plant-lead"),
        (["plan", "--plant-apart", ".3"], 2, "--plant-apart 0.3: above 0 and at most 1,000, and with --plant-own"),
        (
            ["train", "--release", "staggered", "--plant-lead", ".5", "--plant-weight", "inf"],
            2,
            "--plant-weight inf: above 0 and at most 1,000",
        ),
        (["train", "--steps", "many"], 2, "Invalid value for '--steps'"),
        (["list", "--out", "damaged"], 2, "training.json is damaged"),
        (["train", "--scale", "smoke", "--out", "held", "--steps", "5"], 2, "holds another run (steps 9)"),
        (["train", "--scale", "smoke", "--out", "a-file", "--steps", "5"], 4, "Cannot write to a-file"),
    ],
)
def test_a_mistake_has_its_message(command: Command, words: list[str], code: int, message: str) -> None:
    Path("damaged/x").mkdir(parents=True)
    Path("damaged/x/training.json").write_text("[]")
    Path("a-file").write_text("")
    if "held" in words:
        train(Training("smoke", steps=9), "held")
    said = command("lab", *words)
    assert said.code == code
    assert message in " ".join(said.err.replace("│", " ").split())


def test_a_lab_run_that_is_not_there_says_how_to_train_it(command: Command) -> None:
    said = command("--model", "lab/nano-neox-seed4")
    assert said.code == 2
    assert (
        "There is no folder lab/nano-neox-seed4. Train it: pythia-geom lab train --scale nano --arch neox" in said.err
    )


@pytest.mark.parametrize(
    ("name", "task", "size"), [("linear-map-8-3-leaking", "linear-map", 8), ("automata-6-h4", "automata", 6)]
)
def test_a_patterns_run_that_is_not_there_says_how_to_train_it(
    command: Command, name: str, task: str, size: int
) -> None:
    said = command("--model", f"lab/{name}", "--seeds", "0-1")
    assert said.code == 2
    assert f"There is no folder lab/{name}. Train it: pythia-geom lab train --task {task} --size {size};" in said.err
    Path(f"lab/{name}-seed0").mkdir(parents=True)
    some = command("--model", f"lab/{name}", "--seeds", "0-1")
    assert some.code == 2 and f"no folder lab/{name}-seed1; of these seeds there are lab/{name}-seed0" in some.err


def test_a_terminal_shows_loss_accuracies_and_time_left() -> None:
    console = Console(file=StringIO(), force_terminal=True, width=110)
    training = Training("smoke", steps=4, tasks=("MOD", "PAR5"))
    with TrainingBar(console, training) as bar:
        for step in range(1, 4):
            bar(Progress(step, 3.25, 1.0, [8, 8, 8, 8], [8, 4, 0, 2]))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    for part in ("smoke-gpt2-MOD-PAR5-seed0", "loss 3.250", "3/4", "MOD", "PAR", "1.00", "0.50", "0.25"):
        assert part in shown


def test_a_patterns_run_is_planned_trained_and_walked_with_its_heads(command: Command) -> None:
    arm = ("--task", "linear-map", "--size", "4", "--sparsity", "2", "--heads", "2", "--width", "16", "--seeds", "2")
    plan = command("lab", "plan", *arm, "--steps", "30")
    assert plan.code == 0 and "linear-map-4-2-leaking-h2-d16-seed1" in plan.out and not Path("lab").exists()
    made = command("lab", "train", *arm, "--steps", "30", "--batch", "16")
    assert made.code == 0 and "step 30/30" in made.out
    assert (
        made.out.count("Walk it: pythia-geom --measures attention --model lab/linear-map-4-2-leaking-h2-d16-b16-seed")
        == 2
    )
    listed = command("lab", "list")
    assert listed.out.count("26 of 26") == 2 and "done" in listed.out and "--task linear-map, automata: " in listed.out
    name = "lab/linear-map-4-2-leaking-h2-d16-b16"
    walked = command("--model", name, "--seeds", "0-1", "--steps", "0,30", "--measures", "attention")
    assert walked.code == 0
    (folder,) = Path("runs").iterdir()
    heads = pd.read_parquet(folder / "geometry.parquet")
    assert "No RankMe was taken" in walked.out and "halfway at step" not in walked.out
    mass = heads[heads["measure"] == "target_mass"]
    assert set(mass["task"]) == {f"OUT{i:02d}" for i in range(4)} and set(mass["seed"]) == {0, 1}
    assert mass[mass["head"].notna()]["head"].nunique() == 2 and mass["value"].between(0, 2).all()
    again = command("lab", "train", *arm, "--steps", "30", "--batch", "16")
    assert again.code == 0 and "step 30/30" not in again.out  # nothing was left to do


ZERO = ("steps", "batch", "size", "sparsity", "heads", "width", "layers", "rate")  # a 0 that was typed is no default


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--task", "parity"), "'parity' is not one of: linear-map, automata"),
        (("--task", "linear-map", "--scale", "smoke"), "--task linear-map has no --scale"),
        (("--size", "8"), "--size belongs to the patterns lab"),
        (("--task", "linear-map", "--size", "4", "--sparsity", "5"), "--sparsity 5"),
        (("--task", "linear-map", "--form", "open"), "--form 'open' is not one of: leaking, masked"),
        (("--task", "automata", "--sparsity", "2"), "--sparsity belongs to --task linear-map"),
        (("--task", "linear-map", "--heads", "3"), "--heads 3 does not divide --width 128"),
        (("--task", "linear-map", "--seeds", "all"), "how many (8)"),
        (("--task", "linear-map", "--seeds", "99999999999"), "does not understand '99999999999'"),
        *((("--task", "linear-map", f"--{name}", "0"), f"--{name} 0") for name in ZERO),
        (("--task", "linear-map", "--rate", "inf"), "--rate inf: a learning rate"),
        (("--task", "linear-map", "--width", "1000000000"), "--width 1,000,000,000: expected 1 to"),
        (("--task", "linear-map", "--release", "staggered"), "has no --release"),
        (("--heads", "0"), "--heads belongs to the patterns lab"),
        (("--task", "parity", "--sparsity", "2"), "'parity' is not one of: linear-map, automata"),
        (("--task", "linear-map", "--width", "4096", "--layers", "64"), "GB of memory or more"),
        (("--task", "automata", "--size", "64", "--batch", "65536", "--seeds", "999"), "999 together need"),
    ],
)
def test_what_cannot_be_a_patterns_run_is_said(command: Command, words: tuple[str, ...], told: str) -> None:
    for verb in ("train", "plan"):
        said = command("lab", verb, *words)
        assert said.code != 0 and told in " ".join((said.out + said.err).split()) and not Path("lab").exists()
