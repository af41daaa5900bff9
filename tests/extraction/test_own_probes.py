"""Probe files as people write them: read, refused with the row, or read with a warning that names row and cure."""

from __future__ import annotations

import csv
import json
import re
from io import StringIO
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from pythia_geometry.cli import app
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.probes.encoding import Encoder
from pythia_geometry.extraction.probes.probes import Probe, load_probes
from pythia_geometry.shipped import data_folder
from tests.extraction.test_tokenizer_kinds import byte_level, saved

Row = dict[str, Any]
GOOD: list[Row] = [
    {"id": f"i{k}", "task": "t", "prompt": f"{k} and one is", "target": f" n{k}", "distractors": [" x", " y"]}
    for k in range(100)
]


def one_probe(folder: Path, rows: list[Row], name: str = "mine.jsonl") -> Probe:
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    (probe,) = load_probes([str(folder / name)])
    return probe


def changed(**more: Any) -> list[Row]:
    """A good file with one row changed."""
    return [*GOOD[:7], {**GOOD[7], **more}, *GOOD[8:]]


def test_a_good_file_has_no_warnings(tmp_path: Path) -> None:
    assert one_probe(tmp_path, GOOD).warnings == ()


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (changed(target="Paris"), ["row 'i7': the target 'Paris' begins without a space", "write ' Paris'"]),
        (changed(target="7", distractors=["8", "9"]), ["row 'i7': the target '7' begins without a space"]),
        (changed(prompt="Nine is "), ["row 'i7': the prompt ends in a space; move it", "target: ' n7'"]),
        (changed(prompt="Nine is\t"), ["row 'i7': the prompt ends in a space"]),
        (changed(distractors=[" x", "y"]), ["row 'i7': the distractor 'y' and the target ' n7' do not both begin"]),
        (changed(distractors=[" x", " x "]), ["row 'i7': two of its answers differ in white space alone"]),
        (changed(distractors=[" x"]), ["row 'i7' has 1 distractors and most rows have 2", "equally many"]),
        (changed(distractors=[]), ["row 'i7' has 0 distractors and most rows have 2"]),
        (GOOD[:12], ["12 rows, so RankMe cannot exceed 12; write 100 or more a task"]),
        ([{**row, "target": row["target"].strip()} for row in GOOD], ["row 'i0' and 99 more: the target 'n0' begins"]),
        *(
            ([{**row, column: ["a"]} for row in GOOD], [f"column {column!r} is not read", f"call it {meant!r}"])
            for column, meant in {
                "distractor": "distractors",
                "Distractors": "distractors",
                " target": "target",
                "dificulty": "difficulty",
                "tasks": "task",
                "choices": "distractors",
                "answer": "target",
            }.items()
        ),
    ],
)
def test_the_commonest_mistakes_are_warnings(tmp_path: Path, rows: list[Row], words: list[str]) -> None:
    said = [warning.text for warning in one_probe(tmp_path, rows).warnings]
    assert any(all(word in text for word in words) for text in said), said


