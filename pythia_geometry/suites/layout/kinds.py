"""Kinds of checkpoint that are whole and are not read, told by the names of their files. None of them is corrupt."""

from __future__ import annotations

import re
from collections.abc import Collection

_SAVE = "Save the whole model with save_pretrained"

# By the names of files (those of folders end in /): what it is, and what to do.
_FILES = (
    (r"adapter_(config\.json|model\..*)", "an adapter (PEFT, such as LoRA), no model of its own",
     "Merge it into its base model (merge_and_unload) and save that"),
    (r".*\.gguf", "GGUF, the quantised weights of llama.cpp", "Walk the repository that they were made from"),
    (r"zero_to_fp32\.py|global_step\d+/|(.*_)?zero_pp_rank_.*|mp_rank_\d+_model_states\.pt",
     "the shards of DeepSpeed (ZeRO)", "Join them: python zero_to_fp32.py FOLDER OUT"),
    (r"pytorch_model_fsdp.*|.*\.distcp|\.metadata", "the shards of FSDP (a distributed checkpoint)",
     "Join them: accelerate merge-weights FOLDER OUT"),
    (r"mp_rank_\d+(_\d+)*/|latest_checkpointed_iteration\.txt|model_optim_rng\.pt|distrib_optim\.pt",
     "a checkpoint of Megatron", "Convert it to a transformers model"),
    (r"consolidated.*\.(pth|safetensors)", "weights in Meta's own layout", "Convert them to a transformers model"),
    (r".*\.(ckpt|nemo)|model\.ckpt.*", "a checkpoint of Lightning, NeMo or TensorFlow", _SAVE),
    (r"tf_model.*|.*\.h5|.*\.msgpack", "weights of TensorFlow or Flax", _SAVE),
    (r".*\.onnx|openvino_.*", "a compiled model", "Walk the repository that it was made from"),
    (r"(?!optimizer|scheduler|scaler|rng_state|random_states|training_args).*\.(pt|pth)",
     "a pickle under a name of its own", _SAVE),
)  # fmt: skip

_POINTER = b"version https://git-lfs"


def kind_of_files(names: Collection[str]) -> str:
    """What a revision holds in place of weights, in a sentence or two; empty where that is not known."""
    for pattern, what, cure in _FILES:
        if found := sorted(n for n in names if re.fullmatch(pattern, n)):
            return f"It holds {what} ({found[0]}), which is not supported. {cure}"
    return ""


def is_pointer(beginning: bytes) -> bool:
    """Whether a file is the text that Git keeps in place of a large file."""
    return beginning.startswith(_POINTER)
