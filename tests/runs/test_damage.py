"""A damaged file of a run folder is named, and the same command ends with the tables of an undamaged folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import pythia_geometry as pg
from pythia_geometry.cli import app
from pythia_geometry.commands import walk_session
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.store.checking import check
from pythia_geometry.store.run_folder import RunFolder
from pythia_geometry.store.tables import KEYS, Tables
from tests.suites_on_disk import SuiteOnDisk, assert_same, rows, tiny_suite, write_probes

STEPS = (0, 3, 9)
Damage = Callable[[Path], None]


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flipped(file: Path, at: float = 0.5) -> None:
    """One bit of one byte; `at` is its place as a share of the file."""
    content = bytearray(file.read_bytes())
    content[int(at * (len(content) - 1))] ^= 1 << (int(at * 997) % 8)
    file.write_bytes(content)


def duplicated(file: Path) -> None:
    """As a file manager does."""
    shutil.copy(file, file.with_name(f"{file.stem} 2{file.suffix}"))


def conflicted(file: Path) -> None:
    """As sync tools do, of files and of the folder around them."""
    shutil.copy(file, file.with_name(f"{file.stem} (conflicted copy 2026-11-26){file.suffix}"))
    shutil.copy(file, file.with_name(f"Copy of {file.name}"))
    if file.parent.parent.name == "parts":
        shutil.copytree(file.parent, file.parent.with_name(f"{file.parent.name} (conflicted copy)"), dirs_exist_ok=True)


def littered(file: Path) -> None:
    file.with_name(f"._{file.name}").write_bytes(b"\0\5\26\7Mac OS X")
    file.with_name(".DS_Store").write_bytes(b"\0\0\0\1Bud1")


DAMAGES: dict[str, Damage] = {
    "empty": lambda file: file.write_bytes(b"") and None,
    "zeroed": lambda file: file.write_bytes(bytes(file.stat().st_size)) and None,
    "truncated": truncated,
    "flipped": flipped,
    "deleted": Path.unlink,
    "duplicated": duplicated,
    "conflicted": conflicted,
    "littered": littered,
}
HARMLESS = ("duplicated", "conflicted", "littered")


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> SuiteOnDisk:
    return tiny_suite(tmp_path_factory.mktemp("suite"), STEPS)


@pytest.fixture(scope="module")
def sound(suite: SuiteOnDisk, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder as the command leaves it."""
    out = tmp_path_factory.mktemp("sound") / "run"
    draw(RunFolder(out), suite.walk(out))
    return out


def draw(folder: RunFolder, tables: Tables) -> None:
    """In the place of `write_outcome`, whose pictures take seconds."""
    folder.write_text("summary.csv", tables.geometry.to_csv())
    folder.write_bytes("figures/tiny-curves.svg", b"<svg></svg>" * 10)


@pytest.fixture(scope="module")
def expected(sound: Path) -> Tables:
    return RunFolder(sound).tables()


def files_of(run: Path) -> list[Path]:
    """By their paths inside the run folder."""
    return sorted(p.relative_to(run) for p in run.rglob("*") if p.is_file() and p.name != ".lock")


def kinds_of(run: Path) -> dict[str, Path]:
    """One file of every kind, of the step in the middle where it belongs to one."""
    found: dict[str, Path] = {}
    for file in files_of(run):
        kind = f"{file.parts[0] if len(file.parts) > 1 else ''}/{file.name.replace('tiny@step3.', '')}"
        if "step0" not in str(file) and "step9" not in str(file) and "figures" not in str(file):
            found.setdefault(kind, file)
    return found


def assert_mends(suite: SuiteOnDisk, out: Path, expected: Tables) -> None:
    """The same command again, then the tables that it gives, those on the disk, and the folder."""
    tables = suite.walk(out)
    assert_same(tables, expected)
    for name in (*KEYS, "checkpoints"):
        on_disk = pd.read_parquet(out / f"{name}.parquet").astype(getattr(expected, name).dtypes)
        pd.testing.assert_frame_equal(on_disk, getattr(expected, name), check_exact=True, obj=name)
    assert_same(RunFolder(out).tables(), expected)
    draw(RunFolder(out), tables)


