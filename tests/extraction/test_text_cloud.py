"""A text as a probe: pieces, identity, n-gram divergences against a plain count, refusals."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoModelForCausalLM

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.runs.plan import make_plan
from pythia_geometry.runs.request import Request
from tests.suites_on_disk import WORDS, tiny_suite


def long_text(folder: Path, words: int = 64 * 110, name: str = "corpus") -> str:
    """Words that often follow each other."""
    rng = np.random.default_rng(0)
    chain = [0]
    for _ in range(words - 1):
        chain.append((chain[-1] + 1) % 12 if rng.random() < 0.7 else int(rng.integers(12)))
    path = folder / f"{name}.txt"
    path.write_text(" ".join(WORDS[i] for i in chain))
    return str(path)


def test_a_text_is_walked_as_a_probe_with_its_n_grams(tmp_path: Path) -> None:
    suite = tiny_suite(tmp_path, (4,))
    text = long_text(tmp_path)
    measures = ("rankme", "alpha_req", "unigram_kl", "bigram_kl")
    found = suite.walk(tmp_path / "run", probes=("text",), text=text, measures=measures)
    cloud = found.geometry[found.geometry["measure"] == "rankme"]
    assert set(cloud["probe"]) == {"text"} and set(cloud["task"]) == {"corpus"} and set(cloud["n"]) == {110}
    assert set(found.behaviour["metric"]) >= {"accuracy", "log_prob"}
    model = AutoModelForCausalLM.from_pretrained(suite.folder / "step4", dtype=torch.float32).eval()
    (pieces,) = make_plan(suite.request(probes=("text",), text=text, measures=measures)).runs[0].probes
    ids = [t for item in pieces.items for t in (*item.prompt, *item.target)]
    expected = {"unigram_kl": [], "bigram_kl": []}
    for item in pieces.items:
        with torch.no_grad():
            log_p = model(input_ids=torch.tensor([item.prompt])).logits[0, -1].double().log_softmax(-1).numpy()
        follows = [two for one, two in pairwise(ids) if one == item.prompt[-1]]
        for name, seen in (("unigram_kl", ids), ("bigram_kl", follows)):
            q = np.bincount(seen, minlength=len(log_p)) / len(seen)
            expected[name].append(float(sum(p * (np.log(p) - log_p[k]) for k, p in enumerate(q) if p > 0)))
    rows = found.geometry.set_index("measure")
    for name, values in expected.items():
        assert rows.loc[name, "value"] == pytest.approx(np.mean(values), rel=1e-4)
        assert rows.loc[name, "error"] == pytest.approx(np.std(values, ddof=1) / np.sqrt(len(values)), rel=1e-4)


def test_corpus_and_length_are_in_the_identity(tmp_path: Path) -> None:
    suite = tiny_suite(tmp_path, (4,))
    found = [
        make_plan(suite.request(probes=("text",), text=long_text(tmp_path, words, name))).runs[0].probes[0]
        for words, name in ((64 * 110, "a"), (64 * 120, "a"), (64 * 110, "b"))
    ]
    assert len({e.sha256 for e in found[:2]}) == 2 and len({e.probe.sha256 for e in found}) == 3
    clouds = [
        make_plan(suite.request(probes=("text",), text=long_text(tmp_path, words))).runs[0].text
        for words in (64 * 110, 64 * 110 + 30)
    ]
    assert clouds[0].encoded.sha256 == clouds[1].encoded.sha256, "the last 30 words fill no piece"
    assert clouds[0].sha256 != clouds[1].sha256, "but n-grams are counted on them too"


def test_what_is_no_text_is_refused_and_no_text_is_a_reason(tmp_path: Path) -> None:
    suite = tiny_suite(tmp_path, (4,))
    with pytest.raises(PythiaGeometryError, match="add --text FILE"):
        Request(probes=("text",))
    with pytest.raises(PythiaGeometryError, match="needs 100 pieces"):
        make_plan(suite.request(probes=("text",), text=long_text(tmp_path, 640)))
    with pytest.raises(PythiaGeometryError, match="is no file"):
        make_plan(suite.request(probes=("text",), text=str(tmp_path / "nothing.txt")))
    found = suite.walk(tmp_path / "run", measures=("rankme", "bigram_kl")).geometry
    row = pd.DataFrame(found[found["measure"] == "bigram_kl"]).iloc[0]
    assert np.isnan(row["value"]) and "pass --text FILE" in row["reason"]
