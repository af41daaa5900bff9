"""A lab run is an ordinary suite, and stopping it changes nothing."""

from __future__ import annotations

import filecmp
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

import pythia_geometry.lab.suite_folder as suite_folder
import pythia_geometry.lab.train as train_module
from pythia_geometry.errors import MachineError, PythiaGeometryError
from pythia_geometry.lab.batches import IGNORE, draw_batch, grouped
from pythia_geometry.lab.model import build_model, scale_named
from pythia_geometry.lab.settings import Training, checkpoint_steps
from pythia_geometry.lab.tasks import default_levels, is_held_out
from pythia_geometry.lab.train import Progress, make_optimizer, train
from pythia_geometry.runs.local import walk
from pythia_geometry.runs.plan import make_plan
from pythia_geometry.runs.request import Request

SHORT = Training("smoke", "gpt2", seed=3, steps=24)


class Stopped(Exception):
    """The run is stopped here."""


def test_stopped_and_continued_gives_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_module, "SAVE_STATE_SECONDS", 0.0)

    def stop(progress: Progress) -> None:
        if progress.step == 17:
            raise Stopped

    whole = train(SHORT, tmp_path / "whole")
    with pytest.raises(Stopped):
        train(SHORT, tmp_path / "parts", stop)
    parts = train(SHORT, tmp_path / "parts")
    names = {str(p.relative_to(whole)) for p in whole.rglob("*") if p.is_file()}
    assert names == {str(p.relative_to(parts)) for p in parts.rglob("*") if p.is_file()}
    assert all(filecmp.cmp(whole / name, parts / name, shallow=False) for name in names)


def test_a_run_is_a_suite_that_is_walked_like_any_other(tmp_path: Path) -> None:
    folder = train(Training("smoke", "neox", steps=2), tmp_path)
    plan = make_plan(Request(models=(str(folder),), probes=("algorithmic/MOD1",)))
    tables = walk(plan, tmp_path / "run")
    assert set(tables.geometry["step"]) == {0, 1, 2}
    assert set(tables.geometry["model"]) == {"smoke-neox"}
    assert tables.geometry["layer"].nunique() == 4


