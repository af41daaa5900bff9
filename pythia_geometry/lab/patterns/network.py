"""The network of a training: which of the three functions computes it, on stacked members."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from pythia_geometry.errors import MachineError
from pythia_geometry.lab.patterns import mixer, one_block, transformer
from pythia_geometry.lab.patterns.settings import MIXER, PatternTraining
from pythia_geometry.lab.patterns.transformer import Params

if TYPE_CHECKING:
    from torch import Tensor


def usual_device() -> str:
    """A GPU where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def check_memory(trainings: Sequence[PatternTraining], device: str) -> None:
    """Accepts runs that fit into memory together.

    Raises:
        MachineError: If the least that they need is more than the device has.
    """
    needed, has = sum(one.bytes_in_memory for one in trainings), _memory(device)
    if needed > has:
        raise MachineError(
            f"{trainings[0].model}: {len(trainings)} together need {needed / 1e9:,.1f} GB of memory or more, and "
            f"{device} has {has / 1e9:,.1f} GB. Pass fewer --seeds, or a smaller --batch, --size, --width or --layers"
        )


def _memory(device: str) -> int:
    if device == "cpu":
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return int(torch.cuda.mem_get_info(device)[1])


class Network:
    """A function of stacked parameters and inputs.

    Attributes:
        training: What it is for.
        device: Where it computes, by its torch name.
        shapes: One member's parameters.
    """

    def __init__(self, training: PatternTraining, device: str = "cpu") -> None:
        """Prepares what all calls share: the pairs of one block, and the bias c·A."""
        self.training, self.device, self.shape, task = training, device, training.shape, training.problem
        self.is_mixer = training.network == MIXER
        self.shapes = (mixer if self.is_mixer else transformer).parameter_shapes(self.shape)
        # Of the trained positions [Q, T]; those that are examined are the last of them.
        self.parents = torch.as_tensor(task.parents, dtype=torch.float32, device=device)
        possible = getattr(task, "possible", None)
        self.pairs = (
            one_block.Pairs(torch.as_tensor(possible, device=device))
            if self.shape.n_layers == 1 and possible is not None
            else None
        )

    def __call__(
        self, params: Params, inputs: Tensor, trained: bool = False, given: Tensor | None = None, pattern: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Logits [E, B, Q, V], and the last block's patterns [E, B, H, Q, T] where they are asked for.

        Args:
            params: Stacked members.
            inputs: Token ids [E, B, T].
            trained: At the trained positions instead of the examined ones.
            given: Patterns that stand in for the last block's own.
            pattern: Whether patterns are returned; a mixer has none.
        """
        task = self.training.problem
        at = task.trained if trained else task.queries
        if self.is_mixer:
            return mixer.forward(params, self.shape, inputs, at), None
        bias = self.training.bias * self.parents[-len(at) :] if self.training.bias else None
        if self.pairs is not None:
            return one_block.forward(params, self.shape, inputs, at, self.pairs, bias, given, pattern)
        logits, own = transformer.forward(params, self.shape, inputs, at, bias, given)
        return logits, own if pattern else None
