"""Pythia-shaped checkpoints with random weights, in the Hub's layout, and the probes that are run through them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from safetensors.torch import save_file

import pythia_geometry as pg

VOCAB = 50304
SHAPES = {
    "tiny": (2, 64, 2), "14m": (6, 128, 4), "70m": (6, 512, 8), "160m": (12, 768, 12), "410m": (24, 1024, 16),
    "1b": (16, 2048, 8), "2.8b": (32, 2560, 32),
}  # fmt: skip
REAL_TOKENIZER = Path(__file__).resolve().parents[3] / "shared" / "pythia" / "20B_tokenizer.json"
TASKS = ("factual/capital_common", "syntax/agreement_2", "ioi/ioi_short")


@dataclass(frozen=True)
class Job:
    """What one contender does; written as JSON for its own process.

    Attributes:
        folder: The suite: step folders, tokenizer.json, probes.jsonl.
        contender: Whose turn it is.
        measures: Names of measures; empty for all.
        dtype: Forward precision.
    """

    folder: str
    contender: str
    measures: tuple[str, ...] = ()
    dtype: str = "float32"


@dataclass(frozen=True)
class Size:
    """How large a walk is.

    Attributes:
        shape: Key of `SHAPES`.
        steps: Checkpoints.
        items: Prompts a task; there are three tasks.
        layers: Blocks; 0 for the shape's own.
        tokens: Tokens a prompt, drawn at random; 0 for real prompts of 6, 11 and 14.
    """

    shape: str
    steps: int
    items: int
    layers: int = 0
    tokens: int = 0


def write_suite(folder: Path, size: Size) -> None:
    """Step folders 0, 1, 2 …, fp16 safetensors with the legacy buffers that the Hub's files carry."""
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    depth, width, heads = SHAPES[size.shape]
    config = GPTNeoXConfig(
        vocab_size=VOCAB,
        hidden_size=width,
        num_hidden_layers=size.layers or depth,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        max_position_embeddings=2048,
        rope_parameters={"rope_type": "default", "rope_theta": 10000, "partial_rotary_factor": 0.25},
        architectures=["GPTNeoXForCausalLM"],
        dtype="float16",
    )
    torch.manual_seed(0)
    tensors = {
        name.replace("lm_head", "embed_out"): tensor.half().contiguous()
        for name, tensor in GPTNeoXForCausalLM(config).state_dict().items()
    }
    for layer in range(config.num_hidden_layers):
        prefix = f"gpt_neox.layers.{layer}.attention"
        tensors[f"{prefix}.bias"] = torch.tril(torch.ones(2048, 2048, dtype=torch.uint8))[None, None]
        tensors[f"{prefix}.masked_bias"] = torch.tensor(-1e9).half()
    for step in range(size.steps):
        target = folder / f"step{step}"
        target.mkdir(parents=True)
        config.save_pretrained(target)
        scaled = {n: t * (1 + 0.01 * step) if t.is_floating_point() and t.dim() else t for n, t in tensors.items()}
        save_file(scaled, target / "model.safetensors", metadata={"format": "pt"})
    write_probes(folder, size)


def write_probes(folder: Path, size: Size) -> None:
    """Prompts, their first word marked, and targets without distractors, which the usual loop reads too; a tokenizer."""
    if not size.tokens and REAL_TOKENIZER.exists():
        (folder / "tokenizer.json").write_bytes(REAL_TOKENIZER.read_bytes())
        probes = [p for p in pg.probes("all") if f"{p.set_name}/{p.task}" in TASKS]
        texts = [(p.task, item.prompt, item.target) for p in probes for item in p.items[: size.items]]
    else:
        texts = made_up(folder, size)
    rows = [
        {"id": f"{task}/{i}", "task": task, "prompt": p, "target": t, "marks": {"target": [[0, len(p.split()[0])]]}}
        for i, (task, p, t) in enumerate(texts)
    ]
    (folder / "probes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def made_up(folder: Path, size: Size) -> list[tuple[str, str, str]]:
    """2,000 words, three tasks of as many words as asked for, or of 6, 11 and 14."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit

    words = [f"w{i}" for i in range(2000)]
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="w0"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))
    draw, known = Random(0), words[1:]
    lengths = {"first": size.tokens or 6, "second": size.tokens or 11, "third": size.tokens or 14}
    return [
        (task, " ".join(draw.choices(known, k=n)), draw.choice(known))
        for task, n in lengths.items()
        for _ in range(size.items)
    ]
