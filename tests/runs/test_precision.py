"""Every row says in which precision its number was computed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pythia_geometry.extraction.loading.models import SuiteModel
from pythia_geometry.runs.ledger import Ledger
from pythia_geometry.runs.plan import make_plan
from pythia_geometry.runs.progress import Silent
from pythia_geometry.store.run_folder import RunFolder
from tests.suites_on_disk import tiny_suite


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_row_names_the_precision_it_was_computed_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    """Forward rows hold the dtype alone, comparisons also that they came from the float16 cache; none is empty."""
    computed_in: set[torch.dtype] = set()
    swap = SuiteModel.swap

    def seen(self: SuiteModel, *given: object) -> None:
        swap(self, *given)  # type: ignore[arg-type]
        computed_in.update(p.dtype for p in self.module.parameters())

    monkeypatch.setattr(SuiteModel, "swap", seen)
    tables = tiny_suite(tmp_path).walk(tmp_path / "run", steps="0,2", dtype=dtype)
    assert computed_in == {getattr(torch, dtype)}
    compared = tables.geometry["measure"].isin(["cka_previous", "cka_last"]) & tables.geometry["value"].notna()
    assert compared.any()
    assert set(tables.geometry.loc[compared, "precision"]) == {f"{dtype}, cached float16"}
    own = tables.geometry[~tables.geometry["measure"].isin(["cka_previous", "cka_last"])]
    for table in (own, tables.behaviour):
        assert len(table) and set(table["precision"]) == {dtype}
    assert tables.geometry["precision"].notna().all()


def test_an_attention_kernel_other_than_sdpa_stands_in_the_row(tmp_path: Path) -> None:
    suite = tiny_suite(tmp_path, (0,))
    (run,) = make_plan(suite.request()).runs
    eager = replace(run, shape=replace(run.shape, kernel="eager"))
    for plan, said in ((run, "float32"), (eager, "float32, eager")):
        ledger = Ledger(plan, suite.request(), RunFolder(tmp_path / "run"), Silent())
        assert ledger.precision == said
