"""The same command again does only what is new."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pythia_geometry.extraction.capture import Capture, capture
from pythia_geometry.geometry.cloud import Estimate
from pythia_geometry.measures import MEASURES
from pythia_geometry.runs.one_run import loader, measuring
from pythia_geometry.store.run_folder import RunFolder
from pythia_geometry.store.tables import KEYS, Tables
from tests.suites_on_disk import SuiteOnDisk, assert_same, rows, tiny_suite, write_probes, write_step

STEPS = (0, 2, 4, 6)


@pytest.fixture
def suite(tmp_path: Path) -> SuiteOnDisk:
    return tiny_suite(tmp_path, STEPS)


@pytest.fixture
def captured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the probes that ran through the model, one entry a forward pass."""
    names: list[str] = []

    def watched(model: Any, encoded: Any, *rest: Any) -> Capture:
        names.append(encoded.probe.name)
        return capture(model, encoded, *rest)

    monkeypatch.setattr(measuring, "capture", watched)
    return names


def parts(out: Path) -> list[str]:
    return sorted(p.name for p in (out / "parts").iterdir())


def pick(tables: Tables, **where: Any) -> pd.DataFrame:
    found = tables.geometry
    for column, value in where.items():
        found = found[found[column] == value]
    return found


def test_second_walk_computes_nothing_and_gives_the_same(
    suite: SuiteOnDisk, tmp_path: Path, captured: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    first = suite.walk(out)
    assert captured == ["words/near", "words/far"] * len(STEPS)
    before = parts(out)
    captured.clear()
    monkeypatch.setattr(measuring, "measure_layers", pytest.fail)
    monkeypatch.setattr(loader, "SuiteModel", pytest.fail)
    assert_same(suite.walk(out), first)
    assert captured == []
    assert parts(out) == before


def test_last_step_is_captured_first(suite: SuiteOnDisk, tmp_path: Path) -> None:
    suite.walk(tmp_path / "run", measures=("rankme",))
    assert [p.split("@step")[1] for p in parts(tmp_path / "run")] == ["6", "0", "2", "4"]


def test_added_measure_comes_from_the_cache_without_a_forward_pass(
    suite: SuiteOnDisk, tmp_path: Path, captured: list[str]
) -> None:
    out = tmp_path / "run"
    suite.walk(out, measures=("rankme",))
    captured.clear()
    added = suite.walk(out, measures=("rankme", "anisotropy"))
    assert captured == []
    assert set(pick(added, measure="rankme")["precision"]) == {"float32"}
    assert set(pick(added, measure="anisotropy")["precision"]) == {"float32, cached float16"}
    assert len(pick(added, measure="anisotropy")) == len(pick(added, measure="rankme")) == len(STEPS) * 2 * 4
    whole = pick(suite.walk(tmp_path / "whole"), measure="anisotropy")
    pd.testing.assert_series_equal(
        pick(added, measure="anisotropy")["value"], whole["value"], check_index=False, rtol=2e-2, atol=2e-3
    )
    exact = pick(added, measure="anisotropy")["value"].to_numpy() == whole["value"].to_numpy()
    assert not exact.all()  # float16 leaves a trace


def test_added_measure_that_float16_moves_takes_a_forward_pass_and_is_that_of_a_whole_walk(
    suite: SuiteOnDisk, tmp_path: Path, captured: list[str]
) -> None:
    out = tmp_path / "run"
    suite.walk(out, measures=("rankme",))
    captured.clear()
    added = suite.walk(out, measures=("rankme", "rankme_centred"))
    assert captured == ["words/near", "words/far"] * len(STEPS)
    assert_same(added, suite.walk(tmp_path / "whole", measures=("rankme", "rankme_centred")))


def test_added_probe_forwards_only_itself(suite: SuiteOnDisk, tmp_path: Path, captured: list[str]) -> None:
    out = tmp_path / "run"
    other = write_probes(tmp_path / "more.jsonl", rows("new", 6))
    first = suite.walk(out)
    captured.clear()
    both = suite.walk(out, probes=(str(suite.probes), str(other)))
    assert captured == ["more/new"] * len(STEPS)
    old = both.geometry[both.geometry["probe"] == "words"].reset_index(drop=True)
    pd.testing.assert_frame_equal(old, first.geometry, check_exact=True)
    assert len(pick(both, probe="more", measure="cka_last")) == len(STEPS) * 4
    fresh = suite.walk(tmp_path / "fresh", probes=(str(suite.probes), str(other)))
    assert_same(both, fresh)


def test_added_steps_are_forwarded_alone_and_the_next_step_is_compared_anew(
    suite: SuiteOnDisk, tmp_path: Path, captured: list[str]
) -> None:
    out = tmp_path / "run"
    first = suite.walk(out, steps="0,4,6")
    assert set(pick(first, measure="cka_previous", step=4)["reference_step"]) == {0}
    captured.clear()
    more = suite.walk(out, steps="all")
    assert captured == ["words/near", "words/far"]
    for step, before in ((2, 0), (4, 2), (6, 4)):
        assert set(pick(more, measure="cka_previous", step=step)["reference_step"]) == {before}
    assert_same(more, suite.walk(tmp_path / "fresh"))


def test_new_last_step_renews_every_comparison_with_the_last(
    suite: SuiteOnDisk, tmp_path: Path, captured: list[str]
) -> None:
    out = tmp_path / "run"
    first = suite.walk(out, steps="0-4")
    assert set(pick(first, measure="cka_last")["reference_step"]) == {4}
    captured.clear()
    more = suite.walk(out)
    assert captured == ["words/near", "words/far"]
    assert set(pick(more, measure="cka_last")["reference_step"]) == {6}
    assert_same(more, suite.walk(tmp_path / "fresh"))


def test_comparison_of_the_last_step_with_itself_is_one_and_of_the_first_with_nothing_is_unknown(
    suite: SuiteOnDisk, tmp_path: Path
) -> None:
    tables = suite.walk(tmp_path / "run")
    assert pick(tables, measure="cka_last", step=6)["value"].to_numpy() == pytest.approx(1.0)
    alone = pick(tables, measure="cka_previous", step=0)
    assert alone["value"].isna().all()
    assert set(alone["reason"]) == {"there is no previous step"}
    assert alone["reference_step"].isna().all()


@pytest.mark.parametrize(("name", "forwards"), [("anisotropy", 0), ("twonn", 2 * len(STEPS))])
def test_raised_version_of_a_measure_is_computed_again_from_the_cache_if_float16_does_not_move_it(
    suite: SuiteOnDisk,
    tmp_path: Path,
    captured: list[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    forwards: int,
) -> None:
    out = tmp_path / "run"
    first = suite.walk(out)
    captured.clear()
    newer = replace(MEASURES[name], version=99, compute=lambda cloud: Estimate(7.0, 0.5, 9.0, cloud.n))
    monkeypatch.setitem(MEASURES, name, newer)
    second = suite.walk(out)
    assert len(captured) == forwards
    assert set(pick(second, measure=name)["value"]) == {7.0}
    assert len(second.geometry) == len(first.geometry)
    kept = second.geometry["measure"] != name
    pd.testing.assert_frame_equal(second.geometry[kept], first.geometry[kept], check_exact=True)


@pytest.mark.parametrize("n", [10, 8, 5])
def test_changed_probe_file_leaves_no_row_of_the_old_one(
    suite: SuiteOnDisk, tmp_path: Path, captured: list[str], n: int
) -> None:
    out = tmp_path / "run"
    suite.walk(out)
    captured.clear()
    write_probes(suite.probes, rows("near", n, seed=1) + rows("far", 8))
    changed = suite.walk(out)
    assert captured == ["words/near"] * len(STEPS)
    assert_same(changed, suite.walk(tmp_path / "fresh"))


def test_changed_probe_file_leaves_no_old_row_of_measures_that_were_not_asked_for_again(
    suite: SuiteOnDisk, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    suite.walk(out)
    write_probes(suite.probes, rows("near", 6, seed=1))
    changed = pick(suite.walk(out, measures=("rankme",)), task="near")
    assert set(changed["n"][changed["measure"] == "rankme"]) == {6}
    assert changed[changed["n"] == 8].empty


def test_probe_file_that_changes_back_gives_its_own_rows_again(suite: SuiteOnDisk, tmp_path: Path) -> None:
    out = tmp_path / "run"
    first = suite.walk(out)
    original = suite.probes.read_text()
    write_probes(suite.probes, rows("near", 8, seed=1) + rows("far", 8))
    suite.walk(out)
    suite.probes.write_text(original)
    assert_same(suite.walk(out), first)


def test_step_added_after_a_probe_file_changed_back_is_compared_with_its_own_rows(
    suite: SuiteOnDisk, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    original = suite.probes.read_text()
    suite.walk(out, steps="0,4,6")
    write_probes(suite.probes, rows("near", 5, seed=1) + rows("far", 8))
    suite.walk(out, steps="0,4,6")
    suite.probes.write_text(original)
    assert_same(suite.walk(out), suite.walk(tmp_path / "fresh"))


def test_changed_weights_of_a_step_are_computed_again(suite: SuiteOnDisk, tmp_path: Path, captured: list[str]) -> None:
    out = tmp_path / "run"
    suite.walk(out)
    captured.clear()
    write_step(suite.folder, 2, seed=999)
    changed = suite.walk(out)
    assert captured == ["words/near", "words/far"]
    assert_same(changed, suite.walk(tmp_path / "fresh"))


def test_weights_that_change_back_give_their_own_rows_again(suite: SuiteOnDisk, tmp_path: Path) -> None:
    out = tmp_path / "run"
    first = suite.walk(out)
    original = suite.weights(2).read_bytes()
    write_step(suite.folder, 2, seed=999)
    suite.walk(out)
    suite.weights(2).write_bytes(original)
    assert_same(suite.walk(out), first)


def test_other_dtype_is_computed_again_and_says_so(suite: SuiteOnDisk, tmp_path: Path, captured: list[str]) -> None:
    out = tmp_path / "run"
    suite.walk(out)
    captured.clear()
    tables = suite.walk(out, dtype="bfloat16")
    assert len(captured) == 2 * len(STEPS)
    assert set(tables.behaviour["precision"]) == {"bfloat16"}
    assert set(tables.geometry["precision"]) == {"bfloat16", "bfloat16, cached float16"}
    assert not tables.geometry.duplicated(KEYS["geometry"]).any()


def test_going_back_to_a_dtype_shows_its_rows_again(suite: SuiteOnDisk, tmp_path: Path) -> None:
    out = tmp_path / "run"
    first = suite.walk(out)
    suite.walk(out, dtype="bfloat16")
    assert_same(suite.walk(out), first)


def test_both_positions_stand_side_by_side(suite: SuiteOnDisk, tmp_path: Path) -> None:
    out = tmp_path / "run"
    last = suite.walk(out, measures=("rankme",))
    both = suite.walk(out, measures=("rankme",), position="mean")
    assert len(both.geometry) == 2 * len(last.geometry)
    pd.testing.assert_frame_equal(pick(both, position="last").reset_index(drop=True), last.geometry, check_exact=True)
    assert not pick(both, position="mean")["value"].isin(last.geometry["value"]).all()


def test_deleted_activations_are_made_again_with_the_same_tables(
    suite: SuiteOnDisk, tmp_path: Path, captured: list[str]
) -> None:
    out = tmp_path / "run"
    first = suite.walk(out)
    captured.clear()
    RunFolder(out).activations_file("tiny@step4", "last", "float32").unlink()
    assert_same(suite.walk(out), first)
    assert captured == ["words/near", "words/far"]
