"""A repository on the Hugging Face Hub whose branches or tags are training steps, as a suite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from threading import Event
from typing import Any

import httpx2
from huggingface_hub import constants, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

from pythia_geometry.errors import CheckpointError, MachineError, PythiaGeometryError
from pythia_geometry.suites.checkpoint import (
    CORRUPT,
    FAILED,
    MISSING,
    NEVER,
    TOKENIZER_NAME,
    Checkpoint,
    WeightFile,
)
from pythia_geometry.suites.faults import Fault
from pythia_geometry.suites.hub.answers import BRANCH, ListedFiles
from pythia_geometry.suites.hub.asking import NO_ANSWER, GarbledError
from pythia_geometry.suites.hub.errors import gated, said, told
from pythia_geometry.suites.hub.files import (
    check_index,
    check_sha256,
    fetch_files,
    fetch_into_cache,
    find_cached,
    refuse_offline,
)
from pythia_geometry.suites.hub.listing import CachedListing, Listing, OnlineListing
from pythia_geometry.suites.hub.remote_file import RemoteFile
from pythia_geometry.suites.hub.texts import Texts
from pythia_geometry.suites.layout.weights import WeightLayout, read_span
from pythia_geometry.suites.pythia import PythiaRun
from pythia_geometry.suites.served import AUTO, Branch, Served, branch_of, choose
from pythia_geometry.suites.steps.names import STEP, StepLabel, written
from pythia_geometry.suites.steps.numbering import Naming, Numbered, Revision, number_steps

_PATIENCE = 3  # requests in a row that may fail while a run is listed


class HubSuite:
    """Checkpoints on the Hub.

    Branches and tags are listed and their commits resolved once; every later request goes by commit, so a branch
    that moves during a walk cannot mix two versions. One weight format is fetched, into the folder that the
    walk names and empties; what already lies in the user's Hub cache is used and never deleted.
    """

    default_probes: tuple[str, ...] = ("core",)
    lists_hashes = True

    def __init__(
        self,
        repository: str,
        run: PythiaRun | None = None,
        endpoint: str | None = None,
        naming: Naming | None = None,
        seed: int | None = None,
    ) -> None:
        """Names a repository; asks nothing yet.

        Args:
            repository: `organisation/name`.
            run: The Pythia run it holds; None for any other repository with step-like branches or tags.
            endpoint: Another Hub than `HF_ENDPOINT` names.
            naming: How the names of its steps are read.
            seed: The run, where the names of its steps tell seeds apart.
        """
        self.repository = self.origin = repository
        self.pythia_run = run
        self.endpoint = endpoint
        self.naming = naming or Naming()
        self.suite = "pythia" if run else "hub"
        self.seed = run.seed if run else seed or 0
        self.address = (run.name if run else repository) + self.naming.words
        self.faults: tuple[Fault, ...] = run.faults if run else ()
        self.mixture: Mapping[str, Any] = {}  # a repository states none
        self._keeps_weights = False
        self._found: dict[str, list[Checkpoint]] = {}  # by their weights
        self.known: dict[str, ListedFiles] = {}
        """What was listed so far, by commit."""
        self._texts = Texts(self)
        self.schedule = frozenset(run.step_of(label) for label in run.labels) if run else frozenset()

    @property
    def model(self) -> str:
        """The run without its seed; another stage than the first is another run."""
        name = self.pythia_run.model if self.pythia_run else self.repository.split("/")[-1]
        stage = self._numbered.stage if self.naming.stage else ""
        return f"{name}-{stage}" if stage else name

    @property
    def notes(self) -> tuple[str, ...]:
        """Facts that a reader of the results must know; what was left out, once the repository has been listed."""
        left_out = self._numbered.notes if "_numbered" in self.__dict__ else ()
        return (*left_out, *(self.pythia_run.notes if self.pythia_run else ()))

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds that the names of the steps tell apart."""
        return self._numbered.seeds

    def commit_of(self, step: int) -> str | None:
        """The commit that the listing names for a step; None where the step is not there."""
        return self._numbered.steps[step][0].content if step in self._numbered.steps else None

    def keeping(self) -> HubSuite:
        """The same run, whose fetched weights go into the user's Hub cache and stay there."""
        kept = copy(self)
        kept._keeps_weights = True
        return kept

    @property
    def parts(self) -> HubSuite:
        """Its files can be read in part."""
        return self

    @cached_property
    def listing(self) -> Listing:
        """Who says what the repository holds."""
        return self._listed[0]

    @cached_property
    def _listed(self) -> tuple[Listing, list[Revision]]:
        online = OnlineListing(self.repository, self.endpoint)
        try:
            return online, online.revisions()
        except (GarbledError, httpx2.TooManyRedirects) as error:
            cached = CachedListing(self.repository, f"the Hub's answer cannot be understood ({said(error)})")
        except HfHubHTTPError as error:
            raise MachineError(f"The Hub did not list {self.repository}: {said(error)} Try again later") from error
        except NO_ANSWER:
            cached = CachedListing(self.repository)
        return cached, cached.revisions()

    @cached_property
    def _numbered(self) -> Numbered:
        """The run's steps among the repository's branches and tags."""
        seed = 0 if self.pythia_run else self.seed
        return number_steps(self._listed[1], self.naming, self.repository, seed, self._true_step)

    def _true_step(self, label: StepLabel) -> int:
        return self.pythia_run.step_of(label.step) if self.pythia_run else label.step

    @property
    def main(self) -> Revision | None:
        """The branch `main`."""
        return next((r for r in self._listed[1] if (r.name, r.kind) == ("main", BRANCH)), None)

    @property
    def newest_first(self) -> list[str]:
        """Commits of the run's steps, the last step's first."""
        return [revision.content for revision, _ in reversed(list(self._numbered.steps.values()))]

    def step_name(self, step: int) -> str:
        """What its branch or tag is called, without stage and seed."""
        return written(STEP, step) if self.pythia_run else self._numbered.name(step)

    def steps(self) -> list[int]:
        """Steps that ought to exist (Pythia's schedule) and those that do, ascending.

        Raises:
            PythiaGeometryError: If the repository has no step-like branch or tag at all.
        """
        if not self.schedule and not self._numbered.steps:
            names = ", ".join(sorted(r.name for r in self._listed[1])[:5])
            raise PythiaGeometryError(
                f"{self.repository} has no branch that names a step, such as step1000 or stage1-step1000-tokens5B, and "
                rf"no such tag; it has {names}. Names of another kind: --pattern 'run-(?P<step>\d+)'"
            )
        return sorted(self.schedule | set(self._numbered.steps))

    def find(self, steps: Sequence[int], weight_format: str = AUTO) -> list[Checkpoint]:
        """Lists the files of the named steps: one request each, no download."""
        judged = self.served([*steps, *self._witnesses(steps)]).judged()
        found = [choose(branch, weight_format, self.address) for branch in judged.branches[: len(steps)]]
        for checkpoint in found:
            self._found.setdefault(checkpoint.weights, []).append(checkpoint)
        return found

    def served(self, steps: Sequence[int]) -> Served:
        """Every weight file of the named steps and of `main`: one request each, no download.

        Raises:
            MachineError: If `main` cannot be listed, or three requests in a row fail: each has been repeated for
                seconds, and a whole run would take a quarter of an hour to fail.
        """
        branches: list[Branch] = []
        for step in steps:
            branches.append(self._branch(step))
            recent = branches[-_PATIENCE:]
            if len(recent) == _PATIENCE and all(b.blank.status == FAILED for b in recent):
                raise MachineError(
                    f"The Hub stopped answering while {self.repository} was listed: {recent[-1].blank.detail}. "
                    "Type the same command again later"
                )
        others = tuple(name for name in self._numbered.others if name != "main")
        return Served(tuple(branches), max(self._numbered.steps, default=0), self._main(), others, self.listing.caveat)

    def _witnesses(self, steps: Sequence[int]) -> list[int]:
        """Steps that show whether a published fault of a chosen one is still served: one request or two more."""
        suspects = [fault.steps for fault in self.faults if fault.shared and set(fault.steps) & set(steps)]
        return sorted({step for group in suspects for step in group[-2:]} - set(steps))

    def _main(self) -> Branch | None:
        if self.main is None:
            return None
        commit = self.main.content
        main = self._listed_files(
            Checkpoint(self.suite, self.model, self.seed, 0, None, self.repository, "main", commit, called="main")
        )
        if main.blank.status == FAILED:  # without it a branch that serves final weights would pass for a step
            raise MachineError(f"{self.repository}: main {main.blank.detail}. Type the same command again")
        return main

    def _branch(self, step: int) -> Branch:
        blank = Checkpoint(
            self.suite, self.model, self.seed, step, None, self.repository, "", called=self.step_name(step)
        )
        if step not in self._numbered.steps:
            name = written(STEP, step * self.pythia_run.label_ratio) if self.pythia_run else blank.name
            detail = f"{self.repository} has no branch {name}{self.listing.caveat}"
            return Branch(replace(blank, revision=name, status=MISSING, detail=detail))
        revision, label = self._numbered.steps[step]
        tokens = self.pythia_run.tokens_at(label.step) if self.pythia_run else label.tokens
        found = replace(blank, revision=revision.name, tokens=tokens, commit=revision.content or None)
        if found.commit is None:
            detail = f"the Hub lists something that is no commit as {revision.name}"
            return Branch(replace(found, status=CORRUPT, detail=detail))
        return self._listed_files(found)

    def _listed_files(self, blank: Checkpoint) -> Branch:
        try:
            listed = self.files_of(blank.commit or "")
        except GatedRepoError as error:
            raise PythiaGeometryError(gated(self.repository)) from error
        except NO_ANSWER as error:
            return Branch(replace(blank, status=FAILED, detail=f"could not be listed: {said(error)}"))
        where = f"{self.repository} at {blank.revision}"
        return branch_of(blank, listed.names, where, lambda layout: self._weights(blank, listed, layout, where))

    def files_of(self, commit: str) -> ListedFiles:
        """What lies at the top of a commit, asked for once."""
        if commit not in self.known:
            self.known[commit] = self.listing.files(commit)
        return self.known[commit]

    def _weights(
        self, blank: Checkpoint, listed: ListedFiles, layout: WeightLayout, where: str
    ) -> tuple[WeightFile, ...]:
        names = layout.files
        if layout.is_doubtful and layout.index:
            names = layout.named(self.read(blank, layout.index), where)
        for name in names:
            if name in listed.problems:
                raise CheckpointError(f"{blank.label}: {listed.problems[name]}", CORRUPT)
        return tuple(listed.files[name] for name in names)

    def read(self, checkpoint: Checkpoint, name: str, span: tuple[int, int] | None = None) -> bytes:
        """Part of a file, by an HTTP Range request unless the Hub cache holds it; all of it without a span.

        A part cannot be checked against the sha256 that the Hub lists, which is of the whole file.

        Raises:
            CheckpointError: If it cannot be fetched.
        """
        cached = try_to_load_from_cache(self.repository, name, revision=checkpoint.commit)
        if isinstance(cached, str):
            return read_span(Path(cached), span)
        with told(f"{checkpoint.label}: {name}"):
            return self.listing.read(checkpoint.commit or "", name, span)

    def fetch(self, checkpoint: Checkpoint, folder: Path, stop: Event = NEVER) -> Path:
        """Finds the weights in the Hub cache, or fetches them (or what is missing of them) into `folder`.

        Raises:
            CheckpointError: If the bytes are not those that the Hub listed, or cannot be fetched.
            Stopped: If `stop` was set meanwhile; what has arrived stays in `folder`.
            OSError: If the disk gives out.
        """
        if (cached := self.fetch_cached(checkpoint)) is not None:
            return cached
        refuse_offline(checkpoint)
        if self._keeps_weights:
            return fetch_into_cache(self.repository, checkpoint, self.endpoint)
        fetch_files(self.repository, checkpoint, folder, stop, self.endpoint)
        return folder

    def fetch_cached(self, checkpoint: Checkpoint) -> Path | None:
        """`cached_folder`, its weights checked.

        Raises:
            CheckpointError: If the bytes are not those that the Hub listed.
        """
        cached = self.cached_folder(checkpoint)
        if cached is not None:
            try:
                check_sha256(checkpoint, cached)
            except CheckpointError as error:
                raise CheckpointError(f"{error}. Delete it from your Hub cache: {cached}", error.status) from error
            check_index(checkpoint, cached)
        return cached

    def remote_file(self, checkpoint: Checkpoint, file: WeightFile) -> RemoteFile:
        """A weight file of which parts are to be read; reads nothing.

        Raises:
            CheckpointError: If the network must not be asked.
        """
        refuse_offline(checkpoint)
        url = hf_hub_url(self.repository, file.name, revision=checkpoint.commit, endpoint=self.endpoint)
        return RemoteFile(url, self.endpoint or constants.ENDPOINT, file.size, f"{checkpoint.label}: {file.name}")

    def cached_folder(self, checkpoint: Checkpoint) -> Path | None:
        """The folder of the user's Hub cache that holds all of the checkpoint's files; None where one is not there.

        The files of another step will do that the Hub lists with the same names and sha256, as those of steps 0 and 1.
        """
        names = [f.name for f in checkpoint.files]
        twins = [c for c in self._found.get(checkpoint.weights, ()) if [f.name for f in c.files] == names]
        folders = (find_cached(self.repository, one) for one in (checkpoint, *twins))
        return next((folder for folder in folders if folder is not None), None)

    def confirm(self, checkpoint: Checkpoint, folder: Path) -> None:
        """Nothing: `fetch` has checked them."""

    def config_file(self, checkpoint: Checkpoint | None = None) -> Path:
        """The step's own `config.json`, or else the suite's: that of `main`, or of the newest step that has one.

        It costs nothing where the listing shows that the step's is the same as the suite's.

        Raises:
            CheckpointError: If the step's cannot be had.
            PythiaGeometryError: If there is none.
        """
        return self._texts.config(checkpoint)

    def tokenizer_file(self) -> Path:
        """The `tokenizer.json` of `main`, or of the newest step that has one."""
        return self._texts.path(TOKENIZER_NAME)

    def bytes_to_download(self, checkpoint: Checkpoint) -> int:
        """The weight files' sizes, unless the Hub cache holds them."""
        return 0 if self.cached_folder(checkpoint) else checkpoint.size

    def most_to_download(self, checkpoint: Checkpoint) -> int:
        """The weight files' sizes."""
        return checkpoint.size
