"""A lab run is an ordinary suite, and stopping it changes nothing."""

from __future__ import annotations

import filecmp
from pathlib import Path

import pytest

import pythia_geometry.lab.train as train_module
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.lab.batches import IGNORE, draw_batch, grouped
from pythia_geometry.lab.tasks import TASK_LEVELS, is_held_out
from pythia_geometry.lab.train import Training, checkpoint_steps, train
from pythia_geometry.runs.local import walk
from pythia_geometry.runs.plan import Request, make_plan

SHORT = Training("smoke", "gpt2", seed=3, steps=24)


class Stopped(Exception):
    """The run is stopped here."""


def test_stopped_and_continued_gives_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_module, "SAVE_STATE_EVERY", 10)

    def stop(step: int, loss: float) -> None:
        if step == 17:
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
        ({"steps": 0}, "--steps must be 1 or more"),
    ],
)
def test_what_cannot_be_trained_is_said(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(PythiaGeometryError, match=message):
        Training(**wrong)  # type: ignore[arg-type]


def test_batches_hold_training_inputs_in_equal_shares_and_score_answers_alone() -> None:
    batch = draw_batch(TASK_LEVELS, 96, seed=0, step=5)
    assert batch == draw_batch(TASK_LEVELS, 96, seed=0, step=5) != draw_batch(TASK_LEVELS, 96, seed=0, step=6)
    scored = sum(int((labels != IGNORE).sum()) for _, labels in grouped(batch, all_tokens=False))
    assert scored == sum(len(answer) for _, answer in batch)
    everything = sum(int((labels != IGNORE).sum()) for _, labels in grouped(batch, all_tokens=True))
    assert everything == sum(len(prompt) + len(answer) - 1 for prompt, answer in batch)


def test_no_training_input_is_held_out() -> None:
    from pythia_geometry.lab.tasks import VOCABULARY

    prompts = [
        [VOCABULARY[i] for i in prompt] for step in range(20) for prompt, _ in draw_batch(TASK_LEVELS, 96, 0, step)
    ]
    copied = [p for p in prompts if p[0] == "COPY"]
    assert len(copied) > 100 and not any(is_held_out(p) for p in copied if len(p) >= 6)


def test_checkpoints_are_dense_where_the_first_collapse_lies() -> None:
    steps = checkpoint_steps(12_000)
    assert steps[:21] == list(range(21)) and {22, 40, 3_000, 12_000} <= set(steps)
    assert 100 < len(steps) < 140 and steps == sorted(set(steps))
    assert checkpoint_steps(7) == list(range(8))
