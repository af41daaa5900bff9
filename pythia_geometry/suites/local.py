"""A folder of `step<N>/` checkpoints, each in the Hub's own file layout, as a suite."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

from pythia_geometry.errors import CheckpointError, PythiaGeometryError
from pythia_geometry.suites.checkpoint import (
    CHANGED,
    CONFIG_NAME,
    CORRUPT,
    MISSING,
    NEVER,
    TOKENIZER_NAME,
    Checkpoint,
    WeightFile,
)
from pythia_geometry.suites.faults import Fault
from pythia_geometry.suites.layout import WeightLayout, parse_step, read_span
from pythia_geometry.suites.served import AUTO, Branch, Served, branch_of, choose

FACTS_NAME = "suite.json"


class LocalSuite:
    """Checkpoints on this machine.

    The folder holds `step<N>/` (or any names that `parse_step` reads), each with `config.json` and weights,
    and one `tokenizer.json` beside them or inside every step. An optional `suite.json` states what weights
    cannot: `name`, `seed`, `tokens_per_step`, `training_dtype`, `probes` (the default selection, which may name a
    probe file in the folder).
    """

    def __init__(self, folder: str | Path) -> None:
        """Reads the folder's names; opens no weights.

        Raises:
            PythiaGeometryError: If the folder does not exist or holds no step folders.
        """
        self.folder = Path(folder).expanduser().resolve()
        self.origin = str(self.folder)
        self.address = shlex.quote(str(self.folder))
        self._folders = _step_folders(self.folder)
        self._states: dict[Path, tuple[int, ...]] = {}  # of the weight files, when they were hashed
        facts = _read_facts(self.folder / FACTS_NAME)
        self.suite: str = facts.get("suite", "local")
        self.model: str = facts.get("name", self.folder.name)
        self.seed: int = facts.get("seed", 0)
        self.default_probes: tuple[str, ...] = tuple(map(self._own, facts.get("probes", ("core",))))
        self._tokens_per_step: int | None = facts.get("tokens_per_step")
        dtype = facts.get("training_dtype")
        self.notes: tuple[str, ...] = (f"trained in {dtype}",) if dtype else ()
        self.faults: tuple[Fault, ...] = ()
        self.schedule: frozenset[int] = frozenset()

    def _own(self, probes: str) -> str:
        """A probe file that lies in the suite's folder, by its path; any other name as it is."""
        own = self.folder / Path(probes).name
        return str(own) if probes == own.name and own.is_file() else probes

    def steps(self) -> list[int]:
        """Steps of the folders, ascending."""
        return sorted(self._folders)

    def find(self, steps: Sequence[int], weight_format: str = AUTO) -> list[Checkpoint]:
        """Hashes the weights of the named steps."""
        return [choose(branch, weight_format, self.address) for branch in self.served(steps).judged().branches]

    def served(self, steps: Sequence[int]) -> Served:
        """Hashes the weights of the named steps in every format."""
        return Served(tuple(self._branch(step) for step in steps), self.steps()[-1])

    def _branch(self, step: int) -> Branch:
        folder = self._folders.get(step, self.folder / f"step{step}")
        tokens = None if self._tokens_per_step is None else step * self._tokens_per_step
        blank = Checkpoint(self.suite, self.model, self.seed, step, tokens, self.folder.name, folder.name)
        if step not in self._folders:
            return Branch(replace(blank, status=MISSING, detail=f"{self.folder} has no folder step{step}"))
        try:
            names = {p.name for p in folder.iterdir() if p.is_file()}
        except OSError as error:
            return Branch(replace(blank, status=CORRUPT, detail=f"{folder} could not be read: {error.strerror}"))
        return branch_of(blank, names, str(folder), lambda layout: self._hashed(folder, layout))

    def _hashed(self, folder: Path, layout: WeightLayout) -> tuple[WeightFile, ...]:
        paths = [folder / name for name in layout.resolve(folder)]
        try:
            self._states.update({path: _state(path) for path in paths})  # before: what changes meanwhile is noticed
            return tuple(map(_hashed_file, paths))
        except OSError as error:
            raise CheckpointError(f"{folder} could not be read: {error.strerror}", CORRUPT) from error

    def read(self, checkpoint: Checkpoint, name: str, span: tuple[int, int] | None = None) -> bytes:
        """Part of a file; all of it without a span.

        Raises:
            CheckpointError: If it cannot be read.
        """
        path = self._folders[checkpoint.step] / name
        try:
            return read_span(path, span)
        except OSError as error:
            raise CheckpointError(f"{path} could not be read: {error.strerror}", CORRUPT) from error

    def fetch(self, checkpoint: Checkpoint, folder: Path, stop: Event = NEVER) -> Path:
        """The step's own folder; nothing is copied."""
        return self._folders[checkpoint.step]

    def confirm(self, checkpoint: Checkpoint, folder: Path) -> None:
        """Compares each file's size, times and inode with those it was hashed under; hashes it again where they differ.

        Raises:
            CheckpointError: If the weights are not those that were listed.
        """
        for file in checkpoint.files:
            path = folder / file.name
            try:
                is_same = _state(path) == self._states.get(path) or _hashed_file(path).sha256 == file.sha256
            except OSError:
                is_same = False
            if not is_same:
                raise CheckpointError(
                    f"{path} has changed since this walk began, and what was read of it was thrown away. Type the same "
                    "command again when nothing writes there any more",
                    CHANGED,
                )

    def config_file(self) -> Path:
        """The last step's `config.json`.

        Raises:
            PythiaGeometryError: If there is none.
        """
        path = self._folders[self.steps()[-1]] / CONFIG_NAME
        if not path.is_file():
            raise PythiaGeometryError(f"{path} is missing: it states the model's architecture and shape")
        return path

    def tokenizer_file(self) -> Path:
        """The suite's tokenizer, or else the last step's.

        Raises:
            PythiaGeometryError: If there is none.
        """
        last = self._folders[self.steps()[-1]]
        for folder in (self.folder, last):
            if (folder / TOKENIZER_NAME).is_file():
                return folder / TOKENIZER_NAME
        raise PythiaGeometryError(
            f"{self.folder} has no {TOKENIZER_NAME}. Put one there (or into every step folder): "
            "AutoTokenizer.from_pretrained(…).save_pretrained(folder) writes it"
        )

    def bytes_to_download(self, checkpoint: Checkpoint) -> int:
        """Nothing: the files are here."""
        return 0

    def most_to_download(self, checkpoint: Checkpoint) -> int:
        """Nothing: they lie at the same place on every machine."""
        return 0


