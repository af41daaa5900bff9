"""The lab's tasks against slow twins, and what training may see of them."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from random import Random

import pytest

from pythia_geometry.lab.tasks import PAD, TASKS, TaskLevel, default_levels, is_held_out, vocabulary
from tests.lab.twins import TWINS, answer

EXHAUSTIVE = 10_000
each_level = pytest.mark.parametrize("level", default_levels(), ids=lambda level: level.name)
holding_out = [level for level in default_levels() if level.holds_out]


def draw(level: TaskLevel, n: int, held_out: bool = False, seed: int = 0) -> list[tuple[list[str], list[str]]]:
    return list(islice(level.problems(Random(f"{level.name}{seed}"), held_out), n))


def whole_space(level: TaskLevel) -> dict[str, str]:
    """Every input with its answer, drawn until all were seen."""
    space = level.task.space(level.size)
    rng, found = Random(0), dict[str, str]()
    for _ in range(60 * space + 1000):
        prompt, given = level.task.make(rng, level.size)
        found[" ".join(prompt)] = " ".join(given)
        if len(found) == space:
            break
    return found


def test_there_are_eight_tasks_of_three_levels() -> None:
    assert list(TASKS) == list(TWINS)
    assert len(default_levels()) == 24
    assert len({level.name for level in default_levels()}) == 24


@each_level
def test_every_answer_is_the_twins(level: TaskLevel) -> None:
    space = level.task.space(level.size)
    if space <= EXHAUSTIVE:
        found = whole_space(level)
        assert len(found) == space
    else:
        found = {" ".join(prompt): " ".join(given) for prompt, given in draw(level, 300)}
        assert len(found) > 290 or level.task.name == "CMP"
    assert {prompt: answer(prompt) for prompt in found} == found


@each_level
def test_tokens_are_in_the_vocabulary_and_never_padding(level: TaskLevel) -> None:
    words = {token for prompt, given in draw(level, 300) for token in prompt + given}
    assert words <= set(vocabulary()) - {PAD}


def test_vocabulary_fits_32_ids_without_repeats() -> None:
    assert len(set(vocabulary())) == len(vocabulary()) <= 32
    assert vocabulary()[0] == PAD
    assert not any(" " in token for token in vocabulary())


@each_level
def test_all_problems_of_a_level_have_one_length_within_32_tokens(level: TaskLevel) -> None:
    lengths = {(len(prompt), len(given)) for prompt, given in draw(level, 300)}
    assert len(lengths) == 1
    assert sum(*lengths) <= 32


@each_level
def test_prompt_starts_with_its_task_and_ends_in_equals(level: TaskLevel) -> None:
    for prompt, _ in draw(level, 20):
        assert prompt[0] == level.task.name
        assert prompt[-1] == "="
        assert prompt.count("=") == 1


@pytest.mark.parametrize("level", [lv for lv in default_levels() if lv.task.answers], ids=lambda level: level.name)
def test_every_closed_answer_occurs_and_no_other(level: TaskLevel) -> None:
    found = Counter(given[0] for _, given in draw(level, 2000))
    assert set(found) == set(level.task.answers)
    assert min(found.values()) > 200


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_levels_grow(task: object) -> None:
    sizes = TASKS[task.name].sizes  # type: ignore[attr-defined]
    assert list(sizes) == sorted(set(sizes))
    spaces = [TASKS[task.name].space(size) for size in sizes]  # type: ignore[attr-defined]
    assert spaces == sorted(set(spaces))


def test_spaces_of_5000_or_more_hold_out() -> None:
    assert {level.name for level in default_levels() if not level.holds_out} == {
        *("PAR1", "PAR2", "PAR3", "ADD1", "MOD1", "MOD2", "MUL1", "MUL2"),
    }


@pytest.mark.parametrize("level", holding_out, ids=lambda level: level.name)
def test_training_never_draws_what_is_held_out(level: TaskLevel) -> None:
    training = {" ".join(prompt) for prompt, _ in draw(level, 3000, held_out=False)}
    held_out = {" ".join(prompt) for prompt, _ in draw(level, 300, held_out=True, seed=1)}
    assert training
    assert held_out
    assert not training & held_out


@pytest.mark.parametrize("level", holding_out, ids=lambda level: level.name)
def test_a_tenth_is_held_out(level: TaskLevel) -> None:
    rng = Random(level.name)
    prompts = {" ".join(level.task.make(rng, level.size)[0]) for _ in range(4000)}
    share = sum(is_held_out(prompt.split()) for prompt in prompts) / len(prompts)
    assert 0.07 < share < 0.13


@each_level
def test_draws_depend_on_the_generator_alone(level: TaskLevel) -> None:
    assert draw(level, 10) == draw(level, 10)
    assert draw(level, 30) != draw(level, 30, seed=1)
