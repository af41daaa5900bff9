"""The lab's models have the sizes that the paper states."""

from __future__ import annotations

import pytest

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.lab.model import ARCHITECTURES, SCALES, build_model, count_parameters, make_config, scale_named


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", ["smoke", "nano", "quad", "micro"])
def test_the_count_is_that_of_the_built_model(name: str, architecture: str) -> None:
    built = sum(p.numel() for p in build_model(SCALES[name], architecture, seed=0).parameters())
    assert built == count_parameters(SCALES[name])


def test_scales_have_the_papers_sizes() -> None:
    counts = {name: count_parameters(scale) for name, scale in SCALES.items()}
    assert counts["nano"] == 404_992
    assert [round(counts[n] / 1e6, 1) for n in ("micro", "small", "medium", "large", "xl")] == [
        3.2,
        10.7,
        25.3,
        85.1,
        151.2,
    ]


def test_the_seed_alone_decides_the_weights() -> None:
    first, again, other = (build_model(SCALES["smoke"], "neox", seed).state_dict() for seed in (1, 1, 2))
    assert all(first[k].equal(again[k]) for k in first)
    assert not all(first[k].equal(other[k]) for k in first)


def test_unknown_names_say_what_there_is() -> None:
    with pytest.raises(PythiaGeometryError, match="no scale 'giant'. Scales: smoke, nano"):
        scale_named("giant")
    with pytest.raises(PythiaGeometryError, match="no architecture 'rnn'. Architectures: gpt2, neox"):
        make_config(SCALES["nano"], "rnn")
