"""A shard index: which files hold a checkpoint's tensors."""

from __future__ import annotations

from pythia_geometry.errors import CheckpointError
from pythia_geometry.json_files import JsonError, parse_json
from pythia_geometry.suites.checkpoint import CORRUPT

MOST = 64 * 2**20
"""Bytes of an index that are read; those of the largest public models have about 10 MB."""


def named_files(content: bytes, where: str, suffix: str) -> tuple[str, ...]:
    """The files that an index names, each once, in order.

    Args:
        content: Of the index.
        where: The index, for messages.
        suffix: Of the files, such as `.safetensors`.

    Raises:
        CheckpointError: If it is no index, or names anything else than a plain file beside it.
    """
    if len(content) > MOST:
        raise CheckpointError(f"{where} is not a shard index: {len(content)} bytes", CORRUPT)
    try:
        named = set(parse_json(content, where)["weight_map"].values())
    except (JsonError, KeyError, AttributeError, TypeError) as error:
        raise CheckpointError(f"{where} is not a shard index: {error}", CORRUPT) from error
    if bad := [name for name in named if not is_plain_name(name) or not name.endswith(suffix or ".safetensors")]:
        raise CheckpointError(f"{where} names {bad[0]!r}, which is no shard", CORRUPT)
    if not named:
        raise CheckpointError(f"{where} is not a shard index: it names no file", CORRUPT)
    return tuple(sorted(named))


def is_plain_name(name: object) -> bool:
    """Whether something is the name of a file and cannot lead out of its folder."""
    return (
        isinstance(name, str)
        and 0 < len(name) <= 255
        and name not in (".", "..")
        and name.isprintable()
        and not set(name) & set('/\\:*?"<>|')
    )
