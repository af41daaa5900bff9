"""The weight files of one checkpoint of a repository: in the user's Hub cache, or fetched and checked."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Event

from huggingface_hub import constants, hf_hub_download, hf_hub_url, is_offline_mode, try_to_load_from_cache

from pythia_geometry.errors import CheckpointError
from pythia_geometry.suites.checkpoint import CORRUPT, FAILED, UNSUPPORTED, Checkpoint
from pythia_geometry.suites.hub.download import PART, download
from pythia_geometry.suites.hub.errors import told
from pythia_geometry.suites.hub.patience import patiently
from pythia_geometry.suites.layout.index import named_files
from pythia_geometry.suites.layout.kinds import is_pointer


def find_cached(repository: str, checkpoint: Checkpoint) -> Path | None:
    """The folder of the user's Hub cache that holds all of the checkpoint's files; None where one is not there."""
    paths = [
        try_to_load_from_cache(repository, name, revision=checkpoint.commit)
        for name in (*(f.name for f in checkpoint.files), *checkpoint.extra_files)
    ]
    held = [Path(path).parent for path in paths if isinstance(path, str)]
    return held[0] if held and len(held) == len(paths) else None


def fetch_files(repository: str, checkpoint: Checkpoint, folder: Path, stop: Event, endpoint: str | None) -> None:
    """Downloads what is missing, and checks; a wrong byte, which the client accepts in silence, is fetched once more.

    Raises:
        CheckpointError: If the bytes are not those that the Hub listed, or cannot be fetched.
        Stopped: If `stop` was set meanwhile; what has arrived stays.
        OSError: If the disk gives out.
    """
    sizes: dict[str, int | None] = {
        **dict.fromkeys(checkpoint.extra_files),
        **{f.name: f.size for f in checkpoint.files},
    }
    hub = endpoint or constants.ENDPOINT
    for attempt in range(2):
        for name, size in sizes.items():
            if not (folder / name).exists():
                url = hf_hub_url(repository, name, revision=checkpoint.commit, endpoint=endpoint)
                with told(f"{checkpoint.label}: {name}"):
                    download(url, hub, folder / name, size, stop)
        try:
            check_sha256(checkpoint, folder)
            check_index(checkpoint, folder)
            return
        except CheckpointError:
            _remove(folder, list(sizes))
            if attempt:
                raise


def fetch_into_cache(repository: str, checkpoint: Checkpoint, endpoint: str | None) -> Path:
    """The folder of the user's Hub cache with the checkpoint's files, which the Hub's own client puts there; checked.

    A file whose bytes are wrong is fetched once more.

    Raises:
        CheckpointError: If the bytes are not those that the Hub listed, or cannot be fetched.
    """
    names = [*(file.name for file in checkpoint.files), *checkpoint.extra_files]
    for again in (False, True):
        paths = []
        for name in names:
            with told(f"{checkpoint.label}: {name}"):
                fetch = partial(
                    hf_hub_download,
                    repository, name, revision=checkpoint.commit, endpoint=endpoint, force_download=again,
                )  # fmt: skip
                paths.append(Path(patiently(fetch)))
        try:
            check_sha256(checkpoint, paths[0].parent)
            check_index(checkpoint, paths[0].parent)
        except CheckpointError:
            if again:
                raise
            continue
        break
    return paths[0].parent


def _remove(folder: Path, names: Sequence[str]) -> None:
    """What was fetched here, file by file; nothing else that may lie in the folder."""
    for name in names:
        (folder / name).unlink(missing_ok=True)
        (folder / (name + PART)).unlink(missing_ok=True)
    with suppress(OSError):  # something else is in it
        folder.rmdir()


def check_index(checkpoint: Checkpoint, folder: Path) -> None:
    """Compares the shards with those that their index names: a set that was left behind is not this checkpoint's.

    Raises:
        CheckpointError: If they differ.
    """
    mine = [file.name for file in checkpoint.files]
    for index in checkpoint.extra_files:
        named = named_files((folder / index).read_bytes(), f"{checkpoint.label}: {index}", Path(mine[0]).suffix)
        if sorted(mine) != sorted(named):
            one = min(set(mine) ^ set(named))
            raise CheckpointError(f"{checkpoint.label}: {index} names other shards than are there: {one}", CORRUPT)


def check_sha256(checkpoint: Checkpoint, folder: Path) -> None:
    """Compares the weight files with what the Hub lists.

    Raises:
        CheckpointError: If one differs, or is a pointer that somebody uploaded in place of the weights.
    """
    for file in checkpoint.files:
        with (folder / file.name).open("rb") as stream:
            if is_pointer(stream.read(100)):
                raise CheckpointError(
                    f"{checkpoint.label}: {file.name} is a pointer of Git LFS and not the weights", UNSUPPORTED
                )
            stream.seek(0)
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if file.sha256 and digest != file.sha256:
            raise CheckpointError(
                f"{checkpoint.label}: {file.name} has sha256 {digest[:8]}…, the Hub lists {file.sha256[:8]}…",
                CORRUPT,
            )


def refuse_offline(checkpoint: Checkpoint) -> None:
    """Says so where files are to be fetched and the network must not be asked.

    Raises:
        CheckpointError: With `--offline` or `HF_HUB_OFFLINE`.
    """
    if is_offline_mode():
        raise CheckpointError(
            f"{checkpoint.label} is not in the Hub cache ({constants.HF_HUB_CACHE}), and --offline (or "
            "HF_HUB_OFFLINE) forbids to fetch it. Type the same command without it",
            FAILED,
        )
