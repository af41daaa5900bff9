"""Analysis runs on anyone's CSV where neither torch nor any Hub library can be imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from pythia_geometry.analysis.claims.lab_reference import read_reference

BLOCKED = ("torch", "transformers", "huggingface_hub", "datasets", "accelerate", "safetensors", "tokenizers", "altair")

SCRIPT = """
import sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, NotInstalled())
from pythia_geometry.analysis.claims.table import judge_claims
from pythia_geometry.analysis.claims.evidence import Evidence
from pythia_geometry.analysis.events.collapse import collapses
from pythia_geometry.analysis.curves.behaviour import read_table
from pythia_geometry.analysis.events.layer_order import layer_order, votes
from pythia_geometry.analysis.events.onsets import onsets
from pythia_geometry.analysis.precursor.tidy_tables import read_tables
geometry, behaviour = read_tables([sys.argv[1], sys.argv[2]])
print(len(collapses(geometry)), len(onsets(read_table(sys.argv[2]))), votes(layer_order(collapses(geometry)))["vote"].tolist())
print(judge_claims([Evidence("mine", geometry, behaviour)]).table["verdict"].notna().sum())
"""


def test_analysis_needs_no_torch(tmp_path: Path) -> None:
    reference = read_reference().own()
    for kind in ("geometry", "behaviour"):
        table = getattr(reference, kind)
        rows = table[
            (table["model"] == "nano-gpt2") & (table["seed"] == 0) & table["task"].isin(["MOD1", "MOD3", "COPY1"])
        ]
        rows.to_csv(tmp_path / f"{kind}.csv", index=False)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(blocked=BLOCKED), str(tmp_path / "geometry.csv"), str(tmp_path / "behaviour.csv")],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == "36 45 ['top-down']"  # 3 tasks × 4 layers × 3 falls; 3 tasks × 3 metrics × 5 rules
    assert second == "22"