def slow(*values: object) -> list[object]:
    """Parameters that the default tests leave out."""
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]


@pytest.mark.parametrize(
    "damage", ["empty", "flipped", "deleted", "conflicted", *slow("zeroed", "truncated", "duplicated", "littered")]
)
def test_one_file_of_every_kind_damaged_at_once(
    suite: SuiteOnDisk, sound: Path, expected: Tables, tmp_path: Path, damage: str
) -> None:
    out = tmp_path / "run"
    shutil.copytree(sound, out)
    for file in kinds_of(sound).values():
        DAMAGES[damage](out / file)
    before = check(out)
    assert before.is_whole == (damage in HARMLESS)
    assert_mends(suite, out, expected)
    after = check(out)
    assert damage == "flipped" or after.is_whole, after.damaged
    left = [path for path in after.damaged if not path.startswith("activations/")]
    assert not left  # a flipped byte of activations that no walk reads is left until one does


@pytest.mark.parametrize("at", [0.97, *slow(0.0, 0.35, 1.0)])
def test_a_flipped_byte_of_every_kind_of_file(
    suite: SuiteOnDisk, sound: Path, expected: Tables, tmp_path: Path, at: float
) -> None:
    out = tmp_path / "run"
    shutil.copytree(sound, out)
    kinds = kinds_of(sound)
    for file in kinds.values():
        flipped(out / file, at)
    named = set(check(out).damaged)
    parts = {str(file.parent) for file in kinds.values() if file.parts[0] == "parts"}
    single = {str(file) for file in kinds.values() if file.parts[0] != "parts" and "written.json" not in file.name}
    assert named >= parts | (single - {"summary.csv"})  # the summary's checksum lies in written.json, flipped too
    assert_mends(suite, out, expected)


@pytest.mark.slow
@pytest.mark.parametrize("damage", [*DAMAGES, *(f"flipped {at / 8}" for at in range(9))])
def test_every_file_damaged_alone(
    suite: SuiteOnDisk, sound: Path, expected: Tables, tmp_path: Path, damage: str
) -> None:
    for number, file in enumerate(files_of(sound)):
        out = tmp_path / str(number)
        shutil.copytree(sound, out)
        name, *at = damage.split()
        flipped(out / file, float(at[0])) if at else DAMAGES[name](out / file)
        is_cache_deleted = name == "deleted" and file.parts[0] == "activations"  # no table needs it: not missed
        is_harmless = name in HARMLESS or file.name.startswith("written.json") or is_cache_deleted
        assert check(out).is_whole == is_harmless, file
        assert_mends(suite, out, expected)
        shutil.rmtree(out)


@pytest.mark.parametrize("folder", ["parts", *slow("checkpoints", "activations", "figures")])
def test_a_whole_folder_deleted(suite: SuiteOnDisk, sound: Path, expected: Tables, tmp_path: Path, folder: str) -> None:
    out = tmp_path / "run"
    shutil.copytree(sound, out)
    shutil.rmtree(out / folder)
    assert_mends(suite, out, expected)
    assert check(out).is_whole


@pytest.mark.parametrize("activations", ["keep", "none"])
def test_a_stopped_walk_with_damaged_activations_ends_with_the_same_tables(
    suite: SuiteOnDisk, tmp_path: Path, activations: str, caplog: pytest.LogCaptureFixture
) -> None:
    from tests.runs.children import Stopped, counted, stop

    expected = suite.walk(tmp_path / "whole", activations=activations)
    with pytest.MonkeyPatch.context() as patch, counted(patch, 8, stop), pytest.raises(Stopped):
        suite.walk(tmp_path / "run", activations=activations)
    kind = "activations" if activations == "keep" else "passing"
    held = sorted((tmp_path / "run" / kind).glob("*.parquet"))
    assert len(held) == 2  # of the last step, with which all others are compared, and of the first
    for file in held:
        flipped(file)
    assert_same(suite.walk(tmp_path / "run", activations=activations), expected)
    assert [r.getMessage() for r in caplog.records if "its probes need a new forward pass" in r.getMessage()]


