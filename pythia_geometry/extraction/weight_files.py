"""Weight files opened: every tensor of a checkpoint by its name in the file.

A `.bin` branch starts a conversion thread on load, so no loader of transformers sees the files.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from pythia_geometry.errors import CheckpointError
from pythia_geometry.suites.checkpoint import CORRUPT, Checkpoint


def read_tensors(folder: Path, checkpoint: Checkpoint) -> Mapping[str, Tensor]:
    """All tensors of a checkpoint's files by name, mapped from disk.

    Raises:
        CheckpointError: If a file is truncated, corrupt, or would run code.
    """
    tensors: dict[str, Tensor] = {}
    for file in checkpoint.files:
        path = folder / file.name
        tensors.update(_read_safetensors(path) if path.suffix == ".safetensors" else _read_bin(path, checkpoint))
    return tensors


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError) as error:
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
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise CheckpointError(f"{path.name} is truncated or corrupt: {error}", CORRUPT) from error
    if (
        not isinstance(read, dict)
        or not all(isinstance(k, str) for k in read)
        or not all(isinstance(v, Tensor) for v in read.values())
    ):
        raise CheckpointError(f"{checkpoint.label}: {path.name} does not hold a dictionary of tensors", CORRUPT)
    return read
