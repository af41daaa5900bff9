"""The Hub's file layout: how branches name steps, and which files of a revision are its weights."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from pythia_geometry.errors import CheckpointError
from pythia_geometry.suites.checkpoint import CORRUPT, MISSING

# Safetensors first: nothing in it can run. A .bin is read with weights_only.
_FORMATS = (
    ("model.safetensors", "model.safetensors.index.json"),
    ("pytorch_model.bin", "pytorch_model.bin.index.json"),
)
_SHARD = re.compile(r"(model|pytorch_model)-\d{5}-of-(\d{5})\.(safetensors|bin)")
_LABEL = re.compile(r"(?:stage(?P<stage>\d+)(?:-\w+?)?-)?step[-_]?(?P<step>\d{1,12})(?:-tokens(?P<tokens>\d{1,9})B)?")


@dataclass(frozen=True, order=True)
class StepLabel:
    """What a branch name says: `step512`, or `stage1-step101000-tokens424B`."""

    stage: int
    step: int
    tokens: int | None = None


def parse_step(name: str) -> StepLabel | None:
    """Reads a branch or folder name; None where it does not name a step.

    A number is compared as a number: sorted as text, `step90000` comes after `step143000`.
    """
    match = _LABEL.fullmatch(name)
    if match is None:
        return None
    tokens = int(match["tokens"]) * 10**9 if match["tokens"] else None
    return StepLabel(int(match["stage"] or 0), int(match["step"]), tokens)


@dataclass(frozen=True)
class WeightLayout:
    """The weight files of the one chosen format: one file, or shards with their index."""

    files: tuple[str, ...]
    index: str | None = None

    def resolve(self, folder: Path) -> tuple[str, ...]:
        """The weight files after the index has been read, where there is one.

        Raises:
            CheckpointError: If the index is unreadable, or names a file that is not a plain shard beside it.
        """
        if self.index is None:
            return self.files
        try:
            named = set(json.loads((folder / self.index).read_text())["weight_map"].values())
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise CheckpointError(f"{folder / self.index} is not a shard index: {error}", CORRUPT) from error
        if bad := [name for name in named if not _SHARD.fullmatch(str(name))]:
            raise CheckpointError(f"{folder / self.index} names {bad[0]!r}, which is no shard", CORRUPT)
        if absent := sorted(named - set(self.files)):
            raise CheckpointError(f"{folder} lacks the shard {absent[0]}", MISSING)
        return tuple(sorted(named))


def weight_layout(names: Collection[str], where: str) -> WeightLayout:
    """Chooses one weight format among a revision's files.

    Args:
        names: File names at the top of the revision.
        where: The revision, for messages.

    Raises:
        CheckpointError: With status `missing` where there are no weights, or not every shard.
    """
    for single, index in _FORMATS:
        if single in names:
            return WeightLayout((single,))
        if index in names:
            suffix = Path(single).suffix
            shards = sorted(n for n in names if _SHARD.fullmatch(n) and n.endswith(suffix))
            if not shards or len(shards) != int(shards[0].split("-of-")[1].removesuffix(suffix)):
                raise CheckpointError(f"{where} lists {len(shards)} shards, fewer than its index", MISSING)
            return WeightLayout(tuple(shards), index)
    raise CheckpointError(
        f"{where} has no weights. Expected {_FORMATS[0][0]} or {_FORMATS[1][0]}, whole or in shards", MISSING
    )
