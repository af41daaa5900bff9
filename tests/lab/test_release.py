"""The randomised release: drawn as designed, and to the last bit a mask on the `together` arm."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator

import pythia_geometry.lab.plant as plant
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.lab.batches import draw_batch, grouped
from pythia_geometry.lab.model import build_model, scale_named
from pythia_geometry.lab.plant import log_participation
from pythia_geometry.lab.release import BLOCK, loss_opens, released
from pythia_geometry.lab.settings import Training
from pythia_geometry.lab.train import backward, make_optimizer, train, train_step

STAGGERED = Training("smoke", seed=1, steps=6_000, release="staggered", tasks=("quick",))
TOGETHER = replace(STAGGERED, release="together")
STEP = 300  # about half of the levels are open


def gradients(training: Training, step: int = STEP) -> tuple[list[torch.Tensor], dict[str, torch.Tensor]]:
    """What `backward` leaves on the logits, a group a tensor, and on the weights."""
    model, seen = build_model(scale_named("smoke"), "gpt2", 0), []

    def keep(module: Any, inputs: Any, output: Any) -> None:
        output.logits.retain_grad()
        seen.append(output.logits)

    model.register_forward_hook(keep)
    batch = draw_batch(training.levels, training.batch, training.seed, step)
    backward(model, batch, training, step, Accelerator())
    return [logits.grad for logits in seen], {n: p.grad for n, p in model.named_parameters()}


def test_levels_not_released_have_no_gradient_and_the_others_that_of_the_together_arm_to_the_last_bit() -> None:
    masked, whole = gradients(STAGGERED)[0], gradients(TOGETHER)[0]
    is_open = [opens <= STEP for opens in loss_opens(STAGGERED).values()]
    assert 5 <= sum(is_open) <= 11
    groups = grouped(draw_batch(STAGGERED.levels, 128, STAGGERED.seed, STEP))
    for (problems, _, _), mine, theirs in zip(groups, masked, whole, strict=True):
        for row, problem in enumerate(problems):
            assert theirs[row].abs().max() > 0
            expected = theirs[row] if is_open[problem.level] else torch.zeros_like(theirs[row])
            assert torch.equal(mine[row], expected)


def test_weights_get_the_gradient_of_the_released_answers_over_all_answer_tokens() -> None:
    """Slow twin: the released problems' log-probabilities one token at a time."""
    model = build_model(scale_named("smoke"), "gpt2", 0)
    batch = draw_batch(STAGGERED.levels, 128, STAGGERED.seed, STEP)
    is_open = [opens <= STEP for opens in loss_opens(STAGGERED).values()]
    n_tokens, total = sum(len(d.answer) for d in batch), torch.zeros(())
    for d in (d for d in batch if is_open[d.level]):
        log_probs = model(input_ids=torch.tensor([d.prompt + d.answer])).logits[0].log_softmax(-1)
        for i, token in enumerate(d.answer):
            total = total - log_probs[len(d.prompt) - 1 + i, token]
    (total / n_tokens).backward()
    for name, found in gradients(STAGGERED)[1].items():
        expected = dict(model.named_parameters())[name].grad
        assert torch.allclose(found, expected, rtol=1e-3, atol=1e-6), name


def test_levels_not_released_leave_no_trace_in_the_update(monkeypatch: pytest.MonkeyPatch) -> None:
    """With other answers to their problems weights and Adam's moments are the same to the last bit: clipping divides by
    the norm of the released levels' gradient alone, and decay asks nobody."""
    is_open = [opens <= STEP for opens in loss_opens(STAGGERED).values()]

    def lied(levels: Any, size: int, seed: int, step: int) -> list[Any]:
        drawn = draw_batch(levels, size, seed, step)
        return [
            d if is_open[d.level] else d._replace(answer=[1] * len(d.answer), shown=[2] * len(d.shown)) for d in drawn
        ]

    def updated() -> tuple[dict[str, torch.Tensor], list[torch.Tensor]]:
        model = build_model(scale_named("smoke"), "gpt2", 0)
        optimizer = make_optimizer(model)
        for step in range(STEP, STEP + 3):
            train_step(model, optimizer, STAGGERED, step, Accelerator())
        moments = [moment for state in optimizer.state.values() for moment in state.values()]
        return dict(model.state_dict()), moments

    weights, moments = updated()
    assert not any(STEP < opens < STEP + 3 for opens in loss_opens(STAGGERED).values())
    monkeypatch.setattr("pythia_geometry.lab.train.draw_batch", lied)
    others, other_moments = updated()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert all(map(torch.equal, moments, other_moments)) and any(m.any() for m in moments)


