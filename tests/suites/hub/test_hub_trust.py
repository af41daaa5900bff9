"""A server that lies: no word of it becomes a path, nothing waits for ever, the token is for the Hub alone."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from pythia_geometry.errors import CheckpointError, MachineError, PythiaGeometryError
from pythia_geometry.suites.checkpoint import Checkpoint, WeightFile
from pythia_geometry.suites.hub import asking, listing
from pythia_geometry.suites.hub.suite import HubSuite
from pythia_geometry.suites.steps.numbering import Naming
from tests.hub.scripted import Said, ScriptedServer, scripted

NAME = "org/run"
REFS, TREE, RESOLVE = f"/api/models/{NAME}/refs", f"/api/models/{NAME}/tree/", f"/{NAME}/resolve/"
COMMIT, SHA = "c" * 40, "a" * 64
Answer = Callable[[str, ScriptedServer], Said]


def said(content: Any, **headers: str) -> Said:
    return Said(json.dumps(content).encode(), headers={"Content-Type": "application/json", **headers})


def refs(*entries: Any) -> Said:
    return said(
        {"branches": [{"name": "step0", "ref": "refs/heads/step0", "targetCommit": COMMIT}, *entries], "tags": []}
    )


def entry(path: Any = "model.safetensors", size: Any = 10, lfs: Any = None, **more: Any) -> dict[str, Any]:
    return {"type": "file", "path": path, "size": size, "oid": "b" * 40, **({"lfs": lfs} if lfs else {}), **more}


WEIGHTS = entry(lfs={"oid": SHA, "size": 10})


def hub_of(tree: Any = (WEIGHTS,), resolve: Callable[[str, ScriptedServer], Said] | None = None) -> Answer:
    """One branch, whose files are listed so, and answered so."""

    def answer(path: str, server: ScriptedServer) -> Said:
        if path.startswith(REFS):
            return refs()
        if path.startswith(TREE):
            return tree(path, server) if callable(tree) else said(list(tree))
        return resolve(path, server) if resolve else Said(status=404, headers={"X-Error-Code": "EntryNotFound"})

    return answer


@pytest.fixture
def serve_answers() -> Iterator[Callable[[Answer], tuple[HubSuite, ScriptedServer]]]:
    opened = []

    def start(answer: Answer) -> tuple[HubSuite, ScriptedServer]:
        context = scripted(answer)
        server = context.__enter__()
        opened.append(context)
        return HubSuite(NAME, None, server.address), server

    yield start
    import huggingface_hub

    huggingface_hub.close_session()
    for context in opened:
        context.__exit__(None, None, None)


Start = Callable[[Answer], tuple[HubSuite, ScriptedServer]]
pytestmark = pytest.mark.usefixtures("waits")


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines that a test can wait for."""
    for module in (asking, listing):
        monkeypatch.setattr(module, "SECONDS", 0.6)
    monkeypatch.setattr(asking, "PACE", (0.5, 1000))


class Listed:
    """A listing that says what a test says, without a server."""

    caveat = ""

    def __init__(self, branches: Any, tree: Callable[[str], Any]) -> None:
        self.branches, self.tree = branches, tree

    def revisions(self) -> Any:
        return listing._read("x", "x", lambda _: listing.read_refs([self.branches]))

    def files(self, commit: str) -> Any:
        return listing._read("x", "x", lambda _: listing.read_tree([self.tree(commit)]))

    def read(self, commit: str, name: str, span: Any) -> bytes:
        return b"{}"


def listed_suite(branches: Any, tree: Callable[[str], Any], naming: Naming | None = None) -> HubSuite:
    suite = HubSuite(NAME, None, "http://127.0.0.1:9", naming)
    listed = Listed(branches, tree)
    suite.__dict__["_listed"] = (listed, listed.revisions())
    return suite


def step_of(*tree: Any) -> Checkpoint:
    """Step 0 of a Hub that lists its files so."""
    branches = {"branches": [{"name": "step0", "targetCommit": COMMIT}]}
    return listed_suite(branches, lambda _: list(tree)).find([0])[0]


