"""A tiny random model of every architecture that public step repositories hold, as `save_pretrained` writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers.utils import logging

WORDS = 260
_ONE = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "vocab_size": WORDS,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
_GROUPED = {**_ONE, "num_key_value_heads": 2}
_GPT2 = {"n_embd": 32, "n_layer": 3, "n_head": 2, "n_positions": 128, "vocab_size": WORDS}
_OPT = {**_ONE, "ffn_dim": 64, "word_embed_proj_dim": 32}
_EXPERTS = {**_GROUPED, "num_experts": 4, "num_experts_per_tok": 2}

SETTINGS: dict[str, dict[str, Any]] = {
    "bloom": {"hidden_size": 32, "n_layer": 3, "n_head": 2, "vocab_size": WORDS},
    "codegen": {**_GPT2, "rotary_dim": 8},
    "cohere": _GROUPED,
    "falcon": {k: v for k, v in _ONE.items() if k != "intermediate_size"},
    "gemma2": {**_GROUPED, "head_dim": 16, "final_logit_softcapping": 5.0},
    "gpt2": _GPT2,
    "gpt_neo": {
        **{k: v for k, v in _ONE.items() if not k.startswith("num_")},
        "num_layers": 3,
        "num_heads": 2,
        "attention_types": [[["global", "local", "global"], 1]],
        "window_size": 4,
    },
    "gpt_neox": _ONE,
    "gptj": {**_GPT2, "rotary_dim": 8},
    "granite": {**_GROUPED, "logits_scaling": 8.0},
    "granitemoe": {**_GROUPED, "num_local_experts": 4, "num_experts_per_tok": 2, "logits_scaling": 4.0},
    "llama": _GROUPED,
    "mistral": _GROUPED,
    "mixtral": {**_GROUPED, "num_local_experts": 4, "num_experts_per_tok": 2},
    "mpt": {"d_model": 32, "n_layers": 3, "n_heads": 2, "vocab_size": WORDS, "max_seq_len": 128},
    "olmo": _ONE,
    "olmo2": _ONE,
    "olmo3": {**_ONE, "sliding_window": 4},
    "olmoe": _EXPERTS,
    "openai-gpt": _GPT2,
    "opt": _OPT,
    "opt-350m": {**_OPT, "word_embed_proj_dim": 16, "do_layer_norm_before": False},
    "phi": _ONE,
    "qwen2": _GROUPED,
    "qwen2_moe": {**_EXPERTS, "moe_intermediate_size": 32, "shared_expert_intermediate_size": 32},
    "smollm3": _GROUPED,
}
EAGER = {"bloom", "gemma2", "gpt_neo", "mpt", "openai-gpt"}
"""Those that cannot be computed by `sdpa`."""


def write(folder: Path, kind: str, seed: int = 0, **more: Any) -> None:
    """Writes a random model of an architecture, with weights large enough that everything in it matters."""
    logging.set_verbosity_error()
    config = AutoConfig.for_model("opt" if kind == "opt-350m" else kind, **{**SETTINGS[kind], **more})
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4)
    model.save_pretrained(folder)


def loaded(folder: Path) -> PreTrainedModel:
    """What transformers itself reads there, by its own choice of attention."""
    logging.disable_progress_bar()
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model.eval()