def test_a_finished_run_is_left_alone_and_another_is_refused(tmp_path: Path) -> None:
    folder = train(SHORT, tmp_path)
    before = (folder / "step24" / "model.safetensors").stat().st_mtime_ns
    train(SHORT, tmp_path)
    assert (folder / "step24" / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(PythiaGeometryError, match="holds another run .steps 24"):
        train(Training("smoke", "gpt2", seed=3, steps=30), tmp_path)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"scale": "big"}, "no scale 'big'"),
        ({"tasks": ("DIV",)}, "no task-level 'DIV'"),
        ({"steps": 0}, "--steps 0: expected 1 to"),
    ],
)
def test_what_cannot_be_trained_is_said(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(PythiaGeometryError, match=message):
        Training(**wrong)  # type: ignore[arg-type]


def test_batches_hold_training_inputs_in_equal_shares_and_score_answers_alone() -> None:
    batch = draw_batch(default_levels(), 96, seed=0, step=5)
    assert batch == draw_batch(default_levels(), 96, seed=0, step=5) != draw_batch(default_levels(), 96, seed=0, step=6)
    scored = sum(int((labels != IGNORE).sum()) for _, _, labels in grouped(batch))
    assert scored == sum(len(d.answer) for d in batch)
    everything = sum(int((labels != IGNORE).sum()) for _, _, labels in grouped(batch, all_tokens=True))
    assert everything == sum(len(d.prompt) + len(d.answer) - 1 for d in batch)


def test_no_training_input_is_held_out() -> None:
    from pythia_geometry.lab.tasks import vocabulary

    prompts = [
        [vocabulary()[i] for i in prompt]
        for step in range(20)
        for prompt, *_ in draw_batch(default_levels(), 96, 0, step)
    ]
    copied = [p for p in prompts if p[0] == "COPY"]
    assert len(copied) > 100 and not any(is_held_out(p) for p in copied if len(p) >= 6)


def test_checkpoints_are_dense_where_the_first_collapse_lies() -> None:
    steps = checkpoint_steps(12_000)
    assert steps[:21] == list(range(21)) and {22, 40, 3_000, 12_000} <= set(steps)
    assert 100 < len(steps) < 140 and steps == sorted(set(steps))
    assert checkpoint_steps(7) == list(range(8))


def test_accuracies_are_counted_by_level(tmp_path: Path) -> None:
    seen: list[Progress] = []
    train(Training("smoke", "gpt2", steps=60, tasks=("PAR1", "COPY1")), tmp_path, seen.append)
    assert [p.step for p in seen] == list(range(1, 61))
    assert {tuple(p.asked) for p in seen} == {(64, 64)}
    late = [p.solved for p in seen[40:]]
    assert sum(par for par, _ in late) / (20 * 64) > 0.35  # parity is a coin flip once the answer is known to be a bit
    assert sum(copy for _, copy in late) / (20 * 64) < 0.05


def test_another_training_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    def second(progress: Progress) -> None:
        train(SHORT, tmp_path)

    with pytest.raises(MachineError, match="Another training is writing"):
        train(SHORT, tmp_path, second)


def test_a_folder_of_something_else_and_damaged_settings_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / SHORT.name
    folder.mkdir()
    (folder / "thesis.tex").write_text("mine")
    with pytest.raises(PythiaGeometryError, match="holds no lab run"):
        train(SHORT, tmp_path)
    assert [p.name for p in folder.iterdir()] == ["thesis.tex"]
    for damaged in ("{", "null", "[1, 2]", "5", '[["steps", 2]]'):
        (folder / "training.json").write_text(damaged)
        with pytest.raises(PythiaGeometryError, match="training.json is damaged"):
            train(SHORT, tmp_path)
    (folder / "training.json").unlink()
    (folder / "training.json").mkdir()
    with pytest.raises(PythiaGeometryError, match=r"training.json is damaged: Is a directory"):
        train(SHORT, tmp_path)


def test_a_run_of_a_newer_version_is_not_taken_for_this_one(tmp_path: Path) -> None:
    run = Training("smoke", steps=1, tasks=("COPY1",))
    record = train(run, tmp_path) / "training.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"plant_noise": 0.3}))
    with pytest.raises(PythiaGeometryError, match=r"plant_noise 0.3, unknown to this version"):
        train(run, tmp_path)


def test_a_file_in_the_way_is_no_full_disk(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(MachineError, match="Not a directory.*; pass another --out") as said:
        train(SHORT, tmp_path / "taken")
    assert "free some space" not in str(said.value)


def test_a_damaged_suite_json_and_a_state_that_was_left_are_mended_by_the_same_command(tmp_path: Path) -> None:
    run = Training("smoke", steps=1, tasks=("COPY1",))
    folder = train(run, tmp_path)
    facts, tokenizer = (folder / "suite.json").read_bytes(), (folder / "tokenizer.json").read_bytes()
    for damaged in ("", "{", "null", "{}"):
        (folder / "suite.json").write_text(damaged)
        (folder / "state.pt").write_text("of a call that was killed after its last word")
        train(run, tmp_path)
        assert (folder / "suite.json").read_bytes() == facts and not (folder / "state.pt").exists()
    for damaged in ("", "[]", "{}", '{"model": {"vocab": {}}}'):
        (folder / "tokenizer.json").write_text(damaged)
        train(run, tmp_path)
        assert (folder / "tokenizer.json").read_bytes() == tokenizer


@pytest.mark.parametrize("steps", ["true", "1e400", '"2"', "null", "-4", "[2]"])
def test_settings_whose_steps_are_no_number_are_damaged(tmp_path: Path, steps: str) -> None:
    (tmp_path / "training.json").write_text(f'{{"steps": {steps}}}')
    with pytest.raises(PythiaGeometryError, match=r"training.json is damaged: steps"):
        suite_folder.progress(tmp_path)


@pytest.mark.parametrize("wrong", [(float("nan"), 1.0), (0.0, float("nan")), (0.0, float("inf"))])
def test_a_loss_or_gradient_that_is_no_number_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: tuple[float, float]
) -> None:
    monkeypatch.setattr(train_module, "train_step", lambda *_: Progress(2, *wrong, [1], [0]))
    with pytest.raises(PythiaGeometryError, match="the loss of step 2, or its gradient, is not a number.*lower --rate"):
        train(SHORT, tmp_path)
    assert [path.name for path in (tmp_path / SHORT.name).glob("step*")] == ["step0"]


def test_a_kill_between_save_and_rename_leaves_nothing_half_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(partial: Path, folder: Path) -> None:
        raise Stopped

    run = Training("smoke", steps=2, tasks=("COPY1",))
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(suite_folder, "renamed", killed)
        train(run, tmp_path)
    assert not list((tmp_path / run.name).glob("step*"))
    folder = train(run, tmp_path)
    whole = train(run, tmp_path / "whole")
    assert {p.name for p in folder.iterdir()} == {p.name for p in whole.iterdir()}
    assert filecmp.cmp(folder / "step0" / "model.safetensors", whole / "step0" / "model.safetensors", shallow=False)


def test_too_little_room_is_said_before_the_first_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1_000_000))
    with pytest.raises(MachineError, match=r"needs \d+ MB more in .*, where 1 MB are free"):
        train(SHORT, tmp_path)
    assert not list(tmp_path.glob("*/step*"))


