"""What the work folder of an arm remembers between slices: whose it is, and what it was trained on."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pythia_geometry.store.writing import lock, replacing

RECORD = "arm.json"
Made = Mapping[str, str]


@contextmanager
def held(folder: Path, settings: Mapping[str, Any], here: Made, is_trained: bool) -> Iterator[dict[str, str]]:
    """Holds the folder for one process, and yields on what the arm was trained: all of it where slices differ.

    Args:
        folder: Of the arm.
        settings: Everything that decides its runs; a folder of others is refused, as its runs would pass for these.
        here: Commit, device and machine of this slice.
        is_trained: Whether all runs went to their end before this slice.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as stream:
        lock(stream, folder, "training")
        asked, file = json.loads(json.dumps(settings)), folder / RECORD
        found = json.loads(file.read_text()) if file.exists() else {"settings": asked, "made": []}
        if different := [f"{key} {value!r}" for key, value in found["settings"].items() if value != asked.get(key)]:
            sys.exit(
                f"{folder} holds runs of other settings ({', '.join(different)}). Remove it, or pass another --work"
            )
        if dict(here) not in found["made"] and not (is_trained and found["made"]):
            found["made"].append(dict(here))
        with replacing(file) as temporary:
            temporary.write_text(json.dumps(found, indent=2) + "\n")
        yield {key: "; ".join(dict.fromkeys(one[key] for one in found["made"])) for key in here}
