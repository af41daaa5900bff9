"""config.json and tokenizer.json of a repository: once, in the user's Hub cache, and checked."""

from __future__ import annotations

import hashlib
from pathlib import Path

from huggingface_hub import hf_hub_download, try_to_load_from_cache

from pythia_geometry.errors import CheckpointError, MachineError
from pythia_geometry.suites.checkpoint import CORRUPT
from pythia_geometry.suites.hub.patience import patiently


def is_cached(repository: str, name: str, commit: str | None) -> bool:
    """Whether the user's Hub cache holds a file of a commit."""
    return isinstance(try_to_load_from_cache(repository, name, revision=commit), str)


def small_file(repository: str, name: str, commit: str, endpoint: str | None) -> Path:
    """A file in the Hub cache, fetched if it is not there.

    The client accepts a wrong byte in silence, but names the cached content by the hash that the Hub lists.

    Raises:
        MachineError: If the user's cache held a damaged file: it is never deleted.
        CheckpointError: If wrong bytes arrive twice.
        HfHubHTTPError: If the Hub refuses; so all that `patiently` raises.
    """

    def fetch(again: bool = False) -> Path:
        return Path(hf_hub_download(repository, name, revision=commit, endpoint=endpoint, force_download=again))

    was_there = is_cached(repository, name, commit)
    path = patiently(fetch)
    if _is_as_listed(path):
        return path
    if was_there:
        raise MachineError(f"{path} in your Hub cache is damaged. Delete it, and type the same command again")
    path = patiently(lambda: fetch(again=True))
    if _is_as_listed(path):
        return path
    raise CheckpointError(f"{repository}: {name} arrived with wrong bytes twice", CORRUPT)


def _is_as_listed(path: Path) -> bool:
    """Compares content and name of the blob; a cache without links has no such names."""
    if not path.is_symlink():
        return True
    listed, content = path.readlink().name, path.read_bytes()
    by_git = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    found = {40: by_git, 64: hashlib.sha256(content).hexdigest()}
    return found.get(len(listed), listed) == listed
