"""What a --probes selection means."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.probes.probe_files import Item
from pythia_geometry.extraction.probes.probes import Probe, language_sets, load_probes, shipped_sets

SETS = [
    "arithmetic",
    "copying",
    "factual",
    "general",
    "in_context",
    "induction",
    "ioi",
    "logical",
    "numbered_lists",
    "semantics",
    "syntax",
]


def names(*selection: str) -> list[str]:
    return [probe.name for probe in load_probes(selection)]


def mine(folder: Path, *tasks: str, name: str = "mine.jsonl") -> str:
    path = folder / name
    rows = [{"id": str(i), "task": task, "prompt": f"a{i}", "target": " b"} for i, task in enumerate(tasks)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_sets_that_ship() -> None:
    assert language_sets() == SETS
    assert shipped_sets() == [*SETS, "algorithmic"]


@pytest.mark.parametrize(("selection", "n_tasks"), [("core", 26), ("all", 94), ("algorithmic", 24)])
def test_every_shipped_task_has_128_rows_of_unique_ids(selection: str, n_tasks: int) -> None:
    probes = load_probes([selection])
    assert len(probes) == len({probe.name for probe in probes}) == n_tasks
    assert {len(probe.items) for probe in probes} == {128}
    ids = [item.id for probe in probes for item in probe.items]
    assert len(ids) == len(set(ids))
    assert {probe.task for probe in probes} == {item.task for probe in probes for item in probe.items}


def test_all_is_every_language_set_and_core_a_part_of_it() -> None:
    assert names("all") == names(*SETS)
    assert set(names("core")) < set(names("all"))
    assert {name.split("/")[0] for name in names("core")} == set(SETS)


def test_selection_keeps_its_order_and_each_probe_comes_once() -> None:
    assert names("syntax/agreement_2", "ioi/ioi_short", "syntax/agreement_2") == [
        "syntax/agreement_2",
        "ioi/ioi_short",
    ]
    core, everything = names("core"), names("all")
    assert names(" core ", "all") == [*core, *(name for name in everything if name not in core)]


def test_control_is_another_probe_of_the_same_rows() -> None:
    plain, control = load_probes(["syntax/agreement_2", "syntax/agreement_2:shuffled"])
    assert (control.name, control.set_name, control.is_shuffled) == (
        "syntax/agreement_2:shuffled",
        "syntax:shuffled",
        True,
    )
    assert (plain.name, plain.is_shuffled) == ("syntax/agreement_2", False)
    assert control.items == plain.items
    assert control.sha256 != plain.sha256
    assert names("core:shuffled") == [f"{name}:shuffled" for name in names("core")]
    assert len(names("all:shuffled")) == 94


@pytest.mark.parametrize(
    ("name", "close"),
    [("cor", "core"), ("sintax", "syntax"), ("Syntax", "syntax"), ("coppying:shuffled", "copying")],
)
def test_unknown_probe_gets_a_suggestion(name: str, close: str) -> None:
    with pytest.raises(PythiaGeometryError) as caught:
        load_probes(["core", name])
    asked = name.removesuffix(":shuffled")
    assert str(caught.value).startswith(
        f"Unknown probe {asked!r}. Did you mean {close}? Expected core, all, arithmetic,"
    )
    assert str(caught.value).endswith("See: pythia-geom probes")


def test_unlike_anything_gets_no_suggestion() -> None:
    with pytest.raises(PythiaGeometryError, match=r"^Unknown probe 'zzz'\. Expected core"):
        load_probes(["zzz"])


def test_unknown_task_lists_those_of_the_set() -> None:
    with pytest.raises(PythiaGeometryError, match="Probe set 'ioi' has no task 'ioi_tiny'. Its tasks: .*ioi_short"):
        load_probes(["ioi/ioi_tiny"])


@pytest.mark.parametrize("selection", [[], [""], ["core", " "]])
def test_empty_selection_is_an_error(selection: list[str]) -> None:
    with pytest.raises(PythiaGeometryError, match="pythia-geom probes"):
        load_probes(selection)


def test_file_of_the_user_is_grouped_by_task(tmp_path: Path) -> None:
    path = mine(tmp_path, "x", "y", "x", "y", "y")
    first, second = load_probes([path])
    assert (first.name, [item.prompt for item in first.items]) == ("mine/x", ["a0", "a2"])
    assert (second.name, [item.prompt for item in second.items]) == ("mine/y", ["a1", "a3", "a4"])
    assert names(f"{path}:shuffled") == ["mine/x:shuffled", "mine/y:shuffled"]


def test_task_of_one_row_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PythiaGeometryError, match="Probe mine/y has 1 row. Geometry needs at least 2 rows a task"):
        load_probes([mine(tmp_path, "x", "y", "x")])


def probe_of(*rows: tuple[str, tuple[str, ...]], set_name: str = "set") -> Probe:
    return Probe(set_name, "task", tuple(Item(str(i), "task", "a", *row) for i, row in enumerate(rows)))


def test_chance_and_majority() -> None:
    probe = probe_of((" x", (" y",)), (" x", (" y", " z", " w")), (" y", ()), (" z", (" y",)))
    assert probe.chance == pytest.approx((1 / 2 + 1 / 4 + 0 + 1 / 2) / 4)
    assert probe.majority == 0.5


def test_identity_depends_on_rows_and_shuffling_and_not_on_the_sets_name() -> None:
    rows = ((" x", (" y",)), (" z", ()))
    identity = probe_of(*rows).sha256
    assert identity == probe_of(*rows, set_name="other").sha256
    others = [probe_of(*rows[::-1]), probe_of(rows[0]), probe_of((" x", (" q",)), rows[1])]
    others.append(probe_of(*rows, set_name="set:shuffled"))
    assert len({identity, *(probe.sha256 for probe in others)}) == 5
