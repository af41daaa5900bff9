"""`--fetch ranges`: the geometry of a whole walk for the bytes of the base model, and nothing on the disk."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from huggingface_hub import constants, hf_hub_download
from rich.console import Console
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from pythia_geometry.errors import MachineError, PythiaGeometryError
from pythia_geometry.extraction.loading.models import SuiteModel
from pythia_geometry.runs.fetching import spans as span_fetch
from pythia_geometry.runs.fetching.spans import SpanFetcher
from pythia_geometry.runs.ledger import UNCHECKED, Ledger
from pythia_geometry.runs.local import walk
from pythia_geometry.runs.many.shards import Shard, walk_shard
from pythia_geometry.runs.one_run.measuring import UNREAD
from pythia_geometry.runs.plan import Plan, make_plan
from pythia_geometry.runs.progress import Silent
from pythia_geometry.runs.work import RunWork, Todo
from pythia_geometry.screens.walk import as_bytes, show_plan
from pythia_geometry.store.run_folder import RunFolder
from pythia_geometry.store.tables import Tables
from pythia_geometry.suites.checkpoint import CORRUPT, FAILED, Checkpoint, WeightFile
from pythia_geometry.suites.safetensors_header import HEADER
from tests.hub.checkpoints import pythia_config, write_checkpoint
from tests.hub.faults import Fault
from tests.hub.log import Record
from tests.hub.repository import Repository
from tests.hub.server import LocalHub
from tests.runs.children import Stopped, stop
from tests.runs.fetching.test_fetch import until
from tests.runs.served import NAME, WEIGHTS, Served, on_a_hub, served
from tests.runs.test_hub_faults import Watcher, fresh, of
from tests.suites.conftest import hub_cache, serve, waits  # noqa: F401 - fixtures
from tests.suites_on_disk import tiny_suite, write_step

STEPS = (0, 1, 2, 8, 143000)
Serve = Callable[..., LocalHub]

pytestmark = pytest.mark.usefixtures("waits")


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return served(tmp_path_factory.mktemp("one"), STEPS)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Served:
    """14M in shape, so that a header is small beside a span."""
    suite = tiny_suite(tmp_path_factory.mktemp("large"), (0,), "pythia-14m")
    for step in (0, 1, 2, 4):
        write_checkpoint(suite.folder / f"step{step}", pythia_config("14m", max_position_embeddings=128), seed=step)
    return on_a_hub(suite, (0, 1, 2, 4))


@pytest.fixture(autouse=True)
def short_time_outs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"):
        monkeypatch.setattr(constants, name, 0.3)


def unfinished(plan: Plan, out: Path) -> tuple[Checkpoint, ...]:
    folder = RunFolder(out)
    work = RunWork(plan.runs[0], plan.request)
    return work.todo(folder.done(), lambda label: folder.checkpoint(label)["current"]).checkpoints


def plan_of(one: Served, hub: LocalHub, **changes: Any) -> Plan:
    return one.plan(hub, **{"fetch": "ranges", **changes})


def span(file: Path) -> int:
    """Bytes from the first to the last tensor of the base model, by the library's own reading of the file."""
    with safe_open(file, framework="pt") as opened:
        sizes = {name: opened.get_tensor(name).nbytes for name in opened.offset_keys()}
    legacy = ("attention.bias", "masked_bias", "inv_freq")
    base = [n for n, name in enumerate(sizes) if name.startswith("gpt_neox.") and not name.endswith(legacy)]
    return sum(list(sizes.values())[base[0] : base[-1] + 1])


def parts(hub: LocalHub) -> list[Record]:
    """Answers that held a part of a weight file."""
    return [r for r in hub.requests("GET") if r.status == 206 and r.label.endswith(".safetensors")]