def _step_folders(folder: Path) -> dict[int, Path]:
    if not folder.is_dir():
        raise PythiaGeometryError(f"{folder} is not a folder. Expected one that holds step0/, step100/, …")
    labelled = [(parse_step(child.name), child) for child in sorted(folder.iterdir()) if child.is_dir()]
    known = [(label, child) for label, child in labelled if label is not None]
    first_stage = min((label.stage for label, _ in known), default=0)  # assumption A5
    found: dict[int, Path] = {}
    for label, child in known:
        if label.stage != first_stage:
            continue
        if label.step in found:
            raise PythiaGeometryError(
                f"{found[label.step]} and {child.name} both name step {label.step}. Keep one of them"
            )
        found[label.step] = child
    if not found:
        raise PythiaGeometryError(
            f"{folder} holds no step folders. Expected step0/, step100/, …, each with config.json and model.safetensors"
        )
    return found


def _read_facts(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise PythiaGeometryError(f"{path} is not valid JSON: line {error.lineno}: {error.msg}") from error
    except UnicodeDecodeError as error:
        raise PythiaGeometryError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from error
    if not isinstance(facts, dict):
        raise PythiaGeometryError(f'{path} must hold one JSON object, such as {{"name": "my-run"}}')
    for key, (is_right, expected) in _FACTS.items():
        if key in facts and not is_right(facts[key]):
            raise PythiaGeometryError(f"{path}: {key} must be {expected}, got {facts[key]!r}")
    return facts


def _is_name(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\w[\w.\-]*", value) is not None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, str) for v in value)


_NAME = "letters, digits, '.', '_' and '-', beginning with a letter or digit"
_FACTS: dict[str, tuple[Callable[[object], bool], str]] = {
    "name": (_is_name, _NAME),
    "suite": (_is_name, _NAME),
    "seed": (_is_count, "a whole number of 0 or more"),
    "tokens_per_step": (_is_count, "a whole number of 0 or more"),
    "probes": (_is_texts, 'a list of names such as ["core"]'),
    "training_dtype": (_is_name, "a name such as float32"),
}


def _state(path: Path) -> tuple[int, ...]:
    """What differs after a file was replaced or written into."""
    state = path.stat()
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino


def _hashed_file(path: Path) -> WeightFile:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return WeightFile(path.name, path.stat().st_size, digest)
