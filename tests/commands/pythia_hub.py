"""Pythia on a local Hub, as a replication finds it: real branch names, issue 205 planted, real bytes or real weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from pythia_geometry.suites.pythia import ORGANISATION, STEPS, parse_name
from tests.hub.checkpoints import Config, pythia_config, write_checkpoint, write_tokenizer
from tests.hub.repository import Blob, Repository

SHAPES = {
    "160m": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072},
    "410m": {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096},
    "2.8b": {"hidden_size": 2560, "num_hidden_layers": 32, "num_attention_heads": 32, "intermediate_size": 10240},
}


class Sized(Blob):
    """A file whose size and hash are listed; nobody ever asks for its content."""

    def __init__(self, name: str, size: int) -> None:
        super().__init__(name.encode())
        self.__dict__.update(size=size, sha256=hashlib.sha256(name.encode()).hexdigest())


def real_config(size: str) -> Config:
    """The config of a size that a replication walks."""
    return pythia_config("160m", **SHAPES[size])


def real_bytes(size: str) -> int:
    """Bytes of one step's `model.safetensors`: half precision, a byte an entry of each layer's mask; no header."""
    shape, vocab = SHAPES[size], 50304
    width, layers = shape["hidden_size"], shape["num_hidden_layers"]
    parameters = layers * (12 * width * width + 13 * width) + 2 * width + 2 * vocab * width
    return 2 * parameters + layers * 2048 * 2048


def faulty(size: str) -> tuple[frozenset[int], frozenset[int]]:
    """Steps that serve the weights of main, and those that share a second file (issue 205); none but for 2.8b."""
    run = parse_name(size)
    assert run is not None
    found = [frozenset(fault.steps) for fault in run.faults if fault.steps]
    return (found[0], found[1]) if found else (frozenset(), frozenset())


def repository(
    size: str, config: Config, tokenizer: dict[str, Blob], weights: Callable[[int], Blob], steps: Sequence[int] = STEPS
) -> Repository:
    """Branches of a size and `main`, with the published faults.

    Args:
        size: Such as `2.8b`.
        config: Of every step.
        tokenizer: Its files.
        weights: The file of a step; -1 is the second file of issue 205.
        steps: Its branches.
    """
    shared = {"config.json": Blob(json.dumps(config).encode()), **tokenizer}
    as_main, second = faulty(size)
    found = Repository(f"{ORGANISATION}/pythia-{size}")
    last = weights(STEPS[-1])
    for step in steps:
        own = last if step in as_main else weights(-1) if step in second else weights(max(step, 1))  # step 0 is step 1
        found.commit(f"step{step}", {**shared, "model.safetensors": own})
    found.commit("main", {**shared, "model.safetensors": last})
    return found


def listed_only(size: str, tokenizer: dict[str, Blob]) -> Repository:
    """A size as it is listed: true bytes, no weights."""
    files = {step: Sized(f"{size} {step}", real_bytes(size)) for step in (-1, *STEPS)}
    return repository(size, real_config(size), tokenizer, files.__getitem__)


def served(size: str, folder: Path, config: Config, tokenizer: dict[str, Blob], steps: Sequence[int]) -> Repository:
    """Some branches of a size, with random weights of a small shape."""
    written: dict[int, Blob] = {}

    def weights(step: int) -> Blob:
        if step not in written:
            place = folder / size / f"step{step}"
            write_checkpoint(place, config, seed=step + 10 * sum(map(ord, size)), formats=("safetensors",))
            written[step] = Blob(place / "model.safetensors")
        return written[step]

    return repository(size, config, tokenizer, weights, steps)


def tokenizer_files(folder: Path) -> dict[str, Blob]:
    """Pythia's tokenizer, as every branch serves it."""
    write_tokenizer(folder)
    return {path.name: Blob(path) for path in folder.iterdir()}
