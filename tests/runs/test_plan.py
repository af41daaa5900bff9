"""A plan: what was asked for is checked, counted and estimated before anything starts."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.runs.plan import default_out, make_plan, measured_flops_per_second, plan_suite
from pythia_geometry.runs.request import Request
from pythia_geometry.suites.local import LocalSuite
from tests.suites_on_disk import SuiteOnDisk, rows, tiny_suite, write_probes, write_step


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> SuiteOnDisk:
    return tiny_suite(tmp_path_factory.mktemp("suite"), (0, 2, 4))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"position": "first"}, "--position 'first' is not one of: last, mean"),
        ({"dtype": "float64"}, "--dtype 'float64' is not one of: float32, bfloat16, float16"),
        ({"duplicates": "drop"}, "--duplicates 'drop' is not one of: refuse, keep"),
        ({"activations": "some"}, "--activations 'some' is not one of: keep, none"),
        ({"measures": ("rankme", "rank")}, "--measures 'rank' is not one of: rankme, "),
        ({"batch": 0}, "--batch must be at least 1"),
        ({"batch": -3}, "--batch must be at least 1"),
        ({"threads": -1}, "--threads 0"),
    ],
)
def test_word_outside_its_set_is_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(PythiaGeometryError) as caught:
        Request(**given)
    assert str(caught.value).startswith(message) or message in str(caught.value)


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "", "meta", "xpu"])
def test_device_that_cannot_compute_here_is_named(device: str) -> None:
    with pytest.raises(PythiaGeometryError, match=f"--device '?{device}"):
        _ = Request(device=device).resolved_device


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_missing_gpu_is_named_and_auto_takes_the_cpu(device: str) -> None:
    with pytest.raises(PythiaGeometryError, match="no CUDA GPU. Pass --device cpu"):
        _ = Request(device=device).resolved_device
    assert Request().resolved_device == "cpu"


def test_measures_are_taken_by_what_they_read() -> None:
    some = Request(measures=("twonn", "cka_last", "rankme"))
    assert [measure.name for measure in some.forward_measures] == ["rankme", "twonn"]
    assert [measure.name for measure in some.cached_pairs] == ["cka_last"]
    assert some.opening_measures == ()
    assert Request(measures=("twonn",)).cached_pairs == ()


def test_request_cannot_be_changed_and_has_sound_defaults() -> None:
    request = Request()
    with pytest.raises(AttributeError):
        request.batch = 3  # type: ignore[misc]
    assert {f.name: f.default for f in fields(Request)}["dtype"] == "float32"


def test_plan_counts_rows_tokens_and_bytes(suite: SuiteOnDisk) -> None:
    plan = make_plan(suite.request())
    (run,) = plan.runs
    wanted = rows("near", 8) + rows("far", 8)
    assert run.n_rows == 16
    assert run.n_tokens == sum(len(row["prompt"].split()) for row in wanted)
    assert run.bytes_of_activations == 16 * 4 * 16 * 2
    assert len(run.usable) == 3
    assert run.flops == run.n_tokens * 24 * 2 * 16**2 + 2 * 16 * 16 * 64


def test_gap_is_in_the_plan_and_not_among_the_usable(tmp_path: Path) -> None:
    suite = tiny_suite(tmp_path, (0, 2, 4))
    suite.weights(2).unlink()
    (run,) = make_plan(suite.request()).runs
    assert [c.step for c in run.usable] == [0, 4]
    assert [(c.step, c.status) for c in run.gaps] == [(2, "missing")]


def test_prompt_longer_than_the_context_is_refused(suite: SuiteOnDisk, tmp_path: Path) -> None:
    long = rows("long", 4)
    long[2]["prompt"] = " ".join(["w1"] * 128)
    file = write_probes(tmp_path / "long.jsonl", long)
    with pytest.raises(PythiaGeometryError, match="long/long has a prompt of 129 tokens; tiny reads at most 128"):
        make_plan(suite.request(probes=(str(file),)))
    long[2]["prompt"] = " ".join(["w1"] * 127)
    write_probes(file, long)
    make_plan(suite.request(probes=(str(file),)))


def test_probes_at_hand_come_before_named_ones(suite: SuiteOnDisk) -> None:
    (probe, _) = (e.probe for e in make_plan(suite.request()).runs[0].probes)
    plan = plan_suite(LocalSuite(suite.folder), Request(probes=("no such",)), [probe])
    assert [e.probe.name for e in plan.runs[0].probes] == ["words/near"]


def test_run_folder_is_named_after_the_runs(tmp_path: Path, suite: SuiteOnDisk) -> None:
    other = tiny_suite(tmp_path, (0, 2), name="other")
    assert default_out(make_plan(suite.request())) == Path("runs/tiny")
    both = suite.request(models=(str(suite.folder), str(other.folder)))
    assert default_out(make_plan(both)) == Path("runs/tiny+other")


def test_rate_of_matrix_products_is_plausible() -> None:
    assert 1e8 < measured_flops_per_second("cpu", "float32") < 1e14


def test_weights_that_two_runs_of_one_walk_serve_are_walked_in_neither(tmp_path: Path) -> None:
    first, second = (tiny_suite(tmp_path, (0, 8, 16), name) for name in ("one", "other"))
    for step in (8, 16):
        write_step(second.folder, step, seed=900 + step)
    second.weights(16).write_bytes(first.weights(8).read_bytes())
    plan = make_plan(first.request(models=(str(first.folder), str(second.folder))))
    assert [[(c.step, c.status) for c in run.checkpoints] for run in plan.runs] == [
        [(0, "ok"), (8, "suspect"), (16, "ok")],  # step 0 is the same in both: runs may start alike
        [(0, "ok"), (8, "ok"), (16, "suspect")],
    ]
    assert "holds the same weights as other@step16" in plan.runs[0].checkpoints[1].detail
    kept = make_plan(first.request(models=(str(first.folder), str(second.folder)), duplicates="keep"))
    assert all(c.status == "ok" for run in kept.runs for c in run.checkpoints)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"llc": "draws=100"}, "--llc is read by --measures landscape or llc alone"),
        ({"llc": "draws=100", "measures": ("noise_scale",)}, "leave --llc out"),
        ({"text": "corpus.txt"}, "--text is read by --measures landscape or n-grams, or --probes text alone"),
        ({"text": "corpus.txt", "measures": ("rankme", "weight_rank")}, "leave --text out"),
        ({"text": "corpus.txt", "measures": ("noise_scale",), "loss": "probes"}, "leave --text out"),
        ({"loss": "probes"}, "--loss is read by --measures landscape alone"),
    ],
)
def test_an_option_that_nothing_asked_for_reads_is_refused(
    suite: SuiteOnDisk, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(PythiaGeometryError, match=told):
        make_plan(suite.request(**changes))


def test_steps_of_dear_measures_outside_the_walk_are_refused(suite: SuiteOnDisk) -> None:
    with pytest.raises(PythiaGeometryError, match="--at 4 names no step of this walk of tiny"):
        make_plan(suite.request(measures=("noise_scale",), steps="0,2", at="4"))
    with pytest.raises(PythiaGeometryError, match="--at does not understand 'soon'"):
        make_plan(suite.request(measures=("noise_scale",), at="soon"))
    assert make_plan(suite.request(measures=("rankme",), steps="0,2", at="4")).runs[0].usable, "nothing dear is lost"
    assert make_plan(suite.request(measures=("noise_scale",), steps="0,2", at="2,4")).runs[0].at == {2, 4}