# -- what is listed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "oid",
    [
        "/some/folder",
        "..",
        "../parts",
        "",
        "a" * 63,
        "a" * 65,
        "A" * 64,
        "g" * 64,
        SHA + "\n",
        None,
        5,
        [SHA],
        {"x": 1},
        1e400,
    ],
)
def test_hash_that_is_none_makes_the_step_corrupt(oid: Any) -> None:
    found = step_of(entry(lfs={"oid": oid, "size": 10, "x": 1}))
    assert (found.status, found.files, found.weights) == ("corrupt", (), "run@step0")
    assert "run@step0: the Hub lists model.safetensors with the sha256 " in found.detail


def test_hash_that_is_none_is_seen_in_what_a_server_sends(serve_answers: Start) -> None:
    suite, _ = serve_answers(hub_of([entry(lfs={"oid": "../parts", "size": 10})]))
    assert [c.status for c in suite.find([0])] == ["corrupt"]


@pytest.mark.parametrize("size", [None, "10", -1, 1.5, 1e400, True, [], {}, 2**60])
def test_size_that_is_none_makes_the_step_corrupt(size: Any) -> None:
    found = step_of(entry(size=size, lfs={"oid": SHA, "size": 10}))
    assert found.status == "corrupt"
    assert "the Hub lists model.safetensors with the size " in found.detail


@pytest.mark.parametrize(
    "path", ["../model.safetensors", "/model.safetensors", "sub/x.bin", "..", ".", "", None, 5, ["x"], "a\nb"]
)
def test_name_that_leads_out_of_its_folder_is_no_file(path: Any) -> None:
    found = step_of(entry(path=path, lfs={"oid": SHA, "size": 10}), "text", None, 7, [])
    assert (found.status, found.files) == ("missing", ())


def test_wrong_entry_of_another_file_does_no_harm() -> None:
    found = step_of(entry("README.md", size=None), entry("x.bin", lfs={"oid": ".."}), WEIGHTS)
    assert (found.status, found.files) == ("ok", (WeightFile("model.safetensors", 10, SHA),))


@pytest.mark.parametrize("commit", [COMMIT + "\n", "../..", "main", "C" * 40, "", None, 5, [COMMIT], "c" * 39])
def test_commit_that_is_none_makes_the_step_corrupt_and_is_never_asked_for(commit: Any) -> None:
    asked: list[str] = []
    branches = [{"name": "step0", "targetCommit": COMMIT}, {"name": "step5", "targetCommit": commit}]
    suite = listed_suite({"branches": branches}, lambda one: asked.append(one) or [WEIGHTS])
    good, found = suite.find([0, 5])
    assert (good.status, found.status, found.commit) == ("ok", "corrupt", None)
    assert found.detail == "the Hub lists something that is no commit as step5"
    assert asked == [COMMIT]


def test_names_of_branches_that_are_none_are_no_branches() -> None:
    names = [None, 5, ["step5"], "", "x" * 300, "step5\n", "step5\x1b[31m", "step0"]
    branches = [{"name": n, "targetCommit": COMMIT} for n in names]
    assert listed_suite({"branches": [*branches, "step6", None]}, lambda _: []).steps() == [0]


def test_index_decides_among_shards_of_two_saves(serve_answers: Start) -> None:
    new = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    old = [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]
    index = json.dumps({"weight_map": {"a": new[0], "b": new[1]}}).encode()
    tree = [entry(n, lfs={"oid": SHA[:-1] + str(i), "size": 10}) for i, n in enumerate([*new, *old])]
    resolve = Said(index)
    suite, server = serve_answers(hub_of([*tree, entry("model.safetensors.index.json")], lambda *_: resolve))
    (found,) = suite.find([0])
    assert [f.name for f in found.files] == new
    assert [p for p in server.paths() if p.startswith(RESOLVE)] == [f"{RESOLVE}{COMMIT}/model.safetensors.index.json"]


@pytest.mark.parametrize(
    "listed", [[], {}, None, 5, {"branches": {}}, {"branches": 5}, {"branches": None}, {"branches": [], "tags": 5}]
)
def test_refs_of_another_shape_are_garbled(listed: Any) -> None:
    with pytest.raises(asking.GarbledError):
        listed_suite(listed, lambda _: [])


@pytest.mark.parametrize("body", [b"[]", b"\x00\xff", b"[" * 200_000, b'{"branches": ' + b"9" * 6000 + b"}"])
def test_garbled_refs_are_called_so_and_the_hub_not_called_unreachable(serve_answers: Start, body: bytes) -> None:
    suite, _ = serve_answers(lambda *_: Said(body))
    with pytest.raises(MachineError, match="The Hub's answer cannot be understood") as caught:
        suite.steps()
    assert "cannot be reached" not in str(caught.value)