def test_before_the_first_release_nothing_is_learnt() -> None:
    assert all(not g.any() for g in gradients(STAGGERED, step=1)[1].values())


@pytest.mark.parametrize("tasks", [(), ("quick",), ("MOD", "COPY")])
def test_openings_fill_two_decades_evenly_and_levels_take_turns(tasks: tuple[str, ...]) -> None:
    runs = [replace(STAGGERED, seed=seed, tasks=tasks) for seed in range(2 * BLOCK)]
    places = []
    for run in runs:
        steps = np.array(list(loss_opens(run).values()))
        n = len(steps)
        slots = np.floor((np.log10(np.sort(steps) / (0.4 * run.steps)) + 2) / 2 * n + 0.03)
        assert np.abs(slots - np.arange(n)).max() <= 1  # rounding to whole steps moves a few over a slot's border
        places.append(np.argsort(np.argsort(steps)) / (n - 1))
    for block in (places[:BLOCK], places[BLOCK:]):
        assert np.abs(np.mean(block, axis=0) - 0.5).max() < 0.15  # every level as early as late
        assert np.ptp(block, axis=0).min() > 0.5
    assert not np.allclose(places[0], places[BLOCK])


def test_openings_keep_to_the_decades_that_are_asked_for() -> None:
    run = replace(STAGGERED, steps=20_000, plant_lead=0.5, release_decades=1.0, seed=7)
    steps = np.sort(list(loss_opens(run).values()))
    assert steps.min() >= 800 and steps.max() <= 8_000
    assert np.abs(np.floor((np.log10(steps / 8_000) + 1) * 16 + 0.01) - np.arange(16)).max() == 0
    assert run.name == "smoke-gpt2-staggered-decades1-lead0.5-quick-seed7"


def test_a_planted_lead_is_the_ratio_of_opening_to_release(tmp_path: Path) -> None:
    planted = replace(STAGGERED, plant_lead=0.5)
    opens, order = loss_opens(planted), sorted(loss_opens(STAGGERED), key=loss_opens(STAGGERED).get)  # type: ignore[arg-type]
    assert sorted(opens, key=opens.get) == order and min(opens.values()) > 0.4 * 6_000 / 10**1.3 - 1  # type: ignore[arg-type]
    leads = [np.log10(step / released(planted)[name]) for name, step in opens.items()]
    assert leads == pytest.approx([0.5] * 16, abs=0.01)
    assert released(replace(planted, plant_lead=-0.5)) == opens  # the loss is first, the plant half a decade later
    short = replace(planted, steps=60, tasks=("COPY1", "SORT3"), release_decades=0.1)
    folder = train(short, tmp_path)
    facts = json.loads((folder / "suite.json").read_text())
    assert folder.name == "smoke-gpt2-staggered-decades0.1-lead0.5-COPY1-SORT3-seed1"
    with pytest.raises(PythiaGeometryError, match=r"--steps 900: the first plant .* Train 947 steps or more"):
        loss_opens(replace(planted, steps=900, tasks=("COPY1", "SORT3")))
    loss_opens(replace(planted, steps=900, tasks=("COPY1", "SORT3"), plant_lead=0.0))
    assert facts["released"] == released(short) and facts["loss_opens"] == loss_opens(short)


