"""The generated part of docs/attention.md on the language suite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from language.judging import ABOVE, AT, SOME, judged, read


def page(folder: Path) -> str:
    """Markdown: a table by seed, and the tasks above and at chance."""
    return "\n".join(_page(folder)) if list(folder.glob("seed*.json")) else "No seed has been trained."


def _page(folder: Path) -> Iterator[str]:
    found = judged(read(folder))
    yield (
        "| seed | held-out loss (unigrams {unigram:.2f}, bigrams {bigram:.2f}) | bigrams beaten at step | induction begins | "
        "forms | copied at the end | loss on the first copy, the second | best head's induction score |"
    ).format(**found.tables.text)
    yield "|---" * 8 + "|"
    for row in found.seeds.itertuples():
        beaten, begins, forms = (
            f"{at:,.0f}" if at == at else f"not in {row.last:,}" for at in (row.bigrams, row.begins, row.forms)
        )
        yield (
            f"| {row.seed}{'' if found.is_finished(row.seed) else f', to step {row.last:,}'} | {row.held_out:.2f} | {beaten} | {begins} | {forms} | {row.copied:.2f} | {row.first:.1f}, "
            f"{row.second:.1f} | {row.head_score:.2f} (block {row.layer}, head {row.head}) |"
        )
    yield "\nAccuracy of the language probes at the last step that was walked, mean over seeds (chance or the commonest answer; seeds above):\n"
    for word in (ABOVE, SOME, AT):
        rows = found.tasks[found.tasks["word"] == word]
        told = ", ".join(f"{r.task} {r.accuracy:.2f} ({r.bar:.2f}; {r.above}/{r.n_seeds})" for r in rows.itertuples())
        yield f"* **{word}** ({len(rows)} tasks): {told or '–'}."
    if left_out := sorted(set(found.seeds["seed"]) - found.probed):
        yield f"\nNot walked to that step, and left out of the tasks: seed {', '.join(map(str, left_out))}."
    yield f"\n{found.cost()}."
