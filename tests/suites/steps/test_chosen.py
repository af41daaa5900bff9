"""Which steps a selection means."""

from __future__ import annotations

import pytest

from pythia_geometry.errors import EXIT_USER, PythiaGeometryError
from pythia_geometry.suites.pythia import STEPS
from pythia_geometry.suites.steps.chosen import log_steps, parse_steps

RUN = "pythia-160m"
LOG = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000, 2000, 4000, 8000, 16000, 33000, 66000, 131000, 143000]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all", list(STEPS)),
        ("log", LOG),
        ("last", [143000]),
        ("0", [0]),
        ("143000,0,512", [0, 512, 143000]),
        ("90000,143000,8000", [8000, 90000, 143000]),
        (" 512 ,\t0 ", [0, 512]),
        ("1000,1000,0-1,1", [0, 1, 1000]),
        ("0-16", [0, 1, 2, 4, 8, 16]),
        ("512-512", [512]),
        ("3-5", [4]),
        ("140000-999999", [140000, 141000, 142000, 143000]),
        ("1000-10000:3000", [1000, 4000, 7000, 10000]),
        ("500-3000:500", [1000, 2000, 3000]),
        ("0-512:128", [0, 128, 256, 512]),
        ("1-9:3", [1, 4]),
        ("0-2000:1", [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000, 2000]),
        ("last,0-2,90000", [0, 1, 2, 90000, 143000]),
        ("0,log,1000-10000:3000,last", sorted({*LOG, 1000, 4000, 7000, 10000})),
        ("all,5000", list(STEPS)),
    ],
)
def test_selection_means_these_steps(text: str, expected: list[int]) -> None:
    assert parse_steps(text, STEPS, RUN) == expected


def test_message_for_a_step_between_two_checkpoints() -> None:
    with pytest.raises(PythiaGeometryError) as caught:
        parse_steps("0,1500", STEPS, RUN)
    assert str(caught.value) == (
        "Step 1500 is not a checkpoint of pythia-160m. Nearest: 1000, 2000. All 154: pythia-geom steps pythia-160m"
    )
    assert caught.value.exit_code == EXIT_USER


@pytest.mark.parametrize(
    ("text", "available", "nearest"),
    [
        ("3", (0, 1, 2, 4), "2, 4"),
        ("200000", STEPS, "143000"),
        ("5", (10, 20), "10"),
        ("90001", (8000, 90000, 143000), "90000, 143000"),
    ],
)
def test_nearest_are_the_numeric_neighbours(text: str, available: tuple[int, ...], nearest: str) -> None:
    with pytest.raises(PythiaGeometryError) as caught:
        parse_steps(text, available, "my-run")
    assert str(caught.value) == (
        f"Step {text} is not a checkpoint of my-run. Nearest: {nearest}. All {len(available)}: pythia-geom steps my-run"
    )


def test_stride_of_zero_is_refused_and_not_read_as_no_stride() -> None:
    with pytest.raises(PythiaGeometryError, match=r"--steps 0-1000:0: the stride must be at least 1"):
        parse_steps("0-1000:0", STEPS, RUN)


@pytest.mark.parametrize("text", ["2000-1000", "129-255", "200000-300000", "3-9:4"])
def test_range_that_holds_no_checkpoint_is_an_error_that_says_where_they_are(text: str) -> None:
    with pytest.raises(PythiaGeometryError) as caught:
        parse_steps(text, STEPS, RUN)
    assert str(caught.value) == (
        f"--steps {text} selects none of the 154 checkpoints of pythia-160m (they run from 0 to 143000). "
        "See: pythia-geom steps pythia-160m"
    )


def test_an_empty_range_is_an_error_beside_one_that_is_not() -> None:
    with pytest.raises(PythiaGeometryError, match="129-255 selects none"):
        parse_steps("0,129-255", STEPS, RUN)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "''"),
        ("0,,1", "''"),
        ("0,", "''"),
        ("ALL", "'ALL'"),
        ("step5", "'step5'"),
        ("-5", "'-5'"),
        ("1.5", "'1.5'"),
        ("1e3", "'1e3'"),
        ("1000:2000", "'1000:2000'"),
        ("1-2-3", "'1-2-3'"),
        ("1000-", "'1000-'"),
        ("1000-2000:", "'1000-2000:'"),
        ("1000-2000:-5", "'1000-2000:-5'"),
        ("1 2", "'1 2'"),
        ("0,log2", "'log2'"),
        ("5\n6", r"'5\n6'"),
    ],
)
def test_word_that_is_not_understood_is_named(text: str, word: str) -> None:
    with pytest.raises(PythiaGeometryError) as caught:
        parse_steps(text, STEPS, RUN)
    assert str(caught.value).startswith(f"--steps does not understand {word}. Expected all, log, last, a number")
    assert str(caught.value).endswith("--steps 0,log,1000-10000:1000")


@pytest.mark.parametrize("text", ["all", "log", "last", "0"])
def test_run_without_checkpoints_says_so(text: str) -> None:
    with pytest.raises(PythiaGeometryError, match="my-run has no checkpoints to choose from"):
        parse_steps(text, [], "my-run")


@pytest.mark.parametrize(
    ("available", "expected"),
    [
        ([0], [0]),
        ([7], [7]),
        ([0, 143000], [0, 143000]),
        ([3000, 6000, 7000], [3000, 7000]),  # 4096 is nearest to 3000, 8192 lies past the end
        ([0, 3, 10, 100, 1000], [0, 3, 10, 100, 1000]),
        ([10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20], [10, 16, 20]),
        ([1000, 1500, 2000, 3000, 4000], [1000, 2000, 4000]),
    ],
)
def test_log_steps_are_the_nearest_to_powers_of_two(available: list[int], expected: list[int]) -> None:
    assert log_steps(available) == expected
