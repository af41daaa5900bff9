"""Members of a stack are alone in all but time."""

import shutil
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from pythia_geometry.errors import MachineError, PythiaGeometryError
from pythia_geometry.lab.patterns.member import Member
from pythia_geometry.lab.patterns.network import Network
from pythia_geometry.lab.patterns.settings import MIXER, PatternTraining
from pythia_geometry.lab.patterns.stacked import Stack
from pythia_geometry.lab.patterns.suite import train_suites
from pythia_geometry.lab.patterns.training import READINGS, Schedule, train

TINY = PatternTraining(size=5, sparsity=2, heads=2, width=16, steps=40, batch=32)


def nothing(member, folder):
    pass


DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")),
]


def after(training, seeds, steps, device="cpu"):
    network = Network(training, device)
    members = [Member.fresh(network, seed) for seed in seeds]
    stack = Stack(network, members)
    for _ in range(steps):
        stack.update()
    stack.examine()
    stack.write_back()
    return members


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "training",
    [
        TINY,
        replace(TINY, form="masked"),
        replace(TINY, form="masked", network=MIXER),
        replace(TINY, layers=2),
        replace(TINY, bias=3.0, head_width=3),
        PatternTraining("automata", size=3, heads=2, width=16, layers=2, batch=4),
    ],
    ids=lambda one: one.model,
)
def test_eight_stacked_seeds_equal_eight_runs(training, device):
    together = after(training, range(8), 20, device)
    for seed in (0, 3, 7):
        (alone,) = after(training, [seed], 20, device)
        for name, p in alone.params.items():
            torch.testing.assert_close(together[seed].params[name], p, rtol=0, atol=1e-5, msg=name)
        for one, other in zip(alone.readings, together[seed].readings, strict=True):
            assert one.probability == pytest.approx(other.probability, abs=1e-5)
        assert alone.losses == pytest.approx(together[seed].losses, abs=1e-5)


EVERY_TENTH = Schedule(10)


def run(folder, seeds, schedule=EVERY_TENTH, watch=lambda step, members: None, training=TINY):
    folders = {seed: folder / str(seed) for seed in seeds}
    for path in folders.values():
        path.mkdir(parents=True, exist_ok=True)
    train([replace(training, seed=seed) for seed in seeds], folders, schedule, nothing, watch)
    return {seed: pd.read_csv(path / READINGS) for seed, path in folders.items()}


class Killed(BaseException):
    pass


def killer(at, step, members):
    if step == at:
        raise Killed


def test_a_killed_run_goes_on_and_later_seeds_catch_up(tmp_path, monkeypatch):
    whole = run(tmp_path / "whole", range(3))
    monkeypatch.setattr("pythia_geometry.lab.patterns.training.SAVE_SECONDS", -1.0)  # keeps the state at every step
    with pytest.raises(Killed):
        run(tmp_path / "cut", range(2), watch=partial(killer, 20))
    cut = run(tmp_path / "cut", range(3))  # a seed that had not begun joins
    for seed, table in whole.items():
        assert table["step"].unique().tolist() == [0, 10, 20, 30, 40]
        pd.testing.assert_frame_equal(cut[seed], table, atol=1e-5)
    assert not list((tmp_path / "cut").glob("*/state.pt"))


DAMAGES = {
    "another seed": lambda state: state | {"seed": 5},
    "a step that its losses do not reach": lambda state: state | {"step": 9},
    "no moments": lambda state: state | {"moments": {}},
    "moments of another shape": lambda state: (
        state | {"moments": dict.fromkeys(state["moments"], (torch.zeros(1),) * 2)}
    ),
    "no parameters": lambda state: state | {"params": {}},
    "readings that are none": lambda state: state | {"readings": 3},
    "a list": lambda state: [state],
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_state_is_said(tmp_path, monkeypatch, damage):
    monkeypatch.setattr("pythia_geometry.lab.patterns.training.SAVE_SECONDS", -1.0)
    with pytest.raises(Killed):
        run(tmp_path, [0], watch=partial(killer, 2))
    file = tmp_path / "0" / "state.pt"
    torch.save(damage(torch.load(file, weights_only=True)), file)
    with pytest.raises(PythiaGeometryError, match=r"state.pt is damaged. Remove it, and the same command"):
        run(tmp_path, [0])


def test_seeds_that_are_trained_together_need_room_together(tmp_path, monkeypatch):
    room = SimpleNamespace(free=TINY.bytes_on_disk)  # of one
    monkeypatch.setattr(shutil, "disk_usage", lambda path: room)
    with pytest.raises(MachineError, match=f"2 runs like {TINY.model}.* need .* MB more in"):
        train_suites([replace(TINY, seed=seed) for seed in range(2)], tmp_path)
    assert not list(tmp_path.glob("*/step*"))


def test_what_is_finished_is_not_trained_again(tmp_path):
    run(tmp_path, range(2))
    seen = []
    run(tmp_path, range(2), watch=lambda step, members: seen.append(step))
    assert not seen


def test_a_solved_member_leaves_and_the_others_are_as_without_it(tmp_path):
    easy = replace(TINY, sparsity=1, steps=400)
    tables = run(tmp_path / "all", range(3), Schedule(5, stops_when_solved=True), training=easy)
    ends = {seed: table["step"].max() for seed, table in tables.items()}
    assert len(set(ends.values())) > 1 and max(ends.values()) < 400
    last = max(ends, key=ends.get)
    alone = run(tmp_path / "one", [last], Schedule(5, stops_when_solved=True), training=easy)
    pd.testing.assert_frame_equal(alone[last], tables[last], atol=1e-4)
    accuracy = tables[last].groupby("step")["accuracy"].mean()
    assert accuracy.iloc[-10:].min() >= 0.99 and accuracy.iloc[-11] < 0.99


def test_a_loss_that_is_no_number_ends_the_run():
    network = Network(TINY)
    members = [Member.fresh(network, seed) for seed in range(2)]
    members[1].params["lm_head.weight"][0, 0] = float("nan")
    with pytest.raises(
        PythiaGeometryError, match="seed 1 of linear-map-5-2-leaking.* the loss of step 1, or its gradient"
    ):
        Stack(network, members).update()
