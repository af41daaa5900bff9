"""A repository on the Hugging Face Hub whose branches are training steps, as a suite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from threading import Event

from huggingface_hub import hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError

from pythia_geometry.errors import CheckpointError, MachineError, PythiaGeometryError
from pythia_geometry.suites.checkpoint import (
    CONFIG_NAME,
    CORRUPT,
    FAILED,
    MISSING,
    NEVER,
    TOKENIZER_NAME,
    Checkpoint,
    WeightFile,
)
from pythia_geometry.suites.faults import Fault
from pythia_geometry.suites.hub.errors import said, told
from pythia_geometry.suites.hub.files import check_sha256, fetch_files, find_cached, refuse_offline
from pythia_geometry.suites.hub.listing import UNREACHABLE, CachedListing, Listing, OnlineListing
from pythia_geometry.suites.hub.remote_file import RemoteFile
from pythia_geometry.suites.hub.small_files import is_cached, small_file
from pythia_geometry.suites.layout import StepLabel, parse_step, read_span
from pythia_geometry.suites.pythia import PythiaRun
from pythia_geometry.suites.served import AUTO, Branch, Served, branch_of, choose

_PATIENCE = 3  # requests in a row that may fail while a run is listed


class HubSuite:
    """Checkpoints on the Hub.

    Branches are listed and their commits resolved once; every later request goes by commit, so a branch
    that moves during a walk cannot mix two versions. One weight format is fetched, into the folder that the
    walk names and empties; what already lies in the user's Hub cache is used and never deleted.
    """

    default_probes: tuple[str, ...] = ("core",)

    def __init__(self, repository: str, run: PythiaRun | None = None, endpoint: str | None = None) -> None:
        """Names a repository; asks nothing yet.

        Args:
            repository: `organisation/name`.
            run: The Pythia run it holds; None for any other repository with step-like branches.
            endpoint: Another Hub than `HF_ENDPOINT` names.
        """
        self.repository = self.origin = repository
        self.pythia_run = run
        self.endpoint = endpoint
        self.suite = "pythia" if run else "hub"
        self.model = run.model if run else repository.split("/")[-1]
        self.seed = run.seed if run else 0
        self.notes: tuple[str, ...] = run.notes if run else ()
        self.address = run.name if run else repository
        self.faults: tuple[Fault, ...] = run.faults if run else ()
        self._found: dict[str, list[Checkpoint]] = {}  # by their weights
        self.schedule = frozenset(run.step_of(label) for label in run.labels) if run else frozenset()

    @cached_property
    def _listing(self) -> Listing:
        return self._listed[0]

    @cached_property
    def _branches(self) -> dict[str, str]:
        return self._listed[1]

    @cached_property
    def _listed(self) -> tuple[Listing, dict[str, str]]:
        online = OnlineListing(self.repository, self.endpoint)
        try:
            return online, online.branches()
        except UNREACHABLE:
            cached = CachedListing(self.repository)
            return cached, cached.branches()
        except HfHubHTTPError as error:
            raise MachineError(f"The Hub did not list {self.repository}: {said(error)} Try again later") from error

    @cached_property
    def _labels(self) -> dict[int, tuple[str, StepLabel]]:
        """Branch and label of every step; of several stages, the first (assumption A5)."""
        read = {name: label for name in self._branches if (label := parse_step(name)) is not None}
        first_stage = min((label.stage for label in read.values()), default=0)
        return {self._true_step(label): (name, label) for name, label in read.items() if label.stage == first_stage}

    def _true_step(self, label: StepLabel) -> int:
        return self.pythia_run.step_of(label.step) if self.pythia_run else label.step

    def steps(self) -> list[int]:
        """Steps that ought to exist (Pythia's schedule) and those that do, ascending.

        Raises:
            PythiaGeometryError: If the repository has no step-like branch at all.
        """
        if not self.schedule and not self._labels:
            raise PythiaGeometryError(
                f"{self.repository} has no branch that names a step, such as step1000 or "
                f"stage1-step1000-tokens5B; it has {', '.join(sorted(self._branches)[:5])}"
            )
        return sorted(self.schedule | set(self._labels))

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
        steplike = {name for name, _ in self._labels.values()}
        others = tuple(sorted(set(self._branches) - steplike - {"main"}))
        return Served(tuple(branches), max(self._labels, default=0), self._main(), others, self._listing.caveat)

    def _witnesses(self, steps: Sequence[int]) -> list[int]:
        """Steps that show whether a published fault of a chosen one is still served: one request or two more."""
        suspects = [fault.steps for fault in self.faults if fault.shared and set(fault.steps) & set(steps)]
        return sorted({step for group in suspects for step in group[-2:]} - set(steps))

    def _main(self) -> Branch | None:
        commit = self._branches.get("main")
        if commit is None:
            return None
        main = self._listed_files(
            Checkpoint(self.suite, self.model, self.seed, 0, None, self.repository, "main", commit)
        )
        if main.blank.status == FAILED:  # without it a branch that serves final weights would pass for a step
            raise MachineError(f"{self.repository}: main {main.blank.detail}. Type the same command again")
        return main

    def _branch(self, step: int) -> Branch:
        if step not in self._labels:
            number = step * self.pythia_run.label_ratio if self.pythia_run else step
            detail = f"{self.repository} has no branch step{number}{self._listing.caveat}"
            blank = Checkpoint(self.suite, self.model, self.seed, step, None, self.repository, f"step{number}")
            return Branch(replace(blank, status=MISSING, detail=detail))
        branch, label = self._labels[step]
        tokens = self.pythia_run.tokens_at(label.step) if self.pythia_run else label.tokens
        commit = self._branches[branch]
        return self._listed_files(
            Checkpoint(self.suite, self.model, self.seed, step, tokens, self.repository, branch, commit)
        )

    def _listed_files(self, blank: Checkpoint) -> Branch:
        try:
            listed = {f.name: f for f in self._listing.files(blank.commit or "")}
        except (HfHubHTTPError, *UNREACHABLE) as error:
            return Branch(replace(blank, status=FAILED, detail=f"could not be listed: {said(error)}"))
        where = f"{self.repository} at {blank.revision}"
        return branch_of(blank, listed, where, lambda layout: tuple(listed[name] for name in layout.files))

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
            return self._listing.read(checkpoint.commit or "", name, span)

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
                raise CheckpointError(f"{error}. Delete it from your Hub cache: {cached}", CORRUPT) from error
        return cached

    def remote_file(self, checkpoint: Checkpoint, file: WeightFile) -> RemoteFile:
        """A weight file of which parts are to be read; reads nothing.

        Raises:
            CheckpointError: If the network must not be asked.
        """
        refuse_offline(checkpoint)
        url = hf_hub_url(self.repository, file.name, revision=checkpoint.commit, endpoint=self.endpoint)
        return RemoteFile(url, file.size, f"{checkpoint.label}: {file.name}")

    def cached_folder(self, checkpoint: Checkpoint) -> Path | None:
        """The folder of the user's Hub cache that holds all of the checkpoint's files; None where one is not there.

        The files of another step will do that the Hub lists with the same names and sha256, as those of steps 0 and 1.
        """
        names = [f.name for f in checkpoint.files]
        twins = [c for c in self._found.get(checkpoint.weights, ()) if [f.name for f in c.files] == names]
        folders = (find_cached(self.repository, one) for one in (checkpoint, *twins))
        return next((folder for folder in folders if folder is not None), None)

    @cached_property
    def _newest(self) -> str:
        """Commit that config and tokenizer come from: `main`, else the last step."""
        return self._branches.get("main") or self._branches[self._labels[max(self._labels)][0]]

    def _small_file(self, name: str) -> Path:
        """From the newest commit; where only the cache can be read, from any that has it."""
        commit = self._newest
        if isinstance(self._listing, CachedListing):
            commits = (commit, *self._branches.values())
            commit = next((c for c in commits if is_cached(self.repository, name, c)), commit)
        try:
            with told(f"{self.repository}: {name}"):
                return small_file(self.repository, name, commit, self.endpoint)
        except CheckpointError as error:
            raise MachineError(str(error)) from error

    def confirm(self, checkpoint: Checkpoint, folder: Path) -> None:
        """Nothing: `fetch` has checked them."""

    def config_file(self) -> Path:
        """The one `config.json` of the suite."""
        return self._small_file(CONFIG_NAME)

    def tokenizer_file(self) -> Path:
        """The one `tokenizer.json` of the suite."""
        return self._small_file(TOKENIZER_NAME)

    def bytes_to_download(self, checkpoint: Checkpoint) -> int:
        """The weight files' sizes, unless the Hub cache holds them."""
        return 0 if self.cached_folder(checkpoint) else checkpoint.size

    def most_to_download(self, checkpoint: Checkpoint) -> int:
        """The weight files' sizes."""
        return checkpoint.size
