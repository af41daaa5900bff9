"""Loss surfaces small enough for the slow twins: transformers of about 1,300 parameters, parabolas, matrix products."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
)

from pythia_geometry.landscape.surface import Examples, Surface
from pythia_geometry.landscape.tokens import next_token_losses, scored_tokens

VOCABULARY = 24
_COMMON: dict[str, Any] = {"vocab_size": VOCABULARY, "bos_token_id": None, "eos_token_id": None}
_ROTARY: dict[str, Any] = {
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 16,
    "initializer_range": 0.3,
}

CONFIGS = {
    "gpt-neox": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**_ROTARY, **_COMMON)),
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(n_embd=8, n_layer=1, n_head=2, n_positions=16, initializer_range=0.3, **_COMMON)
    ),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**_ROTARY, **_COMMON)),
}
"""Untied head; tied head, Conv1D and learnt positions; RMSNorm."""


def language_model(architecture: str, seed: int = 0) -> PreTrainedModel:
    """A small model whose parameters do not ask for gradients, as those of a walk."""
    torch.manual_seed(seed)
    model: PreTrainedModel = CONFIGS[architecture]()
    return model.eval().requires_grad_(False)


def mixed_lengths(n: int = 12) -> Examples:
    """Random sequences of two lengths, scored from different positions on."""
    generator = torch.Generator().manual_seed(1)
    lengths = [9 if i % 3 else 13 for i in range(n)]
    sequences = [torch.randint(VOCABULARY, (length,), generator=generator).tolist() for length in lengths]
    return scored_tokens(sequences, [length // 2 for length in lengths])


def copying(n: int = 32) -> Examples:
    """Five digits, a mark, the same digits again: the copy is scored."""
    digits = torch.randint(10, (n, 5), generator=torch.Generator().manual_seed(2)).tolist()
    return scored_tokens([[*row, 23, *row] for row in digits], [6] * n)


def trained(architecture: str, steps: int = 120) -> Surface:
    """A model that has learnt some copying, on the examples it learnt from."""
    model, examples = language_model(architecture).requires_grad_(True), copying()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        next_token_losses(model, examples).mean().backward()
        optimizer.step()
    for parameter in model.parameters():
        parameter.grad = None
    return Surface(model.requires_grad_(False), next_token_losses, examples, batch=16)


class Weights(nn.Module):
    """Named tensors to be moved, without a forward pass of their own."""

    def __init__(self, **tensors: Tensor) -> None:
        super().__init__()
        for name, tensor in tensors.items():
            self.register_parameter(name, nn.Parameter(tensor, requires_grad=False))


def parabola(curvatures: Tensor, noise: float = 0.0, n: int = 512, batch: int = 32) -> Surface:
    """½ Σ h w² at its bottom; each example adds a slope, so that a batch's gradient has this standard deviation."""
    slopes = torch.randn(n, len(curvatures), generator=torch.Generator().manual_seed(0)) * noise * batch**0.5

    def losses(module: nn.Module, examples: Examples) -> Tensor:
        w: Tensor = module.w
        return (curvatures * w**2).sum() / 2 + examples["slopes"] @ w

    weights = Weights(w=torch.zeros(len(curvatures))).eval()
    return Surface(weights, losses, {"slopes": slopes - slopes.mean(0)}, batch)


def matrix_product(size: float = 0.15) -> Surface:
    """Reduced-rank regression at a true parameter: rank 2 in 5 × 4 × 5, ½ ‖BA − T‖², T's singular values `size`."""
    generator = torch.Generator().manual_seed(3)
    left, right = (torch.linalg.qr(torch.randn(5, 2, generator=generator))[0] for _ in range(2))
    a, b = torch.zeros(4, 5), torch.zeros(5, 4)
    a[:2], b[:, :2] = size**0.5 * right.T, size**0.5 * left
    target = b @ a

    def losses(module: nn.Module, examples: Examples) -> Tensor:
        gap = module.b @ module.a - target
        return (gap**2).sum() / 2 + 0 * examples["none"]

    return Surface(Weights(a=a, b=b).eval(), losses, {"none": torch.zeros(4)}, batch=4)
