"""A loss surface: a model, the loss of every example, and the examples; estimators see nothing else.

The model is never touched: every evaluation runs it on tensors that stand in for its parameters, so neither the
weights nor `requires_grad` of the module change, whatever happens meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from pythia_geometry.errors import PythiaGeometryError

Examples = Mapping[str, Tensor]
Losses = Callable[[nn.Module, Examples], Tensor]
_WIDE = (torch.float32, torch.float64)


@dataclass(frozen=True)
class Surface:
    """The mean loss over some examples, as a function of a model's parameters.

    Attributes:
        module: Any module in evaluation mode, with float32 or float64 weights.
        losses: Gives the loss of every example, [B], from the module and a batch. It must treat examples
            independently of each other.
        examples: Tensors that share their first axis, one entry an example.
        batch: Examples that are in memory at once.
        only: Names of the parameters that may vary; all if empty. The others stay as they are.
    """

    module: nn.Module
    losses: Losses
    examples: Examples
    batch: int = 32
    only: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuses what would give a wrong number."""
        counts = {len(tensor) for tensor in self.examples.values()}
        if len(counts) != 1 or counts == {0}:
            raise PythiaGeometryError(f"a loss surface needs tensors with one entry an example; got {sorted(counts)}")
        missing = set(self.only) - set(dict(self.module.named_parameters()))
        if missing:
            raise PythiaGeometryError(f"the model has no parameter {sorted(missing)[0]}")
        narrow = {p.dtype for p in self.module.parameters()} - set(_WIDE)
        if narrow:
            raise PythiaGeometryError(
                f"a loss surface needs float32 weights; got {sorted(map(str, narrow))[0]}. Walk with --dtype float32"
            )
        if any(m.training for m in self.module.modules()):
            raise PythiaGeometryError("a loss surface needs a model in evaluation mode: call module.eval() first")

    @property
    def n(self) -> int:
        """Examples."""
        return len(next(iter(self.examples.values())))

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """The parameters that may vary, by name, tied ones once; they share the module's memory."""
        named = {name: p.detach() for name, p in self.module.named_parameters()}
        return {name: named[name] for name in named if not self.only or name in self.only}

    @property
    def n_parameters(self) -> int:
        """Numbers that may vary."""
        return sum(w.numel() for w in self.weights.values())

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.module.parameters()).device

    def leaves(self) -> dict[str, Tensor]:
        """The weights as leaves of a new graph; no memory is copied."""
        return {name: w.detach().requires_grad_() for name, w in self.weights.items()}

    def rows(self, index: Tensor | slice) -> Examples:
        """Some of the examples, where the model is."""
        return {key: tensor[index].to(self.device) for key, tensor in self.examples.items()}

    def batches(self) -> Iterator[Examples]:
        """All examples, a batch at a time."""
        return (self.rows(slice(start, start + self.batch)) for start in range(0, self.n, self.batch))

    def losses_at(self, weights: Mapping[str, Tensor], batch: Examples) -> Tensor:
        """Loss of every example of a batch [B] with these weights in place of the model's."""
        stand_in = {f"module.{name}": w for name, w in weights.items()}
        losses: Tensor = functional_call(self._evaluator, stand_in, (batch,))
        return losses

    def all_losses(self, weights: Mapping[str, Tensor] | None = None) -> Tensor:
        """Loss of every example [n], without a graph."""
        with torch.no_grad():
            return torch.cat([self.losses_at(weights or self.weights, batch) for batch in self.batches()])

    def first(self, n: int) -> Surface:
        """The surface of the first n examples."""
        return replace(self, examples={key: tensor[:n] for key, tensor in self.examples.items()})

    @cached_property
    def _evaluator(self) -> nn.Module:
        return _Evaluator(self.module, self.losses)


class _Evaluator(nn.Module):
    """The losses as a module's forward, the form that `functional_call` takes."""

    def __init__(self, module: nn.Module, losses: Losses) -> None:
        super().__init__()
        self.module = module
        self.losses = losses
        self.training = False

    def forward(self, batch: Examples) -> Tensor:
        return self.losses(self.module, batch)


def flat(tensors: Mapping[str, Tensor] | tuple[Tensor, ...]) -> Tensor:
    """One vector [P] of all tensors, in order."""
    parts = tensors.values() if isinstance(tensors, Mapping) else tensors
    return torch.cat([t.reshape(-1) for t in parts])


def shaped(vector: Tensor, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A vector [P] as views in the shapes of named tensors."""
    pieces = vector.split([w.numel() for w in like.values()])
    return {name: piece.view(w.shape) for (name, w), piece in zip(like.items(), pieces, strict=True)}


def twice_differentiable() -> AbstractContextManager[Any]:
    """Attention that can be differentiated twice: PyTorch's fused kernels cannot (pytorch issue 116350)."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    context: AbstractContextManager[Any] = sdpa_kernel(SDPBackend.MATH)
    return context
