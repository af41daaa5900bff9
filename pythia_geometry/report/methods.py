"""The methods paragraph of a run: what its manifest says was done, in words for a paper, with what to cite."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from pythia_geometry.shipped import data_folder
from pythia_geometry.store.results import Result
from pythia_geometry.suites.checkpoint import OK

MOST_NAMED = 8
"""Tasks that are named one by one."""

Facts = Mapping[str, Any]


def methods(manifest: Facts, checkpoints: pd.DataFrame, results: Mapping[str, Result]) -> list[str]:
    """Paragraphs: what was done, then one a reference.

    Args:
        manifest: Of the run folder.
        checkpoints: Its table: which steps were read, and which could not be.
        results: What commands kept there.

    Returns:
        Paragraphs of plain text. What the manifest does not know is said, not guessed.
    """
    walks = [walk for walk in _list(manifest, "walks") if isinstance(walk, Mapping)]
    if not walks:
        return ["The manifest keeps no versions and settings: an earlier version wrote it, or it was damaged."]
    cited = _references(manifest, walks, results)
    numbers = {topic: n for n, (_, topics) in enumerate(cited, start=1) for topic in topics}
    said = [
        _models(manifest, checkpoints, numbers),
        _reading(manifest, walks),
        _prompts(manifest),
        _measures(walks, cited),
        *_tests(results, numbers),
        "The questions are those of [1] and [2].",
        f"Software: {_software(walks)}.",
    ]
    return [" ".join(said), *(f"[{n}] {cite}" for n, (cite, _) in enumerate(cited, start=1))]


def _models(manifest: Facts, checkpoints: pd.DataFrame, numbers: Mapping[str, int]) -> str:
    runs = _mapping(manifest, "runs")
    used, bad = checkpoints[checkpoints["status"] == OK], checkpoints[checkpoints["status"] != OK]
    steps = used["step"]
    between = f", steps {steps.min():,} to {steps.max():,}" if len(used) else ""
    cite = sorted({numbers[topic] for topic in numbers if topic.startswith("model:") or topic == "seeds"})
    said = f"We read {len(used)} checkpoints{between}, of {_and(runs)}{_brackets(cite)}."
    if len(bad):
        counts = _and(f"{n} {status}" for status, n in bad["status"].value_counts().items())
        said += f" {len(bad)} further checkpoints were not used ({counts}); each is listed with its reason."
    notes = dict.fromkeys(note for facts in runs.values() for note in _list(facts, "notes"))
    return said + "".join(f" Note: {note}." for note in notes)


def _reading(manifest: Facts, walks: Sequence[Facts]) -> str:
    runs = _mapping(manifest, "runs").values()
    blocks = _and(dict.fromkeys(str(_get(facts, "n_layers")) for facts in runs))
    place = {"last": "at the last prompt token", "mean": "as the mean over prompt tokens"}
    where = _and(place.get(position, position) for position in _settings(walks, "position"))
    dtype, kernel, device, batch = (_and(_settings(walks, n)) for n in ("dtype", "attention", "device", "batch"))
    said = (
        f"Forward passes ran in {dtype} with the {kernel} attention kernel on {device}, {batch} prompts at a time, "
        f"without padding. Activations were read {where}, after the embedding, after each of the {blocks} blocks and "
        "after the final norm."
    )
    if "ranges" in _settings(walks, "fetch"):
        said += " Some walks read the base model's weights only, which gives geometry without behaviour."
    return said


def _prompts(manifest: Facts) -> str:
    probes = _mapping(manifest, "probes")
    rows = [count for facts in probes.values() if isinstance(count := _get(facts, "rows"), int)]
    names = list(probes)
    named = _and(names) if len(names) <= MOST_NAMED else f"of the sets {_and(_sets(names))}"
    span = "" if not rows else f"{min(rows)} to {max(rows)}" if min(rows) < max(rows) else f"{rows[0]}"
    said = f"Prompts: {len(names)} task{'s' * (len(names) != 1)} of {span} prompts ({named})."
    if any(name.endswith(":shuffled") for name in names):
        said += " In tasks named shuffled all tokens of a prompt but the last are permuted, seeded by the item's id."
    return said + " Accuracy and log-probability of the answers are of the same forward passes."


def _measures(walks: Sequence[Facts], cited: Sequence[tuple[str, frozenset[str]]]) -> str:
    taken = list(dict.fromkeys(name for walk in walks for name in _list(_mapping(walk, "settings"), "measures")))
    said = [f"{name}{_brackets(n for n, (_, topics) in enumerate(cited, start=1) if name in topics)}" for name in taken]
    return (
        f"Measures: {_and(said)}. Errors are one standard error over prompts, or over templates where prompts share "
        "them; geometry is computed in float64."
    )


def _tests(results: Mapping[str, Result], numbers: Mapping[str, int]) -> Iterator[str]:
    if "precursors" in results:
        yield (
            "Whether geometry leads behaviour was tested by the task-matched lag, against the geometry of other tasks; "
            f"power was computed first, on behaviour alone, and p adjusted after Holm [{numbers['precursors']}]"
            f"{_settings_of(results['precursors'])}."
        )
    if "claims" in results:
        yield f"Published claims were judged by the rules of pythia-geom compare{_settings_of(results['claims'])}."


def _settings_of(result: Result) -> str:
    said = ", ".join(f"{key} {value}" for key, value in result.settings.items() if value not in ("", None, []))
    return f" ({said})" if said else ""


def _software(walks: Sequence[Facts]) -> str:
    newest = walks[-1]
    versions = {"pythia-geometry": newest.get("pythia_geometry"), "Python": newest.get("python")}
    said = ", ".join(f"{name} {number}" for name, number in {**versions, **_mapping(newest, "versions")}.items())
    others = len({str(walk.get("versions")) + str(walk.get("pythia_geometry")) for walk in walks}) > 1
    return said + (
        " (the last walk; earlier ones ran with other versions, which manifest.json lists)" if others else ""
    )


def _references(
    manifest: Facts, walks: Sequence[Facts], results: Mapping[str, Result]
) -> list[tuple[str, frozenset[str]]]:
    """What to cite, each with the topics that it is cited for."""
    held = tomllib.loads((data_folder() / "references.toml").read_text(encoding="utf-8"))["reference"]
    runs = _mapping(manifest, "runs")
    topics = {"always", *results, *(f"model:{_get(facts, 'suite')}" for facts in runs.values())}
    topics |= {name for walk in walks for name in _list(_mapping(walk, "settings"), "measures")}
    topics |= {"lm-eval"} if any(_get(facts, "lm_eval") for facts in _mapping(manifest, "probes").values()) else set()
    is_pythia = any(_get(facts, "suite") == "pythia" and _get(facts, "seed") for facts in runs.values())
    topics |= {"seeds"} if is_pythia else set()
    return [(one["cite"], frozenset(one["for"])) for one in held if topics & set(one["for"])]


def _settings(walks: Sequence[Facts], name: str) -> list[str]:
    """Every value that the walks had for a setting."""
    return list(dict.fromkeys(str(_mapping(walk, "settings").get(name, "unknown")) for walk in walks))


def _sets(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name.partition("/")[0] for name in names))


def _and(words: Iterable[object]) -> str:
    *first, last = list(map(str, words)) or ["nothing"]
    return f"{', '.join(first)} and {last}" if first else last


def _brackets(numbers: Iterable[int]) -> str:
    said = ", ".join(map(str, numbers))
    return f" [{said}]" if said else ""


def _get(facts: object, name: str) -> Any:
    return facts.get(name, "") if isinstance(facts, Mapping) else ""


def _mapping(facts: object, name: str) -> Facts:
    part = _get(facts, name)
    return part if isinstance(part, Mapping) else {}


def _list(facts: object, name: str) -> list[Any]:
    part = _get(facts, name)
    return part if isinstance(part, list) else []
