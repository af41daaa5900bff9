"""From what the user types after --model to the suites it means."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.shipped import shipped_suites
from pythia_geometry.suites.local import LocalSuite
from pythia_geometry.suites.pythia import DECOUPLED_SEEDS, ORGANISATION, SIZES, checked, parse_name
from pythia_geometry.suites.steps.numbering import Naming
from pythia_geometry.suites.suite import Suite
from pythia_geometry.typed_path import typed_path

OFFLINE = "offline"
ALL_SEEDS = "all"
_SEED = re.compile(r"[0-9]{1,3}")
_LAB_RUN = re.compile(r"lab/(\w+)-(gpt2|neox)(-.*)?")
_PATTERNS_RUN = re.compile(r"lab/(linear-map|automata)-([0-9]+)(-.*)?")


Seeds = Sequence[int] | str
"""Numbers of seeds, or `all`."""


def find_suites(name: str, seeds: Seeds = (), naming: Naming | None = None) -> list[Suite]:
    """The suites that one `--model` means, one for each seed.

    Args:
        name: A suite that ships (`offline`, `language`), a folder of step folders, a Pythia model, a Hub repository.
        seeds: Seeds of a Pythia size, where 0 is the original run, or of lab runs (`lab/nano-gpt2` and 0, 1 mean
            `lab/nano-gpt2-seed0` and `-seed1`), or of a repository or folder whose names of steps tell seeds apart
            (`step1250-seed-default` is seed 0). `all` is every one there is. Empty means the run as named.
        naming: How the names of steps are read.

    Raises:
        PythiaGeometryError: If nothing of this name can exist.
    """
    if isinstance(seeds, str):
        seeds = _all_seeds(name, naming)
    of_seeds: Sequence[int | None] = seeds or (None,)
    numbered = [f"{name}-seed{seed}" for seed in seeds]
    if seeds and all(map(_is_folder, numbered)):
        return [LocalSuite(folder, naming) for folder in numbered]
    shipped = shipped_suites().get(name)
    if shipped or _is_folder(name):
        return [LocalSuite(shipped or name, naming, seed) for seed in of_seeds]
    # The Hub client takes a second to import: only here.
    from pythia_geometry.suites.hub.suite import HubSuite

    run = parse_name(name)
    if run is not None:
        chosen = [checked(replace(run, seed=seed)) for seed in seeds] if seeds else [run]
        return [HubSuite(r.repository, r, naming=naming) for r in chosen]
    if there := [folder for folder in numbered if _is_folder(folder)]:
        missing = next(folder for folder in numbered if folder not in there)
        raise PythiaGeometryError(f"There is no folder {missing}; of these seeds there are {', '.join(there)}")
    repository = _repository(name)
    return [HubSuite(repository, naming=naming, seed=seed) for seed in of_seeds]


def _all_seeds(name: str, naming: Naming | None) -> list[int]:
    """Every seed of a name, the original run (0) among them.

    Raises:
        PythiaGeometryError: If it has one seed only.
    """
    run = parse_name(name)
    if run is not None and (last := DECOUPLED_SEEDS.get(run.size, 0) if run.vary else run.shape.seeds):
        return list(range(1 if run.vary else 0, last + 1))
    beside = typed_path(name)
    numbered = [path.name.removeprefix(f"{beside.name}-seed") for path in beside.parent.glob(f"{beside.name}-seed*")]
    if found := sorted(int(number) for number in numbered if _SEED.fullmatch(number)):
        return found
    if run is None and (found := list(find_suites(name, (), naming)[0].seeds)):
        return found
    raise PythiaGeometryError(f"--seeds all: {name} has one seed. Leave --seeds away")


def _is_folder(name: str) -> bool:
    try:
        return Path(name).expanduser().is_dir()
    except (OSError, RuntimeError, ValueError):  # too long a name, no such user, a NUL byte
        return False


def _repository(name: str) -> str:
    """Checks that a name has the form of a Hub repository, so that it never becomes a path elsewhere."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    if (run := _LAB_RUN.fullmatch(name)) is not None:
        raise PythiaGeometryError(
            f"There is no folder {name}. Train it: pythia-geom lab train --scale {run[1]} --arch {run[2]}; "
            "see what was trained: pythia-geom lab list"
        )
    if (run := _PATTERNS_RUN.fullmatch(name)) is not None:
        raise PythiaGeometryError(
            f"There is no folder {name}. Train it: pythia-geom lab train --task {run[1]} --size {run[2]}; "
            "see what was trained: pythia-geom lab list"
        )
    looks_like_path = name.startswith((".", "/", "~")) or name.count("/") != 1
    try:
        validate_repo_id(name)
    except HFValidationError:
        looks_like_path = True
    if looks_like_path:
        shipped = shipped_suites()
        known = [*shipped, *(f"pythia-{size}" for size in SIZES)]
        close = get_close_matches(name, known, n=1)
        hint = f"Did you mean {close[0]}? " if close else ""
        raise PythiaGeometryError(
            f"Unknown model {name!r}. {hint}Expected {', '.join(shipped)}, a folder that holds step0/, step100/, …, "
            f"pythia-<size> ({', '.join(SIZES)}), or a Hub repository such as {ORGANISATION}/pythia-160m"
        )
    return name


def parse_seeds(text: str) -> list[int] | str:
    """Reads `3`, `1-9`, `0,3,5`, several of these joined by commas, or `all`: always numbers of seeds, never how many.

    Raises:
        PythiaGeometryError: If a word is no seed or range of seeds.
    """
    if text.strip() == ALL_SEEDS:
        return ALL_SEEDS
    seeds: set[int] = set()
    for word in (part.strip() for part in text.split(",")):
        first, dash, last = word.partition("-")
        is_number = _SEED.fullmatch(first) and (not dash or _SEED.fullmatch(last))
        if not is_number or (dash and int(last) < int(first)):
            raise PythiaGeometryError(f"--seeds does not understand {word!r}. Expected 3, 1-9, 0,3,5 or all")
        seeds.update(range(int(first), int(last or first) + 1))
    return sorted(seeds)
