"""The register of measures is complete, and every public measure is explained by an example that runs."""

from __future__ import annotations

import doctest
import inspect
from collections.abc import Callable

import numpy as np
import pytest

from pythia_geometry import geometry
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.geometry import Cloud, Estimate
from pythia_geometry.measures import GROUPS, MEASURES, PAIR, RESIDUAL, chosen_measures
from pythia_geometry.runs.readings import READINGS

PUBLIC = [member for name in geometry.__all__ if inspect.isfunction(member := getattr(geometry, name))]
OF_CLOUD = [measure for measure in MEASURES.values() if measure.reads == RESIDUAL and measure.default]
OF_TWO = [measure for measure in MEASURES.values() if measure.reads == PAIR and measure.default]

NOT_ALONE = {"debiased_cka", "procrustes", "neighbourhood_overlap", "decoding"}
"""In the list under other names: against `previous` and `last`, or of labelled rows."""

every_function = pytest.mark.parametrize("function", PUBLIC, ids=lambda function: function.__name__)


def test_every_public_measure_is_registered_and_nothing_else() -> None:
    assert {entry.compute for entry in (*OF_CLOUD, *OF_TWO)} <= set(PUBLIC)
    assert {function.__name__ for function in PUBLIC} <= set(MEASURES) | {"linear_cka"} | NOT_ALONE


def test_names_are_unique_and_are_the_keys() -> None:
    assert list(MEASURES) == [entry.name for entry in MEASURES.values()]
    assert not set(MEASURES) & set(GROUPS)


def test_a_measure_is_named_after_its_function() -> None:
    assert [measure.compute.__name__ for measure in OF_CLOUD] == [measure.name for measure in OF_CLOUD]


def test_versions_are_positive_whole_numbers() -> None:
    assert all(type(entry.version) is int and entry.version >= 1 for entry in MEASURES.values())


def test_comparisons_are_with_the_previous_and_the_last_step() -> None:
    assert {measure.name: measure.against for measure in OF_TWO} == {
        "cka_previous": "previous",
        "cka_last": "last",
    }


def test_a_register_entry_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        MEASURES["rankme"].version = 2  # type: ignore[misc]


def test_every_entry_computes_an_estimate() -> None:
    rng = np.random.default_rng(0)
    here, there = Cloud(rng.normal(size=(12, 5))), Cloud(rng.normal(size=(12, 5)))
    found = [m.compute(here) for m in OF_CLOUD] + [m.compute(here, there) for m in OF_TWO]
    assert all(isinstance(e, Estimate) and np.isfinite(e[:2]).all() and e.n == 12 for e in found)


def test_every_entry_says_what_a_table_and_a_picture_need_to_know() -> None:
    for measure in MEASURES.values():
        assert measure.reads in READINGS
        assert measure.group in GROUPS
        assert measure.unit
        assert measure.range[0] < measure.range[1]
        assert measure.scale in ("linear", "log")
        assert bool(READINGS[measure.reads].holds) == bool(measure.against)


def test_a_selection_names_measures_and_groups_and_none_means_the_default() -> None:
    assert chosen_measures(()) == tuple(measure for measure in MEASURES.values() if measure.default)
    assert [m.name for m in chosen_measures(("twonn", "rankme"))] == ["rankme", "twonn"]
    whole_group = tuple(measure for measure in MEASURES.values() if measure.group == "representation")
    assert chosen_measures(("representation",)) == whole_group
    assert chosen_measures(("all",)) == tuple(MEASURES.values())


def test_an_unknown_measure_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(PythiaGeometryError, match="Did you mean rankme_centred"):
        chosen_measures(("rankme_centered",))


@every_function
def test_the_docstring_says_what_it_means_and_how_it_misleads(function: Callable[..., Estimate]) -> None:
    text = inspect.getdoc(function) or ""
    first = text.splitlines()[0]
    assert len(first) > 40 and first.endswith("."), "the first line is a sentence: what the number means"
    for section in ("How it misleads:", "Range ", "Args:", "Returns:", "Example:"):
        assert section in text, section
    assert "Source:" in text or "Same formula as `rankme`" in text
    for shape in ("[n, d]", "Estimate"):
        assert shape in text, shape


@every_function
def test_the_docstring_explains_every_argument(function: Callable[..., Estimate]) -> None:
    arguments = (inspect.getdoc(function) or "").split("Args:")[1].split("Returns:")[0]
    assert all(f"    {name}: " in arguments for name in inspect.signature(function).parameters)


@every_function
def test_the_example_in_the_docstring_runs(function: Callable[..., Estimate]) -> None:
    globs = {"np": np, function.__name__: function}
    tests = [t for t in doctest.DocTestFinder().find(function, globs=globs) if t.examples]
    assert len(tests) == 1
    said: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(tests[0], out=said.append)
    assert result.failed == 0, "".join(said)