@pytest.mark.parametrize("broken", ["save_checkpoint", "save_state"])
def test_a_disk_that_gives_out_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    whole = train(SHORT, tmp_path / "whole")
    real, calls = getattr(train_module, broken), 0

    def full(*arguments: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 9:
            raise (
                SafetensorError("I/O error: No space left") if broken == "save_checkpoint" else OSError(28, "No space")
            )
        real(*arguments)

    monkeypatch.setattr(train_module, "SAVE_STATE_SECONDS", 0.0)
    monkeypatch.setattr(train_module, "SAVE_SHARE", 0)  # at every step, however slow the disk
    monkeypatch.setattr(train_module, broken, full)
    with pytest.raises(MachineError, match="No space"):
        train(SHORT, tmp_path / "parts")
    parts = train(SHORT, tmp_path / "parts")
    assert filecmp.cmp(whole / "step24" / "model.safetensors", parts / "step24" / "model.safetensors", shallow=False)


TWO_PROCESSES = """
import sys
from accelerate import PartialState
from pythia_geometry.lab.settings import Training
from pythia_geometry.lab.train import train
train(Training("smoke", "gpt2", seed=3, steps=12), sys.argv[1])
assert PartialState().num_processes == 2
PartialState().destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_train_what_one_does(tmp_path: Path) -> None:
    (tmp_path / "two.py").write_text(TWO_PROCESSES)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = {
        **os.environ,
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    subprocess.run([*launch, str(tmp_path / "two.py"), str(tmp_path / "two")], check=True, env=environment)
    one = train(Training("smoke", "gpt2", seed=3, steps=12), tmp_path / "one")
    two = tmp_path / "two" / one.name
    losses = [
        [float(line.split(",")[1]) for line in (f / "losses.csv").read_text().splitlines()[1:]] for f in (one, two)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    weights = [load_file(f / "step12" / "model.safetensors") for f in (one, two)]
    for name in weights[0]:
        assert (weights[0][name].float() - weights[1][name].float()).abs().max() < 1e-4, name


@pytest.mark.parametrize("at", ["lock", "write_tokenizer", "_tokens_per_step"])
def test_a_run_stopped_in_its_first_second_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    def stop(*arguments: object) -> None:
        raise Stopped

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(suite_folder, at, stop)
        train(SHORT, tmp_path)
    (tmp_path / SHORT.name / ".tmp-suite.json").write_text("{")  # as a kill leaves it
    folder = train(SHORT, tmp_path)
    assert (folder / "step24").is_dir()
    assert json.loads((folder / "suite.json").read_text())["name"] == "smoke-gpt2"
    with pytest.raises(PythiaGeometryError, match="holds another run"):
        train(Training("smoke", "gpt2", seed=3, steps=30), tmp_path)


def state(**changed: object) -> bytes:
    """A state that torch reads, of a run of another size, or with parts that are something else."""
    model = build_model(scale_named("smoke"), "gpt2", 0)
    whole = {
        "model": model.state_dict(),
        "optimizer": make_optimizer(model).state_dict(),
        "step": 2,
        "losses": [1.0, 1.0],
    }
    content = io.BytesIO()
    torch.save(whole | changed, content)
    return content.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04 half of a zip file",
        state(optimizer=None),
        state(step=10**6, losses=[1.0] * 10),
        state(step=-1, losses=[]),
        state(losses=[1.0]),
    ],
)
def test_a_damaged_state_is_named(tmp_path: Path, content: bytes) -> None:
    def stop(progress: Progress) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        train(SHORT, tmp_path, stop)
    (tmp_path / SHORT.name / "state.pt").write_bytes(content)
    with pytest.raises(PythiaGeometryError, match="state.pt is damaged"):
        train(SHORT, tmp_path)


def test_a_state_that_is_slow_to_write_is_written_in_a_tenth_of_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step takes ten seconds of a made-up clock, a save five: due every twenty, it waits fifty after the first."""
    now, saved = [0.0], []

    def save(*_: object) -> None:
        now[0] += 5
        saved.append(now[0])

    def step(_: Progress) -> None:
        now[0] += 10

    monkeypatch.setattr(train_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(train_module, "save_state", save)
    train(SHORT, tmp_path, step)
    assert saved == [25.0, 80.0, 135.0, 190.0, 245.0]