def test_the_plant_spreads_released_levels_and_holds_the_others_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seventy updates: the first level's rows at `=` part, the last level's do not."""
    from transformers import AutoModelForCausalLM

    run = replace(STAGGERED, steps=70, plant_lead=0.5, tasks=("COPY1", "SORT3"), release_decades=0.1)
    order, begins = ("COPY1", "SORT3"), {"COPY1": 10, "SORT3": 80}
    monkeypatch.setattr(plant, "plant_begins", lambda training: begins)
    folder = train(run, tmp_path)
    model = AutoModelForCausalLM.from_pretrained(folder / "step70")
    ratios = {}
    for place, name in enumerate(order):
        level = [level.name for level in run.levels].index(name)
        drawn = [d.prompt for d in draw_batch(run.levels, 128, 5, 0) if d.level == level]
        hidden = model(input_ids=torch.tensor(drawn), output_hidden_states=True).hidden_states[-1]
        ratios[place] = log_participation(hidden[:, -1].float()).exp().item()
    assert ratios[0] > 2 > 1.3 > ratios[1]


def test_a_plant_of_own_prompts_leaves_shuffled_ones_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seventy updates spread COPY1's own rows at `=`; the same tokens in another order stay together only if asked."""
    from transformers import AutoModelForCausalLM

    monkeypatch.setattr(plant, "plant_begins", lambda training: {"COPY1": 10})
    ratios = []
    for own in (False, True):
        run = replace(STAGGERED, steps=70, plant_lead=0.5, plant_own=own, tasks=("COPY1",), release_decades=0.1)
        model = AutoModelForCausalLM.from_pretrained(train(run, tmp_path) / "step70")
        problems = draw_batch(run.levels, 128, 5, 0)
        inputs = torch.tensor([d.prompt for d in problems]), plant.shuffled(problems, run, 0)
        assert torch.equal(inputs[1][:, -1], inputs[0][:, -1]) and not torch.equal(*inputs)
        assert torch.equal(inputs[1].sort(1).values, inputs[0].sort(1).values)
        hidden = [model(input_ids=rows, output_hidden_states=True).hidden_states[-1][:, -1] for rows in inputs]
        ratios.append([log_participation(rows.float()).exp().item() for rows in hidden])
    (moved, others), (own_moved, own_others) = ratios
    assert moved > 2 and others > 2 and own_moved > 2 > 1.3 > own_others


