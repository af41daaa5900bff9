"""Training runs made up for the doctor: embeddings that walk at random, in the files that a Hub serves."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save

from tests.hub.repository import Blob, Repository

ROWS, WIDTH = 64, 16
Embedding = NDArray[np.float16]
Files = dict[str, Blob]


def history(steps: Sequence[int], seed: int = 0) -> dict[int, Embedding]:
    """A random walk in the logarithm of the step; correlation with step 0 is 0.6 after 143,000 steps.

    Steps 0 and 1 are the same, as in Pythia.
    """
    rng = np.random.default_rng(seed)
    now, before = rng.normal(size=(ROWS, WIDTH)), 1
    found: dict[int, Embedding] = {}
    for step in sorted(steps):
        time = np.log2(max(step, 1) / before)
        now = now + 0.3 * np.sqrt(time) * rng.normal(size=now.shape)
        found[step], before = (0.02 * now).astype(np.float16), max(step, 1)
    return found


def tensors(embedding: Embedding) -> dict[str, NDArray[np.float16]]:
    """A model of an embedding, a block and an output head, all made from the embedding."""
    return {
        "embed_out.weight": np.ascontiguousarray(embedding[::-1]),
        "gpt_neox.embed_in.weight": np.ascontiguousarray(embedding),
        "gpt_neox.layers.0.mlp.dense.weight": np.ascontiguousarray(embedding.T),
    }


def safetensors(embedding: Embedding) -> Files:
    return {"model.safetensors": Blob(save(tensors(embedding)))}


def pickled(content: Mapping[str, NDArray[np.float16]]) -> bytes:
    stream = io.BytesIO()
    torch.save({name: torch.from_numpy(array.copy()) for name, array in content.items()}, stream)
    return stream.getvalue()


def bin_file(embedding: Embedding) -> Files:
    return {"pytorch_model.bin": Blob(pickled(tensors(embedding)))}


def shards(first: Embedding, second: Embedding, form: str = "bin") -> Files:
    """Two shards and their index: the first with the input embedding, the second with the rest."""
    stem = {"bin": "pytorch_model", "safetensors": "model"}[form]
    names = [f"{stem}-0000{i}-of-00002.{form}" for i in (1, 2)]
    parts = [
        {n: t for n, t in tensors(first).items() if "embed_in" in n},
        {n: t for n, t in tensors(second).items() if "embed_in" not in n},
    ]
    index = {"weight_map": {name: file for file, part in zip(names, parts, strict=True) for name in part}}
    content = [pickled(part) if form == "bin" else save(part) for part in parts]
    index_name = f"{stem}.{form}.index.json"
    return {index_name: Blob(json.dumps(index).encode())} | {n: Blob(c) for n, c in zip(names, content, strict=True)}


def repository_of(steps: Mapping[int, Files], name: str = "EleutherAI/pythia-14m", main: int | None = -1) -> Repository:
    """A branch a step; `main` serves the last step, or the one that is named, or is not there."""
    repository = Repository(name)
    for step, files in steps.items():
        repository.commit(f"step{step}", {**files, "config.json": b"{}"})
    if main is not None:
        repository.commit("main", {**steps[max(steps) if main == -1 else main], "config.json": b"{}"})
    return repository