@pytest.mark.parametrize(
    "more",
    [
        {"prompt": "Translate: chat ⟶", "target": "ねこ", "distractors": ["いぬ"]},
        {"prompt": 'She said "', "target": "Hello", "distractors": ["Bye", "No"]},
        {"prompt": "def f(", "target": "x", "distractors": ["y", "z"]},
        {"prompt": "Yes or no?\n", "target": "Yes", "distractors": ["No", "Maybe"]},
        {"prompt": "He went home", "target": ".", "distractors": ["!", "?"]},
        {"note": "another column", "score": 5},
    ],
)
def test_what_is_no_mistake_is_no_warning(tmp_path: Path, more: Row) -> None:
    said = [w.text for w in one_probe(tmp_path, changed(**more)).warnings]
    assert not [text for text in said if "distractors and most" not in text]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"distractors": [" x", " x"]}, "the distractor ' x' is given twice"),
        ({"distractors": [" n7", " x"]}, "the target ' n7' is also a distractor"),
        ({"target": 4}, "'target' must be a text that is not empty"),
        ({"target": ""}, "'target' must be a text"),
        ({"prompt": None}, "'prompt' must be a text"),
        ({"difficulty": "hard"}, "difficulty must be a number"),
        ({"difficulty": "inf"}, "difficulty must be a number that is not infinite"),
        ({"difficulty": 10**350}, "difficulty must be a number"),
        ({"prompt": "x" * 1_000_001}, "a text of 1,000,001 characters"),
        ({"id": "i3"}, "the id 'i3' stands twice"),
    ],
)
def test_what_would_change_the_numbers_is_refused(tmp_path: Path, more: Row, words: str) -> None:
    with pytest.raises(PythiaGeometryError) as caught:
        one_probe(tmp_path, changed(**more))
    assert words in str(caught.value) and ("line 8" in str(caught.value) or "id" in more)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"prompt": "a", "target": " b", "difficulty": 1e400}', "line 3: 1e400 is larger"),
        ('{"prompt": "a", "target": " b", "id": "\\ud800"}', "line 3: half of a surrogate pair"),
        ('{"prompt": "a", "target": " b", "id": ' + "9" * 5_000 + "}", "line 3: a number of 5000 digits"),
        ('{"prompt": "a", "target": " b", "x": ' + "[" * 3_000 + "]" * 3_000 + "}", "line 3: nested more than"),
        ('{"prompt": "a", "target": NaN}', "line 3: NaN is no number"),
    ],
)
def test_corners_of_json_are_named_by_their_line(tmp_path: Path, line: str, words: str) -> None:
    good = "\n".join(json.dumps(row) for row in GOOD[:2])
    (tmp_path / "p.jsonl").write_text(f"{good}\n{line}\n")
    with pytest.raises(PythiaGeometryError, match=re.escape(words)):
        load_probes([str(tmp_path / "p.jsonl")])


def written(folder: Path, form: str) -> Path:
    """The good rows in one of the forms in which people have them."""
    path = folder / f"mine.{form.split()[0]}"
    lines = "".join(json.dumps(row) + "\n" for row in GOOD)
    frame = pd.DataFrame(GOOD)
    match form:
        case "jsonl BOM":
            path.write_text("\ufeff" + lines, encoding="utf-8")
        case "jsonl CRLF":
            path.write_bytes(lines.replace("\n", "\r\n").encode())
        case "json list" | "jsonl list":
            path.write_text(json.dumps(GOOD))
        case "json indented BOM":
            path.write_text("\ufeff" + json.dumps(GOOD, indent=1), encoding="utf-8")
        case "json lines":
            path.write_text(lines)
        case "csv":
            frame.assign(distractors=frame["distractors"].map(json.dumps)).to_csv(path, index=False)
        case "csv BOM CRLF":
            frame.assign(distractors=frame["distractors"].map(json.dumps)).to_csv(
                path, index=False, encoding="utf-8-sig", lineterminator="\r\n"
            )
        case "csv of pandas":
            frame.to_csv(path)
        case "parquet":
            frame.to_parquet(path)
    return path


@pytest.mark.parametrize(
    "form",
    [
        *("jsonl BOM", "jsonl CRLF", "jsonl list", "json list", "json indented BOM", "json lines"),
        *("csv", "csv BOM CRLF", "csv of pandas", "parquet"),
    ],
)
def test_every_form_of_a_file_gives_the_same_probe(tmp_path: Path, form: str) -> None:
    (probe,) = load_probes([str(written(tmp_path, form))])
    assert probe.items == one_probe(tmp_path, GOOD, "plain.jsonl").items
    assert probe.warnings == ()


