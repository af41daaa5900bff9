"""What the Hub says it holds: branches, commits, and the sha256 of every weight file, before any download.

Two listings with the same two methods: one asks the Hub, one reads the user's Hub cache when there is no
network. Assumption A6: the cache is trusted to hold what its refs say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from http.client import PARTIAL_CONTENT
from typing import Any, Protocol, TypeVar

import httpx2
from huggingface_hub import constants, get_session, hf_hub_url, is_offline_mode, scan_cache_dir
from huggingface_hub.errors import (
    CacheNotFound,
    GatedRepoError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # exported lazily

from pythia_geometry.errors import CheckpointError, MachineError, PythiaGeometryError
from pythia_geometry.suites.checkpoint import FAILED, WeightFile
from pythia_geometry.suites.hub.patience import patiently, raise_for_status

T = TypeVar("T")
_SHA256 = re.compile(r"[0-9a-f]{64}")
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
        self.endpoint = endpoint
        self.address = f"{endpoint or constants.ENDPOINT}/api/models/{repository}"

    def branches(self) -> dict[str, str]:
        """Commit of every branch.

        Raises:
            PythiaGeometryError: If the repository does not exist or is gated.
        """
        try:
            return patiently(lambda: _read(f"{self.address}/refs", _commits))
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

    def files(self, commit: str) -> list[WeightFile]:
        """Top-level files of a commit."""
        return patiently(lambda: _read(f"{self.address}/tree/{commit}", _weight_files))

    def read(self, commit: str, name: str, span: tuple[int, int] | None) -> bytes:
        """Asks for one range, as patiently as for a listing.

        Raises:
            CheckpointError: If the server sends something else than the range: it is not read, since it may
                be the whole file.
            HfHubHTTPError: If the Hub refuses; so all that `patiently` raises.
        """
        url = hf_hub_url(self.repository, name, revision=commit, endpoint=self.endpoint)
        return patiently(lambda: _bytes(url, span))


class CachedListing:
    """Reads the user's Hub cache; nothing else is known without a network."""

    def __init__(self, repository: str) -> None:
        self.repository = repository
        self.caveat = f" in the Hub cache ({'--offline' if is_offline_mode() else 'the Hub cannot be reached'})"
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
            cache = f"no branch of {self.repository} is in the Hub cache ({constants.HF_HUB_CACHE})"
            raise MachineError(
                f"--offline (or HF_HUB_OFFLINE) reads only what is on this machine, and {cache}. "
                "Type the same command without it, or walk the suite that ships: pythia-geom"
                if is_offline_mode()
                else f"The Hub cannot be reached and {cache}. "
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
        raise LocalEntryNotFoundError(f"{name} is not in the Hub cache")


def _read(url: str, understand: Callable[[Iterator[Any]], T]) -> T:
    """Asks for JSON, page by page, and makes something of it.

    Raises:
        HfHubHTTPError: If the Hub refuses.
        httpx2.TransportError: If there is no answer, or one that cannot be read.
    """
    try:
        return understand(_pages(url))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise httpx2.RemoteProtocolError(f"{url} was answered with something else than a listing") from error


def _pages(url: str | None) -> Iterator[Any]:
    while url is not None:
        answer = get_session().get(url, headers=build_hf_headers(), timeout=constants.HF_HUB_ETAG_TIMEOUT)
        raise_for_status(answer)
        yield answer.json()
        url = answer.links.get("next", {}).get("url")


def _bytes(url: str, span: tuple[int, int] | None) -> bytes:
    headers = build_hf_headers(headers={"Accept-Encoding": "identity"})
    if span is not None:
        headers["Range"] = f"bytes={span[0]}-{span[1] - 1}"
    with get_session().stream("GET", url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT) as answer:
        raise_for_status(answer)
        if span is not None and answer.status_code != PARTIAL_CONTENT:
            raise CheckpointError(f"the server does not send ranges (status {answer.status_code})", FAILED)
        return bytes(answer.read())


def _commits(pages: Iterator[Any]) -> dict[str, str]:
    return {branch["name"]: branch["targetCommit"] for page in pages for branch in page["branches"]}


def _weight_files(pages: Iterator[Any]) -> list[WeightFile]:
    return [
        WeightFile(item["path"], int(item["size"]), item["lfs"]["oid"] if item.get("lfs") else "")
        for page in pages
        for item in page
        if item["type"] == "file"
    ]
