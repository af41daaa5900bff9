"""What a Hub's JSON says, as far as it can be true: no word of a server becomes a path or a number unseen."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pythia_geometry.suites.checkpoint import WeightFile
from pythia_geometry.suites.layout.index import is_plain_name
from pythia_geometry.suites.steps.numbering import Revision

COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")
BRANCH, TAG = "branch", "tag"

_LARGEST = 2**53


@dataclass(frozen=True)
class ListedFiles:
    """What lies at the top of one commit.

    Attributes:
        files: By name; the sha256 is empty where the Hub keeps the file in git.
        blobs: By name, the hash that tells a file's content in git, where one is listed.
        folders: Names of folders.
        problems: By name, what is wrong with what is listed of a file.
    """

    files: dict[str, WeightFile] = field(default_factory=dict)
    blobs: dict[str, str] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        """Names of all files, and of folders with `/` behind."""
        return {*self.files, *self.problems, *(f"{name}/" for name in self.folders)}


def read_refs(pages: Iterable[Any]) -> list[Revision]:
    """Branches and tags with their commits; the commit is empty where what is listed is none.

    Raises:
        ValueError: If it is no listing of branches. So any error of reading JSON as if it were one.
    """
    found = []
    for page in pages:
        for kind, refs in ((BRANCH, page["branches"]), (TAG, page.get("tags") or [])):
            if not isinstance(refs, list):
                raise ValueError("no list of branches")
            found += [_revision(ref, kind) for ref in refs if isinstance(ref, dict) and _is_ref(ref.get("name"))]
    return found


def _revision(ref: dict[str, Any], kind: str) -> Revision:
    return Revision(ref["name"], _hash(ref.get("targetCommit"), COMMIT), kind)


def _is_ref(name: object) -> bool:
    return isinstance(name, str) and 0 < len(name) <= 255 and name.isprintable()


def read_tree(pages: Iterable[Any]) -> ListedFiles:
    """The files at the top of a commit. An entry whose name cannot be a file's is no file.

    Raises:
        ValueError: If it is no listing of files. So any error of reading JSON as if it were one.
    """
    listed = ListedFiles()
    for page in pages:
        if not isinstance(page, list):
            raise ValueError("no list of files")
        for entry in page:
            if isinstance(entry, dict) and is_plain_name(entry.get("path")):
                _add(listed, entry["path"], entry)
    return listed


def _add(listed: ListedFiles, name: str, entry: dict[str, Any]) -> None:
    if entry.get("type") == "directory":
        listed.folders.add(name)
        return
    if entry.get("type") != "file":
        return
    size, lfs = entry.get("size"), entry.get("lfs")
    said = lfs.get("oid") if isinstance(lfs, dict) else lfs
    sha256 = _hash(said, SHA256)
    if type(size) is not int or not 0 <= size < _LARGEST:
        listed.problems[name] = f"the Hub lists {name} with the size {_shown(size)}"
    elif lfs is not None and not sha256:
        listed.problems[name] = f"the Hub lists {name} with the sha256 {_shown(said)}, which is none"
    else:
        listed.files[name] = WeightFile(name, size, sha256)
        listed.blobs[name] = _hash(entry.get("oid"), COMMIT)


def _hash(value: object, form: re.Pattern[str]) -> str:
    """The value where it is such a hash, else nothing."""
    return value if isinstance(value, str) and form.fullmatch(value) else ""


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else text[:60] + "…"
