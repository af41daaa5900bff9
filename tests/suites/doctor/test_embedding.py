"""Reading the first rows of an embedding: from either format, whole or in shards, and never more than needed."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pythia_geometry.errors import CheckpointError
from pythia_geometry.suites.checkpoint import Checkpoint
from pythia_geometry.suites.doctor import embedding
from pythia_geometry.suites.doctor.embedding import read_embedding
from pythia_geometry.suites.local import LocalSuite
from tests.hub.checkpoints import pythia_config, write_checkpoint

DTYPES = [torch.float16, torch.float32, torch.bfloat16, torch.float64]


class Reader:
    """Reads a folder's files in spans and counts."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bytes, self.calls = folder, 0, 0

    def __call__(self, name: str, span: tuple[int, int] | None) -> bytes:
        content = (self.folder / name).read_bytes()
        found = content[span[0] : span[1]] if span else content
        self.bytes += len(found)
        self.calls += 1
        return found


def checkpoint_of(folder: Path) -> Checkpoint:
    (found,) = LocalSuite(folder.parent).find([0])
    assert found.status == "ok", found.detail
    return found


def save_bin(tensors: dict[str, torch.Tensor], path: Path) -> None:
    torch.save(tensors, path)


@pytest.mark.parametrize("form", ["safetensors", "bin"])
@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_read_is_what_was_written(tmp_path: Path, form: str, shards: int, dtype: torch.dtype) -> None:
    folder = tmp_path / "step0"
    shape = {"formats": (form,), "shards": shards, "dtype": dtype}
    written = write_checkpoint(folder, pythia_config("tiny"), 0, legacy_buffers=dtype == torch.float16, **shape)
    found = read_embedding(checkpoint_of(folder), Reader(folder))
    expected = written["gpt_neox.embed_in.weight"].float().numpy().ravel()
    assert found.dtype == np.float32
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("form", ["safetensors", "bin"])
def test_only_the_first_rows_are_read(tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "MAX_NUMBERS", 1000)
    folder = tmp_path / "step0"
    config = pythia_config("14m", vocab_size=5000, max_position_embeddings=128)
    written = write_checkpoint(folder, config, 0, formats=(form,))["gpt_neox.embed_in.weight"]
    reader = Reader(folder)
    checkpoint = checkpoint_of(folder)
    found = read_embedding(checkpoint, reader)
    assert np.array_equal(found, written[: 1000 // 128].float().numpy().ravel())
    assert reader.bytes < 0.06 * checkpoint.size
    assert reader.calls <= 6


@pytest.mark.parametrize("name", ["model.embed_tokens.weight", "transformer.wte.weight", "wte.weight"])
@pytest.mark.parametrize(("file", "save"), [("model.safetensors", save_file), ("pytorch_model.bin", save_bin)])
def test_embeddings_of_other_architectures(tmp_path: Path, name: str, file: str, save: Callable[..., None]) -> None:
    folder = tmp_path / "step0"
    folder.mkdir()
    save({"a": torch.ones(3), name: torch.arange(12.0).view(4, 3)}, folder / file)
    assert read_embedding(checkpoint_of(folder), Reader(folder)).tolist() == list(range(12))


def test_tensor_that_begins_inside_its_storage(tmp_path: Path) -> None:
    folder = tmp_path / "step0"
    folder.mkdir()
    save_bin({"wte.weight": torch.nn.Parameter(torch.arange(20.0).view(5, 4)[2:])}, folder / "pytorch_model.bin")
    assert read_embedding(checkpoint_of(folder), Reader(folder)).tolist() == list(range(8, 20))


def fails(folder: Path, match: str, status: str) -> None:
    with pytest.raises(CheckpointError, match=match) as caught:
        read_embedding(checkpoint_of(folder), Reader(folder))
    assert str(caught.value).startswith("the embedding could not be read: ")
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "is no safetensors file"),
        (b"<html>not found</html>", "is no safetensors file"),
        ((5).to_bytes(8, "little") + b"[1, 2", "Expecting|delimiter"),
        ((2).to_bytes(8, "little") + b"[]", "no tensor is called"),
        ((40).to_bytes(8, "little") + b'{"wte.weight": {"dtype": "F16"}}        ', "shape"),
    ],
)
def test_file_that_is_no_safetensors(tmp_path: Path, content: bytes, match: str) -> None:
    folder = tmp_path / "step0"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(content)
    fails(folder, match, "failed" if "no tensor" in match else "corrupt")


def test_truncated_and_non_finite_files(tmp_path: Path) -> None:
    folder = tmp_path / "step0"
    folder.mkdir()
    save_file({"wte.weight": torch.ones(64, 64)}, folder / "model.safetensors")
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-1000])
    fails(folder, "ends inside the embedding", "corrupt")
    save_file({"wte.weight": torch.full((4, 4), float("nan"))}, folder / "model.safetensors")
    fails(folder, "not finite", "corrupt")
    save_file({"wte.weight": torch.ones(4, 4, dtype=torch.int32)}, folder / "model.safetensors")
    fails(folder, r"I32 of shape \[4, 4\], no matrix of floats", "corrupt")


class Runs:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, ("ran",)


def test_pickle_that_would_run_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "step0"
    folder.mkdir()
    with zipfile.ZipFile(folder / "pytorch_model.bin", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"wte.weight": Runs()}))
    fails(folder, "which is no tensor", "corrupt")
    assert not (tmp_path / "ran").exists()


def test_old_bin_that_is_no_archive_cannot_be_read_in_part(tmp_path: Path) -> None:
    folder = tmp_path / "step0"
    folder.mkdir()
    torch.save({"wte.weight": torch.ones(4, 4)}, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    fails(folder, "not a zip file", "failed")
