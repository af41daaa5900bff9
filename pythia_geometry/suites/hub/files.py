"""The weight files of one checkpoint of a repository: in the user's Hub cache, or fetched and checked."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from threading import Event

from huggingface_hub import constants, hf_hub_url, is_offline_mode, try_to_load_from_cache

from pythia_geometry.errors import CheckpointError
from pythia_geometry.suites.checkpoint import CORRUPT, FAILED, Checkpoint
from pythia_geometry.suites.hub.download import download
from pythia_geometry.suites.hub.errors import told


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
    for attempt in range(2):
        for name, size in sizes.items():
            if not (folder / name).exists():
                url = hf_hub_url(repository, name, revision=checkpoint.commit, endpoint=endpoint)
                with told(f"{checkpoint.label}: {name}"):
                    download(url, folder / name, size, stop)
        try:
            check_sha256(checkpoint, folder)
            return
        except CheckpointError:
            shutil.rmtree(folder)
            if attempt:
                raise


def check_sha256(checkpoint: Checkpoint, folder: Path) -> None:
    """Compares the weight files with what the Hub lists.

    Raises:
        CheckpointError: If one differs.
    """
    for file in checkpoint.files:
        with (folder / file.name).open("rb") as stream:
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
