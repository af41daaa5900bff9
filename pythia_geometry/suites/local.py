"""A folder of `step<N>/` checkpoints, each in the Hub's own file layout, as a suite."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

from pythia_geometry.errors import CheckpointError, PythiaGeometryError
from pythia_geometry.suites.checkpoint import (
    CONFIG_NAME,
    CORRUPT,
    MISSING,
    NEVER,
    TOKENIZER_NAME,
    Checkpoint,
    WeightFile,
)
from pythia_geometry.suites.duplicates import mark_duplicates
from pythia_geometry.suites.layout import parse_step, weight_layout

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
        self._folders = _step_folders(self.folder)
        facts = _read_facts(self.folder / FACTS_NAME)
        self.suite: str = facts.get("suite", "local")
        self.model: str = facts.get("name", self.folder.name)
        self.seed: int = facts.get("seed", 0)
        self.default_probes: tuple[str, ...] = tuple(map(self._own, facts.get("probes", ("core",))))
        self._tokens_per_step: int | None = facts.get("tokens_per_step")
        dtype = facts.get("training_dtype")
        self.notes: tuple[str, ...] = (f"trained in {dtype}",) if dtype else ()

    def _own(self, probes: str) -> str:
        """A probe file that lies in the suite's folder, by its path; any other name as it is."""
        own = self.folder / Path(probes).name
        return str(own) if probes == own.name and own.is_file() else probes

    def steps(self) -> list[int]:
        """Steps of the folders, ascending."""
        return sorted(self._folders)

    def find(self, steps: Sequence[int]) -> list[Checkpoint]:
        """Hashes the weights of the named steps."""
        return mark_duplicates([self._describe(step) for step in steps], self.steps()[-1])

    def _describe(self, step: int) -> Checkpoint:
        if step not in self._folders:
            detail = f"{self.folder} has no folder step{step}"
            return Checkpoint(
                self.suite, self.model, self.seed, step, None, self.folder.name, f"step{step}", status=MISSING,
                detail=detail,
            )  # fmt: skip
        folder = self._folders[step]
        tokens = None if self._tokens_per_step is None else step * self._tokens_per_step
        found = Checkpoint(self.suite, self.model, self.seed, step, tokens, self.folder.name, folder.name)
        try:
            layout = weight_layout({p.name for p in folder.iterdir() if p.is_file()}, str(folder))
            files = tuple(_hashed(folder, name) for name in layout.resolve(folder))
        except CheckpointError as error:
            return replace(found, status=error.status, detail=str(error))
        except OSError as error:
            return replace(found, status=CORRUPT, detail=f"{folder} could not be read: {error.strerror}")
        return replace(found, files=files)

    def fetch(self, checkpoint: Checkpoint, folder: Path, stop: Event = NEVER) -> Path:
        """The step's own folder; nothing is copied."""
        return self._folders[checkpoint.step]

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


def _hashed(folder: Path, name: str) -> WeightFile:
    path = folder / name
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return WeightFile(name, path.stat().st_size, digest)
