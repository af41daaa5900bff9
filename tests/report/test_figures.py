"""Both pictures as PNG and SVG, of full, thin and empty tables."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from pythia_geometry.report.drawing import save
from pythia_geometry.report.figures import curves, heat_map
from pythia_geometry.store.tables import Tables
from tests.report.tables import make_tables

TASKS = ("alpha", "beta", "gamma")
Chart = Callable[[Tables, list[tuple[str, str]]], Any]


def layers(tables: Tables, tasks: list[tuple[str, str]]) -> Any:
    return heat_map(tables.geometry, "my-run", tasks)


def lines(tables: Tables, tasks: list[tuple[str, str]]) -> Any:
    return curves(tables.geometry, tables.behaviour, "my-run", tasks)


both = pytest.mark.parametrize("chart", [layers, lines])


def pairs(*tasks: str) -> list[tuple[str, str]]:
    return [("p", task) for task in tasks]


def pixels(png: bytes) -> np.ndarray:
    """Rows of an 8-bit RGB(A) PNG without interlacing."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height, depth, kind, _, _, interlace = struct.unpack(">IIBBBBB", png[16:29])
    assert (depth, interlace) == (8, 0)
    channels = {2: 3, 6: 4}[kind]
    data, at = b"", 8
    while at < len(png):
        size, name = struct.unpack(">I4s", png[at : at + 8])
        data += png[at + 8 : at + 8 + size] if name == b"IDAT" else b""
        at += size + 12
    lines_of = np.frombuffer(zlib.decompress(data), np.uint8).reshape(height, 1 + width * channels)
    image = np.zeros((height, width, channels), np.uint8)
    above = np.zeros((width, channels), np.uint8)
    for y, line in enumerate(lines_of):
        above = image[y] = _unfiltered(int(line[0]), line[1:].reshape(width, channels), above)
    return image


def _unfiltered(kind: int, line: np.ndarray, above: np.ndarray) -> np.ndarray:
    if kind in (0, 2):
        return line + above if kind else line
    if kind == 1:
        return np.cumsum(line, axis=0, dtype=np.uint8)
    out, left, corner = np.zeros_like(line), np.zeros(line.shape[1], int), np.zeros(line.shape[1], int)
    for x, (value, up) in enumerate(zip(line.astype(int), above.astype(int), strict=True)):
        if kind == 3:
            guess = (left + up) // 2
        else:
            distances = np.abs(np.stack([up - corner, left - corner, left + up - 2 * corner]))
            guess = np.choose(distances.argmin(axis=0), [left, up, corner])
        left, corner = (value + guess) % 256, up
        out[x] = left
    return out


def test_the_caption_is_true_of_tasks_of_different_sizes_and_of_the_measure() -> None:
    tables = make_tables(TASKS)
    mine = tables.geometry["task"] == "alpha"
    few = tables.geometry.assign(
        n=tables.geometry["n"].mask(mine, 40), ceiling=tables.geometry["ceiling"].mask(mine, 40.0)
    )
    said = str(heat_map(few, "my-run", pairs("alpha", "beta")).to_dict()["title"]["subtitle"])
    held = few[few["task"].isin(["alpha", "beta"]) & (few["measure"] == "rankme")]
    n, ceiling = (sorted({int(held[name].min()), int(held[name].max())}) for name in ("n", "ceiling"))
    assert "uncentred" in said and "2 of 3 tasks" in said
    assert f"{'–'.join(map(str, n))} prompts a task; range 1 to {'–'.join(map(str, ceiling))};" in said
    assert len(n) == 2
    centred = few.assign(measure=few["measure"].replace("rankme", "rankme_centred"))
    again = heat_map(centred, "my-run", pairs("alpha"), "rankme_centred").to_dict()
    assert "uncentred" not in again["title"]["subtitle"] and "centred" in again["title"]["subtitle"]


@both
def test_picture_is_a_png_of_many_colours_and_an_svg_with_the_task_names(chart: Chart) -> None:
    made = save(chart(make_tables(TASKS), pairs(*TASKS)))
    assert set(made) == {"png", "svg"}
    assert made["png"].startswith(b"\x89PNG\r\n\x1a\n")
    assert len(made["png"]) > 10_000
    image = pixels(made["png"])
    assert min(image.shape[:2]) > 200
    assert len(np.unique(image.reshape(-1, image.shape[2]), axis=0)) > 50
    svg = ElementTree.fromstring(made["svg"])
    words = " ".join(svg.itertext())
    for expected in (*TASKS, "my-run", "RankMe", "training step"):
        assert expected in words


