"""Serve a small Pythia on this machine, to try the walker by hand: ``python -m tests.hub --help``."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.hub.checkpoints import TOKENIZER, pythia_config
from tests.hub.environment import hub_variables
from tests.hub.repository import Repository
from tests.hub.server import LocalHub
from tests.hub.suite import step_repository


def main() -> None:
    """Build the repository, print how to reach it, serve until Ctrl-C."""
    options = _parser().parse_args()
    with tempfile.TemporaryDirectory(prefix="local-hub-") as temporary:
        folder = options.folder or Path(temporary)
        repository = _repository(folder, options.suite, options.steps, options.missing)
        with LocalHub([repository], port=options.port, bandwidth=options.bandwidth) as hub:
            _write(f"{repository.name}: {', '.join(repository.branches)}")
            variables = hub_variables(hub.endpoint, folder / "hf_home")
            _write("\n".join(f"export {name}={value}" for name, value in variables.items()))
            _write(f"HF_ENDPOINT={hub.endpoint}")
            _wait_for_interrupt(hub)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.hub", description=__doc__)
    parser.add_argument("--suite", choices=["tiny", "14m"], default="tiny", help="shape of the model")
    parser.add_argument("--steps", type=_steps, default=[0, 1, 512, 1000], help="as 0,1,512,1000")
    parser.add_argument("--missing", type=_steps, default=[], help="steps whose branch is not there")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--bandwidth", type=float, help="bytes a second of all downloads together")
    parser.add_argument("--folder", type=Path, help="where to write the checkpoints (default: temporary)")
    return parser


def _steps(text: str) -> list[int]:
    return [int(step) for step in text.split(",") if step]


def _repository(folder: Path, suite: str, steps: list[int], missing: list[int]) -> Repository:
    config = pythia_config(suite, vocab_size=50304)
    repository = step_repository(folder / suite, config, steps, tokenizer=TOKENIZER.is_file())
    for step in missing:
        repository.branches.pop(f"step{step}", None)
    return repository


def _wait_for_interrupt(hub: LocalHub) -> None:
    try:
        hub.closing.wait()
    except KeyboardInterrupt:
        _write(f"{len(hub.requests())} requests, {hub.bytes_sent} bytes sent")


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
