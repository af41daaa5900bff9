"""Which tensors a checkpoint of one architecture must hold, and under which names files hold them.

A legacy file holds mask and rotary buffers, and an output head under another name: exactly these are allowed for, and
anything else that is missing or extra is an error.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from pythia_geometry.errors import CheckpointError
from pythia_geometry.extraction.loading.unsupported import what_it_is
from pythia_geometry.suites.checkpoint import CORRUPT, FAILED, UNSUPPORTED, Checkpoint

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Buffers that old files carry and today's modules compute: masks and rotary tables, in every architecture.
_LEGACY = re.compile(
    r"(?:.*\.)?(?:"
    r"(?:\w*attn|\w*attention)\.(?:bias|masked_bias|causal_mask|embed_positions)"
    r"|(?:rotary_emb|rotary_pos_emb|rotary|rope)\.(?:inv_freq|original_inv_freq|cos_cached|sin_cached|scale_base)"
    r"|position_ids)"
)
_RENAMED = {"embed_out.weight": "lm_head.weight"}


@dataclass(frozen=True)
class TensorNames:
    """What a config says of a checkpoint's tensors.

    Attributes:
        shapes: Shape of every tensor of the language model, by its name in the module, tied ones once.
        prefix: What the names of the base model begin with, such as `gpt_neox.`; files may leave it out.
        tied: Tensors that are another one of `shapes`, with the name of that one.
        repacked: Whether files of this architecture hold other tensors than the module (each expert's own instead of
            all experts in one), which transformers converts.
    """

    shapes: Mapping[str, tuple[int, ...]]
    prefix: str
    tied: Mapping[str, str]
    repacked: bool = False

    @property
    def base(self) -> list[str]:
        """Names of the base model's tensors: all but the output head."""
        return [name for name in self.shapes if name.startswith(self.prefix)]

    def match(self, held: Collection[str], required: Collection[str], checkpoint: Checkpoint) -> dict[str, str]:
        """Which of the names that files hold is which tensor of the module.

        A tied tensor that a file holds beside the one that it is tied to is among them: it may differ.

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
            slot = next((c for c in self._slots_of(name) if c in self.shapes or c in self.tied), None)
            if slot is not None and slot not in matched:
                matched[slot] = name
            elif not _LEGACY.fullmatch(name):
                extra.append(name)
        for target, source in self.tied.items():  # a file may hold either of the two
            if source not in matched and target in matched:
                matched[source] = matched.pop(target)
        missing = sorted(set(required) - set(matched))
        if missing or extra:
            raise self._misfit(held, missing, sorted(extra), checkpoint)
        return matched

    def match_parts(self, held: Collection[str], required: Collection[str], checkpoint: Checkpoint) -> dict[str, str]:
        """The same for tensors of which only some were fetched, so that nothing can be put together from them.

        Raises:
            CheckpointError: If there is a tensor too few or too many, or files hold parts of the module's tensors.
        """
        try:
            return self.match(held, required, checkpoint)
        except CheckpointError as error:
            if not self.repacked or error.status != CORRUPT:
                raise
            raise CheckpointError(
                f"{checkpoint.label} holds each expert's tensors by themselves, and --fetch ranges puts none together. "
                "Type the same command without it: the step is added to the same run folder",
                FAILED,
            ) from error

    def _slots_of(self, name: str) -> tuple[str, ...]:
        return _RENAMED.get(name, name), name, self.prefix + name

    def _misfit(
        self, held: Collection[str], missing: list[str], extra: list[str], checkpoint: Checkpoint
    ) -> CheckpointError:
        known = [name for name in held if any(c in self.shapes or c in self.tied for c in self._slots_of(name))]
        files = {name.removeprefix(self.prefix) for name in self.shapes} | set(self.shapes) | set(_RENAMED) | set(known)
        if kind := what_it_is(held, files):
            return CheckpointError(f"{checkpoint.label} is not plain weights: {kind}", UNSUPPORTED)
        what = f"lacks {missing[0]}" if missing else f"holds {extra[0]}, which the model does not have"
        return CheckpointError(
            f"{checkpoint.label}: the weights do not fit the config: the file {what} "
            f"({len(missing)} missing, {len(extra)} unknown tensors)",
            CORRUPT,
        )

    def check_shape(self, slot: str, name: str, shape: tuple[int, ...], checkpoint: Checkpoint) -> None:
        """Compares a shape in a file with the config's.

        Raises:
            CheckpointError: If they differ.
        """
        expected = self.shapes[self.tied.get(slot, slot)]
        if shape != expected:
            raise CheckpointError(f"{checkpoint.label}: {name} has shape {shape}, the config says {expected}", CORRUPT)


def names_of(module: PreTrainedModel) -> TensorNames:
    """The names of a language model that was built, with weights or without."""
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping

    slots = weight_slots(module)
    by_memory = {id(slot): name for name, slot in slots.items()}
    everything = module.state_dict(keep_vars=True)
    tied = {name: by_memory[id(tensor)] for name, tensor in everything.items() if name not in slots}
    return TensorNames(
        {name: tuple(slot.shape) for name, slot in slots.items()},
        f"{module.base_model_prefix}.",
        tied,
        get_checkpoint_conversion_mapping(module.config.model_type) is not None,
    )


def weight_slots(module: nn.Module) -> dict[str, Tensor]:
    """Every tensor that a checkpoint must fill, tied parameters once."""
    slots: dict[str, Tensor] = dict(module.named_parameters())
    persistent = module.state_dict(keep_vars=True)
    slots.update((n, b) for n, b in module.named_buffers() if n in persistent)
    return slots
