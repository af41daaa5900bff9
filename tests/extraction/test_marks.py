"""Marks: read from rows of any kind, checked against the prompt, and found again as tokens of any tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Sequence, Split, WhitespaceSplit

from pythia_geometry.attention.head_values import head_values
from pythia_geometry.attention.reading import HeadReading
from pythia_geometry.attention.scores import SCORES
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.attention.marked_prompts import marked_prompts
from pythia_geometry.extraction.probes.encoding import EncodedProbe, Encoder
from pythia_geometry.extraction.probes.marks import read_marks
from pythia_geometry.extraction.probes.probe_files import Item
from pythia_geometry.extraction.probes.probes import SHUFFLED, Probe, load_probes
from tests.hub.checkpoints import TOKENIZER

PROMPT = "When Ben and Nancy left, Ben waved to"
NEEDS_PYTHIA = pytest.mark.skipif(not TOKENIZER.is_file(), reason="no copy of Pythia's tokenizer here")


@pytest.mark.parametrize(
    "given",
    [
        {"target": "Nancy"},
        {"target": " Nancy"},
        {"target": [13, 18]},
        {"target": [[13, 18]]},
        {"target": ["Nancy"], "nothing": None},
        {"target": np.array([13, 18])},
        '{"target": "Nancy"}',
    ],
)
def test_one_mark_in_every_form(given: Any) -> None:
    assert read_marks(given, PROMPT, "file, line 1") == {"target": ((13, 18),)}


def test_several_places_are_sorted_and_counted_once() -> None:
    assert read_marks({"b": [[25, 28], "Nancy", [25, 28]]}, PROMPT, "x") == {"b": ((13, 18), (25, 28))}


@pytest.mark.parametrize("given", [None, "", {}, float("nan")])
def test_no_marks(given: Any) -> None:
    assert read_marks(given, PROMPT, "x") == {}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"target": [13, 99]}, r"mark 'target' is \[13, 99\], outside the prompt, which has 37 characters"),
        ({"target": [-2, 3]}, "outside the prompt"),
        ({"target": [5, 5]}, "outside the prompt"),
        ({"target": [4, 5]}, "white space alone"),
        ({"target": "Bob"}, "'Bob' stands 0 times"),
        ({"target": "Ben"}, r"'Ben' stands 2 times.*give the characters"),
        ({"target": [1.5, 3]}, "expected an object such as"),
        ({"target": [True, 3]}, "expected an object such as"),
        ({"target": [1, 2, 3]}, "expected an object such as"),
        ({"target": ""}, "expected an object such as"),
        ({"": "Nancy"}, "expected an object such as"),
        ([13, 18], "expected an object such as"),
        ("{broken", "marks are not valid JSON"),
        (7, "expected an object such as"),
    ],
)
def test_what_is_no_mark_is_named_with_its_line(given: Any, says: str) -> None:
    with pytest.raises(PythiaGeometryError, match=r"file, line 3.*" + says):
        read_marks(given, PROMPT, "file, line 3")


def test_marks_come_with_the_rows_of_every_kind_of_file(tmp_path: Path) -> None:
    rows = [
        {"prompt": PROMPT, "target": " Nancy", "marks": {"target": [13, 18]}},
        {"prompt": "No mark", "target": " x"},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pd.DataFrame([{**rows[0], "marks": json.dumps(rows[0]["marks"])}, rows[1]]).to_csv(tmp_path / "a.csv")
    pd.DataFrame(rows).to_parquet(tmp_path / "a.parquet")
    for kind in ("jsonl", "csv", "parquet"):
        (probe,) = load_probes([str(tmp_path / f"a.{kind}")])
        assert [item.marks for item in probe.items] == [{"target": ((13, 18),)}, {}]


def test_marks_are_no_part_of_the_rows_identity_but_have_one() -> None:
    """Activations and answers do not read them: adding marks recomputes attention alone."""
    plain, marked, other = (
        Probe("s", "t", (Item("1", "t", PROMPT, " Nancy", marks=marks), Item("2", "t", "b", " c")))
        for marks in ({}, {"target": ((13, 18),)}, {"target": ((5, 8),)})
    )
    assert plain.sha256 == marked.sha256 == other.sha256
    assert len({plain.marks_sha256, marked.marks_sha256, other.marks_sha256}) == 3


def test_two_probes_of_one_name_with_other_marks_are_refused(tmp_path: Path) -> None:
    for folder, word in (("a", "Nancy"), ("b", "left")):
        row = {"prompt": PROMPT, "target": " Nancy", "marks": {"target": word}}
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "p.jsonl").write_text("\n".join(json.dumps({**row, "id": str(i)}) for i in range(2)))
    with pytest.raises(PythiaGeometryError, match="Two different probes"):
        load_probes([str(tmp_path / folder / "p.jsonl") for folder in ("a", "b")])


def by_words(folder: Path, *words: str, comma_apart: bool = True) -> Encoder:
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(["?", *words])}, unk_token="?"))
    splits: list[Any] = [WhitespaceSplit(), *([Split(",", "isolated")] if comma_apart else [])]
    tokenizer.pre_tokenizer = Sequence(splits)
    folder.mkdir(exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    return Encoder(folder / "tokenizer.json")


WORDS = ("When", "Ben", "and", "Nancy", "left", ",", "waved", "to", "left,")


def encoded(encoder: Encoder, *marks: dict[str, Any], shuffled: bool = False) -> EncodedProbe:
    items = tuple(Item(str(i), "t", PROMPT, " Nancy", marks=read_marks(m, PROMPT, "x")) for i, m in enumerate(marks))
    return encoder.encode(Probe("s" + SHUFFLED * shuffled, "t", items), 100)


def test_marks_become_tokens(tmp_path: Path) -> None:
    encoder = by_words(tmp_path, *WORDS)
    first, second = marked_prompts(encoder, encoded(encoder, {"target": "Nancy", "both": [[5, 8], [25, 28]]}, {}))
    assert first.marks == {"target": (3,), "both": (1, 6)}
    assert first.lost == {}
    assert (second.marks, second.last) == ({}, 8)


def test_several_words_are_several_tokens(tmp_path: Path) -> None:
    encoder = by_words(tmp_path, *WORDS)
    (prompt,) = marked_prompts(encoder, encoded(encoder, {"target": "Ben and Nancy"}))
    assert prompt.marks == {"target": (1, 2, 3)}


def test_a_mark_that_the_tokenizer_joins_with_its_neighbour_is_lost_and_says_why(tmp_path: Path) -> None:
    encoder = by_words(tmp_path, *WORDS, comma_apart=False)
    probe = encoded(encoder, {"target": "left"}, {"target": "Nancy"})
    prompts = marked_prompts(encoder, probe)
    assert [dict(prompt.marks) for prompt in prompts] == [{}, {"target": (3,)}]
    assert prompts[0].lost == {"target": "the tokenizer joins 'left' with its neighbours: 'left,'"}
    reading = HeadReading(
        prompts,
        tuple(SCORES),
        np.ones((2, len(SCORES)), dtype=bool),
        np.ones((1, 2, len(SCORES), 1)),
        np.full((1, 2, 1, 8), 1 / 8, dtype=np.float32),
        np.ones((1, 2, 1, 2), dtype=np.float32),
    )
    value = next(head_values(reading, ["target_mass"])).estimate
    assert value.n == 1
    assert value.reason == (
        "no mark 'target' (the tokenizer joins 'left' with its neighbours: 'left,') in 1 of 2 prompts"
    )


def test_of_a_shuffled_control_marks_move_with_their_tokens(tmp_path: Path) -> None:
    encoder = by_words(tmp_path, *WORDS)
    plain, moved = (encoded(encoder, {"target": "Nancy"}, shuffled=shuffled) for shuffled in (False, True))
    (a,), (b,) = marked_prompts(encoder, plain), marked_prompts(encoder, moved)
    assert a.ids.tolist() != b.ids.tolist()
    assert a.ids[list(a.marks["target"])].tolist() == b.ids[list(b.marks["target"])].tolist()


@NEEDS_PYTHIA
def test_every_shipped_mark_is_found_by_pythias_tokenizer() -> None:
    encoder = Encoder(TOKENIZER)
    tokenizer = Tokenizer.from_file(str(TOKENIZER))
    for probe in load_probes(["copying", "induction", "numbered_lists", "ioi"]):
        prompts = marked_prompts(encoder, encoder.encode(probe, 50304))
        for item, prompt in zip(probe.items, prompts, strict=True):
            assert not prompt.lost
            (position,) = prompt.marks["target"]
            word = tokenizer.decode([int(prompt.ids[position])]).strip()
            if probe.set_name == "numbered_lists":
                follows = int(item.target) == int(word) + 1 if word.isdigit() else ord(item.target[1]) == ord(word) + 1
                assert follows, item.id
            else:
                assert item.target.split()[0] == word, item.id
            if "cue" in prompt.marks:  # the earlier copy of what the prompt ends in, one token before the target's …
                (cue,) = prompt.marks["cue"]
                last = prompt.ids[prompt.last - (1 if "recall" in probe.task else 0)]
                assert prompt.ids[cue] == last, item.id
                assert position == cue + (2 if "recall" in probe.task else 1), item.id  # … or the colon between


def test_shipped_targets_stand_where_the_answer_is_read_off() -> None:
    for probe in load_probes(["copying", "induction", "ioi"]):
        for item in probe.items:
            ((start, stop),) = item.marks["target"]
            assert item.prompt[start:stop] == item.target.split()[0], item.id
    for probe in load_probes(["ioi"]):
        for item in probe.items:
            for name in ("giver", "giver_again"):
                assert {f" {item.prompt[a:b]}" for a, b in item.marks[name]} == set(item.distractors), item.id


def test_the_lab_tasks_that_say_it_again_name_where_the_answer_begins() -> None:
    for probe in load_probes(["algorithmic"]):
        says_again = probe.task.startswith(("COPY", "REV"))
        assert {bool(item.marks) for item in probe.items} == {says_again}, probe.task
        for item in probe.items if says_again else ():
            ((start, stop),) = item.marks["target"]
            assert item.prompt[start:stop] == item.target.split()[0]
            assert start == (5 if probe.task.startswith("COPY") else len(item.prompt) - 3)
