"""Whatever decides a number is in its identity: change any input, and it is computed again and said, or marked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pythia_geometry.runs.manifest import changed_inputs
from pythia_geometry.runs.plan import make_plan
from pythia_geometry.store.run_folder import RunFolder
from tests.suites_on_disk import SuiteOnDisk, assert_same, rows, tiny_suite, write_probes, write_step

STEPS = (0, 2, 8)


def swapped_words(suite: SuiteOnDisk) -> None:
    """Swaps two ids of the tokenizer."""
    file = suite.folder / "tokenizer.json"
    tokenizer = json.loads(file.read_text())
    vocab = tokenizer["model"]["vocab"]
    vocab["w3"], vocab["w4"] = vocab["w4"], vocab["w3"]
    file.write_text(json.dumps(tokenizer))


def other_config(**changes: Any) -> Callable[[SuiteOnDisk], None]:
    """Changes every step's config."""

    def change(suite: SuiteOnDisk) -> None:
        for file in suite.folder.rglob("config.json"):
            file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return change


def other_weights(suite: SuiteOnDisk) -> None:
    """Replaces the weights of every step."""
    for step in STEPS:
        write_step(suite.folder, step, seed=900 + step)


def other_rows(suite: SuiteOnDisk) -> None:
    """Other rows under the same names."""
    write_probes(suite.probes, rows("near", 8, seed=5) + rows("far", 8, seed=6))


CHANGES: dict[str, tuple[Callable[[SuiteOnDisk], None], str]] = {
    "tokenizer": (swapped_words, "the tokenizer gives other token ids"),
    "layer norm": (other_config(layer_norm_eps=0.01), "config.json says other numbers"),
    "rotary share": (other_config(rotary_pct=1.0), "config.json says"),
    "weights": (other_weights, "other weights than before at 3 steps (0, 2, 8)"),
    "rows": (other_rows, "is not the probe that this run folder was walked with"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_input_is_computed_again_everywhere_and_said(name: str, tmp_path: Path) -> None:
    change, said = CHANGES[name]
    suite, out = tiny_suite(tmp_path, STEPS), tmp_path / "run"
    before = suite.walk(out)
    change(suite)
    plan = make_plan(suite.request())
    assert any(said in line for line in changed_inputs(RunFolder(out).manifest(), plan))
    after = suite.walk(out)
    assert_same(after, suite.walk(tmp_path / "fresh"))
    assert not before.geometry["value"].equals(after.geometry["value"])
    assert not changed_inputs(RunFolder(out).manifest(), make_plan(suite.request()))


def test_after_a_repaired_tokenizer_rows_of_steps_not_walked_again_are_marked(tmp_path: Path) -> None:
    suite, out = tiny_suite(tmp_path, STEPS), tmp_path / "run"
    suite.walk(out)
    swapped_words(suite)
    found = suite.walk(out, steps="0,8")
    for table in (found.geometry, found.behaviour, found.answers):
        old = table["step"] == 2
        known = table[old & table["value" if "value" in table else "log_prob"].notna()]
        assert len(known)
        assert known["reason"].str.contains("read with another tokenizer").all()
        assert not table[~old]["reason"].str.contains("tokenizer").any()
    assert_same(suite.walk(out), suite.walk(tmp_path / "fresh"))


@pytest.mark.parametrize("order", [("rankme", "rankme_centred"), ("rankme_centred", "rankme"), ("twonn", "rankme")])
def test_no_number_depends_on_the_order_of_commands(order: tuple[str, str], tmp_path: Path) -> None:
    suite, out = tiny_suite(tmp_path, STEPS), tmp_path / "run"
    suite.walk(out, measures=order[:1])
    found = suite.walk(out, measures=order)
    pd.testing.assert_frame_equal(found.geometry, suite.walk(tmp_path / "fresh", measures=order).geometry)


def test_weights_replaced_at_steps_that_are_not_walked_again_are_said_and_their_rows_marked(tmp_path: Path) -> None:
    suite, out = tiny_suite(tmp_path, STEPS), tmp_path / "run"
    suite.walk(out, steps="0,2")
    other_weights(suite)
    plan = make_plan(suite.request(steps="8"))
    assert sum("the suite has changed" in line for line in changed_inputs(RunFolder(out).manifest(), plan)) == 2
    found = suite.walk(out, steps="8").geometry
    assert found[found["step"] != 8]["reason"].str.contains("the suite has changed").all()
    assert not found[found["step"] == 8]["reason"].str.contains("changed").any()
    assert_same(suite.walk(out), suite.walk(tmp_path / "fresh"))
