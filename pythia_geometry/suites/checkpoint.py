"""One checkpoint of a training run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from threading import Event

OK, MISSING, DUPLICATE, CORRUPT, FAILED = "ok", "missing", "duplicate", "corrupt", "failed"
WRONG, SUSPECT, CHANGED = "wrong", "suspect", "changed"
UNSUPPORTED = "unsupported"
"""What the `checkpoints` table can say of a step."""

REFUSED = (DUPLICATE, WRONG, SUSPECT)
"""The weights are there, and the listing says that they are not this step's: `--duplicates keep` walks them."""

CONFIG_NAME = "config.json"
TOKENIZER_NAME = "tokenizer.json"


@dataclass(frozen=True)
class WeightFile:
    """One file of weights: its name inside the revision, its size in bytes and its sha256."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Checkpoint:
    """One point of one training run.

    Attributes:
        suite: Family of runs, such as `pythia` or the name of a local folder.
        model: Run without its seed, such as `pythia-160m`.
        seed: Training seed; 0 is the original run.
        step: True optimiser step.
        tokens: Training tokens seen, the axis that suites share; None where unknown.
        source: Hub repository, or the folder's name.
        revision: Branch or subfolder that holds this step.
        commit: Resolved commit; None for a local folder.
        files: Weight files of the one chosen format.
        extra_files: Other files a loader needs (the shard index).
        status: ok, missing, corrupt, failed, changed (since it was listed), unsupported (whole, and of a kind that is
            not read: quantised weights, an adapter), or one of `REFUSED`: duplicate (another step's weights), wrong
            (shards of two checkpoints), suspect.
        detail: Why, where the status is not ok; or why it is read from another format than usual.
        called: The suite's own name of the step, such as `ckpt_356`; `step<N>` where empty.
    """

    suite: str
    model: str
    seed: int
    step: int
    tokens: int | None
    source: str
    revision: str
    commit: str | None = None
    files: tuple[WeightFile, ...] = ()
    extra_files: tuple[str, ...] = field(default=(), compare=False)
    status: str = OK
    detail: str = ""
    called: str = field(default="", compare=False)

    @property
    def run(self) -> str:
        """The training run's name as the user types it: `pythia-160m-seed3`."""
        return run_name(self.model, self.seed)

    @property
    def label(self) -> str:
        """How messages and file names name this checkpoint: `pythia-160m@step512`, `Amber@ckpt_356`."""
        return f"{self.run}@{self.name}"

    @property
    def name(self) -> str:
        """How the suite calls the step."""
        return self.called or f"step{self.step}"

    @property
    def weight_sha256(self) -> str:
        """Identity of the weights: the file's sha256, or one over all shards in order of name.

        Empty where a file's sha256 is not known before it is read (a Hub that keeps weights in git).
        """
        if not self.files or not all(f.sha256 for f in self.files):
            return ""
        if len(self.files) == 1:
            return self.files[0].sha256
        joined = "\n".join(f"{f.name} {f.sha256}" for f in sorted(self.files, key=lambda f: f.name))
        return hashlib.sha256(joined.encode()).hexdigest()

    @property
    def weights(self) -> str:
        """One name for all checkpoints that are known to hold the same weights."""
        return self.weight_sha256 or self.label

    @property
    def size(self) -> int:
        """Bytes of weights."""
        return sum(f.size for f in self.files)


def run_name(model: str, seed: int) -> str:
    """A model with its seed: the original run (seed 0) carries no suffix."""
    return model if seed == 0 else f"{model}-seed{seed}"


NEVER = Event()
"""The stop of a call that nobody stops."""


class Stopped(Exception):  # noqa: N818 - a wish, no error
    """Whoever waited for a checkpoint no longer does."""
