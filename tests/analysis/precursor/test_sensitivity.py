"""Companion and bend: what a lead must survive, in worlds whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from pythia_geometry.analysis.precursor.bend import BEND_LINE, bent, explaining_bend
from pythia_geometry.analysis.precursor.companion import KEPT_LINE, compare_shuffled
from pythia_geometry.analysis.precursor.task_matched_lag import MatchedRun
from pythia_geometry.analysis.tables.step_curves import StepCurves, running_median
from pythia_geometry.analysis.worlds.designs import GRID_154, Design
from pythia_geometry.analysis.worlds.studies import STUDIES, StudyDrawn, draw_study


def study(name: str, seed: int, runs: int = 3) -> StudyDrawn:
    return draw_study(STUDIES[name], Design(GRID_154, 8), runs, np.random.default_rng([seed, runs]))


def legs(drawn: StudyDrawn) -> list[list[MatchedRun]]:
    return [
        [MatchedRun(StepCurves(r.steps, r.geometry), StepCurves(r.steps, getattr(r, metric))) for r in drawn.runs]
        for metric in ("accuracy", "log_prob")
    ]


def companion(name: str, seed: int) -> tuple[float, float, float]:
    drawn = study(name, seed)
    shuffled = [StepCurves(run.steps, g) for run, g in zip(drawn.runs, drawn.shuffled, strict=True)]
    found = compare_shuffled(legs(drawn)[1], shuffled, seed)
    assert found.kept_low <= found.kept <= found.kept_high
    return found.p, found.kept, found.kept_high


def test_own_prompts_that_lead_alone_are_told_from_shuffled_ones() -> None:
    p, kept, _ = np.transpose([companion("LEAD 0.5", seed) for seed in range(12)])
    assert np.mean(p <= 0.05) >= 0.9
    assert abs(kept.mean()) < 0.05


def test_a_length_confound_is_not_told_apart() -> None:
    p, kept, high = np.transpose([companion("LENGTH", seed) for seed in range(12)])
    assert np.mean(p <= 0.05) <= 0.2
    assert kept.mean() > 0.7 and (high > KEPT_LINE).all()


def test_a_confound_of_which_a_fifth_is_kept_never_passes() -> None:
    p, kept, high = np.transpose([companion("WEAK SHUFFLE .2", seed) for seed in range(12)])
    assert np.mean(p <= 0.05) > 0.5  # the paired test alone lets it pass
    assert (high > KEPT_LINE).all() and 0.1 < kept.mean() < 0.25


def test_identical_prompts_give_p_one_and_keep_all() -> None:
    drawn = study("LEAD 0.5", 0)
    own = [StepCurves(run.steps, run.geometry) for run in drawn.runs]
    found = compare_shuffled(legs(drawn)[0], own)
    assert (found.p, found.kept) == (1.0, pytest.approx(1.0)) and not found.is_specific


def test_bending_keeps_floor_and_top_and_delays_what_lies_between() -> None:
    curves = StepCurves(np.arange(1.0, 11), np.array([[5.0, 3, 1, 1, 2, 3, 4, 5, 5, 5]]))
    once, twice = bent(curves, 1.0).values[0], bent(curves, 2.0).values[0]
    assert once[:3].tolist() == [0, 0, 0] and once[-1] == twice[-1] == 1
    assert once[5] == pytest.approx(0.5) and twice[5] == pytest.approx(0.25)


def test_a_decade_survives_every_mild_bend_and_a_third_does_not() -> None:
    far, near = (
        [explaining_bend(legs(study(name, seed)), 0, to_the_line=True) for seed in range(4)]
        for name in ("LEAD 1", "LEAD 0.3")
    )
    assert np.mean([end == float("inf") for end in far]) >= 0.5
    assert max(near) < BEND_LINE


def test_a_square_root_of_behaviour_never_passes_the_line() -> None:
    ends = [explaining_bend(legs(study("ROOT .5", seed, 1)), seed, to_the_line=True) for seed in range(8)]
    assert np.mean([end >= BEND_LINE for end in ends]) <= 0.2


def test_a_range_ends_at_its_peak_so_that_what_turns_back_says_nothing() -> None:
    drawn = draw_study(STUDIES["OVERSHOOT"], Design(n_tasks=12), 1, np.random.default_rng(3)).runs[0]
    curves = StepCurves(drawn.steps, drawn.geometry)
    smooth, ended = running_median(curves.values), bent(curves, 1.0).values
    lost = []
    for own, row in zip(smooth, ended, strict=True):
        top = int(own.argmin() + own[own.argmin() :].argmax())
        assert (row[top + 1 :] == 1.0).all()
        lost.append(own[top] - own[-1])
    assert np.mean(lost) > 0.1  # what the curves themselves do
