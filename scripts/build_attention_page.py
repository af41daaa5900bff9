"""Writes the generated parts of docs/attention.md and the picture of the sweeps, from data/reference.

python scripts/build_attention_page.py
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # the parts beside this file
from language.page import page as language_page
from patterns.page import page as patterns_page
from patterns.picture import picture

from pythia_geometry.analysis.claims.pattern_runs import read_runs

ROOT = Path(__file__).resolve().parents[1]
PAGE, REFERENCE = ROOT / "docs" / "attention.md", ROOT / "data" / "reference"
PARTS = {"patterns": patterns_page, "language": language_page}


def built(text: str) -> str:
    """The page with what its marks enclose made anew."""
    for name, part in PARTS.items():
        begin, end = (f"<!-- {word}: {name}, by scripts/build_attention_page.py -->\n" for word in ("begin", "end"))
        before, begun, rest = text.partition(begin)
        _, ended, after = rest.partition(end)
        if not begun or not ended:
            sys.exit(f"{PAGE} lacks the marks of the part {name!r}: {begin.strip()} … {end.strip()}")
        text = f"{before}{begin}\n{part(REFERENCE / name).strip()}\n\n{end}{after}"
    return text


if __name__ == "__main__":
    PAGE.write_text(built(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    picture(read_runs(REFERENCE / "patterns"), ROOT / "docs" / "figures" / "patterns.svg")
    print(PAGE)