def test_heat_map_shows_every_layer_and_states_ceiling_and_n() -> None:
    words = save(layers(make_tables(TASKS), pairs(*TASKS)))["svg"].decode()
    for expected in ("embed", "resid_1", "resid_2", "final_norm", "64 prompts a task", "range 1 to 64"):
        assert expected in words


def test_curves_show_all_four_panels() -> None:
    words = save(lines(make_tables(TASKS), pairs(*TASKS)))["svg"].decode()
    for expected in ("RankMe, centred", "accuracy", "log-prob. of target", "one standard error over prompts"):
        assert expected in words


@both
def test_tasks_that_are_not_asked_for_are_not_shown(chart: Chart) -> None:
    svg = ElementTree.fromstring(save(chart(make_tables(TASKS), pairs("beta")))["svg"])
    words = " ".join(svg.itertext())
    assert "beta" in words
    assert "alpha" not in words


@both
def test_probe_sets_are_named_where_there_are_several(chart: Chart) -> None:
    tables = make_tables(("alpha",))
    other = make_tables(("alpha",))
    for name in ("geometry", "behaviour"):
        frame = getattr(other, name)
        frame["probe"] = "q"
    joined = Tables(
        pd.concat([tables.geometry, other.geometry]), pd.concat([tables.behaviour, other.behaviour]),
        tables.checkpoints, tables.answers,
    )  # fmt: skip
    words = save(chart(joined, [("p", "alpha"), ("q", "alpha")]))["svg"].decode()
    assert "p/alpha" in words
    assert "q/alpha" in words


@both
def test_names_with_marks_of_markup_are_shown_as_they_are(chart: Chart) -> None:
    name = 'a<b> & "c"'
    svg = save(chart(make_tables((name,)), pairs(name)))["svg"]
    assert name in " ".join(ElementTree.fromstring(svg).itertext())


@both
def test_one_step_is_drawn(chart: Chart) -> None:
    assert save(chart(make_tables(TASKS, steps=(0,)), pairs(*TASKS)))["png"].startswith(b"\x89PNG")


@both
def test_tables_without_rows_are_drawn(chart: Chart) -> None:
    tables = make_tables(TASKS)
    empty = Tables(*(frame.iloc[:0] for frame in vars(tables).values()))
    assert save(chart(empty, pairs(*TASKS)))["svg"]
    assert save(chart(empty, []))["svg"]


@both
def test_unknown_values_alone_are_drawn(chart: Chart) -> None:
    assert save(chart(make_tables(TASKS, value=float("nan")), pairs(*TASKS)))["svg"]


@both
def test_some_unknown_values_leave_the_rest(chart: Chart) -> None:
    tables = make_tables(TASKS)
    tables.geometry.loc[tables.geometry["layer"] == "embed", ["value", "error"]] = float("nan")
    tables.behaviour.loc[3:5, ["value", "error"]] = float("nan")
    assert "gamma" in save(chart(tables, pairs(*TASKS)))["svg"].decode()


def test_curves_without_centred_rankme_are_drawn() -> None:
    tables = make_tables(TASKS)
    only = Tables(tables.geometry[tables.geometry["measure"] == "rankme"], *list(vars(tables).values())[1:])
    assert save(lines(only, pairs(*TASKS)))["svg"]


def test_walk_without_behaviour_shows_no_empty_panels_and_says_so() -> None:
    tables = make_tables(TASKS)
    mute = replace(tables, behaviour=tables.behaviour.assign(value=np.nan))
    words = save(lines(mute, pairs(*TASKS)))["svg"].decode()
    assert "Geometry (no behaviour was read)" in words
    assert "accuracy" not in words
    assert "log-prob" not in words


def test_154_steps_are_labelled_sparsely() -> None:
    steps = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, *range(1000, 144_000, 1000)]
    chart = layers(make_tables(("alpha",), steps=steps), pairs("alpha")).to_dict()
    axis = chart["spec"]["encoding"]["x"]["axis"]["values"]
    assert len(axis) == 8
    assert (axis[0], axis[-1]) == (0, 143_000)
