"""What a checkpoint is whose tensors are not a plain model's: told by their names, so that nobody looks for damage."""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import takewhile

_KINDS = (
    (
        re.compile(r"\.lora_[AB]\.|\.lora_embedding_[AB]\.|^base_model\.model\."),
        "an adapter (PEFT) and not whole weights: merge it into its base model first (merge_and_unload)",
    ),
    (
        re.compile(
            r"\.(qweight|qzeros|scales|g_idx|SCB|absmax|quant_map|weight_scale|weight_scale_inv|weight_packed|qscales)$"
            r"|\.quant_state\."
        ),
        "quantised weights, whose numbers are not the trained ones: walk the checkpoint that they were made from",
    ),
    (
        re.compile(r"^(v_head|value_head|score|classifier|qa_outputs)\."),
        "a head that no language model has (a value head or a classifier): remove those tensors and save it again",
    ),
    (
        re.compile(r"_fsdp_wrapped_module|_flat_param|^language_model\.encoder\.|^module\.encoder\.|\.flat_param$"),
        "a training framework's own shards: convert them to the Hub's layout first (save_pretrained)",
    ),
)


def what_it_is(held: Collection[str], known: Collection[str]) -> str:
    """What kind of checkpoint has such names, and what to do; empty where it looks like a damaged or another model.

    Args:
        held: Names in the files.
        known: Names of the model's tensors, under every name that files may give them.
    """
    unknown = sorted(set(held) - set(known))
    for pattern, kind in _KINDS:
        if example := next((name for name in unknown if pattern.search(name)), None):
            return f"it holds {example}: {kind}"
    prefix = "" if set(held) & set(known) else _common(held)
    while prefix:
        if {name.removeprefix(f"{prefix}.") for name in held} & set(known):
            return (
                f"every name begins with the prefix {prefix + '.'!r}: it was saved through a wrapper "
                "(torch.compile, DistributedDataParallel). Save the model inside it, or rename the tensors"
            )
        prefix = prefix.rpartition(".")[0]
    return ""


def _common(names: Collection[str]) -> str:
    """The dotted parts that all names begin with."""
    first, last = min(names, default="").split("."), max(names, default="").split(".")
    same = takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return ".".join(part for part, _ in same)
