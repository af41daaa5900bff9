"""Which request gets which answer: the part of the Hub's protocol that its Python clients use."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from tests.hub import listing
from tests.hub.repository import Blob, Commit, Repository, RepositoryFile

_NAME = r"(?P<name>(?:datasets/)?[^/]+/[^/]+?)"
"""A repository; a dataset's name begins with `datasets/`, as its files' addresses do."""

_API = re.compile(
    rf"/api/(?:models/)?{_NAME}"
    r"(/(?P<verb>refs|revision|tree|paths-info)(/(?P<revision>[^/]+)(/(?P<path>.+))?)?)?/?"
)
_RESOLVE = re.compile(rf"/{_NAME}/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
_CDN = re.compile(rf"/cdn/(?P<sha256>[0-9a-f]{{64}})/{_NAME}/(?P<revision>[^/]+)/(?P<path>.+)")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True)
class Request:
    """A request as it came in. ``target`` is the path with its query, still quoted; headers in Title-Case."""

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def path(self) -> str:
        """The path without the query, still quoted."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        """The query, one value a name."""
        return {name: values[-1] for name, values in parse_qs(urlsplit(self.target).query).items()}


@dataclass(frozen=True)
class Answer:
    """What to send: a status, headers, and the bytes from ``start`` to ``stop`` of ``blob``.

    ``repository`` and ``label`` (``branch`` or ``branch/file``) say what was asked for in words that a test
    knows, where the request itself may hold only a commit id or a hash.
    """

    status: int
    headers: dict[str, str]
    blob: Blob
    start: int = 0
    stop: int | None = None
    repository: str = ""
    label: str = ""

    @property
    def length(self) -> int:
        """Number of bytes of the body."""
        return (self.blob.size if self.stop is None else self.stop) - self.start

    def chunks(self) -> Iterator[bytes]:
        """The body, a chunk at a time."""
        return self.blob.chunks(self.start, self.stop)


class HubError(Exception):
    """A request that the Hub turns down, with the code that the client tells errors apart by."""

    def __init__(self, status: int, code: str, message: str, commit: str = "", label: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.label = label
        self.headers = {"X-Error-Code": code, "X-Error-Message": message}
        if commit:
            self.headers["X-Repo-Commit"] = commit


class HubApi:
    """Answers requests from the repositories it is given; knows nothing of sockets.

    Args:
        repositories: Name to repository.
        page_size: Entries on a page of a tree listing.
        endpoint: Address of the Hub, for the links between pages.
        cdn_endpoint: Address that large files are redirected to. It must be another origin: the client
            follows a redirect within one origin and then misses the Hub's headers.
    """

    def __init__(
        self, repositories: Mapping[str, Repository], page_size: int, endpoint: str, cdn_endpoint: str
    ) -> None:
        self.repositories = repositories
        self.page_size = page_size
        self.endpoint = endpoint
        self.cdn_endpoint = cdn_endpoint

    def answer(self, request: Request) -> Answer:
        """The answer to a request, errors included."""
        try:
            if match := _CDN.fullmatch(request.path):
                return self._stored_file(request, match)
            if match := _API.fullmatch(request.path):
                return self._described(request, match)
            if match := _RESOLVE.fullmatch(request.path):
                return self._resolved_file(request, match)
            return json_answer({"error": "Sorry, we can't find the page you are looking for."}, 404)
        except HubError as error:
            return json_answer({"error": str(error)}, error.status, error.headers, label=error.label)

    def _described(self, request: Request, match: re.Match[str]) -> Answer:
        repository = self._repository(match["name"])
        if match["verb"] == "refs":
            return json_answer(listing.refs(repository), repository=repository.name)
        commit, label = _commit(repository, match["revision"] or "main")
        if match["verb"] == "tree":
            return self._tree_page(request, repository, commit, label, unquote(match["path"] or ""))
        described: Any
        if match["verb"] == "paths-info":
            described = _paths_info(commit, request.body)
        else:
            described = listing.model_info(repository, commit, _is_true(request.query.get("blobs")))
        return json_answer(described, repository=repository.name, label=label)

    def _tree_page(self, request: Request, repository: Repository, commit: Commit, label: str, folder: str) -> Answer:
        query = request.query
        recursive, expand = _is_true(query.get("recursive")), _is_true(query.get("expand"))
        entries = listing.tree(commit, folder.strip("/"), recursive, expand)
        if entries is None:
            raise HubError(404, "EntryNotFound", f"{folder} does not exist on {label}")
        first = int(query.get("cursor", "0"))
        last = first + self.page_size
        headers = {}
        if last < len(entries):
            following = urlencode({**query, "cursor": last})
            headers["Link"] = f'<{self.endpoint}{request.path}?{following}>; rel="next"'
        return json_answer(entries[first:last], 200, headers, repository.name, label)

    def _resolved_file(self, request: Request, match: re.Match[str]) -> Answer:
        repository = self._repository(match["name"])
        commit, branch = _commit(repository, match["revision"])
        path = unquote(match["path"])
        label = f"{branch}/{path}"
        file = commit.files.get(path)
        if file is None:
            raise HubError(404, "EntryNotFound", "Entry not found", commit.oid, label)
        headers = {"X-Repo-Commit": commit.oid, "ETag": f'"{file.etag}"'}
        if not file.is_lfs:
            return _ranged(request, file, headers, repository.name, label)
        place = f"{repository.name}/{quote(branch, safe='')}/{quote(path)}"
        headers["Location"] = f"{self.cdn_endpoint}/cdn/{file.blob.sha256}/{place}"
        headers["X-Linked-ETag"] = f'"{file.blob.sha256}"'
        headers["X-Linked-Size"] = str(file.blob.size)
        return Answer(302, headers, Blob(b"Found"), repository=repository.name, label=label)

    def _stored_file(self, request: Request, match: re.Match[str]) -> Answer:
        repository = self._repository(match["name"])
        label = unquote(f"{match['revision']}/{match['path']}")
        for commit in list(repository.commits.values()):
            file = commit.files.get(unquote(match["path"]))
            if file is not None and file.is_lfs and file.blob.sha256 == match["sha256"]:
                return _ranged(request, file, {"ETag": f'"{file.etag}"'}, repository.name, label)
        raise HubError(404, "EntryNotFound", f"No stored file {match['sha256']}")

    def _repository(self, name: str) -> Repository:
        if name not in self.repositories:
            raise HubError(401, "RepoNotFound", "Repository not found")
        return self.repositories[name]


def json_answer(
    content: Any,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    repository: str = "",
    label: str = "",
) -> Answer:
    """An answer whose body is JSON."""
    blob = Blob(json.dumps(content).encode())
    typed = {"Content-Type": "application/json; charset=utf-8", **(headers or {})}
    return Answer(status, typed, blob, repository=repository, label=label)


def _commit(repository: Repository, quoted: str) -> tuple[Commit, str]:
    """The commit of a revision, and the branch to call it by."""
    revision = unquote(quoted)
    commit = repository.resolve(revision)
    if commit is None:
        raise HubError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
    return commit, revision if revision in repository.branches else commit.branch


def _paths_info(commit: Commit, body: bytes) -> list[listing.Json]:
    """The entries asked for by a form; a path that does not exist is left out, as on the Hub."""
    form = parse_qs(body.decode())
    expand = _is_true(form.get("expand", [""])[-1])
    paths = [path.strip("/") for path in form.get("paths", [])]
    return [listing.entry(commit, path, expand) for path in paths if listing.exists(commit, path)]


def _ranged(request: Request, file: RepositoryFile, headers: dict[str, str], repository: str, label: str) -> Answer:
    """The whole file, or the part that a Range header asks for."""
    size = file.blob.size
    headers = {**headers, "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
    asked = _RANGE.fullmatch(request.headers.get("Range", ""))
    if asked is None or not (asked[1] or asked[2]):
        return Answer(200, headers, file.blob, repository=repository, label=label)
    if asked[1]:
        start, stop = int(asked[1]), min(int(asked[2] or size - 1) + 1, size)
    else:
        start, stop = max(size - int(asked[2]), 0), size
    if start >= stop:
        unsatisfied = {"Content-Range": f"bytes */{size}"}
        return Answer(416, unsatisfied, Blob(b""), repository=repository, label=label)
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    return Answer(206, headers, file.blob, start, stop, repository, label)


def _is_true(value: str | None) -> bool:
    return (value or "").lower() in ("true", "1")
