"""What a --model name means."""

from __future__ import annotations

from pathlib import Path

import pytest

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.suites.hub.suite import HubSuite
from pythia_geometry.suites.local import LocalSuite
from pythia_geometry.suites.named import find_suites, parse_seeds
from tests.suites_on_disk import tiny_suite


def hub_suites(name: str, seeds: tuple[int, ...] = ()) -> list[HubSuite]:
    found = find_suites(name, seeds)
    assert all(isinstance(suite, HubSuite) for suite in found)
    return [suite for suite in found if isinstance(suite, HubSuite)]


def test_offline_is_the_suite_that_ships() -> None:
    (suite,) = find_suites("offline")
    assert isinstance(suite, LocalSuite)
    assert (suite.model, suite.default_probes, suite.steps()[0]) == ("offline", ("algorithmic",), 0)
    assert suite.tokenizer_file().is_file()


def test_folder_comes_before_a_model_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pythia-160m" / "step5").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    (suite,) = find_suites("pythia-160m")
    assert isinstance(suite, LocalSuite)
    assert suite.steps() == [5]


def test_pythia_names_and_other_repositories() -> None:
    (suite,) = hub_suites("160m-deduped")
    assert (suite.repository, suite.suite, suite.model) == (
        "EleutherAI/pythia-160m-deduped",
        "pythia",
        "pythia-160m-deduped",
    )
    assert suite.default_probes == ("core",)
    (suite,) = hub_suites("allenai/OLMo-2-0425-1B")
    assert (suite.repository, suite.suite, suite.model) == ("allenai/OLMo-2-0425-1B", "hub", "OLMo-2-0425-1B")
    assert (suite.seed, suite.pythia_run, suite.notes) == (0, None, ())


def test_seeds_are_one_suite_each_in_the_order_asked() -> None:
    assert [(s.repository, s.model, s.seed) for s in hub_suites("pythia-70m", (3, 0))] == [
        ("EleutherAI/pythia-70m-seed3", "pythia-70m", 3),
        ("EleutherAI/pythia-70m", "pythia-70m", 0),
    ]
    assert [s.repository for s in hub_suites("pythia-160m-weight-seed1", (2, 3))] == [
        "EleutherAI/pythia-160m-weight-seed2",
        "EleutherAI/pythia-160m-weight-seed3",
    ]


@pytest.mark.parametrize(
    ("name", "seeds", "message"),
    [
        ("pythia-70m", (10,), "pythia-70m-seed10 does not exist"),
        ("pythia-1b", (0, 1), "pythia-1b-seed1 does not exist. Pythia 1b was trained with one seed"),
        ("pythia-70m-deduped", (1,), "pythia-70m-deduped-seed1 does not exist"),
        ("offline", (1,), "--seeds needs a Pythia size, or steps whose names tell seeds apart"),
        ("pythia-15m", (), "There is no Pythia of size '15m'"),
    ],
)
def test_seed_or_size_that_does_not_exist_is_refused(name: str, seeds: tuple[int, ...], message: str) -> None:
    with pytest.raises(PythiaGeometryError) as caught:
        find_suites(name, seeds)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "name",
    [
        "gpt2",
        "ofline",
        "/no/such/folder",
        "./no-such",
        "../up/x",
        "~/no/such",
        "a/b/c",
        "a//b",
        "a/b c",
        "a/..",
        "/a",
        "a/",
    ],
)
def test_name_that_can_be_nothing_is_refused_with_what_can(name: str) -> None:
    with pytest.raises(PythiaGeometryError) as caught:
        find_suites(name)
    assert str(caught.value).startswith(f"Unknown model {name!r}. ")
    assert "a folder that holds step0/, step100/" in str(caught.value)


@pytest.mark.parametrize(("name", "close"), [("ofline", "offline"), ("pythia160m", "pythia-160m")])
def test_slip_of_the_pen_is_suggested(name: str, close: str) -> None:
    with pytest.raises(PythiaGeometryError, match=f"Did you mean {close}[?] "):
        find_suites(name)


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("0", [0]), ("1-9", [*range(1, 10)]), (" 3, 0 ,5-6", [0, 3, 5, 6]), ("2,2,1-2", [1, 2]), ("4-4", [4])],
)
def test_seeds_are_read(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "''"),
        ("every", "'every'"),
        ("1,", "''"),
        ("-1", "'-1'"),
        ("1-", "'1-'"),
        ("9-1", "'9-1'"),
        ("1.5", "'1.5'"),
        ("1-2-3", "'1-2-3'"),
    ],
)
def test_word_that_is_no_seed_is_named(text: str, word: str) -> None:
    with pytest.raises(PythiaGeometryError) as caught:
        parse_seeds(text)
    assert str(caught.value) == f"--seeds does not understand {word}. Expected 3, 1-9, 0,3,5 or all"


def test_all_seeds_of_a_pythia_size_are_the_original_run_and_its_nine_twins() -> None:
    assert parse_seeds("all") == "all"
    assert [suite.seed for suite in find_suites("pythia-70m", "all")] == list(range(10))
    assert [suite.seed for suite in find_suites("pythia-160m-weight-seed1", "all")] == [1, 2, 3]


def test_all_seeds_of_folders_are_those_that_are_there(tmp_path: Path) -> None:
    for seed in (0, 2, 11):
        tiny_suite(tmp_path, (0, 1), f"run-seed{seed}")
    found = find_suites(str(tmp_path / "run"), "all")
    assert [Path(suite.origin).name for suite in found] == ["run-seed0", "run-seed2", "run-seed11"]


def test_all_seeds_of_what_has_one_is_said() -> None:
    with pytest.raises(PythiaGeometryError, match="pythia-1b has one seed"):
        find_suites("pythia-1b", "all")
