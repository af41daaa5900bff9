"""Which files of a revision are its weights, in the Hub's layout: one file, or shards with their index."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from pythia_geometry.errors import CheckpointError
from pythia_geometry.suites.checkpoint import MISSING, UNSUPPORTED
from pythia_geometry.suites.layout.index import named_files
from pythia_geometry.suites.layout.kinds import kind_of_files

SAFETENSORS, BIN = "safetensors", "bin"

# Safetensors first: nothing in it can run. A .bin is read with weights_only.
_FORMATS = {
    SAFETENSORS: ("model.safetensors", "model.safetensors.index.json"),
    BIN: ("pytorch_model.bin", "pytorch_model.bin.index.json"),
}
FORMATS = tuple(_FORMATS)
_SHARD = re.compile(r"(?P<stem>.+?)[-_]\d{1,9}-of-(?P<count>\d{1,9})\.(?:safetensors|bin)", re.ASCII)
_NO_WEIGHTS = ("training_args.bin", "adapter_model.bin", "adapter_model.safetensors")


@dataclass(frozen=True)
class WeightLayout:
    """The weight files of one format.

    Attributes:
        files: One file, or shards.
        index: The shards' index.
        problem: What is not there.
        is_doubtful: Whether the names leave open which shards belong, as where an older set was left behind: then the
            index must be read.
    """

    files: tuple[str, ...]
    index: str | None = None
    problem: str = ""
    is_doubtful: bool = False

    def named(self, index: bytes, where: str) -> tuple[str, ...]:
        """The weight files that the index names: it decides, no pattern does.

        Args:
            index: Its content.
            where: The revision, for messages.

        Raises:
            CheckpointError: If it is unreadable, or names a file that is no plain file beside it, or is not there.
        """
        named = named_files(index, f"{where}/{self.index}", Path(self.files[0]).suffix if self.files else "")
        if absent := sorted(set(named) - set(self.files)):
            raise CheckpointError(f"{where} lacks the shard {absent[0]}, which its index names", MISSING)
        return named


def weight_layouts(names: Collection[str], where: str) -> dict[str, WeightLayout]:
    """The weight files among a revision's files, by format, safetensors first.

    Args:
        names: Names at the top of the revision; those of folders end in `/`.
        where: The revision, for messages.

    Raises:
        CheckpointError: Where there are none of any format: `missing`, or `unsupported` where they are of a kind
            that is not read.
    """
    found: dict[str, WeightLayout] = {}
    for form, (single, index) in _FORMATS.items():
        if single in names:
            found[form] = WeightLayout((single,))
        elif index in names:
            found[form] = _sharded(names, index, form, where)
    if not found:
        expected = " or ".join(single for single, _ in _FORMATS.values())
        kind = kind_of_files(names)
        nothing = f"{where} has no weights. Expected {expected}, whole or in shards"
        raise CheckpointError(f"{nothing}. {kind}" if kind else nothing, UNSUPPORTED if kind else MISSING)
    return found


def _sharded(names: Collection[str], index: str, form: str, where: str) -> WeightLayout:
    """The one complete set of shards; where there are others beside it, every file that the index might name."""
    of_form = sorted(n for n in names if n.endswith(f".{form}") and n not in _NO_WEIGHTS)
    sets: dict[tuple[str, int], list[str]] = {}
    for name in of_form:
        if match := _SHARD.fullmatch(name):
            sets.setdefault((match["stem"], int(match["count"])), []).append(name)
    alone = [name for name in of_form if not _SHARD.fullmatch(name)]
    if len(sets) > 1 or alone:
        return WeightLayout(tuple(of_form), index, is_doubtful=True)
    count, shards = next(((key[1], shards) for key, shards in sets.items()), (1, []))
    fewer = f"{where} lists {len(shards)} shards, fewer than its index" if len(shards) != count else ""
    return WeightLayout(tuple(shards), index, fewer)


def read_span(path: Path, span: tuple[int, int] | None) -> bytes:
    """Bytes `start` to `stop` of a file; all of it without a span."""
    with path.open("rb") as stream:
        if span is None:
            return stream.read()
        stream.seek(span[0])
        return stream.read(span[1] - span[0])
