"""A walk's recipe: what the manifest keeps of a request, so that `--from` can ask for the same again.

What is on this disk (folders of checkpoints, probe files, a text) is kept by its absolute path; steps and measures one
by one, since `all` may mean more tomorrow. Where a walk runs (machines, disk budget) decides no number and is no part.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.probes.benchmark_items import PREFIX, HarnessOptions
from pythia_geometry.extraction.probes.probes import ALL, CORE, SHUFFLED, shipped_sets
from pythia_geometry.json_files import read_text
from pythia_geometry.measures import chosen_measures
from pythia_geometry.runs.plan import Plan
from pythia_geometry.runs.request import LOCAL, Request
from pythia_geometry.shipped import shipped_suites
from pythia_geometry.suites.named import OFFLINE, parse_seeds
from pythia_geometry.typed_path import typed_path

Recipe = dict[str, Any]

HERE = ("executor", "disk", "keep_weights")
"""Fields of a request that say where and how a walk runs, and decide no number."""

TEXT_SHA256 = "text_sha256"
_OPTIONS = {"models": "--model", "weight_format": "--format", "batch": "--batch"}
MOST_SHOWN = 6
"""Steps that are shown one by one."""


def recipe_of(plan: Plan) -> Recipe:
    """What to ask for to take a walk again."""
    request = plan.request
    kept = {name: value for name, value in asdict(request).items() if name not in HERE}
    origins = [run.suite.origin for run in plan.runs]
    numbered = bool(request.seeds) and all(map(_is_place, origins)) and not any(r.suite.seeds for r in plan.runs)
    return kept | {
        "models": origins if numbered else [_model_place(word) for word in request.models],
        "seeds": [] if numbered else request.seeds if isinstance(request.seeds, str) else list(request.seeds),
        "steps": _one_by_one(request.steps, [[c.step for c in run.checkpoints] for run in plan.runs]),
        "at": _one_by_one(request.at, [sorted(run.at) for run in plan.runs]) if request.at else "",
        "probes": [_probe_place(word) for word in request.probes],
        "measures": [measure.name for measure in request.chosen],
        "text": str(absolute(request.text)) if request.text else "",
        TEXT_SHA256: _sha256(request.text) if request.text else "",
        "device": request.resolved_device.partition(":")[0] if request.executor == LOCAL else request.device,
    }


def request_of(recipe: Any, beside: Path, include: str = "") -> Request:
    """The request that a recipe means on this machine.

    Args:
        recipe: As a manifest holds it: from anybody, so that every part is checked.
        beside: The manifest's folder, where what is not at its old place is looked for by its name.
        include: Folder of lm-eval's task definitions, as typed. One that a recipe names is never opened: such
            definitions can run code.

    Raises:
        PythiaGeometryError: If it is no recipe, or names what is not here.
    """
    if not isinstance(recipe, Mapping):
        raise _wrong("it is no list of settings")
    harness = recipe.get("harness", {})
    known = {field.name: field.default for field in fields(Request)}
    given = {
        name: _checked(name, value, known) for name, value in recipe.items() if name not in ("harness", TEXT_SHA256)
    }
    options = _harness(harness, include)
    if given.get("seeds") and not isinstance(given["seeds"], str):
        parse_seeds(",".join(map(str, given["seeds"])))  # of numbers that can be typed
    for name in ("models", "probes"):
        given[name] = tuple(_found(word, beside) for word in given.get(name, ()))
    given["text"] = _found(given["text"], beside) if given.get("text") else ""
    if given["text"] and _sha256(given["text"]) != recipe.get(TEXT_SHA256):
        raise PythiaGeometryError(f"The text {given['text']} is not the one of the walk: it has changed since")
    return Request(**{**given, "models": given["models"] or (OFFLINE,), "harness": options})


def spoken(request: Request) -> str:
    """A request as the command that asks for it; many steps are shortened."""
    usual = Request()
    words = ["pythia-geom"]
    for field in fields(Request):
        value = getattr(request, field.name)
        if field.name in ("device", "harness") or value == getattr(usual, field.name):
            continue
        if field.name == "measures" and chosen_measures(value) == usual.chosen:
            continue
        option = _OPTIONS.get(field.name, f"--{field.name.replace('_', '-')}")
        if field.name in ("models", "probes"):
            words += [word for one in value for word in (option, shlex.quote(one))]
        else:
            words += [option, shlex.quote(_shown(field.name, value))]
    harness = request.harness
    words += [] if harness.fewshot is None else ["--fewshot", str(harness.fewshot)]
    words += ["--limit", str(harness.limit)] if harness.limit else []
    words += ["--include", shlex.quote(harness.include)] if harness.include else []
    return " ".join(words)


def _shown(name: str, value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    steps = str(value).split(",")
    if name in ("steps", "at") and len(steps) > MOST_SHOWN:
        return f"{','.join(steps[:2])},…,{steps[-1]} ({len(steps)} steps)"
    return str(value)


def _one_by_one(words: str, chosen: Sequence[Sequence[int]]) -> str:
    """The steps themselves where all runs have the same; else the words."""
    return ",".join(map(str, chosen[0])) if all(list(c) == list(chosen[0]) for c in chosen) else words


def _model_place(word: str) -> str:
    """A model's name, or the folder that it names."""
    path = absolute(word)
    if path == shipped_suites().get(path.name):
        return path.name
    return str(path) if word not in shipped_suites() and path.is_dir() else word