@pytest.mark.parametrize("body", [b"{}", b"[" * 200_000])
def test_garbled_tree_is_a_failed_step(serve_answers: Start, body: bytes) -> None:
    suite, _ = serve_answers(hub_of(lambda *_: Said(body)))
    (found,) = suite.find([0])
    assert found.status == "failed"
    assert "could not be listed" in found.detail


def test_bad_gzip_is_a_failed_step(serve_answers: Start) -> None:
    suite, _ = serve_answers(hub_of(lambda *_: Said(b"no gzip", headers={"Content-Encoding": "gzip"})))
    (found,) = suite.find([0])
    assert found.status == "failed"


# -- pages, redirects, the token ----------------------------------------------------------------------------


def test_page_that_leads_to_itself_is_not_read_twice(serve_answers: Start) -> None:
    def tree(path: str, server: ScriptedServer) -> Said:
        return said([WEIGHTS], Link=f'<{server.address}{path}>; rel="next"')

    suite, server = serve_answers(hub_of(tree))
    (found,) = suite.find([0])
    assert found.status == "failed"
    assert "a page that leads to" in found.detail
    assert len(server.paths()) < 8


@pytest.mark.usefixtures("short")
def test_pages_without_end_end(serve_answers: Start) -> None:
    count = iter(range(10**9))

    def tree(path: str, server: ScriptedServer) -> Said:
        return said([], Link=f'<{server.address}{path.split("?")[0]}?cursor={next(count)}>; rel="next"')

    suite, _ = serve_answers(hub_of(tree))
    began = time.monotonic()
    (found,) = suite.find([0])
    assert found.status == "failed"
    assert time.monotonic() - began < 15


@pytest.mark.parametrize("link", ["file:///etc/passwd", "http://[", "ftp://x/y", "//", "javascript:1"])
def test_page_at_an_address_of_another_kind_is_refused(serve_answers: Start, link: str) -> None:
    suite, _ = serve_answers(hub_of(lambda *_: said([WEIGHTS], Link=f'<{link}>; rel="next"')))
    (found,) = suite.find([0])
    assert found.status == "failed"


def test_relative_page_is_followed(serve_answers: Start) -> None:
    def tree(path: str, _: ScriptedServer) -> Said:
        return said([WEIGHTS]) if "cursor" in path else said([], Link='<?cursor=1>; rel="next"')

    suite, _ = serve_answers(hub_of(tree))
    assert [c.status for c in suite.find([0])] == ["ok"]


