"""`pythia-geom compare`: the table, what it writes, and what may be mistyped."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from pythia_geometry import cli
from pythia_geometry.analysis.claims.rules import NOT_TESTABLE, UNDECIDED
from pythia_geometry.runs.local import walk
from pythia_geometry.runs.plan import make_plan
from pythia_geometry.runs.request import Request


class Said(NamedTuple):
    code: int
    out: str
    err: str


Command = Callable[..., Said]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["pythia-geom", *words])
        try:
            cli.main()
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return Said(code, out, err)

    return run


@pytest.fixture(scope="module")
def offline_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few steps of the offline suite: enough for a table, too few for most claims."""
    folder = tmp_path_factory.mktemp("runs") / "offline"
    probes = ("algorithmic/MOD1", "algorithmic/COPY1", "algorithmic/PAR1", "algorithmic/SORT1")
    request = Request(probes=probes, steps="0-200:4,last", measures=("rankme", "rankme_centred"))
    walk(make_plan(request), folder)
    return folder


def test_every_claim_gets_a_verdict_and_its_rows(command: Command, offline_run: Path) -> None:
    said = command("compare", str(offline_run), "--reference", "none", "--out", "claims")
    assert said.code == 0
    table = pd.read_csv("claims/claims.csv")
    assert table["id"].tolist() == [f"C{i}" for i in range(1, 13)]
    assert set(table["evidence"]) == {"offline"}
    verdicts = dict(zip(table["id"], table["verdict"], strict=True))
    assert verdicts["C3"] == UNDECIDED and verdicts["C11"] == verdicts["C5"] == NOT_TESTABLE
    rows = pd.read_csv("claims/rows/C1-offline.csv")
    assert set(rows["task"]) == {"MOD1", "COPY1", "PAR1", "SORT1"} and set(rows["phase"]) == {"whole"}
    page = Path("claims/claims.md").read_text()
    assert page.count("\n") == 14 and "32/32 task × model" in page
    assert "32/32 task × model" in said.out and "not testable here" in said.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--reference", "pythia"], "--reference pythia: expected lab or none"),
        (["--reference", "none"], "Nothing to compare"),
        (["nowhere"], "There is no nowhere|nowhere: expected a run folder"),
        (["empty"], "empty is no run folder"),
    ],
)
def test_a_mistake_has_its_message(command: Command, words: list[str], message: str) -> None:
    Path("empty").mkdir()
    said = command("compare", *words)
    assert said.code == 2
    assert any(part in said.err for part in message.split("|"))
