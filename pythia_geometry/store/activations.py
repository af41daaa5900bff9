"""Files of pooled activations: one a checkpoint, one row group a layer, so that one layer is read alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pythia_geometry.errors import DamagedError
from pythia_geometry.store.seals import seal, verify
from pythia_geometry.store.writing import replacing

FLOAT16_MAX = 65_504.0


def add_activations(file: Path, probes: Mapping[str, NDArray[np.floating]], works: Mapping[str, str]) -> None:
    """Writes activations of several probes, beside those that the file already holds.

    Values are stored as float16, or as float32 in the whole file where one would overflow.

    Args:
        file: From `RunFolder.activations_file`.
        probes: Arrays [L, N, D] by probe name; they replace the file's own of that name.
        works: By probe name, the forward pass that made the array.

    Raises:
        DamagedError: If what the file already holds is not what was written; nothing was changed.
        OSError: If the disk gives out; the file is as it was.
    """
    held = file.exists()
    arrays = {**read_activations(file), **probes} if held else dict(probes)
    works = {**cached_works(file), **works} if held else works
    largest = max(float(np.nanmax(np.abs(np.where(np.isfinite(a), a, 0.0)))) for a in arrays.values())
    dtype = np.float16 if largest <= FLOAT16_MAX else np.float32
    with replacing(file) as temporary:
        _write(temporary, arrays, works, dtype)
        seal(temporary)


def read_activations(file: str | Path, layers: Sequence[int] | None = None) -> dict[str, NDArray[np.floating]]:
    """Pooled activations [L, N, D] by probe name.

    Args:
        file: One file of a run's `activations/` folder.
        layers: Indices of the layers to read; all where None. Each is one row group.

    Returns:
        float16 arrays; float32 where float16 would have overflowed.

    Raises:
        DamagedError: If the file is gone or is not what was written.
    """
    verify(Path(file))
    with _readable(file):
        return _arrays(pq.ParquetFile(file), layers)


def _arrays(parquet: pq.ParquetFile, layers: Sequence[int] | None) -> dict[str, NDArray[np.floating]]:
    groups = range(parquet.num_row_groups) if layers is None else layers
    by_probe: dict[str, list[NDArray[np.floating]]] = {}
    for group in groups:
        table = parquet.read_row_group(group)
        hidden = table["hidden"].combine_chunks()
        rows = hidden.flatten().to_numpy(zero_copy_only=False).reshape(len(table), hidden.type.list_size)
        names = table["probe"].to_numpy()
        starts = [0, *(np.flatnonzero(names[1:] != names[:-1]) + 1), len(names)]
        for start, stop in pairwise(starts):
            by_probe.setdefault(str(names[start]), []).append(rows[start:stop])
    return {name: np.stack(layers_of) for name, layers_of in by_probe.items()}


def cached_works(file: str | Path) -> dict[str, str]:
    """By the names of the probes that a file holds, the forward passes they come from; reads no activations.

    Raises:
        DamagedError: If the file cannot be read. That its activations are whole is found out when they are read.
    """
    with _readable(file):
        table = pq.ParquetFile(file).read_row_group(0, columns=["probe", "work"])
        return dict(zip(table["probe"].to_pylist(), table["work"].to_pylist(), strict=True))


@contextmanager
def _readable(file: str | Path) -> Iterator[None]:
    """Says in one word what Parquet's reader meets in a file that is none."""
    try:
        yield
    except (OSError, ValueError, LookupError, ArithmeticError, MemoryError, pa.ArrowException) as error:
        raise DamagedError(f"{Path(file).name} cannot be read") from error


def _write(
    path: Path, arrays: Mapping[str, NDArray[np.floating]], works: Mapping[str, str], dtype: type[np.floating]
) -> None:
    first = next(iter(arrays.values()))
    n_layers, width = first.shape[0], first.shape[2]
    vector = pa.list_(pa.from_numpy_dtype(dtype), width)
    schema = pa.schema(
        [
            ("layer_index", pa.int16()),
            ("probe", pa.string()),
            ("work", pa.string()),
            ("item", pa.int32()),
            ("hidden", vector),
        ]
    )
    which = pa.array(np.repeat(np.arange(len(arrays), dtype=np.int32), [a.shape[1] for a in arrays.values()]))
    names, made_by = (
        pa.DictionaryArray.from_arrays(which, list(of)).cast(pa.string()) for of in (arrays, [works[n] for n in arrays])
    )
    items = np.concatenate([np.arange(a.shape[1], dtype=np.int32) for a in arrays.values()])
    with pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        use_dictionary=["layer_index", "probe", "work"],
        column_encoding={"hidden.list.element": "BYTE_STREAM_SPLIT"},
    ) as writer:
        for layer in range(n_layers):
            flat = np.concatenate([a[layer] for a in arrays.values()]).astype(dtype).reshape(-1)
            hidden = pa.FixedSizeListArray.from_arrays(pa.array(flat), width)
            index = pa.array(np.full(len(items), layer, dtype=np.int16))
            columns = [index, names, made_by, pa.array(items), hidden]
            table = pa.Table.from_arrays(columns, schema=schema)
            writer.write_table(table, row_group_size=len(items))
