"""JSON that others wrote: what is sound is read as Python reads it, and every other text gets one message."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pythia_geometry.json_files import LFS_POINTER, MAX_DEPTH, JsonError, json_rows, parse_json, read_json

SOUND: list[Any] = [
    {"a": [1, -2.5, True, None, "text ☃ 😀"], "b": {"c": []}},
    [],
    "",
    0,
    1e308,
    10**300,
    {"nested": json.loads("[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1))},
]


@pytest.mark.parametrize("value", SOUND)
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_what_is_sound_is_read_as_python_reads_it(
    tmp_path: Path, value: Any, indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert parse_json(text, "here") == value
    for before in (b"", b"\xef\xbb\xbf"):
        (tmp_path / "a.json").write_bytes(before + text.encode())
        assert read_json(tmp_path / "a.json") == value


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a.json, line 1: not valid JSON (Expecting value at column 1)"),
        (b'{"a": 1,\n "b": }', "a.json, line 2: not valid JSON (Expecting value at column 7)"),
        (b'{"a": 1} x', "a.json, line 1: not valid JSON (Extra data at column 10)"),
        (b"[" * 100_000, "a.json, line 1: nested more than 50 deep"),
        (b'{"a":' * 600 + b"1" + b"}" * 600, "a.json, line 1: nested more than 50 deep"),
        (b"[" * 51 + b"]" * 51, "a.json, line 1: nested more than 50 deep"),
        (b"[1,\n 1e400]", "a.json, line 2: 1e400 is larger than any number that can be held"),
        (b"[1,\n\n" + b"7" * 5_000 + b"]", "a.json, line 3: a number of 5000 digits"),
        (b"0." + b"7" * 5_000, "a.json, line 1: a number of 5002 digits"),
        (b'{"a":\nNaN}', "a.json, line 2: NaN is no number that JSON knows"),
        (b"[-Infinity]", "a.json, line 1: -Infinity is no number"),
        (b'{"a":\n"\\ud800"}', "a.json, line 2: half of a surrogate pair"),
        (b'{"\\udc00 \\ud83d\\ude00": 1}', "a.json, line 1: half of a surrogate pair"),
        (b'"\xff"', "a.json is not UTF-8 text: invalid start byte at byte 1"),
        ('{"a": 1}'.encode("utf-16"), "a.json is not UTF-8 text but UTF-16. Save it again as UTF-8"),
        (LFS_POINTER + b"v1\noid sha256:0\nsize 1\n", "a.json is a pointer of Git LFS and not the file itself"),
        (b" " * 1_001, "a.json is longer than 0 MB"),
    ],
)
def test_every_other_text_gets_one_message(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(JsonError) as caught:
        read_json(tmp_path / "a.json", at_most=1_000 if message.endswith("0 MB") else 10**6)
    assert str(caught.value).startswith(f"{tmp_path}/{message}")


@pytest.mark.parametrize("name", [".", "nowhere.json", "a\0b", "n" * 300])
def test_what_is_no_file_gets_one_message(tmp_path: Path, name: str) -> None:
    with pytest.raises(JsonError, match="could not be read"):
        read_json(tmp_path / name)


def test_pairs_of_surrogates_are_characters() -> None:
    assert parse_json('"\\ud83d\\ude00"', "here") == "😀"


def test_nan_is_taken_where_it_is_asked_for() -> None:
    value = parse_json("[NaN, Infinity, -Infinity]", "here", allow_nan=True)
    assert repr(value) == "[nan, inf, -inf]"


@pytest.mark.parametrize("text", ['{"a": 1}\n\n{"a": 2}\r\n', '[{"a": 1}, {"a": 2}]', '\n [\n{"a": 1},\n{"a": 2}\n]\n'])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_rows_are_lines_or_one_list(tmp_path: Path, text: str, mark: str) -> None:
    (tmp_path / "rows").write_text(mark + text)
    rows = list(json_rows(tmp_path / "rows"))
    assert [value for _, value in rows] == [{"a": 1}, {"a": 2}]
    places = ["row 1", "row 2"] if "[" in text else ["line 1", "line 3"]
    assert [where for where, _ in rows] == [f"{tmp_path}/rows, {place}" for place in places]


def test_a_bad_row_is_named_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "rows").write_text('{"a": 1}\n\n{"a": 1e999}\n')
    with pytest.raises(JsonError, match=r"rows, line 3: 1e999 is larger"):
        list(json_rows(tmp_path / "rows"))


def test_no_spoiled_text_escapes_as_another_exception() -> None:
    rng = Random(0)
    seeds = [json.dumps(value).encode() for value in SOUND]
    pieces = [b'"\\ud800"', b"1e999", b"[" * 2_000, b"\xff", b"9" * 6_000, b"\0", b"NaN", b"{", b"]", b'"']
    read = 0
    for _ in range(2_000):
        text = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(1, 3)):
            at = rng.randint(0, len(text))
            text[at : at + rng.randint(0, 3)] = rng.choice([*pieces, bytes([rng.randrange(256)])])
        try:
            parse_json(bytes(text), "here")
            read += 1
        except JsonError:
            pass
    assert 0 < read < 2_000
