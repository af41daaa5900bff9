"""The language suite: what is drawn and examined, what the tables say, and that a stopped run goes on."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

import pythia_geometry as pg
from pythia_geometry.errors import PythiaGeometryError

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def loaded(monkeypatch, name):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def script(monkeypatch):
    return loaded(monkeypatch, "train_language_suite")


def test_a_passage_is_said_twice_at_distances_that_differ(script):
    tokens = np.arange(2000, dtype=np.uint16)  # running text never says a token twice
    rows = script.draw(tokens, script.Language(batch=400), 3).numpy()
    twice = [row for row in rows if len(set(row)) < len(row)]
    assert 60 < len(twice) < 140  # a quarter
    lengths, distances = [], set()
    for row in twice:
        first = {}
        pairs = [(first[token], i) for i, token in enumerate(row) if token in first or first.setdefault(token, i) != i]
        assert len({b - a for a, b in pairs}) == 1  # one passage, whole
        lengths.append(len(pairs))
        distances.add(pairs[0][1] - pairs[0][0])
    assert min(lengths) >= script.SHORTEST and max(lengths) <= script.LONGEST
    assert len(distances) > 20 and min(distances) >= script.SHORTEST
    np.testing.assert_array_equal(rows, script.draw(tokens, script.Language(batch=400), 3).numpy())


class Copier(torch.nn.Module):
    """Says after each token what came after its last copy, or looks back by a fixed distance."""

    device = torch.device("cpu")

    def __init__(self, back=0):
        super().__init__()
        self.back = back

    def forward(self, rows):
        logits = torch.zeros(*rows.shape, 2048)
        for row, out in zip(rows.tolist(), logits, strict=True):
            seen = {}
            for i, token in enumerate(row):
                guess = seen.get(token) if not self.back else row[i - self.back] if i >= self.back else None
                if guess is not None:
                    out[i, guess] = 50.0
                if i:
                    seen[row[i - 1]] = token
        return type("Output", (), {"logits": logits})()


def test_copying_is_told_from_looking_back(script):
    held = np.random.default_rng(0).integers(0, 2048, 3000)
    _, first, second, copied = script.examine(Copier(), held)
    assert copied > 0.95 and first > second + 5
    for back in (47, 55, 63, 71):
        assert script.examine(Copier(back), held)[3] < 0.05  # right in one gap of 32


@pytest.fixture
def text(tmp_path, script, monkeypatch):
    """A text of its own instead of the package: the ids of words w0 … w2047."""
    ids = np.random.default_rng(1).integers(0, 2048, 4000)
    tokenizer = Tokenizer(WordLevel({f"w{i}": i for i in range(2048)}, unk_token="w0"))
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    np.savez(tmp_path / "tokens.npz", train=ids[:3000], held=ids[3000:])
    (tmp_path / "text.json").write_text(json.dumps({"unigram": 7.0, "bigram": 6.0}))
    return tmp_path


def test_a_stopped_run_goes_on_as_if_it_never_had_been(script, text, monkeypatch):
    tiny = script.Language(seed=1, steps=6, layers=1, width=16, heads=2, batch=2)
    assert script.build(tiny).num_parameters() == tiny.n_parameters
    script.train(tiny, text, text / "whole", "cpu")
    monkeypatch.setattr(script, "SAVE_SECONDS", -1.0)
    drawn = script.draw

    def stopping(tokens, training, step):
        if step == 4:
            raise KeyboardInterrupt
        return drawn(tokens, training, step)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(script, "draw", stopping)
        script.train(tiny, text, text / "cut", "cpu")
    script.train(tiny, text, text / "cut", "cpu")
    ends = [load_file(text / name / tiny.name / "step6" / "model.safetensors") for name in ("whole", "cut")]
    assert all(torch.equal(p, ends[1][name]) for name, p in ends[0].items())
    tables = [pd.read_csv(text / name / tiny.name / "progress.csv") for name in ("whole", "cut")]
    columns = ["step", "held_out", "first", "second", "copied"]
    pd.testing.assert_frame_equal(tables[0][columns], tables[1][columns])
    assert pg.local(text / "cut" / tiny.name).model == "language"


def test_a_loss_that_is_no_number_ends_the_run(script, text, monkeypatch):
    monkeypatch.setattr(script, "PEAK_RATE", float("inf"))
    with pytest.raises(PythiaGeometryError, match=r"language-seed1: the loss of step \d, or its gradient"):
        script.train(script.Language(seed=1, steps=6, layers=1, width=16, heads=2, batch=2), text, text / "nan", "cpu")


def test_a_package_that_cannot_be_fetched_is_said(script, monkeypatch, tmp_path):
    for error in (FileNotFoundError("no apt-get"), subprocess.CalledProcessError(100, "apt-get")):
        with monkeypatch.context() as patched, pytest.raises(SystemExit, match="bible-kjv-text 4.38 was not fetched"):
            patched.setattr(script.subprocess, "run", raising(error))
            script.fetch(tmp_path)


def raising(error):
    def run(*_, **__):
        raise error

    return run


def test_a_run_that_was_stopped_is_not_shipped(monkeypatch, tmp_path):
    reference = loaded(monkeypatch, "language_reference")
    (tmp_path / "suite" / "step0").mkdir(parents=True)
    (tmp_path / "shipped").mkdir()
    with pytest.raises(SystemExit, match="not trained to its end"):
        reference.ship(tmp_path / "suite", tmp_path / "shipped", tmp_path)
    assert (tmp_path / "shipped").exists()


def tables_of(judging, copied, accuracy):
    steps = [0, 1, 2, 4, 8]
    progress = [
        (seed, step, 5.0 - i, 8.0, 8.0 - c, c)
        for seed in range(4)
        for i, (step, c) in enumerate(zip(steps, copied[seed], strict=True))
    ]
    behaviour = [
        (seed, 8, "copying", task, "accuracy", value, 128, 0.25, 0.05)
        for seed in range(4)
        for task, value in accuracy[seed].items()
    ]
    heads = [
        (seed, step, "copying", "resid_1", h, "induction", 0.1 * step * h)
        for seed in range(4)
        for step in steps
        for h in (0, 1)
    ]
    return judging.Tables(
        pd.DataFrame(progress, columns=["seed", "step", "held_out", "first", "second", "copied"]),
        pd.DataFrame(
            behaviour, columns=["seed", "step", "probe", "task", "metric", "value", "n", "chance", "majority"]
        ),
        pd.DataFrame(heads, columns=["seed", "step", "probe", "layer", "head", "measure", "value"]),
        {"unigram": 6.1, "bigram": 4.4},
        [
            {
                "training": {"seed": seed},
                "is_finished": seed < 3,
                "cpu_seconds": {"training": 60, "walk": 60},
                "machine": "here",
            }
            for seed in range(4)
        ],
    )


def test_what_the_tables_say_by_the_rules_of_the_decision(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    from language import judging

    copied = [[0, 0.2, 0.6, 0.7, 0.8], [0, 0, 0.2, 0.3, 0.4], [0, 0.6, 0, 0, 0], [0, 0, 0, 0, 0.9]]
    accuracy = [{"up": 0.5, "level": 0.25, "once": 0.5}] + [{"up": 0.5, "level": 0.25, "once": 0.25}] * 3
    accuracy[3] = accuracy[3] | {"up": 0.3}  # not above chance in one seed of four
    found = judging.judged(tables_of(judging, copied, accuracy))
    np.testing.assert_array_equal(found.seeds["forms"], [2, np.nan, np.nan, 8])
    np.testing.assert_array_equal(found.seeds["begins"], [1, 2, np.nan, 8])  # seed 2's visit does not last
    assert found.seeds["bigrams"].tolist() == [1] * 4 and found.seeds["head"].tolist() == [1] * 4
    assert dict(zip(found.tasks["task"], found.tasks["word"], strict=True)) == {
        "up": judging.ABOVE, "level": judging.AT, "once": judging.SOME,
    }  # fmt: skip
    of_one = judging._tasks(tables_of(judging, copied, accuracy).behaviour.query("seed == 0"))
    assert dict(zip(of_one["task"], of_one["word"], strict=True))["up"] == judging.SOME  # one seed of one is not three
    tables = tables_of(judging, copied, accuracy)
    early = replace(
        tables, behaviour=tables.behaviour.assign(step=tables.behaviour["seed"].map({0: 8, 1: 8, 2: 4, 3: 8}))
    )
    early.records[3]["machine"] = "there"
    assert "not walked to the last step: seed 2\n" in str(judging.judged(early))
    assert str(judging.judged(early)).endswith("of walking (here; there)") and "left out" not in str(found)
    said = str(found)
    assert "seed 2: bigrams" in said and "seed 3 (unfinished, at step 8): " in said
    assert "forms not in 8 steps" in said and "up 0.45 (0.25; 3/4)" in said
