"""The first rows of a checkpoint's token embedding, read without the rest of its weights.

A safetensors file tells in its header where each tensor lies. A `.bin` is a zip archive whose directory is at
its end, with a pickle that names the tensors: only the three kinds of object that describe a tensor are let
through, so nothing in it can run.
"""

from __future__ import annotations

import io
import json
import math
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pythia_geometry.errors import CheckpointError
from pythia_geometry.suites.checkpoint import CORRUPT, FAILED, Checkpoint
from pythia_geometry.suites.safetensors_header import read_header

MAX_NUMBERS = 2**18
"""Numbers read of each embedding: half a megabyte in float16. Low token ids are the frequent ones in BPE
vocabularies, so the first rows are those that training moves most."""

Read = Callable[[str, tuple[int, int] | None], bytes]
"""File name and span to bytes: `suite.read` with the checkpoint filled in."""

_EMBEDDING = re.compile(r"(?:.*\.)?(?:embed_in|embed_tokens|tok_embeddings|word_embeddings|wte)\.weight")
_BLOCK = 2**16
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_STORAGES = {"DoubleStorage": "F64", "FloatStorage": "F32", "HalfStorage": "F16", "BFloat16Storage": "BF16"}


@dataclass(frozen=True)
class _Place:
    """Where a matrix lies: dtype, shape, and its first byte in a file."""

    dtype: str
    shape: tuple[int, int]
    start: int

    def read(self, read: Callable[[tuple[int, int]], bytes]) -> NDArray[np.float32]:
        rows, width = self.shape
        n = min(rows, max(1, MAX_NUMBERS // width)) * width
        stop = self.start + n * np.dtype(_DTYPES[self.dtype]).itemsize
        numbers = np.frombuffer(read((self.start, stop)), dtype=_DTYPES[self.dtype])
        if len(numbers) != n:
            raise ValueError("the file ends inside the embedding")
        is_bfloat16 = self.dtype == "BF16"
        found = (numbers.astype(np.uint32) << 16).view(np.float32) if is_bfloat16 else numbers.astype(np.float32)
        if not np.isfinite(found).all():
            raise ValueError("it holds numbers that are not finite")
        return found


def read_embedding(checkpoint: Checkpoint, read: Read) -> NDArray[np.float32]:
    """The first rows of the embedding as one vector, about `MAX_NUMBERS` long and never less than one row.

    Args:
        checkpoint: With its files, in safetensors or `.bin`, whole or in shards.
        read: Reads part of a file.

    Raises:
        CheckpointError: If the files cannot be read in part, or hold no embedding under a name that is known.
    """
    try:
        name = checkpoint.files[0].name
        if checkpoint.extra_files and len(checkpoint.files) > 1:
            weight_map = json.loads(read(checkpoint.extra_files[0], None))["weight_map"]
            name = weight_map[_embedding_among(weight_map)]
        (file,) = (f for f in checkpoint.files if f.name == name)
        if name.endswith(".safetensors"):
            return _safetensors_place(name, read).read(lambda span: read(name, span))
        return _from_zip(_RangeFile(name, file.size, read))
    except (OSError, zipfile.BadZipFile) as error:  # a file of another kind, which may still be sound
        raise CheckpointError(f"the embedding could not be read: {error}", FAILED) from error
    except (ValueError, KeyError, TypeError, AttributeError, pickle.UnpicklingError, EOFError) as error:
        raise CheckpointError(f"the embedding could not be read: {error}", CORRUPT) from error


def _embedding_among(names: Any) -> str:
    found = sorted(name for name in names if _EMBEDDING.fullmatch(name))
    if not found:
        raise OSError("no tensor is called embed_in.weight, embed_tokens.weight or wte.weight")
    return str(found[0])


def _safetensors_place(name: str, read: Read) -> _Place:
    tensors, first = read_header(name, lambda start, stop: read(name, (start, stop)))
    tensor = tensors[_embedding_among(tensors)]
    return _place(tensor["dtype"], tensor["shape"], first + int(tensor["data_offsets"][0]))


def _place(dtype: str, shape: Any, start: int) -> _Place:
    if dtype not in _DTYPES or len(shape) != 2 or math.prod(shape) == 0:
        raise ValueError(f"the embedding is {dtype} of shape {list(shape)}, no matrix of floats")
    return _Place(dtype, (int(shape[0]), int(shape[1])), start)


# -- .bin ---------------------------------------------------------------------------------------------------


class _RangeFile(io.RawIOBase):
    """A remote file that `zipfile` can seek in; read in blocks, each once."""

    def __init__(self, name: str, size: int, read: Read) -> None:
        self.file_name, self.size, self.place = name, size, 0
        self._read, self._blocks = read, dict[int, bytes]()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.place = {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: self.size}[whence] + offset
        return self.place

    def readinto(self, buffer: Any) -> int:
        if self.place >= self.size:
            return 0
        number = self.place // _BLOCK
        if number not in self._blocks:
            self._blocks[number] = self.span((number * _BLOCK, min((number + 1) * _BLOCK, self.size)))
        inside = self._blocks[number][self.place - number * _BLOCK :][: len(buffer)]
        buffer[: len(inside)] = inside
        self.place += len(inside)
        return len(inside)

    def span(self, span: tuple[int, int]) -> bytes:
        return self._read(self.file_name, span)


def _from_zip(file: _RangeFile) -> NDArray[np.float32]:
    with zipfile.ZipFile(io.BufferedReader(file, _BLOCK)) as archive:
        pickled = next((n for n in archive.namelist() if n.endswith("/data.pkl")), None)
        if pickled is None:
            raise ValueError(f"{file.file_name} is no archive of tensors")
        tensors = _TensorNames(io.BytesIO(archive.read(pickled))).load()
        dtype, key, offset, shape = tensors[_embedding_among(tensors)]
        stored = archive.getinfo(f"{pickled.removesuffix('data.pkl')}data/{key}")
    if stored.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{file.file_name} is compressed")
    lengths = file.span((stored.header_offset + 26, stored.header_offset + 30))
    start = stored.header_offset + 30 + int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
    place = _place(dtype, shape, start)
    skipped = offset * np.dtype(_DTYPES[dtype]).itemsize
    return _Place(place.dtype, place.shape, start + skipped).read(file.span)


def _tensor(storage: tuple[str, str], offset: int, shape: Any, *_: Any) -> tuple[str, str, int, Any]:
    return (*storage, offset, shape)


def _parameter(tensor: Any, *_: Any) -> Any:
    return tensor


class _TensorNames(pickle.Unpickler):
    """Reads which tensors an archive holds and where; refuses every other object."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return _parameter
        if module == "torch" and name.endswith("Storage"):
            return _STORAGES.get(name, name)
        raise pickle.UnpicklingError(f"it holds {module}.{name}, which is no tensor")

    def persistent_load(self, pid: Any) -> tuple[str, str]:
        _, dtype, key, *_ = pid
        return str(dtype), str(key)
