"""From the hidden states after the final norm to logits, exactly as the architecture's own module makes them.

Most modules only apply their output head. Some scale or cap what comes out of it (Granite, Cohere, Gemma 2): for these
the module itself is called, with its blocks left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_LARGE = 100.0
"""Logits as large as these show every cap that is in use (Gemma 2: 30)."""


def head_of(module: PreTrainedModel) -> Callable[[Tensor], Tensor] | None:
    """What gives the module's logits [P, V] for hidden states [P, D]: its output head alone wherever that does.

    None where the weights cannot tell: a head of zeros, or of broken numbers, gives the same logits with and without
    a scale.
    """
    head: nn.Module = module.get_output_embeddings()
    weight: Tensor = head.weight  # type: ignore[assignment]
    rows_PD = torch.randn(4, weight.shape[-1], generator=torch.Generator().manual_seed(0))
    rows_PD = rows_PD.to(weight.device, weight.dtype)
    with torch.inference_mode():
        try:
            module_logits(module, rows_PD)
        except Exception:  # OPT calls a part of its base model: that its head is all is seen on a whole prompt
            return head
        size = head(rows_PD).float().abs().max().item()
        if not 0 < size < math.inf:
            return None
        rows_PD = rows_PD * (_LARGE / size)
        alone, own = head(rows_PD).float(), module_logits(module, rows_PD).float()
    if not torch.isfinite(alone).all():
        return None
    same = alone.shape == own.shape and torch.allclose(alone, own, rtol=1e-2, atol=1e-3)
    return head if same else partial(module_logits, module)


def module_logits(module: PreTrainedModel, rows_PD: Tensor) -> Tensor:
    """The logits [P, V] that the module makes of hidden states [P, D] after its final norm.

    Its base model answers with these states instead of computing its own, for this one call.
    """
    from transformers.modeling_outputs import MoeModelOutputWithPast

    asked = False

    def given(*_: object, **__: object) -> Any:
        nonlocal asked
        asked = True
        return MoeModelOutputWithPast(last_hidden_state=rows_PD[None])

    base = module.base_model
    base.forward = given  # on the instance: its class keeps its own
    try:
        logits: Tensor = module(inputs_embeds=rows_PD[None], use_cache=False).logits[0]
    finally:
        del base.forward
    if not asked:
        raise NotImplementedError(f"{type(module).__name__} goes round its base model")
    return logits
