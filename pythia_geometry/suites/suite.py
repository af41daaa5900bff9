"""What every suite of checkpoints can do, and what only some can: it is asked of the suite, not of its class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import Any, Protocol

from pythia_geometry.suites.checkpoint import NEVER, Checkpoint, WeightFile
from pythia_geometry.suites.faults import Fault
from pythia_geometry.suites.served import Served


class PartOfFile(Protocol):
    """A weight file of which parts can be read."""

    name: str
    """As messages name it."""
    size: int

    def read(self, start: int, stop: int, wish: Event = NEVER) -> bytes:
        """A small part."""
        ...

    def read_into(self, start: int, into: memoryview, stop: Event = NEVER) -> None:
        """Fills `into` with the bytes from `start` on; unchecked."""
        ...


class Parts(Protocol):
    """Weights that lie far away, and of which parts can be had without the rest."""

    def remote_file(self, checkpoint: Checkpoint, file: WeightFile) -> PartOfFile:
        """A weight file to read parts of; reads nothing."""
        ...

    def cached_folder(self, checkpoint: Checkpoint) -> Path | None:
        """Where this machine holds all of the checkpoint's files; None where one is not there."""
        ...

    def fetch_cached(self, checkpoint: Checkpoint) -> Path | None:
        """The same, checked."""
        ...


class Suite(Protocol):
    """One training run whose checkpoints can be listed and opened."""

    suite: str
    seed: int
    default_probes: tuple[str, ...]
    origin: str
    """The folder or repository: what tells two runs of one name apart."""
    address: str
    """How the user names this run on the command line."""
    schedule: frozenset[int]
    """Steps that ought to exist; empty where nothing is known."""
    faults: tuple[Fault, ...]
    """Published faults of this run."""
    mixture: Mapping[str, Any]
    """What is stated of its training mixture (`tasks`, `all_tokens`, `opens`); empty where nothing is."""
    lists_hashes: bool
    """Whether somebody else says what the weights' sha256 is, before they are read."""

    @property
    def model(self) -> str:
        """Run without its seed."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Facts that a reader of the results must know (training dtype, stages left out, published faults)."""
        ...

    @property
    def parts(self) -> Parts | None:
        """How parts of the weights are read; None where whole files lie at hand."""
        ...

    @property
    def seeds(self) -> tuple[int, ...]:
        """All seeds that the names of the steps tell apart; empty where they tell none."""
        ...

    def keeping(self) -> Suite:
        """The same run, whose fetched weights go into the user's Hub cache and stay there."""
        ...

    def commit_of(self, step: int) -> str | None:
        """The commit that holds a step now; None where there is none, or no commits."""
        ...

    def step_name(self, step: int) -> str:
        """How the suite calls a step, there or not: `step512`, `ckpt_356`, `checkpoint-500`."""
        ...

    def steps(self) -> list[int]:
        """Every step that this run is known to have, ascending."""
        ...

    def find(self, steps: Sequence[int], weight_format: str = "auto") -> list[Checkpoint]:
        """The named steps with commits and hashes, one each; absent ones with status `missing`.

        Args:
            steps: Steps.
            weight_format: `safetensors`, `bin`, or `auto`: safetensors unless they are refused and the `.bin`
                of that step is not.
        """
        ...

    def served(self, steps: Sequence[int]) -> Served:
        """Every weight file of the named steps in every format, and what they are compared with."""
        ...

    def read(self, checkpoint: Checkpoint, name: str, span: tuple[int, int] | None = None) -> bytes:
        """Bytes `start` to `stop` of one file, unchecked; all of it without a span."""
        ...

    def fetch(self, checkpoint: Checkpoint, folder: Path, stop: Event = NEVER) -> Path:
        """The folder that holds the checkpoint's weights, checked where the Hub lists their sha256.

        What has to be fetched goes into `folder`, which the caller removes; what an earlier call left there
        is used.

        Raises:
            Stopped: If `stop` is set meanwhile; what has arrived stays in `folder`.
        """
        ...

    def confirm(self, checkpoint: Checkpoint, folder: Path) -> None:
        """Makes sure that weights which were just read are those that were listed.

        Args:
            checkpoint: The checkpoint.
            folder: What `fetch` gave, for it or for another one with the same weights.

        Raises:
            CheckpointError: With status `changed` where another program has written there since.
        """
        ...

    def config_file(self, checkpoint: Checkpoint | None = None) -> Path:
        """The step's own `config.json`, or the suite's where it has none or none is named.

        Raises:
            CheckpointError: If the step's cannot be had.
        """
        ...

    def tokenizer_file(self) -> Path:
        """The one `tokenizer.json` of the whole suite."""
        ...

    def most_to_download(self, checkpoint: Checkpoint) -> int:
        """The same for a machine whose Hub cache holds nothing of it."""
        ...

    def bytes_to_download(self, checkpoint: Checkpoint) -> int:
        """What opening this checkpoint will take from the network; 0 where it is on this machine."""
        ...