@pytest.mark.parametrize(
    "cell", ["[' a' ' b']", "['a'\n 'b']", "a, b", "{'a': 1}", "[1, 2]", "__import__('os')", "[" * 9000]
)
def test_a_cell_that_is_no_list_is_refused(tmp_path: Path, cell: str) -> None:
    pd.DataFrame([{"prompt": "a", "target": " b", "distractors": cell}] * 2).to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(PythiaGeometryError, match=r"p\.csv, row 1: distractors must be a (JSON list|list of texts)"):
        load_probes([str(tmp_path / "p.csv")])


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("p.jsonl", json.dumps({"sentence_good": "Cats sleep.", "sentence_bad": "Cats sleeps."}), "'prompt' must be"),
        ("p.csv", "What is 1+1?,1,2,3,4,B\nWhat is 2+2?,1,2,3,4,D\n", "'prompt' must be"),
        ("p.csv", "prompt;target\na; b\n", "columns: prompt;target"),
        ("p.csv", "prompt,target\n", "holds no rows"),
        ("p.json", "[]", "holds no rows"),
        ("p.json", '{"data": [1]}', "'prompt' must be"),
        ("p.json", "[1, 2]", "expected an object with prompt and target, got '1'"),
        ("p.tsv", "prompt\ttarget\n", "probe files end in .jsonl, .json, .csv or .parquet"),
    ],
)
def test_a_file_of_another_kind_gets_one_message(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(PythiaGeometryError, match=re.escape(words)):
        load_probes([str(tmp_path / name)])


# -- names ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", ["syntax/agreement_0:shuffled", "syntax:shuffled/agreement_0"])
def test_a_control_is_named_in_either_order(typed: str) -> None:
    (probe,) = load_probes([typed])
    assert (probe.name, probe.set_name, probe.is_shuffled) == ("syntax/agreement_0:shuffled", "syntax:shuffled", True)
    assert load_probes(["syntax/agreement_0:shuffled", typed]) == [probe]


def test_every_control_that_a_table_prints_can_be_typed() -> None:
    for probe in load_probes(["core:shuffled"]):
        assert load_probes([f"{probe.set_name}/{probe.task}"]) == load_probes([probe.name]) == [probe]


def test_a_task_that_is_not_there_is_named_in_either_order() -> None:
    for typed in ("syntax:shuffled/agrement_0", "syntax/agrement_0:shuffled"):
        with pytest.raises(PythiaGeometryError, match="Probe set 'syntax' has no task 'agrement_0'"):
            load_probes([typed])


# -- where warnings are seen ---------------------------------------------------------------------------


def test_the_sets_that_ship_have_no_warnings() -> None:
    assert not any(probe.warnings for probe in load_probes(["all", "algorithmic"]))


def test_warnings_decide_no_number(tmp_path: Path) -> None:
    plain = one_probe(tmp_path, GOOD)
    noted = one_probe(tmp_path, [{**row, "choices": [1]} for row in GOOD])
    assert noted.warnings and not plain.warnings
    assert (noted.sha256, noted) == (plain.sha256, plain)


def test_spaces_are_no_mistake_where_they_only_separate(tmp_path: Path) -> None:
    words = one_probe(tmp_path, [{"prompt": f"COPY {k % 10} =", "target": str(k % 10)} for k in range(100)])
    lab = Encoder(data_folder() / "suites" / "offline" / "tokenizer.json").encode(words, 32)
    assert words.warnings and lab.warnings == []
    assert Encoder(saved(byte_level(), tmp_path)).encode(words, 10_000).warnings == [w.text for w in words.warnings]


def block(kind: str) -> str:
    page = (Path(__file__).parents[2] / "docs" / "own-probes.md").read_text()
    return re.search(rf"-->\n```{kind}\n(.*?)```", page, re.DOTALL)[1]  # type: ignore[index]


def test_the_pages_example_is_read_and_shown_as_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, kind in (("capitals.jsonl", "json"), ("capitals.csv", "csv")):
        Path(name).write_text(block(kind))
        shown = CliRunner().invoke(app, ["probes", name])
        assert (shown.exit_code, shown.output) == (0, block("text"))
    assert len(list(csv.reader(StringIO(block("csv"))))) == 4


@pytest.mark.slow
def test_no_spoiled_probe_file_ends_in_another_exception(tmp_path: Path) -> None:
    rng = Random(0)
    forms = ["jsonl BOM", "json indented BOM", "csv", "csv of pandas", "parquet"]
    files = [written(tmp_path, form) for form in forms]
    pieces = [
        b"\x00",
        b"\xff",
        b'"',
        b",",
        b"\n",
        b"[[",
        b"]",
        b"{",
        b"1e999",
        b"NaN",
        b'"\\ud800"',
        b"9" * 5_000,
        b"null",
    ]
    contents = {form: written(tmp_path, form).read_bytes()[:3_000_000] for form in forms}
    read = 0
    for turn in range(1_200):
        form = forms[turn % len(forms)]
        content = bytearray(contents[form])
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(content))
            content[at : at + rng.randint(0, 30)] = rng.choice(pieces)
        path = files[turn % len(forms)].with_stem("spoiled")
        path.write_bytes(content)
        try:
            load_probes([str(path)])
            read += 1
        except PythiaGeometryError:
            pass
    assert 0 < read < 1_200
