"""Walks the small language suite and writes its tables to data/reference/language.

    python scripts/language_reference.py --seed 0      # its run, trained by scripts/train_language_suite.py; goes on when stopped
    python scripts/language_reference.py --report      # what the tables say; the numbers of docs/attention.md
    python scripts/language_reference.py --picture     # docs/figures/language.svg
    python scripts/language_reference.py --ship        # two checkpoints of seed 0 into data/suites/language: --model language

Seeds may be walked at once. How everything is judged: docs/decisions/0016-language-suite.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent))  # the parts beside this file
from lab_reference import accelerator
from language.judging import judged, read
from language.picture import picture
from reference_tables import write_table
from slices import Spent
from train_language_suite import PROBES, Language

import pythia_geometry as pg
from pythia_geometry.lab.suite_folder import FACTS_NAME, SETTINGS, is_finished
from pythia_geometry.runs.request import Request
from pythia_geometry.store.writing import replacing

ROOT = Path(__file__).resolve().parents[1]
HEADS = ("induction", "previous_token", "target_mass")
METRICS = ("accuracy", "log_prob")


def walk(suite: Path, work: Path, out: Path, steps: str) -> None:
    """One seed's tables; its record last. A run that is still trained is walked as far as it is, and its record says so."""
    if not (suite / FACTS_NAME).exists():
        sys.exit(f"There is no run {suite}: python scripts/train_language_suite.py --seed …")
    seed = json.loads((suite / FACTS_NAME).read_text())["seed"]
    spent = Spent(work / f"seed{seed}.spent.txt")
    request = Request(measures=HEADS, activations="none", threads=1, device="cpu")
    result = pg.measure(pg.local(suite), pg.probes(*PROBES), steps, out=work / f"seed{seed}", request=request)
    out.mkdir(parents=True, exist_ok=True)
    behaviour = result.behaviour[result.behaviour["metric"].isin(METRICS)]
    _save(
        behaviour[["step", "probe", "task", "metric", "value", "error", "n", "chance", "majority"]],
        out / f"seed{seed}.behaviour.parquet",
    )
    heads = result.geometry[result.geometry["measure"].isin(HEADS) & result.geometry["head"].notna()]
    by = ["step", "probe", "layer", "head", "measure"]
    _save(heads.groupby(by, as_index=False, observed=True)["value"].mean(), out / f"seed{seed}.heads.parquet")
    shutil.copy(suite / "progress.csv", out / f"seed{seed}.progress.csv")
    if not (out / "text.json").exists():
        shutil.copy(suite.parents[1] / "text.json", out / "text.json")
    trained = float((suite / ".cpu_seconds").read_text())
    settings = json.loads((suite / SETTINGS).read_text())
    record = {
        "training": settings,
        "n_parameters": Language(**settings).n_parameters,
        "is_finished": is_finished(suite),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {accelerator()}, Python {platform.python_version()}",
        "cpu_seconds": {"training": round(trained), "walk": round(spent.note())},
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with replacing(out / f"seed{seed}.json") as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n")
    print(f"{out}: seed {seed}, {behaviour['step'].nunique()} checkpoints, {behaviour['task'].nunique()} tasks")


def _save(table: pd.DataFrame, file: Path) -> None:
    small = {c: "float32" for c in ("value", "error", "chance", "majority") if c in table}
    write_table(table.astype(small), file)


def ship(suite: Path, folder: Path, out: Path) -> None:
    """Two checkpoints, as 6 MB hold no third: before induction begins (where it does not: when bigrams are beaten), and the last of all."""
    if not is_finished(suite):
        sys.exit(
            f"{suite} was not trained to its end, and its last checkpoint is no end: python scripts/train_language_suite.py"
        )
    found = judged(read(out)).seeds.set_index("seed").loc[0]
    kept = sorted(int(path.name[4:]) for path in suite.glob("step*"))
    moment = found["begins"] - 1 if pd.notna(found["begins"]) else found["bigrams"]
    chosen = [max((step for step in kept[:-1] if step <= moment), default=kept[0]), kept[-1]]
    if folder.exists():
        shutil.rmtree(folder)
    for step in chosen:
        shutil.copytree(suite / f"step{step}", folder / f"step{step}")
    shutil.copy(suite / "tokenizer.json", folder / "tokenizer.json")
    facts = json.loads((suite / FACTS_NAME).read_text())
    facts |= {"trained_by": "scripts/train_language_suite.py", "training": json.loads((suite / SETTINGS).read_text())}
    (folder / FACTS_NAME).write_text(json.dumps(facts, indent=2) + "\n")
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"{folder}: steps {chosen}, {size / 1e6:.2f} MB")


def main() -> None:
    """Walks one seed, or says what the tables say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=-1)
    for flag, what in (("report", "say what the tables say"), ("picture", "draw"), ("ship", "pack two checkpoints")):
        parser.add_argument(f"--{flag}", action="store_true", help=what)
    parser.add_argument("--steps", default="all", help="checkpoints that are walked, such as 0,512,4000")
    parser.add_argument("--suites", type=Path, default=ROOT / "build" / "language" / "suites")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "language" / "walks")
    parser.add_argument("--out", type=Path, default=ROOT / "data" / "reference" / "language")
    args = parser.parse_args()
    if args.seed >= 0:
        walk(args.suites / Language(args.seed).name, args.work, args.out, args.steps)
    elif args.picture:
        picture(read(args.out), ROOT / "docs" / "figures" / "language.svg")
    elif args.ship:
        ship(args.suites / Language(0).name, ROOT / "data" / "suites" / "language", args.out)
    elif args.report:
        print(judged(read(args.out)))
    else:
        parser.error("name --seed, --report, --picture or --ship")


if __name__ == "__main__":
    main()
