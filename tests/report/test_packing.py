"""What the page holds is what the tables hold, rounded as it says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pythia_geometry.report.page.packing import (
    ERROR_DIGITS,
    decimals,
    pack,
    pack_decimals,
    pack_integers,
    unpack_decimals,
    unpack_integers,
)  # fmt: skip
from pythia_geometry.report.points import SERIES, points
from tests.report.tables import make_tables


def nearest(values: np.ndarray, digits: int) -> np.ndarray:
    return np.array([float(f"{value:.{digits - 1}e}") for value in values])


@pytest.mark.parametrize("digits", [2, 4, 5])
def test_decimals_are_the_numbers_that_text_would_round_to(digits: int) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=500) * 10.0 ** rng.integers(-12, 12, 500)
    shown = unpack_decimals(pack_decimals(values, digits))
    assert np.abs(shown / values - 1).max() <= 0.5 * 10.0 ** (1 - digits) * 1.0001
    assert (shown == nearest(values, digits)).all()


def test_ties_go_where_text_rounds_them() -> None:
    values = np.array([2.15, 0.125, 1.5, 2.5, 0.45, 12.5, 1.05, -2.15, 0.0625])
    for digits in (1, 2, 3):
        assert (unpack_decimals(pack_decimals(values, digits)) == nearest(values, digits)).all()


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, 64.0, 99999.6, 1e-30, 12345678.0])
def test_round_numbers_stay_themselves(value: float) -> None:
    shown = float(unpack_decimals(pack_decimals(np.array([value]), 5))[0])
    assert shown == pytest.approx(value, rel=5e-5, abs=0)


def test_numbers_that_are_missing_stay_missing() -> None:
    shown = unpack_decimals(pack_decimals(np.array([np.nan, np.inf, 1.5]), 5))
    assert np.isnan(shown[:2]).all()
    assert shown[2] == 1.5


@pytest.mark.parametrize("values", [[], [0], [255], [256, 3], [65535], [65536, -4], [2_000_000_000]])
def test_integers_come_back(values: list[int]) -> None:
    assert unpack_integers(pack_integers(np.array(values, dtype=np.int64))).tolist() == values


def test_integers_too_large_are_refused() -> None:
    with pytest.raises(OverflowError):
        pack_integers([2**31])


def test_every_row_of_the_tables_is_in_the_pack() -> None:
    tables = make_tables(seeds=(0, 1))
    tables.geometry.loc[3, ["value", "reason"]] = [np.nan, "said why"]
    frame = points(tables.geometry, tables.behaviour)
    packed = pack(frame)
    found = unpacked(packed)
    keys = [*SERIES, "step"]
    both = frame.merge(found, on=keys, suffixes=("", "_page"), validate="one_to_one")
    assert len(both) == len(frame) == len(found)
    for name, digits in (("value", packed["digits"]), ("error", ERROR_DIGITS), ("chance", packed["digits"])):
        whole, tens = decimals(both[name].to_numpy(float), digits)
        assert whole.shape == tens.shape
        np.testing.assert_allclose(
            both[f"{name}_page"], both[name].astype(float), rtol=0.5 * 10.0 ** (1 - digits) * 1.001
        )
    assert (both["reason"] == both["reason_page"]).all()
    assert (both["n"] == both["n_page"]).all()


def unpacked(packed: dict) -> pd.DataFrame:
    """The rows that `decode.js` decodes."""
    counts = unpack_integers(packed["series"]["count"])
    held = {
        field: np.repeat(
            np.array(packed["names"][field], dtype=object)[unpack_integers(packed["series"][field])], counts
        )
        for field in SERIES
    }
    rows = packed["rows"]
    held |= {name: unpack_integers(rows[name]) for name in ("step", "n")}
    held |= {name: unpack_decimals(rows[name]) for name in ("value", "error", "ceiling", "chance")}
    held["reason"] = np.array(packed["names"]["reason"], dtype=object)[unpack_integers(rows["reason"])]
    return pd.DataFrame(held)
