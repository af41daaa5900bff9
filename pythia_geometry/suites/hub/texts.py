"""Which commit's config.json and tokenizer.json a repository's steps are read with."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from huggingface_hub.errors import GatedRepoError

from pythia_geometry.errors import CheckpointError, MachineError, PythiaGeometryError
from pythia_geometry.suites.checkpoint import CONFIG_NAME, FAILED, TOKENIZER_NAME, Checkpoint
from pythia_geometry.suites.hub.answers import ListedFiles
from pythia_geometry.suites.hub.asking import NO_ANSWER
from pythia_geometry.suites.hub.errors import gated, said, told
from pythia_geometry.suites.hub.listing import CachedListing, Listing
from pythia_geometry.suites.hub.small_files import small_file
from pythia_geometry.suites.steps.numbering import Revision

_TRIES = 3  # steps that are listed for this alone
_OTHER_TOKENIZERS = ("vocab.json", "merges.txt", "vocab.txt", "tokenizer.model", "spiece.model")


class _Repository(Protocol):
    """What is asked of the suite."""

    repository: str
    endpoint: str | None
    known: dict[str, ListedFiles]

    @property
    def listing(self) -> Listing: ...
    @property
    def main(self) -> Revision | None: ...
    @property
    def newest_first(self) -> list[str]: ...
    def files_of(self, commit: str) -> ListedFiles: ...


class Texts:
    """The small files of one repository, each content fetched once."""

    def __init__(self, repository: _Repository) -> None:
        self._of = repository
        self._places: dict[str, str] = {}  # the suite's commit, by name
        self._contents: dict[tuple[str, str], Path] = {}  # by name and hash

    def config(self, checkpoint: Checkpoint | None) -> Path:
        """As `HubSuite.config_file`."""
        own = None if checkpoint is None else self._own_commit(CONFIG_NAME, checkpoint)
        if checkpoint is None or own is None:
            return self.path(CONFIG_NAME)
        try:
            return self._fetched(CONFIG_NAME, own)
        except CheckpointError as error:
            raise CheckpointError(f"{checkpoint.label}: {error}", error.status) from error

    def path(self, name: str) -> Path:
        """The suite's file.

        Raises:
            PythiaGeometryError: If no commit that is looked at has one.
            MachineError: If it cannot be fetched.
        """
        commit = self._commit(name)
        try:
            return self._fetched(name, commit)
        except CheckpointError as error:
            raise MachineError(str(error)) from error

    def _fetched(self, name: str, commit: str) -> Path:
        listed = self._listed(commit)
        blob = listed.blobs.get(name, "")
        if blob and (name, blob) in self._contents:
            return self._contents[name, blob]
        try:
            with told(f"{self._of.repository}: {name}"):
                path = self._small(name, commit, listed)
        except CheckpointError as error:
            if isinstance(error.__cause__, GatedRepoError):
                raise PythiaGeometryError(gated(self._of.repository)) from error
            raise
        if blob:
            self._contents[name, blob] = path
        return path

    def _small(self, name: str, commit: str, listed: ListedFiles) -> Path:
        of = self._of
        return small_file(of.repository, name, commit, of.endpoint, listed.files.get(name), listed.blobs.get(name, ""))

    def _listed(self, commit: str) -> ListedFiles:
        """What is known to lie in a commit; nothing where the Hub does not say."""
        try:
            return self._of.files_of(commit)
        except NO_ANSWER:
            return ListedFiles()

    def _own_commit(self, name: str, checkpoint: Checkpoint) -> str | None:
        """The step's commit where its file is another one than the suite's; None where it is the same, or has none."""
        try:
            listed = self._of.files_of(checkpoint.commit or "")
        except NO_ANSWER as error:
            raise CheckpointError(f"{checkpoint.label}: {name} could not be listed: {said(error)}", FAILED) from error
        if name not in listed.files:
            return None
        try:
            suites_own = self._listed(self._commit(name)).blobs.get(name, "")
        except PythiaGeometryError:  # nobody else has one
            return checkpoint.commit
        return None if listed.blobs[name] == suites_own != "" else checkpoint.commit

    def _commit(self, name: str) -> str:
        """The suite's commit for a file."""
        if name not in self._places:
            self._places[name] = self._place(name)
        return self._places[name]

    def _place(self, name: str) -> str:
        """The commit whose file is the suite's: `main`, else the newest step that has one."""
        of = self._of
        main = [of.main.content] if of.main and of.main.content else []
        commits = list(dict.fromkeys([*main, *(commit for commit in of.newest_first if commit)]))
        is_cached = isinstance(of.listing, CachedListing)
        tries = 0
        for commit in commits:
            tries += commit not in of.known
            if tries > _TRIES and not is_cached:
                break
            try:
                if name in of.files_of(commit).files:
                    return commit
            except NO_ANSWER:
                if commit == commits[0]:
                    return commit
        if is_cached and commits:
            return commits[0]  # who fetches will say that it is not there
        raise PythiaGeometryError(self._absent(name, commits))

    def _absent(self, name: str, commits: list[str]) -> str:
        of = self._of
        absent = f"{of.repository}: {name} is not on the Hub: neither main nor the newest steps have one"
        if name != TOKENIZER_NAME:
            return f"{absent}. Put the steps into a folder (hf download) and add it: --model FOLDER walks them"
        held = {n for commit in commits if commit in of.known for n in of.known[commit].files}
        others = [n for n in _OTHER_TOKENIZERS if n in held]
        instead = f"; it has {' and '.join(others)}" if others else ""
        return (
            f"{absent}{instead}. Put the steps into a folder (hf download … --local-dir FOLDER/step0), make one there "
            f"(AutoTokenizer.from_pretrained({of.repository!r}).save_pretrained(FOLDER)), and type --model FOLDER"
        )
