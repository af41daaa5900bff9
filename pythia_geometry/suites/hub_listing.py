"""What the Hub says it holds: branches, commits, and the sha256 of every weight file, before any download.

Two listings with the same two methods: one asks the Hub, one reads the user's Hub cache when there is no
network. Assumption A6: the cache is trusted to hold what its refs say.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from http.client import PARTIAL_CONTENT
from typing import Protocol, TypeVar

import httpx2
from huggingface_hub import HfApi, RepoFile, constants, get_session, hf_hub_url, scan_cache_dir
from huggingface_hub.errors import (
    CacheNotFound,
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.utils._headers import build_hf_headers
from huggingface_hub.utils._http import hf_raise_for_status

from pythia_geometry.errors import CheckpointError, MachineError, PythiaGeometryError
from pythia_geometry.suites.checkpoint import FAILED, WeightFile

T = TypeVar("T")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
UNREACHABLE = (httpx2.TransportError, OfflineModeIsEnabled)


class Listing(Protocol):
    """Branches of one repository, and the files of one commit."""

    caveat: str
    """Added to a message that a branch does not exist."""

    def branches(self) -> dict[str, str]:
        """Commit of every branch."""
        ...

    def files(self, commit: str) -> list[WeightFile]:
        """Top-level files of a commit; the sha256 is empty where the Hub keeps the file in git."""
        ...

    def read(self, commit: str, name: str, span: tuple[int, int] | None) -> bytes:
        """Bytes `start` to `stop` of a file of a commit; all of it without a span."""
        ...


class OnlineListing:
    """Asks the Hub: one call for the branches, one for each commit's files."""

    caveat = ""

    def __init__(self, repository: str, endpoint: str | None = None) -> None:
        self.repository = repository
        self.api = HfApi(endpoint=endpoint)

    def branches(self) -> dict[str, str]:
        """Commit of every branch.

        Raises:
            PythiaGeometryError: If the repository does not exist or is gated.
        """
        try:
            refs = patiently(lambda: self.api.list_repo_refs(self.repository))
        except GatedRepoError as error:
            raise PythiaGeometryError(
                f"{self.repository} is gated. Accept its terms on the Hub, then type: hf auth login"
            ) from error
        except RepositoryNotFoundError as error:
            raise PythiaGeometryError(
                f"The Hub has no repository {self.repository!r} (or it is private). "
                "Pythia models are spelt pythia-160m; other repositories organisation/name; "
                "a local suite is a path such as ./my-suite"
            ) from error
        return {branch.name: branch.target_commit for branch in refs.branches}

    def files(self, commit: str) -> list[WeightFile]:
        """Top-level files of a commit."""
        listed = patiently(lambda: list(self.api.list_repo_tree(self.repository, revision=commit)))
        return [
            WeightFile(item.path, item.size, item.lfs.sha256 if item.lfs else "")
            for item in listed
            if isinstance(item, RepoFile)
        ]

    def read(self, commit: str, name: str, span: tuple[int, int] | None) -> bytes:
        """Asks by the client's own session, address and token for one range.

        Raises:
            CheckpointError: If the server sends something else than the range: it is not read, since it may
                be the whole file.
        """
        url = hf_hub_url(self.repository, name, revision=commit, endpoint=self.api.endpoint)
        headers = dict(build_hf_headers())
        if span is not None:
            headers["Range"] = f"bytes={span[0]}-{span[1] - 1}"
        timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
        with get_session().stream("GET", url, headers=headers, timeout=timeout) as response:
            if response.is_error:
                response.read()
            hf_raise_for_status(response)
            if span is not None and response.status_code != PARTIAL_CONTENT:
                raise CheckpointError(f"the server does not send ranges (status {response.status_code})", FAILED)
            return bytes(response.read())


class CachedListing:
    """Reads the user's Hub cache; nothing else is known without a network."""

    caveat = " in the Hub cache (the Hub cannot be reached)"

    def __init__(self, repository: str) -> None:
        self.repository = repository
        try:
            found = [repo for repo in scan_cache_dir().repos if (repo.repo_id, repo.repo_type) == (repository, "model")]
        except CacheNotFound:
            found = []
        self._revisions = {r.commit_hash: r for repo in found for r in repo.revisions}

    def branches(self) -> dict[str, str]:
        """Branches whose commit is in the cache.

        Raises:
            MachineError: If nothing of the repository is cached.
        """
        refs = {ref: commit for commit, r in self._revisions.items() for ref in r.refs}
        if not refs:
            raise MachineError(
                f"The Hub cannot be reached and nothing of {self.repository} is in the Hub cache. "
                "Connect and type the same command again, or walk what is on this machine: pythia-geom"
            )
        return refs

    def files(self, commit: str) -> list[WeightFile]:
        """Files of a cached commit; blobs of large files are named by their sha256."""
        revision = self._revisions.get(commit)
        if revision is None:
            return []
        return [
            WeightFile(
                item.file_name,
                item.size_on_disk,
                item.blob_path.name if _SHA256.fullmatch(item.blob_path.name) else "",
            )
            for item in revision.files
            if item.file_path.parent == revision.snapshot_path
        ]

    def read(self, commit: str, name: str, span: tuple[int, int] | None) -> bytes:
        """Only what is in the cache can be read, and it is read there."""
        raise OfflineModeIsEnabled(f"{name} is not in the Hub cache and the Hub cannot be reached")


def patiently(call: Callable[[], T], attempts: int = 4, wait: float = 1.0) -> T:
    """Repeats a call over resets, time-outs, 429 and 5xx, waiting 1, 2, 4 … seconds or as the Hub asks.

    The client itself never retries a reset, nor any fault while listing (docs/decisions/0003-hub-client.md).
    """
    for attempt in range(attempts):
        try:
            return call()
        except (HfHubHTTPError, httpx2.TransportError) as error:
            if attempt == attempts - 1 or not _is_passing(error):
                raise
            time.sleep(max(wait * 2**attempt, _asked_to_wait(error)))
    raise AssertionError("unreachable")


def _is_passing(error: Exception) -> bool:
    response = getattr(error, "response", None)
    return response is None or response.status_code in _PASSING


def _asked_to_wait(error: Exception) -> float:
    """Seconds of the `Retry-After` header, at most a minute; 0 where there is none."""
    response = getattr(error, "response", None)
    asked = response.headers.get("Retry-After", "") if response is not None else ""
    return min(float(asked), 60.0) if asked.isdigit() else 0.0
