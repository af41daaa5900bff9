"""Build the shipped language probe sets and the page that describes them.

    python scripts/build_probes.py

The probe files need nothing but Python. The page reports token counts, so it needs `tokenizers` and Pythia's
tokenizer file; without them the page is left as it is.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from probes import page, sets

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Write the probe files, then the page where that is possible."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "data" / "probes", help="folder of the probe files")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs" / "probes.md", help="the page to write")
    parser.add_argument(
        "--tokenizer",
        type=Path,
        default=ROOT.parent / "shared" / "pythia" / "20B_tokenizer.json",
        help="Pythia's tokenizer file, for the page",
    )
    options = parser.parse_args()

    written = sets.write(options.out)
    print(f"{len(written)} tasks of {len(sets.SETS)} sets in {options.out}")
    try:
        count = page.counter(options.tokenizer)
    except (ImportError, FileNotFoundError) as error:
        print(
            f"{options.docs} not written: {error}. The page reports token counts: install tokenizers "
            "and pass --tokenizer 20B_tokenizer.json (from any EleutherAI/pythia model: tokenizer.json)."
        )
        return
    options.docs.parent.mkdir(parents=True, exist_ok=True)
    options.docs.write_text(page.render(written, count), encoding="utf-8", newline="\n")
    print(f"page in {options.docs}")


if __name__ == "__main__":
    main()
