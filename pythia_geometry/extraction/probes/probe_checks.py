"""What is probably a mistake in a user's own probe file: read all the same, and said with its row and its cure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from pythia_geometry.extraction.probes.probe_files import COLUMNS, Item

FEW_ROWS = 100
_OTHER_WORDS = {
    "answer": "target",
    "completion": "target",
    "label": "target",
    "choices": "distractors",
    "foils": "distractors",
    "incorrect": "distractors",
    "options": "distractors",
    "wrong": "distractors",
    "level": "difficulty",
}
_NO_SPACE_AFTER = tuple("([{<\"'“‘/-–—_$#@&*`\\")


@dataclass(frozen=True)
class ProbeWarning:
    """One probable mistake.

    Attributes:
        text: The row, what is wrong there, and the cure.
        about_spaces: Whether it is none where a tokenizer only separates words by white space, as in the lab.
    """

    text: str
    about_spaces: bool = False


def warnings_of(items: Sequence[Item], unread: Iterable[str] = ()) -> tuple[ProbeWarning, ...]:
    """The probable mistakes of one task, each kind once.

    Args:
        items: Its rows.
        unread: The file's columns that mean nothing here.
    """
    found = [ProbeWarning(text) for text in map(_misspelt, unread) if text]
    for is_wrong, cure, about_spaces in _OF_ROWS:
        rows = [item for item in items if is_wrong(item)]
        if rows:
            others = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
            found.append(ProbeWarning(f"row {rows[0].id!r}{others}: {cure(rows[0])}", about_spaces))
    if text := _unequal(items):
        found.append(ProbeWarning(text))
    if len(items) < FEW_ROWS:
        found.append(
            ProbeWarning(f"{len(items)} rows, so RankMe cannot exceed {len(items)}; write {FEW_ROWS} or more a task")
        )
    return tuple(found)


def _misspelt(column: str) -> str:
    plain = column.strip().lower()
    close = [plain] if plain in COLUMNS else get_close_matches(plain, COLUMNS, n=1, cutoff=0.75)
    meant = close[0] if close else _OTHER_WORDS.get(plain)
    return f"column {column!r} is not read; if it holds the {meant}, call it {meant!r}" if meant else ""


def _begins_a_word(text: str) -> bool:
    """A letter of a script that puts spaces between words (one with capitals), or a digit."""
    first = text[0]
    return first.isdigit() or first.lower() != first.upper()


def _lacks_space(item: Item) -> bool:
    joined = not item.prompt[-1].isspace() and not item.prompt.endswith(_NO_SPACE_AFTER)
    return joined and _begins_a_word(item.target)


def _ends_in_space(item: Item) -> bool:
    return item.prompt[-1] in " \t\u00a0"


def _uneven(item: Item) -> str | None:
    """A distractor that begins with a space where the target does not, or the other way round."""
    spaced = item.target[0].isspace()
    return next((d for d in item.distractors if d[0].isspace() != spaced), None)


def _same_but_for_space(item: Item) -> bool:
    texts = [text.strip() for text in (item.target, *item.distractors)]
    return len(set(texts)) < len(texts)


def _unequal(items: Sequence[Item]) -> str:
    counts = [len(item.distractors) for item in items]
    if len(set(counts)) < 2:
        return ""
    usual = max(set(counts), key=counts.count)
    odd = next(item for item in items if len(item.distractors) != usual)
    return (
        f"row {odd.id!r} has {len(odd.distractors)} distractors and most rows have {usual}, so chance is an average "
        "over unlike rows; give every row of a task equally many"
    )


def _cure_of_end(item: Item) -> str:
    return f"the prompt ends in a space; move it to the beginning of the target: {' ' + item.target.lstrip()!r}"


def _cure_of_target(item: Item) -> str:
    wrong = f"the target {item.target!r} begins without a space, so it goes on inside the prompt's last word"
    return f"{wrong}; write {' ' + item.target!r}"


def _cure_of_distractor(item: Item) -> str:
    wrong = f"the distractor {_uneven(item)!r} and the target {item.target!r} do not both begin with a space"
    return f"{wrong}; begin all answers of a row alike"


def _cure_of_twins(item: Item) -> str:
    answers = ", ".join(map(repr, (item.target, *item.distractors)))
    return f"two of its answers differ in white space alone ({answers}); keep one"


_OF_ROWS: tuple[tuple[Callable[[Item], object], Callable[[Item], str], bool], ...] = (
    (_ends_in_space, _cure_of_end, True),
    (_lacks_space, _cure_of_target, True),
    (_uneven, _cure_of_distractor, True),
    (_same_but_for_space, _cure_of_twins, False),
)
