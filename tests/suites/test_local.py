"""A folder of steps as a suite: what it says, and what is wrong with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pythia_geometry.errors import EXIT_USER, PythiaGeometryError
from pythia_geometry.suites.local import LocalSuite
from pythia_geometry.suites.steps.numbering import Naming
from tests.hub.checkpoints import pythia_config, write_checkpoint

CONFIG = pythia_config("tiny", max_position_embeddings=8)


def suite_folder(
    folder: Path, weights: Mapping[str, bytes], facts: Mapping[str, Any] | None = None, tokenizer: bool = True
) -> Path:
    for name, content in weights.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "config.json").write_text(json.dumps(CONFIG))
        (folder / name / "model.safetensors").write_bytes(content)
    if tokenizer:
        (folder / "tokenizer.json").write_text("{}")
    if facts is not None:
        (folder / "suite.json").write_text(json.dumps(facts))
    return folder


def test_steps_are_numbers_and_other_names_are_ignored(tmp_path: Path) -> None:
    folder = suite_folder(tmp_path, {"step90000": b"a", "step143000": b"b", "step8": b"c", "notes": b"d"})
    (folder / "step5").write_text("a file")
    suite = LocalSuite(folder)
    assert suite.steps() == [8, 90000, 143000]
    assert suite.config_file() == folder / "step143000" / "config.json"


def test_facts_are_optional(tmp_path: Path) -> None:
    folder = suite_folder(tmp_path / "my-run", {"step0": b"a", "step100": b"bc"})
    suite = LocalSuite(folder)
    assert (suite.suite, suite.model, suite.seed) == ("local", "my-run", 0)
    assert (suite.default_probes, suite.notes) == (("core",), ())
    first, last = suite.find([0, 100])
    assert (first.tokens, first.commit, first.source, first.revision) == (None, None, "my-run", "step0")
    assert (last.label, last.size, last.status) == ("my-run@step100", 2, "ok")
    assert last.weight_sha256 == hashlib.sha256(b"bc").hexdigest()


def test_facts_are_read(tmp_path: Path) -> None:
    facts = {
        "suite": "lab",
        "name": "toy.v1",
        "seed": 3,
        "tokens_per_step": 1000,
        "training_dtype": "bfloat16",
        "probes": ["algorithmic", "syntax"],
    }
    suite = LocalSuite(suite_folder(tmp_path, {"step7": b"a"}, facts))
    assert (suite.suite, suite.model, suite.seed) == ("lab", "toy.v1", 3)
    assert (suite.default_probes, suite.notes) == (("algorithmic", "syntax"), ("trained in bfloat16",))
    (found,) = suite.find([7])
    assert (found.tokens, found.label, found.suite) == (7000, "toy.v1-seed3@step7", "lab")


def test_facts_that_are_no_json_name_the_line(tmp_path: Path) -> None:
    folder = suite_folder(tmp_path, {"step7": b"a"})
    (folder / "suite.json").write_text('{\n"name": }')
    with pytest.raises(PythiaGeometryError, match=r"suite\.json, line 2: not valid JSON") as caught:
        LocalSuite(folder)
    assert caught.value.exit_code == EXIT_USER


@pytest.mark.parametrize("facts", [[], "name", 5])
def test_facts_that_are_no_object_are_refused(tmp_path: Path, facts: Any) -> None:
    with pytest.raises(PythiaGeometryError, match=r"suite\.json must hold one JSON object"):
        LocalSuite(suite_folder(tmp_path, {"step7": b"a"}, facts))


@pytest.mark.parametrize("name", ["", "../up", "a/b", "a b", "a\n", "a:b"])
def test_name_that_would_not_do_as_a_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(PythiaGeometryError, match="name must be letters, digits"):
        LocalSuite(suite_folder(tmp_path, {"step7": b"a"}, {"name": name}))


def test_folder_that_is_not_there_and_folder_without_steps(tmp_path: Path) -> None:
    with pytest.raises(PythiaGeometryError, match=r"nothing is not a folder[.] Expected one that holds step0/"):
        LocalSuite(tmp_path / "nothing")
    (tmp_path / "run-500").mkdir()
    with pytest.raises(PythiaGeometryError, match=r"no step folders[.] Expected step0/, .*it holds run-500.*--pattern"):
        LocalSuite(tmp_path)
    assert LocalSuite(tmp_path, Naming(pattern=r"run-(?P<step>\d+)")).steps() == [500]


def test_missing_tokenizer_and_config_are_named_with_what_to_do(tmp_path: Path) -> None:
    suite = LocalSuite(suite_folder(tmp_path, {"step0": b"a", "step9": b"b"}, tokenizer=False))
    with pytest.raises(PythiaGeometryError, match=r"has no tokenizer\.json\. Put one there .*save_pretrained"):
        suite.tokenizer_file()
    for step in ("step0", "step9"):
        (tmp_path / step / "config.json").unlink()
    with pytest.raises(PythiaGeometryError, match=r"step9/config\.json is missing"):
        suite.config_file()


def test_tokenizer_beside_the_steps_comes_before_the_last_steps_own(tmp_path: Path) -> None:
    folder = suite_folder(tmp_path, {"step0": b"a", "step9": b"b"}, tokenizer=False)
    (folder / "step9" / "tokenizer.json").write_text("{}")
    assert LocalSuite(folder).tokenizer_file() == folder / "step9" / "tokenizer.json"
    (folder / "tokenizer.json").write_text("{}")
    assert LocalSuite(folder).tokenizer_file() == folder / "tokenizer.json"


def test_step_without_weights_is_a_row_and_no_error(tmp_path: Path) -> None:
    folder = suite_folder(tmp_path, {"step0": b"a", "step5": b"b", "step9": b"c"})
    (folder / "step5" / "model.safetensors").unlink()
    first, gap, last = LocalSuite(folder).find([0, 5, 9])
    assert (first.status, gap.status, last.status) == ("ok", "missing", "ok")
    assert gap.files == ()
    assert gap.detail.startswith(f"{folder / 'step5'} has no weights. Expected model.safetensors")


def test_step_that_vanished_after_listing_is_a_row(tmp_path: Path) -> None:
    folder = suite_folder(tmp_path, {"step0": b"a", "step9": b"c"})
    suite = LocalSuite(folder)
    for path in (folder / "step0").iterdir():
        path.unlink()
    (folder / "step0").rmdir()
    gap, last = suite.find([0, 9])
    assert (gap.status, last.status) == ("corrupt", "ok")
    assert "step0 could not be read: No such file" in gap.detail


def test_truncated_file_is_listed_with_its_own_hash(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "step0", CONFIG, 1)
    write_checkpoint(tmp_path / "step9", CONFIG, 1)
    path = tmp_path / "step9" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    whole, cut = LocalSuite(tmp_path).find([0, 9])
    assert (cut.status, cut.size) == ("ok", whole.size - 100)
    assert cut.weight_sha256 == hashlib.sha256(path.read_bytes()).hexdigest() != whole.weight_sha256


def test_shards_are_hashed_and_an_incomplete_set_is_a_row(tmp_path: Path) -> None:
    for step in (0, 5, 9):
        write_checkpoint(tmp_path / f"step{step}", CONFIG, step, ("bin",), shards=3)
    (tmp_path / "step5" / "pytorch_model-00002-of-00003.bin").unlink()
    index = tmp_path / "step9" / "pytorch_model.bin.index.json"
    index.write_text(index.read_text().replace("pytorch_model-00001-of-00003.bin", "../../secret.bin"))
    whole, gap, bad = LocalSuite(tmp_path).find([0, 5, 9])
    assert [file.name for file in whole.files] == [f"pytorch_model-0000{i}-of-00003.bin" for i in (1, 2, 3)]
    assert [c.status for c in (whole, gap, bad)] == ["ok", "missing", "corrupt"]
    assert "../../secret.bin" in bad.detail


def test_safetensors_are_taken_and_the_pickle_beside_them_is_not_read(tmp_path: Path) -> None:
    folder = suite_folder(tmp_path, {"step0": b"a"})
    (folder / "step0" / "pytorch_model.bin").mkdir()  # reading it would fail
    (found,) = LocalSuite(folder).find([0])
    assert [file.name for file in found.files] == ["model.safetensors"]


def test_equal_steps_are_duplicates_of_the_latest(tmp_path: Path) -> None:
    found = LocalSuite(suite_folder(tmp_path, {"step0": b"a", "step1": b"a", "step20": b"b", "step100": b"b"})).find(
        [0, 1, 20, 100]
    )
    assert [c.status for c in found] == ["ok", "ok", "duplicate", "ok"]
    assert "holds the same weights as step100" in found[2].detail


def test_opening_copies_nothing_and_leaves_the_folder(tmp_path: Path) -> None:
    suite = LocalSuite(suite_folder(tmp_path, {"step0": b"a"}))
    (found,) = suite.find([0])
    assert suite.bytes_to_download(found) == 0
    folder = suite.fetch(found, tmp_path / "scratch")
    assert folder == tmp_path / "step0"
    assert (tmp_path / "step0" / "model.safetensors").read_bytes() == b"a"
    assert not (tmp_path / "scratch").exists()


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite_folder(tmp_path / "run", {"step4": b"a"})
    monkeypatch.setenv("HOME", str(tmp_path))
    assert LocalSuite("~/run").steps() == [4]


# -- folders as the world leaves them -------------------------------------------------------------------------


def test_folder_of_the_trainer_is_walked_and_its_steps_are_called_as_it_calls_them(tmp_path: Path) -> None:
    folder = suite_folder(tmp_path / "run", {f"checkpoint-{s}": b"%d" % s for s in (500, 1000, 1500)})
    (folder / "runs").mkdir()
    (folder / "checkpoint-1500" / "optimizer.pt").write_bytes(b"x")
    suite = LocalSuite(folder)
    assert suite.steps() == [500, 1000, 1500]
    first, _, gap = suite.find([500, 1500, 700])
    assert (first.label, first.revision, first.status) == ("run@checkpoint-500", "checkpoint-500", "ok")
    assert (gap.label, gap.status) == ("run@checkpoint-700", "missing")
    assert gap.detail.endswith("has no folder checkpoint-700")


def test_config_beside_the_steps_does_where_they_have_none(tmp_path: Path) -> None:
    folder = suite_folder(tmp_path, {"step_0": b"a", "step_500": b"b"})
    for step in ("step_0", "step_500"):
        (folder / step / "config.json").rename(folder / "config.json")
    suite = LocalSuite(folder)
    assert suite.config_file() == suite.config_file(suite.find([0])[0]) == folder / "config.json"


def test_each_step_has_its_own_config_or_the_suites(tmp_path: Path) -> None:
    folder = suite_folder(tmp_path, {"step0": b"a", "step5": b"b", "step9": b"c"})
    (folder / "step5" / "config.json").unlink()
    suite = LocalSuite(folder)
    assert suite.config_file() == folder / "step9" / "config.json"
    own = [suite.config_file(c) for c in suite.find([0, 5, 9])]
    assert own == [folder / f"step{s}" / "config.json" for s in (0, 9, 9)]
    (folder / "step9" / "config.json").unlink()
    assert LocalSuite(folder).config_file() == folder / "step0" / "config.json"


def test_link_to_nothing_is_a_missing_step_and_not_passed_over(tmp_path: Path) -> None:
    folder = suite_folder(tmp_path, {"step0": b"a"})
    (folder / "step8").symlink_to(tmp_path / "gone")
    suite = LocalSuite(folder)
    assert suite.steps() == [0, 8]
    (found,) = suite.find([8])
    assert (found.status, found.detail) == ("missing", f"{folder / 'step8'} is a link to nothing")
    assert suite.config_file() == folder / "step0" / "config.json"


def test_two_links_to_one_folder_are_one_step(tmp_path: Path) -> None:
    folder = suite_folder(tmp_path, {"step8": b"a"})
    (folder / "step_8").symlink_to(folder / "step8")
    assert LocalSuite(folder).steps() == [8]


def test_pointer_of_git_lfs_is_no_corrupt_weight(tmp_path: Path) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 123\n"
    (found,) = LocalSuite(suite_folder(tmp_path, {"step0": pointer})).find([0])
    assert found.status == "unsupported"
    assert "is a pointer of Git LFS and not the weights. Fetch them: git lfs pull" in found.detail


def test_adapter_is_named_with_what_to_do(tmp_path: Path) -> None:
    folder = suite_folder(tmp_path, {"step0": b"a"})
    (folder / "step0" / "model.safetensors").rename(folder / "step0" / "adapter_model.safetensors")
    (found,) = LocalSuite(folder).find([0])
    assert found.status == "unsupported"
    assert "an adapter (PEFT, such as LoRA)" in found.detail
    assert "merge_and_unload" in found.detail


def test_stages_and_seeds_of_a_folder_are_runs_of_their_own(tmp_path: Path) -> None:
    names = ["stage1-step5", "stage2-step5", "stage1-step5-seed-1"]
    folder = suite_folder(tmp_path / "run", {n: n.encode() for n in names})
    plain = LocalSuite(folder)
    late, other = LocalSuite(folder, Naming("stage2")), LocalSuite(folder, seed=1)
    assert [s.find([5])[0].label for s in (plain, late, other)] == ["run@step5", "run-stage2@step5", "run-seed1@step5"]
    assert any("stages left out: stage2" in note for note in plain.notes)
    assert any("other seeds here: 1 (1)" in note for note in plain.notes)
    assert late.address.endswith(" --stage stage2")
    with pytest.raises(
        PythiaGeometryError, match="--seeds needs a Pythia size, or steps whose names .*run is of one seed"
    ):
        LocalSuite(suite_folder(tmp_path / "plain" / "run", {"step1": b"a"}), seed=1)


def test_index_decides_which_shards_of_a_folder_belong(tmp_path: Path) -> None:
    folder = suite_folder(tmp_path, {"step0": b"a"})
    step = folder / "step0"
    (step / "model.safetensors").unlink()
    names = [f"model-0000{i}-of-000002.safetensors" for i in (1, 2)]
    for name in (*names, *(f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3))):
        (step / name).write_bytes(name.encode())
    (step / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": names[0], "b": names[1]}}))
    (found,) = LocalSuite(folder).find([0])
    assert (found.status, [f.name for f in found.files]) == ("ok", names)


def test_what_it_can_do_is_asked_of_the_suite(tmp_path: Path) -> None:
    suite = LocalSuite(suite_folder(tmp_path, {"ckpt_7": b"a"}))
    assert (suite.parts, suite.lists_hashes, suite.step_name(7), suite.step_name(8)) == (
        None,
        False,
        "ckpt_7",
        "ckpt_8",
    )