def assert_geometry_only(found: Tables, expected: Tables, unchecked: Iterable[int] = STEPS) -> None:
    """Geometry to the last bit; of behaviour every row, unknown with a reason; no answers."""
    pd.testing.assert_frame_equal(found.geometry, expected.geometry, check_exact=True)
    ok = found.checkpoints[found.checkpoints["status"] == "ok"]
    keys = ["step", "probe", "task", "metric", "n", "chance", "majority", "source", "precision"]
    pd.testing.assert_frame_equal(found.behaviour[keys], expected.behaviour[keys], check_exact=True)
    assert found.behaviour[["value", "error"]].isna().all(axis=None)
    assert set(found.behaviour["reason"]) == {UNREAD}
    assert found.answers.empty
    assert ok["weight_sha256"].to_list() == expected.checkpoints["weight_sha256"].to_list()
    assert {row.step for row in ok.itertuples() if UNCHECKED in row.detail} == set(unchecked) & set(ok["step"])


def assert_whole(found: Tables, expected: Tables) -> None:
    for name in ("geometry", "behaviour", "answers"):
        pd.testing.assert_frame_equal(getattr(found, name), getattr(expected, name), check_exact=True, obj=name)
    assert set(found.checkpoints["status"]) == {"ok"}
    assert set(found.checkpoints["detail"]) == {""}


# -- what comes, and what it costs -------------------------------------------------------------------------


def test_geometry_is_that_of_a_whole_walk_and_nothing_touches_the_disk(
    serve: Serve,  # noqa: F811
    one: Served,
    tmp_path: Path,
) -> None:
    hub = serve(one.repository)
    watcher = Watcher(tmp_path / "run" / "downloads")
    found = walk(plan_of(one, hub), tmp_path / "run", watcher)
    assert_geometry_only(found, one.expected())
    assert watcher.most == 0
    assert not (tmp_path / "run" / "downloads").exists()
    assert not list(tmp_path.rglob("*.safetensors*"))
    manifest = RunFolder(tmp_path / "run").manifest()
    assert manifest["settings"]["fetch"] == "ranges"


def test_bytes_are_those_of_the_spans_and_requests_are_four_a_step(
    serve: Serve,  # noqa: F811
    large: Served,
    tmp_path: Path,
) -> None:
    """Steps 0 and 1 hold the same weights: one download."""
    spans = {step: span(large.truth.weights(step)) for step in (0, 2, 4)}
    assert spans[0] < 0.55 * large.size(0)
    hub = serve(large.repository)
    walk(plan_of(large, hub), tmp_path / "run")
    got = parts(hub)
    assert sum(r.sent for r in got) <= 1.05 * sum(spans.values())
    assert [r.sent for r in got] == [sent for step in (4, 0, 2) for sent in (HEADER, spans[step])]
    of_weights = [r for r in hub.requests() if r.label.endswith(".safetensors")]
    assert [r.status for r in of_weights] == [302, 206, 206] * 3  # the Hub is asked once a step, its storage twice
    others = len(hub.requests()) - len(of_weights) - len(hub.requests(contains="/tree/"))
    assert others <= 6  # branches, config, tokenizer


