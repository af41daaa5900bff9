"""The evaluations that EleutherAI published beside Pythia: behaviour without a walk, over 27 steps.

Their quirks are in docs/emergence.md. Handled here or in `lm_eval`: misnamed files and models, steps 0 and 1 that are
one model, sample counts that are not stored, WSC, settings that change between steps 1000 and 3000.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pandas as pd

from pythia_geometry.analysis.lm_eval.file import todays_name
from pythia_geometry.analysis.lm_eval.results import read_files
from pythia_geometry.analysis.tables.reading import CURVE, RUN
from pythia_geometry.errors import MachineError, PythiaGeometryError
from pythia_geometry.json_files import JsonError, parse_json
from pythia_geometry.store.writing import disk_errors
from pythia_geometry.typed_path import typed_path

COMMIT = "4d0c90183683435b20890cabca52783c3b820d3c"
LISTING = "https://api.github.com/repos/EleutherAI/pythia/git/trees/{commit}?recursive=1"
FILE = "https://raw.githubusercontent.com/EleutherAI/pythia/{commit}/{path}"
ROOT = "evals/pythia-v1/"
SHOTS = ("zero-shot", "five-shot")
"""Folders with results of the released models. Beside them lie runs of other trainings (`intervention`, other batch
sizes) and `baseline`, which repeats some of these results."""

EXCLUDED = {"wsc": "excluded: 104 items, mostly one constant answer, never above its rate of .635 by more than an item"}
SAME_WEIGHTS = "same weights as step 1 (EleutherAI/pythia issue 83)"
TIMEOUT = 60


def read_published(folder: str | Path) -> pd.DataFrame:
    """Behaviour from a folder of the published evaluations.

    Args:
        folder: Any folder above the `zero-shot/` and `five-shot/` folders, such as `evals/pythia-v1` in a clone of
            EleutherAI/pythia, or what `fetch_published` filled.

    Returns:
        The `behaviour` table. `probe` is `lm-eval-v0/0-shot` or `lm-eval-v0/5-shot`: hendrycksTest in version 0
        scores the text of the answers and is not today's mmlu. `log_prob` of LAMBADA is −ln ppl. Rows not to be used
        have a reason: WSC, step 0 where it equals step 1, and metrics without a better end (crows_pairs). `source`
        changes where the harness settings did.

    Raises:
        PythiaGeometryError: If the folder holds none of them, or a file is damaged.
    """
    folder = typed_path(folder)
    files = _files(folder)
    if not files:
        raise PythiaGeometryError(
            f"{folder} holds no published evaluations. Expected <model>/zero-shot/*.json below it, as in {ROOT} of "
            "github.com/EleutherAI/pythia; fetch_published(folder) downloads them"
        )
    frame = read_files(files, str(folder))
    frame["source"] = "published, " + frame["source"]
    for task, reason in EXCLUDED.items():
        frame.loc[frame["task"] == task, "reason"] = reason
    return _mark_step_0(frame)


def is_published(folder: str | Path) -> bool:
    """Whether a folder holds evaluations that `read_published` reads."""
    return bool(_files(Path(folder)))


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*.json") if file.parent.name in SHOTS)


def _mark_step_0(frame: pd.DataFrame) -> pd.DataFrame:
    """Gives step 0 a reason in runs where every number of it equals that of step 1."""
    points = {step: frame[frame["step"] == step].set_index(CURVE)["value"] for step in (0, 1)}
    equal = (points[0] == points[1].reindex(points[0].index)).groupby(level=RUN).all()
    same = pd.MultiIndex.from_frame(frame[RUN]).isin(equal.index[equal])
    unmarked = (frame["step"] == 0) & same & (frame["reason"] == "")
    return frame.assign(reason=frame["reason"].mask(unmarked, SAME_WEIGHTS))


def fetch_published(
    folder: str | Path, models: Sequence[str] = (), commit: str = COMMIT, listing: str = LISTING, file: str = FILE
) -> Path:
    """Downloads the published evaluations; what already lies there, whole, is not asked for again.

    Args:
        folder: Where to put them.
        models: Such as `pythia-410m`; all where empty.
        commit: Of EleutherAI/pythia.
        listing: URL of the commit's file list, with `{commit}`.
        file: URL of one file, with `{commit}` and `{path}`.

    Returns:
        The folder, for `read_published`.

    Raises:
        PythiaGeometryError: If a model has no published evaluations.
        MachineError: If GitHub cannot be reached or serves something else than it lists, or the disk is full.
    """
    folder = typed_path(folder)
    hashes = _listed(folder / f".files-{commit}", listing.format(commit=commit))
    of_model = {path: todays_name(path.removeprefix(ROOT).split("/")[0]) for path in hashes}
    if absent := [model for model in models if model not in of_model.values()]:
        known = ", ".join(sorted(set(of_model.values())))
        raise PythiaGeometryError(f"No evaluations of {absent[0]} were published. Published: {known}")
    for path, sha1 in hashes.items():
        target = folder / path.removeprefix(ROOT)
        if models and of_model[path] not in models:
            continue
        if not target.is_file() or _git_sha1(target.read_bytes()) != sha1:
            _save(target, _get(file.format(commit=commit, path=path)), sha1)
    return folder


def _listed(kept: Path, url: str) -> dict[str, str]:
    """Git hash of every published result by its path; a commit's list never changes, so it is asked for once."""
    content = kept.read_bytes() if kept.is_file() else _get(url)
    try:
        listing: dict[str, Any] = parse_json(content, url)
        hashes = {entry["path"]: entry["sha"] for entry in listing["tree"] if entry["path"].endswith(".json")}
    except (JsonError, KeyError, TypeError) as error:
        kept.unlink(missing_ok=True)
        raise MachineError(f"{url} is no list of files: {error!r}. Try again later") from error
    if listing.get("truncated"):
        raise MachineError(f"{url} lists only a part of the files. Pass a folder with {ROOT} of a clone instead")
    _write(kept, content)
    return {p: sha for p, sha in hashes.items() if p.startswith(ROOT) and p.split("/")[-2] in SHOTS and ".." not in p}


def _get(url: str) -> bytes:
    if not url.startswith(("https://", "http://")):
        raise PythiaGeometryError(f"{url} is no http address")
    try:
        with urlopen(url, timeout=TIMEOUT) as response:  # noqa: S310 (scheme checked above)
            return bytes(response.read())
    except (URLError, OSError) as error:
        raise MachineError(
            f"Cannot download {url}: {error}. Pass a folder with evals/pythia-v1 of EleutherAI/pythia instead, or type "
            "the same again: what has arrived is kept"
        ) from error


def _save(target: Path, content: bytes, sha1: str) -> None:
    if _git_sha1(content) != sha1:
        raise MachineError(f"{target.name}: the bytes that arrived are not those that were listed. Type the same again")
    _write(target, content)


def _write(target: Path, content: bytes) -> None:
    with disk_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".tmp-{target.name}")
        temporary.write_bytes(content)
        temporary.replace(target)


def _git_sha1(content: bytes) -> str:
    """What git calls the file: the hash that GitHub lists."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
