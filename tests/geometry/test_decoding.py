"""Decoding: what is in the rows is found, what is not is not, and memorising is told apart."""

from __future__ import annotations

import numpy as np
import pytest

from pythia_geometry.extraction.labelled import LabelledRows
from pythia_geometry.extraction.probes.encoding import EncodedItem, EncodedProbe
from pythia_geometry.extraction.probes.probes import Probe
from pythia_geometry.geometry import decoding as module
from pythia_geometry.geometry.decoding import PENALTIES, Questions, decoding
from tests.reference.ridge import ridge_guesses


def _rows(n: int, d: int, of_label: float, of_type: float) -> tuple[np.ndarray, Questions]:
    rng = np.random.default_rng(0)
    types, labels = rng.integers(0, 100, n), rng.integers(0, 10, n)
    x = of_label * rng.normal(size=(10, d))[labels] + of_type * rng.normal(size=(100, d))[types]
    return x + 0.5 * rng.normal(size=(n, d)), Questions(labels, types, np.arange(n))


@pytest.mark.parametrize("d", [60, 300])
def test_guesses_are_those_of_least_squares(d: int) -> None:
    x, questions = _rows(300, d, 0.3, 0.3)
    labels = np.asarray(questions.labels)
    found = list(module._guesses(x[:200], [labels[:200]], x[200:]))
    for penalty in (1e-4, 1.0, 100.0):
        expected = ridge_guesses(x[:200], labels[:200], x[200:], penalty)
        assert (found[PENALTIES.index(penalty)][0] == expected).mean() > 0.98


def test_labels_that_are_there_are_read_and_types_that_are_not_are_not_memorised() -> None:
    found = decoding(*_rows(1500, 64, 1.0, 0.0))
    assert found["decoding"].value > 0.99
    assert found["decoding_control"].value < 0.2
    assert found["decoding_selectivity"].value == pytest.approx(
        found["decoding"].value - found["decoding_control"].value
    )
    assert found["decoding"].n == 1500


def test_types_that_are_there_are_memorised() -> None:
    found = decoding(*_rows(1500, 64, 0.0, 1.0))
    assert found["decoding"].value == pytest.approx(0.1, abs=0.05)
    assert found["decoding_control"].value > 0.7
    assert found["decoding_selectivity"].value < -0.5


def test_noise_decodes_at_the_majoritys_share() -> None:
    x, questions = _rows(2000, 64, 0.0, 0.0)
    found = decoding(x, Questions((np.asarray(questions.labels) > 2) * 1, questions.types, questions.prompts))
    assert found["decoding"].value == pytest.approx(found["decoding_majority"].value, abs=0.04)
    assert found["decoding_majority"].value == pytest.approx(0.7, abs=0.05)


def test_a_prompt_is_never_in_both_parts() -> None:
    """Rows of noise, each prompt five times: with a split by rows it would be read off by recognising the prompt."""
    rng = np.random.default_rng(1)
    prompts = np.repeat(np.arange(300), 5)
    x = rng.normal(size=(300, 400))[prompts]
    labels = rng.integers(0, 4, 300)[prompts]
    found = decoding(x, Questions(labels, rng.integers(0, 20, 1500), prompts))
    assert found["decoding"].value < 0.45
    by_rows = decoding(x, Questions(labels, rng.integers(0, 20, 1500), np.arange(1500)))
    assert by_rows["decoding"].value > 0.9
    assert found["decoding"].error > 1.5 * by_rows["decoding_majority"].error


def test_the_error_is_the_spread_over_splits_and_data() -> None:
    values, errors = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        labels = rng.integers(0, 4, 1000)
        x = 0.4 * np.eye(8)[:4][labels] + 0.5 * rng.normal(size=(1000, 8))
        found = decoding(x, Questions(labels, rng.integers(0, 50, 1000), np.arange(1000)), seed)["decoding"]
        values.append(found.value)
        errors.append(found.error)
    assert np.mean(errors) == pytest.approx(np.std(values, ddof=1), rel=0.4)


def test_an_answer_position_needs_as_many_prompts_as_rows_are_asked_of() -> None:
    def rows(n: int, prompts: int, length: int) -> list[EncodedItem]:
        return [EncodedItem((i % prompts,), (1,) * length, ()) for i in range(n)]

    few = LabelledRows(EncodedProbe(Probe("p", "t", ()), (*rows(1000, 1000, 1), *rows(1000, 10, 2))), "p")
    many = LabelledRows(EncodedProbe(Probe("p", "t", ()), tuple(rows(1000, 1000, 2))), "p")
    assert (few.prompts, few.answers, many.answers) == (1000, 1, 2)


def test_what_cannot_be_asked_has_a_reason() -> None:
    x, q = _rows(999, 10, 1.0, 1.0)
    assert "needs 1000 rows; got 999" in decoding(x, q)["decoding"].reason
    x, q = _rows(1000, 10, 1.0, 1.0)
    same = decoding(x, Questions(np.zeros(1000), q.types, q.prompts))
    assert np.isnan(same["decoding_majority"].value) and "labels are the same" in same["decoding"].reason
    assert "rows are the same" in decoding(np.ones((1000, 3)), q)["decoding"].reason
    assert "non-finite activations in 1000" in decoding(x * np.nan, q)["decoding"].reason
    unseen = decoding(x, Questions(q.labels, np.arange(1000), q.prompts))
    assert (
        np.isnan(unseen["decoding_selectivity"].value)
        and "nothing could be memorised" in unseen["decoding_selectivity"].reason
    )
    assert np.isfinite(unseen["decoding"].value)
    with pytest.raises(ValueError, match="n labels, types and prompts"):
        decoding(x[:500], q)


def test_the_split_is_the_seeds() -> None:
    x, q = _rows(1000, 16, 0.3, 0.3)
    assert decoding(x, q) == decoding(x, q)
    assert decoding(x, q) != decoding(x, q, seed=1)
