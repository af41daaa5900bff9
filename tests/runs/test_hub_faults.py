"""A walk over a Hub that misbehaves: it ends, nothing wrong enters a table, and every gap has a reason."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from huggingface_hub import constants, hf_hub_download

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.runs.fetching.disk import parse_size
from pythia_geometry.runs.fetching.files import Fetcher
from pythia_geometry.runs.local import walk
from pythia_geometry.runs.progress import Silent
from pythia_geometry.store.tables import Tables
from pythia_geometry.suites.pythia import STEPS
from tests.hub.faults import Fault
from tests.hub.repository import Repository
from tests.hub.server import LocalHub
from tests.runs.served import FEW, NAME, WEIGHTS, Served, assert_true, served
from tests.suites.conftest import hub_cache, serve, waits  # noqa: F401 - fixtures

Serve = Callable[..., LocalHub]

pytestmark = pytest.mark.usefixtures("waits")


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return served(tmp_path_factory.mktemp("few"), FEW)


@pytest.fixture(autouse=True)
def short_time_outs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"):
        monkeypatch.setattr(constants, name, 0.3)


@dataclass
class Watcher(Silent):
    """Looks at the downloads whenever the walk says something."""

    folder: Path
    most: int = 0
    said: list[str] = field(default_factory=list)

    def stage(self, checkpoint: str, stage: str) -> None:
        self.look()

    def finished(self, checkpoint: str, detail: str) -> None:
        self.look()
        self.said += [detail] if detail else []

    def look(self) -> None:
        sizes = []
        for place, _, names in os.walk(self.folder):
            for name in names:
                with suppress(FileNotFoundError):
                    sizes.append((Path(place) / name).stat().st_size)
        self.most = max(self.most, sum(sizes))


def of(step: int, file: str = "") -> str:
    """What matches all requests about a step, or about one file of it."""
    return f"^step{step}{'/' + file if file else '(/|$)'}"


PASSING = {
    "429 storm while listing": [
        Fault("status", path="/tree/", status=429, count=8, headers={"Retry-After": "1"}),
        Fault("status", path="/refs", status=429, count=8, headers={"RateLimit": '"api";r=0;t=30'}),
    ],
    "429 storm while downloading": [
        Fault("status", path=WEIGHTS, status=429, count=9, headers={"Retry-After": "2"}),
        Fault("status", path=of(64, WEIGHTS), status=429, count=9),
    ],
    "503": [Fault("status", path=path, status=503, count=5) for path in ("/refs", "/tree/", "/resolve/", "/cdn/")],
    "resets": [
        *[Fault("reset", path=path, method="GET", count=2) for path in ("/refs", "/tree/", "/resolve/")],
        Fault("reset", path="/cdn/", at_byte=5000, count=2, skip=3),
        Fault("reset", path="/cdn/", count=2),
    ],
    "truncated bodies": [
        Fault("truncate", path="/cdn/", at_byte=at, count=2, skip=skip) for at, skip in ((1, 0), (9000, 3), (100, 6))
    ],
    "a wrong byte": [
        Fault("corrupt", path=of(0, WEIGHTS), method="GET"),
        Fault("corrupt", path=of(32, WEIGHTS), method="GET", at_byte=0),
        Fault("corrupt", path="main/tokenizer.json", method="GET"),
        Fault("corrupt", path="/refs"),
    ],
    "stalls": [
        Fault("stall", path="/refs", seconds=60),
        Fault("stall", path="/tree/", seconds=60, skip=2, count=2),
        Fault("stall", path="/cdn/", at_byte=5000, seconds=60, count=2),
        Fault("stall", path="/resolve/", seconds=60, skip=5, method="GET"),
    ],
}


def fresh(faults: Iterable[Fault]) -> list[Fault]:
    given = ("action", "path", "method", "skip", "count", "status", "headers", "at_byte", "seconds")
    return [Fault(**{name: getattr(fault, name) for name in given}) for fault in faults]


def allowed(hub: LocalHub, steps: int) -> int:
    """Three requests a step and a handful once; and for every fault the request, and its redirect, again."""
    return 3 * steps + 8 + 3 * sum(fault.fired for fault in hub.faults)


@pytest.mark.parametrize("name", PASSING)
def test_passing_fault_changes_no_number(serve: Serve, few: Served, tmp_path: Path, name: str) -> None:  # noqa: F811
    hub = serve(few.repository)
    hub.faults += fresh(PASSING[name])
    found = walk(few.plan(hub), tmp_path / "run")
    assert set(found.checkpoints["status"]) == {"ok"}
    assert_true(found, few.expected())
    assert all(fault.fired for fault in hub.faults), hub.faults
    assert len(hub.requests()) <= allowed(hub, len(FEW))


def spoil(hub: LocalHub, repository: Repository, steps: Sequence[int]) -> dict[int, tuple[str, str]]:
    """Breaks some steps for good; says what must be told of each: its status, and words of the reason."""
    no_branch, no_weights, corrupt, refused, reset, silent = steps
    del repository.branches[f"step{no_branch}"]
    repository.commit(f"step{no_weights}", {"config.json": b"{}"})
    hub.faults[:0] = [
        Fault("corrupt", path=of(corrupt, WEIGHTS), method="GET", count=None),
        Fault("status", path=of(refused, WEIGHTS), status=503, count=None),
        Fault("reset", path=of(reset, WEIGHTS), count=None),
        Fault("stall", path=of(silent) + "|/tree/" + repository.branches[f"step{silent}"], seconds=60, count=None),
    ]
    return {
        no_branch: ("missing", f"has no branch step{no_branch}"),
        no_weights: ("missing", "has no weights"),
        corrupt: ("corrupt", "the Hub lists"),
        refused: ("failed", "503"),
        reset: ("failed", "could not be fetched"),
        silent: ("failed", "could not be listed"),
    }


def gaps_of(found: Tables) -> set[int]:
    """Steps that are not in the tables; each has a reason."""
    bad = found.checkpoints[found.checkpoints["status"] != "ok"]
    assert set(bad["status"]) <= {"missing", "corrupt", "failed"}
    assert bad["detail"].str.len().gt(20).all()
    return set(bad["step"])


def check_gaps(found: Tables, gaps: dict[int, tuple[str, str]]) -> None:
    rows = found.checkpoints.set_index("step")
    for step, (status, reason) in gaps.items():
        assert rows.loc[step, "status"] == status
        assert reason in rows.loc[step, "detail"]


def walk_through_all(serve: Serve, all_of: Served, folder: Path, broken: Sequence[int], spread: int) -> None:  # noqa: F811
    """Some steps broken for good, and every passing fault once, `spread` requests apart."""
    hub = serve(all_of.repository)
    branches = dict(all_of.repository.branches)
    together = [fault for name in PASSING for fault in fresh(PASSING[name])]
    for index, fault in enumerate(together):  # not all at one request: that is more than patience
        fault.skip, fault.count = (0 if fault.path == "/refs" or fault.path.startswith("^") else spread * index), 1
    hub.faults += together
    expected = spoil(hub, all_of.repository, broken)
    try:
        found = walk(all_of.plan(hub), folder / "run")
        check_gaps(found, expected)
        gaps = gaps_of(found)
        # so many faults in a row may be more than patience: then the step is one more gap, and never a number
        assert len(gaps) <= len(broken) + 2
        assert_true(found, all_of.expected(gaps))
        assert len(hub.requests()) <= allowed(hub, len(all_of.steps))
        assert sum(fault.fired for fault in together) >= len(together) / 3
    finally:
        all_of.repository.branches.update(branches)
    hub.faults.clear()
    hub.clear_log()
    mended = walk(all_of.plan(hub), folder / "run")  # the same command again: only the gaps are fetched
    assert set(mended.checkpoints["status"]) == {"ok"}
    assert_true(mended, all_of.expected())
    assert len([label for label in hub.downloaded_files() if label.endswith(WEIGHTS)]) <= len(gaps)


def test_all_faults_together(serve: Serve, few: Served, tmp_path: Path) -> None:  # noqa: F811
    walk_through_all(serve, few, tmp_path, (1, 2, 8, 16, 64, 128), spread=1)


@pytest.mark.slow
def test_all_faults_together_over_154_steps(serve: Serve, tmp_path: Path) -> None:  # noqa: F811
    walk_through_all(serve, served(tmp_path, STEPS), tmp_path, (2, 512, 3000, 50000, 99000, 142000), spread=2)


def test_last_step_broken_for_good_is_replaced_by_the_one_before(
    serve: Serve,  # noqa: F811
    few: Served,
    tmp_path: Path,
) -> None:
    hub = serve(few.repository)
    hub.faults.append(Fault("corrupt", path=of(143000, WEIGHTS), method="GET", count=None))
    found = walk(few.plan(hub), tmp_path / "run")
    assert gaps_of(found) == {143000}
    check_gaps(found, {143000: ("corrupt", "the Hub lists")})
    assert_true(found, few.expected((143000,)))


@pytest.mark.parametrize("disk", ["", "one", "20GB"])
def test_walk_costs_three_requests_a_step_each_weight_once_and_two_files_of_disk(
    serve: Serve,  # noqa: F811
    few: Served,
    tmp_path: Path,
    disk: str,
) -> None:
    hub, size = serve(few.repository), few.size(0)
    budget = {"": 2, "one": 1, "20GB": len(FEW)}[disk] * size
    asked = f"{budget}B" if disk == "one" else disk
    watcher = Watcher(tmp_path / "run" / "downloads")
    found = walk(few.plan(hub, disk=asked), tmp_path / "run", watcher)
    assert_true(found, few.expected())
    distinct = [step for step in FEW if step != 1]
    files = [f"step{step}/{WEIGHTS}" for step in distinct]
    assert sorted(hub.downloaded_files()) == sorted([*files, "main/config.json", "main/tokenizer.json"])
    small = sum((few.truth.folder / name).stat().st_size for name in ("step0/config.json", "tokenizer.json"))
    sent = sum(request.sent for request in hub.requests("GET") if request.is_download)
    assert sent == sum(map(few.size, distinct)) + small
    assert len(hub.requests()) <= 3 * len(FEW) + 6
    assert 0 < watcher.most <= budget
    assert not (tmp_path / "run" / "downloads").exists()


def test_files_of_the_users_cache_are_used_and_stay(
    serve: Serve,  # noqa: F811
    few: Served,
    tmp_path: Path,
    hub_cache: Path,  # noqa: F811
) -> None:
    hub = serve(few.repository)
    held = [hf_hub_download(NAME, WEIGHTS, revision=f"step{step}", endpoint=hub.endpoint) for step in (4, 143000)]
    before = {path: Path(path).read_bytes() for path in held}
    hub.clear_log()
    found = walk(few.plan(hub), tmp_path / "run")
    assert_true(found, few.expected())
    assert not {f"step{step}/{WEIGHTS}" for step in (4, 143000)} & set(hub.downloaded_files())
    assert {path: Path(path).read_bytes() for path in held} == before
    assert all(hub_cache in Path(path).parents for path in held)


def test_stopped_walk_continues_with_what_came(
    serve: Serve,  # noqa: F811
    few: Served,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub = serve(few.repository)
    loaded: list[int] = []

    def interrupt(fetcher: Fetcher) -> None:
        loaded.append(1)
        if len(loaded) == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Fetcher, "loaded", interrupt)
        with pytest.raises(KeyboardInterrupt):
            walk(few.plan(hub), tmp_path / "run")
    found = walk(few.plan(hub), tmp_path / "run")
    assert_true(found, few.expected())
    weights = [label for label in hub.downloaded_files() if label.endswith(WEIGHTS)]
    assert sorted(weights) == sorted(f"step{step}/{WEIGHTS}" for step in FEW if step != 1)


def test_too_small_a_disk_is_said_before_anything_is_fetched(serve: Serve, few: Served) -> None:  # noqa: F811
    hub = serve(few.repository)
    with pytest.raises(PythiaGeometryError, match=r"pythia-14m@step0 alone has .* Type --disk \d+MB or more"):
        few.plan(hub, disk="1kB")
    assert not [label for label in hub.downloaded_files() if label.endswith(WEIGHTS)]


def test_weights_that_the_users_cache_holds_for_another_step_are_not_fetched(
    serve: Serve,  # noqa: F811
    few: Served,
    tmp_path: Path,
) -> None:
    hub = serve(few.repository)
    hf_hub_download(NAME, WEIGHTS, revision="step0", endpoint=hub.endpoint)
    hub.clear_log()
    plan = few.plan(hub, steps="0,1", disk="1kB")
    assert plan.runs[0].bytes_to_come(plan.runs[0].usable) == 0
    assert list(walk(plan, tmp_path / "run").checkpoints["status"]) == ["ok", "ok"]
    assert not [label for label in hub.downloaded_files() if label.endswith(WEIGHTS)]


@pytest.mark.parametrize(
    ("text", "size"), [("20GB", 20e9), ("500 MB", 5e8), ("1.5t", 1.5e12), ("8GiB", 8 * 2**30), ("7B", 7)]
)
def test_sizes(text: str, size: float) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["0", "GB", "-1GB", "20 bananas", "1e9", "20", ""])
def test_no_sizes(text: str) -> None:
    with pytest.raises(PythiaGeometryError, match="--disk does not understand"):
        parse_size(text)