# -- more than one command has written here ------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_probes(suite: SuiteOnDisk, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run folder with the suite's probes and others, and the others' file."""
    folder = tmp_path_factory.mktemp("two")
    other = write_probes(folder / "other.jsonl", rows("third", 4))
    suite.walk(folder / "run")
    suite.walk(folder / "run", probes=(str(other),))
    return folder / "run", other


def walked_again(suite: SuiteOnDisk, out: Path, probes: Path) -> tuple[int, str]:
    arguments = suite.arguments(out)
    arguments[arguments.index("--probes") + 1] = str(probes)
    with pytest.MonkeyPatch.context() as patch:  # its pictures take seconds
        patch.setattr(walk_session, "write_outcome", lambda folder, tables, position: (pg.summary(tables), []))
        result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, SystemExit | None), result.exception
    return result.exit_code, result.output


@pytest.mark.parametrize("damage", ["flipped", "deleted"])
def test_records_of_what_this_command_does_not_ask_for_are_kept(
    suite: SuiteOnDisk, two_probes: tuple[Path, Path], tmp_path: Path, damage: str
) -> None:
    expected = RunFolder(two_probes[0]).tables()
    out = tmp_path / "run"
    shutil.copytree(two_probes[0], out)
    for file in (out / "checkpoints").glob("*.json"):
        DAMAGES[damage](file)
    assert_same(suite.walk(out, probes=(str(two_probes[1]),)), expected)


@pytest.mark.parametrize("damage", ["one table", *slow("a part", "all parts")])
def test_fewer_rows_never_end_with_exit_code_0(
    suite: SuiteOnDisk, two_probes: tuple[Path, Path], tmp_path: Path, damage: str
) -> None:
    """What another command has made is not computed again by this one, and that is said."""
    expected = RunFolder(two_probes[0]).tables()
    out = tmp_path / "run"
    shutil.copytree(two_probes[0], out)
    first = sorted((out / "parts").iterdir())[0]  # of the suite's own probes
    if damage == "one table":
        (first / "geometry.parquet").unlink()
    else:
        shutil.rmtree(first if damage == "a part" else out / "parts")
    with pytest.raises(PythiaGeometryError, match="Type the walk's command again: it computes what is missing"):
        RunFolder(out).tables()
    assert walked_again(suite, out, two_probes[1])[0] == 3
    assert len(RunFolder(out).tables().geometry) < len(expected.geometry)
    assert walked_again(suite, out, two_probes[1])[0] == 0  # it was said once, and is not asked for
    assert walked_again(suite, out, suite.probes)[0] == 0
    assert_same(RunFolder(out).tables(), expected)


def test_every_damaged_file_is_named_in_one_line(suite: SuiteOnDisk, sound: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(sound, out)
    part = sorted((out / "parts").iterdir())[0]
    flipped(part / "geometry.parquet")
    (out / "checkpoints" / "tiny@step3.json").write_text("{")
    (out / "checkpoints" / "tiny@step0 2.json").write_text("{")
    (out / "activations" / "tiny@step9.last.float32.parquet").write_bytes(b"")
    code, said = walked_again(suite, out, suite.probes)
    assert code == 0
    for line in (
        f"parts/{part.name}: geometry.parquet does not hold what was written (its sha256 differs); computed again",
        "checkpoints/tiny@step3.json: tiny@step3.json is no JSON; made again",
        "checkpoints/tiny@step0 2.json: a copy under another name; left out",
        "activations/tiny@step9.last.float32.parquet: tiny@step9.last.float32.parquet cannot be read; its probes need",
    ):
        assert f"damaged {line}" in said
