"""A folder of checkpoints, one folder a step, each in the Hub's own file layout, as a suite."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

from pythia_geometry.errors import CheckpointError, PythiaGeometryError
from pythia_geometry.json_files import read_json
from pythia_geometry.suites.checkpoint import (
    CHANGED,
    CONFIG_NAME,
    CORRUPT,
    MISSING,
    NEVER,
    TOKENIZER_NAME,
    UNSUPPORTED,
    Checkpoint,
    WeightFile,
)
from pythia_geometry.suites.faults import Fault
from pythia_geometry.suites.layout.kinds import is_pointer
from pythia_geometry.suites.layout.weights import WeightLayout, read_span
from pythia_geometry.suites.served import AUTO, Branch, Served, branch_of, choose
from pythia_geometry.suites.steps.numbering import Naming, Numbered, Revision, number_steps
from pythia_geometry.typed_path import typed_path

FACTS_NAME = "suite.json"
TRAINING_NAME = "training.json"


class LocalSuite:
    """Checkpoints on this machine.

    The folder holds `step<N>/`, `checkpoint-<N>/` (or any names that `suites/steps/names.py` reads), each with weights,
    and `config.json` and `tokenizer.json` beside them or inside the steps. An optional `suite.json` states what weights
    cannot: `name`, `seed`, `tokens_per_step`, `training_dtype`, `probes` (the default selection, which may name a
    probe file in the folder), `mixture` (the lab's task-levels that it was trained on).
    """

    parts: None = None  # whole files lie here: nothing is saved by reading parts of them
    lists_hashes = False

    def __init__(self, folder: str | Path, naming: Naming | None = None, seed: int | None = None) -> None:
        """Reads the folder's names; opens no weights.

        Args:
            folder: Where the step folders lie.
            naming: How their names are read.
            seed: The run, where names tell seeds apart.

        Raises:
            PythiaGeometryError: If the folder does not exist or holds no step folders.
        """
        self.folder = typed_path(folder).resolve()
        self.origin = str(self.folder)
        naming = naming or Naming()
        self.address = shlex.quote(str(self.folder)) + naming.words
        self._numbered = _numbered(self.folder, naming, seed or 0)
        self._folders = {step: self.folder / revision.name for step, (revision, _) in self._numbered.steps.items()}
        self._states: dict[Path, tuple[int, ...]] = {}  # of the weight files, when they were hashed
        facts = _read_facts(self.folder / FACTS_NAME)
        self.suite: str = facts.get("suite", "local")
        self.model: str = facts.get("name", self.folder.name)
        if self._numbered.stage:
            self.model += f"-{self._numbered.stage}"
        tells_seeds = any(label.seed for _, label in self._numbered.steps.values())
        if seed is not None and not tells_seeds:
            raise PythiaGeometryError(f"--seeds needs a Pythia size; {self.folder} is a local suite of one seed")
        self.seed: int = (seed or 0) if tells_seeds else facts.get("seed", 0)
        self.default_probes: tuple[str, ...] = tuple(map(self._own, facts.get("probes", ("core",))))
        self._tokens_per_step: int | None = facts.get("tokens_per_step")
        self.mixture = _mixture(self.folder, facts)
        dtype = facts.get("training_dtype")
        self.notes: tuple[str, ...] = ((f"trained in {dtype}",) if dtype else ()) + self._numbered.notes
        self.faults: tuple[Fault, ...] = ()
        self.schedule: frozenset[int] = frozenset()

    def _own(self, probes: str) -> str:
        """A probe file that lies in the suite's folder, by its path; any other name as it is."""
        own = self.folder / Path(probes).name
        return str(own) if probes == own.name and own.is_file() else probes

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds that the names of the folders tell apart."""
        return self._numbered.seeds

    def commit_of(self, step: int) -> None:
        """A folder has no commits."""
        return

    def keeping(self) -> LocalSuite:
        """The same: its weights lie here already."""
        return self

    def steps(self) -> list[int]:
        """Steps of the folders, ascending."""
        return sorted(self._folders)

    def find(self, steps: Sequence[int], weight_format: str = AUTO) -> list[Checkpoint]:
        """Hashes the weights of the named steps."""
        return [choose(branch, weight_format, self.address) for branch in self.served(steps).judged().branches]

    def served(self, steps: Sequence[int]) -> Served:
        """Hashes the weights of the named steps in every format."""
        others = self._numbered.others
        return Served(tuple(self._branch(step) for step in steps), self.steps()[-1], others=others)

    def step_name(self, step: int) -> str:
        """The folder's kind of name."""
        return self._numbered.name(step)

    def _branch(self, step: int) -> Branch:
        name = self.step_name(step)
        revision, label = self._numbered.steps.get(step, (Revision(name, "", ""), None))
        folder = self.folder / revision.name
        tokens = label.tokens if label else None
        tokens = tokens if self._tokens_per_step is None else step * self._tokens_per_step
        blank = Checkpoint(
            self.suite, self.model, self.seed, step, tokens, self.folder.name, revision.name, called=name
        )
        if label is None:
            return Branch(replace(blank, status=MISSING, detail=f"{self.folder} has no folder {name}"))
        if folder.is_symlink() and not folder.exists():
            return Branch(replace(blank, status=MISSING, detail=f"{folder} is a link to nothing"))
        try:
            names = {p.name + "/" * p.is_dir() for p in folder.iterdir() if p.exists()}
        except OSError as error:
            return Branch(replace(blank, status=CORRUPT, detail=f"{folder} could not be read: {error.strerror}"))
        return branch_of(blank, names, str(folder), lambda layout: self._hashed(folder, layout))

    def _hashed(self, folder: Path, layout: WeightLayout) -> tuple[WeightFile, ...]:
        try:
            names = layout.files
            if layout.index is not None:
                names = layout.named((folder / layout.index).read_bytes(), str(folder))
            paths = [folder / name for name in names]
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

    def config_file(self, checkpoint: Checkpoint | None = None) -> Path:
        """The step's own `config.json`, or else the suite's: the last step's, the one beside the steps, any step's.

        Raises:
            PythiaGeometryError: If there is none.
        """
        newest_first = [self._folders[step] for step in reversed(self.steps())]
        own = [] if checkpoint is None else [self._folders.get(checkpoint.step, self.folder), self.folder]
        path = _first_with(CONFIG_NAME, [*own, newest_first[0], self.folder, *newest_first[1:]])
        if path is None:
            path = newest_first[0] / CONFIG_NAME
            raise PythiaGeometryError(f"{path} is missing: it states the model's architecture and shape")
        return path

    def tokenizer_file(self) -> Path:
        """The suite's tokenizer, or else the newest step's that has one.

        Raises:
            PythiaGeometryError: If there is none.
        """
        newest_first = [self._folders[step] for step in reversed(self.steps())]
        path = _first_with(TOKENIZER_NAME, [self.folder, *newest_first])
        if path is None:
            raise PythiaGeometryError(
                f"{self.folder} has no {TOKENIZER_NAME}. Put one there (or into every step folder): "
                "AutoTokenizer.from_pretrained(…).save_pretrained(folder) writes it"
            )
        return path

    def bytes_to_download(self, checkpoint: Checkpoint) -> int:
        """Nothing: the files are here."""
        return 0

    def most_to_download(self, checkpoint: Checkpoint) -> int:
        """Nothing: they lie at the same place on every machine."""
        return 0


def _first_with(name: str, folders: Sequence[Path]) -> Path | None:
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def _numbered(folder: Path, naming: Naming, seed: int) -> Numbered:
    """The step folders, links to nothing among them."""
    if not folder.is_dir():
        raise PythiaGeometryError(f"{folder} is not a folder. Expected one that holds step0/, step100/, …")
    try:
        children = sorted(folder.iterdir())
    except OSError as error:
        raise PythiaGeometryError(f"{folder} could not be read: {error.strerror}") from error
    revisions = [
        Revision(child.name, str(child.resolve()), "folder")
        for child in children
        if child.is_dir() or (child.is_symlink() and not child.exists())
    ]
    found = number_steps(revisions, naming, str(folder), seed)
    if not found.steps:
        named = ", ".join(r.name for r in revisions[:5])
        raise PythiaGeometryError(
            f"{folder} holds no step folders. Expected step0/, step100/, …, each with config.json and model.safetensors"
            + (rf"; it holds {named}. Names of another kind: --pattern 'run-(?P<step>\d+)'" if named else "")
        )
    return found


def _read_facts(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    facts = read_json(path)
    if not isinstance(facts, dict):
        raise PythiaGeometryError(f'{path} must hold one JSON object, such as {{"name": "my-run"}}')
    for key, (is_right, expected) in _FACTS.items():
        if key in facts and not is_right(facts[key]):
            raise PythiaGeometryError(f"{path}: {key} must be {expected}, got {facts[key]!r}")
    return facts


def _mixture(folder: Path, facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """What `suite.json` states of the training mixture; of lab runs of before it did, `training.json`."""
    stated: dict[str, Any] = facts.get("mixture", {})
    if stated or facts.get("suite") != "lab" or not (folder / TRAINING_NAME).is_file():
        return stated
    settings = read_json(folder / TRAINING_NAME)
    if isinstance(settings, dict):
        stated = {key: settings[key] for key in ("tasks", "all_tokens") if key in settings}
        stated |= {"bend": settings["plant_bend"]} if settings.get("plant_bend") else {}
        stated |= {"opens": facts["loss_opens"]} if stated and "loss_opens" in facts else {}
    if stated and not _is_mixture(stated):
        raise PythiaGeometryError(f"{folder / TRAINING_NAME} is damaged: tasks must be {_MIXTURE}")
    return stated


def _is_mixture(value: object) -> bool:
    if not isinstance(value, dict) or set(value) - {"tasks", "all_tokens", "opens", "bend"}:
        return False
    tasks, opens = value.get("tasks", []), value.get("opens", {})
    names = isinstance(tasks, list) and all(isinstance(task, str) for task in tasks)
    steps = isinstance(opens, dict) and all(map(_is_count, opens.values()))
    return names and steps and _is_count(value.get("bend", 0)) and isinstance(value.get("all_tokens", False), bool)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\w[\w.\-]*", value) is not None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, str) for v in value)


_NAME = "letters, digits, '.', '_' and '-', beginning with a letter or digit"
_MIXTURE = 'an object such as {"tasks": ["MOD2"], "all_tokens": false, "opens": {"MOD2": 100}}'
_FACTS: dict[str, tuple[Callable[[object], bool], str]] = {
    "name": (_is_name, _NAME),
    "suite": (_is_name, _NAME),
    "seed": (_is_count, "a whole number of 0 or more"),
    "tokens_per_step": (_is_count, "a whole number of 0 or more"),
    "probes": (_is_texts, 'a list of names such as ["core"]'),
    "training_dtype": (_is_name, "a name such as float32"),
    "mixture": (_is_mixture, _MIXTURE),
}


def _state(path: Path) -> tuple[int, ...]:
    """What differs after a file was replaced or written into."""
    state = path.stat()
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino


def _hashed_file(path: Path) -> WeightFile:
    with path.open("rb") as stream:
        if is_pointer(stream.read(100)):
            raise CheckpointError(
                f"{path} is a pointer of Git LFS and not the weights. Fetch them: git lfs pull", UNSUPPORTED
            )
        stream.seek(0)
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return WeightFile(path.name, path.stat().st_size, digest)
