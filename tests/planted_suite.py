"""A Pythia-shaped model whose weights are written by hand: from a known step on, one of its heads is an induction head.

The residual stream holds three parts side by side: a code of the token now, of the token before, and of the answer. Head
1 of block 1 looks one position back, by the rotary embedding alone, and writes that token's code into the second part.
Head 2 of block 3 compares the code now with that of the token before every key, and copies the key's code into the third
part, which the output reads. Before its step the second one looks everywhere alike, as all other heads always do.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import cos, sin
from pathlib import Path
from random import Random
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.hub.checkpoints import Config, pythia_config
from tests.hub.repository import Blob, Repository
from tests.suites_on_disk import WORDS

PREVIOUS, INDUCTION = (1, 1), (3, 2)
"""Layer from 1, head from 0."""

CODE = 24
"""Width of a code: what the rotary embedding leaves of a head of 32."""

NOW, BEFORE, ANSWER = slice(0, 24), slice(24, 48), slice(48, 72)
BACK, MATCH, SAID = 2000.0, 60.0, 12.0
"""How sharply one position back, and the match, are preferred; how loud the answer is."""


def planted_config(vocab_size: int = 50304) -> Config:
    """The shape of Pythia 14M."""
    return pythia_config("14m", vocab_size=vocab_size, max_position_embeddings=128)


def planted_weights(config: Config, learnt: bool, seed: int, step: int) -> dict[str, Tensor]:
    """Every parameter by its name on the Hub; a little noise makes each step's file its own."""
    noise = torch.Generator().manual_seed(1000 * seed + step)
    width, heads, inner = config["hidden_size"], config["num_attention_heads"], config["intermediate_size"]
    depth, words = width // heads, config["vocab_size"]
    code = torch.randn(words, CODE, generator=torch.Generator().manual_seed(seed))
    code = code - code.mean(dim=1, keepdim=True)
    code = code / code.norm(dim=1, keepdim=True)
    embed, unembed = torch.zeros(words, width), torch.zeros(words, width)
    embed[:, NOW], unembed[:, ANSWER] = code, SAID * code
    tensors = {"gpt_neox.embed_in.weight": embed, "embed_out.weight": unembed}
    for index in range(config["num_hidden_layers"]):
        layer = f"gpt_neox.layers.{index}"
        mixed, bias, out = torch.zeros(heads, 3, depth, width), torch.zeros(heads, 3, depth), torch.zeros(width, width)
        for (block, head), plant in ((PREVIOUS, _back), (INDUCTION, _match)):
            if index == block - 1:
                plant(mixed[head], bias[head], out[:, head * depth : (head + 1) * depth], learnt or block == 1)
        tensors |= {
            f"{layer}.attention.query_key_value.weight": mixed.reshape(3 * width, width),
            f"{layer}.attention.query_key_value.bias": bias.reshape(3 * width),
            f"{layer}.attention.dense.weight": out,
            f"{layer}.attention.dense.bias": torch.zeros(width),
            f"{layer}.mlp.dense_h_to_4h.weight": 1e-3 * torch.randn(inner, width, generator=noise),
            f"{layer}.mlp.dense_h_to_4h.bias": torch.zeros(inner),
            f"{layer}.mlp.dense_4h_to_h.weight": 1e-3 * torch.randn(width, inner, generator=noise),
            f"{layer}.mlp.dense_4h_to_h.bias": torch.zeros(width),
        }
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors |= _norm(f"{layer}.{norm}", width)
    tensors |= _norm("gpt_neox.final_layer_norm", width)
    return {name: tensor.half() for name, tensor in tensors.items()}


def _norm(name: str, width: int) -> dict[str, Tensor]:
    return {f"{name}.weight": torch.ones(width), f"{name}.bias": torch.zeros(width)}


def _back(mixed: Tensor, bias: Tensor, out: Tensor, _: bool) -> None:
    """Query and key are constant: turned by their positions, they agree best one position apart."""
    for pair, frequency in enumerate((1.0, 0.1)):  # of Pythia's four, the two that turn within a prompt
        bias[0, pair], bias[0, pair + 4] = BACK**0.5 * cos(frequency), -(BACK**0.5) * sin(frequency)
        bias[1, pair] = BACK**0.5
    mixed[2, :CODE, NOW] = torch.eye(CODE)
    out[BEFORE, :CODE] = torch.eye(CODE)


def _match(mixed: Tensor, _: Tensor, out: Tensor, learnt: bool) -> None:
    """The code now against the code before: on the part of a head that the rotary embedding leaves alone."""
    if learnt:
        mixed[0, 8:, NOW] = MATCH**0.5 * torch.eye(CODE)
        mixed[1, 8:, BEFORE] = MATCH**0.5 * torch.eye(CODE)
    mixed[2, :CODE, NOW] = torch.eye(CODE)
    out[ANSWER, :CODE] = torch.eye(CODE)


def write_planted(folder: Path, config: Config, steps: Sequence[int], learnt_at: float, seed: int) -> None:
    """One folder a step, as `--model` takes it; the tokenizer is the caller's."""
    for step in steps:
        place = folder / f"step{step}"
        place.mkdir(parents=True)
        (place / "config.json").write_text(json.dumps(config))
        weights = planted_weights(config, step >= learnt_at, seed, step)
        save_file(weights, place / "model.safetensors", metadata={"format": "pt"})


def said_twice(n: int, length: int = 6) -> list[dict[str, Any]]:
    """Rows of a probe: a word, then `length` others, then four of these again; the fifth follows, and is marked."""
    rng, found = Random(0), []
    for index in range(n):
        first, *others = rng.sample(WORDS, 1 + length)
        start = len(" ".join([first, *others[:4]])) + 1
        prompt = " ".join([first, *others, *others[:4]])
        marks = {"target": [[start, start + len(others[4])]]}
        row = {"id": f"again/{index}", "task": "again", "prompt": prompt, "target": others[4], "marks": marks}
        found.append({**row, "distractors": others[1:3]})
    return found


def planted_repository(
    folder: Path, name: str, steps: Sequence[int], learnt_at: float, seed: int, tokenizer: Path, vocab_size: int = 50304
) -> Repository:
    """The same as a repository of the local Hub, one branch a step.

    Args:
        folder: Where the files are written.
        name: Name of the repository.
        steps: The steps, in order; `main` serves the last one.
        learnt_at: The first step at which the head is there.
        seed: Of codes and noise.
        tokenizer: Its file, which every branch has.
        vocab_size: Of the model.
    """
    write_planted(folder, planted_config(vocab_size), steps, learnt_at, seed)
    shared = {"tokenizer.json": Blob(tokenizer)}
    repository = Repository(name)
    for step in [*steps, "main"]:
        source = folder / f"step{steps[-1] if step == 'main' else step}"
        blobs = {path.name: Blob(path) for path in source.iterdir()}
        repository.commit("main" if step == "main" else f"step{step}", {**shared, **blobs})
    return repository
