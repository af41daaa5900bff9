"""The null of the order of layers with real networks: none was ever trained, each step holds random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pythia_geometry.analysis.claims.evidence import Evidence
from pythia_geometry.analysis.claims.rules import RULES
from pythia_geometry.analysis.claims.ruling import DOES_NOT, REPLICATES
from pythia_geometry.analysis.events.layer_order import depth_order
from tests.hub.checkpoints import pythia_config, write_checkpoint
from tests.suites_on_disk import SuiteOnDisk, rows, write_probes, write_words

GRID = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256)


def untrained(folder: Path, design: int) -> pd.DataFrame:
    """Geometry of ten networks of four blocks that nobody trained, as if they were steps of one run."""
    suite = folder / f"design{design}"
    for place, step in enumerate(GRID):
        config = pythia_config("tiny", initializer_range=0.3, num_hidden_layers=4)
        write_checkpoint(suite / f"step{step}", config, seed=1000 * design + place)
    write_words(suite / "tokenizer.json")
    probes = write_probes(folder / f"p{design}.jsonl", [row for task in "abc" for row in rows(task, 16)])
    return SuiteOnDisk(suite, probes).walk(folder / f"run{design}", measures=("rankme", "rankme_centred")).geometry


@pytest.mark.slow
def test_networks_that_were_never_trained_have_no_order(tmp_path: Path) -> None:
    geometry = pd.concat([untrained(tmp_path, design) for design in range(6)], ignore_index=True)
    assert geometry["model"].nunique() == 6
    found = RULES["order"](Evidence("untrained", geometry, pd.DataFrame()))
    assert found.verdict not in (REPLICATES, DOES_NOT)


def test_a_random_order_of_layers_leans_neither_way() -> None:
    place, rng = np.arange(6.0), np.random.default_rng(0)
    tau = [depth_order(rng.permutation(place), place) for _ in range(400)]
    assert abs(np.mean(tau)) < 3 * np.std(tau) / 20