def _probe_place(word: str) -> str:
    """A probe's name, or the file that it names."""
    base = word.strip().removesuffix(SHUFFLED)
    if _is_shipped(base):
        return word.strip()
    path = absolute(base)
    return f"{path}{word.strip()[len(base) :]}" if path.is_file() else word.strip()


def absolute(word: str) -> Path:
    """Where a word points, were it a path; nothing is asked of the disk."""
    try:
        return Path(word).expanduser().absolute()
    except (RuntimeError, ValueError):  # no such user, a NUL byte
        return Path(word)


def _sha256(file: str) -> str:
    """Of a text file, read with the bounds of what others wrote."""
    return hashlib.sha256(read_text(typed_path(file)).encode()).hexdigest()


def _is_place(word: str) -> bool:
    return Path(word).is_absolute()


def _found(word: str, beside: Path) -> str:
    """A word of a recipe; of what was on a disk, where it is here.

    Raises:
        PythiaGeometryError: If it is neither a name nor the place of something that is here.
    """
    base = word.removesuffix(SHUFFLED)
    if not _is_place(base):
        if base.startswith("~") or not {".", ".."}.isdisjoint(base.split("/")):
            raise _wrong(f"{word!r} is neither a name nor an absolute path")
        if not _is_shipped(base) and _exists(Path(base)):  # it would be read instead of what the name meant
            raise PythiaGeometryError(
                f"The walk read {base!r} by its name, and here a file or folder is called so. Type the command in "
                "another folder"
            )
        return word
    if _exists(Path(base)):
        return word
    here = beside / Path(base).name
    if here.name in ("", "..") or not _exists(here):
        raise PythiaGeometryError(
            f"The walk read {base}, which is not here. Put it where it was, or beside the manifest: {here}"
        )
    return f"{here}{word[len(base) :]}"


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # too long a name
        return False


def _is_shipped(base: str) -> bool:
    set_name = base.partition("/")[0].removesuffix(SHUFFLED)
    return base in (OFFLINE, CORE, ALL) or set_name in shipped_sets() or base.startswith(PREFIX)


def _checked(name: str, value: Any, known: Mapping[str, Any]) -> Any:
    """One field of a recipe, of the type that a request wants.

    Raises:
        PythiaGeometryError: If it is another, or no field.
    """
    if name not in known or name in HERE:
        raise _wrong(f"{name[:40]!r} is no setting that this version knows")
    if name in ("models", "probes", "measures") or (name == "seeds" and not isinstance(value, str)):
        kind = int if name == "seeds" else str
        if not isinstance(value, list) or not all(type(one) is kind and _is_plain(one) for one in value):
            raise _wrong(f"{name} must be a list of {'numbers' if kind is int else 'names'}, got {str(value)[:60]!r}")
        return tuple(value)
    kind = str if name == "seeds" else type(known[name])
    if type(value) is not kind or not _is_plain(value):
        raise _wrong(f"{name} must be a {'text' if kind is str else 'number'}, got {str(value)[:60]!r}")
    return value


def _harness(given: Any, include: str) -> HarnessOptions:
    if not isinstance(given, Mapping) or not set(given) <= {"fewshot", "limit", "include"}:
        raise _wrong("its settings of lm-eval are no such settings")
    fewshot, limit, folder = given.get("fewshot"), given.get("limit", 0), given.get("include", "")
    if type(fewshot) not in (int, type(None)) or type(limit) is not int or not isinstance(folder, str):
        raise _wrong("its settings of lm-eval are no such settings")
    if folder and not include:
        raise PythiaGeometryError(
            f"The walk used task definitions of its own, from {folder!r}. They can run code, so a manifest cannot name "
            "them: look at them, and add --include FOLDER"
        )
    return HarnessOptions(fewshot, limit, include)


def _is_plain(value: Any) -> bool:
    """Whether a text can be shown: nothing in it moves the cursor or ends the line."""
    return not isinstance(value, str) or value.isprintable()


def _wrong(why: str) -> PythiaGeometryError:
    return PythiaGeometryError(f"The manifest's recipe cannot be used: {why}. Type the walk's options instead")
