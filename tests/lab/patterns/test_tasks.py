"""Generators against their slow twins."""

from itertools import pairwise

import numpy as np
import pytest

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.lab.patterns.automata import STATES, Automata
from pythia_geometry.lab.patterns.linear_map import HIDDEN, LinearMap, is_held_out
from pythia_geometry.lab.patterns.probes import probe_rows
from pythia_geometry.lab.patterns.settings import PatternTraining
from tests.lab.patterns.twins import as_table, fewest_tokens, map_bits, next_row


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize(("size", "sparsity"), [(2, 1), (5, 2), (8, 3), (12, 12), (48, 7)])
@pytest.mark.parametrize("form", ["leaking", "masked"])
def test_outputs_are_the_map_of_the_inputs(size, sparsity, form):
    task = LinearMap(size, sparsity, form)
    assert (task.matrix.sum(axis=1) == sparsity).all()
    inputs, outputs = task.draw(rng(), 20)
    for tokens, right in zip(inputs.tolist(), outputs.tolist(), strict=True):
        assert right == map_bits(task.matrix.tolist(), tokens[:size])
        said = tokens[size:]
        assert said == (right[:-1] if form == "leaking" else [HIDDEN] * (size - 1))
    assert inputs.shape == (20, task.n_tokens) and task.possible[np.arange(task.n_tokens), inputs].all()


def test_parents_are_the_ones_of_a_row():
    task = LinearMap(6, 3)
    for row, marked in zip(task.matrix, task.parents, strict=True):
        assert np.flatnonzero(marked).tolist() == np.flatnonzero(row).tolist()
    assert len(task.queries) == 6 and task.queries[0] == 5  # the last input predicts the first output


@pytest.mark.parametrize(("size", "sparsity", "map_seed"), [(5, 2, 0), (5, 3, 1), (6, 3, 2), (6, 5, 3)])
def test_shortest_routes_equal_all_subsets(size, sparsity, map_seed):
    task = LinearMap(size, sparsity, map_seed=map_seed)
    rows = task.matrix.tolist()
    assert task.shortest_routes() == [fewest_tokens(rows, i) for i in range(size)]
    assert LinearMap(size, sparsity, "masked", map_seed).shortest_routes() == [sparsity] * size


def test_a_sixteenth_is_held_out_from_ten_bits_on():
    task = LinearMap(12, 3)
    powers = 2 ** np.arange(12)
    trained = {int(code) for code in task.draw(rng(), 5_000)[0][:, :12] @ powers}
    asked = {int(code) for code in task.draw(rng(), 500, held_out=True)[0][:, :12] @ powers}
    assert not trained & asked
    assert 0.05 < is_held_out(np.arange(2**12)).mean() < 0.075
    everything = LinearMap(8, 3).examined()[0]
    assert len(np.unique(everything, axis=0)) == 256


def test_automata_follow_one_rule_of_the_pool():
    task = Automata(5)
    tables = [as_table(rule) for rule in task.rules]
    inputs, right = task.draw(rng(), 6)
    for tokens, colours in zip(inputs.tolist(), right.tolist(), strict=True):
        states = [*tokens, colours[-1]]
        assert states[5:] == colours
        rows = [states[i : i + 5] for i in range(0, len(states), 5)]
        assert len(rows) == STATES
        assert any(all(next_row(rule, a) == b for a, b in pairwise(rows)) for rule in tables)


def test_the_parents_of_a_cell_are_its_neighbourhood():
    task = Automata(5)
    for row, marked in enumerate(task.parents):
        state, cell = divmod(row, 5)
        assert set(np.flatnonzero(marked)) == {state * 5 + (cell + step) % 5 for step in (-1, 0, 1)}
    assert len(task.parents) == len(task.trained) and task.trained[-5:] == task.queries


@pytest.mark.parametrize("task", [LinearMap(5, 2, "masked"), Automata(4)], ids=lambda task: task.name)
def test_probe_rows_mark_the_parents(task):
    rows = list(probe_rows(task))
    assert len(rows) == 128 * task.size
    parents = task.parents[-task.size :]
    for row in rows[::37]:
        output = int(row["task"][3:])
        words = row["prompt"].split(" ")
        assert len(words) == task.queries[output] + 1
        places = {start // 2 for start, _ in row["marks"]["target"]}
        assert places == set(np.flatnonzero(parents[output]))
        assert sorted([row["target"], *row["distractors"]]) == sorted(task.answers)


@pytest.mark.parametrize("make", [lambda: LinearMap(1, 1), lambda: LinearMap(8, 9), lambda: LinearMap(8, 0)])
def test_what_is_out_of_range_is_said(make):
    with pytest.raises(PythiaGeometryError, match="--s"):
        make()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"layers": 0}, "--layers 0: expected 1 to"),
        ({"head_width": 0}, "--head-width 0: expected 1 to"),
        ({"rate": float("nan")}, "--rate nan"),
        ({"rate": 1e300}, "--rate 1e.300"),
        ({"map_seed": -1}, "map_seed -1: expected 0 to"),
        ({"seed": 2**64}, "--seeds 18,446,744"),
        ({"bias": float("nan")}, "a bias of nan"),
        ({"bias": 3.0, "network": "mixer", "form": "masked"}, "a bias of 3: .* attention to add it to"),
    ],
)
def test_settings_that_would_train_something_else_are_said(wrong, told):
    with pytest.raises(PythiaGeometryError, match=told):
        PatternTraining(**wrong)
