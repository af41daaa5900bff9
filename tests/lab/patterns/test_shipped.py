"""The tables of the patterns lab that ship: every record against its runs, every run with a record."""

import json

import numpy as np
import pandas as pd
import pytest

from pythia_geometry.analysis.claims.pattern_runs import emergence, of_base, read_runs, shipped
from pythia_geometry.analysis.events.coincidence import NOT_TESTABLE
from pythia_geometry.lab.patterns.settings import PatternTraining

RECORDS = sorted(shipped().glob("*.json"))
RUNS = read_runs()


def test_every_arm_has_a_record():
    assert RECORDS and set(RUNS["arm"]) == {record.stem for record in RECORDS}


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_a_record_names_its_arm_and_its_runs(record):
    made = json.loads(record.read_text())
    training = PatternTraining(**made["training"])
    assert record.stem.partition("-given-")[0] == training.model and made["n_parameters"] == training.n_parameters
    assert made["parents"] == [np.flatnonzero(row).tolist() for row in training.problem.parents[-training.size :]]
    assert made["cpu_seconds"] > 0 and made["machine"] and record.stem in made["command"]
    mine = RUNS[RUNS["arm"] == record.stem]
    assert sorted(mine["seed"]) == list(range(made["seeds"])) and set(mine["last"]) == {training.steps}


@pytest.mark.parametrize("file", sorted(shipped().glob("*.parquet")), ids=lambda path: path.stem)
def test_runs_emerge_when_their_curves_say_so(file):
    readings = pd.read_parquet(file)
    mine = RUNS[RUNS["arm"] == file.stem].sort_values("seed")
    found = emergence(readings.astype({"accuracy": float}), int(mine["last"].iloc[0]))
    np.testing.assert_array_equal(found["by"], mine["by"])
    assert readings["probability"].between(0, 1).all() and readings["mass"].dropna().between(0, 128).all()
    together = of_base(file.stem)
    assert together.n > 0 or (together.label == NOT_TESTABLE and together.reasons)
