"""What the Hub says it holds: branches and tags, commits, and the sha256 of every weight file, before any download.

Two listings with the same methods: one asks the Hub, one reads the user's Hub cache when there is no
network. Assumption A6: the cache is trusted to hold what its refs say.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from http.client import PARTIAL_CONTENT
from typing import Any, Protocol, TypeVar

from huggingface_hub import constants, hf_hub_url, is_offline_mode, scan_cache_dir
from huggingface_hub.errors import (
    CacheNotFound,
    GatedRepoError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from pythia_geometry.errors import CheckpointError, MachineError, PythiaGeometryError
from pythia_geometry.suites.checkpoint import FAILED, WeightFile
from pythia_geometry.suites.hub.answers import BRANCH, SHA256, ListedFiles, read_refs, read_tree
from pythia_geometry.suites.hub.asking import (
    SECONDS,
    Ask,
    GarbledError,
    TooSlowError,
    get_json,
    raise_for_status,
    streamed,
)
from pythia_geometry.suites.hub.errors import gated
from pythia_geometry.suites.hub.patience import patiently
from pythia_geometry.suites.layout.index import MOST
from pythia_geometry.suites.steps.numbering import Revision

T = TypeVar("T")

PAGES = 1_000
"""Most pages of one listing."""


class Listing(Protocol):
    """Branches and tags of one repository, and the files of one commit."""

    caveat: str
    """Added to a message that a branch does not exist."""

    def revisions(self) -> list[Revision]:
        """Every branch and tag with its commit."""
        ...

    def files(self, commit: str) -> ListedFiles:
        """Top-level files of a commit."""
        ...

    def read(self, commit: str, name: str, span: tuple[int, int] | None) -> bytes:
        """Bytes `start` to `stop` of a file of a commit; all of it, if it is small, without a span."""
        ...


class OnlineListing:
    """Asks the Hub: one call for the branches, one for each commit's files."""

    caveat = ""

    def __init__(self, repository: str, endpoint: str | None = None) -> None:
        self.repository = repository
        self.endpoint = endpoint
        self.hub = endpoint or constants.ENDPOINT
        self.address = f"{self.hub}/api/models/{repository}"

    def revisions(self) -> list[Revision]:
        """Every branch and tag with its commit.

        Raises:
            PythiaGeometryError: If the repository does not exist or is gated.
        """
        try:
            return patiently(lambda: _read(f"{self.address}/refs", self.hub, read_refs))
        except GatedRepoError as error:
            raise PythiaGeometryError(gated(self.repository)) from error
        except RepositoryNotFoundError as error:
            raise PythiaGeometryError(
                f"The Hub has no repository {self.repository!r} (or it is private). "
                "Pythia models are spelt pythia-160m; other repositories organisation/name; "
                "a local suite is a path such as ./my-suite"
            ) from error

    def files(self, commit: str) -> ListedFiles:
        """Top-level files of a commit."""
        return patiently(lambda: _read(f"{self.address}/tree/{commit}", self.hub, read_tree))

    def read(self, commit: str, name: str, span: tuple[int, int] | None) -> bytes:
        """Asks for one range, as patiently as for a listing.

        Raises:
            CheckpointError: If the server sends something else than the range: it is not read, since it may
                be the whole file.
            HfHubHTTPError: If the Hub refuses; so all that `patiently` raises.
        """
        url = hf_hub_url(self.repository, name, revision=commit, endpoint=self.endpoint)
        return patiently(lambda: _bytes(url, self.hub, span))


class CachedListing:
    """Reads the user's Hub cache; nothing else is known without a network."""

    def __init__(self, repository: str, why: str = "the Hub cannot be reached") -> None:
        """Scans the cache.

        Args:
            repository: `organisation/name`.
            why: Nobody else is asked.
        """
        self.repository, self.why = repository, why
        self.caveat = f" in the Hub cache ({'--offline' if is_offline_mode() else why})"
        try:
            found = [repo for repo in scan_cache_dir().repos if (repo.repo_id, repo.repo_type) == (repository, "model")]
        except (CacheNotFound, OSError):
            found = []
        self._revisions = {r.commit_hash: r for repo in found for r in repo.revisions}

    def revisions(self) -> list[Revision]:
        """Branches and tags whose commit is in the cache.

        Raises:
            MachineError: If nothing of the repository is cached.
        """
        refs = [Revision(ref, commit, BRANCH) for commit, r in self._revisions.items() for ref in sorted(r.refs)]
        if not refs:
            cache = f"no branch of {self.repository} is in the Hub cache ({constants.HF_HUB_CACHE})"
            raise MachineError(
                f"--offline (or HF_HUB_OFFLINE) reads only what is on this machine, and {cache}. "
                "Type the same command without it, or walk the suite that ships: pythia-geom"
                if is_offline_mode()
                else f"{self.why[0].upper()}{self.why[1:]} and {cache}. "
                "Connect and type the same command again, or walk what is on this machine: pythia-geom"
            )
        return refs

    def files(self, commit: str) -> ListedFiles:
        """Files of a cached commit; blobs of large files are named by their sha256."""
        revision = self._revisions.get(commit)
        listed = ListedFiles()
        if revision is None:
            return listed
        for item in revision.files:
            if item.file_path.parent == revision.snapshot_path:
                blob = item.blob_path.name
                is_large = SHA256.fullmatch(blob) is not None
                listed.files[item.file_name] = WeightFile(item.file_name, item.size_on_disk, blob if is_large else "")
                listed.blobs[item.file_name] = blob
        return listed

    def read(self, commit: str, name: str, span: tuple[int, int] | None) -> bytes:
        """Only what is in the cache can be read, and it is read there."""
        raise LocalEntryNotFoundError(f"{name} is not in the Hub cache")


def _read(url: str, hub: str, understand: Callable[[Iterator[Any]], T]) -> T:
    """Asks for JSON, page by page, and makes something of it.

    Raises:
        HfHubHTTPError: If the Hub refuses.
        httpx2.TransportError: If there is no answer, or one that cannot be read.
    """
    try:
        return understand(_pages(url, hub))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise GarbledError(f"{url} was answered with something else than a listing") from error


def _pages(url: str, hub: str) -> Iterator[Any]:
    """Every page, each address once, all of them in twice the time of one."""
    seen: set[str] = set()
    began, following = time.monotonic(), url or None
    while following is not None:
        if following in seen or len(seen) == PAGES or not following.startswith(("http://", "https://")):
            raise GarbledError(f"{url} was answered with a page that leads to {following[:100]!r}")
        if seen and time.monotonic() - began > 2 * SECONDS:
            raise TooSlowError(f"{url} was answered with {len(seen)} pages in {2 * SECONDS:.0f} s, and more to come")
        seen.add(following)
        page, following = get_json(following, hub)
        yield page


def _bytes(url: str, hub: str, span: tuple[int, int] | None) -> bytes:
    headers = {} if span is None else {"Range": f"bytes={span[0]}-{span[1] - 1}"}
    most = MOST if span is None else span[1] - span[0]
    with streamed(url, headers, Ask(hub, most, 4 * SECONDS)) as answer:
        raise_for_status(answer)
        if span is not None and answer.status_code != PARTIAL_CONTENT:
            raise CheckpointError(f"the server does not send ranges (status {answer.status_code})", FAILED)
        return bytes(answer.read())
