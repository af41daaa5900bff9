"""Probe files of the user: what is read, and which row is blamed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.probes.probe_files import Item, read_probe_file

Row = Mapping[str, Any]
GOOD: Row = {"prompt": "Two and two is", "target": " four"}


def jsonl(folder: Path, *rows: Row | str) -> str:
    path = folder / "mine.jsonl"
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def items_of(name: str) -> list[Item]:
    read = read_probe_file(name)
    assert read is not None
    return list(read.items)


FULL: Row = {
    "id": "a/1",
    "task": "sums",
    "prompt": "Füße\u2028 are",
    "target": " two",
    "distractors": [" one", " three"],
    "difficulty": 2,
    "source": "me",
}


def test_all_fields_of_a_line_are_read(tmp_path: Path) -> None:
    first, second = items_of(jsonl(tmp_path, FULL, "", {**GOOD, "unknown": 1}, "  "))
    assert first == Item("a/1", "sums", "Füße\u2028 are", " two", (" one", " three"), 2.0, "me")
    assert (second.id, second.task) == ("row 2", "mine")
    assert (second.distractors, second.source, math.isnan(second.difficulty)) == ((), "", True)


def test_csv_and_parquet_give_the_same_items(tmp_path: Path) -> None:
    other = {**FULL, "id": "a/2", "prompt": "NA", "target": " null", "distractors": [" x"], "difficulty": 0.5}
    expected = items_of(jsonl(tmp_path, FULL, other))
    pd.DataFrame([FULL, other]).to_parquet(tmp_path / "mine.parquet")
    cells = [{**row, "distractors": json.dumps(row["distractors"])} for row in (FULL, other)]
    pd.DataFrame(cells).to_csv(tmp_path / "mine.csv", index=False)
    assert items_of(str(tmp_path / "mine.parquet")) == expected
    assert items_of(str(tmp_path / "mine.csv")) == expected


def test_csv_cells_may_be_empty(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text('prompt,target,distractors,difficulty\na, b,,\nc, d,"["" x""]",3\n')
    first, second = items_of(str(tmp_path / "mine.csv"))
    assert (first.target, first.distractors, math.isnan(first.difficulty)) == (" b", (), True)
    assert (second.distractors, second.difficulty, second.id) == ((" x",), 3.0, "row 2")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "not valid JSON (Expecting property name enclosed in double quotes at column 2)"),
        ("prompt,target", "not valid JSON (Expecting value at column 1)"),
        ("[1, 2]", "expected an object with prompt and target, got '[1, 2]'"),
        ('"text"', "expected an object with prompt and target"),
        ({"prompt": "a"}, "'target' must be a text that is not empty; columns: prompt"),
        ({"target": "a", "text": "b"}, "'prompt' must be a text that is not empty; columns: target, text"),
        ({**GOOD, "target": ""}, "'target' must be a text that is not empty"),
        ({**GOOD, "target": 4}, "'target' must be a text that is not empty"),
        ({**GOOD, "prompt": None}, "'prompt' must be a text that is not empty"),
        ({**GOOD, "distractors": 5}, "distractors must be a list of texts, got 5"),
        ({**GOOD, "distractors": [" five", 6]}, "distractors must be a list of texts, got [' five', 6]"),
        ({**GOOD, "distractors": [" five", ""]}, "distractors must be a list of texts, got"),
        ({**GOOD, "distractors": " five"}, "distractors must be a JSON list such as"),
        ({**GOOD, "distractors": [" five", " four"]}, "the target ' four' is also a distractor"),
        ({**GOOD, "difficulty": "hard"}, "difficulty must be a number, got 'hard'"),
        ({**GOOD, "difficulty": [1]}, "difficulty must be a number, got [1]"),
    ],
)
def test_bad_line_is_named_by_its_number(tmp_path: Path, row: Row | str, message: str) -> None:
    name = jsonl(tmp_path, GOOD, "", GOOD, row)
    with pytest.raises(PythiaGeometryError) as caught:
        read_probe_file(name)
    assert str(caught.value).startswith(f"{name}, line 4: {message}")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**GOOD, "prompt": ""}, "'prompt' must be a text"),
        ({**GOOD, "distractors": "[5]"}, "distractors must be a list of texts, got [5]"),
        ({**GOOD, "distractors": "five"}, "distractors must be a JSON list"),
        ({**GOOD, "distractors": '[" four"]'}, "the target ' four' is also a distractor"),
    ],
)
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_bad_row_of_a_table_is_named_by_its_number(tmp_path: Path, suffix: str, row: Row, message: str) -> None:
    path = tmp_path / f"mine.{suffix}"
    frame = pd.DataFrame([{**GOOD, "distractors": '[" x"]'}, row])
    if suffix == "csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    with pytest.raises(PythiaGeometryError) as caught:
        read_probe_file(str(path))
    assert str(caught.value).startswith(f"{path}, row 2: {message}")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b"", "holds no rows. Expected at least 2, each with prompt and target"),
        ("a.jsonl", b"\n  \n", "holds no rows"),
        ("a.csv", b"prompt,target\n", "holds no rows"),
        ("a.csv", b"", "could not be read as csv: "),
        ("a.csv", b'prompt,target\n"a', "could not be read as csv: "),
        ("a.csv", b"prompt,target\n\xff\xfe,b\n", "is not UTF-8 text"),
        ("a.parquet", b"", "could not be read as parquet: "),
        ("a.parquet", b"PAR1 but no more", "could not be read as parquet: "),
        ("a.jsonl", b'{"prompt": "\xff"}', "is not UTF-8 text: invalid start byte at byte 12"),
        ("a.txt", b"a\tb", "probe files end in .jsonl, .json, .csv or .parquet"),
    ],
)
def test_file_that_cannot_be_read_says_why(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PythiaGeometryError) as caught:
        read_probe_file(str(tmp_path / name))
    assert str(caught.value).startswith(str(tmp_path / name))
    assert message in str(caught.value)


def test_file_that_is_not_there(tmp_path: Path) -> None:
    for name in ("a.jsonl", "a.csv", "a.parquet"):
        with pytest.raises(PythiaGeometryError, match=f"There is no probe file {tmp_path / name}"):
            read_probe_file(str(tmp_path / name))
    assert read_probe_file("syntaxx") is None
    assert read_probe_file("./no/such") is None


def test_same_id_twice_is_refused(tmp_path: Path) -> None:
    name = jsonl(tmp_path, {**GOOD, "id": "x"}, {**GOOD, "id": 1}, {**GOOD, "id": "1"})
    with pytest.raises(PythiaGeometryError) as caught:
        read_probe_file(name)
    assert str(caught.value) == f"{name}: the id '1' stands twice; ids must be unique in a file"


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jsonl(tmp_path, GOOD, GOOD)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(items_of("~/mine.jsonl")) == 2
