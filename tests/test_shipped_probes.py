"""The shipped probe sets keep the promises of docs/probes.md."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROBES = ROOT / "data" / "probes"
TOKENIZER = ROOT.parent / "shared" / "pythia" / "20B_tokenizer.json"

ROWS = 128
FIELDS = ["id", "task", "prompt", "target", "distractors", "difficulty", "source"]
MARKED = {"copying", "induction", "numbered_lists", "ioi"}
SETS = {
    "syntax", "semantics", "arithmetic", "in_context", "factual", "logical", "general",
    "copying", "induction", "numbered_lists", "ioi",
}  # fmt: skip

CLOSED = {
    **{f"syntax/agreement_{k}": 2 for k in ("0", "1", "2", "3", "relative")},
    **{f"syntax/reflexive_{k}": 2 for k in (0, 1)},
    **{f"syntax/correlative_{k}": 4 for k in (1, 4)},
    "syntax/governed_preposition": 8,
    "semantics/category_common": 8,
    "semantics/category_rare": 8,
    "semantics/color": 4,
    **{f"logical/syllogism_{k}": 2 for k in (1, 2)},
    **{f"logical/boolean_{k}": 2 for k in (1, 2, 3)},
}
"""Tasks with a closed set of answers, and how many: each answers equally many rows."""

IN_PROMPT = {
    *(f"semantics/category_choice_{k}" for k in (2, 4)),
    *(f"arithmetic/compare_{k}" for k in (1, 2, 3)),
    *(f"in_context/label_{k}" for k in (2, 4, 6)),
    *(f"in_context/pattern_{k}" for k in (1, 2, 4)),
    *(f"logical/deduction_{k}" for k in (2, 3, 4, 5)),
    *(f"logical/ordering_{k}" for k in (2, 3, 4)),
    "general/discourse",
    *(f"copying/resume_{k}" for k in (6, 12, 24)),
    *(f"induction/induction_{k}" for k in (4, 8, 16)),
    *(f"induction/recall_{k}" for k in (2, 4, 8)),
    *(f"ioi/ioi_{k}" for k in ("short", "medium", "long", "three")),
}
"""Tasks whose target and distractors all stand in the prompt: no place among them may be favored."""

BALANCED_LAST = {name for name in IN_PROMPT if re.search("choice|compare|label|deduction|discourse", name)}
"""Those of them in which the last mentions, too, must favor no place."""

MULTI_TOKEN = {f"copying/copy_{k}" for k in (2, 4, 8)}

ENDINGS = {
    "arithmetic/compare_": {":"},
    "arithmetic/difference_": {"="},
    "arithmetic/product_": {"="},
    "arithmetic/sum_words": {"equals", "makes"},
    "copying/copy_": {":"},
    "factual/capital_": {"is"},
    "factual/city_": {"in"},
    "factual/day_": {"is"},
    "factual/language": {"speak"},
    "factual/month_": {"is"},
    "factual/symbol": {"is"},
    "general/binomial": {"and"},
    "general/discourse": {"the"},
    "general/idiom": {"of", "the", "and", "than", "a", "you", "between", "its", "in", "from", "his", "your"},
    "general/scene_": {"a", "the", "of", "to"},
    "in_context/label_": {":", "->", "=>", "="},
    "in_context/next_letter_": {":", "->", "=>", "="},
    "in_context/plural_": {":", "->", "=>", "="},
    "induction/recall_": {":"},
    "ioi/": {"to"},
    "logical/boolean_": {"is", "equals"},
    "logical/deduction_": {"is"},
    "logical/ordering_": {"is"},
    "logical/syllogism_": {":"},
    "numbered_lists/items_": {",", ";"},
    "numbered_lists/letters_": {",", ";"},
    "semantics/antonym_": {"is"},
    "semantics/category_choice_": {":"},
    "semantics/category_common": {"of"},
    "semantics/category_rare": {"of"},
    "semantics/color": {"is"},
    "semantics/selectional": {"the"},
    "syntax/determiner_noun_0": {"this", "those"},
}
"""Last token of the prompts of a family; every other family ends in a content word of one class."""

TOTALS = {
    3: "three",
    4: "four",
    5: "five",
    6: "six",
    7: "seven",
    8: "eight",
    9: "nine",
    10: "ten",
    11: "eleven",
    12: "twelve",
    13: "thirteen",
    14: "fourteen",
    15: "fifteen",
    16: "sixteen",
    17: "seventeen",
}
"""Sums of two one-digit numbers in words."""

Row = dict[str, Any]


def read() -> dict[str, list[Row]]:
    """Every shipped row of the language sets by ``set/task``, in file order."""
    tasks: dict[str, list[Row]] = defaultdict(list)
    for name in sorted(SETS):
        for line in (PROBES / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            tasks[f"{name}/{row['task']}"].append(row)
    return dict(tasks)


TASKS = read()
CORE: list[str] = json.loads((PROBES / "core.json").read_text(encoding="utf-8"))["core"]
every_task = pytest.mark.parametrize("name", sorted(TASKS))


@pytest.fixture(scope="session")
def count() -> Callable[[str], int]:
    """Token counter of the real Pythia tokenizer."""
    if not TOKENIZER.is_file():
        pytest.skip(f"Pythia's tokenizer is not at {TOKENIZER}; token counts can't be checked.")
    tokenizer = pytest.importorskip("tokenizers").Tokenizer.from_file(str(TOKENIZER))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def mentioned(prompt: str, word: str, last: bool = False) -> int:
    """Where a whole word is first, or last, mentioned; -1 if it is not."""
    places = [match.start() for match in re.finditer(rf"(?<!\w){re.escape(word)}(?!\w)", prompt)]
    return places[-1 if last else 0] if places else -1


def ranks(rows: list[Row], last: bool = False) -> Counter[int] | None:
    """How often the target is the k-th mentioned candidate, or None if some candidate is not mentioned."""
    found: Counter[int] = Counter()
    for row in rows:
        candidates = [row["target"], *row["distractors"]]
        places = [mentioned(row["prompt"], word.strip(), last) for word in candidates]
        if min(places) < 0:
            return None
        found[sorted(places).index(places[0])] += 1
    return found


def test_all_sets_are_there_with_many_tasks() -> None:
    assert {name.split("/")[0] for name in TASKS} == SETS
    assert len(TASKS) >= 40


def test_ids_are_unique_over_all_sets() -> None:
    ids = [row["id"] for rows in TASKS.values() for row in rows]
    assert len(set(ids)) == len(ids)


@every_task
def test_rows_follow_the_schema(name: str) -> None:
    rows = TASKS[name]
    assert len(rows) == ROWS
    for number, row in enumerate(rows):
        assert list(row) == FIELDS + ["marks"] * (name.partition("/")[0] in MARKED)
        assert row["id"] == f"{name}/{number:03d}"
        assert row["prompt"] == row["prompt"].strip() != ""
        assert isinstance(row["difficulty"], int | float)
        assert re.fullmatch(r"template:[a-z0-9-]+/[a-z0-9_-]+/\d\d", row["source"])
        continuations = [row["target"], *row["distractors"]]
        assert len(set(continuations)) == len(continuations), row["id"]
        assert all(re.fullmatch(r" \S.*\S| \S", text) for text in continuations), row["id"]


@every_task
def test_prompts_are_unique_and_tasks_have_one_difficulty_and_several_templates(name: str) -> None:
    rows = TASKS[name]
    assert len({row["prompt"] for row in rows}) == ROWS
    assert len({row["difficulty"] for row in rows}) == 1
    assert len({row["source"] for row in rows}) >= 8


@every_task
def test_one_to_three_distractors_equally_many_in_every_row(name: str) -> None:
    numbers = {len(row["distractors"]) for row in TASKS[name]}
    assert len(numbers) == 1
    assert numbers <= {1, 2, 3}


@every_task
def test_targets_are_balanced(name: str) -> None:
    targets = Counter(row["target"] for row in TASKS[name])
    if name in CLOSED:
        assert set(targets.values()) == {ROWS // CLOSED[name]}
    else:
        assert max(targets.values()) <= 0.15 * ROWS


def test_the_tasks_with_all_candidates_in_the_prompt_are_the_ones_listed() -> None:
    assert {name for name, rows in TASKS.items() if ranks(rows)} == IN_PROMPT


@pytest.mark.parametrize("name", sorted(IN_PROMPT))
def test_picking_the_kth_mentioned_candidate_is_at_chance(name: str) -> None:
    found = ranks(TASKS[name])
    options = 1 + len(TASKS[name][0]["distractors"])
    assert found is not None
    assert set(found) == set(range(options))
    assert max(found.values()) - min(found.values()) <= 1


@pytest.mark.parametrize("name", sorted(BALANCED_LAST))
def test_picking_by_the_last_mention_is_at_chance_too(name: str) -> None:
    found = ranks(TASKS[name], last=True)
    options = 1 + len(TASKS[name][0]["distractors"])
    assert found is not None
    assert max(found.values()) <= ROWS / options + 1


@pytest.mark.parametrize("name", [f"numbered_lists/{kind}_4" for kind in ("steps", "items", "letters")])
def test_list_answers_are_not_in_the_prompt(name: str) -> None:
    assert all(mentioned(row["prompt"], row["target"].strip()) < 0 for row in TASKS[name])


@pytest.mark.parametrize("operators", [1, 2, 3])
def test_boolean_values_are_right_and_balanced_for_each_last_operator(operators: int) -> None:
    found: Counter[tuple[str, str]] = Counter()
    for row in TASKS[f"logical/boolean_{operators}"]:
        expression = row["prompt"].split(". ")[1].rsplit(" ", 1)[0]
        assert re.fullmatch(r"[()andorTrueFls ]+", expression)
        assert row["target"] == f" {eval(expression)}"
        found[expression.split()[-2], row["target"]] += 1
    assert set(found.values()) == {ROWS // 4}


@pytest.mark.parametrize("name", [name for name in sorted(TASKS) if re.search("(sum|difference|product)_", name)])
def test_calculations_are_right_and_do_not_give_the_answer_away(name: str) -> None:
    words = {
        "one": 1,
        "two": 2,
        "three": 3,
        "four": 4,
        "five": 5,
        "six": 6,
        "seven": 7,
        "eight": 8,
        "nine": 9,
    }
    for row in TASKS[name]:
        assert mentioned(row["prompt"], row["target"].strip()) < 0
        if name == "arithmetic/sum_words":
            total = sum(words.get(word, 0) for word in row["prompt"].split())
            assert row["target"].strip() == TOTALS[total]
            continue
        first, sign, second = row["prompt"].removesuffix(" =").split()[-3:]
        results = {
            "+": int(first) + int(second),
            "-": int(first) - int(second),
            "*": int(first) * int(second),
        }
        assert int(row["target"]) == results[sign]


@every_task
def test_prompts_of_a_task_end_in_one_kind_of_token(name: str) -> None:
    lasts = {re.findall(r"\w+|[^\w\s]+", row["prompt"])[-1] for row in TASKS[name]}
    family = [prefix for prefix in ENDINGS if name.startswith(prefix)]
    if family:
        assert lasts <= ENDINGS[family[0]]
    else:
        assert all(last.isalpha() for last in lasts) or lasts == {"="}


@every_task
def test_prompts_of_a_task_match_in_length_and_are_short(name: str, count: Callable[[str], int]) -> None:
    lengths = [count(row["prompt"]) for row in TASKS[name]]
    assert max(lengths) - min(lengths) <= 2
    assert max(lengths) <= 48


@every_task
def test_continuations_of_a_task_have_one_token_count(name: str, count: Callable[[str], int]) -> None:
    counts = {count(text) for row in TASKS[name] for text in (row["target"], *row["distractors"])}
    assert len(counts) == 1
    assert (counts == {1}) == (name not in MULTI_TOKEN)


def test_core_covers_every_set_within_its_budget(count: Callable[[str], int]) -> None:
    assert 22 <= len(CORE) == len(set(CORE)) <= 26
    assert {name.split("/")[0] for name in CORE} == SETS
    assert not set(CORE) & MULTI_TOKEN
    assert set(CORE) <= set(TASKS)
    total = sum(count(row["prompt"]) + count(row["target"]) for name in CORE for row in TASKS[name])
    assert total <= 45_000
    page = (ROOT / "docs" / "probes.md").read_text(encoding="utf-8")
    assert f"{total:,} tokens" in page


def build(folder: Path, *options: str) -> str:
    """Run the builder into a folder; return what it printed."""
    command = [sys.executable, str(ROOT / "scripts" / "build_probes.py"), "--out", str(folder / "probes")]
    command += ["--docs", str(folder / "probes.md"), *options]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_building_again_gives_the_shipped_bytes(tmp_path: Path) -> None:
    build(tmp_path)
    names = {path.name for path in (tmp_path / "probes").iterdir()}
    assert names == {"core.json", *(f"{name}.jsonl" for name in SETS)}
    for name in sorted(names):
        assert (tmp_path / "probes" / name).read_bytes() == (PROBES / name).read_bytes(), name
    page = tmp_path / "probes.md"
    if TOKENIZER.is_file():
        assert page.read_bytes() == (ROOT / "docs" / "probes.md").read_bytes()


def test_building_without_the_tokenizer_says_why_there_is_no_page(tmp_path: Path) -> None:
    said = build(tmp_path, "--tokenizer", str(tmp_path / "absent.json"))
    assert "no tokenizer file" in said
    assert not (tmp_path / "probes.md").exists()
    assert (tmp_path / "probes" / "core.json").is_file()
