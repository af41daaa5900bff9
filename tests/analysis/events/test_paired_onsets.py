"""From tables to the units of the coincidence test."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pythia_geometry.analysis.curves.probability import probability
from pythia_geometry.analysis.events.paired_onsets import paired_onsets
from pythia_geometry.errors import PythiaGeometryError
from tests.analysis.made_up_heads import STEPS, tables


def test_onsets_are_counted_in_the_checkpoints_of_both_tables() -> None:
    geometry, behaviour = tables(lambda _, seed, __: (4500 + 1000 * seed, 6500), seeds=2, tasks=("a",))
    units = paired_onsets(geometry, behaviour, "probability")
    assert units["cell"].tolist() == ["pythia-160m capabilities/a"] * 2
    assert units["run"].tolist() == ["0", "1"]
    steps = list(STEPS)
    assert units["pattern"].tolist() == [steps.index(5000), steps.index(6000)]
    assert units["behaviour"].tolist() == [steps.index(7000)] * 2
    coarse = behaviour[behaviour["step"].isin([0, 1, 4, 16, 64, 256, 2000, 5000, 6000, 10_000, 20_000, 40_000])]
    assert paired_onsets(geometry, coarse, "probability")["pattern"].tolist() == [7, 8]


def test_what_was_not_seen_to_rise_has_no_onset() -> None:
    geometry, behaviour = tables(lambda _, __, ___: (5500, 10**7), seeds=1, tasks=("a",))
    (unit,) = paired_onsets(geometry, behaviour, "probability").itertuples()
    assert np.isfinite(unit.pattern)
    assert np.isnan(unit.behaviour)


def test_a_head_can_be_named() -> None:
    geometry, behaviour = tables(lambda _, __, ___: (5500, 5500), seeds=1, tasks=("a",))
    units = paired_onsets(geometry, behaviour, "probability", head=("resid_2", 3))
    assert units["pattern"].notna().all()
    with pytest.raises(PythiaGeometryError, match="target_mass of resid_9 table: no rows"):
        paired_onsets(geometry, behaviour, "probability", head=("resid_9", 3))
    with pytest.raises(PythiaGeometryError, match="behaviour, margin table: no rows"):
        paired_onsets(geometry, behaviour, "margin")


def test_two_curves_of_one_unit_are_refused() -> None:
    geometry, behaviour = tables(lambda _, __, ___: (5500, 5500), seeds=1, tasks=("a",))
    twice = pd.concat([geometry.assign(settings=""), geometry.assign(settings='{"mark": "cue"}')])
    with pytest.raises(PythiaGeometryError, match="repeated|twice"):
        paired_onsets(twice, behaviour, "probability")


def test_the_probability_is_the_mean_over_items() -> None:
    about = {"suite": "s", "model": "m", "seed": 0, "step": 8, "probe": "p", "task": "t"}
    answers = pd.DataFrame([{**about, "item": i, "log_prob": np.log(p)} for i, p in enumerate([0.2, 0.4, 0.9])])
    (found,) = probability(answers).itertuples()
    assert found.value == pytest.approx(0.5)
    assert found.error == pytest.approx(np.std([0.2, 0.4, 0.9], ddof=1) / np.sqrt(3))
    assert (found.metric, found.n, found.reason) == ("probability", 3, "")
    answers.loc[1, "log_prob"] = np.nan
    (broken,) = probability(answers).itertuples()
    assert np.isnan(broken.value)
    assert broken.reason == "non-finite log-probabilities in 1 items"
