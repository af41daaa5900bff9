"""Where the base model lies in a checkpoint's safetensors files, and its tensors once those bytes are in memory.

The library writes tensors by dtype, the longest first, and then by name. So a file of a GPT-NeoX begins with
`embed_out.weight`, goes on with all `gpt_neox.*`, and ends with the byte-wide masks: the base model is one span.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pythia_geometry.errors import CheckpointError
from pythia_geometry.extraction.loading.tensor_names import TensorNames
from pythia_geometry.suites.checkpoint import CORRUPT, Checkpoint, WeightFile
from pythia_geometry.suites.safetensors_header import Place, span_of

_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_ALIGNED = 64  # where the next file's bytes may begin in memory


@dataclass(frozen=True)
class BaseSpan:
    """The base model's part of one file.

    Attributes:
        file: The file.
        tensors: Its tensors of the base model, by their names there.
    """

    file: WeightFile
    tensors: Mapping[str, Place]

    @property
    def start(self) -> int:
        """First byte of the shortest span that holds all of them, whatever lies between."""
        return span_of(self.tensors)[0]

    @property
    def size(self) -> int:
        """Bytes of that span."""
        start, stop = span_of(self.tensors)
        return stop - start


def base_spans(
    checkpoint: Checkpoint, headers: Mapping[WeightFile, Mapping[str, Place]], names: TensorNames
) -> list[BaseSpan]:
    """The spans of the files that hold some of the base model.

    Args:
        checkpoint: For messages.
        headers: Of all its files, what lies where.
        names: What the config says.

    Raises:
        CheckpointError: If the files do not hold exactly the tensors of the config, output head included, each once,
            in its shape, and in floating-point numbers.
    """
    held: dict[str, Place] = {}
    for tensors in headers.values():
        if twice := set(held) & set(tensors):
            raise CheckpointError(f"{checkpoint.label}: two shards hold {min(twice)}", CORRUPT)
        held.update(tensors)
    matched = names.match_parts(held, names.shapes, checkpoint)
    for slot, name in matched.items():
        names.check_shape(slot, name, held[name].shape, checkpoint)
        if held[name].dtype not in _DTYPES:
            wrong = f"{name} is {held[name].dtype}, not plain floating-point weights"
            raise CheckpointError(f"{checkpoint.label}: {wrong}", CORRUPT)
    wanted = {matched[slot] for slot in names.base}
    found = [BaseSpan(file, {n: p for n, p in tensors.items() if n in wanted}) for file, tensors in headers.items()]
    return [span for span in found if span.tensors]


def places_in_memory(spans: Sequence[BaseSpan]) -> tuple[list[int], int]:
    """Where in one buffer each span begins, and how long the buffer must be."""
    starts, at = [], 0
    for span in spans:
        starts.append(at)
        at += -(-span.size // _ALIGNED) * _ALIGNED
    return starts, at


def tensors_in(buffer: bytearray, spans: Sequence[BaseSpan]) -> dict[str, Tensor]:
    """The base model's tensors by their names in the files; they share the buffer's memory."""
    return {
        name: _tensor(buffer, at + place.start - span.start, place)
        for at, span in zip(places_in_memory(spans)[0], spans, strict=True)
        for name, place in span.tensors.items()
    }


def _tensor(buffer: bytearray, at: int, place: Place) -> Tensor:
    dtype, n_bytes = _DTYPES[place.dtype], place.stop - place.start
    if n_bytes == 0:  # which `frombuffer` refuses
        return torch.empty(place.shape, dtype=dtype)
    return torch.frombuffer(buffer, dtype=dtype, count=n_bytes // dtype.itemsize, offset=at).reshape(place.shape)
