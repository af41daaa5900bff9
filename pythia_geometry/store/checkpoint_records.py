"""The folder `checkpoints/`: one record a checkpoint, with its row and the work that the tables show of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pythia_geometry.store.found import LABEL, Found, sorted_out
from pythia_geometry.store.parts import Part
from pythia_geometry.store.records import read_record, records_in

FOLDER = "checkpoints"
Known = dict[str, Any]
"""`row`; by question the `current` pieces of work; and `items`, the identities of all work that was ever done here."""


def scan_checkpoints(run: Path) -> Found[Known]:
    """All records of a run folder."""
    return sorted_out(records_in(run / FOLDER), read_checkpoint)


def read_checkpoint(file: Path) -> Known | None:
    """One record; None where it is another one's copy under a name of its own.

    Raises:
        DamagedError: If neither the file nor its copy is what was written.
    """
    if not LABEL.fullmatch(file.stem):
        return None
    held = read_record(file, is_old)
    label = held.get("label", _old_label(held["row"], file.stem))
    return {"items": [], **held} if label == file.stem else None


def is_old(content: Any) -> bool:
    """Whether this is a record as format 1 wrote it."""
    return isinstance(content, dict) and content.keys() == {"row", "current"} and isinstance(content["row"], dict)


def _old_label(row: Mapping[str, Any], name: str) -> str:
    """Whose record of format 1 this is: it does not say so itself."""
    if not {"model", "seed", "step"} <= row.keys():
        return name
    seed = f"-seed{row['seed']}" if row["seed"] else ""
    return f"{row['model']}{seed}@step{row['step']}"


def shown(known: Known) -> Iterator[str]:
    """Work whose rows the tables show: that of the weights which the checkpoint's row names, duplicates never.

    Nor what was read in part of a file that was found corrupt since.
    """
    row = known["row"]
    for works in known["current"].values():
        is_doubtful = row["status"] == "corrupt" and works.get("unchecked")
        is_refused = row["status"] in ("duplicate", "wrong", "suspect") or is_doubtful
        if not is_refused and works.get("weights") == row["weight_sha256"]:
            yield from works.values()


def gone(records: Found[Known], parts: Found[Part]) -> dict[str, set[str]]:
    """By checkpoint, the work that its record counts as done and that no whole part holds."""
    done = {item for part in parts.whole.values() for item in part.items}
    lacking = {path.stem: set(known["items"]) - done for path, known in records.whole.items()}
    return {label: items for label, items in lacking.items() if items}
