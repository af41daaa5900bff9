"""T1 to T3: planted phases are seen, flat curves are not, and what is missing is no verdict."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pythia_geometry.analysis.claims.evidence import Evidence
from pythia_geometry.analysis.claims.operating import shipped_rates
from pythia_geometry.analysis.claims.rules import RULES
from pythia_geometry.analysis.claims.ruling import DOES_NOT, NOT_ENOUGH, REPLICATES, SEEN

STEPS = np.unique(np.round(np.geomspace(1, 1e5, 30))).astype(int)
X = np.log10(STEPS) / 5
THREE = ("warm-up", "entropy-seeking", "compression")


def step(at: float) -> np.ndarray:
    """A rise from 0 to 1 at a place between the first step, 0, and the last, 1."""
    return 1 / (1 + np.exp(-40 * (X - at)))


def evidence(fall: float, rise: float, last: float, runs: int = 6) -> Evidence:
    """Runs with three phases in ln rank, bigrams best at .45, accuracy rising with the last phase."""
    geometry, behaviour = [], []
    for seed in range(runs):
        about = {"model": "m", "seed": seed, "step": STEPS, "reason": ""}
        text = {**about, "probe": "text", "task": "corpus", "position": "last"}
        rank = np.exp(4 - fall * step(0.2) + rise * step(0.5) - last * step(0.8))
        geometry.append(
            pd.DataFrame({**text, "measure": "rankme", "layer": "final_norm", "value": rank, "error": 0.01})
        )
        kl = pd.DataFrame({**text, "measure": "bigram_kl", "layer": "model", "value": np.abs(X - 0.45), "error": 0.01})
        geometry.append(kl)
        own = {**about, "probe": "syntax", "task": "t", "metric": "accuracy"}
        behaviour.append(
            pd.DataFrame({**own, "value": 0.3 + 0.4 * step(0.8) * bool(last), "error": 0.02, "chance": 0.0})
        )
    return Evidence("made up", pd.concat(geometry, ignore_index=True), pd.concat(behaviour, ignore_index=True))


@pytest.mark.parametrize("rule", THREE)
def test_planted_phases_are_seen_and_flat_curves_are_not(rule: str) -> None:
    assert RULES[rule](evidence(0.8, 0.8, 0.4)).verdict == REPLICATES
    assert RULES[rule](evidence(0.0, 0.0, 0.0)).verdict == DOES_NOT
    assert RULES[rule](evidence(0.8, 0.8, 0.4, runs=1)).verdict == SEEN


def test_each_phase_is_judged_by_itself() -> None:
    two = evidence(0.8, 0.8, 0.0)
    assert [RULES[rule](two).verdict for rule in THREE] == [REPLICATES, REPLICATES, DOES_NOT]


def test_two_texts_of_a_run_are_one_vote_and_none_where_they_differ() -> None:
    one, flat = evidence(0.8, 0.8, 0.4), evidence(0.0, 0.0, 0.0)

    def beside(other: Evidence) -> Evidence:
        again = other.geometry.assign(task="another corpus")
        return Evidence("two texts", pd.concat([one.geometry, again], ignore_index=True), one.behaviour)

    for rule in THREE:
        alike = RULES[rule](beside(one))
        assert alike.effect is not None
        assert (alike.verdict, alike.effect.n_runs) == (REPLICATES, 6)
        assert RULES[rule](beside(flat)).verdict == NOT_ENOUGH
    five = evidence(0.8, 0.8, 0.4, runs=3)
    again = five.geometry.assign(task="another corpus")
    doubled = Evidence("doubled", pd.concat([five.geometry, again], ignore_index=True), five.behaviour)
    assert RULES["warm-up"](doubled).verdict == RULES["warm-up"](five).verdict, "three runs are three votes"


def test_without_a_text_or_its_bigrams_there_is_no_verdict() -> None:
    whole = evidence(0.8, 0.8, 0.4)
    other = Evidence("other", whole.geometry.assign(probe="syntax"), whole.behaviour)
    ruling = RULES["warm-up"](other)
    assert ruling.verdict == NOT_ENOUGH and "--probes text" in ruling.value
    bare = Evidence("bare", whole.geometry[whole.geometry["measure"] == "rankme"], whole.behaviour.iloc[:0])
    assert [RULES[rule](bare).verdict for rule in THREE] == [REPLICATES, NOT_ENOUGH, NOT_ENOUGH]


def test_the_rates_beside_the_verdicts_ship() -> None:
    rates = shipped_rates()
    for rule in THREE:
        mine = rates[(rates["rule"] == rule) & (rates["runs"] == 10)]
        said = {(row.truth, row.word): row.rate for row in mine.itertuples()}
        assert said.get(("null", REPLICATES), 0.0) <= 0.05 and said["the paper's effect", REPLICATES] >= 0.9
