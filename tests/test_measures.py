"""The register of measures is complete, and every public measure is explained by an example that runs."""

from __future__ import annotations

import doctest
import inspect
from collections.abc import Callable

import numpy as np
import pytest

from pythia_geometry import geometry
from pythia_geometry.geometry import Cloud, Estimate
from pythia_geometry.measures import COMPARISONS, MEASURES, Comparison, Measure

PUBLIC = [member for name in geometry.__all__ if inspect.isfunction(member := getattr(geometry, name))]
REGISTERED: list[Measure | Comparison] = [*MEASURES.values(), *COMPARISONS.values()]

every_function = pytest.mark.parametrize("function", PUBLIC, ids=lambda function: function.__name__)


def test_every_public_measure_is_registered_and_nothing_else() -> None:
    assert {entry.compute for entry in REGISTERED} == set(PUBLIC)


def test_names_are_unique_and_are_the_keys() -> None:
    assert [*MEASURES, *COMPARISONS] == [entry.name for entry in REGISTERED]
    assert len({entry.name for entry in REGISTERED}) == len(REGISTERED)


def test_a_measure_is_named_after_its_function() -> None:
    assert {name: measure.compute.__name__ for name, measure in MEASURES.items()} == {n: n for n in MEASURES}


def test_versions_are_positive_whole_numbers() -> None:
    assert all(type(entry.version) is int and entry.version >= 1 for entry in REGISTERED)


def test_comparisons_are_with_the_previous_and_the_last_step() -> None:
    assert {name: c.reference for name, c in COMPARISONS.items()} == {
        "cka_previous": "previous",
        "cka_last": "last",
    }


def test_a_register_entry_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        MEASURES["rankme"].version = 2  # type: ignore[misc]


def test_every_entry_computes_an_estimate() -> None:
    rng = np.random.default_rng(0)
    here, there = Cloud(rng.normal(size=(12, 5))), Cloud(rng.normal(size=(12, 5)))
    found = [m.compute(here) for m in MEASURES.values()] + [c.compute(here, there) for c in COMPARISONS.values()]
    assert all(isinstance(e, Estimate) and np.isfinite(e[:2]).all() and e.n == 12 for e in found)


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