@pytest.mark.parametrize("by", ["page", "redirect of a listing", "redirect of a config"])
def test_token_goes_to_no_other_origin(
    serve_answers: Start, monkeypatch: pytest.MonkeyPatch, by: str, hub_cache: Path
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with scripted(lambda *_: said([WEIGHTS])) as other:

        def tree(path: str, _: ScriptedServer) -> Said:
            if by == "page":
                return said([], Link=f'<{other.address}/next>; rel="next"')
            if by == "redirect of a listing":
                return Said(status=307, headers={"Location": f"{other.address}/there"})
            return said([WEIGHTS, entry("config.json", size=2)])

        def resolve(path: str, _: ScriptedServer) -> Said:
            headers = {"Location": f"{other.address}/there", "ETag": f'"{"b" * 40}"', "X-Repo-Commit": COMMIT}
            return Said(status=302, headers=headers)

        suite, server = serve_answers(hub_of(tree, resolve))
        assert suite.find([0])[0].status == "ok"
        if by == "redirect of a config":
            with pytest.raises(PythiaGeometryError):
                suite.config_file()
        assert other.asked
        assert all("Authorization" in headers for _, _, headers in server.asked)
        assert not any("Authorization" in headers for _, _, headers in other.asked)


@pytest.mark.parametrize("target", ["itself", "a circle"])
def test_redirect_loop_of_a_listing_is_a_failed_step(serve_answers: Start, target: str) -> None:
    def tree(path: str, _: ScriptedServer) -> Said:
        there = path if target == "itself" else path.removesuffix("/x") if path.endswith("/x") else f"{path}/x"
        return Said(status=302, headers={"Location": there})

    suite, server = serve_answers(hub_of(tree))
    (found,) = suite.find([0])
    assert found.status == "failed"
    assert len(server.paths()) < 60


def test_redirect_loop_of_the_refs_says_so(serve_answers: Start) -> None:
    suite, _ = serve_answers(lambda path, _: Said(status=302, headers={"Location": path}))
    with pytest.raises(MachineError, match="cannot be understood"):
        suite.steps()


def test_redirect_loop_of_the_weights_is_that_steps(serve_answers: Start, tmp_path: Path) -> None:
    suite, _ = serve_answers(hub_of(resolve=lambda path, _: Said(status=302, headers={"Location": path})))
    (found,) = suite.find([0])
    with pytest.raises(CheckpointError, match="run@step0: model.safetensors could not be fetched") as caught:
        suite.fetch(found, tmp_path / "scratch")
    assert caught.value.status == "corrupt"


# -- time and size ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("what", ["drip", "endless", "silent head"])
def test_listing_that_never_ends_is_given_up(serve_answers: Start, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.setattr(asking, "PAGE", 10**6)

    def answer(path: str, server: ScriptedServer) -> Said:
        if what == "silent head":
            server.closing.wait(5)
        return Said(server.drip(b"[" * 1000) if what == "drip" else server.endless())

    suite, _ = serve_answers(answer)
    began = time.monotonic()
    with pytest.raises(MachineError):
        suite.steps()
    assert time.monotonic() - began < 15


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("what", ["drip", "endless"])
def test_config_that_never_ends_is_given_up(
    serve_answers: Start, monkeypatch: pytest.MonkeyPatch, what: str, hub_cache: Path
) -> None:
    from pythia_geometry.suites.hub import small_files

    monkeypatch.setattr(small_files, "SECONDS", 0.6)

    def resolve(path: str, server: ScriptedServer) -> Said:
        body = server.drip(b" " * 1000) if what == "drip" else server.endless()
        return Said(body, headers={"ETag": f'"{"b" * 40}"', "X-Repo-Commit": COMMIT})

    suite, _ = serve_answers(hub_of([WEIGHTS, entry("config.json", size=1000)], resolve))
    began = time.monotonic()
    with pytest.raises(PythiaGeometryError):
        suite.config_file()
    assert time.monotonic() - began < 20
    assert sum(p.stat().st_size for p in hub_cache.rglob("*") if p.is_file()) < 10**7


def test_config_that_is_listed_as_huge_is_not_fetched(serve_answers: Start) -> None:
    suite, server = serve_answers(hub_of([WEIGHTS, entry("config.json", size=10**12)]))
    suite.find([0])
    with pytest.raises(MachineError, match=r"config.json has 1,000,000,000,000 bytes"):
        suite.config_file()
    assert not [path for path in server.paths() if path.startswith(RESOLVE)]


def test_weights_that_drip_are_given_up_and_kept(
    serve_answers: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "PACE", (0.5, 1000))
    suite, server = serve_answers(hub_of(resolve=lambda _, server: Said(server.drip(b"x" * 1000))))
    (found,) = suite.find([0])
    began = time.monotonic()
    with pytest.raises(CheckpointError, match=r"bytes in \d+ s") as caught:
        suite.fetch(found, tmp_path / "scratch")
    assert caught.value.status == "failed"
    assert time.monotonic() - began < 30
    assert len([path for path in server.paths() if path.startswith(RESOLVE)]) == 1


# -- what the client would make of headers ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "value"),
    [("ETag", '"../../../../escaped"'), ("ETag", '"' + "a" * 300 + '"'), ("X-Linked-ETag", '"/root/escaped"'),
     ("X-Linked-ETag", ".."), ("X-Repo-Commit", "../escaped"), ("X-Repo-Commit", "main")],
)  # fmt: skip
def test_header_that_leads_out_of_the_cache_is_refused(
    serve_answers: Start, hub_cache: Path, header: str, value: str, tmp_path: Path
) -> None:
    def resolve(path: str, _: ScriptedServer) -> Said:
        headers = {"ETag": f'"{"b" * 40}"', "X-Repo-Commit": COMMIT} | {header: value}
        return Said(b"{}", headers=headers)

    suite, _ = serve_answers(hub_of([WEIGHTS, entry("config.json", size=2)], resolve))
    with pytest.raises(MachineError, match="cannot be understood"):
        suite.config_file()
    inside = [p for p in tmp_path.rglob("*") if p.is_file() and hub_cache not in p.parents]
    assert inside == []
    assert not list(tmp_path.rglob("escaped*"))


def test_other_peoples_requests_are_left_alone() -> None:
    session = asking._guarded()
    assert asking._guarded() is session
    assert session.event_hooks["response"].count(asking._after) == 1
    with scripted(lambda *_: Said(b"{}", headers={"ETag": '"../x"'})) as server:
        answer = session.head(f"{server.address}/x", headers={"Authorization": "Bearer mine"})
        assert answer.status_code == 200
        assert server.asked[0][2]["Authorization"] == "Bearer mine"
    session.close()
    constants.ENDPOINT  # noqa: B018 - the fixture's


# -- nothing is removed that was not made -------------------------------------------------------------------


def test_wrong_bytes_remove_only_what_was_fetched(serve_answers: Start, tmp_path: Path) -> None:
    folder = tmp_path / "scratch"
    (folder / "sub").mkdir(parents=True)
    (folder / "mine.txt").write_text("mine")
    suite, _ = serve_answers(hub_of(resolve=lambda *_: Said(b"ten bytes!")))
    (found,) = suite.find([0])
    with pytest.raises(CheckpointError, match="has sha256"):
        suite.fetch(found, folder)
    assert sorted(p.name for p in folder.iterdir()) == ["mine.txt", "sub"]


# -- fuzz ---------------------------------------------------------------------------------------------------

_ODD = (
    None, True, 0, -1, 5, 2**70, 1e400, -1e400, 0.5, "", "..", "../x", "/etc", "a\nb", "\x00", "x" * 5000, [], {}, [[]],
    "step1", "step01", "main", COMMIT, SHA, "stage2-step5", "ckpt_5", "٣", "step5-seed-../x", {"oid": SHA}, {"oid": "../x"},
)  # fmt: skip


def _mutated(rng: random.Random, value: Any, depth: int = 0) -> Any:
    if rng.random() < 0.12:
        return rng.choice(_ODD)
    if isinstance(value, dict):
        changed = {key: _mutated(rng, one, depth + 1) for key, one in value.items() if rng.random() > 0.05}
        return changed | ({rng.choice(["name", "path", "lfs", "size"]): rng.choice(_ODD)} if rng.random() < 0.1 else {})
    if isinstance(value, list):
        changed = [_mutated(rng, one, depth + 1) for one in value]
        return changed + ([rng.choice([*_ODD, *changed])] if changed and rng.random() < 0.2 else [])
    return value


def _seeded(seed: int) -> tuple[Any, list[Any]]:
    rng = random.Random(seed)
    steps = [{"name": f"step{i}", "ref": "r", "targetCommit": f"{i:040x}"} for i in range(1, 6)]
    listed = {"branches": [*steps, {"name": "main", "targetCommit": COMMIT}], "tags": [], "converts": []}
    trees = [
        [WEIGHTS, entry("config.json"), entry("tokenizer.json"), {"type": "directory", "path": "sub"}] for _ in range(6)
    ]
    return _mutated(rng, listed), [_mutated(rng, tree) for tree in trees]


def _survives(seed: int, naming: Naming) -> None:
    """Whatever is listed: rows, or one message."""
    branches, trees = _seeded(seed)
    try:
        suite = listed_suite(branches, lambda commit: trees[int(commit, 16) % 6], naming)
        found = suite.find(suite.steps())
    except (PythiaGeometryError, asking.GarbledError):
        return
    for checkpoint in found:
        _is_harmless(checkpoint)


def _is_harmless(checkpoint: Checkpoint) -> None:
    """Every name stays in its folder; every number is one."""
    assert all(Path(f.name).name == f.name and f.name not in (".", "..") for f in checkpoint.files)
    assert all(type(f.size) is int and f.size >= 0 for f in checkpoint.files)
    assert Path(checkpoint.weights).name == checkpoint.weights
    assert Path(checkpoint.label).name == checkpoint.label
    assert type(checkpoint.step) is int


def test_fuzz_of_listings() -> None:
    for seed in range(150):
        _survives(seed, Naming())


@pytest.mark.slow
def test_longer_fuzz_of_listings() -> None:
    for seed in range(150, 6_000):
        _survives(seed, Naming(pattern=r"(?P<stage>\w+?)?(?P<step>\d+)") if seed % 5 == 0 else Naming())
