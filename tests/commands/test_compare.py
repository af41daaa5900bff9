"""`pythia-geom compare`: the table, what it writes, and what may be mistyped."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from pythia_geometry import cli
from pythia_geometry.analysis.claims.ruling import NOT_ENOUGH, NOT_SEEN, SEEN, UNDECIDED
from pythia_geometry.analysis.claims.table import judge_claims, read_claims
from pythia_geometry.analysis.precursor.tidy_tables import read_tables
from pythia_geometry.commands import comparison
from pythia_geometry.errors import PythiaGeometryError
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
    assert table["id"].tolist() == [claim.id for claim in read_claims()]
    assert set(table["evidence"]) == {"offline"}
    verdicts = dict(zip(table["id"], table["verdict"], strict=True))
    assert verdicts["C3"] in (SEEN, NOT_SEEN, UNDECIDED, NOT_ENOUGH) and verdicts["C11"] == verdicts["C5"] == NOT_ENOUGH
    rows = pd.read_csv("claims/rows/C1-offline.csv")
    assert set(rows["task"]) == {"MOD1", "COPY1", "PAR1", "SORT1"} and set(rows["phase"]) == {"whole"}
    page = Path("claims/claims.md").read_text()
    assert page.count(" | offline | ") == len(table) and "arXiv 2606.25010" in page and "32/32 task × model" in page
    assert "32/32 task × model" in said.out and "not enough evidence" in said.out


def test_what_was_not_walked_is_named_with_what_to_type(command: Command, offline_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "centred"
    request = Request(probes=("algorithmic/MOD1",), steps="0-200:4,last", measures=("rankme_centred",))
    walk(make_plan(request), folder)
    said = command("compare", str(folder), "--reference", "none", "--json")
    rows = {row["id"]: row for row in json.loads(said.out)["tables"]["claims"]}
    assert said.code == 0
    for claim in ("C1", "C2", "C3", "C7", "C8", "C9"):
        assert rows[claim]["verdict"] == NOT_ENOUGH
        assert rows[claim]["value"].startswith("needs rankme") and "walk --measures rankme" in rows[claim]["value"]
    said = command("compare", str(offline_run), "--reference", "none", "--json", "--position", "mean")
    rows = {row["id"]: row for row in json.loads(said.out)["tables"]["claims"]}
    assert "at position 'mean', walk --measures rankme,rankme_centred --position mean" in rows["C1"]["value"]


def test_seeds_in_several_folders_are_one_body_as_for_precursors_and_a_repeated_walk_is_not(
    command: Command, offline_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three folders of three seeds are three runs of one model; the same run twice is not two."""
    seeds = [offline_run, *(tmp_path / f"seed{seed}" for seed in (1, 2))]
    again = tmp_path / "again" / offline_run.name
    for folder in (*seeds[1:], again):
        shutil.copytree(offline_run, folder)

    def read(paths: Sequence[Path]) -> tuple[pd.DataFrame, ...]:
        seed = seeds.index(paths[0]) if paths[0] in seeds else 0
        geometry, behaviour = read_tables(paths)
        return geometry.assign(seed=seed, value=geometry["value"] * scale**seed), behaviour.assign(seed=seed)

    scale = 1.1
    monkeypatch.setattr(comparison, "read_tables", read)
    bodies = comparison.run_evidence([*seeds, again])
    assert [(one.name, one.runs()) for one in bodies] == [("offline+seed1+seed2", 3), ("offline", 1)]
    scale = 1.0
    with pytest.raises(PythiaGeometryError, match="offline and offline-seed1 hold the same geometry at every step"):
        comparison.run_evidence(seeds)
    bodies = comparison.run_evidence([offline_run, again, again])
    assert [one.name for one in bodies] == ["offline", "offline-2", "offline-3"]


def test_designed_lab_runs_hold_no_plant_and_are_not_asked_about_an_order_that_is_ours() -> None:
    (designed,) = comparison.designed_evidence()
    models = set(designed.geometry["model"])
    assert models == set(designed.behaviour["model"]) and {"C4"} <= set(designed.claims)
    assert not {"C1", "C7", "C8", "C9"} & set(designed.claims)
    assert designed.surfaces is None or set(designed.surfaces.geometry["model"]) <= models
    assert models and not any("lead" in model or "bend" in model for model in models)
    for _, rows in designed.geometry.groupby(["model", "seed"]):
        assert set(rows["probe"].str.endswith(":shuffled")) == {True, False}
    released = designed.behaviour[designed.behaviour["model"].str.contains("staggered")]
    assert (released["family"] == released["task"]).all()
    only = replace(designed, geometry=designed.geometry.iloc[:0], claims=("C4",))
    judged = judge_claims([only]).table
    assert judged["id"].tolist() == ["C4"] and judged["verdict"].tolist() == [NOT_ENOUGH]


def test_the_first_steps_of_every_size_speak_to_size_and_layers_alone() -> None:
    (transient,) = comparison.transient_evidence()
    assert transient.claims == ("C2", "C3") and transient.geometry["step"].max() == 60
    assert not any("rate" in name for name in transient.models)
    assert {"oct-gpt2", "smoke-neox"} <= set(
        transient.models
    )  # layers are asked of all, sizes of those that grow whole
    assert not any(name.startswith(("oct", "dozen")) or "neox" in name for name in transient.parameters)
    assert len(set(transient.parameters.values())) >= 5


def test_it_ends_in_one_sentence_a_body_of_evidence(command: Command, offline_run: Path) -> None:
    said = command("compare", str(offline_run), "--reference", "none")
    last = " ".join(said.out.partition("In short, offline: these numbers ")[2].split())
    assert "cannot be asked about C1, C2" in last or "cannot be asked about C2" in last


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--reference", "pythia"], "--reference pythia: expected lab or none"),
        (["--reference", "none"], "Nothing to compare"),
        (["nowhere"], "There is no nowhere|nowhere: expected a run folder"),
        (["empty"], "empty is no run folder"),
        (["table.csv"], "table.csv is a file: compare reads run folders"),
    ],
)
def test_a_mistake_has_its_message(command: Command, words: list[str], message: str) -> None:
    Path("empty").mkdir()
    Path("table.csv").write_text("model,seed,step,task,layer,measure,value\nm,0,1,a,resid_1,rankme,2.0\n")
    said = command("compare", *words)
    assert said.code == 2
    assert any(part in said.err for part in message.split("|"))
