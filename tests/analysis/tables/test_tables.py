"""The one reader of tables: what other tools write around a table is taken off, what would change a number is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pythia_geometry.analysis.curves.behaviour import read_table
from pythia_geometry.analysis.precursor.tidy_tables import read_tables
from pythia_geometry.analysis.tables.reading import by_run, check_numbers, plain, read_file
from pythia_geometry.errors import PythiaGeometryError

NAN = float("nan")
HEADER = "model,seed,step,task,metric,value,chance,n"
ROW = "m,0,1,t,accuracy,.5,.25,100"
KEYS = ["model", "seed", "step", "task", "metric"]


def table() -> pd.DataFrame:
    rows = [
        {"model": "m", "seed": 0, "step": step, "task": task, "metric": "accuracy", "value": 0.25 + 0.1 * i, "chance": 0.25}
        for task in ("007", "NA", "b")
        for i, step in enumerate((1, 2, 4, 8))
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(error=0.01, n=800)


def readers(path: Path) -> list[Callable[[], pd.DataFrame]]:
    return [lambda: read_table(path), lambda: read_tables([path])[1]]


# -- read like a plain table --------------------------------------------------------------------------------------


def csv(path: Path, frame: pd.DataFrame, **how: Any) -> None:
    frame.to_csv(path, **{"index": False, **how})


def hive_like(path: Path, frame: pd.DataFrame) -> None:
    """Category columns of whole numbers and text, with a category that no row has."""
    kinds = {"model": "category", "seed": "category", "step": "category", "metric": "category"}
    frame = frame.astype(kinds)
    frame["task"] = pd.Categorical(frame["task"], [*frame["task"].unique(), "unused"])
    frame.to_parquet(path)


def with_spaces(path: Path, frame: pd.DataFrame) -> None:
    csv(path, frame.rename(columns=lambda name: f" {name} "))


def with_a_mark(path: Path, frame: pd.DataFrame) -> None:
    csv(path, frame, encoding="utf-8-sig", quoting=1)


SAVED: dict[str, tuple[str, Callable[[Path, pd.DataFrame], object]]] = {
    "csv": ("t.csv", csv),
    "upper ending": ("T.CSV", csv),
    "byte order mark, quoted": ("t.csv", with_a_mark),
    "a saved index": ("t.csv", lambda path, frame: frame.to_csv(path)),
    "an index saved twice": ("t.csv", lambda path, frame: frame.reset_index(names="Unnamed: 0").to_csv(path)),
    "an index called step": ("t.csv", lambda path, frame: frame.set_index("step").to_csv(path)),
    "blanks in the header": ("t.csv", with_spaces),
    "parquet": ("t.parquet", lambda path, frame: frame.to_parquet(path)),
    "nullable": ("t.parquet", lambda path, frame: frame.convert_dtypes().to_parquet(path)),
    "arrow types": ("t.parquet", lambda path, frame: frame.convert_dtypes(dtype_backend="pyarrow").to_parquet(path)),
    "categories": ("t.parquet", hive_like),
    "parquet, index called step": ("t.parquet", lambda path, frame: frame.set_index("step").to_parquet(path)),
    "parquet, five levels": ("t.parquet", lambda path, frame: frame.set_index(KEYS).to_parquet(path)),
    "parquet, index beside": ("t.parquet", lambda path, frame: frame.set_index("step", drop=False).to_parquet(path)),
    "parquet, sorted": ("t.parquet", lambda path, frame: frame.sort_values("step").to_parquet(path)),
    "numbers as text": ("t.parquet", lambda path, frame: frame.astype({"step": str, "value": str}).to_parquet(path)),
    "float32": ("t.parquet", lambda path, frame: frame.astype({"step": "float32"}).to_parquet(path)),
}


@pytest.mark.parametrize("saved", SAVED)
def test_how_a_table_was_saved_says_nothing_of_its_numbers(saved: str, tmp_path: Path) -> None:
    csv(tmp_path / "plain.csv", table())
    name, save = SAVED[saved]
    save(tmp_path / name, table())
    for expected, found in zip(readers(tmp_path / "plain.csv"), readers(tmp_path / name), strict=True):
        pd.testing.assert_frame_equal(found().drop(columns="source"), expected().drop(columns="source"))
    assert set(read_table(tmp_path / name)["task"]) == {"007", "NA", "b"}  # names stay as they are written


def test_a_file_in_a_folder_like_seed_3_keeps_its_own_columns(tmp_path: Path) -> None:
    (tmp_path / "seed=3").mkdir()
    table().to_parquet(tmp_path / "seed=3" / "t.parquet")
    assert set(read_table(tmp_path / "seed=3" / "t.parquet")["seed"]) == {0}


def test_geometry_is_read_by_the_same_reader(tmp_path: Path) -> None:
    rows = table().drop(columns=["metric", "chance"]).assign(layer="resid_1", measure="rankme", value=3.5, head="7")
    rows.convert_dtypes().set_index("step").to_parquet(tmp_path / "g.parquet")
    rows.to_csv(tmp_path / "g.csv")
    for name in ("g.parquet", "g.csv"):
        geometry, behaviour = read_tables([tmp_path / name])
        assert behaviour.empty and len(geometry) == len(rows)
        assert geometry["step"].dtype == np.int64 and geometry["head"].to_list() == ["7"] * len(rows)
        assert not [column for column in geometry if "nnamed" in column or column.startswith("__")]


# -- refused by one message that names column, row and cure -------------------------------------------------------

FAULTS: dict[str, tuple[str, str]] = {
    "no rows": ("", "no rows under its header"),
    "text in a value": ("m,0,1,t,accuracy,high,.25,100", "column 'value' holds 'high' in row 0, which is no number"),
    "text in step": ("m,0,step1,t,accuracy,.5,.25,100", "column 'step' holds 'step1' in row 0.*Write the number alone"),
    "text in seed": ("m,a,1,t,accuracy,.5,.25,100", "column 'seed' holds 'a'"),
    "a percent sign": ("m,0,1,t,accuracy,52%,.25,100", "column 'value' holds '52%'"),
    "a decimal comma": ('m,0,1,t,accuracy,"0,5",.25,100', "column 'value' holds '0,5'"),
    "half a step": ("m,0,1.5,t,accuracy,.5,.25,100", r"column 'step' holds 1\.5 \(m t accuracy, row 0\): expected a whole"),
    "no step": ("m,0,,t,accuracy,.5,.25,100", "column 'step' holds nan"),
    "a step below 0": ("m,0,-1,t,accuracy,.5,.25,100", "column 'step' holds -1"),
    "a step without end": ("m,0,inf,t,accuracy,.5,.25,100", "column 'step' holds inf"),
    "5,000 digits": ("m,0," + "9" * 5000 + ",t,accuracy,.5,.25,100", "column 'step' holds"),
    "a seed beyond 64 bits": ("m,99999999999999999999999,1,t,accuracy,.5,.25,100", "column 'seed' holds 1e\\+23"),
    "one seed left out": (f"{ROW}\nm,,2,t,accuracy,.5,.25,100", "column 'seed' holds nan"),
    "per cent": ("m,0,1,t,accuracy,52.3,.25,100", r"column 'value' holds 52\.3 \(m t accuracy at step 1, row 0\).*per cent"),
    "per cent of exact match": ("m,0,1,t,exact_match,7,.25,100", "column 'value' holds 7 .*divide per cent by 100"),
    "per cent after a filter": ("m,0,1,t,accuracy_norm:strict,7,.25,100", "column 'value' holds 7 "),
    "a negative accuracy": ("m,0,1,t,accuracy,-5,.25,100", "column 'value' holds -5 .*expected 0 to 1"),
    "chance 2": ("m,0,1,t,accuracy,.5,2,100", "column 'chance' holds 2 .*expected 0 to 1"),
    "n of 0": ("m,0,1,t,accuracy,.5,.25,0", "column 'n' holds 0 .*whole number from 1"),
    "half an item": ("m,0,1,t,accuracy,.5,.25,99.5", "column 'n' holds 99.5"),
    "no value": ("m,0,1,t,accuracy,,.25,100", "column 'value' holds nan .*say why in column 'reason'"),
    "an infinite value": ("m,0,1,t,log_prob,-inf,,100", "column 'value' holds -inf"),
    "no task": ("m,0,1,,accuracy,.5,.25,100", "column 'task' is empty in row 0"),
    "twice": (f"{ROW}\n{ROW}", "column 'step' holds 1 of m t accuracy twice"),
    "more fields than names": (f"{ROW},1", "more fields than its header"),
    "ragged": (f"{ROW}\n{ROW},1", "cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_number_is_refused_by_every_reader_with_one_message(fault: str, tmp_path: Path) -> None:
    rows, said = FAULTS[fault]
    (tmp_path / "t.csv").write_text(f"{HEADER}\n{rows}\n")
    messages = set()
    for read in readers(tmp_path / "t.csv"):
        with pytest.raises(PythiaGeometryError, match=said) as refused:
            read()
        messages.add(str(refused.value))
    assert len(messages) == 1
    assert "t.csv" in messages.pop()


PARQUET_FAULTS: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "dates": (lambda f: f.assign(step=pd.Timestamp("2024-01-01")), "column 'step' holds '2024-01-01"),
    "yes and no": (lambda f: f.assign(value=f["value"] > 0.3), "column 'value' holds 'False'"),
    "lists": (lambda f: f.assign(value=[[0.1]] * len(f)), r"column 'value' holds '\[0\.1\]'"),
    "a negative error": (lambda f: f.assign(error=-0.1), "column 'error' holds -0.1 .*never below 0"),
    "an error in per cent": (lambda f: f.assign(error=1.5), "column 'error' holds 1.5 .*divide per cent"),
    "majority in per cent": (lambda f: f.assign(majority=63.5), "column 'majority' holds 63.5"),
    "title case": (lambda f: f.rename(columns=str.title), "column"),
    "a wide table": (lambda f: f.pivot(index="step", columns=["task", "metric"], values="value"), "column"),
}


@pytest.mark.parametrize("fault", PARQUET_FAULTS)
def test_types_that_only_parquet_has_are_refused(fault: str, tmp_path: Path) -> None:
    change, said = PARQUET_FAULTS[fault]
    change(table()).to_parquet(tmp_path / "t.parquet")
    for read in readers(tmp_path / "t.parquet"):
        with pytest.raises(PythiaGeometryError, match=said):
            read()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.csv", b"", "cannot be read"),
        ("t.csv", b"\xff\xfe\x00m", "cannot be read"),
        ("t.csv", b"model;step;task;metric;value\nm;1;t;accuracy;0,5\n", "separated by ';'; expected commas"),
        ("t.csv", b"model\tstep\tvalue\nm\t1\t.5\n", r"separated by '\\t'; expected commas"),
        ("t.csv", b"metric,value,value \naccuracy,.5,.6\n", "two columns are called 'value'"),
        ("t.csv", b"Model,Seed,Step,Task,metric,Value,Chance\nm,0,1,t,accuracy,.5,.2\n", "lower case: 'Model' is not read"),
        ("t.parquet", b"no parquet", "cannot be read"),
        ("t.txt", b"", r"expected a run folder, or a \.csv or \.parquet file"),
        ("none.csv", None, "There is no .*none.csv"),
    ],
)  # fmt: skip
def test_what_is_no_table_is_named(tmp_path: Path, name: str, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    for read in readers(tmp_path / name):
        with pytest.raises(PythiaGeometryError, match=said):
            read()


def test_runs_and_chance_must_be_told_where_they_decide(tmp_path: Path) -> None:
    """A test over runs must not take five seeds for one because a column is missing."""
    csv(tmp_path / "t.csv", table().drop(columns=["seed", "chance"]))
    assert set(read_table(tmp_path / "t.csv")["seed"]) == {0}
    with pytest.raises(PythiaGeometryError, match=r"behaviour table: missing columns 'seed', 'chance'"):
        read_tables([tmp_path / "t.csv"])


def test_a_row_with_a_reason_may_hold_any_value(tmp_path: Path) -> None:
    csv(tmp_path / "t.csv", table().assign(value=NAN, reason="lost"))
    assert len(read_table(tmp_path / "t.csv")) == 12


def test_geometry_is_checked_too(tmp_path: Path) -> None:
    rows = table().drop(columns=["metric", "chance"]).assign(layer="resid_1", measure="rankme")
    for change, said in (
        ({"step": 1.5}, "column 'step' holds 1.5"),
        ({"error": -1.0}, "column 'error' holds -1"),
        ({"value": NAN}, "column 'value' holds nan .*rankme"),
        ({"value": "x"}, "column 'value' holds 'x'"),
    ):
        csv(tmp_path / "g.csv", rows.assign(**change))
        with pytest.raises(PythiaGeometryError, match=said):
            read_tables([tmp_path / "g.csv"])
    csv(tmp_path / "g.csv", rows.assign(value=120.5))  # no share: any size
    assert len(read_tables([tmp_path / "g.csv"])[0]) == 12


def test_read_file_and_plain_leave_their_argument_alone(tmp_path: Path) -> None:
    frame = table().set_index("step")
    before = frame.copy()
    assert plain(frame, "x")["step"].to_list() == before.index.to_list()
    pd.testing.assert_frame_equal(frame, before)
    csv(tmp_path / "t.csv", table())
    check_numbers(read_file(tmp_path / "t.csv"), "x")


def test_runs_are_named_in_one_way() -> None:
    frame = pd.DataFrame({"model": ["m", "m", "a"], "seed": [0, 3, 0]})
    assert list(by_run(frame)) == ["a", "m", "m-seed3"]


@pytest.mark.parametrize("many", [40, pytest.param(2500, marks=pytest.mark.slow)])
def test_no_table_raises_anything_but_a_message(many: int, tmp_path: Path) -> None:
    """A seeded fuzz: every cell of a good table replaced by what people and tools write."""
    rng = np.random.default_rng(0)
    odd = [
        "",
        "nan",
        "-",
        "1e400",
        "-1",
        "1.5",
        "99999999999999999999",
        "²",
        "∞",
        "0x10",
        "1_000",
        "True",
        '"',
        "a,b",
        "\x00",
        " ",
    ]
    lines = [HEADER, ROW, ROW.replace(",1,", ",2,"), "m,0,4,t,log_prob,-3,,100"]
    for _ in range(many):
        cells = [line.split(",") for line in lines]
        for _ in range(rng.integers(1, 4)):
            row = cells[rng.integers(len(cells))]
            row[rng.integers(len(row))] = str(rng.choice(odd))
        (tmp_path / "t.csv").write_text("\n".join(",".join(row) for row in cells) + "\n")
        for read in readers(tmp_path / "t.csv"):
            try:
                found = read()
            except PythiaGeometryError:
                continue
            shares = found[(found["metric"] == "accuracy") & (found["reason"] == "")]
            assert shares["value"].between(0, 1).all() and (found["step"] >= 0).all()
