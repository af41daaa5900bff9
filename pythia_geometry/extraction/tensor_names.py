"""Which tensors a checkpoint of one architecture must hold, and under which names files hold them.

A legacy file holds mask buffers, and an output head under another name: exactly these are allowed for, and anything
else that is missing or extra is an error.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from pythia_geometry.errors import CheckpointError
from pythia_geometry.suites.checkpoint import CORRUPT, Checkpoint

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Buffers that old files carry and today's modules compute: masks and rotary frequencies.
_LEGACY = re.compile(r"(?:.*\.)?(?:attention\.(?:bias|masked_bias|rotary_emb\.inv_freq)|attn\.(?:bias|masked_bias))")
_RENAMED = {"embed_out.weight": "lm_head.weight"}


@dataclass(frozen=True)
class TensorNames:
    """What a config says of a checkpoint's tensors.

    Attributes:
        shapes: Shape of every tensor of the language model, by its name in the module, tied ones once.
        prefix: What the names of the base model begin with, such as `gpt_neox.`; files may leave it out.
        tied: Names of tensors that are another one of `shapes`.
    """

    shapes: Mapping[str, tuple[int, ...]]
    prefix: str
    tied: frozenset[str]

    @property
    def base(self) -> list[str]:
        """Names of the base model's tensors: all but the output head."""
        return [name for name in self.shapes if name.startswith(self.prefix)]

    def match(self, held: Collection[str], required: Collection[str], checkpoint: Checkpoint) -> dict[str, str]:
        """Which of the names that files hold is which tensor of the module.

        Args:
            held: Names in the files.
            required: Tensors of the module that must be among them.
            checkpoint: For messages.

        Raises:
            CheckpointError: If there is a tensor too few or too many.
        """
        matched: dict[str, str] = {}
        extra: list[str] = []
        for name in held:
            candidates = (_RENAMED.get(name, name), name, self.prefix + name)
            slot = next((c for c in candidates if c in self.shapes), None)
            if slot is not None and slot not in matched:
                matched[slot] = name
            elif not _LEGACY.fullmatch(name) and _RENAMED.get(name, name) not in self.tied:
                extra.append(name)
        missing = sorted(set(required) - set(matched))
        if missing or extra:
            what = f"lacks {missing[0]}" if missing else f"holds {sorted(extra)[0]}, which the model does not have"
            raise CheckpointError(
                f"{checkpoint.label}: the weights do not fit the config: the file {what} "
                f"({len(missing)} missing, {len(extra)} unknown tensors)",
                CORRUPT,
            )
        return matched

    def check_shape(self, slot: str, name: str, shape: tuple[int, ...], checkpoint: Checkpoint) -> None:
        """Compares a shape in a file with the config's.

        Raises:
            CheckpointError: If they differ.
        """
        if shape != self.shapes[slot]:
            raise CheckpointError(
                f"{checkpoint.label}: {name} has shape {shape}, the config says {self.shapes[slot]}", CORRUPT
            )


def names_of(module: PreTrainedModel) -> TensorNames:
    """The names of a language model that was built, with weights or without."""
    shapes = {name: tuple(slot.shape) for name, slot in weight_slots(module).items()}
    return TensorNames(shapes, f"{module.base_model_prefix}.", frozenset(set(module.state_dict()) - set(shapes)))


def weight_slots(module: nn.Module) -> dict[str, Tensor]:
    """Every tensor that a checkpoint must fill, tied parameters once."""
    slots: dict[str, Tensor] = dict(module.named_parameters())
    persistent = module.state_dict(keep_vars=True)
    slots.update((n, b) for n, b in module.named_buffers() if n in persistent)
    return slots
