"""How the Hub describes a repository in JSON."""

import hashlib
from typing import Any

from tests.hub.repository import Commit, Repository, RepositoryFile

DATE = "2023-05-24T00:00:00.000Z"

Json = dict[str, Any]


def model_info(repository: Repository, commit: Commit, blobs: bool) -> Json:
    """The answer of ``/api/models/{name}``; ``blobs`` adds sizes and hashes to the file names."""
    author, _, _ = repository.name.partition("/")
    return {
        "_id": hashlib.sha1(repository.name.encode()).hexdigest()[:24],
        "id": repository.name,
        "modelId": repository.name,
        "author": author,
        "sha": commit.oid,
        "createdAt": DATE,
        "lastModified": DATE,
        "private": False,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["transformers", "pytorch", "safetensors", "gpt_neox", "text-generation"],
        "siblings": [_sibling(path, file, blobs) for path, file in commit.files.items()],
    }


def refs(repository: Repository) -> Json:
    """The answer of ``/api/models/{name}/refs``."""
    branches = [
        {"name": name, "ref": f"refs/heads/{name}", "targetCommit": oid} for name, oid in repository.branches.items()
    ]
    tags = [{"name": name, "ref": f"refs/tags/{name}", "targetCommit": oid} for name, oid in repository.tags.items()]
    return {"branches": branches, "tags": tags, "converts": [], "pullRequests": []}


def tree(commit: Commit, folder: str, recursive: bool, expand: bool) -> list[Json] | None:
    """The entries below ``folder`` (``""`` for the root), or None if there is no such folder."""
    prefix = f"{folder}/" if folder else ""
    inside = [path for path in commit.files if path.startswith(prefix)]
    if folder and not inside:
        return None
    folders = {prefix + "/".join(parts) for path in inside for parts in _parents(path[len(prefix) :])}
    entries = [entry(commit, path, expand) for path in sorted({*folders, *inside})]
    return [one for one in entries if recursive or "/" not in one["path"][len(prefix) :]]


def entry(commit: Commit, path: str, expand: bool) -> Json:
    """One line of a tree: the file or the folder at ``path``."""
    file = commit.files.get(path)
    if file is None:
        described: Json = {"type": "directory", "oid": _folder_oid(commit, path), "size": 0, "path": path}
    else:
        described = {"type": "file", "oid": file.git_oid, "size": file.blob.size, "path": path}
        if file.is_lfs:
            described["lfs"] = {
                "oid": file.blob.sha256,
                "size": file.blob.size,
                "pointerSize": file.pointer.size,
            }
    if expand:
        described["lastCommit"] = {"id": commit.oid, "title": f"Upload {commit.branch}", "date": DATE}
    return described


def exists(commit: Commit, path: str) -> bool:
    """Whether ``path`` is a file or a folder of the commit."""
    return any(known == path or known.startswith(f"{path}/") for known in commit.files)


def _parents(path: str) -> list[list[str]]:
    parts = path.split("/")
    return [parts[:depth] for depth in range(1, len(parts))]


def _folder_oid(commit: Commit, folder: str) -> str:
    lines = [f"{file.git_oid} {path}" for path, file in commit.files.items() if path.startswith(f"{folder}/")]
    return hashlib.sha1("\n".join(lines).encode()).hexdigest()


def _sibling(path: str, file: RepositoryFile, blobs: bool) -> Json:
    if not blobs:
        return {"rfilename": path}
    described: Json = {"rfilename": path, "size": file.blob.size, "blobId": file.git_oid}
    if file.is_lfs:
        described["lfs"] = {
            "sha256": file.blob.sha256,
            "size": file.blob.size,
            "pointerSize": file.pointer.size,
        }
    return described
