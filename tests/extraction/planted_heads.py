"""A GPT-2 of two layers whose weights are written by hand: a previous-token head and an induction head.

The residual stream holds four parts side by side: the token now (one-hot), the token before, the position (one-hot) and
what the answer should be. Head 0 of layer 1 looks one position back and writes that token into the second part. Head 1
of layer 2 compares the token now with the token before of every key, and copies the key's token into the fourth part,
which the output reads. Layer norms divide; with gains of 1 and inputs of one length they change no order.
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from pythia_geometry.extraction.loading.models import SuiteModel
from tests.extraction.small_models import checkpoint

WORDS, PLACES, HEADS = 20, 16, 2
NOW, BEFORE, PLACE, ANSWER = (slice(0, 20), slice(20, 40), slice(40, 56), slice(56, 76))
WIDTH = 80
"""A multiple of the heads; the last four stay empty."""

SHARP = 60.0
PREVIOUS, INDUCTION = (1, 0), (2, 1)
"""Layer and head."""


def write(folder: Path, with_previous: bool = True, with_induction: bool = True, seed: int = 0) -> None:
    """The weights in a step's folder; a head left out spreads evenly and writes nothing."""
    config = GPT2Config(vocab_size=WORDS, n_positions=PLACES, n_embd=WIDTH, n_layer=2, n_head=HEADS, n_inner=4,
                        bos_token_id=0, eos_token_id=0, tie_word_embeddings=False)  # fmt: skip
    torch.manual_seed(seed)
    model = GPT2LMHeadModel(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(1.0 if name.endswith("weight") and ".ln_" in name else 0.0)
        model.transformer.wte.weight[:, NOW] = torch.eye(WORDS)
        model.transformer.wpe.weight[:, PLACE] = torch.eye(PLACES)
        model.lm_head.weight[:, ANSWER] = 8 * torch.eye(WORDS)
        if with_previous:
            _head(model, PREVIOUS, (PLACE, torch.eye(PLACES).roll(-1, 1)), (PLACE, torch.eye(PLACES)), (NOW, BEFORE))
        if with_induction:
            _head(model, INDUCTION, (NOW, torch.eye(WORDS)), (BEFORE, torch.eye(WORDS)), (NOW, ANSWER))
    model.save_pretrained(folder)


def _head(
    model: GPT2LMHeadModel,
    head: tuple[int, int],
    query: tuple[slice, torch.Tensor],
    key: tuple[slice, torch.Tensor],
    moves: tuple[slice, slice],
) -> None:
    attention = model.transformer.h[head[0] - 1].attn
    depth = WIDTH // HEADS
    for part, (source, matrix) in enumerate((query, key)):
        start = part * WIDTH + head[1] * depth
        attention.c_attn.weight[source, start : start + matrix.shape[1]] = SHARP**0.5 * matrix
    start = 2 * WIDTH + head[1] * depth
    attention.c_attn.weight[moves[0], start : start + WORDS] = torch.eye(WORDS)
    attention.c_proj.weight[head[1] * depth : head[1] * depth + WORDS, moves[1]] = torch.eye(WORDS)


def planted(folder: Path, **which: bool) -> SuiteModel:
    """The model with these weights."""
    write(folder / "step1", **which)
    model = SuiteModel(folder / "step1" / "config.json")
    model.swap(*checkpoint(folder, 1))
    return model
