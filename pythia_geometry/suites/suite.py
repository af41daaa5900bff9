"""What every suite of checkpoints can do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Event
from typing import Protocol

from pythia_geometry.suites.checkpoint import NEVER, Checkpoint
from pythia_geometry.suites.faults import Fault
from pythia_geometry.suites.served import Served


class Suite(Protocol):
    """One training run whose checkpoints can be listed and opened."""

    suite: str
    model: str
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
    notes: tuple[str, ...]
    """Facts that a reader of the results must know (training dtype, published faults)."""

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

    def config_file(self) -> Path:
        """The one `config.json` of the whole suite."""
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
