"""Every byte of a Parquet file and of a small JSON file is under its checksum."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pythia_geometry.errors import DamagedError
from pythia_geometry.store.records import copy_of, faults, read_one, read_record, write_record
from pythia_geometry.store.seals import seal, verify


def never(content: Any) -> bool:
    return False


@pytest.fixture
def file(tmp_path: Path) -> Path:
    pq.write_table(pa.table({"a": list(range(40)), "b": ["x", "y"] * 20}), tmp_path / "t.parquet", row_group_size=10)
    return tmp_path / "t.parquet"


def test_a_sealed_file_is_read_as_before(file: Path) -> None:
    before, size = pd.read_parquet(file), file.stat().st_size
    digest = seal(file)
    assert file.stat().st_size == size + 40
    assert verify(file) == digest
    pd.testing.assert_frame_equal(pd.read_parquet(file), before)
    assert pq.ParquetFile(file).read_row_group(2)["a"].to_pylist() == list(range(20, 30))


def test_a_file_without_a_seal_says_so(file: Path) -> None:
    assert verify(file) == ""


def test_every_flipped_byte_is_noticed(file: Path) -> None:
    seal(file)
    content = file.read_bytes()
    mark = content.index(b"pgsha256")
    unnoticed = []
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << (place % 8)
        other = file.with_name(f"{place}.parquet")
        other.write_bytes(changed)
        try:
            is_sealed = verify(other) != ""
        except DamagedError:
            continue
        if not is_sealed:  # the mark or the place of the footer went: what it leaves must be no Parquet file
            with pytest.raises((OSError, pa.ArrowException)):
                pq.read_table(other)
        else:
            unnoticed.append(place)
    assert set(unnoticed) <= set(range(mark, mark + 8))  # the mark itself, without which the digest is still found


@pytest.mark.parametrize("keep", [0, 1, 4, 11, 12, 100, -1, -8, -50])
def test_every_truncation_is_noticed(file: Path, keep: int) -> None:
    seal(file)
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(DamagedError, match="is empty|is no whole Parquet file"):
        verify(file)


def test_a_folder_a_pipe_of_nothing_and_a_dangling_link_are_damaged_files(tmp_path: Path) -> None:
    (tmp_path / "folder.parquet").mkdir()
    (tmp_path / "link.parquet").symlink_to(tmp_path / "nowhere")
    for name in ("folder.parquet", "link.parquet", "none.parquet"):
        with pytest.raises(DamagedError, match="is gone|cannot be read"):
            verify(tmp_path / name)
        with pytest.raises(DamagedError, match="is gone|cannot be read"):
            read_record(tmp_path / name, never)


def test_a_file_changed_after_it_was_verified_is_verified_again(file: Path) -> None:
    seal(file)
    verify(file)
    content = bytearray(file.read_bytes())
    content[10] ^= 1
    file.write_bytes(content)
    with pytest.raises(DamagedError, match="does not hold what was written"):
        verify(file)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text().filter(lambda key: key != "sha256"), JSON, max_size=4), st.randoms())
def test_a_record_comes_back_and_no_flipped_byte_passes(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, Any], random: Any
) -> None:
    file = tmp_path_factory.mktemp("r") / "x.json"
    write_record(file, content)
    assert json.dumps(read_record(file, never), sort_keys=True) == json.dumps(content, sort_keys=True)
    text = bytearray(file.read_bytes())
    text[random.randrange(len(text))] ^= 1 << random.randrange(8)
    file.write_bytes(text)
    try:
        found = read_one(file, never)
    except DamagedError:
        return
    assert repr(found) == repr(read_one(copy_of(file), never))  # such as a letter of an escape in the other case


def test_a_record_is_read_from_its_copy_and_the_fault_is_named(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    write_record(file, {"a": 1})
    file.write_text("")
    assert read_record(file, never) == {"a": 1}
    assert faults(file, never) == {file: "x.json is no JSON"}
    copy_of(file).unlink()
    with pytest.raises(DamagedError, match="x.json is no JSON"):
        read_record(file, never)
