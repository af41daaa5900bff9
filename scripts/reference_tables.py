"""How tables that ship are written: nothing is lost, and a table of seven-digit numbers takes a third less than otherwise."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pythia_geometry.store.writing import replacing


def write_table(table: pd.DataFrame, file: Path) -> None:
    """Whole, or not at all.

    A column of measured numbers repeats no value, so a dictionary of them only costs room; split into their bytes, those
    that vary little (sign and exponent) lie side by side and pack well.
    """
    columns = pa.Table.from_pandas(table, preserve_index=False)
    numbers = [name for name in columns.column_names if pa.types.is_floating(columns.schema.field(name).type)]
    with replacing(file) as temporary:
        pq.write_table(
            columns, temporary, compression="zstd", compression_level=19,
            use_dictionary=[name for name in columns.column_names if name not in numbers],
            column_encoding=dict.fromkeys(numbers, "BYTE_STREAM_SPLIT"),
        )  # fmt: skip
