"""A repository of training steps, as the Hub serves them for Pythia: one branch a step."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from tests.hub.checkpoints import Config, write_checkpoint, write_tokenizer
from tests.hub.repository import Blob, Repository

STEP_ONE_IS_STEP_ZERO: Mapping[int, int] = MappingProxyType({1: 0})
"""Pythia's learning rate is 0 on the first step, so steps 0 and 1 hold the same weights in every size."""


def step_repository(
    folder: Path,
    config: Config,
    steps: Sequence[int],
    *,
    name: str = "EleutherAI/pythia-14m",
    same_as: Mapping[int, int] = STEP_ONE_IS_STEP_ZERO,
    formats: tuple[str, ...] = ("safetensors",),
    tokenizer: bool = False,
) -> Repository:
    """Write a checkpoint a step; make a repository with the branches ``step0``, ``step1``, … and ``main``.

    The seed of a step's weights is the step itself: ``write_checkpoint(…, seed=512)`` makes step 512 again.
    To take a branch away afterwards: ``del repository.branches["step512"]``.

    Args:
        folder: Where the files are written, one folder a step; they must stay while the Hub serves them.
        config: As from ``pythia_config``.
        steps: The steps, in order; ``main`` serves the last one.
        name: Name of the repository.
        same_as: Step to the step whose files it serves in place of its own.
        formats: As for ``write_checkpoint``.
        tokenizer: Whether to add the tokenizer's files to every branch.
    """
    repository = Repository(name)
    shared: dict[str, Blob] = {}
    if tokenizer:
        write_tokenizer(folder / "tokenizer")
        shared = _blobs(folder / "tokenizer")
    written: dict[int, dict[str, Blob]] = {}
    for step in steps:
        source = same_as.get(step, step)
        if source not in written:
            write_checkpoint(folder / f"step{source}", config, seed=source, formats=formats)
            written[source] = _blobs(folder / f"step{source}")
        repository.commit(f"step{step}", {**shared, **written[source]})
    repository.commit("main", {**shared, **written[same_as.get(steps[-1], steps[-1])]})
    return repository


def _blobs(folder: Path) -> dict[str, Blob]:
    return {path.name: Blob(path) for path in folder.iterdir()}
