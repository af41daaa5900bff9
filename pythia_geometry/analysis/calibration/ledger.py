"""Finished chunks of a calibration, a line each in `calibration.jsonl`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pythia_geometry.store.writing import disk_errors

Moments = dict[str, tuple[float, float, int]]
"""By test: sum, sum of squares and number of its scores."""


class ChunkLedger:
    """Finished chunks, a line each; a line that a kill has torn is not read."""

    def __init__(self, folder: Path | None) -> None:
        self.file = folder / "calibration.jsonl" if folder else None
        self.done = dict(self._read()) if self.file and self.file.exists() else {}

    def _read(self) -> Iterator[tuple[str, Moments]]:
        assert self.file is not None
        for line in self.file.read_text().splitlines():
            try:
                record = json.loads(line)
                yield json.dumps(record["key"], sort_keys=True), {t: tuple(m) for t, m in record["moments"].items()}
            except (json.JSONDecodeError, KeyError, TypeError):
                continue

    def find(self, key: dict[str, Any]) -> Moments | None:
        """What a chunk found, if it is finished."""
        return self.done.get(json.dumps(key, sort_keys=True))

    def add(self, key: dict[str, Any], moments: Moments) -> None:
        """Keeps a finished chunk.

        Raises:
            MachineError: If the folder cannot be written.
        """
        if self.file is None:
            return
        with disk_errors(self.file.parent):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.open("a") as stream:
                # a torn line of a killed run has no end: begin on a new one
                stream.write("\n" + json.dumps({"key": key, "moments": moments}) + "\n")
