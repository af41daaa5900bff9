"""Checkpoints whose files hold other tensors than today's modules: each expert's own, where the module has all in one.

How they are put together is transformers' own table, for dozens of architectures; so it does it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pythia_geometry.errors import CheckpointError
from pythia_geometry.suites.checkpoint import CORRUPT, Checkpoint

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def repack(module: PreTrainedModel, tensors: Mapping[str, Tensor], checkpoint: Checkpoint) -> Mapping[str, Tensor]:
    """The module's tensors by their names there, made of a checkpoint's by transformers.

    Args:
        module: A model of the checkpoint's config; only its class and config are used.
        tensors: The checkpoint's, by their names in the files.
        checkpoint: For messages.

    Raises:
        CheckpointError: If they do not make exactly this model.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()
    load: Any = type(module).from_pretrained
    try:
        loaded, found = load(
            None, config=module.config, state_dict=dict(tensors), dtype=torch.float32, output_loading_info=True
        )
    except Exception as error:  # whatever other shapes make of the conversion
        raise CheckpointError(
            f"{checkpoint.label}: the weights do not fit the config: {str(error).splitlines()[0]}", CORRUPT
        ) from error
    wrong = {kind: sorted(map(str, names)) for kind, names in found.items() if names}
    if wrong:
        kind, names = next(iter(wrong.items()))
        raise CheckpointError(
            f"{checkpoint.label}: the weights do not fit the config: {kind.replace('_', ' ')}: {names[0]} "
            f"({sum(map(len, wrong.values()))} in all)",
            CORRUPT,
        )
    return dict(loaded.state_dict())
