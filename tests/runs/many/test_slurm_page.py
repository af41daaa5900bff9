"""The Slurm scripts of docs/machines.md do what the page says, with stand-ins for `sbatch` and `srun`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pythia_geometry.store.run_folder import RunFolder
from tests.runs.many.test_shards import assert_same_files
from tests.suites_on_disk import SuiteOnDisk, tiny_suite

PAGE = Path("docs/machines.md")
COUNT = 2
WALKED = "pythia-geom --model pythia-160m --seeds 0-9"

SBATCH = """#!/bin/bash
# runs an array task by task, and a wrapped command at once
echo "sbatch $*" >> "$SLURM_LOG"
wrap=""; previous=""
for word in "$@"; do
  [ "$previous" = --wrap ] && wrap="$word"
  previous="$word"
done
if [ -n "$wrap" ]; then
  sh -c "$wrap" >> "$SLURM_LOG"
else
  for task in $(seq "$TASKS"); do
    SLURM_ARRAY_TASK_ID=$task SLURM_ARRAY_TASK_COUNT=$TASKS bash "${@: -1}" >> "$SLURM_LOG"
  done
  echo 4711
fi
"""


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> SuiteOnDisk:
    return tiny_suite(tmp_path_factory.mktemp("suite"), (0, 3, 9))


def blocks() -> list[str]:
    """The bash blocks of the page that speak of Slurm: the script, and what is typed."""
    found = re.findall(r"```bash\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    return [block for block in found if "sbatch" in block or "srun" in block]


def write_program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)


@pytest.mark.slow
def test_array_and_the_job_after_it_end_with_the_tables_of_one_process(suite: SuiteOnDisk, tmp_path: Path) -> None:
    script, typed = blocks()
    assert script.count(WALKED) == typed.count(WALKED) == 1
    mine = f"pythia-geom --model {suite.folder} --probes {suite.probes} --device cpu --threads 1"
    (tmp_path / "walk.sbatch").write_text(script.replace(WALKED, mine))
    programs = tmp_path / "bin"
    programs.mkdir()
    write_program(programs, "sbatch", SBATCH)
    write_program(programs, "srun", '#!/bin/bash\nexec "$@"\n')
    write_program(
        programs,
        "pythia-geom",
        f'#!/bin/bash\nexec {sys.executable} -c "from pythia_geometry.cli import main; main()" "$@"\n',
    )
    log = tmp_path / "log"
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "TASKS": str(COUNT),
        "SLURM_LOG": str(log),
        "PYTHONPATH": str(Path.cwd()),
    }
    done = subprocess.run(
        ["bash", "-eu", "-c", typed.replace(WALKED, mine)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + log.read_text()
    out = tmp_path / "runs" / "seeds"
    assert [shard.path.name for shard in RunFolder(out).shards()] == ["1-of-2", "2-of-2"]
    assert "--dependency=afterany:4711" in log.read_text()
    assert "Shard 2/2 is walked" in log.read_text()
    suite.walk(tmp_path / "alone")
    assert_same_files(out, tmp_path / "alone")


def test_the_options_of_the_array_are_where_slurm_reads_them() -> None:
    script, _ = blocks()
    first, *rest = script.splitlines()
    assert first == "#!/bin/bash"
    options = [line for line in rest if line.startswith("#SBATCH ")]
    assert rest[: len(options)] == options  # Slurm stops reading at the first command
    assert all(re.fullmatch(r"#SBATCH --[a-z-]+=\S+", option) for option in options)
    assert "#SBATCH --array=1-16" in options
