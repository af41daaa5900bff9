"""config.json and tokenizer.json of a repository: once, in the user's Hub cache, and checked."""

from __future__ import annotations

import errno
import hashlib
from pathlib import Path

from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache

from pythia_geometry.errors import CheckpointError, MachineError
from pythia_geometry.suites.checkpoint import CORRUPT, WeightFile
from pythia_geometry.suites.hub.asking import SECONDS, Ask, asking, within
from pythia_geometry.suites.hub.patience import patiently

MOST = 256 * 2**20
"""Bytes of a small file; the longest tokenizers have about 35 MB."""

_UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)
_RATE = 50_000  # bytes a second that even a slow line brings


def is_cached(repository: str, name: str, commit: str | None) -> bool:
    """Whether the user's Hub cache holds a file of a commit."""
    return isinstance(try_to_load_from_cache(repository, name, revision=commit), str)


def small_file(
    repository: str, name: str, commit: str, endpoint: str | None, listed: WeightFile | None = None, blob: str = ""
) -> Path:
    """A file in the Hub cache, fetched if it is not there.

    The client accepts a wrong byte in silence, but names the cached content by the hash that the Hub sends.

    Args:
        repository: `organisation/name`.
        name: The file.
        commit: Of which commit.
        endpoint: Another Hub than `HF_ENDPOINT` names.
        listed: What the Hub lists of it, where that is known.
        blob: Its hash in git, where that is known.

    Raises:
        MachineError: If the user's cache held a damaged file (it is never deleted), or cannot be written.
        CheckpointError: If wrong bytes arrive twice, or it is too long.
        HfHubHTTPError: If the Hub refuses; so all that `patiently` raises.
    """
    size = listed.size if listed else MOST
    if size > MOST:
        raise CheckpointError(f"{repository}: {name} has {size:,} bytes: no such file is that long", CORRUPT)

    def fetch(again: bool = False) -> Path:
        seconds = SECONDS + (size / _RATE if listed else 4 * SECONDS)
        with asking(Ask(endpoint or constants.ENDPOINT, size + 2**16, seconds)):
            found = within(
                seconds,
                lambda: hf_hub_download(repository, name, revision=commit, endpoint=endpoint, force_download=again),
            )
        return Path(found)

    was_there = is_cached(repository, name, commit)
    try:
        path = patiently(fetch)
        if _is_as_listed(path, listed, blob):
            return path
        if was_there:
            raise MachineError(f"{path} in your Hub cache is damaged. Delete it, and type the same command again")
        path = patiently(lambda: fetch(again=True))
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        raise MachineError(
            f"The Hub cache ({constants.HF_HUB_CACHE}) cannot be written: {error.strerror}. Point HF_HOME or "
            "HF_HUB_CACHE to a folder of your own"
        ) from error
    if _is_as_listed(path, listed, blob):
        return path
    raise CheckpointError(f"{repository}: {name} arrived with wrong bytes twice", CORRUPT)


def _is_as_listed(path: Path, listed: WeightFile | None, blob: str) -> bool:
    """Compares the content with the name of its blob, and with the listing; a cache without links has no such names."""
    content = path.read_bytes()
    by_git = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    found = {40: by_git, 64: hashlib.sha256(content).hexdigest()}
    hashes = [path.readlink().name] if path.is_symlink() else []
    if listed is not None:
        hashes += [listed.sha256] if listed.sha256 else [blob]
    return all(found.get(len(one), one) == one for one in hashes)
