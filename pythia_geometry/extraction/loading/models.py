"""One model instance for a whole suite: built once, weights swapped in place, layers found.

Without a dtype transformers takes the checkpoint's own, so it is always passed (docs/decisions/0002). Where a step has
another config than the step before, the module is built again around the same memory.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pythia_geometry.errors import CheckpointError, PythiaGeometryError
from pythia_geometry.extraction.loading.building import (
    SDPA,
    allocate,
    empty_model,
    find_blocks,
    kernel_of,
    positionwise,
)
from pythia_geometry.extraction.loading.config_identity import config_identity
from pythia_geometry.extraction.loading.configs import quantised_by, read_config
from pythia_geometry.extraction.loading.heads import head_of, module_logits
from pythia_geometry.extraction.loading.repacked import repack
from pythia_geometry.extraction.loading.tensor_names import TensorNames, names_of, weight_slots
from pythia_geometry.extraction.loading.weight_files import read_tensors
from pythia_geometry.suites.checkpoint import CORRUPT, UNSUPPORTED, Checkpoint

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

EMBED, FINAL_NORM = "embed", "final_norm"
ATTENTION_KERNEL = SDPA
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

_WEIGHT_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


@dataclass(frozen=True)
class Shape:
    """What a config says of a model's size, without building it; and the attention kernel that it runs with.

    `n_heads` is 0 where the layers differ in it.
    """

    n_layers: int
    width: int
    vocab_size: int
    context: int
    kernel: str = ATTENTION_KERNEL
    n_heads: int = 0

    @property
    def layers(self) -> list[str]:
        """Layer names in order: `embed`, `resid_1` … `resid_L`, `final_norm`."""
        return [EMBED, *(f"resid_{i}" for i in range(1, self.n_layers + 1)), FINAL_NORM]

    @property
    def flops_per_token(self) -> float:
        """Operations of the blocks for one token: 2 for each of the about 12 d² weights of a block."""
        return 24.0 * self.n_layers * self.width**2

    @property
    def head(self) -> float:
        """Weights of the output head."""
        return float(self.width * self.vocab_size)


def read_shape(config_file: Path) -> Shape:
    """Reads the shape from `config.json`.

    Raises:
        PythiaGeometryError: If transformers does not know such a config.
    """
    return _shape_of(read_config(config_file))


def read_prefix(config_file: Path) -> int | None:
    """The token that stands before a text that nothing precedes: the config's beginning of text, else its end of text.

    Raises:
        PythiaGeometryError: If transformers does not know such a config.
    """
    config = read_config(config_file)
    named = (getattr(config, name, None) for name in ("bos_token_id", "eos_token_id"))
    return next((token for token in named if isinstance(token, int)), None)


def _shape_of(config: PretrainedConfig) -> Shape:
    context = getattr(config, "max_position_embeddings", 0)
    context = context if isinstance(context, int) and context > 0 else 0
    heads = getattr(config, "num_attention_heads", 0)
    heads = heads if isinstance(heads, int) else 0
    return Shape(config.num_hidden_layers, config.hidden_size, config.vocab_size, context, kernel_of(config), heads)


def read_names(config_file: Path) -> TensorNames:
    """The names of a checkpoint's tensors, without memory for a weight.

    Raises:
        PythiaGeometryError: If the config is unreadable or names code outside transformers.
    """
    return names_of(read_empty(config_file))


def read_empty(config_file: Path) -> PreTrainedModel:
    """The model without memory for a weight: its parameters' names and shapes.

    Raises:
        PythiaGeometryError: If the config is unreadable or names code outside transformers.
    """
    return empty_model(read_config(config_file), torch.float32)


class SuiteModel:
    """A causal language model whose weights are replaced checkpoint by checkpoint.

    Attributes:
        module: The `transformers` model, in evaluation mode; without a head, the base model.
        has_head: Whether there is an output head: without one answers cannot be scored, and none of its memory is
            taken.
        blocks: Its transformer blocks, in order.
        last_mlp: The last block's MLP where it is known to treat every position by itself, else None.
        shape: Blocks, width, vocabulary, attention kernel.
    """

    def __init__(self, config_file: Path, dtype: str = "float32", device: str = "cpu", head: bool = True) -> None:
        """Builds the module without weights.

        Raises:
            PythiaGeometryError: If the config is unreadable or names code outside transformers.
        """
        self.device = torch.device(device)
        self.dtype = dtype
        self.has_head = head
        config = read_config(config_file)
        self._identity = config_identity(config_file)
        self._take(config, empty_model(config, DTYPES[dtype]))

    def _take(self, config: PretrainedConfig, empty: PreTrainedModel) -> None:
        """Takes a module that was built, in the memory of the one before."""
        held = dict(self.module.named_parameters()) if hasattr(self, "module") else {}
        self.names = names_of(empty)
        self.module: PreTrainedModel = empty if self.has_head else empty.base_model  # type: ignore[assignment]
        allocate(self.module, DTYPES[self.dtype], self.device, held)
        self.base: nn.Module = self.module.base_model
        self.shape = _shape_of(config)
        self.blocks = find_blocks(self.base, self.shape.n_layers)
        self.last_mlp = positionwise(getattr(self.blocks[-1], "mlp", None))
        prefix = "" if self.has_head else self.names.prefix
        self._slots = {prefix + name: slot for name, slot in weight_slots(self.module).items()}
        self._quantised = quantised_by(config)
        self._head: Callable[[Tensor], Tensor] | None = None

    @property
    def kernel(self) -> str:
        """How attention is computed: `sdpa`, or `eager` where the architecture cannot be computed by it."""
        return self.shape.kernel

    @property
    def n_parameters(self) -> int:
        """Parameters, tied ones once."""
        return sum(p.numel() for p in self.module.parameters())

    def states(self, ids_BT: Tensor, before: Any = None, keep: bool = False) -> tuple[Tensor, Any]:
        """Hidden states after the final norm [B, T, D], and keys and values of every token where they are kept.

        Args:
            ids_BT: Token ids.
            before: Keys and values of the tokens before them, from an earlier call.
            keep: Whether to return keys and values; those of `before` are added to in place.
        """
        # transformers 5.24 calls it cache, and warns of the name that others have
        name = "cache" if "cache" in inspect.signature(self.base.forward).parameters else "past_key_values"
        output = self.base(input_ids=ids_BT, use_cache=keep, **({} if before is None else {name: before}))
        return output.last_hidden_state, getattr(output, name, None) if keep else None

    def logits(self, rows_PD: Tensor) -> Tensor:
        """Logits [P, V] for hidden states [P, D] after the final norm, as the module itself makes them."""
        if self._head is None:
            self._head = head_of(self.module)
        return (self._head or partial(module_logits, self.module))(rows_PD)

    def swap(
        self, weights: Path | Mapping[str, Tensor], checkpoint: Checkpoint, config_file: Path | None = None
    ) -> None:
        """Replaces every weight by the checkpoint's.

        Args:
            weights: The folder of the weight files; or the base model's tensors by their names in the files, for a
                model without a head.
            checkpoint: Whose weights they are.
            config_file: The checkpoint's own `config.json`; without one, that of the step before holds on.

        Raises:
            CheckpointError: If the file is truncated, corrupt, would run code, or does not hold exactly
                this model's tensors; or if its config is of another model, or of quantised weights.
        """
        if config_file is not None:
            self._follow(config_file, checkpoint)
        if self._quantised:
            raise CheckpointError(
                f"{checkpoint.label} is quantised ({self._quantised}): its numbers are not the trained ones. "
                "Walk the checkpoint that it was made from",
                UNSUPPORTED,
            )
        tensors, matched = self._match(weights, checkpoint)
        try:
            with torch.no_grad():
                self._copy(tensors, matched, checkpoint)
        except CheckpointError:
            raise
        except Exception as error:  # tensors that a damaged pickle made, of no memory or on no device
            raise CheckpointError(f"{checkpoint.label}: its tensors could not be read: {error}", CORRUPT) from error

    def _follow(self, config_file: Path, checkpoint: Checkpoint) -> None:
        """Takes on what the step's own config says, where it says anything else than the step's before."""
        try:
            if (identity := config_identity(config_file)) == self._identity:
                return
            config = read_config(config_file)
            empty = empty_model(config, DTYPES[self.dtype])
        except (PythiaGeometryError, OSError) as error:
            raise CheckpointError(f"{checkpoint.label}: {error}", UNSUPPORTED) from error
        if differs := self._other_shape(names_of(empty), _shape_of(config)):
            raise CheckpointError(
                f"{checkpoint.label}: its config.json is of another model than the rest of the run: {differs}. Walk it "
                f"by itself: --steps {checkpoint.step}, into another --out",
                UNSUPPORTED,
            )
        self._take(config, empty)
        self._identity = identity

    def _other_shape(self, names: TensorNames, shape: Shape) -> str:
        mine, its = self.names.shapes, names.shapes
        for name in sorted(set(self.names.base) | set(names.base)):
            if mine.get(name) != its.get(name):
                return f"{name} has shape {its.get(name)}, not {mine.get(name)}"
        return "" if shape.layers == self.shape.layers else f"it has {shape.n_layers} blocks"

    def _match(
        self, weights: Path | Mapping[str, Tensor], checkpoint: Checkpoint
    ) -> tuple[Mapping[str, Tensor], Mapping[str, str]]:
        """The checkpoint's tensors, and under which names the module's are among them."""
        if not isinstance(weights, Path):
            return weights, self.names.match_parts(weights, self._slots, checkpoint)
        tensors = read_tensors(weights, checkpoint)
        try:
            return tensors, self.names.match(tensors, self.names.shapes, checkpoint)
        except CheckpointError as error:
            if not self.names.repacked or error.status != CORRUPT:
                raise
        tensors = repack(empty_model(self.module.config, torch.float32), tensors, checkpoint)
        return tensors, self.names.match(tensors, self.names.shapes, checkpoint)

    def _copy(self, tensors: Mapping[str, Tensor], matched: Mapping[str, str], checkpoint: Checkpoint) -> None:
        for slot, mine in self._slots.items():
            self._copy_one(mine, slot, tensors[matched[slot]], matched[slot], checkpoint)
        for target, source in self.names.tied.items() if self.has_head else ():
            owner, _, name = target.rpartition(".")
            tied = self.module.get_parameter(source)
            mine = tied
            if target in matched and not torch.equal(tensors[matched[target]], tensors[matched[source]]):
                held = self.module.get_parameter(target)  # the config says tied, the file has a head of its own
                mine = torch.nn.Parameter(torch.empty_like(tied), requires_grad=False) if held is tied else held
                self._copy_one(mine, target, tensors[matched[target]], matched[target], checkpoint)
            setattr(self.module.get_submodule(owner), name, mine)

    def _copy_one(self, mine: Tensor, slot: str, tensor: Tensor, name: str, checkpoint: Checkpoint) -> None:
        self.names.check_shape(slot, name, tuple(tensor.shape), checkpoint)
        _check_plain(name, tensor, checkpoint)
        mine.copy_(tensor.to(self.device))  # first over the bus in the file's narrower dtype, then converted


def _check_plain(name: str, tensor: Tensor, checkpoint: Checkpoint) -> None:
    """Plain floating-point weights, or an error."""
    if tensor.layout != torch.strided or tensor.dtype not in _WEIGHT_DTYPES:
        wrong = f"is {tensor.layout} {tensor.dtype}, not plain floating-point weights"
        raise CheckpointError(f"{checkpoint.label}: {name} {wrong}", CORRUPT)
