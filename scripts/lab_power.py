"""What an arm of the designed lab runs could show, from its behaviour alone: no geometry is read (decision 0013).

python scripts/lab_power.py smoke-gpt2-staggered-quick
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import pandas as pd

from pythia_geometry.analysis.claims.lab_reference import CONSTANT
from pythia_geometry.analysis.precursor.power import power
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.lab.settings import STAGGERED

SHELF = Path(__file__).resolve().parents[1] / "data" / "reference" / "staggered"


def main() -> None:
    """Prints the tables' hashes, and the rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("arm", help="a model's name, such as smoke-gpt2-staggered-quick")
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--moves", type=float, default=1.0, help="share of levels × runs whose geometry leads")
    args = parser.parse_args()
    files = sorted(SHELF.glob(f"{args.arm}-seed*.behaviour.parquet"))
    if not files:
        raise SystemExit(f"No behaviour of {args.arm} in {SHELF}: python scripts/lab_reference.py --behaviour NAME")
    for file in files:
        print(f"{file.name}  sha256 {hashlib.sha256(file.read_bytes()).hexdigest()}")
    rows = pd.concat(map(pd.read_parquet, files)).assign(**CONSTANT)
    rows = rows[~rows["task"].str.endswith(":shuffled")]
    if f"-{STAGGERED}-" in args.arm:  # release was assigned level by level: each level is a family of its own
        rows = rows.assign(family=rows["task"])
    try:
        found = power(rows, draws=args.draws, moves=args.moves)
    except PythiaGeometryError as error:
        raise SystemExit(str(error)) from None
    print(
        f"{len(files)} runs; {len(found.screening.tasks)} levels emerged in every run, {len(found.chosen.tasks)} tested"
    )
    print(found.rates.round(3).to_string(index=False))


if __name__ == "__main__":
    main()
