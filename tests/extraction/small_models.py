"""Small models and probes for the tests of extraction, and their slow twin from `transformers`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.utils import logging

from pythia_geometry.extraction.probes.encoding import EncodedItem, EncodedProbe
from pythia_geometry.extraction.probes.probe_files import Item
from pythia_geometry.extraction.probes.probes import Probe
from pythia_geometry.suites.checkpoint import Checkpoint
from pythia_geometry.suites.local import LocalSuite
from tests.hub.checkpoints import Config, pythia_config

TINY = pythia_config("tiny", initializer_range=0.3)
"""Weights large enough that layers, tokens and steps differ well above rounding."""


def checkpoint(folder: Path, step: int) -> tuple[Path, Checkpoint]:
    """A step's folder and its checkpoint."""
    (found,) = LocalSuite(folder).find([step])
    return folder / f"step{step}", found


def twin(folder: Path) -> PreTrainedModel:
    """What `transformers` itself makes of a checkpoint's folder."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="sdpa"
    )
    return model.eval()


def twin_layers(model: PreTrainedModel, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Hidden states [L, B, T, D], `embed` to `final_norm`, and logits [B, T, V].

    `transformers` never returns the last block's output: its last hidden state is after the final norm, so a
    hook keeps it.
    """
    kept: list[Tensor] = []
    blocks: Any = model.base_model.layers if hasattr(model.base_model, "layers") else model.base_model.h

    def keep(_: object, __: object, output: Any) -> None:
        kept.append((output[0] if isinstance(output, tuple) else output).clone())

    handle = blocks[-1].register_forward_hook(keep)
    with torch.inference_mode():
        output = model(ids, output_hidden_states=True, use_cache=False)
    handle.remove()
    *before, final = output.hidden_states
    return torch.stack([*before, *kept, final]), output.logits


def random_ids(config: Config, rows: int, length: int, seed: int = 0) -> Tensor:
    """Token ids [B, T]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(config["vocab_size"], (rows, length), generator=generator)


def encoded(*items: tuple[tuple[int, ...], tuple[int, ...], tuple[tuple[int, ...], ...]]) -> EncodedProbe:
    """A probe of (prompt, target, distractors) in token ids."""
    rows = tuple(Item(str(i), "task", "prompt", "target") for i in range(len(items)))
    return EncodedProbe(Probe("set", "task", rows), tuple(EncodedItem(*item) for item in items))
