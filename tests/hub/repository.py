"""What a repository holds: branches that point at commits, and commits that list files."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path

CHUNK = 64 * 1024
LFS_PATTERNS = ("*.safetensors", "*.bin")


@dataclass(frozen=True)
class Blob:
    """The content of a file, in memory or on disk. Several commits may share one."""

    content: bytes | Path

    @cached_property
    def size(self) -> int:
        """Number of bytes."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    @cached_property
    def sha256(self) -> str:
        """Hash of the content: the name of a file in Git LFS."""
        digest = hashlib.sha256()
        for chunk in self.chunks():
            digest.update(chunk)
        return digest.hexdigest()

    @cached_property
    def git_oid(self) -> str:
        """Hash of the content as git names it."""
        digest = hashlib.sha1(b"blob %d\0" % self.size)
        for chunk in self.chunks():
            digest.update(chunk)
        return digest.hexdigest()

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Read the bytes from ``start`` up to ``stop`` (default: the end), a chunk at a time."""
        stop = self.size if stop is None else stop
        if isinstance(self.content, bytes):
            for offset in range(start, stop, CHUNK):
                yield self.content[offset : min(offset + CHUNK, stop)]
            return
        with self.content.open("rb") as file:
            file.seek(start)
            for offset in range(start, stop, CHUNK):
                yield file.read(min(CHUNK, stop - offset))


@dataclass(frozen=True)
class RepositoryFile:
    """A file of a commit: its content, and whether Git LFS stores it."""

    blob: Blob
    is_lfs: bool

    @cached_property
    def pointer(self) -> Blob:
        """The small text that git stores in place of an LFS file."""
        text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.blob.sha256}\nsize {self.blob.size}\n"
        return Blob(text.encode())

    @property
    def git_oid(self) -> str:
        """The file's name in git: of the pointer for an LFS file, else of the content."""
        return self.pointer.git_oid if self.is_lfs else self.blob.git_oid

    @property
    def etag(self) -> str:
        """What the Hub sends as the entity tag: sha256 for an LFS file, else the git name."""
        return self.blob.sha256 if self.is_lfs else self.blob.git_oid


@dataclass(frozen=True)
class Commit:
    """A whole tree of files under a 40-hex name."""

    oid: str
    branch: str
    files: Mapping[str, RepositoryFile]


class Repository:
    """A model repository in memory whose branches serve commits.

    ``branches`` (name to commit id) is an ordinary dict: delete a key and the branch is gone from the Hub,
    assign one and a branch moves or is repaired. Its commits stay reachable by id. ``tags`` likewise; ``tag`` makes a
    branch one.

    Args:
        name: Organisation and model, as in ``EleutherAI/pythia-14m``.

    Example:
        >>> repository = Repository("EleutherAI/pythia-14m")
        >>> commit = repository.commit("main", {"config.json": b"{}"})
        >>> repository.branches == {"main": commit.oid}
        True
    """

    def __init__(self, name: str = "EleutherAI/pythia-14m") -> None:
        self.name = name
        self.branches: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.commits: dict[str, Commit] = {}

    def commit(
        self,
        branch: str,
        files: Mapping[str, Path | bytes | Blob],
        lfs: tuple[str, ...] = LFS_PATTERNS,
    ) -> Commit:
        """Make ``files`` the whole content of ``branch``, creating the branch if need be.

        The commit id is a hash of the repository, the branch, its former commit and the files: the same calls
        give the same ids, and two branches with the same files have different ids but share LFS hashes.

        Args:
            branch: Branch name, such as ``step512``.
            files: Path inside the repository to content. Pass one ``Blob`` to several commits to hash
                it once.
            lfs: Patterns of the paths that Git LFS stores.
        """
        tree = {
            path: RepositoryFile(
                blob=content if isinstance(content, Blob) else Blob(content),
                is_lfs=any(fnmatch(path, pattern) for pattern in lfs),
            )
            for path, content in sorted(files.items())
        }
        lines = [self.name, branch, self.branches.get(branch, "")]
        lines += [f"{file.git_oid} {path}" for path, file in tree.items()]
        commit = Commit(hashlib.sha1("\n".join(lines).encode()).hexdigest(), branch, tree)
        self.commits[commit.oid] = commit
        self.branches[branch] = commit.oid
        return commit

    def tag(self, *branches: str) -> None:
        """Make tags of branches, which are no branches from then on."""
        for name in branches:
            self.tags[name] = self.branches.pop(name)

    def resolve(self, revision: str) -> Commit | None:
        """The commit of a branch name or a commit id, or None."""
        return self.commits.get(self.branches.get(revision) or self.tags.get(revision, revision))
