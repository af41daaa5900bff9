"""A step that cannot be used is a row with its reason; the others go on."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

from pythia_geometry.commands.walk_session import run_session
from pythia_geometry.errors import EXIT_GAPS
from pythia_geometry.store.tables import Tables
from tests.hub.checkpoints import pythia_config, write_checkpoint
from tests.suites_on_disk import SuiteOnDisk, assert_same, tiny_suite

STEPS = (0, 2, 4, 6)


@pytest.fixture
def suite(tmp_path: Path) -> SuiteOnDisk:
    return tiny_suite(tmp_path, STEPS)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def status(tables: Tables) -> dict[int, str]:
    return dict(zip(tables.checkpoints["step"], tables.checkpoints["status"], strict=True))


def detail(tables: Tables, step: int) -> str:
    return str(tables.checkpoints.set_index("step").loc[step, "detail"])


def references(tables: Tables, measure: str) -> dict[int, int | None]:
    rows = tables.geometry[tables.geometry["measure"] == measure]
    pairs = rows[["step", "reference_step"]].drop_duplicates()
    return {int(r.step): None if pd.isna(r.reference_step) else int(r.reference_step) for r in pairs.itertuples()}


def test_truncated_step_is_corrupt_and_the_others_are_complete(suite: SuiteOnDisk, tmp_path: Path) -> None:
    truncate(suite.weights(2))
    tables = suite.walk(tmp_path / "run")
    assert status(tables) == {0: "ok", 2: "corrupt", 4: "ok", 6: "ok"}
    assert "model.safetensors is truncated or corrupt" in detail(tables, 2)
    assert set(tables.geometry["step"]) == set(tables.answers["step"]) == {0, 4, 6}
    assert references(tables, "cka_previous") == {0: None, 4: 0, 6: 4}


def test_repaired_step_is_filled_in_by_the_next_walk(suite: SuiteOnDisk, tmp_path: Path) -> None:
    whole = suite.weights(2).read_bytes()
    truncate(suite.weights(2))
    suite.walk(tmp_path / "run")
    suite.weights(2).write_bytes(whole)
    assert_same(suite.walk(tmp_path / "run"), suite.walk(tmp_path / "fresh"))


def test_session_with_a_broken_step_reports_gaps_and_without_it_none(
    suite: SuiteOnDisk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = suite.weights(2).read_bytes()
    truncate(suite.weights(2))
    assert run_session(suite.request(), str(tmp_path / "run"), dry_run=False) is True
    said = capsys.readouterr().out
    assert "skipped" in said
    assert "1 checkpoint is missing" in said
    suite.weights(2).write_bytes(whole)
    assert run_session(suite.request(), str(tmp_path / "run"), dry_run=False) is False
    assert EXIT_GAPS == 3


def test_broken_last_step_leaves_the_order_of_the_others_as_it_is(suite: SuiteOnDisk, tmp_path: Path) -> None:
    truncate(suite.weights(6))
    tables = suite.walk(tmp_path / "run")
    assert status(tables)[6] == "corrupt"
    assert references(tables, "cka_previous") == {0: None, 2: 0, 4: 2}
    assert references(tables, "cka_last") == {0: 4, 2: 4, 4: 4}


def test_broken_last_step_repaired_gives_the_tables_of_a_fresh_walk(suite: SuiteOnDisk, tmp_path: Path) -> None:
    whole = suite.weights(6).read_bytes()
    truncate(suite.weights(6))
    suite.walk(tmp_path / "run")
    suite.weights(6).write_bytes(whole)
    assert_same(suite.walk(tmp_path / "run"), suite.walk(tmp_path / "fresh"))


def test_all_steps_broken_is_a_result_with_gaps(suite: SuiteOnDisk, tmp_path: Path) -> None:
    for step in STEPS:
        suite.weights(step).write_bytes(b"not a safetensors file %d" % step)
    out = tmp_path / "run"
    assert run_session(suite.request(), str(out), dry_run=False) is True
    assert len(pd.read_parquet(out / "checkpoints.parquet")) == len(STEPS)
    assert pd.read_parquet(out / "geometry.parquet").empty


def test_step_without_weights_is_missing(suite: SuiteOnDisk, tmp_path: Path) -> None:
    suite.weights(4).unlink()
    tables = suite.walk(tmp_path / "run")
    assert status(tables)[4] == "missing"
    assert "has no weights" in detail(tables, 4)
    assert references(tables, "cka_previous") == {0: None, 2: 0, 6: 2}


def test_step_of_another_shape_is_unsupported_and_leaves_no_trace_in_the_next(
    suite: SuiteOnDisk, tmp_path: Path
) -> None:
    expected = suite.walk(tmp_path / "good").geometry
    write_checkpoint(suite.folder / "step2", pythia_config("tiny", vocab_size=60), seed=7)
    tables = suite.walk(tmp_path / "run")
    assert status(tables)[2] == "unsupported"
    alone = ~expected["measure"].str.startswith("cka") & (expected["step"] == 4)
    found = tables.geometry
    found = found[~found["measure"].str.startswith("cka") & (found["step"] == 4)]
    pd.testing.assert_frame_equal(
        found.reset_index(drop=True), expected[alone].reset_index(drop=True), check_exact=True
    )


class _Runs:
    """What a pickle of it does when it is opened."""

    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.sentinel}",)


def test_weights_that_would_run_code_are_not_opened(suite: SuiteOnDisk, tmp_path: Path) -> None:
    sentinel = tmp_path / "sentinel"
    suite.weights(2).unlink()
    torch.save({"weight": _Runs(sentinel)}, suite.folder / "step2" / "pytorch_model.bin")
    suite.weights(4).unlink()
    (suite.folder / "step4" / "pytorch_model.bin").write_bytes(pickle.dumps(_Runs(sentinel), protocol=2))
    tables = suite.walk(tmp_path / "run")
    assert status(tables) == {0: "ok", 2: "corrupt", 4: "corrupt", 6: "ok"}
    assert "it may run code when opened" in detail(tables, 2)
    assert not sentinel.exists()


def test_nan_weights_are_rows_with_a_reason_down_to_the_pictures(suite: SuiteOnDisk, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    for step in STEPS:
        tensors = load_file(suite.weights(step))
        tensors["gpt_neox.final_layer_norm.weight"][3] = float("nan")
        save_file(tensors, suite.weights(step))
    out = tmp_path / "run"
    assert run_session(suite.request(), str(out), dry_run=False) is False
    geometry = pd.read_parquet(out / "geometry.parquet")
    final = geometry[geometry["layer"] == "final_norm"]
    assert final["value"].isna().all()
    assert set(final["reason"]) == {"non-finite activations in 8 of 8 rows", "there is no previous step"}
    before = geometry[(geometry["layer"] == "resid_2") & (geometry["measure"] == "rankme")]
    assert before["value"].notna().all()
    behaviour = pd.read_parquet(out / "behaviour.parquet")
    assert behaviour["value"].isna().all()
    assert set(behaviour["reason"]) == {"non-finite log-probabilities in 8 of 8 items"}


def test_duplicate_weights_are_refused_with_the_reason(suite: SuiteOnDisk, tmp_path: Path) -> None:
    shutil.copy(suite.weights(6), suite.weights(2))
    tables = suite.walk(tmp_path / "run")
    assert status(tables) == {0: "ok", 2: "duplicate", 4: "ok", 6: "ok"}
    sha = tables.checkpoints["weight_sha256"].iloc[1][:8]
    assert detail(tables, 2).startswith(
        f"tiny@step2 holds the same weights as step6 (sha256 {sha}…): its curve would be flat."
    )
    assert detail(tables, 2).endswith("or pass --duplicates keep.")
    assert 2 not in set(tables.geometry["step"])


def test_duplicate_weights_are_walked_on_request(suite: SuiteOnDisk, tmp_path: Path) -> None:
    shutil.copy(suite.weights(6), suite.weights(2))
    tables = suite.walk(tmp_path / "run", duplicates="keep")
    assert set(status(tables).values()) == {"ok"}
    values = tables.geometry[tables.geometry["measure"] == "rankme"].groupby("step")["value"].apply(list)
    assert values[2] == values[6] != values[4]


def test_step_0_may_hold_the_weights_of_step_1(tmp_path: Path) -> None:
    suite = tiny_suite(tmp_path, (0, 1, 2))
    shutil.copy(suite.weights(0), suite.weights(1))
    tables = suite.walk(tmp_path / "run")
    assert set(status(tables).values()) == {"ok"}
    same = tables.geometry[(tables.geometry["measure"] == "cka_previous") & (tables.geometry["step"] == 1)]
    assert same["value"].to_numpy() == pytest.approx(1.0)
