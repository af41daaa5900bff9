"""What may be believed: rows by measure and kind of reason, numbers left out, nothing lost."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pythia_geometry.report.belief import belief, kinds_of
from pythia_geometry.screens.console import open_console
from pythia_geometry.screens.walk import show_belief


def test_reasons_are_gathered_by_kind_with_their_steps() -> None:
    rows = [
        ("llc", 0, float("nan"), "non-finite loss at step 3 of chain 0"),
        ("llc", 10, -3.0, "negative: a descent, not an LLC; step too large: the sharpest direction is off by 12%"),
        ("llc", 20, 4.0, "step too large: the sharpest direction is off by 7%"),
        ("llc", 30, 5.0, ""),
        ("rankme", 0, 2.0, ""),
        ("twonn", 0, float("nan"), ""),
    ]
    found = belief(pd.DataFrame(rows, columns=["measure", "step", "value", "reason"]))
    llc = found[found["measure"] == "llc"].set_index("why not")
    assert llc["rows so"].to_dict() == {
        "non-finite loss at step … of chain …": 1,
        "negative": 1,
        "step too large": 2,
    }
    assert (llc["believed"] == 1).all() and (llc["rows"] == 4).all()
    assert llc.loc["step too large", ["from step", "to step"]].tolist() == [10, 20]
    whole = found.set_index("measure")
    assert whole.loc["rankme", "why not"] == "" and whole.loc["twonn", "why not"] == "no value"
    assert whole.loc["twonn", "believed"] == 0


def test_a_kind_says_what_to_do_where_the_reason_does() -> None:
    (kind,) = kinds_of("no loss is named: pass --text FILE for next-token loss of a text")
    assert "--text FILE" in kind


def test_a_measure_without_a_row_is_named() -> None:
    rows = pd.DataFrame([("rankme", 0, 2.0, "")], columns=["measure", "step", "value", "reason"])
    found = belief(rows, ["rankme", "unembedding_rank"]).set_index("measure")
    assert "no rows" in str(found.loc["unembedding_rank", "why not"]) and found.loc["unembedding_rank", "rows"] == 0
    assert found.loc["rankme", "why not"] == ""
    console = open_console()
    with console.capture() as said:
        show_belief(console, belief(rows, ["rankme", "unembedding_rank"]), Path("run"))
    assert "unembedding_rank" in said.get() and "0 of 0" in said.get()
