"""The walk's benchmark runs: it reaches into the walk by name, and a moved function would break it unseen."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(code_or_file: list[str]) -> str:
    path = os.pathsep.join([str(ROOT), str(ROOT / "scripts")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, *code_or_file], env=environment, capture_output=True, text=True, timeout=300, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_part_of_our_walk_is_metered(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from walk_bench.suite import Size, write_suite; from bench_walk import *;"
        f"write_suite(Path({str(tmp_path)!r}), Size('tiny', 3, 8, tokens=5));"
        f"found = in_own_process(job_of('ours (all)', Path({str(tmp_path)!r}), 'float32'));"
        "print(sorted(found['parts']), len(found['cpu']), len(found['log_prob']))"
    )
    parts = ["behaviour", "capture", "compare", "errors", "measures", "swap"]
    assert run(["-c", code]).splitlines()[-1] == f"{parts} 2 3"


@pytest.mark.slow
def test_contenders_agree_and_the_table_is_printed() -> None:
    printed = run(
        ["scripts/bench_walk.py", "--shapes", "tiny", "--steps", "3", "--items", "8", "--tokens", "5", "--rounds", "1"]
    )
    for name in ("| tiny | usual |", "| tiny | ours (rankme) |", "| tiny | ours (all) |", "usual / floor: "):
        assert name in printed
    (apart,) = (line for line in printed.splitlines() if line.startswith("log_prob"))
    assert float(apart.split("at most ")[1].split()[0]) < 1e-5


@pytest.mark.slow
def test_the_harness_and_the_walk_score_the_same_benchmark() -> None:
    pytest.importorskip("lm_eval", reason="lm-eval is not installed: pip install 'pythia-geometry[lm-eval]'")
    if not (ROOT.parent / "shared" / "pythia" / "20B_tokenizer.json").is_file():
        pytest.skip("Pythia's tokenizer is not there")
    words = ["--shape", "tiny", "--steps", "2", "--items", "4", "--tasks", "arc_easy", "--fewshot", "1"]
    printed = run(["scripts/bench_lm_eval.py", *words])
    (row,) = (line for line in printed.splitlines() if line.startswith("| tiny | arc_easy | 1 | 4 |"))
    assert float(row.split("|")[-2]) < 1e-4
