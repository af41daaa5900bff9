"""Where a file's tensors lie; a header with a wrong digit anywhere is no header."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from pythia_geometry.suites import safetensors_header
from pythia_geometry.suites.safetensors_header import places, span_of
from tests.hub.checkpoints import pythia_config, write_checkpoint


def found(content: bytes, size: int | None = None) -> dict[str, safetensors_header.Place]:
    return places("m", len(content) if size is None else size, lambda start, stop: content[start:stop])


def test_places_are_those_of_the_library(tmp_path: Path) -> None:
    written = write_checkpoint(tmp_path, pythia_config("tiny"), seed=0)
    content = (tmp_path / "model.safetensors").read_bytes()
    read = found(content)
    assert set(read) == set(written)
    for name, place in read.items():
        tensor = written[name]
        assert place.shape == tuple(tensor.shape)
        assert content[place.start : place.stop] == tensor.contiguous().numpy().tobytes()
    start, stop = span_of({n: p for n, p in read.items() if n.startswith("gpt_neox.embed")})
    assert content[start:stop] == written["gpt_neox.embed_in.weight"].numpy().tobytes()
    assert span_of({}) == (0, 0)


def test_long_header_takes_two_questions_and_a_short_file_no_more_than_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_file({f"t{i}": torch.ones(3) for i in range(50)}, tmp_path / "m")
    content = (tmp_path / "m").read_bytes()
    asked: list[tuple[int, int]] = []

    def read(start: int, stop: int) -> bytes:
        asked.append((start, stop))
        return content[start:stop]

    whole = places("m", len(content), read)
    assert asked == [(0, len(content))]
    monkeypatch.setattr(safetensors_header, "HEADER", 100)
    asked.clear()
    assert places("m", len(content), read) == whole
    assert [start for start, _ in asked] == [0, 100]


def file_of(header: Any, data: int = 16) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(data)


def entry(start: int, stop: int, dtype: str = "F32", shape: Any = (2,)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, stop]}


def test_metadata_and_empty_tensors_are_sound() -> None:
    content = file_of(
        {"__metadata__": {"format": "pt"}, "a": entry(0, 8), "e": entry(8, 8, shape=(0, 3)), "b": entry(8, 16)}
    )
    assert list(found(content)) == ["a", "e", "b"]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"a": entry(0, 8), "b": entry(4, 12)}, "b begins at byte"),
        ({"a": entry(0, 4, shape=(1,)), "b": entry(8, 16)}, "b begins at byte"),
        ({"a": entry(0, 8)}, "the tensors of m end at byte"),
        ({"a": entry(0, 8), "b": entry(8, 24, shape=(4,))}, "the tensors of m end at byte"),
        ({"a": entry(0, 16)}, "a is F32 of shape [2], and has 16 bytes"),
        ({"a": entry(0, 16, "F64", (3,))}, "and has 16 bytes"),
        ({"a": entry(0, 16, "F12", (4,))}, "a is F12"),
        ({"a": entry(0, 16, "F32", (-4,))}, "a is F32 of shape [-4]"),
        ({"a": entry(0, 16, "F32", (True, 4))}, "a is F32 of shape [True, 4]"),
        ({"a": entry(0, 16, "F32", ("4",))}, "a is F32"),
        ({"a": entry(-8, 8, "F32", (4,))}, "a is F32"),
        ({"a": {"dtype": "F32", "shape": [4]}}, "no dtype, shape and offsets"),
        ({"a": 3}, "no dtype, shape and offsets"),
        ({"a": {**entry(0, 16), "shape": 4}}, "no dtype, shape and offsets"),
        ([], "is no table of tensors"),
        ({}, "end at byte"),
    ],
)
def test_header_that_is_not_sound_is_named(header: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        found(file_of(header))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no safetensors file"),
        (b"1234567", "is no safetensors file"),
        (b"<html>not found</html>", "is no safetensors file"),
        ((9).to_bytes(8, "little") + b"{}", "is no safetensors file"),
        ((4).to_bytes(8, "little") + b"[1, ", "cannot be read"),
        ((2).to_bytes(8, "little") + b"\xff\xfe", "cannot be read"),
    ],
)
def test_file_that_is_none_is_named(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        found(content)


def test_any_flipped_byte_of_a_header_is_seen_or_names_other_tensors(tmp_path: Path) -> None:
    """A flipped letter of a name or dtype of equal width is left to the config, which knows names and dtypes."""
    save_file({"a": torch.ones(2, 3), "bc": torch.ones(5, dtype=torch.float16)}, tmp_path / "m")
    content = (tmp_path / "m").read_bytes()
    whole = found(content)
    length = 8 + int.from_bytes(content[:8], "little")
    unseen = 0
    for at in range(length):
        for flip in (0x01, 0x10, 0xFF):
            spoilt = content[:at] + bytes([content[at] ^ flip]) + content[at + 1 :]
            try:
                read = found(spoilt)
            except ValueError:
                continue
            same_bytes = sorted(p.start for p in read.values()) == sorted(p.start for p in whole.values())
            assert same_bytes
            assert read != whole or content[at : at + 1] in b" ", (at, flip)
            unseen += read == whole
    assert unseen <= 24  # spaces that pad the header


def test_library_reads_the_same_file(tmp_path: Path) -> None:
    """The files that these tests call sound are sound for the library, and the others are not."""
    sound, gap = (
        file_of({"a": entry(0, 8), "b": entry(8, 16)}),
        file_of({"a": entry(0, 4, shape=(1,)), "b": entry(8, 16)}),
    )
    (tmp_path / "m").write_bytes(sound)
    with safe_open(tmp_path / "m", "pt") as opened:
        assert set(opened.keys()) == set(found(sound))
    (tmp_path / "m").write_bytes(gap)
    with pytest.raises(Exception, match=r"(?i)header|offset"):
        safe_open(tmp_path / "m", "pt").__enter__()
