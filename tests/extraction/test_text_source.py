"""`--text`: every kind of source gives the same text, a dataset is read no further than needed, and the rest is said."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import datasets
import pandas as pd
import pytest

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.probes.text_source import read_text
from tests.hub.environment import client_environment
from tests.hub.repository import Repository
from tests.hub.server import LocalHub

ROWS = [f"Story {i}: the {'old ' * i}dog sleeps." for i in range(50)]
WHOLE = "\n\n".join(ROWS)
ON_THE_HUB = """
import sys
from pythia_geometry.errors import MachineError, PythiaGeometryError
from pythia_geometry.extraction.probes.text_source import read_text
try:
    print(read_text(sys.argv[1], 300))
except (MachineError, PythiaGeometryError) as error:
    print(type(error).__name__, error)
"""


def written(folder: Path, kind: str) -> Path:
    """The stories as one kind of source."""
    frame, path = pd.DataFrame({"n": range(50), "text": ROWS}), folder / f"stories.{kind}"
    if kind == "parquet":
        frame.to_parquet(path)
    elif kind == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    elif kind == "txt":
        path.write_text(WHOLE)
    else:
        path = folder / "stories"
        train = datasets.Dataset.from_pandas(frame)
        if kind == "folder":
            (path / "data").mkdir(parents=True)
            frame.to_parquet(path / "data" / "train-00000-of-00001.parquet")
        elif kind == "saved":
            train.save_to_disk(path)
        else:
            datasets.DatasetDict({"other": train.select([0]), "train": train}).save_to_disk(path)
    return path


@pytest.mark.parametrize("kind", ["txt", "parquet", "jsonl", "folder", "saved", "splits"])
def test_every_kind_of_source_gives_the_same_text(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    path = written(tmp_path, kind)
    assert read_text(str(path), 10**6) == ("stories", WHOLE)
    assert read_text(str(path), 300) == ("stories", WHOLE[:300])


def test_what_holds_no_text_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    pd.DataFrame({"content": ROWS, "n": range(50)}).to_parquet(tmp_path / "other.parquet")
    with pytest.raises(PythiaGeometryError, match="no column 'text' of texts; columns: content, n"):
        read_text(str(tmp_path / "other.parquet"), 300)
    (tmp_path / "numbers.jsonl").write_text('{"text": 3}\n')
    with pytest.raises(PythiaGeometryError, match="no column 'text' of texts"):
        read_text(str(tmp_path / "numbers.jsonl"), 300)
    (tmp_path / "gap.jsonl").write_text('{"text": "one"}\n{"text": null}\n')
    with pytest.raises(PythiaGeometryError, match="row 2 holds None"):
        read_text(str(tmp_path / "gap.jsonl"), 300)
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    (tmp_path / "empty").mkdir()
    (tmp_path / "latin.txt").write_bytes("Öl".encode("latin-1"))
    for name in ("bad.parquet", "empty", "latin.txt", "nothing.txt"):
        with pytest.raises(PythiaGeometryError, match=f"{name}.*Expected a UTF-8 text, a table"):
            read_text(str(tmp_path / name), 300)


def test_a_dataset_of_a_hub_is_read_by_its_name(tmp_path: Path) -> None:
    content = io.BytesIO()
    pd.DataFrame({"text": ROWS}).to_parquet(content)
    data, other = Repository("datasets/tests/stories"), Repository("datasets/tests/images")
    data.commit("main", {"data/train-00000-of-00001.parquet": content.getvalue()})
    content = io.BytesIO()
    pd.DataFrame({"image": ["a"]}).to_parquet(content)
    other.commit("main", {"data/train-00000-of-00001.parquet": content.getvalue()})
    with LocalHub([data, other]) as hub:

        def ask(name: str) -> str:
            done = subprocess.run(
                [sys.executable, "-W", "ignore", "-c", ON_THE_HUB, name],
                env=client_environment(hub.endpoint, tmp_path / "home"),
                capture_output=True,
                text=True,
                timeout=120,
            )
            return " ".join((done.stdout or done.stderr).split())

        assert ask("tests/stories") == repr(("stories", WHOLE[:300]))
        assert "PythiaGeometryError" in (said := ask("tests/images")) and "columns: image" in said
        assert "tests/nothing is no text and no dataset that loads" in ask("tests/nothing")
