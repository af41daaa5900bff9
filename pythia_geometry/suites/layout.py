"""The Hub's file layout: how branches name steps, and which files of a revision are its weights."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from pythia_geometry.errors import CheckpointError
from pythia_geometry.suites.checkpoint import CORRUPT, MISSING

SAFETENSORS, BIN = "safetensors", "bin"

# Safetensors first: nothing in it can run. A .bin is read with weights_only.
_FORMATS = {
    SAFETENSORS: ("model.safetensors", "model.safetensors.index.json"),
    BIN: ("pytorch_model.bin", "pytorch_model.bin.index.json"),
}
FORMATS = tuple(_FORMATS)
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
    """The weight files of one format: one file, or shards with their index; `problem` where some are not there."""

    files: tuple[str, ...]
    index: str | None = None
    problem: str = ""

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


def weight_layouts(names: Collection[str], where: str) -> dict[str, WeightLayout]:
    """The weight files among a revision's files, by format, safetensors first.

    Args:
        names: File names at the top of the revision.
        where: The revision, for messages.

    Raises:
        CheckpointError: With status `missing` where there are none of any format.
    """
    found: dict[str, WeightLayout] = {}
    for form, (single, index) in _FORMATS.items():
        if single in names:
            found[form] = WeightLayout((single,))
        elif index in names:
            found[form] = _sharded(names, index, form, where)
    if not found:
        expected = " or ".join(single for single, _ in _FORMATS.values())
        raise CheckpointError(f"{where} has no weights. Expected {expected}, whole or in shards", MISSING)
    return found


def _sharded(names: Collection[str], index: str, form: str, where: str) -> WeightLayout:
    shards = sorted(n for n in names if _SHARD.fullmatch(n) and n.endswith(f".{form}"))
    if not shards or len(shards) != int(shards[0].split("-of-")[1].removesuffix(f".{form}")):
        return WeightLayout(tuple(shards), index, f"{where} lists {len(shards)} shards, fewer than its index")
    return WeightLayout(tuple(shards), index)


def read_span(path: Path, span: tuple[int, int] | None) -> bytes:
    """Bytes `start` to `stop` of a file; all of it without a span."""
    with path.open("rb") as stream:
        if span is None:
            return stream.read()
        stream.seek(span[0])
        return stream.read(span[1] - span[0])