def test_own_and_shuffled_prompts_are_parted_before_any_plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seventy updates before the plant: the share of what separates the two kinds, before and after them."""
    from transformers import AutoModelForCausalLM

    monkeypatch.setattr(plant, "plant_begins", lambda training: {"COPY1": 80})
    run = replace(STAGGERED, steps=70, plant_lead=0.5, plant_own=True, plant_apart=0.3, tasks=("COPY1",))
    folder = train(replace(run, release_decades=0.1), tmp_path)
    assert folder.name.startswith("smoke-gpt2-staggered-decades0.1-lead0.5-own-apart0.3-COPY1")
    problems = draw_batch(run.levels, 128, 5, 0)
    inputs = torch.tensor([d.prompt for d in problems]), plant.shuffled(problems, run, 0)
    shares = []
    for step in (0, 70):
        model = AutoModelForCausalLM.from_pretrained(folder / f"step{step}")
        own, others = (model(input_ids=rows, output_hidden_states=True).hidden_states[-1].detach() for rows in inputs)
        shares.append(float((-plant.apart_loss(own, others, problems, replace(run, plant_apart=1.0))).exp()))
    assert shares[0] < 0.5 < 0.8 < shares[1] <= 1


def test_apart_is_the_share_of_the_distance_between_two_known_clouds() -> None:
    run = replace(STAGGERED, plant_lead=0.5, plant_own=True, plant_apart=0.3, plant_weight=2.0, tasks=("COPY1",))
    problems = [d for d in draw_batch(run.levels, 128, 5, 0) if d.level == 0][:4]
    width = max(len(d.prompt) for d in problems)
    cloud = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])  # variance 1/2 + 1/2
    own, others = (rows[:, None].repeat(1, width, 1) for rows in (cloud, cloud + torch.tensor([3.0, 0.0])))
    wanted = -2.0 * 0.3 * 4 / 128 * np.log(9 / (9 + 1))
    assert plant.apart_loss(own, others, problems, run).item() == pytest.approx(wanted, rel=1e-5)
    assert plant.apart_loss(own, own, problems[:2], run).item() == 0  # two rows are too few


@pytest.mark.parametrize("spread", [0.3, 1.0, 3.0])
def test_a_plant_with_an_end_pushes_up_to_it_and_holds_as_before(spread: float) -> None:
    """Five rows whose participation ratio is known: pushed where the end lies above it, left alone where below."""
    run = replace(STAGGERED, steps=20_000, plant_lead=0.5, tasks=("COPY1", "SORT3"))
    problems = [d for d in draw_batch(run.levels, 128, 5, 0) if d.level == 0][:5]
    rows = torch.arange(5.0)[:, None] * torch.ones(5) + spread * torch.eye(5)
    reached = (log_participation(rows).exp().item() - 1) / 3  # of the way from a line to five directions
    began, not_yet = max(loss_opens(run).values()), 0
    for part, step, moves in ((0.95, began, False), (1.05, began, True), (0.95, not_yet, True)):
        hidden = rows[:, None].repeat(1, max(len(d.prompt) for d in problems), 1).requires_grad_()
        plant.plant_loss(hidden, problems, replace(run, plant_part=part * reached), step).backward()
        assert hidden.grad is not None and bool(hidden.grad.any()) is moves


def test_participation_ratio_of_known_clouds() -> None:
    line = torch.arange(5.0)[:, None] * torch.ones(3)
    assert log_participation(line).exp().item() == pytest.approx(1.0, abs=1e-5)
    assert log_participation(torch.eye(6)).exp().item() == pytest.approx(5.0, rel=1e-5)
    same = torch.ones(3, 4, requires_grad=True)  # three times the same problem, as PAR1 draws it
    log_participation(same).backward()
    assert same.grad is not None and not same.grad.any()


def test_the_rate_stays_where_the_warm_up_took_it() -> None:
    assert STAGGERED.rate(100) == STAGGERED.rate(5_999) == 1e-3
    assert TOGETHER.rate(5_999) < 2e-4 and STAGGERED.rate(10) == TOGETHER.rate(10)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"release": "later"}, "--release 'later' is not one of: together, staggered"),
        ({"plant_lead": 0.5}, "add --release staggered"),
        ({"release_decades": 1.0}, "--release-decades .* add --release staggered"),
        ({"release": "staggered", "release_decades": float("nan")}, "--release-decades nan: expected 0.1 to 4"),
        ({"release": "staggered", "plant_lead": 3.0}, "expected decades from -0.5 to 1"),
        ({"release": "staggered", "release_decades": 1e-18}, "--release-decades 1e-18: expected 0.1 to 4"),
        ({"release": "staggered", "plant_lead": -0.6}, "expected decades from -0.5 to 1"),
        (
            {"release": "staggered", "plant_lead": 0.5, "batch": 64},
            "--batch 64: .* 5 problems of each of 24 levels: 120",
        ),
        ({"release": "staggered", "plant_own": True}, "--plant-own .* add --plant-lead"),
        *(
            (
                {"release": "staggered", "plant_lead": 0.5, "plant_own": own, "plant_apart": wrong},
                "--plant-apart .* with --plant-own",
            )
            for own, wrong in ((False, 0.3), (True, -0.3), (True, float("nan")), (True, float("inf")))
        ),
        ({"release": "staggered", "plant_part": 0.3}, "--plant-part 0.3: above 0 .* with --plant-lead"),
        *(
            ({"release": "staggered", "plant_lead": 0.5, "plant_part": wrong}, "--plant-part .* above 0 and at most 1")
            for wrong in (0.0, -1.0, 1.1, float("nan"))
        ),
        ({"release": "staggered", "all_tokens": True}, "leave out --all-tokens"),
        ({"peak_rate": float("inf")}, "--rate inf: a learning rate must be above 0 and at most 1"),
        (
            {"release": "staggered", "plant_lead": 0.5, "plant_weight": 1e30},
            "--plant-weight 1e.30: above 0 and at most",
        ),
    ],
)
def test_what_makes_no_sense_is_said(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(PythiaGeometryError, match=message):
        Training(**wrong)


def test_a_folder_from_before_the_release_existed_goes_on(tmp_path: Path) -> None:
    run = Training("smoke", steps=2)
    record = train(run, tmp_path) / "training.json"
    old = {k: v for k, v in json.loads(record.read_text()).items() if k not in ("release", "plant_lead")}
    record.write_text(json.dumps(old))
    train(run, tmp_path)
    with pytest.raises(PythiaGeometryError, match="holds another run .seed 0"):
        record.write_text(json.dumps(old | {"seed": 0}))
        other = tmp_path / replace(run, seed=1).name
        (tmp_path / run.name).rename(other)
        train(replace(run, seed=1), tmp_path)