def test_plan_says_what_will_come_and_asks_for_one_header(
    serve: Serve,  # noqa: F811
    large: Served,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    hub = serve(large.repository)
    plan = plan_of(large, hub)
    hub.clear_log()
    (run,) = plan.runs
    assert run.bytes_to_come(run.usable) == sum(HEADER + span(large.truth.weights(step)) for step in (4, 0, 2))
    assert [r.sent for r in parts(hub)] == [HEADER]
    assert run.flops < large.plan(hub).runs[0].flops
    todo = Todo(tuple(run.usable), frozenset(encoded.probe.name for encoded in run.probes))
    show_plan(Console(width=200), plan, {run.name: todo}, tmp_path, 1e9)
    said = capsys.readouterr().out
    assert "only the base model is downloaded, into memory" in said
    assert as_bytes(run.bytes_to_come(run.usable)) in said
    walk(plan, tmp_path / "run")
    assert len(parts(hub)) == 6  # the plan's header is not asked for again


def test_next_span_comes_while_the_current_step_computes(
    serve: Serve,  # noqa: F811
    one: Served,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first checkpoint's computing waits until the second one's span was sent, which nobody has asked for yet."""
    hub = serve(one.repository)
    real, sent = SpanFetcher.loaded, list[list[str]]()
    swap = SuiteModel.swap

    def slow_swap(model: SuiteModel, *given: Any) -> None:
        time.sleep(0.5)  # the buffer is being read: nothing may come into it
        swap(model, *given)

    def loaded(fetcher: SpanFetcher) -> None:
        sent.append([r.label for r in parts(hub)])
        real(fetcher)
        if len(sent) == 1:
            until(lambda: len(parts(hub)) == 4)

    monkeypatch.setattr(SpanFetcher, "loaded", loaded)
    monkeypatch.setattr(SuiteModel, "swap", slow_swap)
    assert_geometry_only(walk(plan_of(one, hub), tmp_path / "run"), one.expected())
    last, first = (f"step{step}/{WEIGHTS}" for step in (143000, 0))
    assert sent[:2] == [[last, last], [last, last, first, first]]  # and no further: there is one buffer
    assert len(sent) == len(STEPS)


def test_memory_that_the_machine_does_not_have_is_said(
    serve: Serve,  # noqa: F811
    one: Served,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none(size: int = 0) -> bytearray:
        if size:
            raise MemoryError
        return bytearray()

    monkeypatch.setattr(span_fetch, "bytearray", none, raising=False)
    with pytest.raises(MachineError, match="pythia-14m@step143000: --fetch ranges holds .* GB of weights in memory"):
        walk(plan_of(one, serve(one.repository)), tmp_path / "run")


# -- faults -------------------------------------------------------------------------------------------------

SPAN = 3000  # a byte inside the span of the tiny files, and not of their headers
PASSING = {
    "429 with Retry-After": [
        Fault("status", path="/resolve/", status=429, count=5, headers={"Retry-After": "1"}),
        Fault("status", path="/cdn/", status=429, count=5, skip=3, headers={"Retry-After": "2"}),
    ],
    "503": [
        Fault("status", path="/resolve/", status=503, count=4, skip=2),
        Fault("status", path="/cdn/", status=503, count=4, skip=3),
    ],
    "resets": [
        Fault("reset", path="/resolve/", count=2, skip=2),
        Fault("reset", path="/cdn/", count=1),
        Fault("reset", path="/cdn/", at_byte=SPAN, count=2, skip=3),
    ],
    "truncated bodies": [
        Fault("truncate", path="/cdn/", at_byte=at, count=2, skip=skip) for at, skip in ((1, 0), (SPAN, 3), (100, 5))
    ],
    "stalls": [
        Fault("stall", path="/cdn/", at_byte=SPAN, seconds=60, count=2, skip=1),
        Fault("stall", path="/resolve/", seconds=60, skip=4),
    ],
    "a wrong byte in a header": [
        Fault("corrupt", path="/cdn/", at_byte=at, skip=skip) for at, skip in ((0, 0), (200, 2))
    ],
    "expired addresses": [Fault("status", path="/cdn/", status=403, skip=skip) for skip in (1, 3)],
}


@pytest.mark.parametrize("name", PASSING)
def test_passing_fault_changes_no_number(serve: Serve, one: Served, tmp_path: Path, name: str) -> None:  # noqa: F811
    hub = serve(one.repository)
    plan = plan_of(one, hub)
    hub.faults += fresh(PASSING[name])
    found = walk(plan, tmp_path / "run")
    assert_geometry_only(found, one.expected())
    assert all(fault.fired for fault in hub.faults), hub.faults


def test_span_is_continued_from_where_it_broke_off(serve: Serve, large: Served, tmp_path: Path) -> None:  # noqa: F811
    hub = serve(large.repository)
    plan = plan_of(large, hub, steps="4")
    at = 5_000_000
    hub.faults += [Fault("truncate", path="/cdn/", at_byte=at, count=2)]
    walk(plan, tmp_path / "run")
    (_, first, second, third) = [r.range for r in parts(hub)]
    starts = [int(asked.removeprefix("bytes=").split("-")[0]) for asked in (first, second, third) if asked]
    assert [start - starts[0] for start in starts] == [0, at, 2 * at]


@pytest.mark.parametrize(
    ("fault", "status", "reason"),
    [
        (Fault("corrupt", path="/cdn/", at_byte=100, count=None), CORRUPT, "model.safetensors"),
        (Fault("status", path="/cdn/", status=503, count=None), FAILED, "503"),
        (Fault("reset", path="/cdn/", count=None), FAILED, "could not be fetched"),
        (Fault("status", path="/cdn/", status=200, count=None), FAILED, "does not send parts of files (status 200)"),
    ],
)
def test_lasting_fault_is_one_gap_with_its_reason(
    serve: Serve,  # noqa: F811
    one: Served,
    tmp_path: Path,
    fault: Fault,
    status: str,
    reason: str,
) -> None:
    hub = serve(one.repository)
    plan = plan_of(one, hub)
    (spoiled,) = fresh([fault])
    spoiled.path = of(8, WEIGHTS)
    spoiled.method = "GET"
    hub.faults.append(spoiled)
    found = walk(plan, tmp_path / "run")
    row = found.checkpoints.set_index("step").loc[8]
    assert row["status"] == status
    assert reason in row["detail"]
    assert_geometry_only(found, one.expected((8,)))
    hub.faults.clear()
    assert_geometry_only(walk(plan_of(one, hub), tmp_path / "run"), one.expected())


def spoilt(one: Served, folder: Path, spoil: Callable[[Path], object]) -> Repository:
    """The repository with another file at step 8, which its listing describes truly."""
    copied = folder / WEIGHTS
    copied.write_bytes(one.truth.weights(8).read_bytes())
    spoil(copied)
    repository = Repository(NAME)
    for branch, oid in one.repository.branches.items():
        files = {name: file.blob for name, file in one.repository.commits[oid].files.items()}
        repository.commit(branch, {**files, WEIGHTS: copied} if branch == "step8" else files)
    return repository


def tensors_changed(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path)

    return spoil


FIRST = "gpt_neox.layers.0.attention.dense.weight"


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "end at byte"),
        (lambda path: path.write_bytes(path.read_bytes() + b"x"), "end at byte"),
        (lambda path: path.write_bytes(b""), "is no safetensors file"),
        (lambda path: path.write_bytes(b"<html>not found</html>"), "is no safetensors file"),
        (tensors_changed(lambda t: t.pop(FIRST)), f"lacks {FIRST}"),
        (tensors_changed(lambda t: t.pop("embed_out.weight")), "lacks lm_head.weight"),
        (tensors_changed(lambda t: t.update(more=t[FIRST].clone())), "holds more, which the model does not have"),
        (
            tensors_changed(lambda t: t.update({FIRST: t[FIRST][:8].clone()})),
            "has shape (8, 16), the config says (16, 16)",
        ),
        (tensors_changed(lambda t: t.update({FIRST: t[FIRST].int()})), "is I32, not plain floating-point weights"),
    ],
)
def test_file_that_is_not_what_the_config_says_is_corrupt(
    serve: Serve,  # noqa: F811
    one: Served,
    tmp_path: Path,
    spoil: Callable[[Path], object],
    reason: str,
) -> None:
    hub = serve(spoilt(one, tmp_path, spoil))
    found = walk(plan_of(one, hub), tmp_path / "run")
    row = found.checkpoints.set_index("step").loc[8]
    assert row["status"] == CORRUPT
    assert reason in row["detail"]
    assert_geometry_only(found, one.expected((8,)))


def test_file_of_another_size_than_listed_is_corrupt(
    serve: Serve,  # noqa: F811
    one: Served,
    tmp_path: Path,
) -> None:
    hub = serve(one.repository)
    plan = plan_of(one, hub)
    (run,) = plan.runs
    wrong = [WeightFile(f.name, f.size + (c.step == 8), f.sha256) for c in run.checkpoints for f in c.files]
    changed = tuple(replace(c, files=(file,)) for c, file in zip(run.checkpoints, wrong, strict=True))
    found = walk(replace(plan, runs=(replace(run, checkpoints=changed),)), tmp_path / "run")
    row = found.checkpoints.set_index("step").loc[8]
    assert row["status"] == CORRUPT
    assert f"has {one.size(8)} bytes, the Hub lists {one.size(8) + 1}" in row["detail"]


# -- other layouts ------------------------------------------------------------------------------------------


def relaid(one: Served, folder: Path, **changes: Any) -> Repository:
    """The same weights of every step, written otherwise."""
    repository = Repository(NAME)
    tokenizer = one.truth.folder / "tokenizer.json"
    for step in (0, 2, 8, 143000):
        write_step(folder, step, seed=100 + step, **changes)
        files = {path.name: path for path in (folder / f"step{step}").iterdir()}
        repository.commit(f"step{step}", {**files, "tokenizer.json": tokenizer})
    repository.commit("main", {**files, "tokenizer.json": tokenizer})
    return repository


@pytest.mark.parametrize(("masks", "requests"), [(True, (2, 1, 1)), (False, (2, 2, 2))])
def test_shards_cost_a_header_each_and_a_span_where_they_hold_some_of_the_base_model(
    serve: Serve,  # noqa: F811
    one: Served,
    tmp_path: Path,
    masks: bool,
    requests: tuple[int, ...],
) -> None:
    """With masks, the last two of the three shards hold nothing else, so all steps share them."""
    hub = serve(relaid(one, tmp_path, shards=3, legacy_buffers=masks))
    plan = plan_of(one, hub, steps="0,2,8,143000", duplicates="keep")
    found = walk(plan, tmp_path / "run")
    pd.testing.assert_frame_equal(found.geometry, one.expected((1,)).geometry, check_exact=True)
    assert set(found.checkpoints["status"]) == {"ok"}
    by_file = Counter(r.label for r in parts(hub))
    assert by_file == {
        f"step{step}/model-0000{shard}-of-00003.safetensors": count
        for step in (0, 2, 8, 143000)
        for shard, count in enumerate(requests, start=1)
    }
    sent = sum(r.sent for r in parts(hub))
    (run,) = plan_of(one, hub, steps="0,2,8,143000", duplicates="keep").runs
    assert run.bytes_to_come(run.usable) == sent


def test_shards_that_hold_one_tensor_twice_are_corrupt(serve: Serve, one: Served, tmp_path: Path) -> None:  # noqa: F811
    repository = relaid(one, tmp_path, shards=2)
    first, second = sorted((tmp_path / "step8").glob("model-*.safetensors"))
    save_file({**load_file(second), FIRST: load_file(first)[FIRST]}, second)
    files = {path.name: path for path in (tmp_path / "step8").iterdir()}
    repository.commit("step8", files)
    found = walk(plan_of(one, serve(repository), steps="2,8"), tmp_path / "run")
    row = found.checkpoints.set_index("step").loc[8]
    assert (row["status"], "two shards hold" in row["detail"]) == (CORRUPT, True)


def test_step_without_safetensors_says_what_to_type_and_is_added_by_it(
    serve: Serve,  # noqa: F811
    one: Served,
    tmp_path: Path,
) -> None:
    repository = Repository(NAME)
    for branch, oid in one.repository.branches.items():
        repository.commit(branch, {name: file.blob for name, file in one.repository.commits[oid].files.items()})
    write_step(tmp_path, 8, seed=108, formats=("bin",))
    repository.commit("step8", {path.name: path for path in (tmp_path / "step8").iterdir()})
    hub = serve(repository)
    found = walk(plan_of(one, hub), tmp_path / "run")
    row = found.checkpoints.set_index("step").loc[8]
    assert row["status"] == FAILED
    assert (
        "pythia-14m@step8 would be read from pytorch_model.bin, and --fetch ranges reads safetensors only"
        in row["detail"]
    )
    assert "Type the same command without it" in row["detail"]
    assert_geometry_only(found, one.expected((8,)))
    whole = walk(one.plan(hub), tmp_path / "run")
    for name in ("geometry", "behaviour", "answers"):
        pd.testing.assert_frame_equal(getattr(whole, name), getattr(one.expected(), name), check_exact=True)
    again = walk(plan_of(one, hub), tmp_path / "run")  # what was walked whole is no gap now
    assert set(again.checkpoints["status"]) == {"ok"}


def test_file_of_the_users_cache_is_read_there_and_checked(
    serve: Serve,  # noqa: F811
    one: Served,
    tmp_path: Path,
    hub_cache: Path,  # noqa: F811
) -> None:
    hub = serve(one.repository)
    held = {s: Path(hf_hub_download(NAME, WEIGHTS, revision=f"step{s}", endpoint=hub.endpoint)) for s in (2, 8)}
    hub.clear_log()
    plan = plan_of(one, hub)
    (run,) = plan.runs
    assert run.bytes_to_come([c for c in run.usable if c.step in held]) == 0
    found = walk(plan, tmp_path / "run")
    assert_geometry_only(found, one.expected(), unchecked={0, 1, 143000})
    assert not {f"step{step}/{WEIGHTS}" for step in held} & {r.label for r in hub.requests()}
    blob = held[8].resolve()
    blob.write_bytes(blob.read_bytes()[:-1] + b"x")
    row = walk(plan_of(one, hub), tmp_path / "other").checkpoints.set_index("step").loc[8]
    assert row["status"] == CORRUPT
    assert "Delete it from your Hub cache" in row["detail"]


# -- with other walks ------------------------------------------------------------------------------------


def test_whole_walk_afterwards_fills_behaviour_and_ranges_after_it_take_nothing_back(
    serve: Serve,  # noqa: F811
    one: Served,
    tmp_path: Path,
) -> None:
    hub, out = serve(one.repository), tmp_path / "run"
    walk(plan_of(one, hub), out)
    assert not unfinished(plan_of(one, hub), out)
    assert len(unfinished(one.plan(hub), out)) == len(STEPS)
    assert_whole(walk(one.plan(hub), out), one.expected())
    hub.clear_log()
    before = {p.name: p.read_bytes() for p in out.glob("*.parquet")}
    assert not unfinished(plan_of(one, hub), out)
    assert_whole(walk(plan_of(one, hub), out), one.expected())
    assert {p.name: p.read_bytes() for p in out.glob("*.parquet")} == before
    assert not parts(hub)


def test_measures_that_the_whole_walk_leaves_out_stay(serve: Serve, one: Served, tmp_path: Path) -> None:  # noqa: F811
    hub, out = serve(one.repository), tmp_path / "run"
    walk(plan_of(one, hub), out)
    found = walk(one.plan(hub, measures=("rankme",)), out)
    for name in ("geometry", "behaviour", "answers"):
        pd.testing.assert_frame_equal(getattr(found, name), getattr(one.expected(), name), check_exact=True, obj=name)
    assert all(UNCHECKED in detail for detail in found.checkpoints["detail"])  # the other measures were read in part


def test_measures_of_weights_without_the_head_are_taken_again_with_it_and_not_taken_back(
    serve: Serve,  # noqa: F811
    one: Served,
    tmp_path: Path,
) -> None:
    """What needs the output head has a row that says so, or none; a walk over files adds it."""
    hub, out = serve(one.repository), tmp_path / "run"
    asked = {"measures": ("weight_norm", "copying_score"), "steps": "0,2"}

    def rows(tables: Tables, measure: str) -> pd.DataFrame:
        return tables.geometry[tables.geometry["measure"] == measure]

    in_part = walk(plan_of(one, hub, **asked), out)
    scores = rows(in_part, "copying_score")
    assert scores["value"].isna().all()
    assert set(scores["reason"]) == {"the copying score needs the output head, which --fetch ranges leaves out"}
    whole = walk(one.plan(hub, **asked), out)
    with_head, without = (set(rows(tables, "weight_norm")["layer"]) for tables in (whole, in_part))
    assert with_head - without == {"lm_head"}
    assert without < with_head
    assert rows(whole, "copying_score")["value"].notna().all()
    assert len(rows(whole, "copying_score")) == 2 * 2 * 2  # steps, layers, heads
    again = walk(plan_of(one, hub, **asked), out)
    for measure in asked["measures"]:
        pd.testing.assert_frame_equal(rows(again, measure), rows(whole, measure), check_exact=True)


def test_ranges_add_steps_to_a_whole_walk_and_say_which(serve: Serve, one: Served, tmp_path: Path) -> None:  # noqa: F811
    hub, out = serve(one.repository), tmp_path / "run"
    walk(one.plan(hub, steps="0,143000"), out)
    found = walk(plan_of(one, hub), out)
    pd.testing.assert_frame_equal(found.geometry, one.expected().geometry, check_exact=True)
    by_step = found.behaviour.groupby("step")["reason"].agg(lambda reasons: set(reasons) == {UNREAD})
    assert by_step.to_dict() == {0: False, 1: True, 2: True, 8: True, 143000: False}
    assert set(found.answers["step"]) == {0, 143000}
    details = found.checkpoints.set_index("step")["detail"]
    assert {step for step in STEPS if details[step]} == {1, 2, 8}
    assert_whole(walk(one.plan(hub), out), one.expected())


def test_stay_unchecked_where_another_position_was_read_in_part(
    serve: Serve,  # noqa: F811
    one: Served,
    tmp_path: Path,
) -> None:
    hub, out = serve(one.repository), tmp_path / "run"
    walk(plan_of(one, hub, position="mean", steps="8"), out)
    (row,) = walk(one.plan(hub, steps="8"), out).checkpoints.itertuples()
    assert UNCHECKED in row.detail
    (row,) = walk(one.plan(hub, steps="8", position="mean"), out).checkpoints.itertuples()
    assert row.detail == ""


@pytest.mark.parametrize("activations", ["keep", "none"])
def test_new_measure_of_weights_read_in_part_is_marked_and_stays_so(
    serve: Serve,  # noqa: F811
    one: Served,
    tmp_path: Path,
    activations: str,
) -> None:
    hub, out = serve(one.repository), tmp_path / "run"
    walk(one.plan(hub, measures=("rankme",), activations=activations, steps="2,8"), out)
    more = {"measures": ("rankme", "anisotropy"), "activations": activations, "steps": "2,8"}
    found = walk(plan_of(one, hub, **more), out)
    assert found.behaviour["value"].notna().any()
    assert UNREAD not in set(found.behaviour["reason"])
    read_again = activations == "none"
    for _ in range(2):
        assert {UNCHECKED in detail for detail in found.checkpoints["detail"]} == {read_again}
        found = walk(plan_of(one, hub, **more), out)


def test_mark_is_that_of_the_last_pass_whatever_process_ran_it(
    serve: Serve,  # noqa: F811
    one: Served,
    tmp_path: Path,
) -> None:
    hub, out = serve(one.repository), tmp_path / "run"

    def marks(plan: Plan) -> set[bool]:
        walk_shard(plan, Shard(1, 1), out)  # as the machines of a scheduler do, and the processes of several devices
        return {UNCHECKED in detail for detail in walk(plan, out).checkpoints["detail"]}

    few = {"steps": "2,8", "activations": "none"}
    assert marks(one.plan(hub, measures=("rankme",), **few)) == {False}
    assert marks(plan_of(one, hub, measures=("rankme", "stable_rank"), **few)) == {True}
    assert marks(one.plan(hub, steps="2,8")) == {False}
    assert marks(plan_of(one, hub, steps="2,8")) == {False}


def test_walk_that_is_killed_before_the_mark_is_written_makes_up_for_it(
    serve: Serve,  # noqa: F811
    one: Served,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub, out = serve(one.repository), tmp_path / "run"
    few = {"steps": "8", "activations": "none"}
    walk(one.plan(hub, measures=("rankme",), **few), out)
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(Ledger, "record", lambda *_: stop())
        walk(plan_of(one, hub, measures=("rankme", "stable_rank"), **few), out)
    (row,) = walk(plan_of(one, hub, measures=("rankme", "stable_rank"), **few), out).checkpoints.itertuples()
    assert UNCHECKED in row.detail


def test_what_was_read_in_part_goes_when_the_file_turns_out_to_be_corrupt(
    serve: Serve,  # noqa: F811
    one: Served,
    tmp_path: Path,
) -> None:
    hub, out = serve(one.repository), tmp_path / "run"
    walk(one.plan(hub, steps="2"), out)
    assert set(walk(plan_of(one, hub, steps="2,8"), out).geometry["step"]) == {2, 8}
    hub.faults.append(Fault("corrupt", path="/cdn/.*/step[28]/", count=None))
    found = walk(one.plan(hub, steps="2,8", activations="none", measures=("twonn",)), out)
    assert dict(zip(found.checkpoints["step"], found.checkpoints["status"], strict=True))[8] == CORRUPT
    assert set(found.geometry["step"]) == {2}, "what was read whole, and checked, stays"


def test_shards_of_a_walk_by_ranges(serve: Serve, one: Served, tmp_path: Path) -> None:  # noqa: F811
    hub, out = serve(one.repository), tmp_path / "run"
    for index in (1, 2):
        walk_shard(plan_of(one, hub), Shard(index, 2), out)
    hub.clear_log()
    assert_geometry_only(walk(plan_of(one, hub), out), one.expected())
    assert not parts(hub)
    assert_whole(walk(one.plan(hub), out), one.expected())


@pytest.mark.parametrize("at", [1, 3])
def test_stopped_walk_fetches_only_what_is_not_done(
    serve: Serve,  # noqa: F811
    one: Served,
    tmp_path: Path,
    at: int,
) -> None:
    hub, out = serve(one.repository), tmp_path / "run"

    class Stop(Silent):
        count = 0

        def finished(self, checkpoint: str, detail: str) -> None:
            self.count += 1
            if self.count == at:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        walk(plan_of(one, hub), out, Stop())
    done = (143000, 0, 1, 2, 8)[:at]
    assert not [thread for thread in threading.enumerate() if thread.name == "fetch"]
    hub.clear_log()
    assert_geometry_only(walk(plan_of(one, hub), out), one.expected())
    assert not {f"step{step}/{WEIGHTS}" for step in done} & {r.label for r in parts(hub)}


# -- what makes no sense -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"disk": "20GB"}, "--fetch ranges puts nothing on the disk. Leave out --disk or --fetch ranges"),
        ({"weight_format": "bin"}, "--fetch ranges reads safetensors only. Leave out --format bin"),
        ({"executor": "ray"}, "--fetch ranges does not reach the machines of a Ray cluster"),
        ({"fetch": "spans"}, "--fetch 'spans' is not one of: files, ranges"),
    ],
)
def test_options_that_contradict_each_other_are_named(one: Served, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PythiaGeometryError) as caught:
        one.truth.request(**{"fetch": "ranges", **changes})
    assert message in str(caught.value)


def test_folder_on_this_machine_is_refused(one: Served) -> None:
    with pytest.raises(
        PythiaGeometryError, match="saves bytes from the Hub, and .* lies on this machine. Type the same"
    ):
        make_plan(one.truth.request(fetch="ranges"))
