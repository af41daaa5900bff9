"""Weight files opened: every tensor of a checkpoint by its name in the file.

A `.bin` branch starts a conversion thread on load, so no loader of transformers sees the files.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pythia_geometry.errors import CheckpointError
from pythia_geometry.json_files import LFS_POINTER
from pythia_geometry.suites.checkpoint import CORRUPT, UNSUPPORTED, Checkpoint


def read_tensors(folder: Path, checkpoint: Checkpoint) -> Mapping[str, Tensor]:
    """All tensors of a checkpoint's files by name, mapped from disk.

    Raises:
        CheckpointError: If a file is truncated, corrupt, would run code, or is no file of plain tensors; or if two
            files hold one tensor with other numbers.
    """
    tensors: dict[str, Tensor] = {}
    for file in checkpoint.files:
        path = folder / file.name
        _check_here(path, checkpoint)
        read = _read_safetensors(path) if path.suffix == ".safetensors" else _read_bin(path, checkpoint)
        if twice := [name for name in set(tensors) & set(read) if not torch.equal(tensors[name], read[name])]:
            raise CheckpointError(f"{checkpoint.label}: two files hold {min(twice)}, with other numbers", CORRUPT)
        tensors.update(read)
    return tensors


def _check_here(path: Path, checkpoint: Checkpoint) -> None:
    """A clone without Git LFS holds a few lines of text in place of every large file."""
    try:
        with path.open("rb") as stream:
            start = stream.read(len(LFS_POINTER))
    except OSError as error:
        raise CheckpointError(
            f"{checkpoint.label}: {path.name} could not be read: {error.strerror}", CORRUPT
        ) from error
    if start == LFS_POINTER:
        raise CheckpointError(
            f"{checkpoint.label}: {path.name} is a pointer of Git LFS and not the weights. Fetch them: git lfs pull",
            UNSUPPORTED,
        )


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a mapping
    except Exception as error:  # the Rust side and torch raise many kinds
        raise CheckpointError(f"{path.name} is truncated or corrupt: {error}", CORRUPT) from error


def _read_bin(path: Path, checkpoint: Checkpoint) -> dict[str, Tensor]:
    """A pickle of tensors and nothing else."""
    try:
        read = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{checkpoint.label}: {path.name} is no plain pickle of tensors; it may run code when opened, so it "
            "was not opened",
            CORRUPT,
        ) from error
    except Exception as error:  # a damaged pickle makes torch stumble in any of a hundred ways
        raise CheckpointError(
            f"{path.name} is truncated or corrupt: {type(error).__name__}: {error}", CORRUPT
        ) from error
    if inner := _inner(read):
        raise CheckpointError(
            f"{checkpoint.label}: {path.name} is a training checkpoint, with the weights under {inner!r}. Save that "
            f"part alone: torch.save(checkpoint[{inner!r}], {path.name!r})",
            UNSUPPORTED,
        )
    if (
        not isinstance(read, dict)
        or not all(isinstance(k, str) for k in read)
        or not all(isinstance(v, Tensor) for v in read.values())
    ):
        raise CheckpointError(f"{checkpoint.label}: {path.name} does not hold a dictionary of tensors", CORRUPT)
    return read


def _inner(read: Any) -> str:
    """The key under which a trainer keeps the weights beside its optimiser; empty where there is none."""
    if not isinstance(read, dict):
        return ""
    dictionaries = {k: v for k, v in read.items() if isinstance(k, str) and isinstance(v, dict) and v}
    return next((k for k, v in dictionaries.items() if all(isinstance(t, Tensor) for t in v.values())), "")
